//! Writes records as lines, so that they are read back as they were.

use std::fmt::Write as _;

use super::levels::{self, Benchmarked};
use super::record::{Message, Typed};
use super::table::{Presence, Table, Value};
use crate::Finding;
use crate::records::python;

/// Writes a message: fields in the order of the consumer's writer, those without a value left out, `%%` after each
/// record.
///
/// # Errors
/// A value that would not be read back as it is: a text that holds `%%` or a line separator, or begins or ends with
/// white space; in version 0.4 a number of no benchmark.
pub(super) fn message<'a, R: Typed<'a>>(
    kind: &str,
    table: &'static Table,
    message: &Message<'a, R>,
) -> Result<String, Vec<Finding>> {
    let code = format!("{}.unwritable", table.code);
    let version = message.version;
    if python::lines(version).nth(1).is_some() || super::version(version) != version {
        return Err(vec![Finding::error(
            &code,
            "the version contains a line separator, or a colon or blank at an end",
        )]);
    }
    let mut out = format!("{kind}: {version}\n");
    for (at, placed) in message.records.iter().enumerate() {
        if let Err(field) = record(&mut out, table, &placed.record.values(), version == "v0.4") {
            let number = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
            let text =
                "contains what a line of a record cannot: white space at an end, a line separator, %% or no benchmark";
            return Err(vec![Finding::error(&code, text).in_record(number).in_field(field, "")]);
        }
        out.push_str("%%\n");
    }
    Ok(out)
}

/// Appends a record's lines; the field that cannot be written is the error.
fn record(out: &mut String, table: &Table, values: &[Value<'_>], v04: bool) -> Result<(), &'static str> {
    let level_type = table.level_type.and_then(|slot| values.get(slot)).copied().unwrap_or_default();
    for (field, value) in table.fields.iter().zip(values) {
        let value = for_version(*value, field.presence, v04, level_type);
        value.and_then(|value| write_value(out, field.name, value)).ok_or(field.name)?;
    }
    // Behind the tables, where the reader takes it; only where they do not say the same anyway.
    if v04
        && matches!(level_type, Value::Text(kind) if !tables_say(values, kind))
        && let Some(field) = table.level_type.and_then(|slot| table.fields.get(slot))
    {
        write_value(out, field.name, Written::Line(level_type)).ok_or(field.name)?;
    }
    Ok(())
}

/// Whether a table among `values` is read as one of `benchmark`.
fn tables_say(values: &[Value<'_>], benchmark: &str) -> bool {
    values.iter().any(|value| match value {
        Value::Level(Benchmarked::Table(text, _)) | Value::Count(Benchmarked::Table(text, _)) => {
            levels::read(text).is_ok_and(|(kept, _)| kept == benchmark)
        }
        Value::Level(Benchmarked::Plain(_)) | Value::Count(Benchmarked::Plain(_)) => true,
        _ => false,
    })
}

/// What a version writes for a value.
enum Written<'a> {
    Nothing,
    Line(Value<'a>),
    /// A table of one benchmark.
    Benchmark(&'a str, Value<'a>),
}

/// None for a number that needs a benchmark and has none.
fn for_version<'a>(value: Value<'a>, presence: Presence, v04: bool, level_type: Value<'a>) -> Option<Written<'a>> {
    let written = match presence {
        Presence::Always => true,
        Presence::WrittenBeforeV04 => !v04,
        Presence::ReadFromV04 => false,
    };
    Some(match (value, level_type) {
        (Value::Absent | Value::Null | Value::Bad, _) => Written::Nothing,
        (Value::Text(text), _) if python::is_null(text) => Written::Nothing,
        _ if !written => Written::Nothing,
        (Value::Level(Benchmarked::Table(_, number)), _) if !v04 => Written::Line(Value::Number(number)),
        (Value::Count(Benchmarked::Table(_, number)), _) if !v04 => Written::Line(Value::Integer(number)),
        (Value::Level(Benchmarked::Plain(number)), Value::Text(benchmark)) if v04 => {
            Written::Benchmark(benchmark, Value::Number(number))
        }
        (Value::Count(Benchmarked::Plain(number)), Value::Text(benchmark)) if v04 => {
            Written::Benchmark(benchmark, Value::Integer(number))
        }
        (Value::Level(Benchmarked::Plain(_)) | Value::Count(Benchmarked::Plain(_)), _) if v04 => return None,
        (value, _) => Written::Line(value),
    })
}

/// Appends a line; None for a text that would be read back as something else.
fn write_value(out: &mut String, name: &str, value: Written<'_>) -> Option<()> {
    let (benchmark, value) = match value {
        Written::Nothing => return Some(()),
        Written::Line(value) => (None, value),
        Written::Benchmark(benchmark, value) => (Some(levels::known(benchmark)?), value),
    };
    out.push_str(name);
    out.push_str(": ");
    if let Some(benchmark) = benchmark {
        write!(out, "{{{benchmark}: ").ok()?;
    }
    match value {
        Value::Absent | Value::Null | Value::Bad => {}
        Value::Text(text) | Value::Level(Benchmarked::Table(text, _)) | Value::Count(Benchmarked::Table(text, _)) => {
            out.push_str(Some(text).filter(|text| is_one_line(text))?);
        }
        Value::Integer(number) | Value::Count(Benchmarked::Plain(number)) => write!(out, "{number}").ok()?,
        Value::Number(number) | Value::Level(Benchmarked::Plain(number)) => write!(out, "{number}").ok()?,
    }
    out.push_str(if benchmark.is_some() { "}\n" } else { "\n" });
    Some(())
}

fn is_one_line(text: &str) -> bool {
    !text.contains("%%") && python::strip(text) == text && python::lines(text).nth(1).is_none()
}
