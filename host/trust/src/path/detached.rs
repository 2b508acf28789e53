//! A path as OpenSSL is to judge it where authority key identifiers get in its way.
//!
//! RFC 5280 leaves the authority key identifier out of path validation (section 6.1): it only helps to find an issuer.
//! OpenSSL takes an issuer for none where the identifier names another serial number or issuer, as it does after an
//! authority was issued again for the same name and key, and then says "unable to get local issuer certificate".
//!
//! [`without_identifiers`] writes the path again without the two key identifier extensions, so that OpenSSL judges
//! everything else in it: constraints, critical extensions, path lengths, usages, validity. As that breaks the
//! signatures, the copies are signed with a key of the moment. **Callers must have checked the signatures, the signature
//! algorithms and the strength of every key in the original path**; the copies prove nothing about them and leave this
//! module's caller only as an error or as silence.

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

/// Copies of the certificates of a path, the leaf first, without key identifiers; see the head of this module.
///
/// # Errors
/// [`PathError::OpenSsl`] where OpenSSL cannot make a key or a signature, or cannot read a copy.
pub(super) fn without_identifiers<'a>(path: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Vec<X509>, PathError> {
    // A key for each level: with one for all, OpenSSL could leave a certificate out that has its issuer's name.
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

/// One copy, signed by `signing`; an issuer carries the key `own` in place of its real one, so that the copy below it
/// verifies.
fn copy(certificate: &[u8], own: Option<&PKey<Private>>, signing: &PKey<Private>) -> Result<X509, PathError> {
    // A certificate that only OpenSSL can read is its owner's fault, not ours.
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

/// `TBSCertificate` (RFC 5280 4.1) with another signature algorithm, perhaps another key, and fewer extensions.
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

/// The extensions field without key identifiers; nothing where no extension is left.
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
