//! Normalised summaries of jobs by month: `APEL-summary-job-message: v0.3` and `APEL-normalised-summary-message: v0.4`.
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
//! | Infrastructure, InfrastructureDescription | | `grid` or `local`; as in job records | |
//! | NodeCount, Processors | | | |
//! | EarliestEndTime, LatestEndTime | | as in [`super::summary`] | seconds since 1970 |
//! | WallDuration, CpuDuration | M | sums, not negative | seconds |
//! | NormalisedWallDuration, NormalisedCpuDuration | M | sums times the benchmark, not negative | seconds |
//! | NumberOfJobs | M | | |
//!
//! In version 0.4 the two normalised durations are tables of benchmarks, see [`Benchmarked`], of which the consumer
//! must take the same benchmark; ServiceLevelType is accepted, but before a table it must say the same. UpdateTime is
//! ignored.
//!
//! End times are whole seconds. AUDITOR's APEL plugin 0.11.2 writes the fraction of a job that ended within a second,
//! `EarliestEndTime: 1716199200.5`, and the loader rejects the message with all its records.
//!
//! Source: the consumer's NormalisedSummaryRecord and NormalisedSummaryRecord04; EGI's documentation of grid
//! accounting, whose note that durations are in hours neither its own table nor any program follows.

use super::levels::Benchmarked;
use super::record::{self, record};
use super::report::Report;
use super::table::{Field, Limit, Presence, Row, Table, slot};
use super::{Format, Message, month, write};
use crate::Finding;
use crate::records::Rules;

record! {
    /// One month's jobs of one kind, as in the table above.
    NormalisedSummary, FIELDS {
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
        /// Infrastructure
        infrastructure: Option<&'a str> = Field::text("Infrastructure").limit(Limit::Characters(20));
        /// InfrastructureDescription
        infrastructure_description: Option<&'a str> = Field::text("InfrastructureDescription").limit(Limit::Characters(100));
        /// The benchmark that the consumer keeps, in version 0.4; never written
        service_level_type: Option<&'a str> =
            Field::text("ServiceLevelType").limit(Limit::Characters(50)).presence(Presence::ReadFromV04);
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
        /// NormalisedWallDuration, seconds times the benchmark
        normalised_wall_duration: Benchmarked<'a, i64> = Field::count("NormalisedWallDuration").mandatory();
        /// NormalisedCpuDuration, seconds times the benchmark
        normalised_cpu_duration: Benchmarked<'a, i64> = Field::count("NormalisedCpuDuration").mandatory();
        /// NumberOfJobs
        number_of_jobs: i64 = Field::integer("NumberOfJobs").mandatory().limit(Limit::Int);
    }
}

const SLOTS: month::Slots = month::Slots {
    month: slot(FIELDS, "Month"),
    year: slot(FIELDS, "Year"),
    earliest: slot(FIELDS, "EarliestEndTime"),
    latest: slot(FIELDS, "LatestEndTime"),
    durations: &[
        slot(FIELDS, "WallDuration"),
        slot(FIELDS, "CpuDuration"),
        slot(FIELDS, "NormalisedWallDuration"),
        slot(FIELDS, "NormalisedCpuDuration"),
    ],
};

pub(super) static TABLE: Table = Table {
    name: "normalised summary message",
    code: "normalised",
    versions: &["v0.3", "v0.4"],
    fields: FIELDS,
    ignored: &["UpdateTime"],
    level_type: Some(slot(FIELDS, "ServiceLevelType")),
    check: check_record,
};

/// Checks a normalised summary message.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    super::check_as(payload, &[Format::NormalisedSummary], rules)
}

/// Reads a normalised summary message.
///
/// # Errors
/// What the loader rejects whatever the time is, and numbers that do not fit their fields.
pub fn parse(payload: &[u8]) -> Result<Message<'_, NormalisedSummary<'_>>, Vec<Finding>> {
    record::parse(payload, Format::NormalisedSummary)
}

/// Writes a normalised summary message.
///
/// # Errors
/// A value that a line of a record cannot contain.
pub fn write(message: &Message<'_, NormalisedSummary<'_>>) -> Result<String, Vec<Finding>> {
    write::message(
        if message.version == "v0.4" { "APEL-normalised-summary-message" } else { "APEL-summary-job-message" },
        &TABLE,
        message,
    )
}

fn check_record(row: &Row<'_>, rules: &Rules, report: &mut Report<'_>) {
    month::check(row, &SLOTS, rules, report);
}
