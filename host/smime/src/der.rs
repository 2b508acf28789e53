//! Writes the parts of CMS messages in DER.
//!
//! Small elements are built from the inside out. [`begin`] starts an element whose content goes on elsewhere, so that the
//! content of a message is not copied into each element around it.

use trust::TbsCertificate;
use trust::asn1::{self, Asn1Error, OID, Reader, SEQUENCE, context, encode, put_header};

/// NULL, the parameters of RSA algorithms.
pub(crate) const NULL: [u8; 2] = [asn1::NULL, 0];

pub(crate) fn sequence(fields: &[&[u8]]) -> Vec<u8> {
    encode(SEQUENCE, &fields.concat())
}

/// An AlgorithmIdentifier; empty parameters are absent.
pub(crate) fn algorithm(kind: &[u8], parameters: &[u8]) -> Vec<u8> {
    sequence(&[&encode(OID, kind), parameters])
}

/// The IssuerAndSerialNumber of a certificate, in the octets of the certificate.
pub(crate) fn issuer_and_serial(certificate: &[u8]) -> Result<Vec<u8>, Asn1Error> {
    let fields = TbsCertificate::read(Reader::ber(certificate))?;
    Ok(sequence(&[fields.issuer.whole, fields.serial.whole]))
}

/// The header and the first octets of an element, after which `more` octets of its content follow.
pub(crate) fn begin(tag: u8, first: &[u8], more: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(asn1::MAX_HEADER + first.len());
    put_header(tag, first.len() + more, &mut out);
    out.extend_from_slice(first);
    out
}

/// The begin of a ContentInfo with the first fields of its content, after which `more` octets of the content follow.
pub(crate) fn begin_content_info(kind: &[u8], fields: &[u8], more: usize) -> Vec<u8> {
    let explicit = begin(context(0), &begin(SEQUENCE, fields, more), more);
    begin(SEQUENCE, &[encode(OID, kind), explicit].concat(), more)
}
