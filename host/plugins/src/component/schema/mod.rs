//! Validates a plugin's `[config]` against the JSON Schema that the plugin gives, before `init` is called.
//!
//! [`Schema::read`] parses a schema once, when a component is loaded; [`Schema::check`] validates a table against it and
//! returns every [`Violation`] with key, kind and reason. Values are never shown: one may be a secret.
//!
//! # Dialect
//! Draft 2020-12 in one document: all of its assertions except `unevaluatedProperties` and `unevaluatedItems`; `$ref` to a
//! place in the document, by JSON pointer; `definitions` beside `$defs`, and a list under `items`, as earlier drafts have
//! them. `format` and annotations are ignored. A keyword of the dialect that is not checked here is refused, so that no
//! author relies on it; one that the dialect does not know is ignored.
//!
//! # Limits
//! The schema comes from the guest, so everything about it is bounded: its size, its depth, the number of its patterns
//! and their compiled size, and the steps of a validation, because each reference can double the work. Patterns are matched
//! in linear time, without look-around and back-references. No published validator is used: those examined bound none of
//! this, and bring some forty crates, a back-tracking matcher among them.

mod check;
mod compare;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::Regex;
use serde_json::{Number, Value};

use crate::text::clean;

/// Largest schema that is read.
const MAX_BYTES: usize = 256 << 10;

/// Violations that are shown one by one.
const SHOWN: usize = 10;

/// What is wrong with a schema itself: the plugin's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has an invalid configuration schema, {what}{}: fix the plugin", place(.at))]
pub struct SchemaError {
    /// What is wrong.
    pub what: String,
    /// Where, as a JSON pointer; empty for the whole.
    pub at: String,
}

fn place(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!(" (at {at:?})") }
}

/// One thing that the schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The key as it is written in TOML, with list indices from 0: `sites[1].name`; empty for the whole table.
    pub key: String,
    /// What is wrong, with the key.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a configuration is refused before the plugin gets it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It does not match the schema.
    #[error("has an invalid [config]: {}", shown(.0))]
    Refused(Vec<Violation>),
    /// The schema itself is invalid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

fn shown(violations: &[Violation]) -> String {
    let mut shown: Vec<String> = violations.iter().take(SHOWN).map(ToString::to_string).collect();
    match violations.len().saturating_sub(SHOWN) {
        0 => {}
        more => shown.push(format!("and {more} more")),
    }
    shown.join("; ")
}

/// Validates a configuration against the text of a schema, as at the load of a plugin.
///
/// # Errors
/// What is wrong with the schema, or with the configuration.
pub fn check_config(schema: &str, config: &Value) -> Result<(), ConfigError> {
    Schema::read(schema)?.check(config)
}

/// The place of a node in [`Schema::nodes`].
type Id = usize;

/// A parsed schema.
#[derive(Debug)]
pub(crate) struct Schema {
    /// The first is the root.
    nodes: Vec<Node>,
}

/// A schema or part of one.
#[derive(Debug)]
enum Node {
    /// `true` and `false`.
    Always(bool),
    /// All of these.
    Rules(Vec<Rule>),
}

/// What one keyword requires, or a few that belong together.
#[derive(Debug)]
enum Rule {
    Types(Vec<Kind>),
    OneOfValues(Vec<Value>),
    Bound(Bound, Number),
    MultipleOf(Number),
    Count(Count, u64),
    Pattern(Regex),
    Properties { known: BTreeMap<String, Id>, patterns: Vec<(Regex, Id)>, others: Option<Id> },
    PropertyNames(Id),
    Required(Vec<String>),
    DependentRequired(BTreeMap<String, BTreeSet<String>>),
    DependentSchemas(BTreeMap<String, Id>),
    Items { first: Vec<Id>, rest: Option<Id> },
    Contains { which: Id, least: u64, most: Option<u64> },
    Unique,
    AllOf(Vec<Id>),
    AnyOf(Vec<Id>),
    OneOf(Vec<Id>),
    Not(Id),
    If { condition: Id, then: Option<Id>, otherwise: Option<Id> },
    Same(Id),
}

/// The types of the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Least,
    Most,
    Above,
    Below,
}

/// What is counted, and whether the limit is a minimum or a maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    LeastCharacters,
    MostCharacters,
    LeastItems,
    MostItems,
    LeastKeys,
    MostKeys,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "string" => Self::String,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => return None,
        })
    }

    /// The name for operators.
    fn words(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "a list",
            Self::Object => "a table",
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if compare::is_whole(number) => Self::Integer,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

impl Schema {
    /// Parses the text of a schema.
    ///
    /// # Errors
    /// What makes it unusable, or a size or depth beyond the limits.
    pub(crate) fn read(text: &str) -> Result<Self, SchemaError> {
        let whole = |what: String| SchemaError { what, at: String::new() };
        if text.len() > MAX_BYTES {
            return Err(whole(format!("it is larger than {} KiB", MAX_BYTES >> 10)));
        }
        let json: Value = serde_json::from_str(text)
            .map_err(|error| whole(format!("it is not JSON, {}", clean(&error.to_string(), 200))))?;
        read::Reader::new(&json).read()
    }

    /// Validates `config` against the schema.
    ///
    /// # Errors
    /// All violations, or that validation takes too many steps.
    pub(crate) fn check(&self, config: &Value) -> Result<(), ConfigError> {
        let violations = check::Check::new(self).whole(config)?;
        if violations.is_empty() { Ok(()) } else { Err(ConfigError::Refused(violations)) }
    }
}
