//! Explains to the operator of this machine why an envelope could not be opened.
//!
//! # Confidentiality
//! [`open`](super::open()) returns a single error for every failure inside an envelope whose cipher is not
//! authenticated: AES-CBC is malleable and RSA PKCS#1 v1.5 has an oracle of its own, so that an attacker who learns
//! which altered messages still decrypt can learn the content. Log, journal and reject queue contain only that error,
//! since they are copied to other machines and shown to senders. The text of this module is only for the terminal of
//! `sesame explain`: its operator has the file and our key, and could decrypt the message by other means. Nothing else
//! may call this module.

use std::sync::Arc;

use super::keys::OwnKeys;
use super::mime::Uncovered;
use super::open::{self, OpenError, Outer};
use super::shape::{self, Cms};
use message::cause::chain;
use trust::{Credential, TrustStore};

/// Returns why [`open`](super::open()) refused the envelope `raw` with [`OpenError::Crypto`]. `None` if `raw` is not an
/// envelope, we do not have its key, or its content verifies.
#[must_use]
pub fn diagnose(raw: &[u8], credentials: &[Arc<Credential>], trust: &TrustStore) -> Option<String> {
    let Ok(Outer::Cms(message)) = open::parse_outer(raw, Uncovered::Any) else { return None };
    let Ok(Cms::Enveloped(envelope)) = shape::inspect(&message) else { return None };
    let plain = match open::decrypt(&envelope, &OwnKeys(credentials)) {
        Ok((plain, _)) if plain.is_intact() => plain,
        Ok(_) | Err(OpenError::Crypto) => {
            return Some(
                "the envelope is addressed to us but does not decrypt: it was changed in transit, or encrypted for \
                 another key than that of our certificate"
                    .to_owned(),
            );
        }
        Err(_) => return None,
    };
    let error = open::verify_inside(plain.content(), open::uncovered(envelope.cipher), trust).err()?;
    Some(if begins_as_text(plain.content()) {
        format!("the envelope decrypts, but its content is refused: {}", chain(&error))
    } else {
        "the envelope decrypts to bytes that are not a message: it was changed in transit, or encrypted for another \
         key than that of our certificate"
            .to_owned()
    })
}

/// Whether the first line is text. The output of decryption with a wrong key is not.
fn begins_as_text(plain: &[u8]) -> bool {
    let first = plain.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(first.get(..512).unwrap_or(first));
    !line.contains(|c: char| c == '\u{FFFD}' || (c.is_control() && !matches!(c, '\r' | '\t')))
}
