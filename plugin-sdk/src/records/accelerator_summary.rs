//! Summaries of accelerator records, in JSON.
//!
//! | field | mandatory | value |
//! |---|---|---|
//! | `Month` | yes | 1 to 12 |
//! | `Year` | yes | 2000 to the present year |
//! | `AssociatedRecordType` | yes | `cloud` or `job` |
//! | `GlobalUserName` | | text or null |
//! | `SiteName` | yes | text |
//! | `Count` | yes | number |
//! | `Cores` | | whole number or null |
//! | `AvailableDuration` | yes | whole number, s |
//! | `ActiveDuration` | | whole number, s, or null |
//! | `BenchmarkType` | | text or null |
//! | `Benchmark` | | number or null |
//! | `Type` | yes | `Accelerator`, `FPGA` or `Other` |
//! | `Model` | | text |
//! | `NumberOfRecords` | yes | 1 or more |
//!
//! What is around the records, and how their values are checked, is described in [`super::usage_json`].
//!
//! # No message is accepted
//! The consumer chooses the reader of these messages by their type, [`TYPE`], but the schema it then holds them against
//! asks for the type of single records: whatever such a message contains, it is rejected. So [`check`] finds every one
//! invalid, as the consumer does, and lists beside that what would be wrong without this. [`parse`] and [`write()`] are
//! as for every format.
//!
//! Source: APEL's `message_schemas.py`, `record_factory.py` and `accelerator_summary.py` as proposed in its pull
//! request 459, which its releases do not have yet.

use std::borrow::Cow;
use std::ops::Range;

use super::json::Document;
use super::usage_json::field;
use super::usage_json::{
    self, Between, Choice, Format, Mandatory, Nullable, Number, Optional, Read, Text, Whole, Writer, Year,
};
use super::{Findings, Rules};
use crate::{Finding, Severity};

/// `Type` of the message.
pub const TYPE: &str = "APEL-accelerator-summary-message";

const FORMAT: Format = Format {
    code: "accelerator-summary",
    kind: TYPE,
    version: "0.1",
    fields: &[
        field("Month", Between(1, 12), Mandatory),
        field("Year", Year, Mandatory),
        field("AssociatedRecordType", Choice(&["cloud", "job"]), Mandatory),
        field("GlobalUserName", Text, Nullable),
        field("SiteName", Text, Mandatory),
        field("Count", Number, Mandatory),
        field("Cores", Whole, Nullable),
        field("AvailableDuration", Whole, Mandatory),
        field("ActiveDuration", Whole, Nullable),
        field("BenchmarkType", Text, Nullable),
        field("Benchmark", Number, Nullable),
        field("Type", Choice(&["Accelerator", "FPGA", "Other"]), Mandatory),
        field("Model", Text, Optional),
        field("NumberOfRecords", Between(1, i64::MAX), Mandatory),
    ],
    ignored: &[],
};

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// In the order of the message.
    pub records: Vec<Record<'a>>,
}

/// One record. Whole numbers beyond 64 bits are given as the nearest end.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the module's table describes them")]
pub struct Record<'a> {
    /// Its position in the payload, in bytes.
    pub place: Range<usize>,
    pub month: i64,
    pub year: i64,
    pub associated_record_type: Cow<'a, str>,
    pub global_user_name: Option<Cow<'a, str>>,
    pub site_name: Cow<'a, str>,
    pub count: f64,
    pub cores: Option<i64>,
    pub available_duration: i64,
    pub active_duration: Option<i64>,
    pub benchmark_type: Option<Cow<'a, str>>,
    pub benchmark: Option<f64>,
    pub kind: Cow<'a, str>,
    pub model: Option<Cow<'a, str>>,
    pub number_of_records: i64,
}

/// All findings about a message, at least one: see the module's page.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    usage_json::document(payload).map_or_else(|findings| findings, |document| check_document(&document, rules))
}

/// All findings about a message that was read.
pub(super) fn check_document(document: &Document<'_>, rules: &Rules) -> Vec<Finding> {
    let mut findings = Findings::new();
    let text = "the consumer's schema for messages of this type asks for another type, so it rejects every one of them";
    findings.add(Severity::Error, || Finding::error("accelerator-summary.not-accepted", text).in_field("Type", TYPE));
    let read = usage_json::each(document, &FORMAT, rules, &mut findings, &mut |record, report| {
        if rules.strict {
            usage_json::active_within_available(&record, report);
        }
    });
    let mut all = findings.finish();
    all.extend(read.err().unwrap_or_default());
    all
}

/// The records of a message.
///
/// # Errors
/// Why they are unreadable, with the findings of [`check`]; a year in the future does not.
pub fn parse(payload: &[u8]) -> Result<Message<'_>, Vec<Finding>> {
    let records = usage_json::all(payload, &FORMAT, read)?;
    Ok(Message { records })
}

fn read<'a>(from: &Read<'_, 'a>) -> Option<Record<'a>> {
    Some(Record {
        place: from.place.clone(),
        month: from.whole("Month")?,
        year: from.whole("Year")?,
        associated_record_type: from.text("AssociatedRecordType")?,
        global_user_name: from.text("GlobalUserName"),
        site_name: from.text("SiteName")?,
        count: from.number("Count")?,
        cores: from.whole("Cores"),
        available_duration: from.whole("AvailableDuration")?,
        active_duration: from.whole("ActiveDuration"),
        benchmark_type: from.text("BenchmarkType"),
        benchmark: from.number("Benchmark"),
        kind: from.text("Type")?,
        model: from.text("Model"),
        number_of_records: from.whole("NumberOfRecords")?,
    })
}

/// The message as JSON, a record a line.
#[must_use]
pub fn write(message: &Message<'_>) -> String {
    let mut writer = Writer::new(&FORMAT);
    for record in &message.records {
        writer.begin();
        writer.whole("Month", Some(record.month));
        writer.whole("Year", Some(record.year));
        writer.text("AssociatedRecordType", Some(&record.associated_record_type));
        writer.text("GlobalUserName", record.global_user_name.as_deref());
        writer.text("SiteName", Some(&record.site_name));
        writer.number("Count", Some(record.count));
        writer.whole("Cores", record.cores);
        writer.whole("AvailableDuration", Some(record.available_duration));
        writer.whole("ActiveDuration", record.active_duration);
        writer.text("BenchmarkType", record.benchmark_type.as_deref());
        writer.number("Benchmark", record.benchmark);
        writer.text("Type", Some(&record.kind));
        writer.text("Model", record.model.as_deref());
        writer.whole("NumberOfRecords", Some(record.number_of_records));
        writer.end();
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
