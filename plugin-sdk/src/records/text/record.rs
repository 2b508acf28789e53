//! Typed records: from the values of a row to a struct with a field for each, and back.

use std::ops::Range;

use super::Format;
use super::header::{Header, decode, header};
use super::levels::Benchmarked;
use super::report::Report;
use super::scan;
use super::table::{Row, Value};
use crate::Finding;
use crate::records::{Findings, Rules};

/// A message of one format.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a, R> {
    /// The text after the type in the header line, such as `v0.3`; `v0.4` chooses tables of benchmarks.
    pub version: &'a str,
    /// The records, in the order of the message.
    pub records: Vec<Placed<R>>,
}

/// A record and its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed<R> {
    /// The bytes of the payload that it was read from, without separators; empty for a new record.
    pub span: Range<usize>,
    /// Its values.
    pub record: R,
}

impl<R> From<R> for Placed<R> {
    fn from(record: R) -> Self {
        Self { span: 0..0, record }
    }
}

/// A struct of a format's fields, in the order of its table.
pub(super) trait Typed<'a>: Sized {
    fn from_row(row: &Row<'a>) -> Option<Self>;
    fn values(&self) -> Vec<Value<'a>>;
}

/// A Rust type that a field's value has.
pub(super) trait Held<'a>: Sized {
    fn take(value: Value<'a>) -> Option<Self>;
    fn value(&self) -> Value<'a>;
}

macro_rules! held {
    ($type:ty, $variant:ident) => {
        impl<'a> Held<'a> for $type {
            fn take(value: Value<'a>) -> Option<Self> {
                match value {
                    Value::$variant(value) => Some(value),
                    _ => None,
                }
            }
            fn value(&self) -> Value<'a> {
                Value::$variant(*self)
            }
        }
    };
}

held!(&'a str, Text);
held!(i64, Integer);
held!(f64, Number);
held!(Benchmarked<'a, f64>, Level);
held!(Benchmarked<'a, i64>, Count);

impl<'a, T: Held<'a>> Held<'a> for Option<T> {
    fn take(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Absent | Value::Null => Some(None),
            value => T::take(value).map(Some),
        }
    }
    fn value(&self) -> Value<'a> {
        self.as_ref().map_or(Value::Absent, Held::value)
    }
}

/// Makes a format's struct and its table of fields from one list.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident, $fields:ident { $($(#[$doc:meta])* $field:ident: $type:ty = $spec:expr;)+ }) => {
        const $fields: &[$crate::records::text::table::Field] = &[$($spec),+];

        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name<'a> { $($(#[$doc])* pub $field: $type,)+ }

        impl<'a> $crate::records::text::record::Typed<'a> for $name<'a> {
            fn from_row(row: &$crate::records::text::table::Row<'a>) -> Option<Self> {
                let mut values = row.values.iter().copied();
                Some(Self { $($field: $crate::records::text::record::Held::take(values.next()?)?,)+ })
            }
            fn values(&self) -> Vec<$crate::records::text::table::Value<'a>> {
                vec![$($crate::records::text::record::Held::value(&self.$field)),+]
            }
        }
    };
}
pub(super) use record;

/// Reads a message that must be of `format`; of what the loader checks, all but what depends on the time.
pub(super) fn parse<'a, R: Typed<'a>>(payload: &'a [u8], format: Format) -> Result<Message<'a, R>, Vec<Finding>> {
    let (text, header) = of_format(payload, format)?;
    let rules = Rules { now: i64::MAX, strict: false };
    let (mut findings, mut too_large) = (Findings::new(), Findings::new());
    let mut records = Vec::new();
    scan::read(&header, format.table(), &rules, &mut findings, &mut |record, row| {
        let number = u32::try_from(records.len()).unwrap_or(u32::MAX).saturating_add(1);
        within(row, &mut Report { findings: &mut too_large, table: format.table(), record: number });
        records.push((span_in(text, record, payload), R::from_row(row)));
    });
    if findings.any_error() {
        return Err(findings.finish());
    }
    let records = records.into_iter().map(|(span, record)| Some(Placed { span, record: record? })).collect();
    match records {
        Some(records) if !too_large.any_error() => Ok(Message { version: header.version, records }),
        _ => Err(too_large.finish()),
    }
}

/// Refuses numbers that [`crate::records::python::int`] holds at an end of its range, for what was written is lost.
fn within(row: &Row<'_>, report: &mut Report<'_>) {
    for (field, value) in report.table.fields.iter().zip(&row.values) {
        let number = match value {
            Value::Integer(number) => *number,
            Value::Count(count) => count.value(),
            _ => 0,
        };
        if number == i64::MIN || number == i64::MAX {
            report.error("out-of-range", field.name, &number, "is too large to be kept in a record");
        }
    }
}

fn of_format(payload: &[u8], format: Format) -> Result<(&str, Header<'_>), Vec<Finding>> {
    let text = decode(payload)?;
    let header = header(text)?;
    if header.format == format {
        return Ok((text, header));
    }
    Err(vec![super::wrong_type(header.format, &[format])])
}

/// Where `record`, a part of `text`, stands in `payload`, of which `text` is the stripped middle.
fn span_in(text: &str, record: &str, payload: &[u8]) -> Range<usize> {
    debug_assert!(text.as_ptr() >= payload.as_ptr() && record.as_ptr() >= text.as_ptr());
    let start = record.as_ptr().addr().saturating_sub(payload.as_ptr().addr());
    start..start + record.len()
}
