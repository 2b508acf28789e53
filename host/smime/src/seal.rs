//! Seals a message: signs it and, for a channel with a recipient certificate, encrypts it.
//!
//! # The signed message
//! The format is that of an SSM 4.0.0 sender, with LF on the wire: `multipart/signed`, a detached SignedData of version
//! 1 with only our certificate, identified by issuer and serial number, SHA-256, RSA PKCS#1 v1.5 or ECDSA. The signed
//! part begins with `Content-Type`, then `Sesame-Message-Id`, `Sesame-To` and `Sesame-Sequence`, which an SSM receiver
//! ignores. The part is signed with CRLF line ends, exactly in the bytes produced here (`CMS_BINARY`): OpenSSL's MIME code is slower and
//! is not used.
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

use std::path::PathBuf;
use std::sync::Arc;

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::error::ErrorStack;
use openssl::pkey::Id;
use openssl::stack::Stack;
use openssl::symm::Cipher;
use openssl::x509::X509;

use super::mime::{self, encoding};
use super::{Overhead, Peer};
use message::acknowledgement::Sequence;
use message::{Code, MessageId, hex};
use trust::{Credential, OpensslError, PathError, RecipientCertificate, RecipientError};

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

impl SealCipher {
    fn cipher(self) -> Cipher {
        match self {
            Self::Aes128Cbc => Cipher::aes_128_cbc(),
            Self::Aes192Cbc => Cipher::aes_192_cbc(),
            Self::Aes256Cbc => Cipher::aes_256_cbc(),
            Self::Aes256Gcm => Cipher::aes_256_gcm(),
        }
    }
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

/// Seals the messages of one channel. Cheap to create: one per snapshot of credential and recipient.
pub struct Sealer {
    credential: Arc<Credential>,
    recipient: Option<Envelope>,
    policy: SealPolicy,
}

struct Envelope {
    certificates: Stack<X509>,
    cipher: SealCipher,
}

impl Sealer {
    /// Checks that the keys and the cipher can be used for the peer.
    ///
    /// # Errors
    /// [`SealError::SigningKey`], [`SealError::RecipientKey`], [`SealError::CipherForPeer`].
    pub fn new(
        credential: Arc<Credential>,
        recipient: Option<Arc<RecipientCertificate>>,
        policy: SealPolicy,
    ) -> Result<Self, SealError> {
        check_signing_key(&credential)?;
        let recipient = recipient.map(|recipient| Envelope::new(&recipient, &policy)).transpose()?;
        Ok(Self { credential, recipient, policy })
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
        if self.policy.peer == Peer::Ssm && !is_plain_text(message.payload) {
            std::str::from_utf8(message.payload).map_err(|error| SealError::NotText { at: error.valid_up_to() })?;
        }
        let signed = self.sign(message)?;
        let bytes = match &self.recipient {
            Some(envelope) => envelope.encrypt(&signed)?,
            None => signed,
        };
        Ok(Sealed { bytes })
    }

    /// An upper bound for the bytes that sealing adds to a message with `id` and `to`.
    ///
    /// # Errors
    /// [`SealError::Openssl`] if a certificate cannot be read.
    pub fn overhead(&self, id: &MessageId, to: Option<&str>) -> Result<Overhead, SealError> {
        let own = (self.credential.certificate(), self.credential.key().as_ref());
        let recipient = self.recipient.as_ref().and_then(|envelope| envelope.certificates.iter().next());
        Overhead::new(self.policy.peer, own, recipient, (id, to)).map_err(SealError::openssl("compute the overhead of"))
    }

    fn sign(&self, message: &ToSeal<'_>) -> Result<Vec<u8>, SealError> {
        let boundary = boundary()?;
        let mut text = Vec::with_capacity(message.payload.len() + message.payload.len() / 16 + 4096);
        text.extend_from_slice(
            b"MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; \
              micalg=\"sha-256\"; boundary=\"",
        );
        text.extend_from_slice(boundary.as_bytes());
        text.extend_from_slice(b"\"\n\nThis is an S/MIME signed message\n\n--");
        text.extend_from_slice(boundary.as_bytes());
        text.push(b'\n');
        let start = text.len();
        append_headers(message, &mut text)?;
        self.append_content(message.payload, &mut text);
        let canonical = encoding::to_crlf(text.get(start..).unwrap_or_default());
        let signature = self.signature(&canonical)?;
        text.extend_from_slice(b"\n--");
        text.extend_from_slice(boundary.as_bytes());
        text.extend_from_slice(
            b"\nContent-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\n\
              Content-Transfer-Encoding: base64\n\
              Content-Disposition: attachment; filename=\"smime.p7s\"\n\n",
        );
        encoding::append_base64(&signature, &mut text);
        text.extend_from_slice(b"\n--");
        text.extend_from_slice(boundary.as_bytes());
        text.extend_from_slice(b"--\n\n");
        Ok(text)
    }

    /// Ends the header block and appends the content in the encoding for the content and the peer.
    fn append_content(&self, payload: &[u8], text: &mut Vec<u8>) {
        let ssm = self.policy.peer == Peer::Ssm;
        let in_clear = self.recipient.is_none();
        let hide = ssm && in_clear && ENCRYPTED_WORDS.iter().any(|word| memchr::memmem::find(payload, word).is_some());
        if is_plain_text(payload) && !hide {
            text.push(b'\n');
            text.extend_from_slice(payload);
        } else if ssm {
            text.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\n\n");
            encoding::append_quoted_printable(payload, hide, text);
        } else {
            text.extend_from_slice(b"Content-Transfer-Encoding: base64\n\n");
            encoding::append_base64(payload, text);
        }
    }

    fn signature(&self, canonical: &[u8]) -> Result<Vec<u8>, SealError> {
        // Without capabilities: an SSM receiver ignores them, and they would announce ciphers that we do not accept.
        let flags = CMSOptions::DETACHED | CMSOptions::BINARY | CMSOptions::NOSMIMECAP;
        let certificate = self.credential.certificate();
        CmsContentInfo::sign(Some(certificate), Some(self.credential.key()), None, Some(canonical), flags)
            .and_then(|cms| cms.to_der())
            .map_err(SealError::openssl("sign"))
    }
}

impl Envelope {
    fn new(recipient: &RecipientCertificate, policy: &SealPolicy) -> Result<Self, SealError> {
        let certificate = recipient.certificate();
        let openssl = SealError::openssl("read the recipient certificate for");
        let cipher = policy.cipher.unwrap_or(match policy.peer {
            Peer::Ssm => SealCipher::Aes256Cbc,
            Peer::Sesame => SealCipher::Aes256Gcm,
        });
        if policy.peer == Peer::Ssm && cipher == SealCipher::Aes256Gcm {
            return Err(SealError::CipherForPeer);
        }
        let reason = match (certificate.public_key().map_err(openssl)?.id(), policy.peer) {
            (Id::RSA, _) | (Id::EC, Peer::Sesame) => None,
            (Id::EC, Peer::Ssm) => {
                Some("an SSM receiver cannot decrypt with an EC key; set peer = \"sesame\" if the receiver is a Sesame")
            }
            _ => Some("its key is neither RSA nor EC; the receiver needs a certificate with an RSA key"),
        };
        if let Some(reason) = reason {
            return Err(SealError::RecipientKey { file: recipient.file().to_owned(), reason });
        }
        let mut certificates = Stack::new().map_err(openssl)?;
        certificates.push(certificate.clone()).map_err(openssl)?;
        Ok(Self { certificates, cipher })
    }

    fn encrypt(&self, signed: &[u8]) -> Result<Vec<u8>, SealError> {
        let kind = match self.cipher {
            SealCipher::Aes256Gcm => "authEnveloped-data",
            _ => "enveloped-data",
        };
        let envelope = CmsContentInfo::encrypt(&self.certificates, signed, self.cipher.cipher(), CMSOptions::BINARY)
            .and_then(|cms| cms.to_der())
            .map_err(SealError::openssl("encrypt"))?;
        let mut text = Vec::with_capacity(envelope.len() / 47 * 65 + 512);
        text.extend_from_slice(
            b"MIME-Version: 1.0\nContent-Disposition: attachment; filename=\"smime.p7m\"\n\
              Content-Type: application/x-pkcs7-mime; smime-type=",
        );
        text.extend_from_slice(kind.as_bytes());
        text.extend_from_slice(b"; name=\"smime.p7m\"\nContent-Transfer-Encoding: base64\n\n");
        encoding::append_base64(&envelope, &mut text);
        text.push(b'\n');
        Ok(text)
    }
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
