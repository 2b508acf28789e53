//! Connects the classes of `sesame.hpp` and the functions of `sesame.h`.
#include "sesame.hpp"

namespace sesame {

std::vector<std::string> Config::list(const char *key) const {
    std::vector<std::string> texts;
    for (const char *const *text = sesame_config_list(config, key); *text; text++) texts.emplace_back(*text);
    return texts;
}

std::optional<std::string> Config::json(const char *key) const {
    const char *json = sesame_config_json(config, key);
    return json ? std::optional<std::string>(json) : std::nullopt;
}

std::optional<std::string_view> Message::property(const char *name) const {
    const sesame_text *value = sesame_property(&message.context.properties, name);
    return value ? std::optional<std::string_view>(view(*value)) : std::nullopt;
}

Finding Answer::error(const std::string &code, const std::string &text) {
    return Finding(sesame_error(answer, code.c_str(), "%s", text.c_str()));
}

Finding Answer::warning(const std::string &code, const std::string &text) {
    return Finding(sesame_warning(answer, code.c_str(), "%s", text.c_str()));
}

Finding Answer::info(const std::string &code, const std::string &text) {
    return Finding(sesame_info(answer, code.c_str(), "%s", text.c_str()));
}

void Answer::retry(const std::string &reason, std::chrono::milliseconds after) {
    sesame_retry(answer, static_cast<std::uint32_t>(after.count()), "%s", reason.c_str());
}

void Answer::fail(const std::string &reason) {
    sesame_fail(answer, "%s", reason.c_str());
}

Part Part::set_header(const std::string &name, const std::string &value) const {
    sesame_set_header(part, name.c_str(), value.c_str());
    return *this;
}

Part Part::set_content_type(const std::string &content_type) const {
    sesame_set_content_type(part, content_type.c_str());
    return *this;
}

Finding Part::refuse(const std::string &code, const std::string &text) const {
    return Finding(sesame_refuse(part, code.c_str(), text.c_str()));
}

Finding Change::drop(const std::string &code, const std::string &text) {
    return Finding(sesame_drop(answer, code.c_str(), text.c_str()));
}

} // namespace sesame

const char *sesame_init(const sesame_config *config) {
    static std::string wrong;
    wrong = sesame::init(sesame::Config(config));
    return wrong.empty() ? nullptr : wrong.c_str();
}

#ifdef SESAME_VALIDATOR
void sesame_validate(const sesame_message *message, sesame_answer *answer) {
    sesame::Answer given(answer);
    sesame::validate(sesame::Message(*message), given);
}
#endif

#ifdef SESAME_TRANSFORMER
void sesame_transform(const sesame_message *message, sesame_answer *answer) {
    sesame::Change given(answer);
    sesame::transform(sesame::Message(*message), given);
}
#endif

#ifdef SESAME_ROUTER
void sesame_route(const sesame_message *message, sesame_answer *answer) {
    sesame::Routes given(answer);
    sesame::route(sesame::Message(*message), given);
}
#endif
