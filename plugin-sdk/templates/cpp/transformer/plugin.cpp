/// Gives a site that was renamed its new name.
#include <string>
#include <string_view>

#include "sesame.hpp"

const sesame_description sesame_this_plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Gives a site that was renamed its new name.",
    .config_schema = R"({"type": "object", "required": ["old", "new"], "additionalProperties": false,
        "properties": {"old": {"type": "string"}, "new": {"type": "string"}}})",
};

/// The line that is replaced, and what replaces it.
static std::string old_line, new_line;

std::string sesame::init(const Config &config) {
    std::string from = config.text("old"), to = config.text("new");
    old_line = "Site: " + from;
    new_line = "Site: " + to;
    return from.empty() || to.empty() ? "name the site in `old` and `new`" : "";
}

/// Without a call of `replace` the message stays as it is.
void sesame::transform(const Message &message, Change &change) {
    std::string content;
    bool renamed = false;
    std::string_view rest = message.payload();
    while (!rest.empty()) {
        std::string_view line = rest.substr(0, rest.find('\n'));
        bool is_old = line == old_line;
        renamed |= is_old;
        content += is_old ? std::string_view(new_line) : line;
        rest.remove_prefix(line.size());
        if (rest.empty()) break;
        content += '\n';
        rest.remove_prefix(1);
    }
    if (renamed) change.replace(content);
}
