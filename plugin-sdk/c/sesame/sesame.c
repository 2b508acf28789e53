//! Connects the contract's C form, `contract.h`, and the functions of `sesame.h`.
//!
//! `sesame plugin build` defines SESAME_VALIDATOR, SESAME_TRANSFORMER and SESAME_ROUTER for the roles of the world. The
//! configuration is read in `config.c`, the system calls of the C library are in `system.c`.
#include "sesame.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

struct sesame_part {
    sesame_part *next;
    sesame_answer *answer;
    uint8_t *content;
    size_t length;
    const char *content_type;
    contract_tuple2_string_string_t *headers;
    size_t header_count;
    sesame_finding *refused;
};

enum change { UNCHANGED, REPLACED, SPLIT, DROPPED };
enum ending { ANSWERED, RETRY, FAILED };

struct sesame_answer {
    sesame_finding *findings;
    size_t count, room;
    bool invalid;
    enum ending ending;
    char *reason;
    uint32_t after;
    enum change change;
    sesame_part *first, *last;
    size_t parts;
    sesame_finding dropped;
    sesame_text *routes;
    size_t route_count;
};

void *sesame_allocate(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (!memory) sesame_panic("no more memory: %zu bytes wanted", size);
    return memory;
}

static void *grown(void *list, size_t count, size_t size) {
    void *memory = realloc(list, (count + 1) * size);
    if (!memory) sesame_panic("no more memory: %zu bytes wanted", (count + 1) * size);
    memset((char *)memory + count * size, 0, size);
    return memory;
}

/// What the host keeps of a finding's code, text, field and value, of a log line, and of anything else, in characters.
enum { CODE = 128, SENTENCE = 1000, FIELD = 200, VALUE = 1000, LINE = 2000, ALL = 0x7fffffff };
/// The longest value of a transport header, in bytes.
enum { HEADER = 4096 };

/// A text of printf's making, as much of it as the host keeps of any: a message may hold more than memory has room for.
static char *formatted(const char *format, va_list arguments) {
    enum { ROOM = 4 * (LINE + 1) + 1 };
    char *text = sesame_allocate(ROOM);
    if (vsnprintf(text, ROOM, format, arguments) < 0) *text = 0;
    return text;
}

/// How many bytes the character at `at` has, 0 where there is none in UTF-8.
static size_t character(const uint8_t *at, size_t rest) {
    size_t length = *at < 0x80 ? 1 : *at >= 0xc2 && *at < 0xe0 ? 2 : *at >= 0xe0 && *at < 0xf0 ? 3
        : *at >= 0xf0 && *at < 0xf5 ? 4 : 0;
    if (length > rest) return 0;
    for (size_t next = 1; next < length; next++) {
        if ((at[next] & 0xc0) != 0x80) return 0;
    }
    bool overlong = (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xf0 && at[1] < 0x90);
    bool beyond = (*at == 0xed && at[1] > 0x9f) || (*at == 0xf4 && at[1] > 0x8f);
    return overlong || beyond ? 0 : length;
}

/// A copy, because the bindings free all that is returned, of one character more than `most`, so that the host shows
/// that it was cut. The host takes nothing but UTF-8: each byte that is part of no character becomes U+FFFD, and in a
/// header's value so does a control character.
static sesame_text copy_of(const void *bytes, size_t length, size_t most, bool header) {
    const uint8_t *from = bytes;
    size_t room = 0, end = 0;
    for (size_t count = 0; end < length && count <= most; count++) {
        size_t step = character(from + end, length - end);
        room += step ? step : 1;
        end += step ? step : 1;
        room += 2;
    }
    uint8_t *copy = sesame_allocate(room), *out = copy;
    for (size_t at = 0; at < end;) {
        size_t step = character(from + at, end - at);
        bool control = from[at] < 0x20 || from[at] == 0x7f || (from[at] == 0xc2 && step == 2 && from[at + 1] < 0xa0);
        if (!step || (header && control)) out = (uint8_t *)memcpy(out, "\xef\xbf\xbd", 3) + 3;
        else out = (uint8_t *)memcpy(out, from + at, step) + step;
        at += step ? step : 1;
    }
    sesame_text made = {copy, (size_t)(out - copy)};
    return made;
}

static sesame_text text_of(const char *text, size_t most) {
    return copy_of(text, strlen(text), most, false);
}

static void fill(sesame_finding *finding, uint8_t severity, const char *code, const char *text) {
    memset(finding, 0, sizeof *finding);
    finding->severity = severity;
    finding->code = text_of(code, CODE);
    finding->text = text_of(text, SENTENCE);
}

/// Counts the findings beyond those that are kept.
static sesame_finding surplus;

static sesame_finding *add(sesame_answer *answer, uint8_t severity, const char *code, const char *format, va_list list) {
    if (answer->count == answer->room) {
        // Findings that were handed out must not move, because the plugin may still add to one; the host keeps 200. An
        // error among the others has made the message invalid all the same.
        if (answer->findings) return &surplus;
        answer->room = 1000;
        answer->findings = sesame_allocate(answer->room * sizeof *answer->findings);
    }
    sesame_finding *finding = &answer->findings[answer->count++];
    char *text = formatted(format, list);
    fill(finding, severity, code, text);
    free(text);
    return finding;
}

#define FINDING(severity)                                                 \
    va_list list;                                                         \
    va_start(list, format);                                               \
    sesame_finding *finding = add(answer, severity, code, format, list);  \
    va_end(list);                                                         \
    return finding

sesame_finding *sesame_error(sesame_answer *answer, const char *code, const char *format, ...) {
    answer->invalid = true;
    FINDING(SESAME_PLUGIN_TYPES_SEVERITY_ERROR);
}

sesame_finding *sesame_warning(sesame_answer *answer, const char *code, const char *format, ...) {
    FINDING(SESAME_PLUGIN_TYPES_SEVERITY_WARNING);
}

sesame_finding *sesame_info(sesame_answer *answer, const char *code, const char *format, ...) {
    FINDING(SESAME_PLUGIN_TYPES_SEVERITY_INFO);
}

sesame_finding *sesame_in_record(sesame_finding *finding, uint32_t number) {
    finding->record_number.is_some = true;
    finding->record_number.val = number;
    return finding;
}

sesame_finding *sesame_in_field(sesame_finding *finding, const char *field, const void *value, size_t length) {
    if (finding == &surplus) return finding;
    finding->field.is_some = finding->value.is_some = true;
    finding->field.val = text_of(field, FIELD);
    finding->value.val = copy_of(value, length, VALUE, false);
    return finding;
}

void sesame_retry(sesame_answer *answer, uint32_t after, const char *format, ...) {
    va_list list;
    va_start(list, format);
    answer->reason = formatted(format, list);
    va_end(list);
    answer->after = after;
    answer->ending = RETRY;
}

void sesame_fail(sesame_answer *answer, const char *format, ...) {
    va_list list;
    va_start(list, format);
    answer->reason = formatted(format, list);
    va_end(list);
    answer->ending = FAILED;
}

static sesame_part *add_part(sesame_answer *answer, enum change change, const void *content, size_t length) {
    sesame_part *part = sesame_allocate(sizeof *part);
    part->answer = answer;
    part->content = memcpy(sesame_allocate(length), content, length);
    part->length = length;
    if (answer->last && change == SPLIT) answer->last->next = part;
    else answer->first = part;
    answer->last = part;
    answer->parts++;
    answer->change = change;
    return part;
}

sesame_part *sesame_replace(sesame_answer *answer, const void *content, size_t length) {
    return add_part(answer, REPLACED, content, length);
}

sesame_part *sesame_split(sesame_answer *answer, const void *content, size_t length) {
    return add_part(answer, SPLIT, content, length);
}

sesame_finding *sesame_refuse(sesame_part *part, const char *code, const char *text) {
    part->refused = sesame_allocate(sizeof *part->refused);
    fill(part->refused, SESAME_PLUGIN_TYPES_SEVERITY_ERROR, code, text);
    return part->refused;
}

void sesame_set_header(sesame_part *part, const char *name, const char *value) {
    sesame_text kept = copy_of(value, strlen(value), HEADER, true);
    if (kept.len > HEADER) {
        const char *text = "gives a header that is longer than the 4096 bytes of one";
        sesame_in_field(sesame_error(part->answer, "message.header-too-long", "%s", text), name, value, 0);
        return;
    }
    part->headers = grown(part->headers, part->header_count, sizeof *part->headers);
    contract_tuple2_string_string_t *header = &part->headers[part->header_count++];
    header->f0 = text_of(name, ALL);
    header->f1 = kept;
}

void sesame_set_content_type(sesame_part *part, const char *content_type) {
    part->content_type = strcpy(sesame_allocate(strlen(content_type) + 1), content_type);
}

sesame_finding *sesame_drop(sesame_answer *answer, const char *code, const char *text) {
    answer->change = DROPPED;
    fill(&answer->dropped, SESAME_PLUGIN_TYPES_SEVERITY_INFO, code, text);
    return &answer->dropped;
}

void sesame_route_to(sesame_answer *answer, const char *name) {
    answer->routes = grown(answer->routes, answer->route_count, sizeof *answer->routes);
    answer->routes[answer->route_count++] = text_of(name, ALL);
}

const sesame_text *sesame_property(const sesame_plugin_types_properties_t *properties, const char *name) {
    for (size_t at = 0; at < properties->len; at++) {
        if (sesame_is(&properties->ptr[at].f0, name)) return &properties->ptr[at].f1;
    }
    return NULL;
}

bool sesame_next_line(const sesame_message *message, size_t *at, sesame_text *line) {
    if (*at >= message->payload.len) return false;
    line->ptr = message->payload.ptr + *at;
    size_t rest = message->payload.len - *at;
    uint8_t *end = memchr(line->ptr, '\n', rest);
    line->len = end ? (size_t)(end - line->ptr) : rest;
    *at += line->len + (end ? 1 : 0);
    if (line->len && line->ptr[line->len - 1] == '\r') line->len--;
    return true;
}

/// How much of `word` the text begins with. A loop, because most lines differ in the first byte.
static size_t common(const sesame_text *text, const char *word) {
    size_t at = 0;
    while (at < text->len && word[at] && text->ptr[at] == (uint8_t)word[at]) at++;
    return at;
}

bool sesame_is(const sesame_text *text, const char *word) {
    size_t length = common(text, word);
    return length == text->len && !word[length];
}

bool sesame_starts(const sesame_text *text, const char *word) {
    return !word[common(text, word)];
}

void sesame_log(sesame_plugin_log_level_t level, const char *format, ...) {
    va_list list;
    va_start(list, format);
    char *line = formatted(format, list);
    va_end(list);
    sesame_text text = text_of(line, LINE);
    sesame_plugin_log_write(level, &text);
    free(text.ptr);
    free(line);
}

void sesame_panic_at(const char *file, int line, const char *format, ...) {
    char text[1000];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    char whole[1200];
    snprintf(whole, sizeof whole, "panicked at %s:%d:\n%s\n", file, line, text);
    sesame_tell(whole);
    abort();
}

void exports_sesame_plugin_lifecycle_describe(exports_sesame_plugin_lifecycle_description_t *description) {
    memset(description, 0, sizeof *description);
    description->name = text_of(sesame_this_plugin.name, ALL);
    description->version = text_of(sesame_this_plugin.version, ALL);
    description->summary = text_of(sesame_this_plugin.summary, ALL);
    if (sesame_this_plugin.config_schema) {
        description->config_schema.is_some = true;
        description->config_schema.val = text_of(sesame_this_plugin.config_schema, ALL);
    }
}

bool exports_sesame_plugin_lifecycle_init(contract_string_t *config, contract_string_t *error) {
    const char *wrong = NULL;
    const sesame_config *read = sesame_read_config(config, &wrong);
    if (!wrong) wrong = sesame_init(read);
    if (!wrong) return true;
    *error = text_of(wrong, ALL);
    return false;
}

/// Whether the answer is that of a message which goes on; otherwise fills in why not.
static bool goes_on(sesame_answer *answer, sesame_plugin_types_failure_t *failure) {
    switch (answer->ending) {
    case RETRY:
        failure->tag = SESAME_PLUGIN_TYPES_FAILURE_RETRY;
        failure->val.retry.after.is_some = answer->after > 0;
        failure->val.retry.after.val = answer->after;
        failure->val.retry.reason = text_of(answer->reason, SENTENCE);
        return false;
    case FAILED:
        failure->tag = SESAME_PLUGIN_TYPES_FAILURE_INTERNAL;
        failure->val.internal = text_of(answer->reason, SENTENCE);
        return false;
    case ANSWERED:
        if (!answer->invalid) return true;
        failure->tag = SESAME_PLUGIN_TYPES_FAILURE_INVALID;
        failure->val.invalid.ptr = answer->findings;
        failure->val.invalid.len = answer->count;
        return false;
    }
    return false;
}

#ifdef SESAME_VALIDATOR
bool exports_sesame_plugin_validator_validate(exports_sesame_plugin_validator_message_t *message,
                                              exports_sesame_plugin_validator_list_finding_t *findings,
                                              exports_sesame_plugin_validator_failure_t *failure) {
    sesame_answer answer = {0};
    sesame_validate(message, &answer);
    exports_sesame_plugin_validator_message_free(message);
    findings->ptr = answer.findings;
    findings->len = answer.count;
    return goes_on(&answer, failure);
}
#endif

#ifdef SESAME_TRANSFORMER
static exports_sesame_plugin_transformer_output_t output(const sesame_part *part) {
    exports_sesame_plugin_transformer_output_t made = {0};
    made.payload.ptr = part->content;
    made.payload.len = part->length;
    made.content_type.is_some = part->content_type != NULL;
    if (part->content_type) made.content_type.val = text_of(part->content_type, ALL);
    made.set_headers.ptr = part->headers;
    made.set_headers.len = part->header_count;
    return made;
}

static void fill_split(const sesame_answer *answer, exports_sesame_plugin_transformer_verdict_t *verdict) {
    exports_sesame_plugin_transformer_part_t *parts = sesame_allocate(answer->parts * sizeof *parts);
    size_t at = 0;
    for (const sesame_part *part = answer->first; part; part = part->next, at++) {
        parts[at].content = output(part);
        parts[at].refused.is_some = part->refused != NULL;
        parts[at].refused.val.ptr = part->refused;
        parts[at].refused.val.len = part->refused ? 1 : 0;
    }
    verdict->tag = EXPORTS_SESAME_PLUGIN_TRANSFORMER_VERDICT_SPLIT;
    verdict->val.split.ptr = parts;
    verdict->val.split.len = at;
}

bool exports_sesame_plugin_transformer_transform(exports_sesame_plugin_transformer_message_t *message,
                                                 exports_sesame_plugin_transformer_transformed_t *transformed,
                                                 exports_sesame_plugin_transformer_failure_t *failure) {
    sesame_answer answer = {0};
    sesame_transform(message, &answer);
    exports_sesame_plugin_transformer_message_free(message);
    memset(transformed, 0, sizeof *transformed);
    transformed->findings.ptr = answer.findings;
    transformed->findings.len = answer.count;
    switch (answer.change) {
    case UNCHANGED: transformed->verdict.tag = EXPORTS_SESAME_PLUGIN_TRANSFORMER_VERDICT_UNCHANGED; break;
    case SPLIT: fill_split(&answer, &transformed->verdict); break;
    case REPLACED:
        transformed->verdict.tag = EXPORTS_SESAME_PLUGIN_TRANSFORMER_VERDICT_REPLACED;
        transformed->verdict.val.replaced = output(answer.first);
        break;
    case DROPPED:
        transformed->verdict.tag = EXPORTS_SESAME_PLUGIN_TRANSFORMER_VERDICT_DROPPED;
        transformed->verdict.val.dropped = answer.dropped;
        break;
    }
    return goes_on(&answer, failure);
}
#endif

#ifdef SESAME_ROUTER
bool exports_sesame_plugin_router_route(exports_sesame_plugin_router_message_t *message,
                                        contract_list_string_t *routes,
                                        exports_sesame_plugin_router_failure_t *failure) {
    sesame_answer answer = {0};
    sesame_route(message, &answer);
    exports_sesame_plugin_router_message_free(message);
    routes->ptr = answer.routes;
    routes->len = answer.route_count;
    return goes_on(&answer, failure);
}
#endif
