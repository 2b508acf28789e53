//! Counts for synchronisation: `APEL-sync-message`, version 0.1. The portal compares them with its own counts.
//!
//! # Fields
//! M: without it the loader rejects the record; D: only the documents call it mandatory, and so do the strict rules.
//!
//! | field | | what |
//! |---|---|---|
//! | Site | M | the site's name in GOCDB |
//! | SubmitHost | D | id of the compute element |
//! | NumberOfJobs | M | how many job records the site has of that month |
//! | Month, Year | M | any whole numbers; under strict rules a month of the calendar |
//!
//! Source: the consumer's SyncRecord; EGI's documentation of grid accounting.

use super::record::{self, record};
use super::report::Report;
use super::table::{Field, Limit, Row, Table, slot};
use super::{Format, Message, month, write};
use crate::Finding;
use crate::records::Rules;

record! {
    /// The count of one month at one compute element, as in the table above.
    Sync, FIELDS {
        /// Site
        site: &'a str = Field::text("Site").mandatory();
        /// SubmitHost
        submit_host: Option<&'a str> = Field::text("SubmitHost").demanded();
        /// NumberOfJobs
        number_of_jobs: i64 = Field::integer("NumberOfJobs").mandatory().limit(Limit::Int);
        /// Month
        month: i64 = Field::integer("Month").mandatory();
        /// Year
        year: i64 = Field::integer("Year").mandatory();
    }
}

const MONTH: usize = slot(FIELDS, "Month");
const YEAR: usize = slot(FIELDS, "Year");

pub(super) static TABLE: Table = Table {
    name: "sync message",
    code: "sync",
    versions: &["v0.1"],
    fields: FIELDS,
    ignored: &[],
    level_type: None,
    check: check_record,
};

/// Checks a sync message.
#[must_use]
pub fn check(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    super::check_as(payload, &[Format::Sync], rules)
}

/// Reads a sync message.
///
/// # Errors
/// What the loader rejects whatever the time is, and numbers that do not fit their fields.
pub fn parse(payload: &[u8]) -> Result<Message<'_, Sync<'_>>, Vec<Finding>> {
    record::parse(payload, Format::Sync)
}

/// Writes a sync message.
///
/// # Errors
/// A value that a line of a record cannot contain.
pub fn write(message: &Message<'_, Sync<'_>>) -> Result<String, Vec<Finding>> {
    write::message("APEL-sync-message", &TABLE, message)
}

fn check_record(row: &Row<'_>, rules: &Rules, report: &mut Report<'_>) {
    if rules.strict {
        month::strict(row, MONTH, YEAR, report);
    }
}
