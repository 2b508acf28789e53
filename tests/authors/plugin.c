/// Does what the message says, in every role: for the tests of the helper.
#include <string.h>

#include "sesame.h"

const sesame_description sesame_this_plugin = {"obedient", "0.1.0", "Does what the message says.", NULL};

const char *sesame_init(const sesame_config *config) {
    const char *text = sesame_config_text(config, "text", "");
    bool read = strcmp(text, "\xc3\xa9\xf0\x9f\x98\x80\"\n\t\x01") == 0;
    read = read && sesame_config_number(config, "number", 0) == -2.5 && sesame_config_flag(config, "flag", false);
    read = read && !*sesame_config_list(config, "mixed") && sesame_config_json(config, "nested") != NULL;
    return read && !sesame_config_json(config, "absent") ? NULL : "the configuration is not what was written";
}

static bool says(const sesame_message *message, const char *word) {
    size_t at = 0;
    sesame_text line;
    return sesame_next_line(message, &at, &line) && sesame_is(&line, word);
}

void sesame_validate(const sesame_message *message, sesame_answer *answer) {
    static const char value[] = "gr\xc3\xb6\xc3\x9f" "er";
    if (says(message, "give up")) sesame_panic("out of %s", "cheese");
    if (says(message, "later")) sesame_retry(answer, 5000, "not %s", "yet");
    if (says(message, "warn")) sesame_warning(answer, "x.odd", "is odd");
    if (!says(message, "invalid")) return;
    sesame_finding *finding = sesame_error(answer, "x.bad", "is bad");
    sesame_in_field(sesame_in_record(finding, 3), "F", value, strlen(value));
}

void sesame_transform(const sesame_message *message, sesame_answer *answer) {
    static const char content[] = "gr\xc3\xb6\xc3\x9f" "er\n";
    if (says(message, "replace")) {
        sesame_part *part = sesame_replace(answer, content, strlen(content));
        sesame_set_content_type(part, "text/x-new");
        sesame_set_header(part, "x-kind", "new");
    }
    if (says(message, "split")) {
        sesame_split(answer, "one", 3);
        sesame_refuse(sesame_split(answer, "two", 3), "x.part", "is bad");
        sesame_info(answer, "x.note", "in two");
    }
    if (says(message, "drop")) sesame_drop(answer, "x.unwanted", "is not wanted");
}

void sesame_route(const sesame_message *message, sesame_answer *answer) {
    if (!says(message, "route")) return;
    sesame_route_to(answer, "cloud");
    sesame_route_to(answer, "default");
}
