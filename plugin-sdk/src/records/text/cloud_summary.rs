//! Summaries of virtual machines by month: `APEL-cloud-summary-message`, version 0.4.
//!
//! # Fields
//! M: without it the loader rejects the record.
//!
//! | field | | what | unit |
//! |---|---|---|---|
//! | SiteName | M | the site's name in GOCDB | |
//! | CloudComputeService | | | |
//! | Month, Year | M | any whole numbers; under strict rules a month of the calendar | |
//! | GlobalUserName, VO, VOGroup, VORole | | for whom the machines ran | |
//! | Status, CloudType, ImageId | | | |
//! | EarliestStartTime, LatestStartTime | | of the machines; under strict rules in order | seconds since 1970 |
//! | WallDuration, CpuDuration | | sums | seconds |
//! | CpuCount | | may have a fraction | |
//! | NetworkInbound, NetworkOutbound | | | GB |
//! | Memory | | | MB |
//! | Disk | | | GB |
//! | BenchmarkType, Benchmark | | | |
//! | NumberOfVMs | M | | |
//!
//! UpdateTime is ignored.
//!
//! Source: the consumer's CloudSummaryRecord; EGI's documentation of cloud accounting.

use super::record::{self, record};
use super::report::Report;
use super::table::{Field, Limit, Row, Table, slot};
use super::{Format, Message, month, write};
use crate::Finding;
use crate::records::Rules;

record! {
    /// One month's machines of one kind, as in the table above.
    CloudSummary, FIELDS {
        /// SiteName
        site_name: &'a str = Field::text("SiteName").mandatory();
        /// CloudComputeService
        cloud_compute_service: Option<&'a str> = Field::text("CloudComputeService");
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
        /// Status
        status: Option<&'a str> = Field::text("Status");
        /// CloudType
        cloud_type: Option<&'a str> = Field::text("CloudType");
        /// ImageId
        image_id: Option<&'a str> = Field::text("ImageId");
        /// EarliestStartTime, seconds since 1970
        earliest_start_time: Option<i64> = Field::time("EarliestStartTime");
        /// LatestStartTime, seconds since 1970
        latest_start_time: Option<i64> = Field::time("LatestStartTime");
        /// WallDuration, seconds
        wall_duration: Option<i64> = Field::integer("WallDuration").limit(Limit::BigInt);
        /// CpuDuration, seconds
        cpu_duration: Option<i64> = Field::integer("CpuDuration").limit(Limit::BigInt);
        /// CpuCount
        cpu_count: Option<f64> = Field::number("CpuCount");
        /// NetworkInbound, GB
        network_inbound: Option<i64> = Field::integer("NetworkInbound");
        /// NetworkOutbound, GB
        network_outbound: Option<i64> = Field::integer("NetworkOutbound");
        /// Memory, MB
        memory: Option<i64> = Field::integer("Memory");
        /// Disk, GB
        disk: Option<i64> = Field::integer("Disk");
        /// BenchmarkType
        benchmark_type: Option<&'a str> = Field::text("BenchmarkType").limit(Limit::Characters(50));
        /// Benchmark
        benchmark: Option<f64> = Field::number("Benchmark");
        /// NumberOfVMs
        number_of_vms: i64 = Field::integer("NumberOfVMs").mandatory().limit(Limit::Int);
    }
}

const MONTH: usize = slot(FIELDS, "Month");
const YEAR: usize = slot(FIELDS, "Year");
const EARLIEST: usize = slot(FIELDS, "EarliestStartTime");
const LATEST: usize = slot(FIELDS, "LatestStartTime");

pub(super) static TABLE: Table = Table {
    name: "cloud summary message",
    code: "cloud-summary",
    versions: &["v0.4"],
    fields: FIELDS,
    ignored: &["UpdateTime"],
    level_type: None,
    check: check_record,
};

/// Checks a cloud summary message.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    super::check_as(payload, &[Format::CloudSummary], rules)
}

/// Reads a cloud summary message.
///
/// # Errors
/// What the loader rejects whatever the time is, and numbers that do not fit their fields.
pub fn parse(payload: &[u8]) -> Result<Message<'_, CloudSummary<'_>>, Vec<Finding>> {
    record::parse(payload, Format::CloudSummary)
}

/// Writes a cloud summary message.
///
/// # Errors
/// A value that a line of a record cannot contain.
pub fn write(message: &Message<'_, CloudSummary<'_>>) -> Result<String, Vec<Finding>> {
    write::message("APEL-cloud-summary-message", &TABLE, message)
}

fn check_record(row: &Row<'_>, rules: &Rules, report: &mut Report<'_>) {
    if !rules.strict {
        return;
    }
    month::strict(row, MONTH, YEAR, report);
    if let (Some(earliest), Some(latest)) = (row.integer(EARLIEST), row.integer(LATEST))
        && latest < earliest
    {
        report.error("starts-in-disorder", "LatestStartTime", &latest, "must not be before EarliestStartTime");
    }
}
