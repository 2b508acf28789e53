//! Compute accounting records: CAR, in XML, which the consumer stores as job records.
//!
//! A message is `urf:UsageRecords` around any number of `urf:UsageRecord`, or one of these alone, in the namespace
//! [`NAMESPACE`], whatever prefix stands for it. Attributes are in that namespace too: without a prefix they are not seen.
//!
//! | element or attribute | mandatory | value |
//! |---|---|---|
//! | `Site`, `LocalJobId` | yes | text |
//! | `SubmitHost`, `MachineName`, `Queue`, `LocalUserId`, `GlobalUserName` | | text |
//! | `GroupAttribute/@type` | | `FQAN`, `group` (VO group), `role` (VO role): the first of each |
//! | `Group` | | VO |
//! | `WallDuration` | yes | duration |
//! | `CpuDuration` | yes | duration: the one with `@usageType` `all`; the first, if none has it; none, if several |
//! | `Processors`, `NodeCount` | | whole number |
//! | `StartTime`, `EndTime` | yes | time |
//! | `Infrastructure/@type`, `@description` | | text, such as `grid` |
//! | `ServiceLevel/@type` and its text | both or neither | `si2k`, `hepspec` or `hepscore23` in any case, and a number |
//!
//! Times are ISO 8601, UTC where no zone is given; durations are those of [`iso8601::duration`], and one of another form
//! is none. The order of elements does not matter, nor does how they are nested; of several with one name the first
//! counts, and unknown ones are skipped. A value of `none` or `null` in any case is no value. A record must not end before
//! it starts, nor more than two days from now. Memory is not read. The consumer itself writes the types `vo-group` and
//! `vo-role`, which it does not read again; [`write`] writes those it reads.
//!
//! Records in the namespace of aggregated records ([`AGGREGATED`]) are refused.
//!
//! # Strict
//! What EMI's document has as mandatory: record identity, submit host, machine, queue, local user, status,
//! infrastructure, middleware and service level. Texts and numbers fit the database's columns.
//!
//! Source: EMI's Compute Accounting Record; APEL's `car_parser.py` and `job.py`.

use std::borrow::Cow;
use std::ops::Range;

use super::iso8601::{self, BadDuration, Time};
use super::report::{Report, optional};
use super::xml::fields::{Fields, Writer};
use super::xml::{self, Document, Element};
use super::{Findings, Rules, python, recognise};
use crate::{Finding, Severity};

/// The namespace of elements and attributes.
pub const NAMESPACE: &str = "http://eu-emi.eu/namespaces/2012/11/computerecord";

/// The namespace of aggregated records, which the consumer refuses.
pub const AGGREGATED: &str = "http://eu-emi.eu/namespaces/2012/11/aggregatedcomputerecord";

const RECORD: &str = "UsageRecord";

const ELEMENTS: [&str; 18] = [
    "Site",
    "SubmitHost",
    "MachineName",
    "Queue",
    "LocalJobId",
    "LocalUserId",
    "GlobalUserName",
    "Group",
    "WallDuration",
    "CpuDuration",
    "Processors",
    "NodeCount",
    "StartTime",
    "EndTime",
    "Infrastructure",
    "ServiceLevel",
    "RecordIdentity",
    "Status",
];

/// How far ahead of now a job may end, seconds.
const AHEAD: i64 = 2 * 86_400;

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// In the order of the message.
    pub records: Vec<Record<'a>>,
}

/// One record. Fields are named as their elements are; durations are in seconds, and numbers beyond 64 bits are given as
/// the nearest end.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the module's table describes them")]
pub struct Record<'a> {
    /// Where it stands in the payload, in bytes.
    pub place: Range<usize>,
    /// `RecordIdentity/@recordId`; not read by the consumer.
    pub record_id: Option<Cow<'a, str>>,
    /// `RecordIdentity/@createTime`; not read by the consumer.
    pub create_time: Option<Cow<'a, str>>,
    pub site: Cow<'a, str>,
    pub submit_host: Option<Cow<'a, str>>,
    pub machine_name: Option<Cow<'a, str>>,
    pub queue: Option<Cow<'a, str>>,
    pub local_job_id: Cow<'a, str>,
    pub local_user_id: Option<Cow<'a, str>>,
    pub global_user_name: Option<Cow<'a, str>>,
    pub fqan: Option<Cow<'a, str>>,
    pub vo: Option<Cow<'a, str>>,
    pub vo_group: Option<Cow<'a, str>>,
    pub vo_role: Option<Cow<'a, str>>,
    /// Not read by the consumer.
    pub status: Option<Cow<'a, str>>,
    pub wall_duration: i64,
    pub cpu_duration: i64,
    pub processors: Option<i64>,
    pub node_count: Option<i64>,
    pub start_time: Time,
    pub end_time: Time,
    pub infrastructure_type: Option<Cow<'a, str>>,
    pub infrastructure_description: Option<Cow<'a, str>>,
    pub service_level: Option<ServiceLevel<'a>>,
}

/// How fast the machine is.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceLevel<'a> {
    /// `si2k`, `hepspec` or `hepscore23`, in any case.
    pub kind: Cow<'a, str>,
    /// In units of that benchmark.
    pub value: f64,
}

/// All findings about a message. See [`super`] for whose rules they follow.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    recognise::xml_of(payload, NAMESPACE).map_or_else(|findings| findings, |document| check_document(&document, rules))
}

/// All findings about a message that was read and has a root in [`NAMESPACE`].
pub(super) fn check_document(document: &Document<'_>, rules: &Rules) -> Vec<Finding> {
    let mut findings = Findings::new();
    let latest = rules.now.saturating_add(AHEAD).saturating_mul(1_000_000);
    each(document, 0, &mut findings, |record, element, report| {
        if record.end_time.micros > latest {
            let end = record.end_time.to_string();
            report.error("end-in-future", "urf:EndTime", Some(&end), "the job ends more than two days from now");
        }
        if rules.strict {
            strict(&record, element, report);
        }
    });
    findings.finish()
}

/// The records of a message.
///
/// # Errors
/// What makes them unreadable, as [`check`] tells it; that a job ends in the future does not.
pub fn parse(payload: &[u8]) -> Result<Message<'_>, Vec<Finding>> {
    let document = recognise::xml_of(payload, NAMESPACE)?;
    let (mut findings, mut records) = (Findings::new(), Vec::new());
    each(&document, xml::offset(payload), &mut findings, |record, _, _| records.push(record));
    if findings.any_error() { Err(findings.finish()) } else { Ok(Message { records }) }
}

/// Reads the records one by one; those that cannot be read become findings. The document begins at `offset` of the
/// payload.
fn each<'a>(
    document: &Document<'a>,
    offset: usize,
    findings: &mut Findings,
    mut take: impl FnMut(Record<'a>, Element<'_, 'a>, &mut Report<'_>),
) {
    let mut count = 0;
    for element in document.elements().filter(|element| element.is(NAMESPACE, RECORD)) {
        let mut report = Report::new(findings, "car", count);
        if let Some(record) = read(element, offset, &mut report) {
            take(record, element, &mut report);
        }
        count += 1;
    }
    if count == 0 {
        findings.add(Severity::Error, || Finding::error("car.no-record", "the message contains no urf:UsageRecord"));
    }
}

fn read<'a>(element: Element<'_, 'a>, offset: usize, report: &mut Report<'_>) -> Option<Record<'a>> {
    let fields = Fields::of(element, NAMESPACE, &ELEMENTS);
    let text = |name| optional(fields.text(name));
    let attribute = |name, attribute| optional(fields.attribute(name, attribute));
    let site = report.mandatory("urf:Site", fields.text("Site"));
    let local_job_id = report.mandatory("urf:LocalJobId", fields.text("LocalJobId"));
    let wall_duration = duration("urf:WallDuration", fields.text("WallDuration"), report);
    let cpu_duration = duration("urf:CpuDuration", cpu(&fields), report);
    let processors = report.integer("urf:Processors", text("Processors"));
    let node_count = report.integer("urf:NodeCount", text("NodeCount"));
    let start_time = report.time("urf:StartTime", fields.text("StartTime"));
    let end_time = report.time("urf:EndTime", fields.text("EndTime"));
    if let (Some(start), Some(end)) = (start_time, end_time)
        && end < start
    {
        let end = end.to_string();
        report.error("end-before-start", "urf:EndTime", Some(&end), "the job ends before it starts");
    }
    let service_level = service_level(attribute("ServiceLevel", "type"), text("ServiceLevel"), report);
    let [fqan, vo_group, vo_role] = groups(&fields);
    let span = element.span();
    Some(Record {
        place: span.start + offset..span.end + offset,
        record_id: attribute("RecordIdentity", "recordId"),
        create_time: attribute("RecordIdentity", "createTime"),
        site: site?,
        submit_host: text("SubmitHost"),
        machine_name: text("MachineName"),
        queue: text("Queue"),
        local_job_id: local_job_id?,
        local_user_id: text("LocalUserId"),
        global_user_name: text("GlobalUserName"),
        fqan,
        vo: text("Group"),
        vo_group,
        vo_role,
        status: text("Status"),
        wall_duration: wall_duration?,
        cpu_duration: cpu_duration?,
        processors,
        node_count,
        start_time: start_time?,
        end_time: end_time?,
        infrastructure_type: attribute("Infrastructure", "type"),
        infrastructure_description: attribute("Infrastructure", "description"),
        service_level,
    })
}

/// The first group attribute of each type that is read.
fn groups<'a, const N: usize>(fields: &Fields<'_, 'a, N>) -> [Option<Cow<'a, str>>; 3] {
    let mut found = [None, None, None];
    for element in fields.all("GroupAttribute") {
        let kind = element.attribute(NAMESPACE, "type");
        let [fqan, group, role] = &mut found;
        let slot = match kind.as_deref() {
            Some("FQAN") => fqan,
            Some("group") => group,
            Some("role") => role,
            _ => continue,
        };
        if slot.is_none() {
            *slot = Some(element.text());
        }
    }
    found.map(optional)
}

/// The text of the element that holds the processor time.
fn cpu<'a, const N: usize>(fields: &Fields<'_, 'a, N>) -> Option<Cow<'a, str>> {
    let first = fields.text("CpuDuration")?;
    let mut marked =
        fields.all("CpuDuration").filter(|element| element.attribute(NAMESPACE, "usageType").as_deref() == Some("all"));
    match (marked.next(), marked.next()) {
        (None, _) => Some(first),
        (Some(one), None) => Some(one.text()),
        // To the consumer, this is a duration that is none.
        (Some(_), Some(_)) => Some(Cow::Borrowed("")),
    }
}

fn duration(field: &str, value: Option<Cow<'_, str>>, report: &mut Report<'_>) -> Option<i64> {
    let Some(value) = value else {
        report.error("missing-field", field, None, "a mandatory duration is missing");
        return None;
    };
    let text = match iso8601::duration(&value) {
        Ok(seconds) => return Some(seconds),
        Err(BadDuration::Form) if value.is_empty() => "is empty, or stands there twice with the usage type all",
        Err(BadDuration::Form) => "is not a duration of ISO 8601, such as PT3600S",
        Err(BadDuration::Range) => "is a larger number of seconds than the consumer can reckon with",
    };
    report.error("bad-duration", field, Some(&value), text);
    None
}

fn service_level<'a>(
    kind: Option<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
    report: &mut Report<'_>,
) -> Option<ServiceLevel<'a>> {
    let (field, kind_field) = ("urf:ServiceLevel", "urf:ServiceLevel/@urf:type");
    let number = value.as_deref().map(python::float);
    if let Some(None) = number {
        report.error("bad-number", field, value.as_deref(), "is not a number");
    }
    let known = |kind: &&str| ["si2k", "hepspec", "hepscore23"].iter().any(|known| python::lower_is(kind, known));
    if let Some(kind) = kind.as_deref().filter(|kind| !known(kind)) {
        let text = "is not one of si2k, hepspec and hepscore23";
        report.error("bad-service-level-type", kind_field, Some(kind), text);
    }
    match (kind, number) {
        (Some(kind), Some(Some(value))) => return Some(ServiceLevel { kind, value }),
        (Some(_), None) => report.error("missing-field", field, None, "there is a service level type but no value"),
        (None, Some(_)) => report.error("missing-field", kind_field, None, "there is a service level but no type"),
        _ => {}
    }
    None
}

/// What the documents demand and the loader does not check.
fn strict(record: &Record<'_>, element: Element<'_, '_>, report: &mut Report<'_>) {
    let text = |value: &Option<Cow<'_, str>>| value.as_deref().map(|value| Cow::Owned(value.to_owned()));
    for (field, value) in [
        ("urf:RecordIdentity/@urf:recordId", &record.record_id),
        ("urf:SubmitHost", &record.submit_host),
        ("urf:MachineName", &record.machine_name),
        ("urf:Queue", &record.queue),
        ("urf:LocalUserId", &record.local_user_id),
        ("urf:Status", &record.status),
        ("urf:Infrastructure/@urf:type", &record.infrastructure_type),
    ] {
        report.mandatory(field, text(value));
    }
    report.time("urf:RecordIdentity/@urf:createTime", text(&record.create_time));
    if !element.descendants().any(|element| element.is(NAMESPACE, "Middleware")) {
        report.error("missing-field", "urf:Middleware", None, "a mandatory field is missing");
    }
    match &record.service_level {
        None => report.error("missing-field", "urf:ServiceLevel", None, "a mandatory field is missing"),
        // The column is a DECIMAL(10,3).
        Some(level) if !(0.0..1e7).contains(&level.value) => {
            let written = element.descendants().find(|element| element.is(NAMESPACE, "ServiceLevel"));
            let text = "is not between 0 and 9999999.999";
            report.error("out-of-range", "urf:ServiceLevel", written.map(|element| element.text()).as_deref(), text);
        }
        Some(_) => {}
    }
    strict_limits(record, report);
}

/// The consumer's database keeps names of 255 characters, and hands numbers over as INT.
fn strict_limits(record: &Record<'_>, report: &mut Report<'_>) {
    for (field, value, limit) in [
        ("urf:Site", Some(&record.site), 255),
        ("urf:LocalJobId", Some(&record.local_job_id), 255),
        ("urf:SubmitHost", record.submit_host.as_ref(), 255),
        ("urf:MachineName", record.machine_name.as_ref(), 255),
        ("urf:Queue", record.queue.as_ref(), 100),
        ("urf:LocalUserId", record.local_user_id.as_ref(), 255),
        ("urf:GlobalUserName", record.global_user_name.as_ref(), 255),
        ("urf:GroupAttribute", record.fqan.as_ref(), 255),
        ("urf:Group", record.vo.as_ref(), 255),
        ("urf:Infrastructure/@urf:type", record.infrastructure_type.as_ref(), 20),
        ("urf:Infrastructure/@urf:description", record.infrastructure_description.as_ref(), 100),
    ] {
        report.length(field, value.map(|value| &**value), limit);
    }
    for (field, number) in [
        ("urf:WallDuration", Some(record.wall_duration)),
        ("urf:CpuDuration", Some(record.cpu_duration)),
        ("urf:Processors", record.processors),
        ("urf:NodeCount", record.node_count),
    ] {
        report.range(field, number, i64::from(i32::MAX));
    }
}

/// The message as XML, elements in the order of the consumer's own writer.
#[must_use]
pub fn write(message: &Message<'_>) -> String {
    let mut writer = Writer::new("urf", "UsageRecords", NAMESPACE);
    for record in &message.records {
        write_record(record, &mut writer);
    }
    writer.finish("UsageRecords")
}

fn write_record(record: &Record<'_>, writer: &mut Writer) {
    writer.open(RECORD);
    if record.record_id.is_some() || record.create_time.is_some() {
        let identity = [("createTime", record.create_time.as_deref()), ("recordId", record.record_id.as_deref())];
        writer.element("RecordIdentity", &identity, None);
    }
    writer.open("JobIdentity");
    writer.field("LocalJobId", Some(&record.local_job_id));
    writer.close("JobIdentity");
    write_user(record, writer);
    writer.field("Status", record.status.as_deref());
    if record.infrastructure_type.is_some() || record.infrastructure_description.is_some() {
        let description = ("description", record.infrastructure_description.as_deref());
        writer.element("Infrastructure", &[("type", record.infrastructure_type.as_deref()), description], None);
    }
    writer.field("WallDuration", Some(&format!("PT{}S", record.wall_duration)));
    writer.element("CpuDuration", &[("usageType", Some("all"))], Some(&format!("PT{}S", record.cpu_duration)));
    if let Some(level) = &record.service_level {
        writer.element("ServiceLevel", &[("type", Some(&*level.kind))], Some(&level.value.to_string()));
    }
    writer.number("NodeCount", record.node_count);
    writer.number("Processors", record.processors);
    writer.field("EndTime", Some(&record.end_time.to_string()));
    writer.field("StartTime", Some(&record.start_time.to_string()));
    writer.field("MachineName", record.machine_name.as_deref());
    writer.field("SubmitHost", record.submit_host.as_deref());
    writer.field("Queue", record.queue.as_deref());
    writer.field("Site", Some(&record.site));
    writer.close(RECORD);
}

fn write_user(record: &Record<'_>, writer: &mut Writer) {
    writer.open("UserIdentity");
    writer.field("GlobalUserName", record.global_user_name.as_deref());
    writer.field("Group", record.vo.as_deref());
    for (kind, value) in [("FQAN", &record.fqan), ("group", &record.vo_group), ("role", &record.vo_role)] {
        if value.is_some() {
            writer.element("GroupAttribute", &[("type", Some(kind))], value.as_deref());
        }
    }
    writer.field("LocalUserId", record.local_user_id.as_deref());
    writer.close("UserIdentity");
}

#[cfg(test)]
mod tests;
