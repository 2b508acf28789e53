//! Accelerator records (GPU and the like), in JSON.
//!
//! | field | mandatory | value |
//! |---|---|---|
//! | `MeasurementMonth` | yes | 1 to 12 |
//! | `MeasurementYear` | yes | 2000 to the present year |
//! | `AssociatedRecordType` | yes | `cloud` or `job` |
//! | `AssociatedRecord` | yes | text: for `cloud` the machine's VMUUID |
//! | `GlobalUserName` | | text or null |
//! | `FQAN`, `SiteName` | yes | text |
//! | `Count` | yes | number: shares of an accelerator are fractions |
//! | `Cores`, `ActiveDuration` (s) | | whole number or null |
//! | `AvailableDuration` | yes | whole number, s |
//! | `BenchmarkType` | | text or null |
//! | `Benchmark` | | number or null |
//! | `Type` | yes | `GPU`, `FPGA` or `Other` |
//! | `Model` | | text |
//! | `CloudType`, `CloudComputeService` | | ignored |
//!
//! What is around the records, and how their values are checked, is described in [`super::usage_json`].
//!
//! # Strict
//! As there; and the active time is not longer than the available one.
//!
//! Source: APEL's `message_schemas.py` and `accelerator.py` as proposed in its pull request 459, which its releases do
//! not have yet; EGI's documentation of the GPU record.

use std::borrow::Cow;
use std::ops::Range;

use super::json::Document;
use super::usage_json::field;
use super::usage_json::{
    self, Between, Choice, Format, Mandatory, Nullable, Number, Optional, Read, Text, Whole, Writer, Year,
};
use super::{Findings, Rules};
use crate::Finding;

/// `Type` of the message.
pub const TYPE: &str = "APEL-accelerator-message";

const FORMAT: Format = Format {
    code: "accelerator",
    kind: TYPE,
    version: "0.1",
    fields: &[
        field("MeasurementMonth", Between(1, 12), Mandatory),
        field("MeasurementYear", Year, Mandatory),
        field("AssociatedRecordType", Choice(&["cloud", "job"]), Mandatory),
        field("AssociatedRecord", Text, Mandatory),
        field("GlobalUserName", Text, Nullable),
        field("FQAN", Text, Mandatory),
        field("SiteName", Text, Mandatory),
        field("Count", Number, Mandatory),
        field("Cores", Whole, Nullable),
        field("ActiveDuration", Whole, Nullable),
        field("AvailableDuration", Whole, Mandatory),
        field("BenchmarkType", Text, Nullable),
        field("Benchmark", Number, Nullable),
        field("Type", Choice(&["GPU", "FPGA", "Other"]), Mandatory),
        field("Model", Text, Optional),
    ],
    ignored: &["CloudType", "CloudComputeService"],
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
    pub measurement_month: i64,
    pub measurement_year: i64,
    pub associated_record_type: Cow<'a, str>,
    pub associated_record: Cow<'a, str>,
    pub global_user_name: Option<Cow<'a, str>>,
    pub fqan: Cow<'a, str>,
    pub site_name: Cow<'a, str>,
    pub count: f64,
    pub cores: Option<i64>,
    pub active_duration: Option<i64>,
    pub available_duration: i64,
    pub benchmark_type: Option<Cow<'a, str>>,
    pub benchmark: Option<f64>,
    pub kind: Cow<'a, str>,
    pub model: Option<Cow<'a, str>>,
}

/// All findings about a message. See [`super`] for whose rules they follow.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    usage_json::document(payload).map_or_else(|findings| findings, |document| check_document(&document, rules))
}

/// All findings about a message that was read.
pub(super) fn check_document(document: &Document<'_>, rules: &Rules) -> Vec<Finding> {
    let mut findings = Findings::new();
    let read = usage_json::each(document, &FORMAT, rules, &mut findings, &mut |record, report| {
        if rules.strict {
            usage_json::active_within_available(&record, report);
        }
    });
    match read {
        Ok(()) => findings.finish(),
        Err(findings) => findings,
    }
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
        measurement_month: from.whole("MeasurementMonth")?,
        measurement_year: from.whole("MeasurementYear")?,
        associated_record_type: from.text("AssociatedRecordType")?,
        associated_record: from.text("AssociatedRecord")?,
        global_user_name: from.text("GlobalUserName"),
        fqan: from.text("FQAN")?,
        site_name: from.text("SiteName")?,
        count: from.number("Count")?,
        cores: from.whole("Cores"),
        active_duration: from.whole("ActiveDuration"),
        available_duration: from.whole("AvailableDuration")?,
        benchmark_type: from.text("BenchmarkType"),
        benchmark: from.number("Benchmark"),
        kind: from.text("Type")?,
        model: from.text("Model"),
    })
}

/// The message as JSON, a record a line.
#[must_use]
pub fn write(message: &Message<'_>) -> String {
    let mut writer = Writer::new(&FORMAT);
    for record in &message.records {
        writer.begin();
        writer.whole("MeasurementMonth", Some(record.measurement_month));
        writer.whole("MeasurementYear", Some(record.measurement_year));
        writer.text("AssociatedRecordType", Some(&record.associated_record_type));
        writer.text("AssociatedRecord", Some(&record.associated_record));
        writer.text("GlobalUserName", record.global_user_name.as_deref());
        writer.text("FQAN", Some(&record.fqan));
        writer.text("SiteName", Some(&record.site_name));
        writer.number("Count", Some(record.count));
        writer.whole("Cores", record.cores);
        writer.whole("ActiveDuration", record.active_duration);
        writer.whole("AvailableDuration", Some(record.available_duration));
        writer.text("BenchmarkType", record.benchmark_type.as_deref());
        writer.number("Benchmark", record.benchmark);
        writer.text("Type", Some(&record.kind));
        writer.text("Model", record.model.as_deref());
        writer.end();
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
