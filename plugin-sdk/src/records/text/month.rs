//! The checks that summaries of both kinds share: the month, the end times within it, durations.

use super::report::Report;
use super::table::{Row, Value};
use crate::records::{Rules, python};

/// Where the fields stand that the checks look at.
pub(super) struct Slots {
    pub(super) month: usize,
    pub(super) year: usize,
    pub(super) earliest: usize,
    pub(super) latest: usize,
    pub(super) durations: &'static [usize],
}

/// What the loader checks of a summary.
pub(super) fn check(row: &Row<'_>, slots: &Slots, rules: &Rules, report: &mut Report<'_>) {
    for &slot in slots.durations {
        if let (Some(duration @ ..0), Some(field)) = (row.integer(slot), report.table.fields.get(slot)) {
            report.error("negative-duration", field.name, duration, "must not be negative");
        }
    }
    let (Some(month), Some(year)) = (row.integer(slots.month), row.integer(slots.year)) else { return };
    let Some((start, end)) = span(year, month) else {
        if !(1..=12).contains(&month) {
            report.error("bad-month", "Month", month, "must be from 1 to 12");
        } else {
            report.error("bad-year", "Year", year, "must be a year of the calendar");
        }
        return;
    };
    if start > rules.now {
        report.error("future-month", "Month", format_args!("{year}-{month:02}"), "must not lie in the future");
    }
    end_times(row, slots, start..=end, report);
}

/// A month, from its first second to the first of the next.
fn span(year: i64, month: i64) -> Option<(i64, i64)> {
    let (next_year, next_month) = if month == 12 { (year.checked_add(1)?, 1) } else { (year, month.checked_add(1)?) };
    Some((python::month_start(year, month)?, python::month_start(next_year, next_month)?))
}

/// The loader looks at the latest end time only when there is an earliest one.
fn end_times(row: &Row<'_>, slots: &Slots, month: std::ops::RangeInclusive<i64>, report: &mut Report<'_>) {
    let Some(earliest) = row.integer(slots.earliest) else { return };
    if !month.contains(&earliest) {
        report.error("end-outside-month", "EarliestEndTime", earliest, "must lie in the record's month");
    }
    let Some(latest) = row.integer(slots.latest) else { return };
    if !month.contains(&latest) {
        report.error("end-outside-month", "LatestEndTime", latest, "must lie in the record's month");
    }
    if earliest > latest {
        report.error("ends-in-disorder", "LatestEndTime", latest, "must not be before EarliestEndTime");
    }
}

/// Under strict rules: a month of the calendar, which the loader does not ask of every format.
pub(super) fn strict(row: &Row<'_>, month: usize, year: usize, report: &mut Report<'_>) {
    match row.value(month) {
        Value::Integer(1..=12) => {}
        Value::Integer(month) => report.error("bad-month", "Month", month, "must be from 1 to 12"),
        _ => {}
    }
    match row.value(year) {
        Value::Integer(1970..=9999) => {}
        Value::Integer(year) => report.error("bad-year", "Year", year, "must be a year of four digits from 1970 on"),
        _ => {}
    }
}
