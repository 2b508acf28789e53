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
//! signature was checked makes up for that check. AES-GCM detects a changed ciphertext, so its errors are specific.
//! [`diagnose`](super::diagnose()) shows the cause to the operator only.
//!
//! # Recipient
//! A recipient is matched by issuer and serial number of our certificate or by its subject key identifier extension,
//! never by trying keys. A certificate without that extension does not match any key identifier: computing one would
//! require guessing which method of RFC 5280 section 4.2.1.2 the sender used.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use openssl::pkey::{Id, PKeyRef, Public};
use openssl::x509::X509;

use super::decrypt::{self, Decrypted};
use super::mime::{self, Entity, MimeError, Part, Signed, SignedParts, encoding};
use super::seal::is_blank;
use super::shape::{self, Cms, ContentCipher, Enveloped, KeyKind, ShapeError, SignedMessage, SignerId};
use super::signature;
use message::acknowledgement::Sequence;
use message::duration;
use message::{Code, MessageId, hex};
use trust::oids::accepted;
use trust::{CertPath, Credential, Digest, PathError, Role, Signer, TrustStore};

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

/// Why a message cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The message or its payload is over the limit.
    #[error("the message is larger than {limit} bytes")]
    TooLarge {
        /// The exceeded limit.
        limit: usize,
    },
    /// The MIME structure is not accepted.
    #[error(transparent)]
    Mime(#[from] MimeError),
    /// The CMS structure is not accepted.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The envelope cannot be decrypted, or its content is not a correctly signed message.
    #[error("cannot decrypt the message")]
    Crypto,
    /// The message is empty.
    #[error(
        "the message is empty; over STOMP a JMS MapMessage or ObjectMessage arrives like this: send a TextMessage or \
         BytesMessage"
    )]
    Empty,
    /// The envelope is for other recipients. No key is needed to see that.
    #[error("cannot decrypt the message: it is encrypted for {recipients}, and ours has {ours}")]
    NotForUs {
        /// Serial numbers and key identifiers of the recipients, in hexadecimal.
        recipients: String,
        /// The same of our certificates.
        ours: String,
    },
    /// The channel requires encryption.
    #[error("the message is not encrypted, and this channel requires it")]
    NotEncrypted,
    /// The signer's certificate is not in the message.
    #[error(
        "the signer's certificate is not in the message; the sender must send it along (openssl without -nocerts, Python \
         cryptography without NoCerts)"
    )]
    NoCertificate,
    /// Two different certificates in the message match the signer's identifier.
    #[error("two different certificates in the message are named as the signer's")]
    AmbiguousCertificate,
    /// The signer's key is not accepted.
    #[error("the signer's key is not accepted: {reason}")]
    SignerKey {
        /// The reason.
        reason: &'static str,
    },
    /// The signature does not match content and certificate.
    #[error("the signature does not verify: the message was changed, or the certificate is not the signer's")]
    Signature,
    /// The message digest is too weak.
    #[error("the signature uses the weak digest {}; accepted are {}", digest.name(), accepted::DIGESTS)]
    WeakDigest {
        /// The digest.
        digest: Digest,
    },
    /// The signer's certificate is not trusted.
    #[error("cannot trust the signer's certificate")]
    Path(#[source] PathError),
    /// The signing time is too long ago.
    #[error("the message was signed more than {} ago (max-age)", duration::words(*.limit))]
    TooOld {
        /// The limit.
        limit: Duration,
    },
    /// The signing time is in the future.
    #[error("the message was signed in the future")]
    Future,
    /// The message is signed for another addressee.
    #[error("the message was signed for {to:?}, which is not one of our names")]
    Misdirected {
        /// The addressee, truncated.
        to: String,
    },
    /// The payload is empty or white space.
    #[error("the content is empty or blank")]
    Blank,
}

impl OpenError {
    /// Its code. All failures of decryption have the same code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Empty => Code::Empty,
            Self::Mime(error) => error.code(),
            Self::Shape(error) => error.code(),
            Self::Crypto | Self::NotForUs { .. } => Code::Crypto,
            Self::NotEncrypted => Code::NotEncrypted,
            Self::NoCertificate => Code::NoCertificate,
            Self::AmbiguousCertificate => Code::AmbiguousCertificate,
            Self::SignerKey { .. } => Code::WeakKey,
            Self::Signature => Code::Signature,
            Self::WeakDigest { .. } => Code::WeakDigest,
            Self::Path(error) => error.code(),
            Self::TooOld { .. } => Code::TooOld,
            Self::Future => Code::Future,
            Self::Misdirected { .. } => Code::Misdirected,
            Self::Blank => Code::Blank,
        }
    }

    /// Whether the cause is on our side, such as a stale CRL, so that the message may be accepted once that is fixed.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Path(error) if error.is_ours())
    }
}

/// A message with verified signature and certification path, whose signer is not yet authorised.
///
/// Only [`open`] creates it:
///
/// ```compile_fail
/// let opened = sesame_smime::Opened { payload: b"forged".to_vec() };
/// ```
///
/// It cannot be copied:
///
/// ```compile_fail
/// fn twice(opened: sesame_smime::Opened) -> (sesame_smime::Opened, sesame_smime::Opened) {
///     (opened.clone(), opened)
/// }
/// ```
#[derive(Debug)]
pub struct Opened {
    payload: Vec<u8>,
    content_type: Option<String>,
    signed_id: Option<MessageId>,
    signed_to: Option<String>,
    sequence: Option<Sequence>,
    path: CertPath,
    signing_time: Option<SystemTime>,
    digest: Digest,
    encrypted: bool,
}

impl Opened {
    /// The content, byte for byte as sealed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The content by value.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The media type in the signed part, as received.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The message id in the signed part, which takes precedence over the frame's header.
    #[must_use]
    pub fn signed_id(&self) -> Option<&MessageId> {
        self.signed_id.as_ref()
    }

    /// The signed addressee, if the message has one.
    #[must_use]
    pub fn signed_to(&self) -> Option<&str> {
        self.signed_to.as_deref()
    }

    /// The message's place in what its signer sends to the destination, if it names one.
    #[must_use]
    pub fn sequence(&self) -> Option<&Sequence> {
        self.sequence.as_ref()
    }

    /// The signer.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        self.path.signer()
    }

    /// The certification path of the signer.
    #[must_use]
    pub fn path(&self) -> &CertPath {
        &self.path
    }

    /// The signing time, as claimed by the signer.
    #[must_use]
    pub fn signing_time(&self) -> Option<SystemTime> {
        self.signing_time
    }

    /// The message digest of the signature.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the message was encrypted.
    #[must_use]
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }
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
    let limit = wire_limit(policy.max_payload);
    if raw.len() > limit {
        return Err(OpenError::TooLarge { limit });
    }
    if raw.trim_ascii().is_empty() {
        return Err(OpenError::Empty);
    }
    let plain;
    let (verified, encrypted) = match parse_outer(raw)? {
        Outer::Detached(parts) => (verify_detached(&parts, trust)?, false),
        Outer::Cms(message) => match shape::inspect(&message)? {
            Cms::Signed(signed) => (verify_opaque(signed, trust)?.into_owned(), false),
            Cms::Enveloped(envelope) => {
                let (decrypted, ours) = decrypt(&envelope, credentials)?;
                plain = decrypted;
                let inside = verify_inside(plain.content(), trust);
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

/// What is in an envelope whose cipher is not authenticated: it must be verified, and the padding must be right. Any
/// failure is the same error at about the same cost.
fn unauthenticated<'a>(
    inside: Result<Verified<'a>, OpenError>,
    plain: &Decrypted,
    ours: &Credential,
) -> Result<Verified<'a>, OpenError> {
    match inside {
        Ok(verified) if plain.is_intact() => return Ok(verified),
        Ok(_) | Err(OpenError::Signature) => {}
        Err(_) => imitate_verification(plain.content(), ours),
    }
    Err(OpenError::Crypto)
}

/// Does what the verification of a signature over `content` costs.
fn imitate_verification(content: &[u8], ours: &Credential) {
    let digest = signature::digest_of_canonical(Digest::Sha256, content).unwrap_or_default();
    let Ok(key) = ours.certificate().public_key() else { return };
    let kind = if key.id() == Id::EC { KeyKind::Ec } else { KeyKind::Rsa };
    let wrong = vec![1; key.size()];
    std::hint::black_box(signature::check(&key, kind, Digest::Sha256, &digest, &wrong).ok());
}

/// The largest message for a payload. Quoted-printable triples the content, and the base64 of an envelope adds a third
/// and line ends.
pub(super) fn wire_limit(max_payload: usize) -> usize {
    max_payload.saturating_mul(9).div_ceil(2).saturating_add(WIRE_ALLOWANCE)
}

pub(super) enum Outer<'a> {
    Detached(SignedParts<'a>),
    Cms(Cow<'a, [u8]>),
}

pub(super) fn parse_outer(raw: &[u8]) -> Result<Outer<'_>, MimeError> {
    let entity = Entity::read(raw)?;
    let media = entity.media()?;
    if media.kind == "multipart/signed" {
        mime::split_signed(&entity, &media).map(Outer::Detached)
    } else if media.is_cms() {
        entity.cms().map(Outer::Cms)
    } else {
        Err(media.unsigned())
    }
}

/// Decrypts the envelope with the first of our credentials that it names.
pub(super) fn decrypt<'a>(
    envelope: &Enveloped<'_>,
    credentials: &'a [Arc<Credential>],
) -> Result<(Decrypted, &'a Credential), OpenError> {
    for credential in credentials {
        let certificate = credential.certificate();
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
        let decrypted = decrypt::content(envelope, recipient, credential.key());
        return Ok((decrypted.ok_or(OpenError::Crypto)?, credential));
    }
    Err(not_for_us(envelope, credentials))
}

/// The error that names the recipients of the envelope and our certificates, without using a key.
fn not_for_us(envelope: &Enveloped<'_>, credentials: &[Arc<Credential>]) -> OpenError {
    let recipient = |id: &SignerId<'_>| match id {
        SignerId::IssuerSerial { serial, .. } => format!("the certificate with serial number {}", hex(serial)),
        SignerId::KeyId(id) => format!("the key with subject key identifier {}", hex(id.get(..64).unwrap_or(id))),
    };
    let ours = |credential: &Arc<Credential>| {
        let certificate = credential.certificate();
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
        ours: credentials.iter().map(ours).collect::<Vec<_>>().join(", "),
    }
}

/// A verified signature: the signed bytes and the signer.
pub(super) struct Verified<'a> {
    pub(super) signed: Signed<'a>,
    pub(super) signer: X509,
    /// The other certificates of the message.
    pub(super) others: Vec<X509>,
    pub(super) digest: Digest,
    pub(super) signing_time: Option<SystemTime>,
}

impl Verified<'_> {
    fn into_owned(self) -> Verified<'static> {
        let Self { signed, signer, others, digest, signing_time } = self;
        Verified { signed: signed.into_owned(), signer, others, digest, signing_time }
    }
}

pub(super) fn verify_inside<'a>(plain: &'a [u8], trust: &TrustStore) -> Result<Verified<'a>, OpenError> {
    match parse_outer(plain)? {
        Outer::Detached(parts) => verify_detached(&parts, trust),
        Outer::Cms(message) => match shape::inspect(&message)? {
            Cms::Signed(signed) => verify_opaque(signed, trust).map(Verified::into_owned),
            Cms::Enveloped(_) => Err(ShapeError::Structure { what: "an envelope inside an envelope" }.into()),
        },
    }
}

fn verify_detached<'a>(parts: &SignedParts<'a>, trust: &TrustStore) -> Result<Verified<'a>, OpenError> {
    let Cms::Signed(message) = shape::inspect(&parts.signature)? else {
        return Err(ShapeError::Structure { what: "an envelope instead of a signature" }.into());
    };
    let announced = parts.micalg.as_deref().unwrap_or_default().replace('-', "");
    if !announced.eq_ignore_ascii_case(&message.digest.name().replace('-', "")) {
        tracing::debug!(announced, used = message.digest.name(), "announced digest differs from the one used");
    }
    let (signer, others) = certificates(&message, trust, Role::MessageSigner)?;
    let received = parts.content;
    let signed = match &message.content {
        None => detached(&message, &signer, received)?,
        // The signature also contains the content, as with some Python senders.
        Some(own) if **own == encoding::to_crlf(received) => {
            verify(&message, &signer, own)?;
            Signed::canonical(received)
        }
        Some(_) => {
            return Err(ShapeError::Structure { what: "the signature repeats the content, but not exactly" }.into());
        }
    };
    Ok(Verified { signed, signer, others, digest: message.digest, signing_time: message.signing_time })
}

/// Verifies a detached signature over the canonical form; failing that, over the content as received, as `openssl smime
/// -sign -binary` signs it; failing that, over the content with LF line ends, which Python's cryptography 50.0.2 signs
/// with `Binary` before it sends CRLF. Returns exactly the bytes that were signed.
fn detached<'a>(message: &SignedMessage<'_>, signer: &X509, received: &'a [u8]) -> Result<Signed<'a>, OpenError> {
    // Both are done whatever the other says, so that they cost the same in an envelope.
    let by_signer = verifies(message, signer);
    let is_signed = |digest: Result<Vec<u8>, _>| digest.is_ok_and(|digest| digest == message.message_digest);
    let signed = if is_signed(signature::digest_of_canonical(message.digest, received)) {
        Some(Signed::canonical(received))
    } else if is_signed(signature::digest_of(message.digest, received)) {
        Some(Signed::exact(received.into()))
    } else {
        let with_lf = encoding::to_lf(received);
        is_signed(signature::digest_of(message.digest, &with_lf)).then(|| Signed::exact(with_lf.into()))
    };
    signed.filter(|_| by_signer).ok_or(OpenError::Signature)
}

fn verify_opaque<'a>(mut message: SignedMessage<'a>, trust: &TrustStore) -> Result<Verified<'a>, OpenError> {
    let Some(content) = message.content.take() else {
        return Err(ShapeError::Structure { what: "a signature without its content" }.into());
    };
    let (signer, others) = certificates(&message, trust, Role::MessageSigner)?;
    verify(&message, &signer, &content)?;
    let SignedMessage { digest, signing_time, .. } = message;
    Ok(Verified { signed: Signed::exact(content), signer, others, digest, signing_time })
}

/// The certificate that the SignerInfo identifies, and the others.
pub(super) fn certificates(
    message: &SignedMessage<'_>,
    trust: &TrustStore,
    role: Role,
) -> Result<(X509, Vec<X509>), OpenError> {
    let unreadable = |_| ShapeError::Structure { what: "a certificate that cannot be read" };
    let mut signer: Option<(&[u8], X509)> = None;
    let mut others = Vec::new();
    for &der in &message.certificates {
        let certificate = trust.certificate(der, role).map_err(unreadable)?;
        match &signer {
            _ if !names(&message.signer, der, &certificate)? => others.push(certificate),
            Some((same, _)) if *same == der => {}
            Some(_) => return Err(OpenError::AmbiguousCertificate),
            None => signer = Some((der, certificate)),
        }
    }
    let (_, signer) = signer.ok_or(OpenError::NoCertificate)?;
    let key = signer.public_key().map_err(unreadable)?;
    check_key(&key, message.key)?;
    Ok((signer, others))
}

fn names(id: &SignerId<'_>, der: &[u8], certificate: &X509) -> Result<bool, ShapeError> {
    match id {
        SignerId::IssuerSerial { .. } => Ok(shape::certificate_id(der)? == *id),
        SignerId::KeyId(wanted) => Ok(certificate.subject_key_id().is_some_and(|found| found.as_slice() == *wanted)),
    }
}

/// Checks that the key is of the kind that the signature algorithm requires, and that the exponent of an RSA key is
/// sound.
pub(super) fn check_key(key: &PKeyRef<Public>, kind: KeyKind) -> Result<(), OpenError> {
    let refused = |reason| OpenError::SignerKey { reason };
    let fits = match key.id() {
        Id::RSA | Id::RSA_PSS => matches!(kind, KeyKind::Rsa | KeyKind::RsaPss(_)),
        Id::EC => kind == KeyKind::Ec,
        Id::ED25519 => kind == KeyKind::Ed25519,
        _ => false,
    };
    if !fits {
        return Err(refused("it is not of the kind that the signature algorithm requires"));
    }
    if let KeyKind::RsaPss(octets) = kind {
        // RFC 8017, section 9.1.1: the encoded message is one bit shorter than the modulus.
        if octets > usize::try_from(key.bits()).unwrap_or_default().saturating_sub(1).div_ceil(8) {
            return Err(refused("it is too short for the digest and the salt of the RSA-PSS signature"));
        }
    }
    if key.id() == Id::RSA {
        let exponent = key.rsa().map_err(|_| refused("it cannot be read"))?.e().to_vec();
        if matches!(exponent.as_slice(), [] | [1]) || exponent.last().is_some_and(|octet| octet % 2 == 0) {
            return Err(refused("its public exponent is 1 or even"));
        }
    }
    Ok(())
}

/// Verifies the signature over `content` with this certificate only. `trust` validates its path afterwards.
pub(super) fn verify(message: &SignedMessage<'_>, signer: &X509, content: &[u8]) -> Result<(), OpenError> {
    let by_signer = verifies(message, signer);
    let digest = signature::digest_of(message.digest, content).map_err(|_| OpenError::Signature)?;
    if by_signer && digest == message.message_digest { Ok(()) } else { Err(OpenError::Signature) }
}

/// Whether the certificate's key made the signature over the signed attributes.
fn verifies(message: &SignedMessage<'_>, signer: &X509) -> bool {
    signer.public_key().and_then(|key| signature::verifies(message, &key)).unwrap_or(false)
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
        path,
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
