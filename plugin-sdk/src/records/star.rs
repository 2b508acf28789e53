//! Storage accounting records: StAR, GFD.201, in XML.
//!
//! A message is `sr:StorageUsageRecords` around any number of `sr:StorageUsageRecord`, or one of these alone, in the
//! namespace [`NAMESPACE`], whatever prefix stands for it. Attributes are in that namespace too: without a prefix they are
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
//! A period ends no earlier than it starts; `StorageMedia` is `disk` or `tape`; numbers are not negative and fit 63 bits;
//! texts are at most 255 characters; a group attribute has a type and a value; no record identity stands twice.
//!
//! Source: GFD.201; APEL's `star_parser.py` and `storage.py`.

use std::borrow::Cow;
use std::ops::Range;

use super::iso8601::Time;
use super::report::{Report, optional};
use super::xml::fields::{Fields, Writer};
use super::xml::{self, Document, Element};
use super::{Findings, Rules, recognise};
use crate::{Finding, Severity};

/// The namespace of elements and attributes.
pub const NAMESPACE: &str = "http://eu-emi.eu/namespaces/2011/02/storagerecord";

const RECORD: &str = "StorageUsageRecord";

const ELEMENTS: [&str; 17] = [
    "RecordIdentity",
    "StorageSystem",
    "Site",
    "StorageShare",
    "StorageMedia",
    "StorageClass",
    "FileCount",
    "DirectoryPath",
    "LocalUser",
    "LocalGroup",
    "UserIdentity",
    "Group",
    "StartTime",
    "EndTime",
    "ResourceCapacityUsed",
    "LogicalCapacityUsed",
    "ResourceCapacityAllocated",
];

const RECORD_ID: &str = "sr:RecordIdentity/@sr:recordId";
const CREATE_TIME: &str = "sr:RecordIdentity/@sr:createTime";

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
    /// Where it stands in the payload, in bytes.
    pub place: Range<usize>,
    pub record_id: Cow<'a, str>,
    pub create_time: Time,
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
    pub start_time: Time,
    pub end_time: Time,
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
    each(document, 0, &mut findings, |record, report| {
        if rules.strict {
            strict(&record, report);
            identities.push(record.record_id);
        }
    });
    for (index, twin) in super::twins(&identities) {
        let text = "the record identity stands twice in the message; the consumer keeps the last";
        Report::new(&mut findings, "star", index).error("duplicate-record", RECORD_ID, Some(twin), text);
    }
    findings.finish()
}

/// The records of a message.
///
/// # Errors
/// What makes them unreadable, as [`check`] tells it.
pub fn parse(payload: &[u8]) -> Result<Message<'_>, Vec<Finding>> {
    let document = recognise::xml_of(payload, NAMESPACE)?;
    let (mut findings, mut records) = (Findings::new(), Vec::new());
    each(&document, xml::offset(payload), &mut findings, |record, _| records.push(record));
    if findings.any_error() { Err(findings.finish()) } else { Ok(Message { records }) }
}

/// Reads the records one by one; those that cannot be read become findings. The document begins at `offset` of the
/// payload.
fn each<'a>(
    document: &Document<'a>,
    offset: usize,
    findings: &mut Findings,
    mut take: impl FnMut(Record<'a>, &mut Report<'_>),
) {
    let mut count = 0;
    for element in document.elements().filter(|element| element.is(NAMESPACE, RECORD)) {
        let mut report = Report::new(findings, "star", count);
        if let Some(record) = read(element, offset, &mut report) {
            take(record, &mut report);
        }
        count += 1;
    }
    if count == 0 {
        findings
            .add(Severity::Error, || Finding::error("star.no-record", "the message contains no sr:StorageUsageRecord"));
    }
}

fn read<'a>(element: Element<'_, 'a>, offset: usize, report: &mut Report<'_>) -> Option<Record<'a>> {
    let fields = Fields::of(element, NAMESPACE, &ELEMENTS);
    let text = |name| optional(fields.text(name));
    let record_id = report.mandatory(RECORD_ID, fields.attribute("RecordIdentity", "recordId"));
    let create_time = report.time(CREATE_TIME, fields.attribute("RecordIdentity", "createTime"));
    let storage_system = report.mandatory("sr:StorageSystem", fields.text("StorageSystem"));
    let file_count = report.integer("sr:FileCount", text("FileCount"));
    let start_time = report.time("sr:StartTime", fields.text("StartTime"));
    let end_time = report.time("sr:EndTime", fields.text("EndTime"));
    let used = report.mandatory("sr:ResourceCapacityUsed", fields.text("ResourceCapacityUsed"));
    let resource_capacity_used = report.integer("sr:ResourceCapacityUsed", used);
    let logical_capacity_used = report.integer("sr:LogicalCapacityUsed", text("LogicalCapacityUsed"));
    let allocated = report.integer("sr:ResourceCapacityAllocated", text("ResourceCapacityAllocated"));
    let group_attributes = fields.all("GroupAttribute").map(|attribute| GroupAttribute {
        kind: attribute.attribute(NAMESPACE, "attributeType").unwrap_or_default(),
        value: attribute.text(),
    });
    let span = element.span();
    Some(Record {
        place: span.start + offset..span.end + offset,
        record_id: record_id?,
        create_time: create_time?,
        storage_system: storage_system?,
        site: text("Site"),
        storage_share: text("StorageShare"),
        storage_media: text("StorageMedia"),
        storage_class: text("StorageClass"),
        file_count,
        directory_path: text("DirectoryPath"),
        local_user: text("LocalUser"),
        local_group: text("LocalGroup"),
        user_identity: text("UserIdentity"),
        group: text("Group"),
        group_attributes: group_attributes.collect(),
        start_time: start_time?,
        end_time: end_time?,
        resource_capacity_used: resource_capacity_used?,
        logical_capacity_used,
        resource_capacity_allocated: allocated,
    })
}

/// What the documents demand and the loader does not check.
fn strict(record: &Record<'_>, report: &mut Report<'_>) {
    if record.end_time < record.start_time {
        let end = record.end_time.to_string();
        report.error("end-before-start", "sr:EndTime", Some(&end), "the period ends before it starts");
    }
    if let Some(media) = record.storage_media.as_deref().filter(|media| !matches!(*media, "disk" | "tape")) {
        report.error("bad-media", "sr:StorageMedia", Some(media), "is neither disk nor tape");
    }
    for (field, number) in [
        ("sr:FileCount", record.file_count),
        ("sr:ResourceCapacityUsed", Some(record.resource_capacity_used)),
        ("sr:LogicalCapacityUsed", record.logical_capacity_used),
        ("sr:ResourceCapacityAllocated", record.resource_capacity_allocated),
    ] {
        report.range(field, number, i64::MAX - 1);
    }
    for (field, text) in [
        (RECORD_ID, Some(&record.record_id)),
        ("sr:StorageSystem", Some(&record.storage_system)),
        ("sr:Site", record.site.as_ref()),
        ("sr:StorageShare", record.storage_share.as_ref()),
        ("sr:StorageClass", record.storage_class.as_ref()),
        ("sr:DirectoryPath", record.directory_path.as_ref()),
        ("sr:LocalUser", record.local_user.as_ref()),
        ("sr:LocalGroup", record.local_group.as_ref()),
        ("sr:UserIdentity", record.user_identity.as_ref()),
        ("sr:Group", record.group.as_ref()),
    ] {
        report.length(field, text.map(|text| &**text), 255);
    }
    for attribute in &record.group_attributes {
        report.mandatory("sr:GroupAttribute/@sr:attributeType", Some(attribute.kind.clone()));
        report.mandatory("sr:GroupAttribute", Some(attribute.value.clone()));
        report.length("sr:GroupAttribute/@sr:attributeType", Some(&attribute.kind), 255);
        report.length("sr:GroupAttribute", Some(&attribute.value), 255);
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
