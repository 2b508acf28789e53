//! How a check says what is wrong with a record.

use std::fmt::Display;

use super::table::{Field, Table};
use crate::Severity;
use crate::records::Findings;
use crate::records::report::broken;

/// The findings of a message, while one of its records is looked at.
pub(super) struct Report<'f> {
    pub(super) findings: &'f mut Findings,
    pub(super) table: &'static Table,
    /// The record, from 1.
    pub(super) record: u32,
}

impl Report<'_> {
    /// A field that makes the message invalid. `rule` goes into the code, `text` says what must be.
    #[cold]
    #[inline(never)]
    pub(super) fn error(&mut self, rule: &str, field: &str, value: &dyn Display, text: &str) {
        self.add(Severity::Error, rule, Some(field), Some(value), text);
    }

    /// A field that the consumer puts up with.
    #[cold]
    #[inline(never)]
    pub(super) fn warning(&mut self, rule: &str, field: &str, value: &dyn Display, text: &str) {
        self.add(Severity::Warning, rule, Some(field), Some(value), text);
    }

    /// A mandatory field that is missing.
    #[cold]
    #[inline(never)]
    pub(super) fn missing(&mut self, rule: &str, field: &Field, text: &str) {
        self.add(Severity::Error, rule, Some(field.name), None, text);
    }

    /// A line that is no field.
    #[cold]
    #[inline(never)]
    pub(super) fn bad_line(&mut self, line: &str, text: &str) {
        self.add(Severity::Error, "bad-line", None, Some(&line), text);
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, severity: Severity, rule: &str, field: Option<&str>, value: Option<&dyn Display>, text: &str) {
        let Self { findings, table, record } = self;
        findings.add(severity, || {
            broken(table.code, rule, Some(*record), field, value.map(|value| value.to_string()).as_deref(), text)
        });
    }
}
