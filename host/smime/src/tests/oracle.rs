//! Opens a message by OpenSSL's CMS functions, after the same check of its shape: the oracle of `differential`.

use std::borrow::Cow;

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::stack::Stack;
use openssl::x509::X509;

use super::*;
use crate::mime::{Signed, SignedParts, Uncovered, encoding};
use crate::open::{self as opening, Outer, Verified};
use crate::shape::{self, Cms, ContentCipher, Enveloped, ShapeError, SignedMessage, SignerId};
use trust::{Role, TrustStore};

pub(super) fn open(
    raw: &[u8],
    credentials: &[Arc<Credential>],
    trust: &TrustStore,
    policy: &OpenPolicy,
    at: SystemTime,
) -> Result<Opened, OpenError> {
    let limit = opening::wire_limit(policy.max_payload);
    if raw.len() > limit {
        return Err(OpenError::TooLarge { limit });
    }
    if raw.trim_ascii().is_empty() {
        return Err(OpenError::Empty);
    }
    let plain;
    let (verified, encrypted) = match opening::parse_outer(raw, Uncovered::Any)? {
        Outer::Detached(parts) => (verify_detached(&parts, trust)?, false),
        Outer::Cms(message) => match shape::inspect(&message)? {
            Cms::Signed(signed) => (verify_opaque(&message, &signed, trust)?, false),
            Cms::Enveloped(envelope) => {
                plain = decrypt(&message, &envelope, credentials)?;
                let authenticated = envelope.cipher == ContentCipher::Aes256Gcm;
                let inside = verify_inside(&plain, trust);
                (inside.map_err(|error| if authenticated { error } else { OpenError::Crypto })?, true)
            }
        },
    };
    opening::check_policy(verified, encrypted, trust, policy, at)
}

/// Decrypts by `CMS_decrypt`.
pub(super) fn decrypt(
    message: &[u8],
    envelope: &Enveloped<'_>,
    credentials: &[Arc<Credential>],
) -> Result<Vec<u8>, OpenError> {
    for credential in credentials {
        let certificate = credential.certificate();
        let der = certificate.to_der().unwrap();
        let by_serial = shape::certificate_id(&der).unwrap();
        let by_key = certificate.subject_key_id().map(|id| SignerId::KeyId(id.as_slice()));
        match envelope.recipients.iter().filter(|to| to.id == by_serial || Some(to.id) == by_key).count() {
            0 => {}
            1 => {
                let envelope = CmsContentInfo::from_der(message).map_err(|_| OpenError::Crypto)?;
                return envelope.decrypt(credential.key(), &certificate.to_owned()).map_err(|_| OpenError::Crypto);
            }
            count => return Err(ShapeError::Recipients { count }.into()),
        }
    }
    // The text is not compared.
    Err(OpenError::NotForUs { recipients: String::new(), ours: String::new() })
}

fn verify_inside(plain: &[u8], trust: &TrustStore) -> Result<Verified<'static>, OpenError> {
    match opening::parse_outer(plain, Uncovered::Any)? {
        Outer::Detached(parts) => verify_detached(&parts, trust),
        Outer::Cms(message) => match shape::inspect(&message)? {
            Cms::Signed(signed) => verify_opaque(&message, &signed, trust),
            Cms::Enveloped(_) => Err(ShapeError::Structure { what: "an envelope inside an envelope" }.into()),
        },
    }
}

fn verify_detached(parts: &SignedParts<'_>, trust: &TrustStore) -> Result<Verified<'static>, OpenError> {
    let Cms::Signed(message) = shape::inspect(&parts.signature)? else {
        return Err(ShapeError::Structure { what: "an envelope instead of a signature" }.into());
    };
    let (signer, others) = opening::certificates(&message, trust, Role::MessageSigner)?;
    let canonical = encoding::to_crlf(parts.content);
    let signed = match &message.content {
        None => detached(&parts.signature, &signer, canonical, parts.content)?,
        Some(own) if *own == canonical => verify(&parts.signature, &signer, None)?,
        Some(_) => {
            return Err(ShapeError::Structure { what: "the signature repeats the content, but not exactly" }.into());
        }
    };
    Ok(verified(signed, signer, others, &message))
}

fn detached(signature: &[u8], signer: &X509, canonical: Vec<u8>, received: &[u8]) -> Result<Vec<u8>, OpenError> {
    let verified = |content: &[u8]| verify(signature, signer, Some(content));
    match verified(&canonical) {
        Ok(_) => Ok(canonical),
        Err(_) if canonical != received && verified(received).is_ok() => Ok(received.to_vec()),
        Err(error) => match encoding::to_lf(received) {
            with_lf if with_lf == received => Err(error),
            with_lf => verified(&with_lf).map(|_| with_lf),
        },
    }
}

fn verify_opaque(der: &[u8], message: &SignedMessage<'_>, trust: &TrustStore) -> Result<Verified<'static>, OpenError> {
    if message.content.is_none() {
        return Err(ShapeError::Structure { what: "a signature without its content" }.into());
    }
    let (signer, others) = opening::certificates(message, trust, Role::MessageSigner)?;
    let signed = verify(der, &signer, None)?;
    Ok(verified(signed, signer, others, message))
}

fn verified(signed: Vec<u8>, signer: X509, others: Vec<X509>, message: &SignedMessage<'_>) -> Verified<'static> {
    let (digest, signing_time) = (message.digest, message.signing_time);
    Verified { signed: Signed::exact(Cow::Owned(signed)), signer, others, digest, signing_time }
}

/// Verifies by `CMS_verify`. Returns the content of an opaque message.
pub(super) fn verify(message: &[u8], signer: &X509, detached: Option<&[u8]>) -> Result<Vec<u8>, OpenError> {
    let flags = CMSOptions::NOINTERN | CMSOptions::NO_SIGNER_CERT_VERIFY | CMSOptions::BINARY;
    let mut content = Vec::new();
    let output = if detached.is_none() { Some(&mut content) } else { None };
    let verified = Stack::new().and_then(|mut alone| {
        alone.push(signer.clone())?;
        CmsContentInfo::from_der(message)?.verify(Some(&alone), None, detached, output, flags)
    });
    verified.map_err(|_| OpenError::Signature)?;
    Ok(content)
}
