//! Envelopes for one recipient: EnvelopedData (RFC 5652, section 6) or AuthEnvelopedData (RFC 5083), in DER and base64.
//!
//! The content is encrypted block after block and encoded at once, so that neither the encrypted content nor the envelope
//! exists as a whole. OpenSSL encrypts content and key.

use openssl::cipher::Cipher;
use openssl::cipher_ctx::{CipherCtx, CipherCtxRef};
use openssl::error::ErrorStack;
use openssl::rand::{rand_bytes, rand_priv_bytes};
use trust::asn1::{INTEGER, OCTET_STRING, OID, SEQUENCE, SET, context_primitive, encode};
use trust::{RecipientCertificate, oids};
use zeroize::Zeroizing;

use super::recipient::Recipient;
use super::{SealCipher, SealError, SealPolicy};
use crate::Peer;
use crate::der::{self, sequence};
use crate::mime::base64_lines::{Base64Lines, base64_size};

/// Bytes of content that are encrypted at once: few enough for the processor's first cache.
const BLOCK: usize = 4096;
/// Octets of a block of AES, and of its tag in GCM.
const AES_BLOCK: usize = 16;
/// Octets of the element that has the tag.
const TAG_ELEMENT: usize = 2 + AES_BLOCK;

impl SealCipher {
    /// Its name in OpenSSL.
    fn name(self) -> &'static str {
        match self {
            Self::Aes128Cbc => "AES-128-CBC",
            Self::Aes192Cbc => "AES-192-CBC",
            Self::Aes256Cbc => "AES-256-CBC",
            Self::Aes256Gcm => "AES-256-GCM",
        }
    }

    fn oid(self) -> &'static [u8] {
        match self {
            Self::Aes128Cbc => oids::AES_128_CBC,
            Self::Aes192Cbc => oids::AES_192_CBC,
            Self::Aes256Cbc => oids::AES_256_CBC,
            Self::Aes256Gcm => oids::AES_256_GCM,
        }
    }

    /// Octets of a key.
    pub(super) fn key_size(self) -> usize {
        match self {
            Self::Aes128Cbc => 16,
            Self::Aes192Cbc => 24,
            Self::Aes256Cbc | Self::Aes256Gcm => 32,
        }
    }

    /// Octets of an initialisation vector or nonce.
    fn vector_size(self) -> usize {
        if self.is_authenticated() { 12 } else { AES_BLOCK }
    }

    fn is_authenticated(self) -> bool {
        self == Self::Aes256Gcm
    }

    /// The AlgorithmIdentifier with this initialisation vector or nonce.
    fn algorithm(self, vector: &[u8]) -> Vec<u8> {
        let vector = encode(OCTET_STRING, vector);
        if self.is_authenticated() {
            der::algorithm(self.oid(), &sequence(&[&vector, &encode(INTEGER, &[16])]))
        } else {
            der::algorithm(self.oid(), &vector)
        }
    }

    /// Octets of encrypted content.
    fn encrypted_size(self, content: usize) -> usize {
        if self.is_authenticated() { content } else { (content / AES_BLOCK + 1) * AES_BLOCK }
    }
}

/// Encrypts for one recipient.
pub(super) struct Envelope {
    kind: SealCipher,
    cipher: Cipher,
    recipient: Recipient,
}

impl Envelope {
    pub(super) fn new(recipient: &RecipientCertificate, policy: &SealPolicy) -> Result<Self, SealError> {
        let kind = policy.cipher.unwrap_or(match policy.peer {
            Peer::Ssm => SealCipher::Aes256Cbc,
            Peer::Sesame => SealCipher::Aes256Gcm,
        });
        if policy.peer == Peer::Ssm && kind == SealCipher::Aes256Gcm {
            return Err(SealError::CipherForPeer);
        }
        let recipient = Recipient::new(recipient, policy.peer, kind)?;
        let cipher = Cipher::fetch(None, kind.name(), None).map_err(SealError::openssl("encrypt"))?;
        Ok(Self { kind, cipher, recipient })
    }

    /// Encrypts the content, which is given in parts, and returns the whole message.
    pub(super) fn encrypt(&self, parts: &[&[u8]]) -> Result<Vec<u8>, SealError> {
        self.message(parts).map_err(SealError::openssl("encrypt"))
    }

    fn message(&self, parts: &[&[u8]]) -> Result<Vec<u8>, ErrorStack> {
        let mut key = Zeroizing::new(vec![0; self.kind.key_size()]);
        rand_priv_bytes(&mut key)?;
        let mut vector = vec![0; self.kind.vector_size()];
        rand_bytes(&mut vector)?;
        let size = self.kind.encrypted_size(parts.iter().map(|part| part.len()).sum());
        let begin = self.begin(&self.recipient.encrypt_key(&key)?, &vector, size);
        let name = if self.kind.is_authenticated() { "authEnveloped-data" } else { "enveloped-data" };
        let mut text = Vec::with_capacity(base64_size(begin.len() + size + TAG_ELEMENT) + 256);
        text.extend_from_slice(
            b"MIME-Version: 1.0\nContent-Disposition: attachment; filename=\"smime.p7m\"\n\
              Content-Type: application/x-pkcs7-mime; smime-type=",
        );
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"; name=\"smime.p7m\"\nContent-Transfer-Encoding: base64\n\n");
        let mut lines = Base64Lines::new(&mut text);
        lines.waiting().extend_from_slice(&begin);
        // Not kept for the next message: it contains the key.
        let mut context = CipherCtx::new()?;
        context.encrypt_init(Some(&self.cipher), Some(key.as_slice()), Some(vector.as_slice()))?;
        self.content(&mut context, parts, &mut lines)?;
        lines.finish();
        text.push(b'\n');
        Ok(text)
    }

    fn content(
        &self,
        context: &mut CipherCtxRef,
        parts: &[&[u8]],
        lines: &mut Base64Lines<'_>,
    ) -> Result<(), ErrorStack> {
        for block in parts.iter().flat_map(|part| part.chunks(BLOCK)) {
            context.cipher_update_vec(block, lines.waiting())?;
            lines.write_lines();
        }
        context.cipher_final_vec(lines.waiting())?;
        if self.kind.is_authenticated() {
            let mut tag = [0; AES_BLOCK];
            context.tag(&mut tag)?;
            lines.waiting().extend_from_slice(&encode(OCTET_STRING, &tag));
        }
        Ok(())
    }

    /// The envelope up to the encrypted content, of which `size` octets follow.
    fn begin(&self, recipient: &[u8], vector: &[u8], size: usize) -> Vec<u8> {
        let (kind, version, tag) = if self.kind.is_authenticated() {
            (oids::AUTH_ENVELOPED_DATA, 0, TAG_ELEMENT)
        } else {
            (oids::ENVELOPED_DATA, self.recipient.version(), 0)
        };
        let encrypted = der::begin(context_primitive(0), &[], size);
        let content = [encode(OID, oids::DATA), self.kind.algorithm(vector), encrypted].concat();
        let content = der::begin(SEQUENCE, &content, size);
        let fields = [encode(INTEGER, &[version]), encode(SET, recipient), content];
        der::begin_content_info(kind, &fields.concat(), size + tag)
    }
}
