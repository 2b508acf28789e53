//! Copies of a path without key identifiers, for verification by OpenSSL.
//!
//! Path validation in RFC 5280 (section 6.1) does not use the authority key identifier, which only helps to find an
//! issuer. OpenSSL rejects an issuer if the identifier names another serial number or issuer, as is the case after an
//! authority's certificate was reissued with the same name and key. It then reports "unable to get local issuer
//! certificate".
//!
//! [`without_identifiers`] copies the path without the two key identifier extensions, so that OpenSSL checks everything
//! else: constraints, critical extensions, path lengths, usages, validity. Since that invalidates the signatures, the
//! copies are signed with temporary keys. **Callers must have checked the signatures, the signature algorithms and the
//! strength of every key in the original path**; the copies prove nothing about them and must be used for this
//! verification only.

use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use openssl::x509::X509;

use super::build::openssl_error;
use super::error::PathError;
use crate::NameError;
use crate::asn1::{self, Asn1Error, Element, Reader};
use crate::certificate::{self, TbsCertificate, extension};
use crate::oids;

/// Copies of the certificates of a path, the leaf first, without key identifiers; see the module documentation.
///
/// # Errors
/// [`PathError::OpenSsl`] if OpenSSL cannot create a key or a signature, [`PathError::Unreadable`] if a certificate or
/// its copy cannot be read.
pub(super) fn without_identifiers<'a>(path: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Vec<X509>, PathError> {
    // One key for each level: with a shared key, OpenSSL could skip a certificate that has its issuer's name.
    let keys = (0..=path.len()).map(|_| new_key()).collect::<Result<Vec<_>, _>>()?;
    let last = path.len().saturating_sub(1);
    let levels = keys.iter().zip(keys.iter().skip(1)).enumerate();
    let copies = path.zip(levels).map(|(certificate, (place, (own, above)))| {
        let own = (place > 0).then_some(own);
        // The anchor signs itself.
        let signing = own.filter(|_| place == last).unwrap_or(above);
        copy(certificate, own, signing)
    });
    copies.collect()
}

fn new_key() -> Result<PKey<Private>, PathError> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).map_err(openssl_error)?;
    EcKey::generate(&group).and_then(PKey::from_ec_key).map_err(openssl_error)
}

/// One copy, signed by `signing`. The copy of an issuer has the key `own` instead of the real one, so that the
/// signature on the copy below it verifies.
fn copy(certificate: &[u8], own: Option<&PKey<Private>>, signing: &PKey<Private>) -> Result<X509, PathError> {
    // If only OpenSSL can read the certificate, the certificate is at fault.
    let malformed = |_: Asn1Error| PathError::Unreadable(NameError::Malformed);
    // It has no parameters (RFC 5758 3.2).
    let algorithm = asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::OID, oids::ECDSA_WITH_SHA256));
    let public = own.map(|key| key.public_key_to_der()).transpose().map_err(openssl_error)?;
    let body = body(certificate, public.as_deref(), &algorithm).map_err(malformed)?;
    let mut signer = Signer::new(MessageDigest::sha256(), signing).map_err(openssl_error)?;
    let mut bits = vec![0];
    bits.extend(signer.sign_oneshot_to_vec(&body).map_err(openssl_error)?);
    let whole = [body, algorithm, asn1::encode(asn1::BIT_STRING, &bits)].concat();
    X509::from_der(&asn1::encode(asn1::SEQUENCE, &whole)).map_err(|_| PathError::Unreadable(NameError::Malformed))
}

/// `TBSCertificate` (RFC 5280 4.1) with another signature algorithm, optionally another key, and fewer extensions.
fn body(certificate: &[u8], public: Option<&[u8]>, algorithm: &[u8]) -> Result<Vec<u8>, Asn1Error> {
    let fields = TbsCertificate::read(Reader::der(certificate))?;
    let optional = |field: Option<Element<'_>>| field.map_or(Vec::new(), |field| field.whole.to_vec());
    let parts = [
        &optional(fields.version),
        fields.serial.whole,
        algorithm,
        fields.issuer.whole,
        fields.validity.whole,
        fields.subject.whole,
        public.unwrap_or(fields.public_key.whole),
        &optional(fields.issuer_id),
        &optional(fields.subject_id),
        &kept_extensions(fields.extensions)?,
    ];
    Ok(asn1::encode(asn1::SEQUENCE, &parts.concat()))
}

/// The extensions field without key identifiers; empty if no extension is left.
fn kept_extensions(field: Option<Element<'_>>) -> Result<Vec<u8>, Asn1Error> {
    let mut kept = Vec::new();
    for extension in certificate::extensions(field)? {
        if ![extension::SUBJECT_KEY_IDENTIFIER, extension::AUTHORITY_KEY_IDENTIFIER].contains(&extension.oid) {
            kept.extend(extension.whole);
        }
    }
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    Ok(asn1::encode(asn1::context(3), &asn1::encode(asn1::SEQUENCE, &kept)))
}
