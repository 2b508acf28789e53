/// Reads a message line by line and quotes all of it back, in findings, headers, content and log lines.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sesame.h"

const sesame_description sesame_this_plugin = {"hostile", "0.1.0", "Quotes a message.", NULL};

const char *sesame_init(const sesame_config *config) {
    (void)config;
    return NULL;
}

/// A copy that ends with a zero, as C has it: what follows a zero in the message is not in it.
static char *text_of_line(const sesame_text *line) {
    char *text = sesame_allocate(line->len + 1);
    if (line->len) memcpy(text, line->ptr, line->len);
    return text;
}

static bool echoes(const sesame_message *message) {
    sesame_text whole = {message->payload.ptr, message->payload.len};
    return sesame_starts(&whole, "echo:");
}

void sesame_validate(const sesame_message *message, sesame_answer *answer) {
    if (echoes(message)) return;
    size_t at = 0;
    sesame_text line;
    while (sesame_next_line(message, &at, &line)) {
        char *text = text_of_line(&line);
        sesame_finding *finding = sesame_error(answer, text, "%s: %.*s", text, (int)(line.len % 3000), text);
        sesame_in_field(sesame_in_record(finding, (uint32_t)at), text, line.ptr, line.len);
        sesame_log(SESAME_PLUGIN_LOG_LEVEL_DEBUG, "%s", text);
        free(text);
    }
    sesame_text whole = {message->payload.ptr, message->payload.len};
    sesame_in_field(sesame_error(answer, "x.read", "is read"), "whole", whole.ptr, whole.len);
}

void sesame_transform(const sesame_message *message, sesame_answer *answer) {
    if (!echoes(message)) return;
    sesame_text whole = {message->payload.ptr + 5, message->payload.len - 5};
    char *text = text_of_line(&whole);
    sesame_part *part = sesame_split(answer, message->payload.ptr, message->payload.len);
    sesame_set_header(part, "x-value", text);
    sesame_in_field(sesame_refuse(sesame_split(answer, "x", 1), text, text), text, whole.ptr, whole.len);
    for (int note = 0; note < 300; note++) sesame_info(answer, "x.note", "%s", text);
    free(text);
}
