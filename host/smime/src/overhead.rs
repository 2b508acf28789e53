//! How much sealing adds to a content, at most: for a plugin that must know how large a message will be on the wire.
//!
//! The bounds are worked out from the lengths of certificates and keys; nothing is signed. The test seals contents of every
//! kind and compares.

use openssl::error::ErrorStack;
use openssl::pkey::{HasPublic, PKeyRef};
use openssl::x509::X509Ref;

use super::peer::Peer;
use message::MessageId;

/// MIME headers, preamble, boundaries and header names of a signed message, and the line that names a transfer encoding.
const MIME_BYTES: usize = 800;
/// SignedData around certificate, names and signature: versions, algorithms, attributes, lengths.
const SIGNATURE_BYTES: usize = 320;
/// MIME headers of an encrypted message, counted before base64.
const ENVELOPE_MIME_BYTES: usize = 256;
/// EnvelopedData around the recipient's names and the encrypted key: algorithms, padding, tag, an ephemeral key.
const ENVELOPE_BYTES: usize = 512;
/// The number that ends the id of a part.
const PART_NUMBER: usize = 12;

/// What sealing adds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overhead {
    /// Who reads it.
    pub peer: Peer,
    /// What signing adds to the encoded content, with the media type `text/plain`.
    pub fixed: usize,
    /// What the envelope adds before it is written as base64; `None` where nothing is encrypted.
    pub envelope: Option<usize>,
}

impl Overhead {
    pub(super) fn new(
        peer: Peer,
        (certificate, key): (&X509Ref, &PKeyRef<impl HasPublic>),
        recipient: Option<&X509Ref>,
        (id, to): (&MessageId, Option<&str>),
    ) -> Result<Self, ErrorStack> {
        let signature = certificate.to_der()?.len() + names(certificate)? + key.size() + SIGNATURE_BYTES;
        let headers = id.as_str().len() + PART_NUMBER + to.map_or(0, str::len);
        let envelope = match recipient {
            Some(recipient) => {
                let key = recipient.public_key()?.public_key_to_der()?.len();
                Some(names(recipient)? + key + ENVELOPE_BYTES + ENVELOPE_MIME_BYTES)
            }
            None => None,
        };
        Ok(Self { peer, fixed: MIME_BYTES + headers + base64(signature), envelope })
    }

    /// How large plain text of this length is on the wire, at most, in bytes.
    #[must_use]
    pub fn text_size(&self, payload: usize) -> usize {
        let signed = payload.saturating_add(self.fixed);
        self.envelope.map_or(signed, |envelope| base64(signed.saturating_add(envelope)))
    }

    /// As the properties that plugins receive.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, String)> {
        let peer = match self.peer {
            Peer::Ssm => "ssm",
            Peer::Sesame => "sesame",
        };
        let mut properties =
            vec![("peer".to_owned(), peer.to_owned()), ("wire-fixed-bytes".to_owned(), self.fixed.to_string())];
        properties.extend(self.envelope.map(|bytes| ("wire-envelope-bytes".to_owned(), bytes.to_string())));
        properties
    }
}

/// Issuer and serial number, which name a certificate.
fn names(certificate: &X509Ref) -> Result<usize, ErrorStack> {
    let serial = certificate.serial_number().to_bn()?.num_bytes();
    Ok(certificate.issuer_name().to_der()?.len() + usize::try_from(serial).unwrap_or_default() + 8)
}

/// So many bytes as base64 in lines, at most.
fn base64(bytes: usize) -> usize {
    (bytes / 48 + 1).saturating_mul(65)
}
