//! The comma forms of a name: RFC 4514 and OpenSSL's output; see the parent module for the rules.

use super::{Attribute, DistinguishedName, NameError, Oid, UTF8_STRING, Value, invisible};
use crate::asn1::{self, Reader};

/// Reads a comma form.
pub(super) fn parse(text: &str) -> Result<DistinguishedName, NameError> {
    if text.trim().is_empty() {
        return Err(NameError::Empty);
    }
    let mut scanner = Scanner { rest: text.trim_start_matches(' '), spaced: false };
    let mut rdns = vec![Vec::new()];
    loop {
        let attribute = scanner.attribute()?;
        if let Some(rdn) = rdns.last_mut() {
            rdn.push(attribute);
        }
        match scanner.separator() {
            None => break,
            Some('+') => {}
            Some(_) => rdns.push(Vec::new()),
        }
    }
    if !scanner.spaced || ends_at_the_root(&rdns) {
        rdns.reverse();
    }
    DistinguishedName::from_rdns(rdns)
}

/// Whether a list of RDNs has a country or domain component at its end and none at its start.
fn ends_at_the_root(rdns: &[Vec<Attribute>]) -> bool {
    let root = |rdn: Option<&Vec<Attribute>>| {
        rdn.is_some_and(|rdn| rdn.iter().any(|attribute| matches!(attribute.oid.label(), "C" | "DC")))
    };
    root(rdns.last()) && !root(rdns.first())
}

/// Whether a name is probably in reverse order: a comma form without blanks that begins with the country, or a slash
/// form that ends with it.
pub(crate) fn looks_reversed(name: &DistinguishedName) -> bool {
    ends_at_the_root(&name.rdns)
}

struct Scanner<'a> {
    rest: &'a str,
    /// Whether there was a blank next to a separator or an equals sign.
    spaced: bool,
}

impl Scanner<'_> {
    fn attribute(&mut self) -> Result<Attribute, NameError> {
        self.skip_blanks();
        let (label, rest) = self.rest.split_once('=').ok_or(NameError::NoType)?;
        let trimmed = label.trim_end_matches(' ');
        self.spaced |= trimmed.len() != label.len();
        let oid = Oid::from_type(trimmed).ok_or_else(|| NameError::UnknownType(trimmed.to_owned()))?;
        self.rest = rest;
        self.skip_blanks();
        let value = match self.rest.chars().next() {
            Some('#') => self.hex_value()?,
            Some('"') => Value::Text(self.quoted_value()?),
            _ => Value::Text(self.plain_value()?),
        };
        Ok(Attribute { oid, value })
    }

    fn skip_blanks(&mut self) {
        let trimmed = self.rest.trim_start_matches(' ');
        self.spaced |= trimmed.len() != self.rest.len();
        self.rest = trimmed;
    }

    /// Takes the separator after a value.
    fn separator(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let separator = chars.next()?;
        self.rest = chars.as_str();
        Some(separator)
    }

    /// `#` and the hexadecimal DER of the value.
    fn hex_value(&mut self) -> Result<Value, NameError> {
        let end = self.rest.find([',', '+']).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        let bytes = unhex(digits.trim_end_matches(' ').get(1..).unwrap_or_default()).ok_or(NameError::Escape)?;
        let mut reader = Reader::der(&bytes);
        let element = reader.any()?;
        reader.end()?;
        Ok(Value::from_element(element.tag, element.content))
    }

    /// A value in double quotes, as OpenSSL prints a value with a comma.
    fn quoted_value(&mut self) -> Result<String, NameError> {
        let mut bytes = Vec::new();
        let mut chars = self.rest.chars();
        chars.next();
        loop {
            match chars.next().ok_or(NameError::Escape)? {
                '"' => break,
                '\\' => bytes.extend(escape(&mut chars)?),
                c => push(&mut bytes, c)?,
            }
        }
        self.rest = chars.as_str().trim_start_matches(' ');
        if !self.rest.is_empty() && !self.rest.starts_with([',', '+']) {
            return Err(NameError::Escape);
        }
        String::from_utf8(bytes).map_err(|_| NameError::NotUtf8)
    }

    fn plain_value(&mut self) -> Result<String, NameError> {
        let mut bytes = Vec::new();
        let mut solid = 0;
        let mut chars = self.rest.chars();
        loop {
            self.rest = chars.as_str();
            match chars.next() {
                None | Some(',' | '+') => break,
                Some('\\') => {
                    bytes.extend(escape(&mut chars)?);
                    solid = bytes.len();
                }
                Some(' ') => bytes.push(b' '),
                Some(c) => {
                    push(&mut bytes, c)?;
                    solid = bytes.len();
                }
            }
        }
        self.spaced |= solid != bytes.len() && !self.rest.is_empty();
        bytes.truncate(solid);
        String::from_utf8(bytes).map_err(|_| NameError::NotUtf8)
    }
}

/// What a backslash escapes: the next character if it is special, else two hexadecimal digits.
fn escape(chars: &mut std::str::Chars<'_>) -> Result<Vec<u8>, NameError> {
    let first = chars.next().ok_or(NameError::Escape)?;
    if matches!(first, '"' | '+' | ',' | ';' | '<' | '>' | ' ' | '#' | '=' | '\\' | '/') {
        return Ok(vec![u8::try_from(first).map_err(|_| NameError::Escape)?]);
    }
    let second = chars.next().ok_or(NameError::Escape)?;
    unhex(&format!("{first}{second}")).ok_or(NameError::Escape)
}

/// Adds a character, which must be visible.
fn push(bytes: &mut Vec<u8>, c: char) -> Result<(), NameError> {
    let mut buffer = [0; 4];
    let text = c.encode_utf8(&mut buffer);
    if invisible(text).is_some() {
        return Err(NameError::Invisible(u32::from(c)));
    }
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pair = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// Writes the RFC 4514 form.
pub(super) fn write(name: &DistinguishedName) -> String {
    let rdns: Vec<String> = name.rdns.iter().rev().map(|rdn| write_rdn(rdn)).collect();
    rdns.join(",")
}

fn write_rdn(rdn: &[Attribute]) -> String {
    let attributes: Vec<String> = rdn.iter().map(write_attribute).collect();
    attributes.join("+")
}

fn write_attribute(attribute: &Attribute) -> String {
    let label = attribute.oid.label();
    match (&attribute.value, attribute.oid.short_name()) {
        (Value::Text(text), Some(_)) => format!("{label}={}", write_text(text)),
        (Value::Text(text), None) => format!("{label}=#{}", hex(&asn1::encode(UTF8_STRING, text.as_bytes()))),
        (Value::Other(tag, content), _) => format!("{label}=#{}", hex(&asn1::encode(*tag, content))),
    }
}

fn write_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, c) in text.char_indices() {
        let edge = index == 0 || index + 1 == text.len();
        let mut buffer = [0; 4];
        let shown = c.encode_utf8(&mut buffer);
        if matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=') || (c == '#' && index == 0) {
            out.push('\\');
            out.push(c);
        } else if invisible(shown).is_some() || (c == ' ' && edge) {
            for byte in shown.bytes() {
                out.push_str(&format!("\\{byte:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
