/// Runs plugin.c over files without a component. Says `NAME VERDICT` for each file, and fails where an answer contains
/// what the host does not take or the plugin failed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

void sesame_tell(const char *text) { fputs(text, stderr); }
void exports_sesame_plugin_validator_message_free(exports_sesame_plugin_validator_message_t *message) { (void)message; }
void exports_sesame_plugin_transformer_message_free(exports_sesame_plugin_transformer_message_t *message) { (void)message; }

static const char *file;
static size_t total;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", file, what);
    exit(1);
}

/// How many bytes the character has that `at` begins with; 0 for none. The table 3-7 of the Unicode standard.
static size_t width(const uint8_t *at, const uint8_t *end) {
    uint8_t lead = *at;
    size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0 || length > (size_t)(end - at)) return 0;
    for (size_t next = 1; next < length; next++) {
        uint8_t low = 0x80, high = 0xbf;
        if (next == 1) {
            if (lead == 0xe0) low = 0xa0;
            if (lead == 0xed) high = 0x9f;
            if (lead == 0xf0) low = 0x90;
            if (lead == 0xf4) high = 0x8f;
        }
        if (at[next] < low || at[next] > high) return 0;
    }
    return length;
}

static void fits(const contract_string_t *text) {
    const uint8_t *at = text->ptr, *end = text->ptr + text->len;
    while (at < end) {
        size_t step = width(at, end);
        if (!step) fail("hands back what is not UTF-8");
        at += step;
    }
    total += text->len;
}

static void fit_findings(const sesame_plugin_types_finding_t *found, size_t count) {
    for (size_t at = 0; at < count; at++) {
        fits(&found[at].code);
        fits(&found[at].text);
        if (found[at].field.is_some) fits(&found[at].field.val);
        if (found[at].value.is_some) fits(&found[at].value.val);
    }
}

static void judge(bool accepted, const sesame_plugin_types_failure_t *failure, size_t payload) {
    if (!accepted && failure->tag != SESAME_PLUGIN_TYPES_FAILURE_INVALID) fail("the plugin fails");
    if (!accepted && !failure->val.invalid.len) fail("invalid without a finding");
    if (!accepted) fit_findings(failure->val.invalid.ptr, failure->val.invalid.len);
    if (total > 8000000 + 4 * payload) fail("hands back too much");
    printf("%s %s\n", file, accepted ? "accepted" : "invalid");
    total = 0;
}

void sesame_plugin_log_write(sesame_plugin_log_level_t level, contract_string_t *text) {
    (void)level;
    size_t before = total;
    fits(text);
    total = before;
}

static contract_list_u8_t read_file(const char *path) {
    FILE *in = fopen(path, "rb");
    if (!in) fail("cannot be read");
    fseek(in, 0, SEEK_END);
    size_t length = (size_t)ftell(in);
    rewind(in);
    uint8_t *bytes = malloc(length + 1);
    if (!bytes || fread(bytes, 1, length, in) != length) fail("cannot be read");
    fclose(in);
    contract_list_u8_t list = {bytes, length};
    return list;
}

static void validate(contract_list_u8_t payload) {
    exports_sesame_plugin_validator_message_t message;
    exports_sesame_plugin_validator_list_finding_t findings = {0};
    exports_sesame_plugin_validator_failure_t failure;
    memset(&message, 0, sizeof message);
    message.payload = payload;
    bool accepted = exports_sesame_plugin_validator_validate(&message, &findings, &failure);
    if (accepted) fit_findings(findings.ptr, findings.len);
    judge(accepted, &failure, payload.len);
}

static void transform(contract_list_u8_t payload) {
    exports_sesame_plugin_transformer_message_t message;
    exports_sesame_plugin_transformer_transformed_t transformed;
    exports_sesame_plugin_transformer_failure_t failure;
    memset(&message, 0, sizeof message);
    message.payload = payload;
    bool accepted = exports_sesame_plugin_transformer_transform(&message, &transformed, &failure);
    if (accepted && transformed.verdict.tag == EXPORTS_SESAME_PLUGIN_TRANSFORMER_VERDICT_SPLIT) {
        fit_findings(transformed.findings.ptr, transformed.findings.len);
        for (size_t at = 0; at < transformed.verdict.val.split.len; at++) {
            const exports_sesame_plugin_transformer_part_t *part = &transformed.verdict.val.split.ptr[at];
            for (size_t header = 0; header < part->content.set_headers.len; header++) {
                fits(&part->content.set_headers.ptr[header].f0);
                fits(&part->content.set_headers.ptr[header].f1);
            }
            if (part->refused.is_some) fit_findings(part->refused.val.ptr, part->refused.val.len);
        }
    }
    judge(accepted, &failure, payload.len);
}

int main(int count, char **arguments) {
    for (int at = 1; at < count; at++) {
        const char *slash = strrchr(arguments[at], '/');
        file = slash ? slash + 1 : arguments[at];
        contract_list_u8_t payload = read_file(arguments[at]);
        validate(payload);
        transform(payload);
        free(payload.ptr);
    }
    return 0;
}
