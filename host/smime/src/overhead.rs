//! An upper bound for the bytes that sealing adds, for plugins that need the size of a message on the wire.
//!
//! The bounds are computed from the lengths of certificates and keys, without signing. A test compares them with sealed
//! messages of every kind.

use openssl::error::ErrorStack;
use openssl::pkey::{HasPublic, PKeyRef};
use openssl::x509::X509Ref;

use super::peer::Peer;
use message::MessageId;

/// MIME headers, preamble, boundaries and header names of a signed message, and the header for a transfer encoding.
const MIME_BYTES: usize = 800;
/// SignedData around certificate, names and signature: versions, algorithms, attributes, lengths.
const SIGNATURE_BYTES: usize = 320;
/// MIME headers of an encrypted message, counted before base64.
const ENVELOPE_MIME_BYTES: usize = 256;
/// EnvelopedData around the recipient's names and the encrypted key: algorithms, padding, tag, an ephemeral key.
const ENVELOPE_BYTES: usize = 512;
/// `Sesame-Sequence`: name, stream, number.
const SEQUENCE_BYTES: usize = 56;
/// The number at the end of the id of a part.
const PART_NUMBER: usize = 12;

/// The bytes that sealing adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overhead {
    /// The receiving program.
    pub peer: Peer,
    /// Added to the encoded content by signing, with the media type `text/plain`.
    pub fixed: usize,
    /// Added by the envelope, before base64; `None` without encryption.
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
        let headers = id.as_str().len() + PART_NUMBER + SEQUENCE_BYTES + to.map_or(0, str::len);
        let envelope = match recipient {
            Some(recipient) => {
                let key = recipient.public_key()?.public_key_to_der()?.len();
                Some(names(recipient)? + key + ENVELOPE_BYTES + ENVELOPE_MIME_BYTES)
            }
            None => None,
        };
        Ok(Self { peer, fixed: MIME_BYTES + headers + base64(signature), envelope })
    }

    /// Maximum size on the wire for plain text of this length, in bytes.
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

/// The size of issuer and serial number, which identify a certificate.
fn names(certificate: &X509Ref) -> Result<usize, ErrorStack> {
    let serial = certificate.serial_number().to_bn()?.num_bytes();
    Ok(certificate.issuer_name().to_der()?.len() + usize::try_from(serial).unwrap_or_default() + 8)
}

/// Maximum size of this many bytes as base64 in lines.
fn base64(bytes: usize) -> usize {
    (bytes / 48 + 1).saturating_mul(65)
}
