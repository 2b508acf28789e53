//! The ASN.1 reader, for BER and DER (ITU-T X.690).
//!
//! OpenSSL parses certificates and messages. This module reads what its safe bindings do not expose: names, extensions,
//! CRLs too large for C structures, and CMS messages before any C code parses them.
//!
//! Start with [`Reader`], which iterates over the elements of one level without copying. A reader follows [`Rules`]:
//! DER for certificates, names and CRLs; BER for messages, because `openssl cms -stream` and Java senders write
//! indefinite lengths and constructed strings. [`check`] walks a whole structure once, within [`Bounds`], and validates
//! every length. [`octets`] joins the chunks of a constructed string, `oid` reads object identifiers, `time` reads
//! dates. [`encode`] writes one element, [`encode_time`] a date.
//!
//! The meaning of the elements is out of scope.
//!
//! # Limits
//! Tag numbers up to 30 and lengths below 2^32; X.509 and CMS need no larger ones.

mod oid;
mod time;

use std::borrow::Cow;

pub use oid::dotted;
pub(crate) use oid::{octet_count, octets_of, oid};
pub use time::{encode_time, seconds_since_1970};

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OID: u8 = 0x06;
pub const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
/// The bit of a tag for a constructed element.
pub const CONSTRUCTED: u8 = 0x20;

/// The tag of `[number]` in the context class, constructed.
pub const fn context(number: u8) -> u8 {
    0xA0 | number
}

/// The tag of `[number]` in the context class, primitive.
pub const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// Which encodings are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Lengths of any form, definite or indefinite.
    Ber,
    /// Only definite lengths in their shortest form.
    Der,
}

/// Limits on the structure that [`check`] accepts.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Maximum nesting.
    pub depth: usize,
    /// Maximum number of elements.
    pub elements: usize,
}

/// Why input is not the expected ASN.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Asn1Error {
    #[error("it ends inside an element")]
    Truncated,
    /// A tag number above 30, a length above 32 bits, or an indefinite length on a primitive element.
    #[error("an element has an unsupported tag or length")]
    Header,
    #[error("elements are nested too deeply")]
    Depth,
    #[error("there are too many elements for its size")]
    Elements,
    #[error("an element is missing or is not the expected one")]
    Unexpected,
    #[error("an element that must be DER is not")]
    NotDer,
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: u8,
    /// The content octets, without the end-of-contents octets of an indefinite length.
    pub content: &'a [u8],
    /// Tag, length and content as in the input.
    pub whole: &'a [u8],
    rules: Rules,
}

struct Header {
    tag: u8,
    octets: usize,
    /// `None`: indefinite.
    length: Option<usize>,
}

impl Header {
    fn read(bytes: &[u8], rules: Rules) -> Result<Self, Asn1Error> {
        let (&tag, rest) = bytes.split_first().ok_or(Asn1Error::Truncated)?;
        let (&first, rest) = rest.split_first().ok_or(Asn1Error::Truncated)?;
        if tag & 0x1F == 0x1F {
            return Err(Asn1Error::Header);
        }
        if first < 0x80 {
            return Ok(Self { tag, octets: 2, length: Some(usize::from(first)) });
        }
        if first == 0x80 {
            return match rules {
                _ if tag & CONSTRUCTED == 0 => Err(Asn1Error::Header),
                Rules::Der => Err(Asn1Error::NotDer),
                Rules::Ber => Ok(Self { tag, octets: 2, length: None }),
            };
        }
        let count = usize::from(first & 0x7F);
        if count > 4 {
            return Err(Asn1Error::Header);
        }
        let digits = rest.get(..count).ok_or(Asn1Error::Truncated)?;
        let length = digits.iter().fold(0_usize, |length, &digit| (length << 8) | usize::from(digit));
        let shortest = digits.first() != Some(&0) && length >= 0x80;
        if rules == Rules::Der && !shortest {
            return Err(Asn1Error::NotDer);
        }
        Ok(Self { tag, octets: 2 + count, length: Some(length) })
    }
}

struct Walk {
    elements: usize,
    rules: Rules,
}

impl Walk {
    /// Walks the first element of `bytes` and all elements inside it; returns its number of octets.
    fn element(&mut self, bytes: &[u8], depth: usize) -> Result<usize, Asn1Error> {
        let depth = depth.checked_sub(1).ok_or(Asn1Error::Depth)?;
        self.elements = self.elements.checked_sub(1).ok_or(Asn1Error::Elements)?;
        let header = Header::read(bytes, self.rules)?;
        let body = bytes.get(header.octets..).ok_or(Asn1Error::Truncated)?;
        let constructed = header.tag & CONSTRUCTED != 0;
        let Some(length) = header.length else {
            return Ok(header.octets + self.until_end(body, depth)?);
        };
        let content = body.get(..length).ok_or(Asn1Error::Truncated)?;
        let mut at = 0;
        while constructed && at < length {
            at += self.element(content.get(at..).unwrap_or_default(), depth)?;
        }
        Ok(header.octets + length)
    }

    fn until_end(&mut self, body: &[u8], depth: usize) -> Result<usize, Asn1Error> {
        let mut at = 0;
        loop {
            let rest = body.get(at..).unwrap_or_default();
            if rest.starts_with(&[0, 0]) {
                return Ok(at + 2);
            }
            at += self.element(rest, depth)?;
        }
    }
}

/// Walks the first element of `bytes` within `bounds` and returns its number of octets.
///
/// # Errors
/// [`Asn1Error`] if an element at any depth violates the rules or a bound is exceeded.
pub fn check(bytes: &[u8], rules: Rules, bounds: Bounds) -> Result<usize, Asn1Error> {
    Walk { elements: bounds.elements, rules }.element(bytes, bounds.depth)
}

/// The elements of one level, in order.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    rules: Rules,
}

impl<'a> Reader<'a> {
    /// A BER reader. Call [`check`] first: the end of an indefinite length is found by walking the content.
    pub fn ber(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, rules: Rules::Ber }
    }

    /// A DER reader.
    pub fn der(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, rules: Rules::Der }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever its tag.
    ///
    /// # Errors
    /// [`Asn1Error`].
    pub fn any(&mut self) -> Result<Element<'a>, Asn1Error> {
        let header = Header::read(self.rest, self.rules)?;
        let body = self.rest.get(header.octets..).ok_or(Asn1Error::Truncated)?;
        let (length, end) = match header.length {
            Some(length) => (length, header.octets.saturating_add(length)),
            None => {
                let walked = Walk { elements: usize::MAX, rules: self.rules }.until_end(body, MAX_DEPTH)?;
                (walked.saturating_sub(2), header.octets + walked)
            }
        };
        let content = body.get(..length).ok_or(Asn1Error::Truncated)?;
        let (whole, rest) = self.rest.split_at_checked(end).ok_or(Asn1Error::Truncated)?;
        self.rest = rest;
        Ok(Element { tag: header.tag, content, whole, rules: self.rules })
    }

    /// The next element, which must have this tag.
    ///
    /// # Errors
    /// [`Asn1Error::Unexpected`] if it has another tag or there is none.
    pub fn take(&mut self, tag: u8) -> Result<Element<'a>, Asn1Error> {
        match self.peek() {
            Some(found) if found == tag => self.any(),
            _ => Err(Asn1Error::Unexpected),
        }
    }

    /// The next element if it has this tag.
    ///
    /// # Errors
    /// [`Asn1Error`] if it has this tag but violates the rules.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Asn1Error> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Requires that no element follows.
    ///
    /// # Errors
    /// [`Asn1Error::Unexpected`] if one does.
    pub fn end(&self) -> Result<(), Asn1Error> {
        if self.is_empty() { Ok(()) } else { Err(Asn1Error::Unexpected) }
    }
}

impl<'a> Element<'a> {
    /// The elements inside, read by the same rules.
    pub fn inside(&self) -> Reader<'a> {
        Reader { rest: self.content, rules: self.rules }
    }
}

/// The element with this tag that is alone in an explicitly tagged one.
///
/// # Errors
/// [`Asn1Error::Unexpected`] if it is another one, or not alone.
pub fn explicit<'a>(element: &Element<'a>, tag: u8) -> Result<Element<'a>, Asn1Error> {
    let mut reader = element.inside();
    let inner = reader.take(tag)?;
    reader.end()?;
    Ok(inner)
}

/// Nesting limit of readers; callers of [`check`] use lower bounds.
const MAX_DEPTH: usize = 64;

/// The octets of an OCTET STRING, or of an implicitly tagged one; the chunks of a constructed one are joined.
///
/// # Errors
/// [`Asn1Error`] if a chunk is not an octet string, or chunks are nested too deeply.
pub fn octets<'a>(element: &Element<'a>) -> Result<Cow<'a, [u8]>, Asn1Error> {
    if element.tag & CONSTRUCTED == 0 {
        return Ok(Cow::Borrowed(element.content));
    }
    let mut joined = Vec::with_capacity(element.content.len());
    join(element.inside(), &mut joined, MAX_DEPTH)?;
    Ok(Cow::Owned(joined))
}

fn join(mut chunks: Reader<'_>, joined: &mut Vec<u8>, depth: usize) -> Result<(), Asn1Error> {
    let depth = depth.checked_sub(1).ok_or(Asn1Error::Depth)?;
    while !chunks.is_empty() {
        let chunk = chunks.any()?;
        match chunk.tag {
            OCTET_STRING => joined.extend_from_slice(chunk.content),
            tag if tag == OCTET_STRING | CONSTRUCTED => join(chunk.inside(), joined, depth)?,
            _ => return Err(Asn1Error::Unexpected),
        }
    }
    Ok(())
}

/// Writes one element in DER.
pub fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + MAX_HEADER);
    put_header(tag, content.len(), &mut out);
    out.extend_from_slice(content);
    out
}

/// The most octets that [`put_header`] writes.
pub const MAX_HEADER: usize = 2 + size_of::<usize>();

/// Appends tag and length of an element in DER, whose content has this many octets.
pub fn put_header(tag: u8, length: usize, out: &mut Vec<u8>) {
    out.push(tag);
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out.push(short);
    } else {
        let digits = length.to_be_bytes();
        let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
        let digits = digits.get(zeros..).unwrap_or(&digits);
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
        out.extend_from_slice(digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { depth: 8, elements: 100 };

    #[test]
    fn reads_definite_and_indefinite_lengths_alike() {
        let definite = [0x30, 3, 4, 1, 7];
        let indefinite = [0x30, 0x80, 4, 1, 7, 0, 0];
        for bytes in [definite.as_slice(), &indefinite] {
            assert_eq!(check(bytes, Rules::Ber, BOUNDS), Ok(bytes.len()));
            let outer = Reader::ber(bytes).any().unwrap();
            assert_eq!(outer.inside().take(OCTET_STRING).unwrap().content, [7]);
            assert_eq!(outer.whole, bytes);
        }
        assert_eq!(check(&definite, Rules::Der, BOUNDS), Ok(5));
        assert_eq!(check(&indefinite, Rules::Der, BOUNDS), Err(Asn1Error::NotDer));
        assert_eq!(check(&[4, 0x81, 1, 7], Rules::Der, BOUNDS), Err(Asn1Error::NotDer));
    }

    #[test]
    fn joins_the_chunks_of_a_constructed_string() {
        let bytes = [0x24, 0x80, 4, 1, 1, 0x24, 3, 4, 1, 2, 4, 0, 0, 0];
        let element = Reader::ber(&bytes).any().unwrap();
        assert_eq!(octets(&element).unwrap().as_ref(), [1, 2]);
        let foreign = [0x24, 3, 2, 1, 1];
        assert_eq!(octets(&Reader::ber(&foreign).any().unwrap()), Err(Asn1Error::Unexpected));
    }

    #[test]
    fn stops_at_its_bounds() {
        let deep: Vec<u8> = [0x30, 0x80].repeat(1000);
        assert_eq!(check(&deep, Rules::Ber, BOUNDS), Err(Asn1Error::Depth));
        let mut wide = vec![0x30, 0x82, 0x02, 0x00];
        wide.extend([5, 0].repeat(256));
        assert_eq!(check(&wide, Rules::Ber, BOUNDS), Err(Asn1Error::Elements));
    }

    #[test]
    fn refuses_every_truncation() {
        let bytes = [0x30, 0x80, 0x24, 0x80, 4, 3, 1, 2, 3, 0, 0, 0, 0];
        assert_eq!(check(&bytes, Rules::Ber, BOUNDS), Ok(13));
        for end in 0..bytes.len() {
            assert!(check(&bytes[..end], Rules::Ber, BOUNDS).is_err(), "{end}");
        }
        assert_eq!(check(&[4, 0x85, 0, 0, 0, 0, 0], Rules::Ber, BOUNDS), Err(Asn1Error::Header));
        assert_eq!(check(&[0x1F, 1, 0], Rules::Ber, BOUNDS), Err(Asn1Error::Header));
        assert_eq!(check(&[4, 0x80, 0, 0], Rules::Ber, BOUNDS), Err(Asn1Error::Header));
    }

    #[test]
    fn reads_its_own_encoding() {
        for size in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7_u8; size];
            let bytes = encode(OCTET_STRING, &content);
            let mut reader = Reader::der(&bytes);
            assert_eq!(reader.take(OCTET_STRING).unwrap().content, content);
            assert!(reader.end().is_ok());
        }
    }

    #[test]
    fn a_der_reader_refuses_other_encodings() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x81, 0x05, 1, 2, 3, 4, 5], &[0x30, 2, 1], &[0x3f, 0]] {
            assert!(Reader::der(bytes).any().is_err(), "{bytes:?}");
        }
        // The rules also apply to inner elements.
        let outer = [0x30, 4, 0x30, 0x80, 0, 0];
        assert_eq!(Reader::der(&outer).any().unwrap().inside().any(), Err(Asn1Error::NotDer));
        assert!(Reader::ber(&outer).any().unwrap().inside().any().is_ok());
    }

    proptest::proptest! {
        #[test]
        fn der_is_read_alike_by_both_rules(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            if let Ok(der) = Reader::der(&bytes).any() {
                let ber = Reader::ber(&bytes).any().unwrap();
                proptest::prop_assert_eq!((der.tag, der.content, der.whole), (ber.tag, ber.content, ber.whole));
            }
        }
    }
}
