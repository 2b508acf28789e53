//! What is inside an envelope that could not be opened, for the operator of this machine.
//!
//! # Who may read it
//! [`open`](super::open()) returns one error whatever goes wrong inside an envelope whose cipher is not authenticated,
//! for AES-CBC is malleable and RSA PKCS#1 v1.5 has its own oracle: an attacker who learns which altered messages still
//! decrypt to something learns the content. Log, journal and reject queue hold that one error too, since they are copied to other
//! machines and shown to senders. What this module says goes to the terminal of `sesame explain` only: the operator who
//! runs that has the file and our key and could decrypt the message by other means. Nothing else may call this module.

use std::sync::Arc;

use super::open::{self, OpenError, Outer};
use super::shape::{self, Cms};
use message::cause::chain;
use trust::{Credential, TrustStore};

/// Says why the envelope `raw`, which [`open`](super::open()) refused with [`OpenError::Crypto`], was refused. `None`: it is
/// no envelope that we hold the key for, or nothing is wrong inside it.
#[must_use]
pub fn diagnose(raw: &[u8], credentials: &[Arc<Credential>], trust: &TrustStore) -> Option<String> {
    let Ok(Outer::Cms(message)) = open::take_apart(raw) else { return None };
    let Ok(Cms::Enveloped(envelope)) = shape::inspect(&message) else { return None };
    let plain = match open::decrypt(&message, &envelope, credentials) {
        Ok(plain) => plain,
        Err(OpenError::Crypto) => {
            return Some(
                "the envelope is for us and does not decrypt: it was changed on its way, or encrypted with another key \
                 than our certificate's"
                    .to_owned(),
            );
        }
        Err(_) => return None,
    };
    let error = open::verify_inside(&plain, trust).err()?;
    Some(if begins_as_text(&plain) {
        format!("the envelope decrypts, and what is inside is refused: {}", chain(&error))
    } else {
        "the envelope decrypts to bytes that are no message: it was changed on its way, or its key is not for our \
         certificate"
            .to_owned()
    })
}

/// Whether the first line is one of a text: what the wrong key decrypts to is not.
fn begins_as_text(plain: &[u8]) -> bool {
    let first = plain.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(first.get(..512).unwrap_or(first));
    !line.contains(|c: char| c == '\u{FFFD}' || (c.is_control() && !matches!(c, '\r' | '\t')))
}
