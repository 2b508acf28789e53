//! Reads the records of a body by a format's table, and reports what the loader would reject.

use super::header::Header;
use super::levels::{self, BadTable, Benchmarked};
use super::report::Report;
use super::strict;
use super::table::{Kind, Row, Table, Value};
use crate::records::{Findings, Rules, python};
use crate::{Finding, Severity};

/// Checks a message whose header was read.
pub(super) fn check(header: &Header<'_>, table: &'static Table, rules: &Rules) -> Vec<Finding> {
    let mut findings = Findings::new();
    read(header, table, rules, &mut findings, &mut |_, _| {});
    findings.finish()
}

/// Checks a message and hands every record with its text to `each`.
pub(super) fn read<'a>(
    header: &Header<'a>,
    table: &'static Table,
    rules: &Rules,
    findings: &mut Findings,
    each: &mut dyn FnMut(&'a str, &Row<'a>),
) {
    if rules.strict {
        strict::version(header, table, findings);
    }
    let mut report = Report { findings, table, record: 0 };
    for text in records(header.body) {
        report.record = report.record.saturating_add(1);
        let row = read_record(text, header.is_v04(), rules, &mut report);
        complete(&row, rules, &mut report);
        (table.check)(&row, rules, &mut report);
        each(text, &row);
    }
    if report.record == 0 {
        no_records(rules, report.findings);
    }
}

/// The records of a body, stripped; chunks without anything in them are none.
fn records(body: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        loop {
            let (chunk, next) = split(rest?);
            rest = next;
            match python::strip(chunk) {
                "" => {}
                record => return Some(record),
            }
        }
    })
}

/// Splits at the first `%%`.
fn split(text: &str) -> (&str, Option<&str>) {
    let mut from = 0;
    while let Some(ahead) = text.get(from..).and_then(|rest| rest.find('%')) {
        let at = from + ahead;
        if text.as_bytes().get(at + 1) == Some(&b'%') {
            return (text.get(..at).unwrap_or_default(), text.get(at + 2..));
        }
        from = at + 1;
    }
    (text, None)
}

fn no_records(rules: &Rules, findings: &mut Findings) {
    let severity = if rules.strict { Severity::Error } else { Severity::Warning };
    findings.add(severity, || Finding::error("message.no-records", "there is no record after the header line"));
}

/// Reads the lines of one record.
fn read_record<'a>(text: &'a str, v04: bool, rules: &Rules, report: &mut Report<'_>) -> Row<'a> {
    let mut row = Row::new(v04);
    let mut likely = 0;
    for line in python::lines(text) {
        let Some((key, value)) = split_at_colon(line) else {
            let text =
                "every line of a record must be a key, a colon and a value; blank lines may stand between records only";
            report.bad_line(line, text);
            continue;
        };
        let (key, value) = (python::strip(key), python::strip(value));
        match report.table.find(key, likely, v04) {
            Some(slot) => {
                likely = slot + 1;
                read_field(&mut row, slot, value, rules, report);
            }
            None if report.table.ignored.contains(&key) => {}
            None => {
                report.error("unknown-field", key, &value, "is not a field of this format; the consumer rejects it")
            }
        }
    }
    row
}

/// `line.split_once(':')`, which is not small when it is fast.
#[inline]
fn split_at_colon(line: &str) -> Option<(&str, &str)> {
    let bytes = line.as_bytes();
    let mut at = 0;
    while *bytes.get(at)? != b':' {
        at += 1;
    }
    Some((line.get(..at)?, line.get(at + 1..)?))
}

/// Reads one field; of one that comes twice the last value stays.
fn read_field<'a>(row: &mut Row<'a>, slot: usize, text: &'a str, rules: &Rules, report: &mut Report<'_>) {
    let Some(field) = report.table.fields.get(slot) else { return };
    let bit = 1_u32.checked_shl(u32::try_from(slot).unwrap_or(u32::MAX)).unwrap_or(0);
    if row.seen & bit != 0 {
        report.warning(
            "repeated-field",
            field.name,
            &text,
            "comes more than once in the record; the last value counts",
        );
    }
    row.seen |= bit;
    let value = match field.kind {
        Kind::Level | Kind::Count if row.v04 => read_table(row, field.name, field.kind, text, report),
        _ if python::is_null(text) && field.mandatory => {
            report.error("missing-field", field.name, &text, "is mandatory and has no value");
            Value::Bad
        }
        _ if python::is_null(text) => Value::Null,
        kind => plain(kind, text).unwrap_or_else(|| {
            let (rule, words) = must_be(kind);
            report.error(rule, field.name, &text, words);
            Value::Bad
        }),
    };
    if rules.strict {
        strict::fits(field, &value, text, report);
    }
    row.set(slot, value);
}

fn plain(kind: Kind, text: &str) -> Option<Value<'_>> {
    match kind {
        Kind::Text => Some(Value::Text(text)),
        Kind::Integer => python::int(text).map(Value::Integer),
        Kind::Number => python::float(text).map(Value::Number),
        Kind::Time => python::timestamp(text).map(Value::Integer),
        Kind::Level => python::float(text).map(|value| Value::Level(Benchmarked::Plain(value))),
        Kind::Count => python::int(text).map(|value| Value::Count(Benchmarked::Plain(value))),
    }
}

fn must_be(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Integer | Kind::Count => ("bad-integer", "must be a whole number"),
        Kind::Time => ("bad-time", "must be whole seconds since 1970 or a time such as 2024-01-31T12:00:00Z"),
        Kind::Text | Kind::Number | Kind::Level => ("bad-number", "must be a number"),
    }
}

/// Reads a table of benchmarks, which also says what the record's benchmark is.
fn read_table<'a>(row: &mut Row<'a>, field: &str, kind: Kind, text: &'a str, report: &mut Report<'_>) -> Value<'a> {
    let (benchmark, value) = match levels::read(text) {
        Ok(kept) => kept,
        Err(error) => {
            let (rule, words) = bad_table(error);
            report.error(rule, field, &text, words);
            return Value::Bad;
        }
    };
    if let Some(slot) = report.table.level_type {
        match row.value(slot) {
            Value::Absent => row.set(slot, Value::Text(benchmark)),
            Value::Text(before) if before == benchmark => {}
            _ => report.error("mixed-benchmarks", field, &text, "gives another benchmark than the record gave before"),
        }
    }
    if kind == Kind::Level {
        return Value::Level(Benchmarked::Table(text, value));
    }
    if !value.is_finite() {
        report.error("bad-integer", field, &text, "must give a finite number");
        return Value::Bad;
    }
    // Python's int() cuts off towards zero too; what is too large for i64 stays at its end, as with python::int.
    Value::Count(Benchmarked::Table(text, value as i64))
}

fn bad_table(error: BadTable) -> (&'static str, &'static str) {
    match error {
        BadTable::Malformed => ("bad-table", "must be a table of benchmarks such as {hepscore23: 12.5}"),
        BadTable::Doubled => ("doubled-benchmark", "names a benchmark twice"),
        BadTable::Unknown => ("unknown-benchmark", "must have one of the benchmarks hepscore23, hepspec and si2k"),
    }
}

/// Reports fields that are not there.
fn complete(row: &Row<'_>, rules: &Rules, report: &mut Report<'_>) {
    for (field, value) in report.table.fields.iter().zip(&row.values) {
        match value {
            Value::Absent if field.mandatory => report.missing("missing-field", field, "is mandatory and missing"),
            Value::Absent | Value::Null if field.demanded && rules.strict => {
                report.missing("demanded-field", field, "is mandatory by the format's documents and missing");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_separated_by_two_percent_signs_anywhere() {
        let found = |text| records(text).collect::<Vec<_>>();
        assert_eq!(found("a\n%%\nb\n%%\n"), ["a", "b"]);
        assert_eq!(found("%%a%%%b % c%%%%\u{a0}%%"), ["a", "%b % c"]);
        assert_eq!(found(" \n"), [""; 0]);
        assert_eq!(found("a %"), ["a %"]);
    }
}
