//! A small reader of BER (ITU-T X.690), enough to look at a CMS message before any C code does.
//!
//! [`check`] walks the whole structure once, within [`Bounds`]; after it every length is known to fit. [`Reader`] then steps
//! through one level. Indefinite lengths and strings in chunks are read, because `openssl cms -stream` and Java senders
//! write them. Nothing is copied except a string that came in chunks ([`octets`]).
//!
//! Not here: what the elements mean; that is `shape`.

use std::borrow::Cow;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// The bit of an identifier octet that says "made of elements".
pub(super) const CONSTRUCTED: u8 = 0x20;

/// The identifier octet of `[number]` in the context class, constructed.
pub(super) const fn context(number: u8) -> u8 {
    0xA0 | number
}

/// The identifier octet of `[number]` in the context class, primitive.
pub(super) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// How much structure is walked before giving up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Elements inside elements.
    pub(super) depth: usize,
    /// Elements altogether.
    pub(super) elements: usize,
}

/// Why bytes are not BER that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// The bytes end inside an element.
    #[error("it ends inside an element")]
    Truncated,
    /// A tag number above 30, a length above 32 bits, or an indefinite length on a primitive element.
    #[error("an element has an identifier or a length that is not used in CMS")]
    Header,
    /// Elements are nested too deeply.
    #[error("elements are nested too deeply")]
    Depth,
    /// There are too many elements.
    #[error("there are too many elements for its size")]
    Elements,
    /// Another element was expected.
    #[error("an element is missing or is not the expected one")]
    Unexpected,
    /// Lengths or order that DER forbids, where DER is required.
    #[error("an element that must be DER is not")]
    NotDer,
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// The identifier octet.
    pub(super) tag: u8,
    /// The content octets, without the end-of-contents octets of an indefinite length.
    pub(super) content: &'a [u8],
    /// Identifier, length and content.
    pub(super) whole: &'a [u8],
}

struct Header {
    tag: u8,
    octets: usize,
    /// `None`: indefinite.
    length: Option<usize>,
    minimal: bool,
}

fn header(bytes: &[u8]) -> Result<Header, BerError> {
    let (&tag, rest) = bytes.split_first().ok_or(BerError::Truncated)?;
    let (&first, rest) = rest.split_first().ok_or(BerError::Truncated)?;
    if tag & 0x1F == 0x1F {
        return Err(BerError::Header);
    }
    if first < 0x80 {
        return Ok(Header { tag, octets: 2, length: Some(usize::from(first)), minimal: true });
    }
    if first == 0x80 {
        let constructed = tag & CONSTRUCTED != 0;
        return if constructed {
            Ok(Header { tag, octets: 2, length: None, minimal: false })
        } else {
            Err(BerError::Header)
        };
    }
    let count = usize::from(first & 0x7F);
    if count > 4 {
        return Err(BerError::Header);
    }
    let length = rest.get(..count).ok_or(BerError::Truncated)?;
    let value = length.iter().fold(0_usize, |value, &byte| (value << 8) | usize::from(byte));
    let minimal = length.first() != Some(&0) && value >= 0x80;
    Ok(Header { tag, octets: 2 + count, length: Some(value), minimal })
}

struct Walk {
    elements: usize,
    der: bool,
}

impl Walk {
    /// The number of octets the first element of `bytes` takes, all elements inside it walked.
    fn element(&mut self, bytes: &[u8], depth: usize) -> Result<usize, BerError> {
        let depth = depth.checked_sub(1).ok_or(BerError::Depth)?;
        self.elements = self.elements.checked_sub(1).ok_or(BerError::Elements)?;
        let header = header(bytes)?;
        if self.der && !header.minimal {
            return Err(BerError::NotDer);
        }
        let body = bytes.get(header.octets..).ok_or(BerError::Truncated)?;
        let constructed = header.tag & CONSTRUCTED != 0;
        let Some(length) = header.length else {
            return Ok(header.octets + self.until_end(body, depth)?);
        };
        let content = body.get(..length).ok_or(BerError::Truncated)?;
        let mut at = 0;
        while constructed && at < length {
            at += self.element(content.get(at..).unwrap_or_default(), depth)?;
        }
        Ok(header.octets + length)
    }

    fn until_end(&mut self, body: &[u8], depth: usize) -> Result<usize, BerError> {
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

/// Walks the first element of `bytes` within `bounds` and says how many octets it takes.
pub(super) fn check(bytes: &[u8], bounds: Bounds) -> Result<usize, BerError> {
    Walk { elements: bounds.elements, der: false }.element(bytes, bounds.depth)
}

/// As [`check`], but every length must be the shortest definite one, as DER wants it.
pub(super) fn check_der(bytes: &[u8], bounds: Bounds) -> Result<usize, BerError> {
    Walk { elements: bounds.elements, der: true }.element(bytes, bounds.depth)
}

/// The elements of one level, in order.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(content: &'a [u8]) -> Self {
        Self { rest: content }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The identifier octet of the next element.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<Element<'a>, BerError> {
        let header = header(self.rest)?;
        let body = self.rest.get(header.octets..).ok_or(BerError::Truncated)?;
        let (length, end) = match header.length {
            Some(length) => (length, header.octets.saturating_add(length)),
            None => {
                let walked = Walk { elements: usize::MAX, der: false }.until_end(body, MAX_DEPTH)?;
                (walked.saturating_sub(2), header.octets + walked)
            }
        };
        let content = body.get(..length).ok_or(BerError::Truncated)?;
        let (whole, rest) = self.rest.split_at_checked(end).ok_or(BerError::Truncated)?;
        self.rest = rest;
        Ok(Element { tag: header.tag, content, whole })
    }

    /// The next element, which must have this identifier octet.
    pub(super) fn take(&mut self, tag: u8) -> Result<Element<'a>, BerError> {
        match self.peek() {
            Some(found) if found == tag => self.any(),
            _ => Err(BerError::Unexpected),
        }
    }

    /// The next element if it has this identifier octet.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, BerError> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), BerError> {
        if self.is_empty() { Ok(()) } else { Err(BerError::Unexpected) }
    }
}

impl<'a> Element<'a> {
    /// The elements inside.
    pub(super) fn reader(&self) -> Reader<'a> {
        Reader::new(self.content)
    }
}

/// Deeper than anything [`check`] lets through.
const MAX_DEPTH: usize = 64;

/// The octets of an OCTET STRING, or of an implicitly tagged one, joined if they came in chunks.
pub(super) fn octets<'a>(element: &Element<'a>) -> Result<Cow<'a, [u8]>, BerError> {
    if element.tag & CONSTRUCTED == 0 {
        return Ok(Cow::Borrowed(element.content));
    }
    let mut joined = Vec::with_capacity(element.content.len());
    join(element.content, &mut joined, MAX_DEPTH)?;
    Ok(Cow::Owned(joined))
}

fn join(content: &[u8], joined: &mut Vec<u8>, depth: usize) -> Result<(), BerError> {
    let depth = depth.checked_sub(1).ok_or(BerError::Depth)?;
    let mut reader = Reader::new(content);
    while !reader.is_empty() {
        let chunk = reader.any()?;
        match chunk.tag {
            OCTET_STRING => joined.extend_from_slice(chunk.content),
            tag if tag == OCTET_STRING | CONSTRUCTED => join(chunk.content, joined, depth)?,
            _ => return Err(BerError::Unexpected),
        }
    }
    Ok(())
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
            assert_eq!(check(bytes, BOUNDS), Ok(bytes.len()));
            let outer = Reader::new(bytes).any().unwrap();
            assert_eq!(outer.reader().take(OCTET_STRING).unwrap().content, [7]);
            assert_eq!(outer.whole, bytes);
        }
        assert_eq!(check_der(&definite, BOUNDS), Ok(5));
        assert_eq!(check_der(&indefinite, BOUNDS), Err(BerError::NotDer));
        assert_eq!(check_der(&[4, 0x81, 1, 7], BOUNDS), Err(BerError::NotDer));
    }

    #[test]
    fn joins_a_string_that_came_in_chunks() {
        let bytes = [0x24, 0x80, 4, 1, 1, 0x24, 3, 4, 1, 2, 4, 0, 0, 0];
        let element = Reader::new(&bytes).any().unwrap();
        assert_eq!(octets(&element).unwrap().as_ref(), [1, 2]);
        let foreign = [0x24, 3, 2, 1, 1];
        assert_eq!(octets(&Reader::new(&foreign).any().unwrap()), Err(BerError::Unexpected));
    }

    #[test]
    fn stops_at_its_bounds() {
        let deep: Vec<u8> = [0x30, 0x80].repeat(1000);
        assert_eq!(check(&deep, BOUNDS), Err(BerError::Depth));
        let mut wide = vec![0x30, 0x82, 0x02, 0x00];
        wide.extend([5, 0].repeat(256));
        assert_eq!(check(&wide, BOUNDS), Err(BerError::Elements));
    }

    #[test]
    fn refuses_every_truncation() {
        let bytes = [0x30, 0x80, 0x24, 0x80, 4, 3, 1, 2, 3, 0, 0, 0, 0];
        assert_eq!(check(&bytes, BOUNDS), Ok(13));
        for end in 0..bytes.len() {
            assert!(check(&bytes[..end], BOUNDS).is_err(), "{end}");
        }
        assert_eq!(check(&[4, 0x85, 0, 0, 0, 0, 0], BOUNDS), Err(BerError::Header));
        assert_eq!(check(&[0x1F, 1, 0], BOUNDS), Err(BerError::Header));
        assert_eq!(check(&[4, 0x80, 0, 0], BOUNDS), Err(BerError::Header));
    }
}
