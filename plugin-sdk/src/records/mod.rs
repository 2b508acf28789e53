//! The accounting records that messages carry: read, checked and written as their consumer reads them.
//!
//! The consumer is the loader of the central accounting database (APEL's `dbloader`, in Python 3 on a server whose
//! clock runs on UTC). A check here gives the verdict that loader would give, on any bytes; where it would crash, the
//! message is invalid. Every format's module has the same three functions:
//!
//! | function | gives |
//! |---|---|
//! | `check(payload, &Rules)` | all [`Finding`]s; the message is invalid if and only if one of them is an error |
//! | `parse(payload)` | the typed records with their places, or the findings that make it impossible |
//! | `write(&message)` | the text, fields in the order of the consumer's own writer |
//!
//! # Where to start
//! [`check()`] recognises a message of any format. [`text`] has the formats of `Key: value` lines (jobs, summaries,
//! sync, cloud); [`star`] and [`car`] are the XML formats, [`accelerator`], [`accelerator_summary`] and [`public_ip`]
//! the JSON ones; [`xml`] and [`json`] read their text, [`iso8601`] times and durations, [`python`] numbers, lines and
//! nulls. [`shape`] recognises the kind of a message, splits it into its records and edits fields in place; [`wire`]
//! computes the size of a message on the wire. [`count()`] gives the number of records of each site.
//!
//! # Limits
//! A check reports at most [`Findings::LIMIT`] findings and then one that says how many more there were. Values are
//! quoted up to [`Findings::QUOTED`] bytes, and only in a finding's `value`: texts are free of personal data.

pub mod accelerator;
pub mod accelerator_summary;
pub mod car;
mod count;
mod findings;
pub mod iso8601;
pub mod json;
pub mod public_ip;
pub mod python;
mod recognise;
mod report;
#[cfg(feature = "guest")]
mod setting;
pub mod shape;
pub mod star;
pub mod text;
pub mod usage_json;
#[cfg(feature = "guest")]
pub mod wire;
mod words;
pub mod xml;

use std::borrow::Cow;
use std::collections::BinaryHeap;

pub use count::{Count, MOST_SITES, count};
pub use findings::Findings;
pub(crate) use findings::{listed, quoted};
pub use recognise::{check_json, check_xml};
#[cfg(feature = "guest")]
pub use setting::{AllTypes, Setting, answer};

use crate::Finding;

/// What a check needs to know besides the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// "Now", seconds since 1970-01-01T00:00:00Z: the context's `received-at`.
    pub now: i64,
    /// Also what the formats' documents and the consumer's database demand and its loader does not check.
    pub strict: bool,
}

/// Code of the finding that a message is of no type that the consumer recognises; the finding's value is the type that
/// was found: a header line, a JSON `Type`, or the namespace of an XML root element.
///
/// A message whose type cannot be read, such as malformed JSON, has a finding of another code, and so does one of a
/// type that the consumer recognises and does not support.
pub const TYPE_NOT_RECOGNISED: &str = "message.type-not-recognised";

/// What [`TYPE_NOT_RECOGNISED`] ends with.
const NOT_RECOGNISED: &str = "type-not-recognised";

/// Checks a message of any format, which is recognised as the consumer recognises it: by how its stripped text begins.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    match shape::Form::of(payload) {
        shape::Form::Text => text::check(payload, rules),
        shape::Form::Json => check_json(payload, rules),
        shape::Form::Xml => check_xml(payload, rules),
    }
}

/// For each value whether an earlier one is equal to it.
fn repeated(values: &[Cow<'_, str>]) -> Vec<bool> {
    // Put in order and not into a table of hashes: the author of a message could choose values that share a hash, and a
    // hundred thousand of them would take their square of steps. Of equal values the first comes out last.
    let mut ordered = BinaryHeap::from_iter(values.iter().enumerate().map(|(index, value)| (&**value, index)));
    let mut repeated = vec![false; values.len()];
    while let Some((value, index)) = ordered.pop() {
        if let Some(at) = repeated.get_mut(index) {
            *at = ordered.peek().is_some_and(|(next, _)| *next == value);
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_first_of_equal_values_are_repeated() {
        let values = ["b", "a", "b", "", "c", "b", "a", ""].map(Cow::Borrowed);
        assert_eq!(repeated(&values), [false, false, true, false, false, true, true, true]);
        assert_eq!(repeated(&[]), [false; 0]);
    }

    #[test]
    fn values_that_share_a_hash_take_no_longer() {
        // With the same low bits of their FNV-1a hash, which a table of hashes would put into one place.
        let hash = |text: &str| {
            text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
        };
        let shared = (0_u32..).map(|number| format!("{number:x}")).filter(|text| hash(text) & 0xff == 0);
        let values: Vec<Cow<'_, str>> = shared.take(60_000).map(Cow::Owned).collect();
        assert!(!repeated(&values).contains(&true));
    }
}
