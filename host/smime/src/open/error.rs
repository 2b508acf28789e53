//! Why a message cannot be opened.

use std::time::Duration;

use message::{Code, duration};
use trust::oids::accepted;
use trust::{Digest, PathError};

use crate::mime::MimeError;
use crate::shape::ShapeError;

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
