/// Refuses messages of sites that are not listed.
#include <string.h>

#include "sesame.h"

static const char *const *sites;

const sesame_description sesame_this_plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Refuses messages of sites that are not listed.",
    .config_schema = "{\"type\": \"object\", \"required\": [\"sites\"], \"additionalProperties\": false,"
                     " \"properties\": {\"sites\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}}}}",
};

const char *sesame_init(const sesame_config *config) {
    sites = sesame_config_list(config, "sites");
    return *sites ? NULL : "list at least one site in `sites`";
}

static bool is_listed(const sesame_text *site) {
    for (const char *const *listed = sites; *listed; listed++) {
        if (sesame_is(site, *listed)) return true;
    }
    return false;
}

/// A finding of severity error makes the message invalid. Records end with a line `%%`.
void sesame_validate(const sesame_message *message, sesame_answer *answer) {
    size_t at = 0, begin = strlen("Site: ");
    uint32_t record = 1;
    bool named = false;
    sesame_text line;
    while (sesame_next_line(message, &at, &line)) {
        if (sesame_is(&line, "%%")) record++;
        if (!sesame_starts(&line, "Site: ")) continue;
        named = true;
        sesame_text site = {line.ptr + begin, line.len - begin};
        if (is_listed(&site)) continue;
        sesame_finding *finding = sesame_error(answer, "site.unknown", "is not a listed site");
        sesame_in_field(sesame_in_record(finding, record), "Site", site.ptr, site.len);
    }
    if (!named) sesame_error(answer, "site.missing", "no record names its site");
}
