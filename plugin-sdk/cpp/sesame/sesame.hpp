//! The contract of Sesame for a plugin written in C++: classes over the functions of `sesame.h`. Start at "what a plugin
//! defines"; everything else is called by it.
//!
//! Texts are UTF-8. Those of a message are views that are valid during the call; what an answer is given is copied.
//! There are no exceptions: `sesame_panic` and `assert` give up with a text for the operator.
#ifndef SESAME_HPP
#define SESAME_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sesame.h"

namespace sesame {

class Config;
class Message;
class Answer;
class Change;
class Routes;

// What a plugin defines, beside `sesame_this_plugin`, which describes it.

/// Takes the operator's `[config]`. Returns a sentence for the operator about what is wrong with it, or nothing.
std::string init(const Config &config);

/// One function for each role that `wit/world.wit` exports. A finding of severity error makes the message invalid; an
/// answer without one accepts it.
#if defined SESAME_VALIDATOR || !defined SESAME_WORLD
void validate(const Message &message, Answer &answer);
#else
extern const char validate; // wit/world.wit does not include validator-plugin
#endif
#if defined SESAME_TRANSFORMER || !defined SESAME_WORLD
void transform(const Message &message, Change &change);
#else
extern const char transform; // wit/world.wit does not include transformer-plugin
#endif
#if defined SESAME_ROUTER || !defined SESAME_WORLD
void route(const Message &message, Routes &routes);
#else
extern const char route; // wit/world.wit does not include router-plugin
#endif

/// The operator's `[config]`. A key that is absent or of another type has the value that is given for it; the schema
/// reports types to the operator.
class Config {
public:
    explicit Config(const sesame_config *config) : config(config) {}

    std::string text(const char *key, const char *absent = "") const { return sesame_config_text(config, key, absent); }
    double number(const char *key, double absent = 0) const { return sesame_config_number(config, key, absent); }
    bool flag(const char *key, bool absent = false) const { return sesame_config_flag(config, key, absent); }
    /// The texts of a list.
    std::vector<std::string> list(const char *key) const;
    /// Any value as its JSON text.
    std::optional<std::string> json(const char *key) const;

private:
    const sesame_config *config;
};

inline std::string_view view(const sesame_text &text) {
    return {reinterpret_cast<const char *>(text.ptr), text.len};
}

/// The lines of a message, without their ends.
class Lines {
public:
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::string_view *;
        using reference = std::string_view;

        explicit Iterator(const sesame_message *message) : message(message) { ++*this; }
        std::string_view operator*() const { return view(line); }
        Iterator &operator++() {
            if (message && !sesame_next_line(message, &at, &line)) message = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(const Iterator &other) const { return message == other.message; }
        bool operator!=(const Iterator &other) const { return message != other.message; }

    private:
        const sesame_message *message;
        std::size_t at = 0;
        sesame_text line = {};
    };

    explicit Lines(const sesame_message &message) : message(&message) {}
    Iterator begin() const { return Iterator(message); }
    Iterator end() const { return Iterator(nullptr); }

private:
    const sesame_message *message;
};

/// A message with its context.
class Message {
public:
    explicit Message(const sesame_message &message) : message(message) {}

    std::string_view payload() const {
        return {reinterpret_cast<const char *>(message.payload.ptr), message.payload.len};
    }
    Lines lines() const { return Lines(message); }
    /// All that is known of the message, as `contract.h` has it; `view` makes a text of it readable.
    const sesame_plugin_types_context_t &context() const { return message.context; }
    /// A property of the context.
    std::optional<std::string_view> property(const char *name) const;

private:
    const sesame_message &message;
};

/// One thing that a plugin found in a message.
class Finding {
public:
    explicit Finding(sesame_finding *finding) : finding(finding) {}

    /// Names the record, counted from 1.
    Finding in_record(std::uint32_t number) const { return Finding(sesame_in_record(finding, number)); }
    /// Names the field and its content, which the host stores only with the message.
    Finding in_field(const std::string &field, std::string_view value) const {
        return Finding(sesame_in_field(finding, field.c_str(), value.data(), value.size()));
    }

private:
    sesame_finding *finding;
};

/// What is said of a message. Put content of the message into `in_field`, not into a text.
class Answer {
public:
    explicit Answer(sesame_answer *answer) : answer(answer) {}

    Finding error(const std::string &code, const std::string &text);
    Finding warning(const std::string &code, const std::string &text);
    Finding info(const std::string &code, const std::string &text);
    /// The message cannot be decided on yet: it is tried again after at least this time.
    void retry(const std::string &reason, std::chrono::milliseconds after = {});
    /// The plugin failed: the operator's `on-error` applies.
    void fail(const std::string &reason);

protected:
    sesame_answer *answer;
};

/// New content.
class Part {
public:
    explicit Part(sesame_part *part) : part(part) {}

    Part set_header(const std::string &name, const std::string &value) const;
    Part set_content_type(const std::string &content_type) const;
    /// Sends a part of a split to the reject queue with this finding.
    Finding refuse(const std::string &code, const std::string &text) const;

private:
    sesame_part *part;
};

/// What becomes of a message; without a call of these it is unchanged.
class Change : public Answer {
public:
    using Answer::Answer;

    /// Gives the message new content.
    Part replace(std::string_view content) { return Part(sesame_replace(answer, content.data(), content.size())); }
    /// Adds one part of a split.
    Part split(std::string_view content) { return Part(sesame_split(answer, content.data(), content.size())); }
    /// Discards the message.
    Finding drop(const std::string &code, const std::string &text);
};

/// Where a message goes; without a call of `to` it takes the default route.
class Routes : public Answer {
public:
    using Answer::Answer;

    /// Adds a route by its name.
    void to(const std::string &name) { sesame_route_to(answer, name.c_str()); }
};

/// Writes a line to the plugin's log; `level` is one of SESAME_PLUGIN_LOG_LEVEL_TRACE, …_DEBUG, _INFO, _WARN, _ERROR.
inline void log(sesame_plugin_log_level_t level, const std::string &line) {
    sesame_log(level, "%s", line.c_str());
}

} // namespace sesame

#endif
