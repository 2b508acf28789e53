//! What the JSON formats share: `{"Type": …, "Version": …, "UsageRecords": [ … ]}`, and records that are described by a
//! table of fields.
//!
//! The consumer checks such a message with a JSON Schema (draft 7) and then fills a record from each object. The schema
//! asks for the three names above and allows others; it says which fields of a record must be there and
//! of what type they are. To it, `true` is no number, and a number is whole if its value is, however it is written. It
//! lets unknown fields pass, but filling the record does not, unless they are ignored by name. A mandatory text of
//! `none` or `null` in any case, or empty, is refused when the record is filled; so is a number that is an integer too
//! large for floating point, where the consumer crashes.
//!
//! # Strict
//! Numbers are finite and not negative, texts are at most 255 characters.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use super::iso8601::Time;
use super::json::{self, Kind, Value};
use super::report::{Report, broken};
use super::{Findings, Rules, listed, python, quoted, xml};
use crate::Finding;

/// How many records a message may have.
pub const MAX_RECORDS: usize = 1000;

// As a finding's text says.
const _: () = assert!(MAX_RECORDS == 1000);

/// What a message of one type looks like.
pub(crate) struct Format {
    /// What the codes of findings begin with.
    pub(crate) code: &'static str,
    /// `Type`
    pub(crate) kind: &'static str,
    /// `Version`
    pub(crate) version: &'static str,
    /// In the order of the consumer's writer.
    pub(crate) fields: &'static [Field],
    /// Fields that may be there and are not read.
    pub(crate) ignored: &'static [&'static str],
}

/// What a field of a record is like.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) content: Content,
    pub(crate) need: Need,
}

/// What a field contains.
pub(crate) enum Content {
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    Number,
    /// A whole number.
    Whole,
    /// A whole number from the first to the second.
    Between(i64, i64),
    /// A whole number from 2000 to the present year.
    Year,
}

/// Whether a field must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Mandatory,
    /// May be missing; must not be `null`.
    Optional,
    /// May be missing or `null`.
    Nullable,
}

pub(crate) use Content::{Between, Choice, Number, Text, Whole, Year};
pub(crate) use Need::{Mandatory, Nullable, Optional};

/// Shorthand for a table's line.
pub(crate) const fn field(name: &'static str, content: Content, need: Need) -> Field {
    Field { name, content, need }
}

/// A record that was read: the value of each field that is not null.
pub(crate) struct Read<'d, 'a> {
    /// Its position, in bytes.
    pub(crate) place: Range<usize>,
    value: Value<'d, 'a>,
}

impl<'a> Read<'_, 'a> {
    /// A text; None if it is missing or null.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let text = self.value.get(name).filter(|value| value.kind() == Kind::Text)?.text();
        (!python::is_null(&text)).then_some(text)
    }

    /// A whole number; what is too large for the type is its end.
    pub(crate) fn whole(&self, name: &str) -> Option<i64> {
        self.value.get(name)?.integer()
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.value.get(name)?.number()
    }
}

/// What a document says its type is; None if it does not say.
pub(crate) fn type_of<'a>(document: &json::Document<'a>) -> Option<Cow<'a, str>> {
    document.root()?.get("Type").filter(|kind| kind.kind() == Kind::Text).map(|kind| kind.text())
}

/// Reads the records one by one, with places in the document. What is wrong becomes findings; `take` is given the
/// others.
///
/// # Errors
/// Why there are no records at all.
pub(crate) fn each<'a>(
    document: &json::Document<'a>,
    format: &Format,
    rules: &Rules,
    findings: &mut Findings,
    take: &mut dyn FnMut(Read<'_, 'a>, &mut Report<'_>),
) -> Result<(), Vec<Finding>> {
    let Some(records) = document.root().map(|root| records(root, format)).transpose()? else { return Ok(()) };
    for (index, value) in records.items().enumerate() {
        let mut report = Report::new(findings, format.code, index);
        check(value, format, rules, &mut report);
        if report.is_good() {
            take(Read { place: value.span(), value }, &mut report);
        }
    }
    Ok(())
}

/// Reads all records.
///
/// # Errors
/// What makes them unreadable.
pub(crate) fn all<'a, R>(
    payload: &'a [u8],
    format: &Format,
    read: impl Fn(&Read<'_, 'a>) -> Option<R>,
) -> Result<Vec<R>, Vec<Finding>> {
    let rules = Rules { now: i64::MAX, strict: false };
    let (mut findings, mut records) = (Findings::new(), Vec::new());
    let (document, offset) = (document(payload)?, xml::offset(payload));
    let each = each(&document, format, &rules, &mut findings, &mut |mut record, _| {
        record.place = record.place.start + offset..record.place.end + offset;
        records.extend(read(&record));
    });
    each?;
    if findings.any_error() { Err(findings.finish()) } else { Ok(records) }
}

/// For strict checks of accelerators: the active time is part of the available one.
pub(crate) fn active_within_available(record: &Read<'_, '_>, report: &mut Report<'_>) {
    let (active, available) = (record.whole("ActiveDuration"), record.whole("AvailableDuration"));
    if let Some(active) = active.filter(|&active| Some(active) > available) {
        let text = "the accelerator was active for longer than it was available";
        report.error("active-beyond-available", "ActiveDuration", Some(&active.to_string()), text);
    }
}

/// Reads a message.
///
/// # Errors
/// Why the consumer does not take it for JSON.
pub(crate) fn document(payload: &[u8]) -> Result<json::Document<'_>, Vec<Finding>> {
    let text = xml::text_of(payload)?;
    if !text.starts_with('{') {
        let text = "the message is not a JSON object, the format of these records";
        return Err(vec![Finding::error("json.not-json", text)]);
    }
    json::Document::parse(text).map_err(|fault| xml::malformed("json.malformed", text, fault.rule, fault.at))
}

/// The list of records, if what is around it is in order.
fn records<'d, 'a>(root: Value<'d, 'a>, format: &Format) -> Result<Value<'d, 'a>, Vec<Finding>> {
    let wrong = |rule: &str, name: &str, value: Option<Value<'d, 'a>>, text: &str| {
        vec![broken(format.code, rule, None, Some(name), value.map(|value| value.text()).as_deref(), text)]
    };
    for (name, rule, expected) in [("Type", "wrong-type", format.kind), ("Version", "wrong-version", format.version)] {
        let value = root.get(name);
        if !value.is_some_and(|value| value.kind() == Kind::Text && value.text() == expected) {
            return Err(wrong(rule, name, value, &format!("the message's {name} is not the text {expected}")));
        }
    }
    let (name, value) = ("UsageRecords", root.get("UsageRecords"));
    let Some(list) = value.filter(|value| value.kind() == Kind::List) else {
        return Err(wrong("no-record-list", name, None, "the message has no list of UsageRecords"));
    };
    match list.items().take(MAX_RECORDS + 1).count() {
        0 => Err(wrong("no-record", name, None, "the message contains no record")),
        1..=MAX_RECORDS => Ok(list),
        _ => Err(wrong("too-many-records", name, None, "the message has more than 1000 records")),
    }
}

/// One record against the table.
fn check(record: Value<'_, '_>, format: &Format, rules: &Rules, report: &mut Report<'_>) {
    if record.kind() != Kind::Object {
        return report.error("not-a-record", "UsageRecords", Some(record.source()), "is not an object with fields");
    }
    // Of a name that occurs twice, the last value counts.
    let mut values = vec![None; format.fields.len()];
    for (name, value) in record.entries() {
        let name = name.text();
        let known = format.fields.iter().position(|field| field.name == name);
        match known.and_then(|index| values.get_mut(index)) {
            Some(slot) => *slot = Some(value),
            None if format.ignored.contains(&&*name) => {}
            None => {
                report.error("unknown-field", quoted(&name), Some(&value.text()), "is not a field of this record");
            }
        }
    }
    for (field, value) in format.fields.iter().zip(values) {
        match value {
            Some(value) => check_value(field, value, rules, report),
            None if field.need == Mandatory => {
                report.error("missing-field", field.name, None, "a mandatory field is missing");
            }
            None => {}
        }
    }
}

fn check_value(field: &Field, value: Value<'_, '_>, rules: &Rules, report: &mut Report<'_>) {
    if value.kind() == Kind::Null && field.need == Nullable {
        return;
    }
    let text = value.text();
    let mut wrong = |rule: &str, words: &str| report.error(rule, field.name, Some(&text), words);
    let year = || Time::from_seconds(rules.now).map_or(i64::MAX, Time::year);
    match field.content {
        Text if value.kind() != Kind::Text => wrong("not-text", "is not a text in quotes"),
        Text if field.need == Mandatory && python::is_null(&text) => {
            wrong("null-field", "a mandatory field is empty, or has a value that means null (none, null)");
        }
        Choice(choices) if value.kind() != Kind::Text || !choices.contains(&&*text) => {
            wrong("bad-choice", &format!("is none of {}", listed(choices, ", ")));
        }
        Number if value.kind() != Kind::Number => wrong("not-a-number", "is not a number"),
        Number if value.is_whole() && value.number().is_some_and(f64::is_infinite) => {
            wrong("out-of-range", "is a larger number than the consumer can reckon with");
        }
        Whole if value.integer().is_none() => wrong("not-whole", "is not a whole number"),
        Between(first, last) if !value.integer().is_some_and(|whole| (first..=last).contains(&whole)) => {
            wrong("out-of-range", &format!("is not a whole number from {first} to {last}"));
        }
        Year if !value.integer().is_some_and(|whole| (2000..=year()).contains(&whole)) => {
            wrong("out-of-range", "is not a whole number from 2000 to the present year");
        }
        _ if rules.strict => strict(field, value, report),
        _ => {}
    }
}

/// What the database needs and the loader does not check.
fn strict(field: &Field, value: Value<'_, '_>, report: &mut Report<'_>) {
    match field.content {
        Text | Choice(_) => report.length(field.name, Some(&value.text()), 255),
        Number if !value.number().is_some_and(|number| number.is_finite() && number >= 0.0) => {
            report.error("out-of-range", field.name, Some(value.source()), "is not a number of 0 or more");
        }
        Whole => report.range(field.name, value.integer(), i64::from(i32::MAX)),
        _ => {}
    }
}

/// Writes a message field by field; what is None is left out.
pub(crate) struct Writer {
    text: String,
    /// What comes before the next field: nothing at the beginning of a record.
    separator: &'static str,
}

impl Writer {
    /// Begins a message.
    pub(crate) fn new(format: &Format) -> Self {
        let text = format!("{{\"Type\":\"{}\",\"Version\":\"{}\",\"UsageRecords\":[", format.kind, format.version);
        Self { text, separator: "" }
    }

    /// Begins a record.
    pub(crate) fn begin(&mut self) {
        self.text.push_str(if self.text.ends_with('[') { "\n{" } else { ",\n{" });
        self.separator = "";
    }

    /// Ends a record.
    pub(crate) fn end(&mut self) {
        self.text.push('}');
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name);
            json::quote(value, &mut self.text);
        }
    }

    /// A whole number.
    pub(crate) fn whole(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.name(name);
            let _ = write!(self.text, "{value}");
        }
    }

    /// A number; what is none is left out, for JSON has no way to write it.
    pub(crate) fn number(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.name(name);
            let _ = write!(self.text, "{value}");
        }
    }

    fn name(&mut self, name: &str) {
        let _ = write!(self.text, "{}\"{name}\":", self.separator);
        self.separator = ",";
    }

    /// Ends the message.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("\n]}\n");
        self.text
    }
}
