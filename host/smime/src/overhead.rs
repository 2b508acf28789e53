//! An upper bound for the bytes that sealing adds, for plugins that need the size of a message on the wire.
//!
//! The bounds are computed from the lengths of certificates and keys, without signing. A test compares them with sealed
//! messages of every kind.

use message::MessageId;
use trust::asn1::{Asn1Error, Reader};
use trust::{Signer, TbsCertificate};

use super::peer::Peer;

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
    /// Without the message's own id and addressee. A signature has up to `signature_size` octets.
    pub(super) fn new(
        peer: Peer,
        (own, recipient): (&Signer, Option<&Signer>),
        signature_size: usize,
    ) -> Result<Self, Asn1Error> {
        let names = names(&certificate(own)?);
        let signature = own.certificate_der.len() + names + signature_size + SIGNATURE_BYTES;
        let envelope = match recipient {
            Some(recipient) => {
                let fields = certificate(recipient)?;
                let key = fields.public_key.whole.len();
                Some(self::names(&fields) + key + ENVELOPE_BYTES + ENVELOPE_MIME_BYTES)
            }
            None => None,
        };
        Ok(Self { peer, fixed: MIME_BYTES + PART_NUMBER + SEQUENCE_BYTES + base64(signature), envelope })
    }

    /// With the id and the addressee of a message.
    pub(super) fn of_message(self, id: &MessageId, to: Option<&str>) -> Self {
        Self { fixed: self.fixed + id.as_str().len() + to.map_or(0, str::len), ..self }
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

fn certificate(signer: &Signer) -> Result<TbsCertificate<'_>, Asn1Error> {
    TbsCertificate::read(Reader::ber(&signer.certificate_der))
}

/// The size of issuer and serial number, which identify a certificate.
fn names(fields: &TbsCertificate<'_>) -> usize {
    fields.issuer.whole.len() + fields.serial.whole.len() + 8
}

/// Maximum size of this many bytes as base64 in lines.
fn base64(bytes: usize) -> usize {
    (bytes / 48 + 1).saturating_mul(65)
}
