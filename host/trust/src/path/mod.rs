//! Certification paths from a certificate to a trust anchor, and the rules for them.
//!
//! # Policy
//! A path is built by name and signature from the certificates that came with the leaf and those of the CA directory,
//! with at most [`MAX_DEPTH`] issuers and within a fixed number of attempts. Each path is then checked against the
//! rules of RFC 5280 by OpenSSL (critical extensions, name constraints, path length, CA flags) and against our own:
//!
//! - it ends at a self-signed certificate of the CA directory; other certificates there only help to build it;
//! - every certificate in it is within its validity, including the anchor;
//! - an issuer has `CA:TRUE` in its basic constraints, unless it is the anchor;
//! - keys: RSA of 2048 bits or more, EC on a named curve of 256 bits or more, Ed25519, Ed448; nothing else;
//! - signatures below the anchor: SHA-256 or better; SHA-1 only with a setting, MD5 never;
//! - revocation: every link, see `crls`;
//! - signing policy: every link, see `policy`;
//! - a proxy certificate (RFC 3820 and its predecessors) is refused;
//! - the leaf's usages fit the [`Role`].
//!
//! Authority key identifiers are ignored: RFC 5280 section 6 does not use them for validation, and they name the
//! previous certificate of an authority that was reissued with the same name and key. Name, key and signature decide.
//!
//! Host certificates of grid authorities sign messages although they lack emailProtection, so the purpose is checked by
//! our own rules and not by OpenSSL's `smimesign`.
//!
//! Of several errors, the most useful one is reported; see [`PathError::rank`].

pub(crate) use build::{check, check_alone, openssl_error, search};

mod build;
mod detached;
mod error;
mod leaf;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use openssl::x509::{X509, X509Ref};

pub use build::OpensslError;
pub use error::PathError;

use super::asn1::{self, Reader};
use super::certificate::TbsCertificate;
use super::names::{DistinguishedName, NameError};
use super::times::unix;

/// Maximum number of issuers in a path, including the anchor.
pub(crate) const MAX_DEPTH: usize = 10;

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Signs a message.
    MessageSigner,
    /// Authenticates the broker of a TLS connection.
    Broker,
    /// Receives encrypted messages.
    Recipient,
    /// Signs a plugin.
    PluginSigner,
}

/// The identity in a certificate, usually that of a signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The subject of the certificate.
    pub subject: DistinguishedName,
    /// The issuer of the certificate.
    pub issuer: DistinguishedName,
    /// The serial number in lower-case hexadecimal.
    pub serial: String,
    /// The end of the validity, in seconds since 1970.
    pub not_after: u64,
    /// The certificate in DER.
    pub certificate_der: Vec<u8>,
    /// SHA-256 over the certificate, in lower-case hexadecimal.
    pub fingerprint: String,
}

impl Signer {
    /// Reads the identity from a certificate. Does not check whether it is trusted.
    ///
    /// # Errors
    /// [`NameError::Malformed`] if the certificate cannot be read.
    pub fn from_x509(certificate: &X509Ref) -> Result<Self, NameError> {
        let certificate_der = certificate.to_der().map_err(|_| NameError::Malformed)?;
        Ok(Self {
            subject: DistinguishedName::from_x509(certificate.subject_name())?,
            issuer: DistinguishedName::from_x509(certificate.issuer_name())?,
            serial: serial_hex(certificate),
            not_after: unix(certificate.not_after()),
            fingerprint: hex(&openssl::sha::sha256(&certificate_der)),
            certificate_der,
        })
    }

    /// The same from the encoded certificate, without OpenSSL: for one that another process of ours read and checked.
    ///
    /// # Errors
    /// [`NameError::Malformed`] if the certificate cannot be read.
    pub fn from_der(certificate: &[u8]) -> Result<Self, NameError> {
        let fields = TbsCertificate::read(Reader::der(certificate))?;
        let mut validity = fields.validity.inside();
        let (_, until) = (validity.any()?, validity.any()?);
        let not_after = asn1::seconds_since_1970(&until).ok_or(NameError::Malformed)?;
        let serial = fields.serial.content;
        let digits = serial.get(serial.iter().take_while(|octet| **octet == 0).count()..).unwrap_or_default();
        Ok(Self {
            subject: DistinguishedName::from_der(fields.subject.whole)?,
            issuer: DistinguishedName::from_der(fields.issuer.whole)?,
            serial: if digits.is_empty() { "0".to_owned() } else { hex(digits) },
            not_after: u64::try_from(not_after).unwrap_or(0),
            fingerprint: hex(&openssl::sha::sha256(certificate)),
            certificate_der: certificate.to_vec(),
        })
    }
}

/// A valid path: the leaf first, the anchor last.
#[derive(Clone, Debug)]
pub struct CertPath {
    certificates: Vec<X509>,
    signer: Arc<Signer>,
    pub(crate) valid_from: u64,
    pub(crate) valid_until: u64,
    /// The earliest next update of the CRLs it was checked with.
    pub(crate) fresh_until: u64,
}

impl CertPath {
    /// The leaf, its issuers in order, and the anchor.
    #[must_use]
    pub fn certificates(&self) -> &[X509] {
        &self.certificates
    }

    /// The identity in the leaf.
    #[must_use]
    pub fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }
}

/// The serial number in lower-case hexadecimal, at least two digits.
pub(crate) fn serial_hex(certificate: &X509Ref) -> String {
    let number = certificate.serial_number().to_bn().and_then(|number| number.to_hex_str());
    number.map_or_else(|_| "unreadable".to_owned(), |text| text.to_lowercase())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
