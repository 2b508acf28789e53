//! Distinguished names, compared as structures.
//!
//! A name is a list of RDNs in the order of the certificate, each a set of (OID, value). Two names are equal if these
//! are equal; text is only a notation. That matters because the usual one-line form is ambiguous: a value may look like
//! further RDNs.
//!
//! # Slash form
//! `/C=UK/O=eScience/CN=host/ce.example.org`, as SSM and grid tools write it. A new RDN begins at a `/` that is
//! followed by a known attribute type (or a dotted OID) and `=`; any other `/` belongs to the value. [`TYPES`] lists
//! the names and aliases of types, which are case-insensitive; values are exact. `\xC3\xA4`, as older OpenSSL prints
//! bytes that are not ASCII, is read as those bytes. [`DistinguishedName::slash`] returns a line only if it parses to
//! the same name; other names can only be written in RFC 4514 form.
//!
//! # Comma forms
//! RFC 4514 (`CN=x,O=y,C=UK`, most specific first) has no blanks around its separators. Text with blanks is read as
//! OpenSSL's output (`C = UK, O = y, CN = x`), in the order of the certificate, unless a country or domain component
//! only at the end shows the reverse order.
//!
//! # Values
//! PrintableString, UTF8String, IA5String, NumericString and VisibleString with the same text are equal. A value of any
//! other string type (T61, BMP, Universal …) equals only the same bytes of the same type, never a text.

mod bound;
mod comma;
mod slash;
#[cfg(test)]
mod tests;

use std::fmt;

use openssl::x509::X509NameRef;

use super::asn1::{self, Asn1Error, Reader};

pub use bound::BoundName;
pub(crate) use comma::looks_reversed;
pub(crate) use slash::canonical_types;

/// The named attribute types: the name SSM writes, the OID, and further names that are accepted.
const TYPES: &[(&str, &str, &[&str])] = &[
    ("DC", "0.9.2342.19200300.100.1.25", &["domainComponent"]),
    ("C", "2.5.4.6", &["countryName"]),
    ("O", "2.5.4.10", &["organizationName"]),
    ("OU", "2.5.4.11", &["organizationalUnitName"]),
    ("CN", "2.5.4.3", &["commonName"]),
    ("L", "2.5.4.7", &["localityName"]),
    ("ST", "2.5.4.8", &["S", "SP", "stateOrProvinceName"]),
    ("emailAddress", "1.2.840.113549.1.9.1", &["Email", "E"]),
    ("UID", "0.9.2342.19200300.100.1.1", &["USERID"]),
    ("serialNumber", "2.5.4.5", &[]),
    ("street", "2.5.4.9", &["streetAddress"]),
    ("GN", "2.5.4.42", &["givenName", "G"]),
    ("SN", "2.5.4.4", &["surname"]),
    ("title", "2.5.4.12", &[]),
    ("postalCode", "2.5.4.17", &[]),
];

const NUMERIC_STRING: u8 = 0x12;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const VISIBLE_STRING: u8 = 0x1a;

/// Why text or DER is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("the name is empty")]
    Empty,
    /// The text does not begin with `/`, a known attribute type and `=`.
    #[error("the name does not begin with / and a known attribute type such as /C=")]
    NoType,
    #[error("unknown attribute type {0:?}")]
    UnknownType(String),
    /// A type without a value.
    #[error("attribute {0} has no value")]
    NoValue(String),
    /// A value begins or ends with a blank.
    #[error("the value of {0} begins or ends with a blank")]
    Blank(String),
    /// An invisible character: control characters, no-break and zero-width blanks, direction marks.
    #[error("the name contains U+{0:04X}, an invisible character")]
    Invisible(u32),
    /// A double quote in slash form; such a name is written in RFC 4514 form.
    #[error("the name contains a double quote, which only the RFC 4514 form allows")]
    Quote,
    /// A backslash or `#` that does not start an RFC 4514 escape.
    #[error("invalid escape in the name")]
    Escape,
    /// Bytes that are not UTF-8.
    #[error("the name is not UTF-8")]
    NotUtf8,
    /// The encoding is not that of a name.
    #[error("the name is not well-formed DER")]
    Malformed,
}

/// A distinguished name as a structure: RDNs in the order of the certificate, each a sorted set of attributes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DistinguishedName {
    rdns: Vec<Vec<Attribute>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Attribute {
    oid: Oid,
    value: Value,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Value {
    /// A string type with unambiguous text.
    Text(String),
    /// Any other type: its tag and content.
    Other(u8, Vec<u8>),
}

/// An object identifier in dotted form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Oid(String);

impl DistinguishedName {
    /// The structure of a certificate's name.
    ///
    /// # Errors
    /// [`NameError::Malformed`] if the encoding is not that of a name.
    pub fn from_x509(name: &X509NameRef) -> Result<Self, NameError> {
        Self::from_der(&name.to_der().map_err(|_| NameError::Malformed)?)
    }

    /// The structure of `Name ::= SEQUENCE OF SET OF SEQUENCE { type, value }` (RFC 5280 4.1.2.4).
    ///
    /// # Errors
    /// [`NameError::Malformed`] if the encoding is not that of a name.
    pub fn from_der(bytes: &[u8]) -> Result<Self, NameError> {
        let mut outer = Reader::der(bytes);
        let mut sequence = outer.take(asn1::SEQUENCE)?.inside();
        outer.end()?;
        let mut rdns = Vec::new();
        while !sequence.is_empty() {
            let mut set = sequence.take(asn1::SET)?.inside();
            let mut attributes = Vec::new();
            while !set.is_empty() {
                let mut fields = set.take(asn1::SEQUENCE)?.inside();
                let oid = Oid(asn1::dotted(fields.take(asn1::OID)?.content).ok_or(NameError::Malformed)?);
                let value = fields.any()?;
                fields.end()?;
                attributes.push(Attribute { oid, value: Value::from_element(value.tag, value.content) });
            }
            rdns.push(attributes);
        }
        Self::from_rdns(rdns)
    }

    /// Reads a name in any of the accepted forms: slash form if it begins with `/`, else a comma form.
    ///
    /// # Errors
    /// [`NameError`] if the text is not a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.starts_with('/') { Self::parse_slash(text) } else { Self::parse_comma(text) }
    }

    /// Reads a name in slash form.
    ///
    /// # Errors
    /// [`NameError`] if the text is not a name.
    pub fn parse_slash(text: &str) -> Result<Self, NameError> {
        slash::parse(text)
    }

    /// Reads a name in RFC 4514 form or in OpenSSL's form with commas and blanks.
    ///
    /// # Errors
    /// [`NameError`] if the text is not a name.
    pub fn parse_comma(text: &str) -> Result<Self, NameError> {
        comma::parse(text)
    }

    /// The slash form; `None` if it would not parse to this name.
    #[must_use]
    pub fn slash(&self) -> Option<String> {
        slash::write(self)
    }

    /// The RFC 4514 form: most specific first, with escapes. Every name has one, and it parses to this name.
    #[must_use]
    pub fn rfc4514(&self) -> String {
        comma::write(self)
    }

    /// The text for display: the slash form if there is one, else the RFC 4514 form.
    #[must_use]
    pub fn line(&self) -> String {
        self.slash().unwrap_or_else(|| self.rfc4514())
    }

    /// Whether there are no attributes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// The last common name, if it is text.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.rdns.iter().rev().flatten().find(|a| a.oid.0 == "2.5.4.3").and_then(|a| match &a.value {
            Value::Text(text) => Some(text.as_str()),
            Value::Other(..) => None,
        })
    }

    /// Type and text of each attribute in order; `None` for a value that is not text.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.rdns.iter().flatten().map(|attribute| match &attribute.value {
            Value::Text(text) => (attribute.oid.label(), Some(text.as_str())),
            Value::Other(..) => (attribute.oid.label(), None),
        })
    }

    /// Whether this name is `issuer` plus one common name, as in proxy certificates.
    pub(crate) fn extends_by_common_name(&self, issuer: &Self) -> bool {
        let Some((last, rest)) = self.rdns.split_last() else { return false };
        rest == issuer.rdns.as_slice() && matches!(last.as_slice(), [only] if only.oid.0 == "2.5.4.3")
    }

    fn from_rdns(mut rdns: Vec<Vec<Attribute>>) -> Result<Self, NameError> {
        for rdn in &mut rdns {
            if rdn.is_empty() {
                return Err(NameError::Malformed);
            }
            rdn.sort();
        }
        Ok(Self { rdns })
    }
}

impl Value {
    fn from_element(tag: u8, content: &[u8]) -> Self {
        let text = match tag {
            UTF8_STRING => std::str::from_utf8(content).ok(),
            PRINTABLE_STRING | IA5_STRING | NUMERIC_STRING | VISIBLE_STRING if content.is_ascii() => {
                std::str::from_utf8(content).ok()
            }
            _ => None,
        };
        match text {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Other(tag, content.to_vec()),
        }
    }
}

impl Oid {
    /// Reads an attribute type: a known name in any case, or a dotted OID.
    fn from_type(text: &str) -> Option<Self> {
        let known = TYPES.iter().find(|(name, _, aliases)| {
            name.eq_ignore_ascii_case(text) || aliases.iter().any(|alias| alias.eq_ignore_ascii_case(text))
        });
        match known {
            Some((_, oid, _)) => Some(Self((*oid).to_owned())),
            None => Self::from_dotted(text),
        }
    }

    /// Reads an OID in canonical dotted form: no leading zeros, arcs within their bounds.
    fn from_dotted(text: &str) -> Option<Self> {
        let arcs: Vec<&str> = text.split('.').collect();
        let canonical = |arc: &&str| arc.parse::<u128>().is_ok_and(|number| number.to_string() == **arc);
        if arcs.len() < 2 || arcs.len() > 32 || !arcs.iter().all(canonical) {
            return None;
        }
        let top = arcs.first()?.parse::<u128>().ok()?;
        let second = arcs.get(1)?.parse::<u128>().ok()?;
        let legal = top < 2 && second < 40 || top == 2 && second < u128::MAX - 80;
        legal.then(|| Self(text.to_owned()))
    }

    /// The name SSM writes for this type, if there is one.
    fn short_name(&self) -> Option<&'static str> {
        TYPES.iter().find(|(_, oid, _)| *oid == self.0).map(|(name, ..)| *name)
    }

    /// The short name, or the dotted form.
    fn label(&self) -> &str {
        self.short_name().unwrap_or(&self.0)
    }
}

/// The first invisible or misleading character of `text`.
fn invisible(text: &str) -> Option<char> {
    text.chars().find(|&c| {
        c.is_control()
            || (c.is_whitespace() && c != ' ')
            || matches!(u32::from(c),
                0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
                | 0x202a..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0
                | 0xfff9..=0xfffb | 0xe0000..=0xe0fff)
    })
}

impl From<Asn1Error> for NameError {
    fn from(_: Asn1Error) -> Self {
        Self::Malformed
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.rfc4514())
    }
}
