//! Entry points for the fuzz targets: parsers that other crates do not call directly.

use std::sync::OnceLock;

use message::wire::Reader;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::X509;

use crate::mime::Uncovered;
use crate::ready::Ready;
use crate::shape::{self, Cms, Enveloped, KeyMethod, SignedMessage};
use crate::wrapped::WrappedKey;
use crate::{decrypt, open, signature};

/// Parses the MIME structure of a message. Returns whether that succeeded.
#[must_use]
pub fn mime(message: &[u8]) -> bool {
    let read = open::parse_outer(message, Uncovered::Any).is_ok();
    assert!(read || open::parse_outer(message, Uncovered::Fixed).is_err(), "only the fixed form is accepted");
    read
}

/// Takes a CMS message apart, and verifies or decrypts it with keys that are not trusted. Returns whether its shape is
/// accepted.
#[must_use]
pub fn cms(message: &[u8]) -> bool {
    match shape::inspect(message) {
        Ok(Cms::Signed(signed)) => verify(&signed),
        Ok(Cms::Enveloped(envelope)) => decrypt(&envelope),
        Err(_) => return false,
    }
    true
}

/// Checks the signature with the key of each certificate in the message that has the right kind.
fn verify(message: &SignedMessage<'_>) {
    let keys = message.certificates.iter().filter_map(|der| X509::from_der(der).ok()?.public_key().ok());
    for key in keys.filter(|key| open::check_key(key, message.key).is_ok()) {
        let verified = signature::verifies(message, &key);
        assert!(verified.is_err() || message.attributes.len() > message.message_digest.len());
    }
}

/// Decrypts for the first recipient with keys that do not fit. The content is what was encrypted, without the padding.
fn decrypt(envelope: &Enveloped<'_>) {
    static KEYS: OnceLock<Option<[PKey<Private>; 2]>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).ok()?;
        let keys = [PKey::from_rsa(Rsa::generate(1024).ok()?), PKey::from_ec_key(EcKey::generate(&curve).ok()?)];
        let [Ok(rsa), Ok(ec)] = keys else { return None };
        Some([rsa, ec])
    });
    let (Some([rsa, ec]), Some(recipient)) = (keys, envelope.recipients.first()) else { return };
    let key = if matches!(recipient.method, KeyMethod::Transport(_)) { rsa } else { ec };
    let wrapped = WrappedKey::of(recipient, envelope.cipher);
    let octets = wrapped.to_bytes();
    // As from a process without keys.
    if let Ok(read) = WrappedKey::read(&mut Reader::new(&octets)) {
        assert_eq!(read.to_bytes(), octets);
    }
    let Ok(secret) = decrypt::content_key(&wrapped, (key, &Ready::default())) else { return };
    if let Some(decrypted) = decrypt::content(envelope, &secret) {
        let (length, of_cipher) = (decrypted.content().len(), envelope.content.len());
        assert!(length <= of_cipher && of_cipher <= length + 16, "{length} octets from {of_cipher}");
    }
}
