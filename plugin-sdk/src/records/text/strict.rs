//! What the documents and the consumer's database demand and its loader does not check, as far as it concerns one field.

use super::header::Header;
use super::report::Report;
use super::table::{Field, Limit, Table, Value};
use crate::records::{Findings, listed, python, quoted};
use crate::{Finding, Severity};

/// The size of the range of DECIMAL(10,3), which has seven digits before the point.
const DECIMAL_END: f64 = 1e7;

/// The version must be one that is documented.
pub(super) fn version(header: &Header<'_>, table: &Table, findings: &mut Findings) {
    if !table.versions.contains(&header.version) {
        findings.add(Severity::Error, || {
            let text = format!("the version of a {} must be {}", table.name, listed(table.versions, " or "));
            let value = Some(quoted(header.version).to_owned());
            Finding { value, ..Finding::error(&format!("{}.unknown-version", table.code), text) }
        });
    }
}

/// A value, read from `text`, must fit its column.
pub(super) fn fits(field: &Field, value: &Value<'_>, text: &str, report: &mut Report<'_>) {
    let fits = match (field.limit, value) {
        (Limit::Characters(most), Value::Text(text)) if python::len(text) > usize::from(most) => {
            report.error("too-long", field.name, &text, "is longer than the consumer's column");
            return;
        }
        (limit, Value::Integer(number)) => limit.holds(*number),
        (limit, Value::Count(count)) => limit.holds(count.value()),
        (Limit::Decimal, Value::Number(number)) => number.abs() < DECIMAL_END,
        (Limit::Decimal, Value::Level(level)) => level.value().abs() < DECIMAL_END,
        _ => true,
    };
    if !fits {
        report.error("out-of-range", field.name, &text, "is outside the range of the consumer's column");
    }
}
