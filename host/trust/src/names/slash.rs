//! The slash form of a name; see the parent module for the rules.

use super::{Attribute, DistinguishedName, NameError, Oid, Value, invisible};

/// Reads a slash form.
pub(super) fn parse(text: &str) -> Result<DistinguishedName, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.contains('"') {
        return Err(NameError::Quote);
    }
    let starts = boundaries(text);
    if starts.first() != Some(&0) {
        return Err(NameError::NoType);
    }
    let mut rdns = Vec::with_capacity(starts.len());
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(text.len());
        let part = text.get(start + 1..end).ok_or(NameError::NoType)?;
        rdns.push(vec![attribute(part)?]);
    }
    DistinguishedName::from_rdns(rdns)
}

/// Writes the slash form if it parses to the same name.
pub(super) fn write(name: &DistinguishedName) -> Option<String> {
    let mut text = String::new();
    for rdn in &name.rdns {
        let [Attribute { oid, value: Value::Text(value) }] = rdn.as_slice() else { return None };
        text.push('/');
        text.push_str(oid.label());
        text.push('=');
        text.push_str(value);
    }
    parse(&text).is_ok_and(|read| read == *name).then_some(text)
}

/// Rewrites the attribute types in a slash form (or a pattern for one) to their canonical names; values are unchanged.
pub(crate) fn canonical_types(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    for start in boundaries(text) {
        let tail = text.get(start + 1..).unwrap_or_default();
        let Some((label, _)) = tail.split_once('=') else { continue };
        out.push_str(text.get(rest..=start).unwrap_or_default());
        out.push_str(Oid::from_type(label).as_ref().map_or(label, Oid::label));
        rest = start + 1 + label.len();
    }
    out.push_str(text.get(rest..).unwrap_or_default());
    out
}

/// The positions where RDNs begin: every `/` followed by an attribute type and `=`.
fn boundaries(text: &str) -> Vec<usize> {
    let follows = |(at, _): &(usize, &str)| {
        let tail = text.get(at + 1..).unwrap_or_default();
        tail.split_once('=').is_some_and(|(label, _)| Oid::from_type(label).is_some())
    };
    text.match_indices('/').filter(follows).map(|(at, _)| at).collect()
}

fn attribute(part: &str) -> Result<Attribute, NameError> {
    let (label, value) = part.split_once('=').ok_or(NameError::NoType)?;
    let oid = Oid::from_type(label).ok_or_else(|| NameError::UnknownType(label.to_owned()))?;
    let value = unescape(value)?;
    if value.is_empty() {
        return Err(NameError::NoValue(label.to_owned()));
    }
    if let Some(c) = invisible(&value) {
        return Err(NameError::Invisible(u32::from(c)));
    }
    if value.starts_with(' ') || value.ends_with(' ') {
        return Err(NameError::Blank(label.to_owned()));
    }
    Ok(Attribute { oid, value: Value::Text(value) })
}

/// Replaces `\xHH` by that byte.
fn unescape(value: &str) -> Result<String, NameError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| NameError::NotUtf8)
}
