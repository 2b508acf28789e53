//! Opens a message: decrypts it if it is enveloped, verifies its signature, and validates the signer's certification
//! path.
//!
//! # Order of checks
//! size → MIME → shape of the CMS message → decryption → MIME and shape of the decrypted message → signature →
//! encryption and digest policy → certification path → signing time → content. The first error is reported.
//!
//! # Signer
//! The signer is the certificate in the message that the SignerInfo identifies, by issuer and serial number or by key
//! identifier, with exactly equal octets. If two different certificates match, the message is refused. The signature
//! must be made with that certificate's key, and its path is validated. Nothing else in the message identifies the
//! signer.
//!
//! # Errors inside an envelope
//! AES-CBC is malleable. Every failure between the decryption of such an envelope and the verification of the signature
//! in it results in the same error, [`OpenError::Crypto`]. A wrong padding costs what a wrong content costs: the
//! content is read and its signature checked in either case (`decrypt` has the reasons), and what fails before a
//! signature was checked makes up for that check. Nor may a change of what the signature does not cover go unnoticed: it
//! must have a fixed form (`mime::uncovered`). AES-GCM detects a changed ciphertext, so its errors are specific.
//! [`diagnose`](super::diagnose()) shows the cause to the operator only.
//!
//! # Recipient
//! A recipient is matched by issuer and serial number of our certificate or by its subject key identifier extension,
//! never by trying keys. A certificate without that extension does not match any key identifier: computing one would
//! require guessing which method of RFC 5280 section 4.2.1.2 the sender used.
//!
//! | module | contents |
//! |---|---|
//! | `envelope` | decryption for one of our credentials; the single error |
//! | `verify` | the signer's certificate and the check of the signature |
//! | `opened`, `error` | the results |
//! | `apart` | the same in a process without the private key |

mod apart;
mod envelope;
mod error;
mod opened;
mod verify;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::keys::{Keys, OwnKeys};
use super::mime::{self, Entity, MimeError, Part, SignedParts, Uncovered};
use super::seal::is_blank;
use super::shape::{self, Cms, ContentCipher, ShapeError};
use message::MessageId;
use trust::{Credential, Digest, Role, TrustStore};

pub use apart::{Answer, Apart, Refused, SeenSigners, content_key, open_apart, read_answer};
pub(super) use envelope::{decrypt, uncovered};
pub use error::OpenError;
pub use opened::Opened;
pub(super) use verify::{Verified, certificates, check_key, verify, verify_inside};

use envelope::unauthenticated;
use verify::{verify_detached, verify_opaque};

/// How far in the future a signing time may lie.
const MAX_SKEW: Duration = Duration::from_secs(86_400);
/// Allowance for headers, certificates and signature of a message, in bytes.
const WIRE_ALLOWANCE: usize = 512 * 1024;

/// What a channel accepts.
#[derive(Clone, Debug)]
pub struct OpenPolicy {
    /// Refuse unencrypted messages.
    pub encryption_required: bool,
    /// Accept SHA-1 as message digest. MD5 is never accepted.
    pub allow_sha1: bool,
    /// Maximum size of a payload, in bytes. A message is refused before decryption if it is larger than a payload
    /// within the limit can make it.
    pub max_payload: usize,
    /// Maximum age of the signing time; `None` for any. A message without signing time is accepted.
    pub max_age: Option<Duration>,
    /// Our names: a message with a signed addressee must name one of them. If empty, it is not checked.
    pub names: Vec<String>,
}

/// Opens a message from the broker with any of our `credentials`. Validity is checked at the time `at`.
///
/// # Errors
/// [`OpenError`], each with a stable [`code`](OpenError::code).
pub fn open(
    raw: &[u8],
    credentials: &[Arc<Credential>],
    trust: &TrustStore,
    policy: &OpenPolicy,
    at: SystemTime,
) -> Result<Opened, OpenError> {
    open_with(raw, &OwnKeys(credentials), trust, policy, at)
}

/// The same with keys that may be in another process.
pub(super) fn open_with(
    raw: &[u8],
    keys: &dyn Keys,
    trust: &TrustStore,
    policy: &OpenPolicy,
    at: SystemTime,
) -> Result<Opened, OpenError> {
    let limit = wire_limit(policy.max_payload);
    if raw.len() > limit {
        return Err(OpenError::TooLarge { limit });
    }
    if raw.trim_ascii().is_empty() {
        return Err(OpenError::Empty);
    }
    let plain;
    let (verified, encrypted) = match parse_outer(raw, Uncovered::Any)? {
        Outer::Detached(parts) => (verify_detached(&parts, trust)?, false),
        Outer::Cms(message) => match shape::inspect(&message)? {
            Cms::Signed(signed) => (verify_opaque(signed, trust)?.into_owned(), false),
            Cms::Enveloped(envelope) => {
                let (decrypted, ours) = decrypt(&envelope, keys)?;
                plain = decrypted;
                let inside = verify_inside(plain.content(), uncovered(envelope.cipher), trust);
                let verified = match envelope.cipher {
                    ContentCipher::Aes256Gcm => inside?,
                    ContentCipher::AesCbc(_) => unauthenticated(inside, &plain, ours)?,
                };
                (verified, true)
            }
        },
    };
    check_policy(verified, encrypted, trust, policy, at)
}

/// The largest message for a payload. Quoted-printable triples the content, and the base64 of an envelope adds a third
/// and line ends.
pub(super) fn wire_limit(max_payload: usize) -> usize {
    max_payload.saturating_mul(9).div_ceil(2).saturating_add(WIRE_ALLOWANCE)
}

/// The MIME structure of a message: what is in it.
pub(super) enum Outer<'a> {
    Detached(SignedParts<'a>),
    Cms(Cow<'a, [u8]>),
}

pub(super) fn parse_outer(raw: &[u8], uncovered: Uncovered) -> Result<Outer<'_>, MimeError> {
    let entity = Entity::read(raw)?;
    let media = entity.media()?;
    if media.kind == "multipart/signed" {
        mime::split_signed(&entity, &media, uncovered).map(Outer::Detached)
    } else if media.is_cms() {
        entity.cms(uncovered).map(Outer::Cms)
    } else {
        Err(media.unsigned())
    }
}

/// Checks a message with a valid signature against the policy and the trust store.
pub(super) fn check_policy(
    verified: Verified<'_>,
    encrypted: bool,
    trust: &TrustStore,
    policy: &OpenPolicy,
    at: SystemTime,
) -> Result<Opened, OpenError> {
    let Verified { signed, signer, others, digest, signing_time } = verified;
    if policy.encryption_required && !encrypted {
        return Err(OpenError::NotEncrypted);
    }
    if digest == Digest::Md5 || (digest == Digest::Sha1 && !policy.allow_sha1) {
        return Err(OpenError::WeakDigest { digest });
    }
    let path = trust.check_path(&signer, &others, Role::MessageSigner, at).map_err(OpenError::Path)?;
    check_time(signing_time, policy.max_age, at)?;
    let part = Part::read(&signed)?;
    if part.nested {
        return Err(ShapeError::Structure { what: "a signed or encrypted message inside the signed one" }.into());
    }
    if let Some(to) = part.to.as_ref().filter(|to| !policy.names.is_empty() && !policy.names.contains(to)) {
        return Err(OpenError::Misdirected { to: to.chars().take(200).collect() });
    }
    if part.payload.len() > policy.max_payload {
        return Err(OpenError::TooLarge { limit: policy.max_payload });
    }
    if is_blank(&part.payload) {
        return Err(OpenError::Blank);
    }
    Ok(Opened {
        payload: part.payload,
        content_type: part.content_type,
        signed_id: part.message_id.as_deref().map(MessageId::from_peer),
        signed_to: part.to,
        // One that a later version writes in another form is none to this one.
        sequence: part.sequence.and_then(|text| text.parse().ok()),
        signer: Arc::clone(path.signer()),
        path: Some(path),
        signing_time,
        digest,
        encrypted,
    })
}

pub(super) fn check_time(
    signed: Option<SystemTime>,
    max_age: Option<Duration>,
    at: SystemTime,
) -> Result<(), OpenError> {
    let Some(signed) = signed else { return Ok(()) };
    match (at.duration_since(signed), max_age) {
        (Ok(age), Some(limit)) if age > limit => Err(OpenError::TooOld { limit }),
        (Err(ahead), _) if ahead.duration() > MAX_SKEW => Err(OpenError::Future),
        _ => Ok(()),
    }
}
