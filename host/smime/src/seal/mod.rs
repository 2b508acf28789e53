//! Seals a message: signs it and, for a channel with a recipient certificate, encrypts it.
//!
//! # The signed message
//! The format is that of an SSM 4.0.0 sender, with LF on the wire: `multipart/signed`, a detached SignedData of version
//! 1 with only our certificate, identified by issuer and serial number, SHA-256, RSA PKCS#1 v1.5 or ECDSA. The signed
//! part begins with `Content-Type`, then `Sesame-Message-Id`, `Sesame-To` and `Sesame-Sequence`, which an SSM receiver
//! ignores. The part is signed with CRLF line ends, exactly in the bytes produced here.
//!
//! # Who does what
//! [`Sealer`] writes the MIME structure, `signature` the SignedData, `envelope` and `recipient` the envelope, all in DER
//! (`der`). OpenSSL computes digests, signatures and ciphers, nothing else: its code for CMS and MIME is not called. A
//! content that needs no encoding is not copied before it is signed and encrypted.
//!
//! # Transfer encoding of the content
//! | content | [`Peer::Ssm`] | [`Peer::Sesame`] |
//! |---|---|---|
//! | printable ASCII, tab and LF | unchanged | unchanged |
//! | the same, mentioning an encrypted media type, sent unencrypted | quoted-printable, `/` encoded | unchanged |
//! | other UTF-8: CR, NUL, form feed, non-ASCII letters | quoted-printable | base64 |
//! | anything that is not UTF-8 | refused | base64 |
//!
//! [`open`](super::open()) returns each of these byte for byte. An SSM receiver strips white space at the end of plain
//! text, as it does for an SSM sender; it keeps quoted-printable content exactly, including NUL and other line ends. It
//! cannot read content that is not UTF-8: SSM 4.0.0 decodes the content as UTF-8 before it evaluates the result of the
//! signature check, and rejects the message (`ssm/crypto.py`, `verify`).
//!
//! Blank content is refused: an SSM receiver cannot read it, and SSM used an empty message to indicate a failure to
//! sign.

mod envelope;
mod recipient;
mod signature;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::pkey::Id;
use openssl::sha::Sha256;

use super::mime::base64_lines::{append_base64, base64_size};
use super::mime::canonical::canonical;
use super::mime::uncovered::PREAMBLE;
use super::mime::{self, encoding};
use super::{Overhead, Peer};
use message::acknowledgement::Sequence;
use message::{Code, MessageId, hex};
use trust::{Credential, OpensslError, PathError, RecipientCertificate, RecipientError};

use envelope::Envelope;
pub(crate) use signature::DetachedSigner;

/// Words that an SSM receiver looks for anywhere in the headers of the signed part.
const ENCODING_WORDS: [&str; 2] = ["quoted-printable", "base64"];
/// Words that make an SSM receiver treat a message as encrypted, wherever they appear.
const ENCRYPTED_WORDS: [&[u8]; 2] = [b"application/pkcs7-mime", b"application/x-pkcs7-mime"];
/// Maximum length of a header value.
const MAX_HEADER_VALUE: usize = 900;

/// The cipher for an envelope's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealCipher {
    /// AES-128 in CBC mode.
    Aes128Cbc,
    /// AES-192 in CBC mode.
    Aes192Cbc,
    /// AES-256 in CBC mode.
    Aes256Cbc,
    /// AES-256 in GCM mode, authenticated; only for [`Peer::Sesame`].
    Aes256Gcm,
}

/// The sealing options of a channel.
#[derive(Clone, Copy, Debug)]
pub struct SealPolicy {
    /// The receiving program.
    pub peer: Peer,
    /// The cipher if there is a recipient certificate. Default: AES-256, CBC for SSM and GCM for Sesame.
    pub cipher: Option<SealCipher>,
    /// Maximum size of a payload, in bytes.
    pub max_payload: usize,
}

/// Why a message cannot be sealed. Nothing is sent, and the element stays in the queue.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The payload is empty or white space.
    #[error("the content is empty or blank")]
    Blank,
    /// The payload is over the limit.
    #[error("the content of {size} bytes is larger than {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Content that an SSM receiver cannot read.
    #[error(
        "the content is not UTF-8 text (at byte {at}), which an SSM receiver requires; set peer = \"sesame\" if the receiver \
         is a Sesame, which accepts any bytes"
    )]
    NotText {
        /// Position of the first byte that is not UTF-8, from 0.
        at: usize,
    },
    /// A header value cannot be written into the signed part.
    #[error(
        "cannot write {header} {value:?} into the signed part: it is not plain text or mentions a transfer encoding"
    )]
    HeaderValue {
        /// The header.
        header: &'static str,
        /// The value, shortened.
        value: String,
    },
    /// The kind of our key cannot sign messages.
    #[error(
        "cannot sign with the key of {}: only RSA and EC keys can sign messages, and this is {kind}; ask your CA for a \
         certificate with an RSA key of 2048 bits or more",
        file.display()
    )]
    SigningKey {
        /// Our certificate.
        file: PathBuf,
        /// The kind of its key.
        kind: &'static str,
    },
    /// Receivers do not accept our certificate.
    #[error("own certificate {}: {fault}{}", file.display(), remedy(fault))]
    OwnCertificate {
        /// Our certificate.
        file: PathBuf,
        /// The error.
        fault: PathError,
    },
    /// Nothing may be encrypted for the recipient.
    #[error("{0}; put the receiver's current certificate there")]
    Recipient(RecipientError),
    /// The recipient's key cannot be used for the peer.
    #[error("cannot encrypt for {}: {reason}", file.display())]
    RecipientKey {
        /// The recipient's certificate.
        file: PathBuf,
        /// The reason and the remedy.
        reason: &'static str,
    },
    /// The cipher cannot be used for the peer.
    #[error("AES-256-GCM cannot be read by an SSM receiver")]
    CipherForPeer,
    /// A bug in Sesame.
    #[error("Sesame failed on this message; please report it with the log")]
    Internal,
    /// OpenSSL failed.
    #[error("cannot {verb} the message")]
    Openssl {
        /// The failed operation.
        verb: &'static str,
        /// The reasons from OpenSSL.
        #[source]
        source: OpensslError,
    },
}

impl SealError {
    /// The error for a failed operation `verb` of OpenSSL.
    pub(crate) fn openssl(verb: &'static str) -> impl Fn(ErrorStack) -> Self + Copy {
        move |stack| Self::Openssl { verb, source: stack.into() }
    }

    /// Whether the cause is the message and not a key or a setting. Such a message is moved to the reject queue.
    #[must_use]
    pub fn is_message_fault(&self) -> bool {
        matches!(self, Self::Blank | Self::TooLarge { .. } | Self::NotText { .. } | Self::HeaderValue { .. })
    }

    /// Whether the channel cannot seal any message until a key, a certificate, a CRL or a setting changes, or until a
    /// later time.
    #[must_use]
    pub fn stops_the_channel(&self) -> bool {
        matches!(
            self,
            Self::SigningKey { .. }
                | Self::OwnCertificate { .. }
                | Self::Recipient(_)
                | Self::RecipientKey { .. }
                | Self::CipherForPeer
        )
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotText { .. } => Code::NotText,
            _ => Code::Unsealable,
        }
    }
}

/// The remedy for an error of our own certificate.
fn remedy(fault: &PathError) -> &'static str {
    match fault {
        PathError::Expired { .. } => "; have it renewed",
        PathError::NotYetValid { .. } => "; wait until then, or correct the clock",
        PathError::Revoked { .. } => "; have a new one issued",
        PathError::Namespace { .. } => "; have one issued with a name that the policy covers, or fix the policy",
        PathError::KeyUsage { .. } => "; have one issued with digitalSignature",
        PathError::ExtendedKeyUsage { .. } => "; have one issued with clientAuth and serverAuth",
        PathError::Proxy { .. } | PathError::CaAsLeaf { .. } => "; use a host certificate",
        _ => "; have a new one issued",
    }
}

/// The input of sealing.
#[derive(Clone, Copy, Debug)]
pub struct ToSeal<'a> {
    /// The message id for the signed part.
    pub id: &'a MessageId,
    /// The signed addressee, if any: one of the receiver's [`names`](super::OpenPolicy::names).
    pub to: Option<&'a str>,
    /// The message's place in what is sent to its destination, where acknowledgements are wanted.
    pub sequence: Option<&'a Sequence>,
    /// The media type of the content; `text/plain` if not given.
    pub content_type: Option<&'a str>,
    /// The content.
    pub payload: &'a [u8],
}

/// A signed and optionally encrypted message: the body of a SEND frame.
///
/// Only [`Sealer::seal`] creates it:
///
/// ```compile_fail
/// let sealed = sesame_smime::Sealed { bytes: b"unsigned".to_vec() };
/// ```
#[derive(Debug)]
pub struct Sealed {
    bytes: Vec<u8>,
}

impl Sealed {
    /// The bytes on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Seals the messages of one channel: one per snapshot of credential and recipient.
pub struct Sealer {
    signer: DetachedSigner,
    envelope: Option<Envelope>,
    policy: SealPolicy,
    overhead: Overhead,
}

/// A signed message in parts, so that its content need not be copied.
struct Signed<'a> {
    head: Vec<u8>,
    content: Cow<'a, [u8]>,
    tail: Vec<u8>,
}

impl Sealer {
    /// Checks that the keys and the cipher can be used for the peer.
    ///
    /// # Errors
    /// [`SealError::SigningKey`], [`SealError::RecipientKey`], [`SealError::CipherForPeer`], [`SealError::Openssl`].
    pub fn new(
        credential: Arc<Credential>,
        recipient: Option<Arc<RecipientCertificate>>,
        policy: SealPolicy,
    ) -> Result<Self, SealError> {
        let signer = DetachedSigner::new(&credential, &[])?;
        let envelope = recipient.as_deref().map(|recipient| Envelope::new(recipient, &policy)).transpose()?;
        let certificates = (credential.facts(), recipient.as_deref().map(RecipientCertificate::facts));
        let overhead =
            Overhead::new(policy.peer, certificates, signer.signature_size()).map_err(|_| SealError::Internal)?;
        Ok(Self { signer, envelope, policy, overhead })
    }

    /// Signs a message, and encrypts it if the channel has a recipient certificate.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, message: &ToSeal<'_>) -> Result<Sealed, SealError> {
        let size = message.payload.len();
        if size > self.policy.max_payload {
            return Err(SealError::TooLarge { size, limit: self.policy.max_payload });
        }
        if is_blank(message.payload) {
            return Err(SealError::Blank);
        }
        let plain = is_plain_text(message.payload);
        if self.policy.peer == Peer::Ssm && !plain {
            std::str::from_utf8(message.payload).map_err(|error| SealError::NotText { at: error.valid_up_to() })?;
        }
        let signed = self.sign(message, plain)?;
        let parts = [signed.head.as_slice(), &signed.content, &signed.tail];
        let bytes = match &self.envelope {
            Some(envelope) => envelope.encrypt(&parts)?,
            None => parts.concat(),
        };
        Ok(Sealed { bytes })
    }

    /// An upper bound for the bytes that sealing adds to a message with `id` and `to`.
    #[must_use]
    pub fn overhead(&self, id: &MessageId, to: Option<&str>) -> Overhead {
        self.overhead.of_message(id, to)
    }

    fn sign<'a>(&self, message: &ToSeal<'a>, plain: bool) -> Result<Signed<'a>, SealError> {
        let boundary = boundary()?;
        let mut head = Vec::with_capacity(1024);
        head.extend_from_slice(
            b"MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; \
              micalg=\"sha-256\"; boundary=\"",
        );
        head.extend_from_slice(boundary.as_bytes());
        head.extend_from_slice(b"\"\n\n");
        head.extend_from_slice(PREAMBLE.as_bytes());
        head.extend_from_slice(b"\n\n--");
        head.extend_from_slice(boundary.as_bytes());
        head.push(b'\n');
        let start = head.len();
        append_headers(message, &mut head)?;
        let content = self.encode((message.payload, plain), &mut head);
        let mut digest = Sha256::new();
        for text in [head.get(start..).unwrap_or_default(), &content] {
            canonical(text, |block| digest.update(block));
        }
        let signature = self.signer.sign(SystemTime::now(), &digest.finish())?;
        let tail = signature_part(&signature, &boundary);
        Ok(Signed { head, content, tail })
    }

    /// Ends the header block; returns the content in the encoding for the content, which may be plain text, and the peer.
    fn encode<'a>(&self, (payload, plain): (&'a [u8], bool), head: &mut Vec<u8>) -> Cow<'a, [u8]> {
        let ssm = self.policy.peer == Peer::Ssm;
        let in_clear = self.envelope.is_none();
        let hide = ssm && in_clear && ENCRYPTED_WORDS.iter().any(|word| memchr::memmem::find(payload, word).is_some());
        let mut text = Vec::new();
        if plain && !hide {
            head.push(b'\n');
            return Cow::Borrowed(payload);
        } else if ssm {
            head.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\n\n");
            encoding::append_quoted_printable(payload, hide, &mut text);
        } else {
            head.extend_from_slice(b"Content-Transfer-Encoding: base64\n\n");
            append_base64(payload, &mut text);
        }
        Cow::Owned(text)
    }
}

/// The end of a signed message: its second part, between its delimiters.
fn signature_part(signature: &[u8], boundary: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(base64_size(signature.len()) + 512);
    text.extend_from_slice(b"\n--");
    text.extend_from_slice(boundary.as_bytes());
    text.extend_from_slice(
        b"\nContent-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\n\
          Content-Transfer-Encoding: base64\n\
          Content-Disposition: attachment; filename=\"smime.p7s\"\n\n",
    );
    append_base64(signature, &mut text);
    text.extend_from_slice(b"\n--");
    text.extend_from_slice(boundary.as_bytes());
    text.extend_from_slice(b"--\n\n");
    text
}

/// `----` and 32 upper-case hexadecimal digits, as in OpenSSL; 128 random bits do not occur in the content.
fn boundary() -> Result<String, SealError> {
    let mut random = [0; 16];
    openssl::rand::rand_bytes(&mut random).map_err(SealError::openssl("generate a boundary for"))?;
    Ok(format!("----{}", hex(&random).to_ascii_uppercase()))
}

fn append_headers(message: &ToSeal<'_>, text: &mut Vec<u8>) -> Result<(), SealError> {
    let content_type = message.content_type.unwrap_or("text/plain");
    // The receiver would treat the content as a nested message.
    if mime::is_message(content_type) {
        return Err(SealError::HeaderValue { header: "Content-Type", value: content_type.chars().take(80).collect() });
    }
    append_header("Content-Type", content_type, text)?;
    append_header("Sesame-Message-Id", message.id.as_str(), text)?;
    if let Some(to) = message.to {
        append_header("Sesame-To", to, text)?;
    }
    if let Some(sequence) = message.sequence {
        append_header("Sesame-Sequence", &sequence.to_string(), text)?;
    }
    Ok(())
}

fn append_header(header: &'static str, value: &str, text: &mut Vec<u8>) -> Result<(), SealError> {
    let lower = value.to_ascii_lowercase();
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let named = ENCODING_WORDS.iter().any(|word| lower.contains(word));
    if !plain || named || value.trim() != value || value.is_empty() || value.len() > MAX_HEADER_VALUE {
        return Err(SealError::HeaderValue { header, value: value.chars().take(80).collect() });
    }
    text.extend_from_slice(header.as_bytes());
    text.extend_from_slice(b": ");
    text.extend_from_slice(value.as_bytes());
    text.push(b'\n');
    Ok(())
}

/// Whether the key can sign: RSA with PKCS#1 v1.5, or EC.
pub(super) fn check_signing_key(credential: &Credential) -> Result<(), SealError> {
    let kind = match credential.key().id() {
        Id::RSA | Id::EC => return Ok(()),
        Id::ED25519 => "an Ed25519 key",
        Id::ED448 => "an Ed448 key",
        Id::RSA_PSS => "an RSA key for PSS only",
        Id::DSA => "a DSA key",
        _ => "of another kind",
    };
    Err(SealError::SigningKey { file: credential.files().0.to_owned(), kind })
}

/// Whether the payload consists only of characters that Python's `str.strip` removes.
pub(super) fn is_blank(payload: &[u8]) -> bool {
    payload.iter().all(|byte| matches!(byte, 0x09..=0x0D | 0x1C..=0x20))
}

/// Whether the payload is printable ASCII, tabs and LF, which SSM transfers unchanged.
fn is_plain_text(payload: &[u8]) -> bool {
    // No branches inside a chunk, so that the compiler can use vector instructions.
    let plain = |byte: u8| (byte.wrapping_sub(b' ') <= b'~' - b' ') | (byte == b'\n') | (byte == b'\t');
    payload.chunks(1024).all(|chunk| chunk.iter().fold(true, |all, &byte| all & plain(byte)))
}
