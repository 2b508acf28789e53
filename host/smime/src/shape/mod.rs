//! A strict check of a CMS message before any C code parses it: only the shapes that messengers write are accepted.
//!
//! # What passes
//! - SignedData over id-data (RFC 5652), detached or with its content, with exactly one SignerInfo that has signed
//!   attributes: content-type (id-data) and message-digest once each, in DER. Signatures without them are refused, because
//!   a signature over attributes can otherwise be shown as one over content. The attributes may be in any order; see
//!   below.
//! - EnvelopedData with AES-CBC and AuthEnvelopedData with AES-256-GCM over id-data, for recipients by RSA key transport or
//!   EC key agreement.
//! - BER as `-stream` writes it, but DER where RFC 5652 wants it, and nothing after the message.
//!
//! # The order of signed attributes
//! They are a SET OF, and RFC 5652 section 5.4 has them digested in DER, that is: sorted. node-forge 1.4.3 and pkijs 4.0.0
//! write and digest them in the order the caller lists them, and node-forge's README lists them unsorted. OpenSSL verifies
//! over the order that came. We take any order, and the signature must be over the order that came: each attribute is DER
//! and appears once, so the signed octets are the octets that are read, and their order changes nothing.
//! A signature over the sorted attributes beside unsorted ones is refused as one that does not verify, by us as by OpenSSL:
//! accepting it would give one message two readings.
//!
//! [`Bounds`] hold for depth and number of elements; certificates, embedded CRLs and recipients are
//! counted. Everything else is refused with a [`ShapeError`], compressed data by design.

mod algorithm;
mod enveloped;
mod signed;

pub use algorithm::ContentCipher;
pub(super) use algorithm::KeyKind;
pub(super) use enveloped::Enveloped;
pub(super) use signed::{SignedMessage, SignerId, certificate_id};

use message::Code;
use trust::asn1::{self, Asn1Error, Bounds, INTEGER, OID, Reader, Rules, SEQUENCE};
use trust::oids::{self, accepted};

/// The most certificates, and the most CRLs, that a message may carry.
pub const MAX_CERTIFICATES: usize = 20;
/// The most recipients of an envelope.
pub const MAX_RECIPIENTS: usize = 20;
/// The deepest nesting of elements.
const MAX_DEPTH: usize = 24;
/// Elements allowed whatever the size; beyond them one for every [`OCTETS_PER_ELEMENT`] octets.
const FREE_ELEMENTS: usize = 20_000;
const OCTETS_PER_ELEMENT: usize = 128;

/// Why a CMS message does not have an allowed shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The structure cannot be read.
    #[error("the CMS structure cannot be read: {0}")]
    Asn1(#[from] Asn1Error),
    /// There are bytes after the CMS message.
    #[error("{octets} bytes follow the CMS message")]
    Trailing {
        /// How many.
        octets: usize,
    },
    /// The content type is none that is read (compressed data, for one).
    #[error("the CMS content type {kind} is not accepted; accepted are {}", accepted::CONTENT_TYPES)]
    ContentType {
        /// Its name and its dotted form.
        kind: String,
    },
    /// A structure in the wrong place, or with a field that is not used here.
    #[error("the CMS structure is not accepted: {what}")]
    Structure {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The message holds certificates and no signature.
    #[error("the message has no signature")]
    NoSigner,
    /// The message has several signatures.
    #[error("the message has {count} signatures instead of one")]
    ManySigners {
        /// How many.
        count: usize,
    },
    /// The message brings too many certificates or CRLs.
    #[error("the message brings more than {MAX_CERTIFICATES} certificates or CRLs")]
    TooManyCertificates,
    /// The signature does not cover signed attributes.
    #[error(
        "the signature has no signed attributes, without which it can be shown as one over other content; the sender must \
         sign with them (openssl without -noattr, Python cryptography without NoAttributes, pkijs with signedAttrs)"
    )]
    NoSignedAttributes,
    /// The signed attributes are not what they must be.
    #[error("the signed attributes are not acceptable: {what}")]
    SignedAttributes {
        /// What is wrong with them.
        what: &'static str,
    },
    /// An algorithm is not on the list, or its parameters are not.
    #[error("the {purpose} algorithm {algorithm} is not accepted{}; accepted are {accepted}", spaced(.why))]
    Algorithm {
        /// What it is used for.
        purpose: &'static str,
        /// Its name and its dotted form.
        algorithm: String,
        /// What is wrong with its parameters; empty where it is not on the list at all.
        why: &'static str,
        /// What is on the list.
        accepted: &'static str,
    },
    /// A recipient is addressed in a way that is not read.
    #[error("a recipient of the message is addressed in a way that is not accepted: {what}")]
    RecipientType {
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no recipient, there are too many, or one appears twice.
    #[error("the message has {count} recipients instead of 1 to {MAX_RECIPIENTS} different ones")]
    Recipients {
        /// How many.
        count: usize,
    },
    /// The cipher is not on the list, or its parameters are not.
    #[error("the cipher {cipher} is not accepted{}; accepted are {accepted}", spaced(.why))]
    Cipher {
        /// Its name and its dotted form.
        cipher: String,
        /// What is wrong with its parameters; empty where it is not on the list at all.
        why: &'static str,
        /// What is on the list.
        accepted: &'static str,
    },
}

/// The text with a space before it, or nothing.
fn spaced(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

impl ShapeError {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Asn1(Asn1Error::Depth | Asn1Error::Elements) => Code::Depth,
            Self::Asn1(_) | Self::Structure { .. } => Code::Shape,
            Self::Trailing { .. } => Code::Trailing,
            Self::ContentType { .. } => Code::ContentType,
            Self::NoSigner => Code::NoSigner,
            Self::ManySigners { .. } => Code::ManySigners,
            Self::TooManyCertificates => Code::TooManyCertificates,
            Self::NoSignedAttributes => Code::NoSignedAttributes,
            Self::SignedAttributes { .. } => Code::SignedAttributes,
            Self::RecipientType { .. } => Code::RecipientType,
            Self::Algorithm { purpose: "key transport" | "key agreement" | "key wrap", .. } => Code::RecipientType,
            Self::Algorithm { .. } => Code::Algorithm,
            Self::Recipients { .. } => Code::Recipients,
            Self::Cipher { .. } => Code::Cipher,
        }
    }
}

/// What a CMS message is, as far as it can be read without a key.
#[derive(Debug)]
pub(super) enum Cms<'a> {
    Signed(SignedMessage<'a>),
    Enveloped(Enveloped<'a>),
}

/// Checks a whole ContentInfo.
pub(super) fn inspect(message: &[u8]) -> Result<Cms<'_>, ShapeError> {
    let elements = FREE_ELEMENTS + message.len() / OCTETS_PER_ELEMENT;
    let octets = asn1::check(message, Rules::Ber, Bounds { depth: MAX_DEPTH, elements })?;
    if octets < message.len() {
        return Err(ShapeError::Trailing { octets: message.len() - octets });
    }
    let mut info = Reader::ber(message).take(SEQUENCE)?.inside();
    let kind = info.take(OID)?.content;
    if ![oids::SIGNED_DATA, oids::ENVELOPED_DATA, oids::AUTH_ENVELOPED_DATA].contains(&kind) {
        return Err(ShapeError::ContentType { kind: oids::name(kind) });
    }
    let mut content = info.take(asn1::context(0))?.inside();
    info.end()?;
    let body = content.take(SEQUENCE)?;
    content.end()?;
    match kind {
        oids::SIGNED_DATA => signed::read(&body).map(Cms::Signed),
        _ => enveloped::read(&body, kind == oids::AUTH_ENVELOPED_DATA).map(Cms::Enveloped),
    }
}

/// What a structure is over must be id-data: messages are not nested inside CMS, only through MIME.
fn require_data(oid: &[u8]) -> Result<(), ShapeError> {
    const CMS_CONTENT: [&[u8]; 3] = [oids::SIGNED_DATA, oids::ENVELOPED_DATA, oids::AUTH_ENVELOPED_DATA];
    if oid == oids::DATA {
        Ok(())
    } else if CMS_CONTENT.contains(&oid) {
        Err(ShapeError::Structure { what: "a CMS message directly inside another" })
    } else {
        Err(ShapeError::ContentType { kind: oids::name(oid) })
    }
}

/// A version number: one octet, its value checked by OpenSSL alone.
fn version(reader: &mut Reader<'_>) -> Result<u8, ShapeError> {
    match reader.take(INTEGER)?.content {
        [number] if *number <= 5 => Ok(*number),
        _ => Err(ShapeError::Structure { what: "an unknown version" }),
    }
}
