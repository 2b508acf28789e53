//! Text: a header line, then records of `Key: value` lines, each ended by `%%`.
//!
//! Lines and white space are those of the loader, which is written in Python: a form feed or a U+2028 ends a line
//! there, and a no-break space is white space. What it would see as a field is a field here.

use std::borrow::Cow;
use std::ops::Range;

use super::edit::{Field, Place, Span};
use super::{Form, Kind, Shape, uncuttable};
use crate::Finding;
use crate::records::python::{is_null, is_space, line_end, strip};
use crate::records::text::version;

/// The text between two records.
const SEPARATOR: &[u8] = b"%%";

/// A span without the white space around it; bytes that are not UTF-8 are no white space.
pub(super) fn trim(bytes: &[u8], span: Range<usize>) -> Range<usize> {
    let mut span = trim_start(bytes, span);
    while let Some(width) = last_space(bytes.get(span.clone()).unwrap_or_default()) {
        span.end -= width;
    }
    span
}

/// A span without the white space before it.
pub(super) fn trim_start(bytes: &[u8], mut span: Range<usize>) -> Range<usize> {
    while let Some(width) = first_space(bytes.get(span.clone()).unwrap_or_default()) {
        span.start += width;
    }
    span
}

fn first_space(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        byte if byte.is_ascii() => is_space(char::from(*byte)).then_some(1),
        _ => (2..=3).find(|&width| bytes.get(..width).is_some_and(is_one_space)),
    }
}

fn last_space(bytes: &[u8]) -> Option<usize> {
    match bytes.last()? {
        byte if byte.is_ascii() => is_space(char::from(*byte)).then_some(1),
        _ => (2..=3)
            .find(|&width| bytes.len().checked_sub(width).and_then(|at| bytes.get(at..)).is_some_and(is_one_space)),
    }
}

fn is_one_space(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        let mut characters = text.chars();
        characters.next().is_some_and(is_space) && characters.next().is_none()
    })
}

/// The header line.
fn header(payload: &[u8]) -> Range<usize> {
    let whole = trim(payload, 0..payload.len());
    let length = line_end(payload.get(whole.clone()).unwrap_or_default()).0;
    whole.start..whole.start + length
}

/// The kind that the header line names. The loader requires a summary's header letter for letter; that is for a check to
/// say.
pub(super) fn kind(payload: &[u8]) -> Kind {
    let line = payload.get(header(payload)).and_then(|line| std::str::from_utf8(line).ok()).map_or("", strip);
    let (name, rest) = line.split_once(':').unwrap_or((line, ""));
    match (strip(name), version(rest)) {
        ("APEL-individual-job-message", _) => Kind::Job,
        ("APEL-summary-job-message", "v0.3") | ("APEL-normalised-summary-message", _) => Kind::NormalisedSummary,
        ("APEL-summary-job-message", _) => Kind::Summary,
        ("APEL-sync-message", _) => Kind::Sync,
        ("APEL-cloud-message", _) => Kind::Cloud,
        ("APEL-cloud-summary-message", _) => Kind::CloudSummary,
        _ => Kind::Unknown,
    }
}

/// Cuts at every `%%`, anywhere, as the loader does.
pub(super) fn cut(payload: &[u8]) -> Result<Shape<'_>, Vec<Finding>> {
    let header = header(payload);
    let name = payload.get(header.clone()).unwrap_or_default().split(|&byte| byte == b':').next().unwrap_or_default();
    let name = name.trim_ascii();
    if !(name.starts_with(b"APEL-") && name.ends_with(b"-message")) {
        return Err(uncuttable(
            "the message has none of the headers `APEL-…-message`, so it cannot be split into records",
        ));
    }
    let mut records = Vec::new();
    let mut from = header.end;
    while from < payload.len() {
        let end = separator(payload, from).unwrap_or(payload.len());
        let record = trim(payload, from..end);
        if !record.is_empty() {
            records.push(record);
        }
        from = end + SEPARATOR.len();
    }
    Ok(Shape { payload, form: Form::Text, records })
}

/// The position of the next separator.
fn separator(payload: &[u8], from: usize) -> Option<usize> {
    let percents = memchr::memchr_iter(b'%', payload.get(from..)?);
    percents.map(|at| from + at).find(|&at| payload.get(at + 1) == Some(&b'%'))
}

/// The fields of a record.
pub(super) fn fields(payload: &[u8], record: Range<usize>) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    let mut from = record.start;
    while from < record.end {
        let (length, width) = line_end(payload.get(from..record.end).unwrap_or_default());
        let (end, next) = (from + length, from + length + width);
        let line = payload.get(from..end).unwrap_or_default();
        if let Some(colon) = memchr::memchr(b':', line) {
            let name = trim(payload, from..from + colon);
            let value = trim(payload, from + colon + 1..end);
            let text = lossy(payload, value.clone());
            let null = is_null(&text);
            fields.push(Field {
                name: lossy(payload, name.clone()),
                value: text,
                null,
                container: false,
                place: Place::Line,
                span: Span { name, value, ..Span::default() },
            });
        }
        from = next;
    }
    fields
}

pub(super) fn lossy(payload: &[u8], span: Range<usize>) -> Cow<'_, str> {
    String::from_utf8_lossy(payload.get(span).unwrap_or_default())
}

/// The line end that a message uses.
pub(super) fn line_break(payload: &[u8]) -> &'static str {
    let before = memchr::memchr(b'\n', payload).and_then(|at| payload.get(at.checked_sub(1)?));
    if before == Some(&b'\r') { "\r\n" } else { "\n" }
}

/// Whether a value can stand in a line: it ends neither the line nor the record.
pub(super) fn is_line(value: &str) -> bool {
    let bytes = value.as_bytes();
    line_end(bytes).1 == 0 && separator(bytes, 0).is_none()
}
