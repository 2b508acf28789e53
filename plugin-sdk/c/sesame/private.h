//! What the helper's own files share.
#ifndef SESAME_PRIVATE_H
#define SESAME_PRIVATE_H

#include "sesame.h"

/// Reads a JSON object; sets `*wrong` to a sentence where it is none.
const sesame_config *sesame_read_config(const sesame_text *json, const char **wrong);

/// Writes to standard error, at most 4096 bytes.
void sesame_tell(const char *text);

#endif
