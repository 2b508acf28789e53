//! SignedData (RFC 5652, section 5).

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trust::asn1::{self, Bounds, CONSTRUCTED, Element, INTEGER, OCTET_STRING, OID, Reader, Rules, SEQUENCE, SET};
use trust::{Digest, TbsCertificate, oids};

use super::algorithm::{Algorithm, KeyKind};
use super::{MAX_CERTIFICATES, ShapeError, require_data, version};

/// Maximum number of signed and of unsigned attributes.
const MAX_ATTRIBUTES: usize = 32;
/// Maximum length of a serial number in octets; RFC 5280 allows 20, some authorities use more.
const MAX_SERIAL: usize = 64;
const ATTRIBUTE_BOUNDS: Bounds = Bounds { depth: 16, elements: 2_000 };

/// The fields of a SignedData that are used.
#[derive(Debug)]
pub(in super::super) struct SignedMessage<'a> {
    pub(in super::super) digest: Digest,
    pub(in super::super) key: KeyKind,
    pub(in super::super) signer: SignerId<'a>,
    pub(in super::super) signing_time: Option<SystemTime>,
    /// All certificates in the message, in order, as DER.
    pub(in super::super) certificates: Vec<&'a [u8]>,
    /// The content, unless the signature is detached.
    pub(in super::super) content: Option<Cow<'a, [u8]>>,
    /// The signed attributes as received, in DER, with the tag `[0]`.
    pub(in super::super) attributes: &'a [u8],
    /// The digest of the content, from the signed attributes.
    pub(in super::super) message_digest: &'a [u8],
    /// The signature over the attributes.
    pub(in super::super) signature: &'a [u8],
}

/// Signed attributes with exactly one value, which must not be among the unsigned ones (RFC 2634, section 1.3.4).
const SINGLE: [&[u8]; 3] = [oids::RECEIPT_REQUEST, oids::SIGNING_CERTIFICATE, oids::SIGNING_CERTIFICATE_V2];

/// The identifier of a certificate in a SignerInfo or a RecipientInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum SignerId<'a> {
    /// Issuer name as DER, and the serial number's octets.
    IssuerSerial { issuer: &'a [u8], serial: &'a [u8] },
    /// Subject key identifier.
    KeyId(&'a [u8]),
}

pub(super) fn read<'a>(body: &Element<'a>) -> Result<SignedMessage<'a>, ShapeError> {
    let mut reader = body.inside();
    version(&mut reader)?;
    let digests = digest_set(&reader.take(SET)?)?;
    let content = encapsulated(&reader.take(SEQUENCE)?)?;
    let certificates = match reader.optional(asn1::context(0))? {
        Some(bag) => certificates(&bag)?,
        None => Vec::new(),
    };
    if let Some(lists) = reader.optional(asn1::context(1))? {
        bounded(&lists, MAX_CERTIFICATES).ok_or(ShapeError::TooManyCertificates)?;
        revocations(&lists)?;
    }
    let mut signers = reader.take(SET)?.inside();
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
        attributes: signer.attributes,
        message_digest: signer.message_digest,
        signature: signer.signature,
    })
}

fn digest_set(set: &Element<'_>) -> Result<Vec<Digest>, ShapeError> {
    let mut reader = set.inside();
    let mut digests = Vec::new();
    while !reader.is_empty() && digests.len() < 8 {
        digests.push(Algorithm::read(&mut reader)?.digest()?);
    }
    // Some senders add a second entry for the same digest, with and without NULL.
    digests.dedup();
    reader.end()?;
    Ok(digests)
}

fn encapsulated<'a>(element: &Element<'a>) -> Result<Option<Cow<'a, [u8]>>, ShapeError> {
    let mut reader = element.inside();
    require_data(reader.take(OID)?.content)?;
    let content = reader.optional(asn1::context(0))?;
    reader.end()?;
    let Some(explicit) = content else { return Ok(None) };
    let mut inside = explicit.inside();
    let string = inside.any()?;
    inside.end()?;
    if string.tag & !CONSTRUCTED != OCTET_STRING {
        return Err(ShapeError::Structure { what: "the signed content is not an octet string" });
    }
    Ok(Some(asn1::octets(&string)?))
}

fn certificates<'a>(bag: &Element<'a>) -> Result<Vec<&'a [u8]>, ShapeError> {
    let mut reader = bag.inside();
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

/// Checks that these are CRLs or other revocation information. Nothing reads them: `trust` has CRLs of its own.
fn revocations(lists: &Element<'_>) -> Result<(), ShapeError> {
    let mut reader = lists.inside();
    while !reader.is_empty() {
        let list = reader.any()?;
        if list.tag != SEQUENCE && list.tag != asn1::context(1) {
            return Err(ShapeError::Structure { what: "a CRL that is not an X.509 CRL" });
        }
    }
    Ok(())
}

/// The number of inner elements; `None` if it is above `most`.
fn bounded(element: &Element<'_>, most: usize) -> Option<usize> {
    let mut reader = element.inside();
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
    attributes: &'a [u8],
    message_digest: &'a [u8],
    signature: &'a [u8],
}

fn signer_info<'a>(element: &Element<'a>) -> Result<SignerInfo<'a>, ShapeError> {
    let mut reader = element.inside();
    version(&mut reader)?;
    let id = match reader.peek() {
        Some(SEQUENCE) => issuer_serial(&reader.any()?)?,
        _ => SignerId::KeyId(reader.take(asn1::context_primitive(0))?.content),
    };
    let digest = Algorithm::read(&mut reader)?.digest()?;
    let attributes = reader.optional(asn1::context(0))?.ok_or(ShapeError::NoSignedAttributes)?;
    let (message_digest, signing_time) = signed_attributes(&attributes, digest)?;
    let key = Algorithm::read(&mut reader)?.signature(digest)?;
    let signature = reader.take(OCTET_STRING)?;
    if signature.content.is_empty() {
        return Err(ShapeError::Structure { what: "the signature is empty" });
    }
    if let Some(unsigned) = reader.optional(asn1::context(1))? {
        bounded(&unsigned, MAX_ATTRIBUTES).ok_or(ShapeError::Structure { what: "too many unsigned attributes" })?;
        unsigned_attributes(&unsigned)?;
    }
    reader.end()?;
    let (attributes, signature) = (attributes.whole, signature.content);
    Ok(SignerInfo { id, digest, key, signing_time, attributes, message_digest, signature })
}

/// Checks that no unsigned attribute is one that must be signed. Nothing reads them.
fn unsigned_attributes(attributes: &Element<'_>) -> Result<(), ShapeError> {
    const SIGNED: [&[u8]; 3] = [oids::CONTENT_TYPE, oids::MESSAGE_DIGEST, oids::SIGNING_TIME];
    let mut reader = attributes.inside();
    while !reader.is_empty() {
        let (oid, _) = attribute(&mut reader)?;
        if SIGNED.contains(&oid) || SINGLE.contains(&oid) {
            return Err(ShapeError::Structure { what: "an unsigned attribute that must be signed" });
        }
    }
    Ok(())
}

/// The type and the values of the next attribute.
fn attribute<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], Element<'a>), ShapeError> {
    let mut inside = reader.take(SEQUENCE)?.inside();
    let oid = inside.take(OID)?.content;
    let values = inside.take(SET)?;
    inside.end()?;
    Ok((oid, values))
}

/// Reads an IssuerAndSerialNumber.
pub(super) fn issuer_serial<'a>(element: &Element<'a>) -> Result<SignerId<'a>, ShapeError> {
    let mut reader = element.inside();
    let issuer = reader.take(SEQUENCE)?.whole;
    let serial = reader.take(INTEGER)?.content;
    reader.end()?;
    if serial.len() > MAX_SERIAL {
        return Err(ShapeError::Structure { what: "a serial number that is too long" });
    }
    Ok(SignerId::IssuerSerial { issuer, serial })
}

/// Checks the signed attributes and returns message digest and signing time. They may be in any order, each in DER and
/// only once.
fn signed_attributes<'a>(
    attributes: &Element<'a>,
    digest: Digest,
) -> Result<(&'a [u8], Option<SystemTime>), ShapeError> {
    let wrong = |what| ShapeError::SignedAttributes { what };
    asn1::check(attributes.whole, Rules::Der, ATTRIBUTE_BOUNDS).map_err(|_| wrong("they are not DER"))?;
    let mut reader = attributes.inside();
    let mut seen: Vec<&[u8]> = Vec::new();
    let (mut content_type, mut message_digest, mut signing_time) = (false, None, None);
    while !reader.is_empty() {
        let (oid, values) = attribute(&mut reader)?;
        if seen.contains(&oid) || seen.len() == MAX_ATTRIBUTES {
            return Err(wrong("one appears twice, or there are too many"));
        }
        seen.push(oid);
        match oid {
            oids::CONTENT_TYPE => content_type = single(&values, OID)? == oids::DATA,
            oids::MESSAGE_DIGEST => {
                message_digest = Some(single(&values, OCTET_STRING)?).filter(|value| value.len() == digest.octets());
            }
            oids::SIGNING_TIME => signing_time = Some(time(&values)?),
            oids::COUNTERSIGNATURE => return Err(wrong("a countersignature is among them")),
            other if SINGLE.contains(&other) && bounded(&values, 1) != Some(1) => {
                return Err(wrong("one does not have exactly one value"));
            }
            _ => {}
        }
    }
    if !content_type {
        return Err(wrong("the content type is missing or is not data"));
    }
    match message_digest {
        Some(value) => Ok((value, signing_time)),
        None => Err(wrong("the message digest is missing or has the wrong length")),
    }
}

/// The content of the single value of an attribute.
fn single<'a>(values: &Element<'a>, tag: u8) -> Result<&'a [u8], ShapeError> {
    let wrong = ShapeError::SignedAttributes { what: "one does not have exactly one value of its type" };
    let mut reader = values.inside();
    match (reader.take(tag), reader.is_empty()) {
        (Ok(value), true) => Ok(value.content),
        _ => Err(wrong),
    }
}

fn time(values: &Element<'_>) -> Result<SystemTime, ShapeError> {
    let wrong = || ShapeError::SignedAttributes { what: "the signing time cannot be read" };
    let mut reader = values.inside();
    let value = reader.any().map_err(|_| wrong())?;
    let seconds = asn1::seconds_since_1970(&value).filter(|_| reader.is_empty()).ok_or_else(wrong)?;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.ok_or_else(wrong)
}

/// Issuer and serial number of a certificate.
pub(in super::super) fn certificate_id(certificate: &[u8]) -> Result<SignerId<'_>, ShapeError> {
    let fields = TbsCertificate::read(Reader::ber(certificate))?;
    Ok(SignerId::IssuerSerial { issuer: fields.issuer.whole, serial: fields.serial.content })
}
