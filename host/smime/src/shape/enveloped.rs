//! EnvelopedData (RFC 5652, section 6) and AuthEnvelopedData (RFC 5083).

use std::borrow::Cow;

use trust::asn1::{self, BIT_STRING, CONSTRUCTED, Element, OCTET_STRING, OID, Reader, SEQUENCE, SET};
use trust::oids;

use super::algorithm::{Algorithm, ContentCipher, KeyWrap, RsaPadding};
use super::signed::{SignerId, issuer_serial};
use super::{MAX_RECIPIENTS, ShapeError, require_data, version};

/// The fields of an envelope that are used.
#[derive(Debug)]
pub(in super::super) struct Enveloped<'a> {
    pub(in super::super) cipher: ContentCipher,
    /// The initial vector of AES-CBC, the nonce of AES-GCM.
    pub(in super::super) vector: &'a [u8],
    /// The encrypted content.
    pub(in super::super) content: Cow<'a, [u8]>,
    /// The tag of AES-GCM; empty for AES-CBC.
    pub(in super::super) tag: &'a [u8],
    pub(in super::super) recipients: Vec<Recipient<'a>>,
}

/// A recipient, and how the key of the content is encrypted for it.
#[derive(Debug)]
pub(in super::super) struct Recipient<'a> {
    pub(in super::super) id: RecipientId<'a>,
    pub(in super::super) method: KeyMethod<'a>,
    /// The encrypted key.
    pub(in super::super) key: &'a [u8],
}

/// How the key of the content is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum KeyMethod<'a> {
    Transport(RsaPadding),
    Agreement(Agreement<'a>),
}

/// ECDH with an ephemeral key of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Agreement<'a> {
    /// The object identifier of the scheme, which names the digest of the key derivation.
    pub(in super::super) scheme: &'a [u8],
    pub(in super::super) wrap: KeyWrap,
    /// The parameters of the sender's key: its curve, unless they are absent.
    pub(in super::super) curve: Option<Element<'a>>,
    /// The sender's key: the content of a BIT STRING.
    pub(in super::super) public: &'a [u8],
    /// The user keying material.
    pub(in super::super) material: Option<&'a [u8]>,
}

/// The identifier of a recipient.
pub(in super::super) type RecipientId<'a> = SignerId<'a>;

pub(super) fn read<'a>(body: &Element<'a>, authenticated: bool) -> Result<Enveloped<'a>, ShapeError> {
    let mut reader = body.inside();
    version(&mut reader)?;
    if let Some(originator) = reader.optional(asn1::context(0))? {
        // pkijs 4.0.0 writes one with an empty set of CRLs.
        let mut sets = originator.inside();
        let certificates = sets.optional(asn1::context(0))?;
        let lists = sets.optional(asn1::context(1))?;
        if [certificates, lists].iter().flatten().any(|set| !set.content.is_empty()) {
            return Err(ShapeError::Structure { what: "the envelope has certificates or CRLs of its originator" });
        }
        sets.end()?;
    }
    let recipients = recipients(&reader.take(SET)?)?;
    let (cipher, vector, content) = encrypted_content(&reader.take(SEQUENCE)?)?;
    match (cipher, authenticated) {
        (ContentCipher::Aes256Gcm, true) | (ContentCipher::AesCbc(_), false) => {}
        (ContentCipher::Aes256Gcm, false) => {
            let what = "AES-256-GCM in enveloped data, which has no field for its tag; the sender must use authenticated \
                        enveloped data or AES-CBC";
            return Err(ShapeError::Structure { what });
        }
        (ContentCipher::AesCbc(_), true) => {
            return Err(ShapeError::Structure { what: "AES-CBC in authenticated enveloped data" });
        }
    }
    let tag = if authenticated { reader.take(OCTET_STRING)?.content } else { &[] };
    if authenticated && tag.len() != 16 {
        return Err(ShapeError::Structure { what: "the authentication tag does not have 16 octets" });
    }
    if !reader.is_empty() {
        return Err(ShapeError::Structure { what: "the envelope has attributes" });
    }
    Ok(Enveloped { cipher, vector, content, tag, recipients })
}

/// The cipher, its initial vector or nonce, and the encrypted content.
type EncryptedContent<'a> = (ContentCipher, &'a [u8], Cow<'a, [u8]>);

fn encrypted_content<'a>(element: &Element<'a>) -> Result<EncryptedContent<'a>, ShapeError> {
    let mut reader = element.inside();
    require_data(reader.take(OID)?.content)?;
    let (cipher, vector) = Algorithm::read(&mut reader)?.content_cipher()?;
    let content = reader.any()?;
    reader.end()?;
    if content.tag & !CONSTRUCTED != asn1::context_primitive(0) {
        return Err(ShapeError::Structure { what: "the encrypted content is missing" });
    }
    Ok((cipher, vector, asn1::octets(&content)?))
}

fn recipients<'a>(set: &Element<'a>) -> Result<Vec<Recipient<'a>>, ShapeError> {
    let mut reader = set.inside();
    let (mut found, mut count) = (Vec::new(), 0);
    while !reader.is_empty() {
        let recipient = reader.any()?;
        count += 1;
        if count > MAX_RECIPIENTS {
            while !reader.is_empty() {
                reader.any()?;
                count += 1;
            }
            return Err(ShapeError::Recipients { count });
        }
        match recipient.tag {
            SEQUENCE => found.push(key_transport(&recipient)?),
            tag if tag == asn1::context(1) => key_agreement(&recipient, &mut found)?,
            _ => return Err(ShapeError::RecipientType { what: "neither key transport nor key agreement" }),
        }
    }
    // Only one key is tried; a second one for the same certificate has no legitimate use.
    let repeated = |(at, one): (usize, &Recipient<'_>)| found.iter().skip(at + 1).any(|other| other.id == one.id);
    if found.is_empty() || found.len() > MAX_RECIPIENTS || found.iter().enumerate().any(repeated) {
        Err(ShapeError::Recipients { count: found.len() })
    } else {
        Ok(found)
    }
}

fn key_transport<'a>(recipient: &Element<'a>) -> Result<Recipient<'a>, ShapeError> {
    let mut reader = recipient.inside();
    version(&mut reader)?;
    let id = match reader.peek() {
        Some(SEQUENCE) => issuer_serial(&reader.any()?)?,
        _ => SignerId::KeyId(reader.take(asn1::context_primitive(0))?.content),
    };
    let padding = Algorithm::read(&mut reader)?.key_transport()?;
    let key = reader.take(OCTET_STRING)?.content;
    reader.end()?;
    Ok(Recipient { id, method: KeyMethod::Transport(padding), key })
}

/// KeyAgreeRecipientInfo with an ephemeral EC key (RFC 5753, section 3.1).
fn key_agreement<'a>(recipient: &Element<'a>, found: &mut Vec<Recipient<'a>>) -> Result<(), ShapeError> {
    let wrong = |what| ShapeError::RecipientType { what };
    let mut reader = recipient.inside();
    version(&mut reader)?;
    let mut originator = reader.take(asn1::context(0))?.inside();
    let Ok(public) = originator.take(asn1::context(1)) else {
        return Err(wrong("key agreement with a static key of the sender"));
    };
    originator.end()?;
    let mut key = public.inside();
    let of_key = Algorithm::read(&mut key)?;
    if of_key.oid != oids::EC_PUBLIC_KEY {
        return Err(wrong("key agreement other than EC"));
    }
    let public = key.take(BIT_STRING)?.content;
    key.end()?;
    let material = match reader.optional(asn1::context(1))? {
        Some(material) => Some(asn1::explicit(&material, OCTET_STRING)?.content),
        None => None,
    };
    let scheme = Algorithm::read(&mut reader)?;
    let wrap = scheme.key_agreement()?;
    let agreement = Agreement { scheme: scheme.oid, wrap, curve: of_key.parameters, public, material };
    let mut keys = reader.take(SEQUENCE)?.inside();
    reader.end()?;
    while !keys.is_empty() && found.len() <= MAX_RECIPIENTS {
        let (id, key) = encrypted_key(&mut keys)?;
        found.push(Recipient { id, method: KeyMethod::Agreement(agreement), key });
    }
    Ok(())
}

fn encrypted_key<'a>(keys: &mut Reader<'a>) -> Result<(RecipientId<'a>, &'a [u8]), ShapeError> {
    let mut reader = keys.take(SEQUENCE)?.inside();
    let id = match reader.peek() {
        Some(SEQUENCE) => issuer_serial(&reader.any()?)?,
        _ => SignerId::KeyId(reader.take(asn1::context(0))?.inside().take(OCTET_STRING)?.content),
    };
    let key = reader.take(OCTET_STRING)?.content;
    reader.end()?;
    Ok((id, key))
}
