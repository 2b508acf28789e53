//! Takes a CMS message apart, strictly: only the structures that senders use are accepted. No other code reads a CMS
//! message; `signature` and `decrypt` get the fields that are found here.
//!
//! # Accepted structures
//! - SignedData over id-data (RFC 5652), detached or with its content, with exactly one SignerInfo that has signed
//!   attributes: content-type (id-data) and message-digest once each, in DER. Signatures without them are refused,
//!   because a signature over attributes could otherwise be presented as one over content. The attributes may be in any
//!   order; see below.
//! - EnvelopedData with AES-CBC and AuthEnvelopedData with AES-256-GCM over id-data, for recipients by RSA key
//!   transport or EC key agreement.
//! - BER as `-stream` writes it, DER where RFC 5652 requires it, and nothing after the message.
//!
//! # The order of signed attributes
//! They are a SET OF, and RFC 5652 section 5.4 requires their DER to be digested, that is, in sorted order. node-forge
//! 1.4.3 and pkijs 4.0.0 write and digest them in the order the caller lists them, and node-forge's README lists them
//! unsorted. OpenSSL verifies over the received order, except for Ed25519. Any order is accepted, and the signature must be over the
//! received order: each attribute is DER and appears once, so that the signed octets are the parsed octets, and the
//! order has no meaning. A signature over sorted attributes in a message with unsorted ones does not verify, here as in
//! OpenSSL: accepting it would give one message two interpretations. The values of one attribute are taken as received,
//! too; OpenSSL sorts them, and no sender writes an attribute with several values.
//!
//! [`Bounds`] limit depth and number of elements; certificates, embedded CRLs and recipients are counted. Everything
//! else is refused with a [`ShapeError`], including compressed data.

mod algorithm;
mod enveloped;
mod signed;

pub use algorithm::ContentCipher;
pub(super) use algorithm::{KeyKind, KeyWrap, RsaPadding};
pub(super) use enveloped::{Agreement, Enveloped, KeyMethod, Recipient};
pub(super) use signed::{SignedMessage, SignerId, certificate_id};

use message::Code;
use trust::asn1::{self, Asn1Error, Bounds, INTEGER, OID, Reader, Rules, SEQUENCE};
use trust::oids::{self, accepted};

/// Maximum number of certificates, and of CRLs, in a message.
pub const MAX_CERTIFICATES: usize = 20;
/// Maximum number of recipients of an envelope.
pub const MAX_RECIPIENTS: usize = 20;
/// Maximum nesting of elements.
const MAX_DEPTH: usize = 24;
/// Number of elements allowed in any message, plus one for every [`OCTETS_PER_ELEMENT`] octets.
const FREE_ELEMENTS: usize = 20_000;
const OCTETS_PER_ELEMENT: usize = 128;

/// Why the structure of a CMS message is not accepted.
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
    /// The content type is not accepted, such as compressed data.
    #[error("the CMS content type {kind} is not accepted; accepted are {}", accepted::CONTENT_TYPES)]
    ContentType {
        /// Its name and its dotted form.
        kind: String,
    },
    /// A structure in the wrong place, or with an unsupported field.
    #[error("the CMS structure is not accepted: {what}")]
    Structure {
        /// The error.
        what: &'static str,
    },
    /// The message contains no signature.
    #[error("the message has no signature")]
    NoSigner,
    /// The message has several signatures.
    #[error("the message has {count} signatures instead of one")]
    ManySigners {
        /// How many.
        count: usize,
    },
    /// The message contains too many certificates or CRLs.
    #[error("the message contains more than {MAX_CERTIFICATES} certificates or CRLs")]
    TooManyCertificates,
    /// The signature does not cover signed attributes.
    #[error(
        "the signature has no signed attributes, without which it can be shown as one over other content; the sender must \
         sign with them (openssl without -noattr, Python cryptography without NoAttributes, pkijs with signedAttrs)"
    )]
    NoSignedAttributes,
    /// The signed attributes are not accepted.
    #[error("the signed attributes are not accepted: {what}")]
    SignedAttributes {
        /// The error.
        what: &'static str,
    },
    /// An algorithm is not on the list, or its parameters are not.
    #[error("the {purpose} algorithm {algorithm} is not accepted{}; accepted are {accepted}", spaced(.why))]
    Algorithm {
        /// The purpose.
        purpose: &'static str,
        /// Its name and its dotted form.
        algorithm: String,
        /// The error of its parameters; empty if it is not on the list.
        why: &'static str,
        /// The algorithms on the list.
        accepted: &'static str,
    },
    /// The type of a recipient is not accepted.
    #[error("the type of a recipient is not accepted: {what}")]
    RecipientType {
        /// The error.
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
        /// The error of its parameters; empty if it is not on the list.
        why: &'static str,
        /// The algorithms on the list.
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

/// The content of a CMS message, as far as it is readable without a key.
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

/// Requires id-data as content type: messages are not nested directly in CMS, only through MIME.
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

/// A version number up to 5. Which one decides nothing: every field is read by its tag.
fn version(reader: &mut Reader<'_>) -> Result<u8, ShapeError> {
    match reader.take(INTEGER)?.content {
        [number] if *number <= 5 => Ok(*number),
        _ => Err(ShapeError::Structure { what: "an unknown version" }),
    }
}
