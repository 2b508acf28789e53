#include "tables.h"

#include <stdlib.h>
#include <string.h>

#include "lookups.h"

const char *sesame_lookup(const char *table, const void *key, size_t length, sesame_row *row, bool *found)
{
    lookups_string_t name = {(uint8_t *)table, strlen(table)}, text = {(uint8_t *)key, length}, error;
    sesame_plugin_tables_option_row_t answer;
    *found = false;
    if (!sesame_plugin_tables_get(&name, &text, &answer, &error)) {
        char *words = malloc(error.len + 1);
        if (words == NULL)
            return "there is no memory for the error of a lookup";
        memcpy(words, error.ptr, error.len);
        words[error.len] = 0;
        return words;
    }
    *found = answer.is_some;
    if (answer.is_some) {
        _Static_assert(sizeof *row == sizeof answer.val, "a row is a list of pairs in both versions");
        memcpy(row, &answer.val, sizeof *row);
    }
    return NULL;
}

const sesame_text *sesame_column(const sesame_row *row, const char *name)
{
    return sesame_property(row, name);
}
