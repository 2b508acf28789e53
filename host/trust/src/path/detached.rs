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
use crate::der::{self, MalformedDer, Reader};

const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
/// `ecdsa-with-SHA256`, which has no parameters (RFC 5758 3.2).
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

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
    let malformed = |_: MalformedDer| PathError::Unreadable(NameError::Malformed);
    let algorithm = der::encode(der::SEQUENCE, &der::encode(der::OID, ECDSA_SHA256));
    let public = own.map(|key| key.public_key_to_der()).transpose().map_err(openssl_error)?;
    let body = body(certificate, public.as_deref(), &algorithm).map_err(malformed)?;
    let mut signer = Signer::new(MessageDigest::sha256(), signing).map_err(openssl_error)?;
    let mut bits = vec![0];
    bits.extend(signer.sign_oneshot_to_vec(&body).map_err(openssl_error)?);
    let whole = [body, algorithm, der::encode(der::BIT_STRING, &bits)].concat();
    X509::from_der(&der::encode(der::SEQUENCE, &whole)).map_err(|_| PathError::Unreadable(NameError::Malformed))
}

/// `TBSCertificate` (RFC 5280 4.1) with another signature algorithm, perhaps another key, and fewer extensions.
fn body(certificate: &[u8], public: Option<&[u8]>, algorithm: &[u8]) -> Result<Vec<u8>, MalformedDer> {
    let mut fields = Reader::new(certificate).take(der::SEQUENCE)?.inside().take(der::SEQUENCE)?.inside();
    let mut out = Vec::with_capacity(certificate.len());
    if let Some(version) = fields.optional(VERSION)? {
        out.extend(version.raw);
    }
    out.extend(fields.take(der::INTEGER)?.raw);
    fields.take(der::SEQUENCE)?;
    out.extend(algorithm);
    for _issuer_validity_subject in 0..3 {
        out.extend(fields.take(der::SEQUENCE)?.raw);
    }
    let own = fields.take(der::SEQUENCE)?.raw;
    out.extend(public.unwrap_or(own));
    while !fields.is_empty() {
        let field = fields.any()?;
        if field.tag == EXTENSIONS {
            out.extend(extensions(field.inside())?);
        } else {
            out.extend(field.raw);
        }
    }
    Ok(der::encode(der::SEQUENCE, &out))
}

/// The extensions field without key identifiers; nothing where no extension is left.
fn extensions(mut field: Reader<'_>) -> Result<Vec<u8>, MalformedDer> {
    let mut list = field.take(der::SEQUENCE)?.inside();
    let mut kept = Vec::new();
    while !list.is_empty() {
        let extension = list.take(der::SEQUENCE)?;
        let oid = extension.inside().take(der::OID)?.content;
        if oid != SUBJECT_KEY_IDENTIFIER && oid != AUTHORITY_KEY_IDENTIFIER {
            kept.extend(extension.raw);
        }
    }
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    Ok(der::encode(EXTENSIONS, &der::encode(der::SEQUENCE, &kept)))
}
