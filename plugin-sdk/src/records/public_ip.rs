//! Public IP records, in JSON: how many addresses a user of a cloud had at one time.
//!
//! | field | mandatory | value |
//! |---|---|---|
//! | `MeasurementTime` | yes | whole number, seconds since 1970 |
//! | `SiteName` | yes | text |
//! | `CloudComputeService` | | text or null |
//! | `CloudType`, `LocalUser`, `LocalGroup`, `GlobalUserName`, `FQAN` | yes | text |
//! | `IPVersion` | yes | 4 or 6 |
//! | `IPCount` | yes | whole number |
//!
//! What is around the records, and how their values are checked, is described in [`super::usage_json`].
//!
//! # Whose rules
//! The consumer's loader does not know these messages: it rejects them as of an unsupported type. They are read by a
//! service of their own, whose code is not public. [`check`] therefore follows the documented format and, unlike the
//! other formats' checks, is no verdict of the loader.
//!
//! Source: EGI's documentation of the public IP record; APEL's `ip_record.py`; cASO.

use std::borrow::Cow;
use std::ops::Range;

use super::usage_json::field;
use super::usage_json::{self, Between, Format, Mandatory, Nullable, Read, Text, Whole, Writer};
use super::{Findings, Rules};
use crate::Finding;

/// `Type` of the message.
pub const TYPE: &str = "APEL Public IP message";

const FORMAT: Format = Format {
    code: "public-ip",
    kind: TYPE,
    version: "0.2",
    fields: &[
        field("MeasurementTime", Between(0, 253_402_300_799), Mandatory),
        field("SiteName", Text, Mandatory),
        field("CloudComputeService", Text, Nullable),
        field("CloudType", Text, Mandatory),
        field("LocalUser", Text, Mandatory),
        field("LocalGroup", Text, Mandatory),
        field("GlobalUserName", Text, Mandatory),
        field("FQAN", Text, Mandatory),
        field("IPVersion", Between(4, 6), Mandatory),
        field("IPCount", Whole, Mandatory),
    ],
    ignored: &[],
};

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// In the order of the message.
    pub records: Vec<Record<'a>>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the module's table describes them")]
pub struct Record<'a> {
    /// Its position in the payload, in bytes.
    pub place: Range<usize>,
    pub measurement_time: i64,
    pub site_name: Cow<'a, str>,
    pub cloud_compute_service: Option<Cow<'a, str>>,
    pub cloud_type: Cow<'a, str>,
    pub local_user: Cow<'a, str>,
    pub local_group: Cow<'a, str>,
    pub global_user_name: Cow<'a, str>,
    pub fqan: Cow<'a, str>,
    pub ip_version: i64,
    pub ip_count: i64,
}

/// All findings about a message.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    let document = match usage_json::document(payload) {
        Ok(document) => document,
        Err(findings) => return findings,
    };
    let mut findings = Findings::new();
    let read = usage_json::each(&document, &FORMAT, rules, &mut findings, &mut |record, report| {
        if record.whole("IPVersion") == Some(5) {
            report.error("out-of-range", "IPVersion", Some("5"), "is neither 4 nor 6");
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
/// Why they are unreadable, with the findings of [`check`].
pub fn parse(payload: &[u8]) -> Result<Message<'_>, Vec<Finding>> {
    let records = usage_json::all(payload, &FORMAT, read)?;
    Ok(Message { records })
}

fn read<'a>(from: &Read<'_, 'a>) -> Option<Record<'a>> {
    Some(Record {
        place: from.place.clone(),
        measurement_time: from.whole("MeasurementTime")?,
        site_name: from.text("SiteName")?,
        cloud_compute_service: from.text("CloudComputeService"),
        cloud_type: from.text("CloudType")?,
        local_user: from.text("LocalUser")?,
        local_group: from.text("LocalGroup")?,
        global_user_name: from.text("GlobalUserName")?,
        fqan: from.text("FQAN")?,
        ip_version: from.whole("IPVersion")?,
        ip_count: from.whole("IPCount")?,
    })
}

/// The message as JSON, a record a line.
#[must_use]
pub fn write(message: &Message<'_>) -> String {
    let mut writer = Writer::new(&FORMAT);
    for record in &message.records {
        writer.begin();
        writer.whole("MeasurementTime", Some(record.measurement_time));
        writer.text("SiteName", Some(&record.site_name));
        writer.text("CloudComputeService", record.cloud_compute_service.as_deref());
        writer.text("CloudType", Some(&record.cloud_type));
        writer.text("LocalUser", Some(&record.local_user));
        writer.text("LocalGroup", Some(&record.local_group));
        writer.text("GlobalUserName", Some(&record.global_user_name));
        writer.text("FQAN", Some(&record.fqan));
        writer.whole("IPVersion", Some(record.ip_version));
        writer.whole("IPCount", Some(record.ip_count));
        writer.end();
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
