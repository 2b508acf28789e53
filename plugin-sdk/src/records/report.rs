//! Findings about one record.

use super::{Findings, python, quoted};
use crate::{Finding, Severity};

/// The finding that a rule of a format is broken. Field and value are quoted as far as a finding quotes.
#[cold]
#[inline(never)]
pub(crate) fn broken(
    format: &str,
    rule: &str,
    record_number: Option<u32>,
    field: Option<&str>,
    value: Option<&str>,
    text: &str,
) -> Finding {
    let quote = |text: &str| quoted(text).to_owned();
    let (field, value) = (field.map(quote), value.map(quote));
    Finding { record_number, field, value, ..Finding::error(&format!("{format}.{rule}"), text) }
}

/// Collects a format's findings about one record.
pub(crate) struct Report<'f> {
    findings: &'f mut Findings,
    /// What codes begin with.
    format: &'static str,
    /// From 1.
    number: u32,
    good: bool,
}

impl<'f> Report<'f> {
    /// For the record at `index`, counted from 0.
    pub(crate) fn new(findings: &'f mut Findings, format: &'static str, index: usize) -> Self {
        Self { findings, format, number: u32::try_from(index + 1).unwrap_or(u32::MAX), good: true }
    }

    /// Whether the record broke no rule so far.
    pub(crate) fn is_good(&self) -> bool {
        self.good
    }

    /// The record breaks a rule; `field` is its name or XPath.
    pub(crate) fn error(&mut self, rule: &str, field: &str, value: Option<&str>, text: &str) {
        self.good = false;
        let (format, number) = (self.format, self.number);
        self.findings.add(Severity::Error, || broken(format, rule, Some(number), Some(field), value, text));
    }

    /// For strict checks: a text that the consumer's database keeps `limit` characters of.
    pub(crate) fn length(&mut self, field: &str, value: Option<&str>, limit: usize) {
        if let Some(value) = value.filter(|value| python::len(value) > limit) {
            let text = format!("is longer than the {limit} characters that the database keeps");
            self.error("too-long", field, Some(value), &text);
        }
    }

    /// For strict checks: a number from 0 to what a column holds.
    pub(crate) fn range(&mut self, field: &str, value: Option<i64>, most: i64) {
        if let Some(value) = value.filter(|value| !(0..=most).contains(value)) {
            let text = format!("is not between 0 and {most}");
            self.error("out-of-range", field, Some(&value.to_string()), &text);
        }
    }
}
