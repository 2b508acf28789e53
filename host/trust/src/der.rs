//! A reader of DER that walks over a structure without copying it.
//!
//! OpenSSL parses certificates; this reads the few things its safe bindings do not show: the structure and the string
//! types of a name, which extensions a certificate has, and CRLs that are too large to be held as C structures. It knows
//! definite lengths and low tag numbers, which is all that DER certificates, names and CRLs are made of (X.690 section 10).

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OID: u8 = 0x06;
pub const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Bytes that are not the DER that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed DER")]
pub struct MalformedDer;

/// One element: its tag, its content, and both with the length as they stand in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) raw: &'a [u8],
}

/// What is left to read of a sequence of elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Takes the next element, whatever its tag.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, MalformedDer> {
        let (&tag, rest) = self.0.split_first().ok_or(MalformedDer)?;
        if tag & 0x1f == 0x1f {
            return Err(MalformedDer);
        }
        let (length, rest) = read_length(rest)?;
        let (content, after) = rest.split_at_checked(length).ok_or(MalformedDer)?;
        let raw = self.0.get(..self.0.len() - after.len()).ok_or(MalformedDer)?;
        self.0 = after;
        Ok(Element { tag, content, raw })
    }

    /// Takes the next element, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Result<Element<'a>, MalformedDer> {
        let element = self.any()?;
        if element.tag == tag { Ok(element) } else { Err(MalformedDer) }
    }

    /// Takes the next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, MalformedDer> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), MalformedDer> {
        if self.is_empty() { Ok(()) } else { Err(MalformedDer) }
    }
}

impl<'a> Element<'a> {
    /// A reader over the elements inside.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader::new(self.content)
    }
}

/// Reads a length of the shortest form, and gives what follows it.
fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), MalformedDer> {
    let (&first, rest) = bytes.split_first().ok_or(MalformedDer)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err(MalformedDer);
    }
    let (digits, rest) = rest.split_at_checked(count).ok_or(MalformedDer)?;
    let length = digits.iter().fold(0_usize, |sum, &digit| (sum << 8) | usize::from(digit));
    if length < 0x80 || digits.first() == Some(&0) {
        return Err(MalformedDer);
    }
    Ok((length, rest))
}

/// Writes one element.
pub fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    if let Ok(short @ 0..=0x7f) = u8::try_from(content.len()) {
        out.push(short);
    } else {
        let digits: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|&digit| digit == 0).collect();
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
        out.extend(digits);
    }
    out.extend(content);
    out
}

/// An extension of a certificate or a CRL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

/// Reads `Extensions ::= SEQUENCE OF SEQUENCE { OID, BOOLEAN DEFAULT FALSE, OCTET STRING }` (RFC 5280 4.1).
pub(crate) fn extensions<'a>(sequence: &Element<'a>) -> Result<Vec<Extension<'a>>, MalformedDer> {
    let mut list = Vec::new();
    let mut reader = Reader::new(sequence.content);
    while !reader.is_empty() {
        let mut fields = reader.take(SEQUENCE)?.inside();
        let oid = fields.take(OID)?.content;
        let critical = fields.optional(BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
        let value = fields.take(OCTET_STRING)?.content;
        list.push(Extension { oid, critical, value });
    }
    Ok(list)
}

/// The extensions of a certificate given as DER.
pub(crate) fn certificate_extensions(der: &[u8]) -> Result<Vec<Extension<'_>>, MalformedDer> {
    let certificate = Reader::new(der).take(SEQUENCE)?;
    let mut fields = certificate.inside().take(SEQUENCE)?.inside();
    while !fields.is_empty() {
        let field = fields.any()?;
        if field.tag == 0xa3 {
            return extensions(&field.inside().take(SEQUENCE)?);
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for size in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7_u8; size];
            let bytes = encode(OCTET_STRING, &content);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.take(OCTET_STRING).unwrap().content, content);
            assert!(reader.end().is_ok());
        }
    }

    #[test]
    fn refuses_what_is_not_der() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x81, 0x05, 1, 2, 3, 4, 5], &[0x30, 2, 1], &[0x3f, 0]] {
            assert_eq!(Reader::new(bytes).any(), Err(MalformedDer), "{bytes:?}");
        }
    }
}
