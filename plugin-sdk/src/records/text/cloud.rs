//! Virtual machines: `APEL-cloud-message`, versions 0.2 and 0.4, which the loader treats alike.
//!
//! # Fields
//! M: without it the loader rejects the record.
//!
//! | field | | what | unit |
//! |---|---|---|---|
//! | RecordCreateTime | | | seconds since 1970 |
//! | VMUUID | M | with the month it is the record's key | |
//! | SiteName | M | the site's name in GOCDB | |
//! | CloudComputeService | | | |
//! | MachineName | | name of the machine | |
//! | LocalUserId, LocalGroupId, GlobalUserName | | | |
//! | FQAN | | replaces VO, VOGroup and VORole, which are accepted and not kept | |
//! | Status | | `started`, `completed`, `error`, `paused`, `suspended`, `stopped`, `unknown`; free but for strict rules | |
//! | StartTime, EndTime | | EndTime is often 0 while the machine runs | seconds since 1970 |
//! | SuspendDuration, WallDuration, CpuDuration | | | seconds |
//! | CpuCount | | may have a fraction | |
//! | NetworkType | | | |
//! | NetworkInbound, NetworkOutbound | | | GB |
//! | PublicIPCount | | | |
//! | Memory | | | MB |
//! | Disk | | | GB |
//! | BenchmarkType, Benchmark | | | |
//! | StorageRecordId, ImageId, CloudType | | | |
//!
//! UpdateTime, MeasurementTime, MeasurementMonth and MeasurementYear are ignored. The loader does not compare StartTime
//! with EndTime; the strict rules do where EndTime is not 0.
//!
//! Source: the consumer's CloudRecord; EGI's documentation of cloud accounting; cASO.

use super::record::{self, record};
use super::report::Report;
use super::table::{Field, Limit, Row, Table, slot};
use super::{Format, Message, write};
use crate::Finding;
use crate::records::Rules;

/// What Status may be under strict rules.
const STATUS: [&str; 7] = ["started", "completed", "error", "paused", "suspended", "stopped", "unknown"];

record! {
    /// One virtual machine, as in the table above.
    Cloud, FIELDS {
        /// RecordCreateTime, seconds since 1970
        record_create_time: Option<i64> = Field::time("RecordCreateTime");
        /// VMUUID
        vm_uuid: &'a str = Field::text("VMUUID").mandatory();
        /// SiteName
        site_name: &'a str = Field::text("SiteName").mandatory();
        /// CloudComputeService
        cloud_compute_service: Option<&'a str> = Field::text("CloudComputeService");
        /// MachineName
        machine_name: Option<&'a str> = Field::text("MachineName");
        /// LocalUserId
        local_user_id: Option<&'a str> = Field::text("LocalUserId");
        /// LocalGroupId
        local_group_id: Option<&'a str> = Field::text("LocalGroupId");
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
        /// Status
        status: Option<&'a str> = Field::text("Status");
        /// StartTime, seconds since 1970
        start_time: Option<i64> = Field::time("StartTime");
        /// EndTime, seconds since 1970
        end_time: Option<i64> = Field::time("EndTime");
        /// SuspendDuration, seconds
        suspend_duration: Option<i64> = Field::integer("SuspendDuration").limit(Limit::BigInt);
        /// WallDuration, seconds
        wall_duration: Option<i64> = Field::integer("WallDuration").limit(Limit::BigInt);
        /// CpuDuration, seconds
        cpu_duration: Option<i64> = Field::integer("CpuDuration").limit(Limit::BigInt);
        /// CpuCount
        cpu_count: Option<f64> = Field::number("CpuCount");
        /// NetworkType
        network_type: Option<&'a str> = Field::text("NetworkType");
        /// NetworkInbound, GB
        network_inbound: Option<i64> = Field::integer("NetworkInbound");
        /// NetworkOutbound, GB
        network_outbound: Option<i64> = Field::integer("NetworkOutbound");
        /// PublicIPCount
        public_ip_count: Option<i64> = Field::integer("PublicIPCount");
        /// Memory, MB
        memory: Option<i64> = Field::integer("Memory");
        /// Disk, GB
        disk: Option<i64> = Field::integer("Disk");
        /// BenchmarkType
        benchmark_type: Option<&'a str> = Field::text("BenchmarkType").limit(Limit::Characters(50));
        /// Benchmark
        benchmark: Option<f64> = Field::number("Benchmark");
        /// StorageRecordId
        storage_record_id: Option<&'a str> = Field::text("StorageRecordId");
        /// ImageId
        image_id: Option<&'a str> = Field::text("ImageId");
        /// CloudType
        cloud_type: Option<&'a str> = Field::text("CloudType");
    }
}

const STATUS_SLOT: usize = slot(FIELDS, "Status");
const START: usize = slot(FIELDS, "StartTime");
const END: usize = slot(FIELDS, "EndTime");

pub(super) static TABLE: Table = Table {
    name: "cloud message",
    code: "cloud",
    versions: &["v0.2", "v0.4"],
    fields: FIELDS,
    ignored: &["UpdateTime", "MeasurementTime", "MeasurementMonth", "MeasurementYear"],
    level_type: None,
    check: check_record,
};

/// Checks a cloud message.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    super::check_as(payload, &[Format::Cloud], rules)
}

/// Reads a cloud message.
///
/// # Errors
/// What the loader rejects whatever the time is, and numbers that do not fit their fields.
pub fn parse(payload: &[u8]) -> Result<Message<'_, Cloud<'_>>, Vec<Finding>> {
    record::parse(payload, Format::Cloud)
}

/// Writes a cloud message.
///
/// # Errors
/// A value that a line of a record cannot contain.
pub fn write(message: &Message<'_, Cloud<'_>>) -> Result<String, Vec<Finding>> {
    write::message("APEL-cloud-message", &TABLE, message)
}

fn check_record(row: &Row<'_>, rules: &Rules, report: &mut Report<'_>) {
    if !rules.strict {
        return;
    }
    if let Some(status) = row.text(STATUS_SLOT)
        && !STATUS.contains(&status)
    {
        let text = "must be started, completed, error, paused, suspended, stopped or unknown";
        report.error("unknown-status", "Status", &status, text);
    }
    if let (Some(start), Some(end)) = (row.integer(START), row.integer(END))
        && end != 0
        && end < start
    {
        report.error("ends-before-start", "EndTime", &end, "must not be before StartTime");
    }
}
