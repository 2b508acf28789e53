/// Sends messages of listed sites to a route of their own.
#include <string.h>

#include "sesame.h"

static const char *const *sites;
static const char *route;

const sesame_description sesame_this_plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Sends messages of listed sites to a route of their own.",
    .config_schema = "{\"type\": \"object\", \"required\": [\"sites\", \"route\"], \"additionalProperties\": false,"
                     " \"properties\": {\"sites\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}},"
                     " \"route\": {\"type\": \"string\"}}}",
};

const char *sesame_init(const sesame_config *config) {
    sites = sesame_config_list(config, "sites");
    route = sesame_config_text(config, "route", "");
    return *sites ? NULL : "list at least one site in `sites`";
}

static bool is_listed(const sesame_text *site) {
    for (const char *const *listed = sites; *listed; listed++) {
        if (sesame_is(site, *listed)) return true;
    }
    return false;
}

/// Without a call of `sesame_route_to` the message takes the default route.
void sesame_route(const sesame_message *message, sesame_answer *answer) {
    size_t at = 0, begin = strlen("Site: ");
    bool named = false;
    sesame_text line;
    while (sesame_next_line(message, &at, &line)) {
        if (!sesame_starts(&line, "Site: ")) continue;
        named = true;
        sesame_text site = {line.ptr + begin, line.len - begin};
        if (!is_listed(&site)) return;
    }
    if (named) sesame_route_to(answer, route);
}
