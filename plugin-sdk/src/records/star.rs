//! Storage accounting records: StAR, GFD.201, in XML.
//!
//! A message is `sr:StorageUsageRecords` around any number of `sr:StorageUsageRecord`, or one of these alone, in the
//! namespace [`NAMESPACE`], whatever its prefix. Attributes are in that namespace too: without a prefix they are
//! not seen.
//!
//! | element or attribute | mandatory | value |
//! |---|---|---|
//! | `RecordIdentity/@recordId` | yes | unique: the consumer's key |
//! | `RecordIdentity/@createTime` | yes | time |
//! | `StorageSystem` | yes | text |
//! | `Site`, `StorageShare`, `StorageMedia` (`disk` or `tape`), `StorageClass` | | text |
//! | `FileCount` | | whole number |
//! | `DirectoryPath` | | text |
//! | `SubjectIdentity/` `LocalUser`, `LocalGroup`, `UserIdentity`, `Group` | | text |
//! | `SubjectIdentity/GroupAttribute/@attributeType` | | `subgroup`, `role` or others |
//! | `StartTime`, `EndTime` | yes | time |
//! | `ResourceCapacityUsed` | yes | whole number, bytes |
//! | `LogicalCapacityUsed`, `ResourceCapacityAllocated` | | whole number, bytes |
//!
//! Times are ISO 8601, UTC where no zone is given ([`super::iso8601`]). The order of elements does not matter, nor does
//! how they are nested; of several with one name the first counts, and unknown ones are skipped. A value of `none` or
//! `null` in any case is no value. The consumer compares no values: an end before its start is taken.
//!
//! # Strict
//! A period ends no earlier than it starts; `StorageMedia` is `disk` or `tape`; numbers are not negative and fit 63
//! bits; texts are at most 255 characters; a group attribute has a type and a value; no record identity occurs twice.
//!
//! Source: GFD.201; APEL's `star_parser.py` and `storage.py`.

use std::borrow::Cow;
use std::ops::Range;

use super::iso8601;
use super::report::Report;
use super::xml::fields::Content::{Integer, Text, Time};
use super::xml::fields::Need::{Mandatory, Optional};
use super::xml::fields::{Fields, Table, Writer, attribute, line};
use super::xml::{self, Document};
use super::{Findings, Rules, python, recognise};
use crate::{Finding, Severity};

/// The namespace of elements and attributes.
pub const NAMESPACE: &str = "http://eu-emi.eu/namespaces/2011/02/storagerecord";

pub(super) const RECORD: &str = "StorageUsageRecord";

/// What fits 63 bits.
const MOST: i64 = i64::MAX - 1;

const TABLE: Table = Table {
    namespace: NAMESPACE,
    prefix: "sr",
    lines: &[
        attribute("RecordIdentity", "recordId", Text, Mandatory, 255),
        attribute("RecordIdentity", "createTime", Time, Mandatory, 0),
        line("StorageSystem", Text, Mandatory, 255),
        line("Site", Text, Optional, 255),
        line("StorageShare", Text, Optional, 255),
        line("StorageMedia", Text, Optional, 255),
        line("StorageClass", Text, Optional, 255),
        line("FileCount", Integer, Optional, MOST),
        line("DirectoryPath", Text, Optional, 255),
        line("LocalUser", Text, Optional, 255),
        line("LocalGroup", Text, Optional, 255),
        line("UserIdentity", Text, Optional, 255),
        line("Group", Text, Optional, 255),
        line("StartTime", Time, Mandatory, 0),
        line("EndTime", Time, Mandatory, 0),
        line("ResourceCapacityUsed", Integer, Mandatory, MOST),
        line("LogicalCapacityUsed", Integer, Optional, MOST),
        line("ResourceCapacityAllocated", Integer, Optional, MOST),
    ],
};

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// In the order of the message.
    pub records: Vec<Record<'a>>,
}

/// One record. Fields are named as their elements are; numbers beyond 64 bits are given as the nearest end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the module's table describes them")]
pub struct Record<'a> {
    /// Its position in the payload, in bytes.
    pub place: Range<usize>,
    pub record_id: Cow<'a, str>,
    pub create_time: iso8601::Time,
    pub storage_system: Cow<'a, str>,
    pub site: Option<Cow<'a, str>>,
    pub storage_share: Option<Cow<'a, str>>,
    pub storage_media: Option<Cow<'a, str>>,
    pub storage_class: Option<Cow<'a, str>>,
    pub file_count: Option<i64>,
    pub directory_path: Option<Cow<'a, str>>,
    pub local_user: Option<Cow<'a, str>>,
    pub local_group: Option<Cow<'a, str>>,
    pub user_identity: Option<Cow<'a, str>>,
    pub group: Option<Cow<'a, str>>,
    pub group_attributes: Vec<GroupAttribute<'a>>,
    pub start_time: iso8601::Time,
    pub end_time: iso8601::Time,
    pub resource_capacity_used: i64,
    pub logical_capacity_used: Option<i64>,
    pub resource_capacity_allocated: Option<i64>,
}

/// A `GroupAttribute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupAttribute<'a> {
    /// `attributeType`: `subgroup`, `role` or another; may be empty.
    pub kind: Cow<'a, str>,
    /// May be empty.
    pub value: Cow<'a, str>,
}

/// All findings about a message. See [`super`] for whose rules they follow.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    recognise::xml_of(payload, NAMESPACE).map_or_else(|findings| findings, |document| check_document(&document, rules))
}

/// All findings about a message that was read and has a root in [`NAMESPACE`].
pub(super) fn check_document(document: &Document<'_>, rules: &Rules) -> Vec<Finding> {
    let mut findings = Findings::new();
    let mut identities = Vec::new();
    each(document, &mut findings, |fields, _, report| {
        fields.check(rules.strict, report);
        if rules.strict {
            strict(fields, report);
            identities.push(fields.value("RecordIdentity", "recordId").unwrap_or_default());
        }
    });
    for (index, repeated) in super::repeated(&identities).into_iter().enumerate() {
        let Some(identity) = identities.get(index).filter(|identity| repeated && !identity.is_empty()) else {
            continue;
        };
        let text = "the record identity occurs twice in the message; the consumer keeps the last";
        let field = "sr:RecordIdentity/@sr:recordId";
        Report::new(&mut findings, "star", index).error("duplicate-record", field, Some(identity), text);
    }
    findings.finish()
}

/// The records of a message.
///
/// # Errors
/// Why they are unreadable, with the findings of [`check`].
pub fn parse(payload: &[u8]) -> Result<Message<'_>, Vec<Finding>> {
    let document = recognise::xml_of(payload, NAMESPACE)?;
    let offset = xml::offset(payload);
    let (mut findings, mut records) = (Findings::new(), Vec::new());
    each(&document, &mut findings, |fields, span, report| {
        fields.check(false, report);
        records.extend(read(fields, span.start + offset..span.end + offset));
    });
    if findings.any_error() { Err(findings.finish()) } else { Ok(Message { records }) }
}

/// Goes through the records, with the place of each in the document.
fn each<'a>(
    document: &Document<'a>,
    findings: &mut Findings,
    mut take: impl FnMut(&Fields<'_, 'a>, Range<usize>, &mut Report<'_>),
) {
    let mut count = 0;
    for element in document.elements().filter(|element| element.is(NAMESPACE, RECORD)) {
        take(&Fields::of(element, &TABLE), element.span(), &mut Report::new(findings, "star", count));
        count += 1;
    }
    if count == 0 {
        let text = "the message contains no sr:StorageUsageRecord";
        findings.add(Severity::Error, || Finding::error("star.no-record", text));
    }
}

/// A record; None if it is not good.
fn read<'a>(fields: &Fields<'_, 'a>, place: Range<usize>) -> Option<Record<'a>> {
    let group_attributes = fields.all("GroupAttribute").map(|attribute| GroupAttribute {
        kind: attribute.attribute(NAMESPACE, "attributeType").unwrap_or_default(),
        value: attribute.text(),
    });
    Some(Record {
        place,
        record_id: fields.attribute("RecordIdentity", "recordId")?,
        create_time: fields.time("RecordIdentity", "createTime")?,
        storage_system: fields.text("StorageSystem")?,
        site: fields.text("Site"),
        storage_share: fields.text("StorageShare"),
        storage_media: fields.text("StorageMedia"),
        storage_class: fields.text("StorageClass"),
        file_count: fields.integer("FileCount"),
        directory_path: fields.text("DirectoryPath"),
        local_user: fields.text("LocalUser"),
        local_group: fields.text("LocalGroup"),
        user_identity: fields.text("UserIdentity"),
        group: fields.text("Group"),
        group_attributes: group_attributes.collect(),
        start_time: fields.time("StartTime", "")?,
        end_time: fields.time("EndTime", "")?,
        resource_capacity_used: fields.integer("ResourceCapacityUsed")?,
        logical_capacity_used: fields.integer("LogicalCapacityUsed"),
        resource_capacity_allocated: fields.integer("ResourceCapacityAllocated"),
    })
}

/// What the documents demand and the loader does not check, beyond the table.
fn strict(fields: &Fields<'_, '_>, report: &mut Report<'_>) {
    if let (Some(start), Some(end)) = (fields.time("StartTime", ""), fields.time("EndTime", ""))
        && end < start
    {
        let end = fields.text("EndTime");
        report.error("end-before-start", "sr:EndTime", end.as_deref(), "the period ends before it starts");
    }
    if let Some(media) = fields.text("StorageMedia").filter(|media| !matches!(&**media, "disk" | "tape")) {
        report.error("bad-media", "sr:StorageMedia", Some(&media), "is neither disk nor tape");
    }
    for attribute in fields.all("GroupAttribute") {
        let kind = attribute.attribute(NAMESPACE, "attributeType").unwrap_or_default();
        for (field, value) in [("sr:GroupAttribute/@sr:attributeType", kind), ("sr:GroupAttribute", attribute.text())] {
            if python::is_null(&value) {
                report.error("null-field", field, Some(&value), "a group attribute lacks its type or its value");
            }
            report.length(field, Some(&value), 255);
        }
    }
}

/// The message as XML, elements in the order of the consumer's own writer.
#[must_use]
pub fn write(message: &Message<'_>) -> String {
    let mut writer = Writer::new("sr", "StorageUsageRecords", NAMESPACE);
    for record in &message.records {
        write_record(record, &mut writer);
    }
    writer.finish("StorageUsageRecords")
}

fn write_record(record: &Record<'_>, writer: &mut Writer) {
    writer.open(RECORD);
    let created = record.create_time.to_string();
    let identity = [("createTime", Some(created.as_str())), ("recordId", Some(&*record.record_id))];
    writer.element("RecordIdentity", &identity, None);
    writer.field("StorageSystem", Some(&record.storage_system));
    writer.field("Site", record.site.as_deref());
    writer.field("StorageShare", record.storage_share.as_deref());
    writer.field("StorageMedia", record.storage_media.as_deref());
    writer.field("StorageClass", record.storage_class.as_deref());
    writer.number("FileCount", record.file_count);
    writer.field("DirectoryPath", record.directory_path.as_deref());
    writer.open("SubjectIdentity");
    writer.field("LocalUser", record.local_user.as_deref());
    writer.field("LocalGroup", record.local_group.as_deref());
    writer.field("UserIdentity", record.user_identity.as_deref());
    writer.field("Group", record.group.as_deref());
    for attribute in &record.group_attributes {
        writer.element("GroupAttribute", &[("attributeType", Some(&*attribute.kind))], Some(&attribute.value));
    }
    writer.close("SubjectIdentity");
    writer.field("StartTime", Some(&record.start_time.to_string()));
    writer.field("EndTime", Some(&record.end_time.to_string()));
    writer.number("ResourceCapacityUsed", Some(record.resource_capacity_used));
    writer.number("LogicalCapacityUsed", record.logical_capacity_used);
    writer.number("ResourceCapacityAllocated", record.resource_capacity_allocated);
    writer.close(RECORD);
}

#[cfg(test)]
mod tests;
