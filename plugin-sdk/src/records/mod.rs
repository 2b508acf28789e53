//! The accounting records that messages carry: read, checked and written as their consumer reads them.
//!
//! The consumer is the loader of the central accounting database (APEL's `dbloader`, in Python 3 on a server whose clock
//! runs on UTC). A check here gives the verdict that loader would give, on any bytes; where it would crash, the message
//! is invalid. Every format's module has the same three functions:
//!
//! | function | gives |
//! |---|---|
//! | `check(payload, &Rules)` | all [`Finding`]s; the message is invalid if and only if one of them is an error |
//! | `parse(payload)` | the typed records with their places, or the findings that make it impossible |
//! | `write(&message)` | the text, fields in the order of the consumer's own writer |
//!
//! # Where to start
//! [`check()`] recognises a message of any format. [`text`] holds the formats of `Key: value` lines (jobs, summaries, sync,
//! cloud); [`star`] and [`car`] are the XML formats, [`accelerator`], [`accelerator_summary`] and [`public_ip`] the JSON
//! ones; [`xml`] and [`json`] read their text, [`iso8601`] times and durations, [`python`] numbers, lines and nulls.
//! [`shape`] tells what a message of any format holds, cuts it at its records and edits fields in place; [`wire`] says
//! how large a message will be once it is sealed.
//!
//! # Limits
//! A check reports at most [`Findings::LIMIT`] findings and then one that says how many more there were. Values are
//! quoted up to [`Findings::QUOTED`] bytes, and only in a finding's `value`: texts are free of personal data.

pub mod accelerator;
pub mod accelerator_summary;
pub mod car;
mod findings;
pub mod iso8601;
pub mod json;
pub mod public_ip;
pub mod python;
mod recognise;
mod report;
mod setting;
pub mod shape;
pub mod star;
pub mod text;
pub mod usage_json;
pub mod wire;
mod words;
pub mod xml;

pub use findings::Findings;
pub(crate) use findings::{listed, quoted};
pub use recognise::{check_json, check_xml};
pub use setting::{Setting, answer};

use crate::Finding;

/// What a check needs to know besides the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// "Now", seconds since 1970-01-01T00:00:00Z: the context's `received-at`.
    pub now: i64,
    /// Also what the formats' documents and the consumer's database demand and its loader does not check.
    pub strict: bool,
}

/// Checks a message of any format, which is recognised as the consumer recognises it: by how its stripped text begins.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    match shape::Form::of(payload) {
        shape::Form::Text => text::check(payload, rules),
        shape::Form::Json => check_json(payload, rules),
        shape::Form::Xml => check_xml(payload, rules),
    }
}

/// The values that an earlier one is equal to, with their places.
fn twins<'v>(values: &'v [std::borrow::Cow<'_, str>]) -> Vec<(usize, &'v str)> {
    // A table of places in `values`, twice as large as they are many, addressed by a hash of the value (FNV-1a).
    let size = (values.len() * 2).next_power_of_two();
    let mut table: Vec<Option<usize>> = vec![None; size];
    let mut twins = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let hash = value.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let mut at = hash as usize % size;
        while let Some(Some(earlier)) = table.get(at).copied() {
            if values.get(earlier) == Some(value) {
                twins.push((index, &**value));
                break;
            }
            at = (at + 1) % size;
        }
        if let Some(slot @ None) = table.get_mut(at) {
            *slot = Some(index);
        }
    }
    twins
}
