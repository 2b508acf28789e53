/// Gives a site that was renamed its new name.
#include <stdio.h>
#include <string.h>

#include "sesame.h"

/// The line that is replaced, and what replaces it.
static char *old_line, *new_line;

const sesame_description sesame_this_plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Gives a site that was renamed its new name.",
    .config_schema = "{\"type\": \"object\", \"required\": [\"old\", \"new\"], \"additionalProperties\": false,"
                     " \"properties\": {\"old\": {\"type\": \"string\"}, \"new\": {\"type\": \"string\"}}}",
};

static char *line_of(const char *site) {
    size_t size = strlen("Site: ") + strlen(site) + 1;
    char *line = sesame_allocate(size);
    snprintf(line, size, "Site: %s", site);
    return line;
}

const char *sesame_init(const sesame_config *config) {
    const char *from = sesame_config_text(config, "old", ""), *to = sesame_config_text(config, "new", "");
    old_line = line_of(from);
    new_line = line_of(to);
    return *from && *to ? NULL : "name the site in `old` and `new`";
}

static size_t count_old(const sesame_message *message) {
    size_t at = 0, count = 0;
    sesame_text line;
    while (sesame_next_line(message, &at, &line)) count += sesame_is(&line, old_line);
    return count;
}

/// Without a call of `sesame_replace` the message stays as it is.
void sesame_transform(const sesame_message *message, sesame_answer *answer) {
    size_t count = count_old(message), at = 0, length = 0;
    if (!count) return;
    const char *payload = (const char *)message->payload.ptr;
    char *content = sesame_allocate(message->payload.len + count * strlen(new_line));
    sesame_text line;
    for (size_t from = 0; sesame_next_line(message, &at, &line); from = at) {
        if (sesame_is(&line, old_line)) {
            memcpy(content + length, new_line, strlen(new_line));
            length += strlen(new_line);
            from += line.len;
        }
        // The line, or its end alone.
        memcpy(content + length, payload + from, at - from);
        length += at - from;
    }
    sesame_replace(answer, content, length);
}
