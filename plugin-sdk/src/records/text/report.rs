//! How a check says what is wrong with a record.

use std::fmt::Display;

use super::table::{Field, Table};
use crate::records::Findings;
use crate::records::quoted;
use crate::{Finding, Severity};

/// The findings of a message, while one of its records is looked at.
pub(super) struct Report<'f> {
    pub(super) findings: &'f mut Findings,
    pub(super) table: &'static Table,
    /// The record, from 1.
    pub(super) record: u32,
}

impl Report<'_> {
    /// A field that makes the message invalid. `rule` goes into the code, `text` says what must be.
    pub(super) fn error(&mut self, rule: &str, field: &str, value: impl Display, text: &str) {
        self.add(Severity::Error, rule, Some(field), Some(&value), text);
    }

    /// A field that the consumer puts up with.
    pub(super) fn warning(&mut self, rule: &str, field: &str, value: impl Display, text: &str) {
        self.add(Severity::Warning, rule, Some(field), Some(&value), text);
    }

    /// A field that is not there and ought to be.
    pub(super) fn missing(&mut self, rule: &str, field: &Field, text: &str) {
        self.add(Severity::Error, rule, Some(field.name), None, text);
    }

    /// A line that is no field.
    pub(super) fn bad_line(&mut self, line: &str, text: &str) {
        self.add(Severity::Error, "bad-line", None, Some(&line), text);
    }

    fn add(&mut self, severity: Severity, rule: &str, field: Option<&str>, value: Option<&dyn Display>, text: &str) {
        let Self { findings, table, record } = self;
        findings.add(severity, || Finding {
            record_number: Some(*record),
            field: field.map(|name| quoted(name).to_owned()),
            value: value.map(|value| quoted(&value.to_string()).to_owned()),
            ..Finding::error(&format!("{}.{rule}", table.code), text)
        });
    }
}
