//! The shape of a message: its kind, where its records stand, and how to make a message of some of them.
//!
//! Start with [`Kind::of`] and [`Shape::cut`]; [`edit`] changes fields in place. Whether the records are *right* is not
//! asked here: a record with a month 13 has the same shape as a good one.
//!
//! # Shape
//! Every format comes down to the same four things, which together are the message, byte for byte:
//!
//! | format | head | records | between two of them | tail |
//! |---|---|---|---|---|
//! | text | header line | text between `%%`, without white space around it | the separator `%%` and line ends | what follows the last one |
//! | JSON | up to the first element of `UsageRecords` | the elements | the comma | `]` and the rest |
//! | XML | prolog and the root's start tag | the record elements | white space, comments | the root's end tag |
//!
//! A message of some of the records is the head, those records, what stood behind each of them but the last, and the
//! tail: a message whose last record had no `%%` behind it gives messages whose last record has none.
//!
//! # Limits
//! A message of some thousand records is cut in a few milliseconds. XML must be UTF-8 without a document type
//! declaration.

mod edit;
mod json;
mod text;
mod xml;

use std::ops::Range;

pub use edit::{Edited, Field, Place, Record, edit};
pub(super) use json::{kind_of as json_kind, records as json_records};
pub(super) use xml::format as xml_format;

use super::listed;
use crate::Finding;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `APEL-individual-job-message`.
    Job,
    /// `APEL-summary-job-message`, any version but v0.3.
    Summary,
    /// `APEL-normalised-summary-message`, and `APEL-summary-job-message: v0.3`.
    NormalisedSummary,
    /// `APEL-sync-message`.
    Sync,
    /// `APEL-cloud-message`.
    Cloud,
    /// `APEL-cloud-summary-message`.
    CloudSummary,
    /// JSON of type `APEL-accelerator-message`.
    Accelerator,
    /// JSON of type `APEL-accelerator-summary-message`.
    AcceleratorSummary,
    /// JSON of type `APEL Public IP message`.
    PublicIp,
    /// Storage accounting records, StAR (GFD.201).
    Storage,
    /// Compute accounting records, CAR.
    Usage,
    /// Aggregated compute records, AUR.
    AggregatedUsage,
    /// None of these.
    Unknown,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Job,
        Self::Summary,
        Self::NormalisedSummary,
        Self::Sync,
        Self::Cloud,
        Self::CloudSummary,
        Self::Accelerator,
        Self::AcceleratorSummary,
        Self::PublicIp,
        Self::Storage,
        Self::Usage,
        Self::AggregatedUsage,
        Self::Unknown,
    ];

    /// The kind of a message, from its header line, its `Type` or its root element alone.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        let payload = from_first(payload);
        match Form::of(payload) {
            Form::Text => text::kind(payload),
            Form::Json => json::kind(payload),
            Form::Xml => xml::kind(payload),
        }
    }

    /// Its name, in kebab-case, as configurations write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Summary => "summary",
            Self::NormalisedSummary => "normalised-summary",
            Self::Sync => "sync",
            Self::Cloud => "cloud",
            Self::CloudSummary => "cloud-summary",
            Self::Accelerator => "accelerator",
            Self::AcceleratorSummary => "accelerator-summary",
            Self::PublicIp => "public-ip",
            Self::Storage => "storage",
            Self::Usage => "usage",
            Self::AggregatedUsage => "aggregated-usage",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The names of all kinds, for an error message.
    #[must_use]
    pub fn names() -> String {
        listed(&Self::ALL.map(Self::name), ", ")
    }
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A header line and `Key: value` lines.
    Text,
    /// Begins with `{`.
    Json,
    /// Begins with `<`.
    Xml,
}

impl Form {
    /// The form of a message, by its first character, as the loader distinguishes them.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        match from_first(payload).first() {
            Some(b'{') => Self::Json,
            Some(b'<') => Self::Xml,
            _ => Self::Text,
        }
    }
}

/// A message cut at its records.
#[derive(Clone, Debug)]
pub struct Shape<'a> {
    /// Without white space before it.
    payload: &'a [u8],
    form: Form,
    records: Vec<Range<usize>>,
}

impl<'a> Shape<'a> {
    /// Cuts a message of any kind, also of a kind we do not know where its form is plain: a text header
    /// `APEL-…-message`, a JSON object with `UsageRecords`.
    ///
    /// # Errors
    /// Findings that say why it cannot be cut.
    pub fn cut(payload: &'a [u8]) -> Result<Self, Vec<Finding>> {
        let payload = from_first(payload);
        match Form::of(payload) {
            Form::Text => text::cut(payload),
            Form::Json => json::cut(payload),
            Form::Xml => xml::cut(payload),
        }
    }

    /// How it is written.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The number of its records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Where the records stand in the message without white space before it, in order.
    #[must_use]
    fn spans(&self) -> &[Range<usize>] {
        &self.records
    }

    /// The records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + '_ {
        self.records.iter().map(|span| self.slice(span.clone()))
    }

    /// One record, counted from 0; empty if there is none.
    #[must_use]
    pub fn record(&self, index: usize) -> &'a [u8] {
        self.records.get(index).map_or(&[], |span| self.slice(span.clone()))
    }

    /// The text before the first record.
    #[must_use]
    pub fn head(&self) -> &'a [u8] {
        self.slice(0..self.records.first().map_or(self.payload.len(), |first| first.start))
    }

    /// The text between a record and the next one; empty for the last.
    #[must_use]
    pub fn gap(&self, index: usize) -> &'a [u8] {
        match (self.records.get(index), self.records.get(index + 1)) {
            (Some(one), Some(next)) => self.slice(one.end..next.start),
            _ => &[],
        }
    }

    /// The text after the last record.
    #[must_use]
    pub fn tail(&self) -> &'a [u8] {
        self.records.last().map_or(&[], |last| self.slice(last.end..self.payload.len()))
    }

    /// A message of some of the records, counted from 0; of all of them it is this message without white space before
    /// it.
    #[must_use]
    pub fn build(&self, indices: &[usize]) -> Vec<u8> {
        let mut built = self.head().to_vec();
        let mut before: Option<usize> = None;
        for &index in indices {
            if let Some(before) = before {
                built.extend_from_slice(self.separator(before));
            }
            built.extend_from_slice(self.record(index));
            before = Some(index);
        }
        built.extend_from_slice(self.tail());
        built
    }

    /// What separates a record from one that follows it in a message of some of them.
    #[must_use]
    pub fn separator(&self, index: usize) -> &'a [u8] {
        match self.gap(index) {
            // The last record has none of its own; only an order other than the message's needs it.
            [] => match self.form {
                Form::Text => b"\n%%\n",
                Form::Json => b",",
                Form::Xml => b"",
            },
            gap => gap,
        }
    }

    fn slice(&self, span: Range<usize>) -> &'a [u8] {
        self.payload.get(span).unwrap_or_default()
    }
}

/// A message without white space before it, as the loader reads it.
fn from_first(payload: &[u8]) -> &[u8] {
    payload.get(text::trim_start(payload, 0..payload.len()).start..).unwrap_or_default()
}

/// The findings about a message that cannot be cut.
fn uncuttable(text: impl Into<String>) -> Vec<Finding> {
    vec![Finding::error("shape.not-cut", text)]
}

#[cfg(test)]
mod tests;
