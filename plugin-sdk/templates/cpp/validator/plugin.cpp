/// Refuses messages of sites that are not listed.
#include <set>
#include <string>
#include <string_view>

#include "sesame.hpp"

const sesame_description sesame_this_plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Refuses messages of sites that are not listed.",
    .config_schema = R"({"type": "object", "required": ["sites"], "additionalProperties": false,
        "properties": {"sites": {"type": "array", "items": {"type": "string"}}}})",
};

static std::set<std::string, std::less<>> sites;

std::string sesame::init(const Config &config) {
    for (const std::string &site : config.list("sites")) sites.insert(site);
    return sites.empty() ? "list at least one site in `sites`" : "";
}

/// A finding of severity error makes the message invalid. Records end with a line `%%`.
void sesame::validate(const Message &message, Answer &answer) {
    constexpr std::string_view field = "Site: ";
    std::uint32_t record = 1;
    bool named = false;
    for (std::string_view line : message.lines()) {
        if (line == "%%") record++;
        if (!line.starts_with(field)) continue;
        named = true;
        std::string_view site = line.substr(field.size());
        if (sites.contains(site)) continue;
        answer.error("site.unknown", "is not a listed site").in_record(record).in_field("Site", site);
    }
    if (!named) answer.error("site.missing", "no record names its site");
}
