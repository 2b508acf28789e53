//! Individual jobs: `APEL-individual-job-message`, versions 0.3 and 0.4.
//!
//! # Fields
//! M: without it the loader rejects the record; D: only the documents call it mandatory, and so do the strict rules.
//!
//! | field | | what | unit |
//! |---|---|---|---|
//! | Site | M | the site's name in GOCDB | |
//! | SubmitHost | D | id of the compute element, `host.domain:port/queue…` | |
//! | MachineName, Queue | | host and queue of the local batch system | |
//! | LocalJobId | M | with Site and EndTime it is the record's key | |
//! | LocalUserId, GlobalUserName | | local account and X.509 subject, or `withheld` | |
//! | FQAN | | VOMS attributes; the first of a list with `;` replaces VO, VOGroup and VORole | |
//! | VO, VOGroup, VORole | | | |
//! | WallDuration, CpuDuration | M | may be negative, but under strict rules | seconds |
//! | Processors, NodeCount | | | |
//! | StartTime, EndTime | M | the end not before the start nor more than two days after now | seconds since 1970 |
//! | InfrastructureDescription | | client, element and batch system, `APEL-CREAM-PBS` | |
//! | InfrastructureType | | `grid` or `local` | |
//! | MemoryReal, MemoryVirtual | | | kB |
//! | ServiceLevelType, ServiceLevel | M | benchmark (`si2k`, `hepspec`, `hepscore23`) and the node's result | |
//!
//! In version 0.4 ServiceLevel is a table of benchmarks, see [`Benchmarked`]; ServiceLevelType may be missing there,
//! and is accepted as long as it says the same. SubmitHostType and UpdateTime are ignored.
//!
//! The loader's own code calls the service level optional, and gives a record without one the benchmark `custom`. It
//! then checks each record a second time before storing it, and refuses `custom`: a record without a service level
//! never gets into the database (APEL 2.5.0).
//!
//! Source: the consumer's JobRecord and JobRecord04; EGI's documentation of grid accounting.

use super::levels::{self, Benchmarked};
use super::record::{self, record};
use super::report::Report;
use super::table::{Field, Limit, Presence, Row, Table, Value, slot};
use super::{Format, Message, write};
use crate::Finding;
use crate::records::Rules;

/// How far the end of a job may lie in the future, for clocks and time zones that are wrong.
const TOLERANCE: i64 = 2 * 86_400;

record! {
    /// One job, as in the table above.
    Job, FIELDS {
        /// Site
        site: &'a str = Field::text("Site").mandatory();
        /// SubmitHost
        submit_host: Option<&'a str> = Field::text("SubmitHost").demanded();
        /// MachineName
        machine_name: Option<&'a str> = Field::text("MachineName");
        /// Queue
        queue: Option<&'a str> = Field::text("Queue").limit(Limit::Characters(100));
        /// LocalJobId
        local_job_id: &'a str = Field::text("LocalJobId").mandatory();
        /// LocalUserId
        local_user_id: Option<&'a str> = Field::text("LocalUserId");
        /// GlobalUserName
        global_user_name: Option<&'a str> = Field::text("GlobalUserName");
        /// FQAN
        fqan: Option<&'a str> = Field::text("FQAN");
        /// VO
        vo: Option<&'a str> = Field::text("VO");
        /// VOGroup
        vo_group: Option<&'a str> = Field::text("VOGroup");
        /// VORole
        vo_role: Option<&'a str> = Field::text("VORole");
        /// WallDuration, seconds
        wall_duration: i64 = Field::integer("WallDuration").mandatory().limit(Limit::Int);
        /// CpuDuration, seconds
        cpu_duration: i64 = Field::integer("CpuDuration").mandatory().limit(Limit::Int);
        /// Processors
        processors: Option<i64> = Field::integer("Processors").limit(Limit::Int);
        /// NodeCount
        node_count: Option<i64> = Field::integer("NodeCount").limit(Limit::Int);
        /// StartTime, seconds since 1970
        start_time: i64 = Field::time("StartTime").mandatory();
        /// EndTime, seconds since 1970
        end_time: i64 = Field::time("EndTime").mandatory();
        /// InfrastructureDescription
        infrastructure_description: Option<&'a str> = Field::text("InfrastructureDescription").limit(Limit::Characters(100));
        /// InfrastructureType
        infrastructure_type: Option<&'a str> = Field::text("InfrastructureType").limit(Limit::Characters(20));
        /// MemoryReal, kB
        memory_real: Option<i64> = Field::integer("MemoryReal").limit(Limit::Int);
        /// MemoryVirtual, kB
        memory_virtual: Option<i64> = Field::integer("MemoryVirtual").limit(Limit::Int);
        /// ServiceLevelType; in version 0.4 the benchmark that the consumer keeps
        service_level_type: Option<&'a str> =
            Field::text("ServiceLevelType").limit(Limit::Characters(50)).presence(Presence::WrittenBeforeV04);
        /// ServiceLevel
        service_level: Option<Benchmarked<'a, f64>> = Field::level("ServiceLevel");
    }
}

const START: usize = slot(FIELDS, "StartTime");
const END: usize = slot(FIELDS, "EndTime");
const LEVEL_TYPE: usize = slot(FIELDS, "ServiceLevelType");
const LEVEL: usize = slot(FIELDS, "ServiceLevel");
const INFRASTRUCTURE: usize = slot(FIELDS, "InfrastructureType");

pub(super) static TABLE: Table = Table {
    name: "job message",
    code: "job",
    versions: &["v0.2", "v0.3", "v0.4"],
    fields: FIELDS,
    ignored: &["SubmitHostType", "UpdateTime"],
    level_type: Some(LEVEL_TYPE),
    check: check_record,
};

/// Checks a job message.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    super::check_as(payload, &[Format::Job], rules)
}

/// Reads a job message.
///
/// # Errors
/// What the loader rejects whatever the time is, and numbers that do not fit their fields.
pub fn parse(payload: &[u8]) -> Result<Message<'_, Job<'_>>, Vec<Finding>> {
    record::parse(payload, Format::Job)
}

/// Writes a job message.
///
/// # Errors
/// A value that a line of a record cannot contain.
pub fn write(message: &Message<'_, Job<'_>>) -> Result<String, Vec<Finding>> {
    write::message("APEL-individual-job-message", &TABLE, message)
}

fn check_record(row: &Row<'_>, rules: &Rules, report: &mut Report<'_>) {
    if let (Some(start), Some(end)) = (row.integer(START), row.integer(END)) {
        if end < start {
            report.error("ends-before-start", "EndTime", &end, "must not be before StartTime");
        }
        if end > rules.now.saturating_add(TOLERANCE) {
            report.error("future-end", "EndTime", &end, "must not lie more than two days in the future");
        }
    }
    if row.v04 {
        level_v04(row, report)
    } else {
        level(row, report)
    }
    if rules.strict
        && let Some(kind) = row.text(INFRASTRUCTURE)
        && !["grid", "local"].contains(&kind)
    {
        report.error("bad-infrastructure-type", "InfrastructureType", &kind, "must be grid or local");
    }
}

/// Before version 0.4: benchmark and value, both.
fn level(row: &Row<'_>, report: &mut Report<'_>) {
    let (kind, level) = (row.value(LEVEL_TYPE), row.value(LEVEL));
    let no_level = matches!(level, Value::Absent | Value::Null);
    match kind {
        Value::Text(kind) if no_level => {
            report.error("level-without-value", "ServiceLevelType", &kind, "needs a ServiceLevel beside it");
        }
        Value::Text(kind) => known_benchmark(kind, report),
        _ if no_level => {
            report.error(
                "missing-field",
                "ServiceLevel",
                &"",
                "is missing, or null; the consumer refuses a job without",
            );
        }
        _ => report.error("level-without-type", "ServiceLevel", &"", "needs a ServiceLevelType beside it"),
    }
}

/// From version 0.4 on: the loader crashes where there is no table.
fn level_v04(row: &Row<'_>, report: &mut Report<'_>) {
    match (row.value(LEVEL), row.value(LEVEL_TYPE)) {
        (Value::Absent | Value::Null, _) => {
            report.error("missing-field", "ServiceLevel", &"", "is mandatory in version 0.4 and missing");
        }
        (Value::Bad, _) => {}
        (_, Value::Text(kind)) => known_benchmark(kind, report),
        _ => report.error(
            "level-without-type",
            "ServiceLevelType",
            &"",
            "must not be emptied after ServiceLevel gave it",
        ),
    }
}

fn known_benchmark(kind: &str, report: &mut Report<'_>) {
    if levels::known(kind).is_none() {
        report.error("unknown-benchmark", "ServiceLevelType", &kind, "must be si2k, hepspec or hepscore23");
    }
}
