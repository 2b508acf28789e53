/// Refuses messages of sites that a lookup table does not have.
#include <string.h>

#include "tables.h"

const sesame_description sesame_this_plugin = {
    .name = "lookups", .version = "1", .summary = "Refuses messages of sites that a lookup table does not have.",
};

const char *sesame_init(const sesame_config *config) {
    (void)config;
    sesame_row row;
    bool found;
    return sesame_lookup("sites", "", 0, &row, &found);
}

void sesame_validate(const sesame_message *message, sesame_answer *answer) {
    size_t at = 0;
    sesame_text line;
    sesame_row row;
    bool found = false;
    if (sesame_next_line(message, &at, &line)) {
        const char *error = sesame_lookup("sites", line.ptr, line.len, &row, &found);
        if (error != NULL) {
            sesame_fail(answer, "%s", error);
            return;
        }
    }
    if (!found) {
        sesame_error(answer, "site.unknown", "is not in the table");
        return;
    }
    const sesame_text *country = sesame_column(&row, "country");
    sesame_warning(answer, "site.country", "%.*s", (int)country->len, (const char *)country->ptr);
}
