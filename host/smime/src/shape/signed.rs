//! SignedData (RFC 5652, section 5).

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::ber::{
    self, Bounds, CONSTRUCTED, Element, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SET, UTC_TIME,
};
use super::algorithm::{self, Algorithm, Digest, KeyKind};
use super::{MAX_CERTIFICATES, ShapeError, require_data, version};

/// The most signed or unsigned attributes.
const MAX_ATTRIBUTES: usize = 32;
/// The longest serial number in octets; RFC 5280 allows 20, some authorities more.
const MAX_SERIAL: usize = 64;
const ATTRIBUTE_BOUNDS: Bounds = Bounds { depth: 16, elements: 2_000 };

/// What policy needs to know of a SignedData.
#[derive(Debug)]
pub(in super::super) struct SignedMessage<'a> {
    pub(in super::super) digest: Digest,
    pub(in super::super) key: KeyKind,
    pub(in super::super) signer: SignerId<'a>,
    pub(in super::super) signing_time: Option<SystemTime>,
    /// Every certificate in the bag, in its order, as DER.
    pub(in super::super) certificates: Vec<&'a [u8]>,
    /// The content, where the signature is not detached.
    pub(in super::super) content: Option<Cow<'a, [u8]>>,
}

/// How a SignerInfo, or a certificate, says whom it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum SignerId<'a> {
    /// Issuer name as DER, and the serial number's octets.
    IssuerSerial { issuer: &'a [u8], serial: &'a [u8] },
    /// Subject key identifier.
    KeyId(&'a [u8]),
}

pub(super) fn read<'a>(body: &Element<'a>) -> Result<SignedMessage<'a>, ShapeError> {
    let mut reader = body.reader();
    version(&mut reader)?;
    let digests = digest_set(&reader.take(SET)?)?;
    let content = encapsulated(&reader.take(SEQUENCE)?)?;
    let certificates = match reader.optional(ber::context(0))? {
        Some(bag) => certificates(&bag)?,
        None => Vec::new(),
    };
    if let Some(lists) = reader.optional(ber::context(1))? {
        bounded(&lists, MAX_CERTIFICATES).ok_or(ShapeError::TooManyCertificates)?;
    }
    let mut signers = reader.take(SET)?.reader();
    reader.end()?;
    let first = if signers.is_empty() { None } else { Some(signers.take(SEQUENCE)?) };
    let Some(first) = first else { return Err(ShapeError::NoSigner) };
    let mut count = 1;
    while !signers.is_empty() {
        signers.any()?;
        count += 1;
    }
    if count > 1 {
        return Err(ShapeError::ManySigners { count });
    }
    let signer = signer_info(&first)?;
    if digests != [signer.digest] {
        return Err(ShapeError::Structure { what: "the digest algorithms are not that of the signer" });
    }
    Ok(SignedMessage {
        digest: signer.digest,
        key: signer.key,
        signer: signer.id,
        signing_time: signer.signing_time,
        certificates,
        content,
    })
}

fn digest_set(set: &Element<'_>) -> Result<Vec<Digest>, ShapeError> {
    let mut reader = set.reader();
    let mut digests = Vec::new();
    while !reader.is_empty() && digests.len() < 8 {
        digests.push(Algorithm::read(&mut reader)?.digest()?);
    }
    // A second entry for the one digest (with and without NULL) is some senders' habit.
    digests.dedup();
    reader.end()?;
    Ok(digests)
}

fn encapsulated<'a>(element: &Element<'a>) -> Result<Option<Cow<'a, [u8]>>, ShapeError> {
    let mut reader = element.reader();
    require_data(reader.take(OID)?.content)?;
    let content = reader.optional(ber::context(0))?;
    reader.end()?;
    let Some(explicit) = content else { return Ok(None) };
    let mut inside = explicit.reader();
    let string = inside.any()?;
    inside.end()?;
    if string.tag & !CONSTRUCTED != OCTET_STRING {
        return Err(ShapeError::Structure { what: "the signed content is not an octet string" });
    }
    Ok(Some(ber::octets(&string)?))
}

fn certificates<'a>(bag: &Element<'a>) -> Result<Vec<&'a [u8]>, ShapeError> {
    let mut reader = bag.reader();
    let mut found = Vec::new();
    while !reader.is_empty() {
        if found.len() == MAX_CERTIFICATES {
            return Err(ShapeError::TooManyCertificates);
        }
        if reader.peek() != Some(SEQUENCE) {
            return Err(ShapeError::Structure { what: "a certificate that is not an X.509 certificate" });
        }
        found.push(reader.any()?.whole);
    }
    Ok(found)
}

/// The number of elements inside, if it is not above `most`.
fn bounded(element: &Element<'_>, most: usize) -> Option<usize> {
    let mut reader = element.reader();
    let mut count = 0;
    while !reader.is_empty() {
        reader.any().ok()?;
        count += 1;
        if count > most {
            return None;
        }
    }
    Some(count)
}

struct SignerInfo<'a> {
    id: SignerId<'a>,
    digest: Digest,
    key: KeyKind,
    signing_time: Option<SystemTime>,
}

fn signer_info<'a>(element: &Element<'a>) -> Result<SignerInfo<'a>, ShapeError> {
    let mut reader = element.reader();
    version(&mut reader)?;
    let id = match reader.peek() {
        Some(SEQUENCE) => issuer_serial(&reader.any()?)?,
        _ => SignerId::KeyId(reader.take(ber::context_primitive(0))?.content),
    };
    let digest = Algorithm::read(&mut reader)?.digest()?;
    let attributes = reader.optional(ber::context(0))?.ok_or(ShapeError::NoSignedAttributes)?;
    let signing_time = signed_attributes(&attributes, digest)?;
    let key = Algorithm::read(&mut reader)?.signature(digest)?;
    let signature = reader.take(OCTET_STRING)?;
    if signature.content.is_empty() {
        return Err(ShapeError::Structure { what: "the signature is empty" });
    }
    if let Some(unsigned) = reader.optional(ber::context(1))? {
        bounded(&unsigned, MAX_ATTRIBUTES).ok_or(ShapeError::Structure { what: "too many unsigned attributes" })?;
    }
    reader.end()?;
    Ok(SignerInfo { id, digest, key, signing_time })
}

/// Reads an IssuerAndSerialNumber.
pub(super) fn issuer_serial<'a>(element: &Element<'a>) -> Result<SignerId<'a>, ShapeError> {
    let mut reader = element.reader();
    let issuer = reader.take(SEQUENCE)?.whole;
    let serial = reader.take(INTEGER)?.content;
    reader.end()?;
    if serial.len() > MAX_SERIAL {
        return Err(ShapeError::Structure { what: "a serial number that no certificate has" });
    }
    Ok(SignerId::IssuerSerial { issuer, serial })
}

/// Checks the signed attributes and gives back the signing time. They may stand in any order; each in DER, and once.
fn signed_attributes(attributes: &Element<'_>, digest: Digest) -> Result<Option<SystemTime>, ShapeError> {
    let wrong = |what| ShapeError::SignedAttributes { what };
    ber::check_der(attributes.whole, ATTRIBUTE_BOUNDS).map_err(|_| wrong("they are not DER"))?;
    let mut reader = attributes.reader();
    let mut seen: Vec<&[u8]> = Vec::new();
    let (mut content_type, mut message_digest, mut signing_time) = (false, false, None);
    while !reader.is_empty() {
        let attribute = reader.take(SEQUENCE)?;
        let mut inside = attribute.reader();
        let oid = inside.take(OID)?.content;
        let values = inside.take(SET)?;
        inside.end()?;
        if seen.contains(&oid) || seen.len() == MAX_ATTRIBUTES {
            return Err(wrong("one stands twice, or there are too many"));
        }
        seen.push(oid);
        match oid {
            algorithm::CONTENT_TYPE => content_type = single(&values, OID)? == algorithm::DATA,
            algorithm::MESSAGE_DIGEST => message_digest = single(&values, OCTET_STRING)?.len() == digest.octets(),
            algorithm::SIGNING_TIME => signing_time = Some(time(&values)?),
            _ => {}
        }
    }
    if !content_type {
        return Err(wrong("the content type is missing or is not data"));
    }
    if !message_digest {
        return Err(wrong("the message digest is missing or has the wrong length"));
    }
    Ok(signing_time)
}

/// The content of the one value of an attribute.
fn single<'a>(values: &Element<'a>, tag: u8) -> Result<&'a [u8], ShapeError> {
    let wrong = ShapeError::SignedAttributes { what: "one does not have exactly one value of its type" };
    let mut reader = values.reader();
    match (reader.take(tag), reader.is_empty()) {
        (Ok(value), true) => Ok(value.content),
        _ => Err(wrong),
    }
}

fn time(values: &Element<'_>) -> Result<SystemTime, ShapeError> {
    let wrong = || ShapeError::SignedAttributes { what: "the signing time cannot be read" };
    let tag = values.reader().peek().unwrap_or_default();
    let text = match tag {
        UTC_TIME | GENERALIZED_TIME => std::str::from_utf8(single(values, tag)?).map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let (year, rest) = text.split_at_checked(if tag == UTC_TIME { 2 } else { 4 }).ok_or_else(wrong)?;
    let digits = rest.strip_suffix('Z').filter(|digits| digits.len() == 10).ok_or_else(wrong)?;
    if !year.bytes().chain(digits.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number = |from: usize| digits.get(from..from + 2).and_then(|two| two.parse::<i8>().ok()).ok_or_else(wrong);
    let mut year: i16 = year.parse().map_err(|_| wrong())?;
    if tag == UTC_TIME {
        // RFC 5652, section 11.3: 50 to 99 are of the last century.
        year += if year < 50 { 2000 } else { 1900 };
    }
    let civil = jiff::civil::DateTime::new(year, number(0)?, number(2)?, number(4)?, number(6)?, number(8)?.min(59), 0)
        .map_err(|_| wrong())?;
    let seconds = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?.timestamp().as_second();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.ok_or_else(wrong)
}

/// Issuer and serial number of a certificate.
pub(in super::super) fn certificate_id(certificate: &[u8]) -> Result<SignerId<'_>, ShapeError> {
    let mut fields = Reader::new(certificate).take(SEQUENCE)?.reader().take(SEQUENCE)?.reader();
    fields.optional(ber::context(0))?;
    let serial = fields.take(INTEGER)?.content;
    fields.take(SEQUENCE)?;
    let issuer = fields.take(SEQUENCE)?.whole;
    Ok(SignerId::IssuerSerial { issuer, serial })
}
