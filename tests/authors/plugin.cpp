/// Does what the message says, in every role: for the tests of the helper.
#include <chrono>
#include <map>
#include <string>

#include "sesame.hpp"

const sesame_description sesame_this_plugin = {"obedient", "0.1.0", "Does what the message says.", nullptr};

/// Made when the instance begins, before `init`.
static const std::map<std::string, std::string> contents = {{"replace", "größer\n"}};

std::string sesame::init(const Config &config) {
    bool read = config.text("text") == "é😀\"\n\t\x01" && config.number("number") == -2.5 && config.flag("flag");
    read = read && config.list("mixed").empty() && config.json("nested") && !config.json("absent");
    return read && config.number("absent", 7) == 7 ? "" : "the configuration is not what was written";
}

static std::string_view word(const sesame::Message &message) {
    return *message.lines().begin();
}

void sesame::validate(const Message &message, Answer &answer) {
    if (word(message) == "give up") sesame_panic("out of %s", "cheese");
    if (word(message) == "later") answer.retry("not yet", std::chrono::seconds(5));
    if (word(message) == "warn") answer.warning("x.odd", "is odd");
    if (word(message) == "invalid") answer.error("x.bad", "is bad").in_record(3).in_field("F", "größer");
}

void sesame::transform(const Message &message, Change &change) {
    if (word(message) == "replace") {
        change.replace(contents.at("replace")).set_content_type("text/x-new").set_header("x-kind", "new");
    }
    if (word(message) == "split") {
        change.split("one");
        change.split("two").refuse("x.part", "is bad");
        change.info("x.note", "in two");
    }
    if (word(message) == "drop") change.drop("x.unwanted", "is not wanted");
}

void sesame::route(const Message &message, Routes &routes) {
    if (word(message) != "route" || !message.property("max-payload-bytes")) return;
    if (view(message.context().channel) != "test") return;
    routes.to("cloud");
    routes.to("default");
}
