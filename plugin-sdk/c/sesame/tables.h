//! Lookup tables of the operator, granted to the plugin in its sidecar, such as `tables = ["sites"]`. A component that calls this
//! imports `sesame:plugin/tables` of version 1.1 of the contract; one that does not needs a host of 1.0 only.
#ifndef SESAME_TABLES_H
#define SESAME_TABLES_H

#include "sesame.h"

#ifdef __cplusplus
extern "C" {
#endif

/// A row: the columns with their values, in the order of the file.
typedef sesame_plugin_types_properties_t sesame_row;

/// Looks up the row with this key: `*found` says whether there is one. Returns NULL, or a sentence for the operator if the table
/// is not granted. Look something up in `sesame_init`, and the operator sees at once what is missing.
const char *sesame_lookup(const char *table, const void *key, size_t length, sesame_row *row, bool *found);
/// The value of a column; NULL if the table does not have it.
const sesame_text *sesame_column(const sesame_row *row, const char *name);

#ifdef __cplusplus
}
#endif

#endif
