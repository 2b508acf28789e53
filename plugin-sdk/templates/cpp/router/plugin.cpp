/// Sends messages of listed sites to a route of their own.
#include <set>
#include <string>
#include <string_view>

#include "sesame.hpp"

const sesame_description sesame_this_plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Sends messages of listed sites to a route of their own.",
    .config_schema = R"({"type": "object", "required": ["sites", "route"], "additionalProperties": false,
        "properties": {"sites": {"type": "array", "items": {"type": "string"}}, "route": {"type": "string"}}})",
};

static std::set<std::string, std::less<>> sites;
static std::string name;

std::string sesame::init(const Config &config) {
    for (const std::string &site : config.list("sites")) sites.insert(site);
    name = config.text("route");
    return sites.empty() ? "list at least one site in `sites`" : "";
}

/// Without a call of `to` the message takes the default route.
void sesame::route(const Message &message, Routes &routes) {
    constexpr std::string_view field = "Site: ";
    bool named = false;
    for (std::string_view line : message.lines()) {
        if (!line.starts_with(field)) continue;
        named = true;
        if (!sites.contains(line.substr(field.size()))) return;
    }
    if (named) routes.to(name);
}
