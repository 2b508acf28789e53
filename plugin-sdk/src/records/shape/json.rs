//! JSON: an object with `Type` and the array `UsageRecords`.
//!
//! Read by a scanner that knows where everything stands and copies nothing. It takes what Python's `json` takes, `NaN` and
//! lone surrogates included, so that nothing the consumer would read is passed over; nesting is bounded.

use std::borrow::Cow;
use std::ops::Range;

use super::edit::{Field, Place, Span};
use super::text::{lossy, trim};
use super::{Form, Kind, Shape, uncuttable};
use crate::Finding;
use crate::records::python::is_null;

/// How deep values may be nested.
const MAX_DEPTH: u32 = 64;

/// What is wrong, and where.
struct Broken {
    what: &'static str,
    at: usize,
}

type Scanned<T> = Result<T, Broken>;

/// The kind that `Type` names.
pub(super) fn kind(payload: &[u8]) -> Kind {
    cut(payload).map_or(Kind::Unknown, |shape| shape.kind)
}

fn kind_named(name: &str) -> Kind {
    match name {
        "APEL-accelerator-message" => Kind::Accelerator,
        "APEL-accelerator-summary-message" => Kind::AcceleratorSummary,
        "APEL Public IP message" => Kind::PublicIp,
        _ => Kind::Unknown,
    }
}

/// Cuts at the elements of `UsageRecords`.
pub(super) fn cut(payload: &[u8]) -> Result<Shape<'_>, Finding> {
    let whole = trim(payload, 0..payload.len());
    let mut scanner = Scanner { bytes: payload.get(..whole.end).unwrap_or_default(), at: whole.start };
    let mut kind = Kind::Unknown;
    let mut records: Option<Vec<Range<usize>>> = None;
    let scanned = scanner.members(|scanner, key| match scanner.string_of(key).as_ref() {
        "UsageRecords" if records.is_some() => Err(scanner.broken("has the member UsageRecords twice")),
        "UsageRecords" => {
            let mut spans = Vec::new();
            scanner.elements(|scanner| scanner.skip(MAX_DEPTH).map(|span| spans.push(span)))?;
            records = Some(spans);
            Ok(())
        }
        "Type" => {
            let value = scanner.skip(MAX_DEPTH)?;
            kind = kind_named(&scanner.string_of(value));
            Ok(())
        }
        _ => scanner.skip(MAX_DEPTH).map(drop),
    });
    let scanned = scanned.and_then(|()| match scanner.at == whole.end {
        true => Ok(()),
        false => Err(scanner.broken("goes on behind its end")),
    });
    match (scanned, records) {
        (Ok(()), Some(records)) => Ok(Shape { payload, kind, form: Form::Json, records }),
        (Ok(()), None) => {
            Err(uncuttable("the JSON object has no array UsageRecords, so its records cannot be told apart"))
        }
        (Err(Broken { what, at }), _) => Err(uncuttable(format!("the JSON {what}, at byte {at}"))),
    }
}

/// The fields of a record, those inside other values named with a dot between.
pub(super) fn fields(payload: &[u8], record: Range<usize>) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    let mut scanner = Scanner { bytes: payload.get(..record.end).unwrap_or_default(), at: record.start };
    // The record was scanned when the message was cut.
    let _ = scanner.collect("", MAX_DEPTH, &mut fields);
    fields
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn broken(&self, what: &'static str) -> Broken {
        Broken { what, at: self.at }
    }

    fn peek(&mut self) -> Option<u8> {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Scanned<()> {
        if self.peek() != Some(byte) {
            return Err(self.broken(what));
        }
        self.at += 1;
        Ok(())
    }

    /// Goes through an object; `each` gets the span of a key and stands before its value, which it must pass.
    fn members(&mut self, mut each: impl FnMut(&mut Self, Range<usize>) -> Scanned<()>) -> Scanned<()> {
        self.expect(b'{', "has no object where one must be")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.peek();
            let key = self.string()?;
            self.expect(b':', "has no colon behind a name")?;
            each(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.broken("has an object without an end")),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Goes through an array; `each` stands before an element, which it must pass.
    fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Scanned<()>) -> Scanned<()> {
        self.expect(b'[', "has no array where one must be")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.broken("has an array without an end")),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Passes one value; answers where it stands.
    fn skip(&mut self, depth: u32) -> Scanned<Range<usize>> {
        let first = self.peek();
        let start = self.at;
        let depth = depth.checked_sub(1).ok_or_else(|| self.broken("is nested too deep"))?;
        match first {
            Some(b'{') => self.members(|scanner, _| scanner.skip(depth).map(drop))?,
            Some(b'[') => self.elements(|scanner| scanner.skip(depth).map(drop))?,
            Some(b'"') => self.string().map(drop)?,
            _ => self.scalar()?,
        }
        Ok(start..self.at)
    }

    fn string(&mut self) -> Scanned<Range<usize>> {
        let start = self.at;
        if self.bytes.get(start) != Some(&b'"') {
            return Err(self.broken("has no string where one must be"));
        }
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                _ => return Err(self.broken("has a string without an end or with a control character")),
            }
        }
        self.at += 1;
        Ok(start..self.at)
    }

    fn escape(&mut self) -> Scanned<()> {
        self.at += match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if hex4(self.bytes, self.at + 2).is_some() => 6,
            _ => return Err(self.broken("has an escape that is none")),
        };
        Ok(())
    }

    fn scalar(&mut self) -> Scanned<()> {
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let token = rest.get(..rest.iter().position(|byte| !token(byte)).unwrap_or(rest.len())).unwrap_or_default();
        let known = matches!(token, b"true" | b"false" | b"null" | b"NaN" | b"Infinity" | b"-Infinity");
        if !known && !is_number(token) {
            return Err(self.broken("has no value where one must be"));
        }
        self.at += token.len();
        Ok(())
    }

    /// What a string says; the text of any other value.
    fn string_of(&self, span: Range<usize>) -> Cow<'a, str> {
        decode(self.bytes, span)
    }

    /// Collects the fields of the value that begins here.
    fn collect(&mut self, path: &str, depth: u32, fields: &mut Vec<Field<'a>>) -> Scanned<Range<usize>> {
        let first = self.peek();
        let start = self.at;
        let Some(deeper) = depth.checked_sub(1) else { return Err(self.broken("is nested too deep")) };
        match first {
            Some(b'{') => self.members(|scanner, key| scanner.member(path, key, deeper, fields))?,
            Some(b'[') => self.elements(|scanner| scanner.collect(path, deeper, fields).map(drop))?,
            _ => return self.skip(depth),
        }
        Ok(start..self.at)
    }

    fn member(&mut self, path: &str, key: Range<usize>, depth: u32, fields: &mut Vec<Field<'a>>) -> Scanned<()> {
        let leaf = self.string_of(key.clone());
        let name = if path.is_empty() { leaf } else { format!("{path}.{leaf}").into() };
        let container = matches!(self.peek(), Some(b'{' | b'['));
        let place = fields.len();
        let inside = name.clone();
        let value = if container { self.at..self.at } else { self.skip(depth)? };
        let span = Span { name: key, value: value.clone(), ..Span::default() };
        fields.push(Field { name, value: "".into(), null: false, container, place: Place::Member, span });
        let value = if container { self.collect(&inside, depth, fields)? } else { value };
        if let Some(field) = fields.get_mut(place) {
            field.value = self.string_of(value.clone());
            field.null = !container && is_null(field.value.trim());
            field.span.value = value;
        }
        Ok(())
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?.iter().map(|&byte| char::from(byte).to_digit(16));
    digits.into_iter().try_fold(0, |sum, digit| Some(sum * 16 + digit?))
}

/// RFC 8259, clause 6.
fn is_number(token: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = token.strip_prefix(b"-").unwrap_or(token);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.first() == Some(&b'0')) {
        return false;
    }
    rest = rest.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or_default();
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', rest @ ..] => rest,
            rest => rest,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// What a string says, a lone surrogate as U+FFFD; the text of any other value.
fn decode(bytes: &[u8], span: Range<usize>) -> Cow<'_, str> {
    let token = bytes.get(span.clone()).unwrap_or_default();
    if token.first() != Some(&b'"') {
        return lossy(bytes, span);
    }
    let inner = span.start + 1..(span.end - 1).max(span.start + 1);
    if memchr::memchr(b'\\', token).is_none() {
        return lossy(bytes, inner);
    }
    let mut decoded = String::new();
    let mut from = inner.start;
    while from < inner.end {
        let rest = bytes.get(from..inner.end).unwrap_or_default();
        let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        decoded.push_str(&lossy(bytes, from..from + plain));
        from += plain;
        if from < inner.end {
            from += unescape(bytes, from, &mut decoded);
        }
    }
    decoded.into()
}

/// Appends what an escape stands for; answers its width.
fn unescape(bytes: &[u8], at: usize, decoded: &mut String) -> usize {
    let (character, width) = match bytes.get(at + 1) {
        Some(b'u') => {
            let unit = hex4(bytes, at + 2).unwrap_or(0xFFFD);
            let low = (bytes.get(at + 6..at + 8) == Some(b"\\u")).then(|| hex4(bytes, at + 8)).flatten();
            match (unit, low) {
                (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                    (char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00)), 12)
                }
                _ => (char::from_u32(unit), 6),
            }
        }
        Some(b'b') => (Some('\u{8}'), 2),
        Some(b'f') => (Some('\u{c}'), 2),
        Some(b'n') => (Some('\n'), 2),
        Some(b'r') => (Some('\r'), 2),
        Some(b't') => (Some('\t'), 2),
        Some(&other) => (Some(char::from(other)), 2),
        None => (None, 1),
    };
    decoded.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
    width
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
