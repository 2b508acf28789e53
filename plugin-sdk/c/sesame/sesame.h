//! The contract of Sesame for a plugin written in C. Start at "what a plugin defines"; everything else is called by it.
//!
//! `contract.h` is made by `sesame plugin build` from `wit/`; texts in it are UTF-8 with a length and without a zero at
//! the end. Arguments are copied. An instance ends with its message, so nothing needs to be freed.
#ifndef SESAME_H
#define SESAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef contract_string_t sesame_text;
typedef sesame_plugin_types_message_t sesame_message;
typedef sesame_plugin_types_finding_t sesame_finding;
typedef struct sesame_config sesame_config;
typedef struct sesame_answer sesame_answer;
typedef struct sesame_part sesame_part;

// What a plugin defines.

/// The description of the plugin. `config_schema` is the JSON Schema of its `[config]`, or NULL.
typedef struct {
    const char *name, *version, *summary, *config_schema;
} sesame_description;

extern const sesame_description sesame_this_plugin;

/// Takes the operator's `[config]`. Returns NULL, or a sentence for the operator about what is wrong with it.
const char *sesame_init(const sesame_config *config);

/// One function for each role that `wit/world.wit` exports. A finding of severity error makes the message invalid; an
/// answer without one accepts it.
#if defined SESAME_VALIDATOR || !defined SESAME_WORLD
void sesame_validate(const sesame_message *message, sesame_answer *answer);
#else
extern const char sesame_validate; // wit/world.wit does not include validator-plugin
#endif
#if defined SESAME_TRANSFORMER || !defined SESAME_WORLD
void sesame_transform(const sesame_message *message, sesame_answer *answer);
#else
extern const char sesame_transform; // wit/world.wit does not include transformer-plugin
#endif
#if defined SESAME_ROUTER || !defined SESAME_WORLD
void sesame_route(const sesame_message *message, sesame_answer *answer);
#else
extern const char sesame_route; // wit/world.wit does not include router-plugin
#endif

// Findings, for every role.

/// Adds a finding. `format` is that of printf; put content of the message into `sesame_in_field`, not here.
sesame_finding *sesame_error(sesame_answer *answer, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
sesame_finding *sesame_warning(sesame_answer *answer, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
sesame_finding *sesame_info(sesame_answer *answer, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/// Names the record, counted from 1.
sesame_finding *sesame_in_record(sesame_finding *finding, uint32_t number);
/// Names the field and its content, which the host stores only with the message.
sesame_finding *sesame_in_field(sesame_finding *finding, const char *field, const void *value, size_t length);

/// The message cannot be decided on yet: it is tried again after at least `after` milliseconds.
void sesame_retry(sesame_answer *answer, uint32_t after, const char *format, ...) __attribute__((format(printf, 3, 4)));
/// The plugin failed: the operator's `on-error` applies.
void sesame_fail(sesame_answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));

// For a transformer; without a call of these the message is unchanged.

/// Gives the message new content.
sesame_part *sesame_replace(sesame_answer *answer, const void *content, size_t length);
/// Adds one part of a split.
sesame_part *sesame_split(sesame_answer *answer, const void *content, size_t length);
/// Sends a part of a split to the reject queue with this finding.
sesame_finding *sesame_refuse(sesame_part *part, const char *code, const char *text);
/// Sets a header or the media type of new content.
void sesame_set_header(sesame_part *part, const char *name, const char *value);
void sesame_set_content_type(sesame_part *part, const char *content_type);
/// Discards the message.
sesame_finding *sesame_drop(sesame_answer *answer, const char *code, const char *text);

// For a router; without a call of this the message takes the default route.

/// Adds a route by its name.
void sesame_route_to(sesame_answer *answer, const char *name);

// Configuration.

/// The value of a key, or the default where it is absent or of another type; the schema reports types to the operator.
const char *sesame_config_text(const sesame_config *config, const char *key, const char *absent);
double sesame_config_number(const sesame_config *config, const char *key, double absent);
bool sesame_config_flag(const sesame_config *config, const char *key, bool absent);
/// The texts of a list, ended by NULL; empty where it is absent.
const char *const *sesame_config_list(const sesame_config *config, const char *key);
/// Any value as its JSON text, NULL where it is absent.
const char *sesame_config_json(const sesame_config *config, const char *key);

// Text, log, panic.

/// Looks up a property; NULL where it is absent.
const sesame_text *sesame_property(const sesame_plugin_types_properties_t *properties, const char *name);
/// The next line of a message from `*at` on, without its end; false after the last one.
bool sesame_next_line(const sesame_message *message, size_t *at, sesame_text *line);
/// Whether a text is, or begins with, a C string.
bool sesame_is(const sesame_text *text, const char *word);
bool sesame_starts(const sesame_text *text, const char *word);

/// Writes a line to the plugin's log; `level` is one of SESAME_PLUGIN_LOG_LEVEL_TRACE, …_DEBUG, _INFO, _WARN, _ERROR.
void sesame_log(sesame_plugin_log_level_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// Fails with a text for the operator, with file and line. `assert` and writing to stderr before `abort` do the same.
#define sesame_panic(...) sesame_panic_at(__FILE__, __LINE__, __VA_ARGS__)
void sesame_panic_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), __noreturn__));

/// Memory, never NULL.
void *sesame_allocate(size_t size);

#ifdef __cplusplus
}
#endif

#endif
