//! The operator's `[config]`: a small reader of JSON. The host makes the text itself, so it is well formed; what is not
//! is answered by one sentence. Numbers are those of `strtod`, lists are read if they contain strings only.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

enum { DEEPEST = 64 };

typedef struct entry {
    struct entry *next;
    char *key, *json, *text;
    const char **items;
} entry;

struct sesame_config {
    entry *entries;
};

typedef struct {
    const char *at;
    bool wrong;
} reader;

static void skip_space(reader *in) {
    while (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r') in->at++;
}

static bool take(reader *in, char wanted) {
    skip_space(in);
    if (*in->at != wanted) return false;
    in->at++;
    return true;
}

static void expect(reader *in, char wanted) {
    if (!take(in, wanted)) in->wrong = true;
}

static unsigned hexadecimal(reader *in) {
    unsigned value = 0;
    for (int digit = 0; digit < 4; digit++, in->at++) {
        char c = *in->at;
        unsigned nibble = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
            : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10) : 16;
        if (nibble == 16) return in->wrong = true, 0;
        value = value * 16 + nibble;
    }
    return value;
}

static char *write_utf8(char *out, unsigned code) {
    if (code < 0x80) *out++ = (char)code;
    else if (code < 0x800) *out++ = (char)(0xc0 | code >> 6), *out++ = (char)(0x80 | (code & 0x3f));
    else if (code < 0x10000)
        *out++ = (char)(0xe0 | code >> 12), *out++ = (char)(0x80 | (code >> 6 & 0x3f)), *out++ = (char)(0x80 | (code & 0x3f));
    else
        *out++ = (char)(0xf0 | code >> 18), *out++ = (char)(0x80 | (code >> 12 & 0x3f)),
        *out++ = (char)(0x80 | (code >> 6 & 0x3f)), *out++ = (char)(0x80 | (code & 0x3f));
    return out;
}

/// What `\u` denotes; two of them where the first is half of a pair.
static char *read_code(reader *in, char *out) {
    unsigned code = hexadecimal(in);
    if (code >= 0xd800 && code < 0xdc00 && in->at[0] == '\\' && in->at[1] == 'u') {
        in->at += 2;
        code = 0x10000 + ((code - 0xd800) << 10) + (hexadecimal(in) - 0xdc00);
    }
    return write_utf8(out, code);
}

static char *read_text(reader *in) {
    expect(in, '"');
    char *text = sesame_allocate(strlen(in->at) + 1), *out = text;
    while (!in->wrong && *in->at && *in->at != '"') {
        if (*in->at != '\\') {
            *out++ = *in->at++;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        char escape = *++in->at;
        const char *known = escape ? strchr(from, escape) : NULL;
        if (known) *out++ = to[known - from], in->at++;
        else if (escape == 'u') in->at++, out = read_code(in, out);
        else in->wrong = true;
    }
    expect(in, '"');
    return text;
}

static void skip_value(reader *in, int depth);

static void skip_list(reader *in, char end, int depth) {
    in->at++;
    if (take(in, end)) return;
    do {
        if (end == '}') free(read_text(in)), expect(in, ':');
        skip_value(in, depth + 1);
    } while (!in->wrong && take(in, ','));
    expect(in, end);
}

static void skip_value(reader *in, int depth) {
    skip_space(in);
    if (in->wrong || depth > DEEPEST) in->wrong = true;
    else if (*in->at == '"') free(read_text(in));
    else if (*in->at == '{') skip_list(in, '}', depth);
    else if (*in->at == '[') skip_list(in, ']', depth);
    else {
        size_t length = strcspn(in->at, ",]} \t\r\n");
        if (!length) in->wrong = true;
        in->at += length;
    }
}

/// The texts of the list `json`, none if it contains anything else.
static const char **read_items(const char *json) {
    size_t count = 0;
    const char **items = sesame_allocate((strlen(json) + 1) * sizeof *items);
    reader in = {json + 1, false};
    if (take(&in, ']')) return items;
    do {
        skip_space(&in);
        if (*in.at != '"') return items[0] = NULL, items;
        items[count++] = read_text(&in);
    } while (!in.wrong && take(&in, ','));
    items[count] = NULL;
    return items;
}

static void read_entry(reader *in, entry *entry) {
    skip_space(in);
    entry->key = read_text(in);
    expect(in, ':');
    skip_space(in);
    const char *start = in->at;
    skip_value(in, 0);
    if (in->wrong) return;
    size_t length = (size_t)(in->at - start);
    entry->json = memcpy(sesame_allocate(length + 1), start, length);
    if (*start == '"') {
        reader again = {start, false};
        entry->text = read_text(&again);
    }
    if (*start == '[') entry->items = read_items(entry->json);
}

const sesame_config *sesame_read_config(const sesame_text *json, const char **wrong) {
    char *text = memcpy(sesame_allocate(json->len + 1), json->ptr, json->len);
    sesame_config *config = sesame_allocate(sizeof *config);
    reader in = {text, false};
    expect(&in, '{');
    if (!take(&in, '}')) {
        do {
            entry *next = sesame_allocate(sizeof *next);
            next->next = config->entries;
            config->entries = next;
            read_entry(&in, next);
        } while (!in.wrong && take(&in, ','));
        expect(&in, '}');
    }
    if (in.wrong) *wrong = "the configuration is not a JSON object";
    return config;
}

static const entry *find(const sesame_config *config, const char *key) {
    for (const entry *entry = config->entries; entry; entry = entry->next) {
        if (strcmp(entry->key, key) == 0) return entry;
    }
    return NULL;
}

const char *sesame_config_json(const sesame_config *config, const char *key) {
    const entry *entry = find(config, key);
    return entry ? entry->json : NULL;
}

const char *sesame_config_text(const sesame_config *config, const char *key, const char *absent) {
    const entry *entry = find(config, key);
    return entry && entry->text ? entry->text : absent;
}

double sesame_config_number(const sesame_config *config, const char *key, double absent) {
    const char *json = sesame_config_json(config, key);
    char *end = NULL;
    double number = json ? strtod(json, &end) : absent;
    return json && (end == json || *end) ? absent : number;
}

bool sesame_config_flag(const sesame_config *config, const char *key, bool absent) {
    const char *json = sesame_config_json(config, key);
    if (json && strcmp(json, "true") == 0) return true;
    return json && strcmp(json, "false") == 0 ? false : absent;
}

const char *const *sesame_config_list(const sesame_config *config, const char *key) {
    static const char *const none[] = {NULL};
    const entry *entry = find(config, key);
    return entry && entry->items ? entry->items : none;
}
