//! Envelopes: whose key decrypts them, and what is in one whose cipher is not authenticated.

use openssl::pkey::Id;
use openssl::x509::X509Ref;

use super::OpenError;
use super::verify::Verified;
use crate::decrypt::{self, Decrypted};
use crate::keys::Keys;
use crate::mime::Uncovered;
use crate::shape::{self, ContentCipher, Enveloped, KeyKind, ShapeError, SignerId};
use crate::signature;
use crate::wrapped::WrappedKey;
use message::hex;
use trust::Digest;

/// Decrypts the envelope with the first of our credentials that it names.
pub(crate) fn decrypt<'a>(envelope: &Enveloped<'_>, keys: &'a dyn Keys) -> Result<(Decrypted, &'a X509Ref), OpenError> {
    let certificates = keys.certificates();
    for (index, certificate) in certificates.iter().copied().enumerate() {
        let der = certificate.to_der().map_err(|_| OpenError::Crypto)?;
        let Ok(by_serial) = shape::certificate_id(&der) else { continue };
        let by_key = certificate.subject_key_id().map(|id| SignerId::KeyId(id.as_slice()));
        let mut ours = envelope.recipients.iter().filter(|to| to.id == by_serial || Some(to.id) == by_key);
        let Some(recipient) = ours.next() else { continue };
        let others = ours.count();
        if others > 0 {
            // By serial number and by key identifier: the same as twice by one of them.
            return Err(ShapeError::Recipients { count: others + 1 }.into());
        }
        let wrapped = WrappedKey::of(recipient, envelope.cipher);
        let secret = keys.content_key(index, &wrapped).ok_or(OpenError::Crypto)?;
        let decrypted = decrypt::content(envelope, &secret);
        return Ok((decrypted.ok_or(OpenError::Crypto)?, certificate));
    }
    Err(not_for_us(envelope, &certificates))
}

/// The error that names the recipients of the envelope and our certificates, without using a key.
fn not_for_us(envelope: &Enveloped<'_>, certificates: &[&X509Ref]) -> OpenError {
    let recipient = |id: &SignerId<'_>| match id {
        SignerId::IssuerSerial { serial, .. } => format!("the certificate with serial number {}", hex(serial)),
        SignerId::KeyId(id) => format!("the key with subject key identifier {}", hex(id.get(..64).unwrap_or(id))),
    };
    let ours = |certificate: &&X509Ref| {
        let der = certificate.to_der().unwrap_or_default();
        let serial = match shape::certificate_id(&der) {
            Ok(SignerId::IssuerSerial { serial, .. }) => hex(serial),
            _ => "that cannot be read".to_owned(),
        };
        match certificate.subject_key_id() {
            Some(id) => format!("serial number {serial} and subject key identifier {}", hex(id.as_slice())),
            None => format!("serial number {serial} and no subject key identifier"),
        }
    };
    OpenError::NotForUs {
        recipients: envelope.recipients.iter().map(|to| recipient(&to.id)).collect::<Vec<_>>().join(", "),
        ours: certificates.iter().map(ours).collect::<Vec<_>>().join(", "),
    }
}

/// How text that the signature does not cover may be written in an envelope with this cipher.
pub(crate) fn uncovered(cipher: ContentCipher) -> Uncovered {
    match cipher {
        ContentCipher::Aes256Gcm => Uncovered::Any,
        ContentCipher::AesCbc(_) => Uncovered::Fixed,
    }
}

/// What is in an envelope whose cipher is not authenticated: it must be verified, and the padding must be right. Any
/// failure is the same error at about the same cost.
pub(super) fn unauthenticated<'a>(
    inside: Result<Verified<'a>, OpenError>,
    plain: &Decrypted,
    ours: &X509Ref,
) -> Result<Verified<'a>, OpenError> {
    match inside {
        Ok(verified) if plain.is_intact() => return Ok(verified),
        Ok(_) | Err(OpenError::Signature) => {}
        Err(_) => imitate_verification(plain.content(), ours),
    }
    Err(OpenError::Crypto)
}

/// Does what the verification of a signature over `content` costs.
fn imitate_verification(content: &[u8], ours: &X509Ref) {
    let digest = signature::digest_of_canonical(Digest::Sha256, content).unwrap_or_default();
    let Ok(key) = ours.public_key() else { return };
    let kind = if key.id() == Id::EC { KeyKind::Ec } else { KeyKind::Rsa };
    let wrong = vec![1; key.size()];
    std::hint::black_box(signature::check(&key, kind, Digest::Sha256, &digest, &wrong).ok());
}
