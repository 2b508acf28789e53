//! Compute accounting records: CAR, in XML, which the consumer stores as job records.
//!
//! A message is `urf:UsageRecords` around any number of `urf:UsageRecord`, or one of these alone, in the namespace
//! [`NAMESPACE`], whatever its prefix. Attributes are in that namespace too: without a prefix they are not seen.
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
//! Times are ISO 8601, UTC where no zone is given; durations are those of [`iso8601::duration`], and one of another
//! form is none. The order of elements does not matter, nor does how they are nested; of several with one name the
//! first counts, and unknown ones are skipped. A value of `none` or `null` in any case is no value. A record must not
//! end before it starts, nor more than two days from now. Memory is not read. The consumer itself writes the types
//! `vo-group` and `vo-role`, which it does not read again; [`write()`] writes those it reads.
//!
//! Records in the namespace of aggregated records ([`AGGREGATED`]) are refused.
//!
//! # Strict
//! What EMI's document has as mandatory: record identity, submit host, machine, queue, local user, status,
//! infrastructure and service level. Texts and numbers fit the database's columns. The document has `Middleware` as
//! mandatory too, and producers do not agree on it: UNICORE writes a name in it, ARC 6.17 has an empty element with the
//! attributes `name`, `version` and `description`, and the consumer's own writer leaves it out. As no consumer reads
//! it, each of these is good.
//!
//! Source: EMI's Compute Accounting Record; APEL's `car_parser.py` and `job.py`.

use std::borrow::Cow;
use std::ops::Range;

use super::iso8601;
use super::report::Report;
use super::xml::fields::Content::{Duration, Integer, Other, Text, Time};
use super::xml::fields::Need::{Mandatory, Optional, Strict};
use super::xml::fields::{Fields, Table, Writer, attribute, duration_fault, line};
use super::xml::{self, Document};
use super::{Findings, Rules, python, recognise};
use crate::{Finding, Severity};

/// The namespace of elements and attributes.
pub const NAMESPACE: &str = "http://eu-emi.eu/namespaces/2012/11/computerecord";

/// The namespace of aggregated records, which the consumer refuses.
pub const AGGREGATED: &str = "http://eu-emi.eu/namespaces/2012/11/aggregatedcomputerecord";

pub(super) const RECORD: &str = "UsageRecord";

/// The database stores numbers as INT.
const MOST: i64 = i32::MAX as i64;

const TABLE: Table = Table {
    namespace: NAMESPACE,
    prefix: "urf",
    lines: &[
        attribute("RecordIdentity", "recordId", Text, Strict, 255),
        attribute("RecordIdentity", "createTime", Time, Strict, 0),
        line("Site", Text, Mandatory, 255),
        line("SubmitHost", Text, Strict, 255),
        line("MachineName", Text, Strict, 255),
        line("Queue", Text, Strict, 100),
        line("LocalJobId", Text, Mandatory, 255),
        line("LocalUserId", Text, Strict, 255),
        line("GlobalUserName", Text, Optional, 255),
        line("Group", Text, Optional, 255),
        line("Status", Text, Strict, 255),
        line("Middleware", Other, Optional, 0),
        attribute("Infrastructure", "type", Text, Strict, 20),
        attribute("Infrastructure", "description", Text, Optional, 100),
        line("WallDuration", Duration, Mandatory, MOST),
        line("CpuDuration", Other, Mandatory, MOST),
        line("Processors", Integer, Optional, MOST),
        line("NodeCount", Integer, Optional, MOST),
        line("StartTime", Time, Mandatory, 0),
        line("EndTime", Time, Mandatory, 0),
        line("ServiceLevel", Text, Strict, 255),
        attribute("ServiceLevel", "type", Other, Optional, 0),
    ],
};

/// How far ahead of now a job may end, seconds.
const AHEAD: i64 = 2 * 86_400;

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// In the order of the message.
    pub records: Vec<Record<'a>>,
}

/// One record. Fields are named as their elements are; durations are in seconds, and numbers beyond 64 bits are given
/// as the nearest end.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the module's table describes them")]
pub struct Record<'a> {
    /// Its position in the payload, in bytes.
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
    /// Not read by the consumer.
    pub middleware: Option<Cow<'a, str>>,
    pub wall_duration: i64,
    pub cpu_duration: i64,
    pub processors: Option<i64>,
    pub node_count: Option<i64>,
    pub start_time: iso8601::Time,
    pub end_time: iso8601::Time,
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
    each(document, &mut findings, |fields, _, report| check_record(fields, rules, report));
    findings.finish()
}

/// The records of a message.
///
/// # Errors
/// Why they are unreadable, with the findings of [`check`]; that a job ends in the future does not.
pub fn parse(payload: &[u8]) -> Result<Message<'_>, Vec<Finding>> {
    let document = recognise::xml_of(payload, NAMESPACE)?;
    let offset = xml::offset(payload);
    let rules = Rules { now: i64::MAX, strict: false };
    let (mut findings, mut records) = (Findings::new(), Vec::new());
    each(&document, &mut findings, |fields, span, report| {
        check_record(fields, &rules, report);
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
        take(&Fields::of(element, &TABLE), element.span(), &mut Report::new(findings, "car", count));
        count += 1;
    }
    if count == 0 {
        findings.add(Severity::Error, || Finding::error("car.no-record", "the message contains no urf:UsageRecord"));
    }
}

/// A record; None if it is not good.
fn read<'a>(fields: &Fields<'_, 'a>, place: Range<usize>) -> Option<Record<'a>> {
    let [fqan, vo_group, vo_role] = groups(fields);
    let duration = |value: Option<Cow<'_, str>>| iso8601::duration(&value?).ok();
    let kind = fields.attribute("ServiceLevel", "type");
    let level = fields.text("ServiceLevel").and_then(|level| python::float(&level));
    Some(Record {
        place,
        record_id: fields.attribute("RecordIdentity", "recordId"),
        create_time: fields.attribute("RecordIdentity", "createTime"),
        site: fields.text("Site")?,
        submit_host: fields.text("SubmitHost"),
        machine_name: fields.text("MachineName"),
        queue: fields.text("Queue"),
        local_job_id: fields.text("LocalJobId")?,
        local_user_id: fields.text("LocalUserId"),
        global_user_name: fields.text("GlobalUserName"),
        fqan,
        vo: fields.text("Group"),
        vo_group,
        vo_role,
        status: fields.text("Status"),
        middleware: fields.text("Middleware"),
        wall_duration: duration(fields.value("WallDuration", ""))?,
        cpu_duration: duration(cpu(fields))?,
        processors: fields.integer("Processors"),
        node_count: fields.integer("NodeCount"),
        start_time: fields.time("StartTime", "")?,
        end_time: fields.time("EndTime", "")?,
        infrastructure_type: fields.attribute("Infrastructure", "type"),
        infrastructure_description: fields.attribute("Infrastructure", "description"),
        service_level: kind.zip(level).map(|(kind, value)| ServiceLevel { kind, value }),
    })
}

/// The first group attribute of each type that is read.
fn groups<'a>(fields: &Fields<'_, 'a>) -> [Option<Cow<'a, str>>; 3] {
    ["FQAN", "group", "role"].map(|kind| {
        let mut found = fields.all("GroupAttribute");
        let first = found.find(|element| element.attribute(NAMESPACE, "type").as_deref() == Some(kind));
        first.map(|element| element.text()).filter(|text| !python::is_null(text))
    })
}

/// The text of the element with the processor time.
fn cpu<'a>(fields: &Fields<'_, 'a>) -> Option<Cow<'a, str>> {
    let first = fields.value("CpuDuration", "")?;
    let mut marked =
        fields.all("CpuDuration").filter(|element| element.attribute(NAMESPACE, "usageType").as_deref() == Some("all"));
    match (marked.next(), marked.next()) {
        (None, _) => Some(first),
        (Some(one), None) => Some(one.text()),
        // To the consumer, this is a duration that is none.
        (Some(_), Some(_)) => Some(Cow::Borrowed("")),
    }
}

fn check_record(fields: &Fields<'_, '_>, rules: &Rules, report: &mut Report<'_>) {
    fields.check(rules.strict, report);
    let cpu = cpu(fields);
    if let Some((rule, text)) = cpu.as_deref().and_then(duration_fault) {
        report.error(rule, "urf:CpuDuration", cpu.as_deref(), &text);
    }
    let latest = rules.now.saturating_add(AHEAD).saturating_mul(1_000_000);
    if let (Some(start), Some(end)) = (fields.time("StartTime", ""), fields.time("EndTime", "")) {
        let mut wrong = |rule, text| report.error(rule, "urf:EndTime", fields.text("EndTime").as_deref(), text);
        if end < start {
            wrong("end-before-start", "the job ends before it starts");
        }
        if end.micros > latest {
            wrong("end-in-future", "the job ends more than two days from now");
        }
    }
    check_service_level(fields, rules.strict, report);
    if rules.strict {
        for (field, value) in [("urf:WallDuration", fields.value("WallDuration", "")), ("urf:CpuDuration", cpu)] {
            report.range(field, value.and_then(|value| iso8601::duration(&value).ok()), MOST);
        }
        report.length("urf:GroupAttribute", groups(fields).into_iter().next().flatten().as_deref(), 255);
    }
}

fn check_service_level(fields: &Fields<'_, '_>, strict: bool, report: &mut Report<'_>) {
    let (field, kind_field) = ("urf:ServiceLevel", "urf:ServiceLevel/@urf:type");
    let (kind, level) = (fields.attribute("ServiceLevel", "type"), fields.text("ServiceLevel"));
    let number = level.as_deref().map(python::float);
    match number {
        Some(None) => report.error("bad-number", field, level.as_deref(), "is not a number"),
        // The column is a DECIMAL(10,3).
        Some(Some(number)) if strict && !(0.0..1e7).contains(&number) => {
            report.error("out-of-range", field, level.as_deref(), "is not between 0 and 9999999.999");
        }
        _ => {}
    }
    match kind.as_deref() {
        Some(kind) if !["si2k", "hepspec", "hepscore23"].iter().any(|known| python::lower_is(kind, known)) => {
            let text = "is not one of si2k, hepspec and hepscore23";
            report.error("bad-service-level-type", kind_field, Some(kind), text);
        }
        Some(_) if level.is_none() => {
            report.error("missing-field", field, None, "there is a service level type but no value");
        }
        None if level.is_some() => {
            report.error("missing-field", kind_field, None, "there is a service level but no type");
        }
        _ => {}
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
    writer.field("Middleware", record.middleware.as_deref());
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
