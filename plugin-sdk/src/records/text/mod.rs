//! Records of `Key: value` lines: jobs, summaries, sync and cloud records.
//!
//! # Format
//! A message is a header line and records; records are separated by the two characters `%%` wherever they stand, so
//! that no value can contain them. A record is lines `Key: value`, split at the first colon, white space around both
//! ignored. Blank chunks between separators are no records, blank lines within a record make the message invalid. Keys
//! are case-sensitive; of a key that comes twice the last value counts, and every one must be good. Empty, `none` and
//! `null` in any case are no value. The message as a whole is stripped first, and must be UTF-8.
//!
//! The header is a type, a colon and a version; white space after them is not part of it. Jobs, sync and cloud records
//! are known by the type alone, whatever the version; summaries by the whole line, which has one space in it:
//!
//! | header | module |
//! |---|---|
//! | `APEL-individual-job-message: v0.3`, `v0.4` | [`job`] |
//! | `APEL-summary-job-message: v0.2`, `v0.4` | [`summary`] |
//! | `APEL-summary-job-message: v0.3`, `APEL-normalised-summary-message: v0.4` | [`normalised`] |
//! | `APEL-sync-message: v0.1` | [`sync`] |
//! | `APEL-cloud-message: v0.2`, `v0.4` | [`cloud`] |
//! | `APEL-cloud-summary-message: v0.4` | [`cloud_summary`] |
//!
//! Version `v0.4` of jobs and summaries has tables of benchmarks, see [`Benchmarked`].
//!
//! # Where to start
//! [`header`] recognises a message; `scan` reads its records by a format's table of fields; each format's module has
//! its table and the checks that go beyond one field.
//!
//! Source: the consumer's loader, and the EGI accounting documentation for what the strict rules add.

pub mod cloud;
pub mod cloud_summary;
mod header;
pub mod job;
mod levels;
mod month;
pub mod normalised;
mod record;
mod report;
mod scan;
mod strict;
pub mod summary;
pub mod sync;
mod table;
mod write;

pub(super) use header::version;
pub use header::{Format, Header, decode, header};
pub use levels::Benchmarked;
pub use record::{Message, Placed};

use super::{Rules, listed};
use crate::Finding;

/// Checks a message of any text format, by its header.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    check_as(payload, &[], rules)
}

/// Checks a message that must be of one of `formats`; of any, where none is named.
#[must_use]
pub fn check_as(payload: &[u8], formats: &[Format], rules: &Rules) -> Vec<Finding> {
    let header = match decode(payload).and_then(header) {
        Ok(header) => header,
        Err(findings) => return findings,
    };
    if formats.is_empty() || formats.contains(&header.format) {
        return scan::check(&header, header.format.table(), rules);
    }
    vec![wrong_type(header.format, formats)]
}

fn wrong_type(found: Format, expected: &[Format]) -> Finding {
    let expected: Vec<&str> = expected.iter().map(|format| format.name()).collect();
    Finding::error("message.wrong-type", format!("is a {}, not a {}", found.name(), listed(&expected, " or a ")))
}

#[cfg(test)]
mod tests;
