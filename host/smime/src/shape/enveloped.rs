//! EnvelopedData (RFC 5652, section 6) and AuthEnvelopedData (RFC 5083).

use trust::asn1::{self, BIT_STRING, CONSTRUCTED, Element, OCTET_STRING, OID, Reader, SEQUENCE, SET};
use trust::oids;

use super::algorithm::{Algorithm, ContentCipher};
use super::signed::{SignerId, issuer_serial};
use super::{MAX_RECIPIENTS, ShapeError, require_data, version};

/// The fields of an envelope that are used.
#[derive(Debug)]
pub(in super::super) struct Enveloped<'a> {
    pub(in super::super) cipher: ContentCipher,
    pub(in super::super) recipients: Vec<RecipientId<'a>>,
}

/// The identifier of a recipient.
pub(in super::super) type RecipientId<'a> = SignerId<'a>;

pub(super) fn read<'a>(body: &Element<'a>, authenticated: bool) -> Result<Enveloped<'a>, ShapeError> {
    let mut reader = body.inside();
    version(&mut reader)?;
    if let Some(originator) = reader.optional(asn1::context(0))? {
        // pkijs 4.0.0 writes one with an empty set of CRLs.
        let mut sets = originator.inside();
        while !sets.is_empty() {
            if !sets.any()?.content.is_empty() {
                return Err(ShapeError::Structure { what: "the envelope has certificates or CRLs of its originator" });
            }
        }
    }
    let recipients = recipients(&reader.take(SET)?)?;
    let cipher = encrypted_content(&reader.take(SEQUENCE)?)?;
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
    if authenticated && reader.take(OCTET_STRING)?.content.len() != 16 {
        return Err(ShapeError::Structure { what: "the authentication tag does not have 16 octets" });
    }
    if !reader.is_empty() {
        return Err(ShapeError::Structure { what: "the envelope has attributes" });
    }
    Ok(Enveloped { cipher, recipients })
}

fn encrypted_content(element: &Element<'_>) -> Result<ContentCipher, ShapeError> {
    let mut reader = element.inside();
    require_data(reader.take(OID)?.content)?;
    let cipher = Algorithm::read(&mut reader)?.content_cipher()?;
    let content = reader.any()?;
    reader.end()?;
    if content.tag & !CONSTRUCTED != asn1::context_primitive(0) {
        return Err(ShapeError::Structure { what: "the encrypted content is missing" });
    }
    // OpenSSL joins the chunks; here they only have to be octet strings.
    asn1::octets(&content)?;
    Ok(cipher)
}

fn recipients<'a>(set: &Element<'a>) -> Result<Vec<RecipientId<'a>>, ShapeError> {
    let mut reader = set.inside();
    let (mut ids, mut count) = (Vec::new(), 0);
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
            SEQUENCE => ids.push(key_transport(&recipient)?),
            tag if tag == asn1::context(1) => key_agreement(&recipient, &mut ids)?,
            _ => return Err(ShapeError::RecipientType { what: "neither key transport nor key agreement" }),
        }
    }
    // OpenSSL tries only the first one that matches; a second one for the same certificate has no legitimate use.
    let repeated = ids.iter().enumerate().any(|(at, id)| ids.iter().skip(at + 1).any(|other| other == id));
    if ids.is_empty() || ids.len() > MAX_RECIPIENTS || repeated {
        Err(ShapeError::Recipients { count: ids.len() })
    } else {
        Ok(ids)
    }
}

fn key_transport<'a>(recipient: &Element<'a>) -> Result<RecipientId<'a>, ShapeError> {
    let mut reader = recipient.inside();
    version(&mut reader)?;
    let id = match reader.peek() {
        Some(SEQUENCE) => issuer_serial(&reader.any()?)?,
        _ => SignerId::KeyId(reader.take(asn1::context_primitive(0))?.content),
    };
    Algorithm::read(&mut reader)?.key_transport()?;
    reader.take(OCTET_STRING)?;
    reader.end()?;
    Ok(id)
}

/// KeyAgreeRecipientInfo with an ephemeral EC key (RFC 5753, section 3.1).
fn key_agreement<'a>(recipient: &Element<'a>, ids: &mut Vec<RecipientId<'a>>) -> Result<(), ShapeError> {
    let wrong = |what| ShapeError::RecipientType { what };
    let mut reader = recipient.inside();
    version(&mut reader)?;
    let mut originator = reader.take(asn1::context(0))?.inside();
    let Ok(public) = originator.take(asn1::context(1)) else {
        return Err(wrong("key agreement with a static key of the sender"));
    };
    let mut key = public.inside();
    if Algorithm::read(&mut key)?.oid != oids::EC_PUBLIC_KEY {
        return Err(wrong("key agreement other than EC"));
    }
    key.take(BIT_STRING)?;
    key.end()?;
    if let Some(material) = reader.optional(asn1::context(1))? {
        material.inside().take(OCTET_STRING)?;
    }
    Algorithm::read(&mut reader)?.key_agreement()?;
    let mut keys = reader.take(SEQUENCE)?.inside();
    reader.end()?;
    while !keys.is_empty() && ids.len() <= MAX_RECIPIENTS {
        ids.push(encrypted_key(&mut keys)?);
    }
    Ok(())
}

fn encrypted_key<'a>(keys: &mut Reader<'a>) -> Result<RecipientId<'a>, ShapeError> {
    let mut reader = keys.take(SEQUENCE)?.inside();
    let id = match reader.peek() {
        Some(SEQUENCE) => issuer_serial(&reader.any()?)?,
        _ => SignerId::KeyId(reader.take(asn1::context(0))?.inside().take(OCTET_STRING)?.content),
    };
    reader.take(OCTET_STRING)?;
    reader.end()?;
    Ok(id)
}
