//! Summaries of jobs by month: `APEL-summary-job-message`, versions 0.2 and 0.4.
//!
//! # Fields
//! M: without it the loader rejects the record.
//!
//! | field | | what | unit |
//! |---|---|---|---|
//! | Site | M | the site's name in GOCDB | |
//! | Month, Year | M | a month that has begun | |
//! | GlobalUserName, VO, VOGroup, VORole | | for whom the jobs ran | |
//! | SubmitHost | | id of the compute element | |
//! | InfrastructureType, InfrastructureDescription | | as in job records | |
//! | ServiceLevelType, ServiceLevel | | benchmark and result, any benchmark | |
//! | NodeCount, Processors | | | |
//! | EarliestEndTime, LatestEndTime | | of the jobs; in the month, its end included, the latest not before the earliest | seconds since 1970 |
//! | WallDuration, CpuDuration | M | sums, not negative | seconds |
//! | NumberOfJobs | M | | |
//!
//! The loader looks at LatestEndTime only where there is an EarliestEndTime. In version 0.4 ServiceLevel is a table of
//! benchmarks, see [`Benchmarked`]; ServiceLevelType is accepted, but before the table it must say the same. UpdateTime
//! is ignored.
//!
//! Source: the consumer's SummaryRecord and SummaryRecord04; EGI's documentation of grid accounting.

use super::levels::Benchmarked;
use super::record::{self, record};
use super::report::Report;
use super::table::{Field, Limit, Presence, Row, Table, slot};
use super::{Format, Message, month, write};
use crate::Finding;
use crate::records::Rules;

record! {
    /// One month's jobs of one kind, as in the table above.
    Summary, FIELDS {
        /// Site
        site: &'a str = Field::text("Site").mandatory();
        /// Month
        month: i64 = Field::integer("Month").mandatory();
        /// Year
        year: i64 = Field::integer("Year").mandatory();
        /// GlobalUserName
        global_user_name: Option<&'a str> = Field::text("GlobalUserName");
        /// VO
        vo: Option<&'a str> = Field::text("VO");
        /// VOGroup
        vo_group: Option<&'a str> = Field::text("VOGroup");
        /// VORole
        vo_role: Option<&'a str> = Field::text("VORole");
        /// SubmitHost
        submit_host: Option<&'a str> = Field::text("SubmitHost");
        /// InfrastructureType
        infrastructure_type: Option<&'a str> = Field::text("InfrastructureType").limit(Limit::Characters(20));
        /// InfrastructureDescription
        infrastructure_description: Option<&'a str> = Field::text("InfrastructureDescription").limit(Limit::Characters(100));
        /// ServiceLevelType; in version 0.4 the benchmark that the consumer keeps
        service_level_type: Option<&'a str> =
            Field::text("ServiceLevelType").limit(Limit::Characters(50)).presence(Presence::WrittenBeforeV04);
        /// ServiceLevel
        service_level: Option<Benchmarked<'a, f64>> = Field::level("ServiceLevel");
        /// NodeCount
        node_count: Option<i64> = Field::integer("NodeCount").limit(Limit::Int);
        /// Processors
        processors: Option<i64> = Field::integer("Processors").limit(Limit::Int);
        /// EarliestEndTime, seconds since 1970
        earliest_end_time: Option<i64> = Field::time("EarliestEndTime");
        /// LatestEndTime, seconds since 1970
        latest_end_time: Option<i64> = Field::time("LatestEndTime");
        /// WallDuration, seconds
        wall_duration: i64 = Field::integer("WallDuration").mandatory().limit(Limit::SignedBigInt);
        /// CpuDuration, seconds
        cpu_duration: i64 = Field::integer("CpuDuration").mandatory().limit(Limit::SignedBigInt);
        /// NumberOfJobs
        number_of_jobs: i64 = Field::integer("NumberOfJobs").mandatory().limit(Limit::Int);
    }
}

const SLOTS: month::Slots = month::Slots {
    month: slot(FIELDS, "Month"),
    year: slot(FIELDS, "Year"),
    earliest: slot(FIELDS, "EarliestEndTime"),
    latest: slot(FIELDS, "LatestEndTime"),
    durations: &[slot(FIELDS, "WallDuration"), slot(FIELDS, "CpuDuration")],
};

pub(super) static TABLE: Table = Table {
    name: "summary message",
    code: "summary",
    versions: &["v0.2", "v0.4"],
    fields: FIELDS,
    ignored: &["UpdateTime"],
    level_type: Some(slot(FIELDS, "ServiceLevelType")),
    check: check_record,
};

/// Checks a summary message.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    super::check_as(payload, &[Format::Summary], rules)
}

/// Reads a summary message.
///
/// # Errors
/// What the loader rejects whatever the time is, and numbers that do not fit their fields.
pub fn parse(payload: &[u8]) -> Result<Message<'_, Summary<'_>>, Vec<Finding>> {
    record::parse(payload, Format::Summary)
}

/// Writes a summary message.
///
/// # Errors
/// A value that a line of a record cannot contain.
pub fn write(message: &Message<'_, Summary<'_>>) -> Result<String, Vec<Finding>> {
    write::message("APEL-summary-job-message", &TABLE, message)
}

fn check_record(row: &Row<'_>, rules: &Rules, report: &mut Report<'_>) {
    month::check(row, &SLOTS, rules, report);
}
