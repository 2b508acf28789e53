//! Certificate revocation lists.
//!
//! # Policy
//! Every link of a path is checked, including intermediate authorities. A CRL belongs to an authority if it has its
//! name and its signature verifies with its key. The newest of those that cover the certificate decides. With
//! [`CrlMode::Require`] every authority needs a CRL; with [`CrlMode::IfPresent`] an authority may have none. In both
//! modes no certificate of an authority is accepted if its CRL is stale, has no next update, or cannot be used (broken,
//! signed by another key, weakly signed). Freshness is measured against the current time, even if a message is checked
//! at an earlier time.
//!
//! Delta CRLs, indirect CRLs and CRLs for some reasons only are refused. The scope of an issuing distribution point is
//! honoured (RFC 5280 5.2.5, 6.3.3).
//!
//! # In memory
//! A CRL may have a million entries. It is kept in its encoded form, with the sorted positions of its serial numbers;
//! OpenSSL's structure would need ten times the memory.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use message::locked;
use openssl::pkey::{PKey, Public};
use openssl::sign::Verifier;
use openssl::x509::{X509Crl, X509KeyUsage, X509Ref};

use super::algorithm::{self, SignatureAlgorithm};
use super::asn1::{self, Asn1Error, Element, Reader, context};
use super::certificate::{self, extension};
use super::names::DistinguishedName;

/// Whether revocation lists are required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrlMode {
    /// Every authority in a path must have a fresh CRL.
    Require,
    /// A CRL that is present must be fresh; an authority may have none.
    #[default]
    IfPresent,
    /// CRLs are not read.
    Ignore,
}

/// Extensions that do not affect how a CRL is read.
const HARMLESS: &[&[u8]] = &[
    extension::CRL_NUMBER,
    extension::AUTHORITY_KEY_IDENTIFIER,
    extension::REASON_CODE,
    extension::HOLD_INSTRUCTION,
    extension::INVALIDITY_DATE,
];

/// Why a CRL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CrlError {
    #[error("not well-formed DER: {0}")]
    Malformed(#[from] Asn1Error),
    #[error("the issuer's name cannot be read")]
    Name,
    #[error("its name has the hash of another authority; it is a CRL of {0}")]
    OtherIssuer(String),
    #[error("a date cannot be read")]
    Date,
    #[error("it is a delta CRL")]
    Delta,
    #[error("it is an indirect CRL")]
    Indirect,
    #[error("it covers some reasons of revocation only")]
    SomeReasons,
    #[error("it has a critical extension that is not supported")]
    Critical,
    #[error("its two signature algorithms differ")]
    Algorithms,
    #[error("neither a PEM nor a DER CRL")]
    NotCrl,
    /// The words of the process that read the file.
    #[error("{0}")]
    Reported(String),
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    #[error("cannot read it: {}", message::cause::io_words(*.0))]
    Io(std::io::ErrorKind),
}

/// A revocation list.
pub(crate) struct Crl {
    pub(crate) file: PathBuf,
    pub(crate) issuer: DistinguishedName,
    pub(crate) this_update: u64,
    pub(crate) next_update: Option<u64>,
    pub(crate) algorithm: SignatureAlgorithm,
    algorithm_oid: Vec<u8>,
    scope: Scope,
    der: Vec<u8>,
    signed: Range<usize>,
    signature: Range<usize>,
    /// The positions of the serial numbers, sorted by number.
    serials: Vec<u32>,
    /// Results of verifying the signature, by digest of the key.
    verified: Mutex<HashMap<[u8; 32], bool>>,
}

/// Which certificates of its issuer a CRL covers.
#[derive(Default)]
struct Scope {
    users_only: bool,
    authorities_only: bool,
    /// The encoded names of its distribution point; empty for any.
    points: Vec<Vec<u8>>,
}

/// Maximum number of keys whose result is cached. Few authorities share a name, and certificates that merely claim it
/// must not exhaust memory.
const CACHED_KEYS: usize = 64;

impl Crl {
    /// Reads a CRL.
    pub(crate) fn from_der(file: &Path, der: Vec<u8>) -> Result<Self, CrlError> {
        let outer = Reader::der(&der).take(asn1::SEQUENCE)?;
        let mut parts = outer.inside();
        let (tbs, algorithm, signature) =
            (parts.take(asn1::SEQUENCE)?, parts.take(asn1::SEQUENCE)?, parts.take(asn1::BIT_STRING)?);
        parts.end()?;
        let fields = Fields::read(&tbs)?;
        if fields.algorithm.whole != algorithm.whole {
            return Err(CrlError::Algorithms);
        }
        let mut serials = fields.serials(&der)?;
        serials.sort_unstable_by(|&a, &b| serial_at(&der, a).cmp(serial_at(&der, b)));
        let bits = signature
            .content
            .get(1..)
            .filter(|_| signature.content.first() == Some(&0))
            .ok_or(Asn1Error::Unexpected)?;
        Ok(Self {
            file: file.to_owned(),
            issuer: DistinguishedName::from_der(fields.issuer.whole).map_err(|_| CrlError::Name)?,
            this_update: time(&fields.this_update)?,
            next_update: fields.next_update.as_ref().map(time).transpose()?,
            algorithm: SignatureAlgorithm::from_element(&algorithm)?,
            algorithm_oid: algorithm.inside().take(asn1::OID)?.content.to_vec(),
            scope: fields.scope()?,
            signed: range(&der, tbs.whole),
            signature: range(&der, bits),
            serials,
            verified: Mutex::default(),
            der,
        })
    }

    /// The issuer of a CRL, even if the CRL cannot be used.
    pub(crate) fn issuer_of(der: &[u8]) -> Option<DistinguishedName> {
        let tbs = Reader::der(der).take(asn1::SEQUENCE).ok()?.inside().take(asn1::SEQUENCE).ok()?;
        let mut fields = tbs.inside();
        fields.optional(asn1::INTEGER).ok()?;
        fields.take(asn1::SEQUENCE).ok()?;
        DistinguishedName::from_der(fields.take(asn1::SEQUENCE).ok()?.whole).ok()
    }

    /// The CRL in DER.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The CRL in PEM.
    pub(crate) fn to_pem(&self) -> Result<Vec<u8>, openssl::error::ErrorStack> {
        X509Crl::from_der(&self.der)?.to_pem()
    }

    /// Number of revoked certificates.
    pub(crate) fn len(&self) -> usize {
        self.serials.len()
    }

    /// Whether it lists this serial number, given as the content octets of the certificate's INTEGER.
    pub(crate) fn lists(&self, serial: &[u8]) -> bool {
        let serial = without_zeros(serial);
        self.serials.binary_search_by(|&at| serial_at(&self.der, at).cmp(serial)).is_ok()
    }

    /// Whether it covers this certificate of its issuer.
    pub(crate) fn covers(&self, certificate: &[u8], is_authority: bool) -> bool {
        if (self.scope.users_only && is_authority) || (self.scope.authorities_only && !is_authority) {
            return false;
        }
        if self.scope.points.is_empty() {
            return true;
        }
        let points = certificate_points(certificate).unwrap_or_default();
        points.iter().any(|point| self.scope.points.contains(point))
    }

    /// Whether the CRL is signed with this certificate's key, and the key may sign CRLs.
    pub(crate) fn is_signed_by(&self, issuer: &X509Ref) -> bool {
        if issuer.key_usage().is_some_and(|usage| !usage.contains(X509KeyUsage::CRL_SIGN)) {
            return false;
        }
        let Ok(key) = issuer.public_key() else { return false };
        let Ok(encoded) = key.public_key_to_der() else { return false };
        let digest = openssl::sha::sha256(&encoded);
        let mut verified = locked(&self.verified);
        if verified.len() >= CACHED_KEYS && !verified.contains_key(&digest) {
            verified.clear();
        }
        *verified.entry(digest).or_insert_with(|| self.verify(&key).unwrap_or(false))
    }

    fn verify(&self, key: &PKey<Public>) -> Result<bool, openssl::error::ErrorStack> {
        let signed = self.der.get(self.signed.clone()).unwrap_or_default();
        let signature = self.der.get(self.signature.clone()).unwrap_or_default();
        let result = match algorithm::digest(&self.algorithm_oid) {
            Some(Some(digest)) => Verifier::new(digest, key)?.verify_oneshot(signature, signed),
            Some(None) => Verifier::new_without_digest(key)?.verify_oneshot(signature, signed),
            // RSA-PSS: OpenSSL reads its parameters.
            None => X509Crl::from_der(&self.der)?.verify(key),
        };
        result.inspect_err(|error| tracing::debug!(file = %self.file.display(), %error, "CRL signature not checked"))
    }
}

impl std::fmt::Debug for Crl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crl").field("file", &self.file).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The fields of `TBSCertList` (RFC 5280 5.1).
struct Fields<'a> {
    algorithm: Element<'a>,
    issuer: Element<'a>,
    this_update: Element<'a>,
    next_update: Option<Element<'a>>,
    revoked: Option<Element<'a>>,
    extensions: Option<Element<'a>>,
}

impl<'a> Fields<'a> {
    fn read(tbs: &Element<'a>) -> Result<Self, CrlError> {
        let mut reader = tbs.inside();
        reader.optional(asn1::INTEGER)?;
        let algorithm = reader.take(asn1::SEQUENCE)?;
        let issuer = reader.take(asn1::SEQUENCE)?;
        let this_update = reader.any()?;
        let next_update = match reader.peek() {
            Some(asn1::UTC_TIME | asn1::GENERALIZED_TIME) => Some(reader.any()?),
            _ => None,
        };
        let revoked = reader.optional(asn1::SEQUENCE)?;
        let extensions = reader.optional(context(0))?;
        reader.end()?;
        Ok(Self { algorithm, issuer, this_update, next_update, revoked, extensions })
    }

    /// The position of each entry's serial number in `der`.
    fn serials(&self, der: &[u8]) -> Result<Vec<u32>, CrlError> {
        let mut places = Vec::new();
        let Some(revoked) = self.revoked else { return Ok(places) };
        let mut entries = revoked.inside();
        while !entries.is_empty() {
            let mut entry = entries.take(asn1::SEQUENCE)?.inside();
            let serial = entry.take(asn1::INTEGER)?;
            places.push(u32::try_from(range(der, serial.whole).start).map_err(|_| Asn1Error::Header)?);
            entry.any()?;
            if let Some(list) = entry.optional(asn1::SEQUENCE)? {
                for extension in certificate::extension_list(&list)? {
                    match extension.oid {
                        extension::CERTIFICATE_ISSUER => return Err(CrlError::Indirect),
                        oid if extension.critical && !HARMLESS.contains(&oid) => return Err(CrlError::Critical),
                        _ => {}
                    }
                }
            }
            entry.end()?;
        }
        Ok(places)
    }

    fn scope(&self) -> Result<Scope, CrlError> {
        let mut scope = Scope::default();
        for extension in certificate::extensions(self.extensions)? {
            match extension.oid {
                extension::DELTA_CRL_INDICATOR => return Err(CrlError::Delta),
                extension::ISSUING_DISTRIBUTION_POINT => scope = Scope::read(extension.value)?,
                oid if extension.critical && !HARMLESS.contains(&oid) => return Err(CrlError::Critical),
                _ => {}
            }
        }
        Ok(scope)
    }
}

impl Scope {
    /// Reads `IssuingDistributionPoint` (RFC 5280 5.2.5).
    fn read(value: &[u8]) -> Result<Self, CrlError> {
        let mut scope = Self::default();
        let mut fields = Reader::der(value).take(asn1::SEQUENCE)?.inside();
        while !fields.is_empty() {
            let field = fields.any()?;
            let set = field.content != [0];
            match field.tag {
                tag if tag == context(0) => scope.points = full_names(&field)?,
                0x81 => scope.users_only = set,
                0x82 => scope.authorities_only = set,
                0x83 => return Err(CrlError::SomeReasons),
                0x84 if set => return Err(CrlError::Indirect),
                0x84 => {}
                _ => return Err(CrlError::Critical),
            }
        }
        Ok(scope)
    }
}

/// The names in `DistributionPointName ::= CHOICE { [0] GeneralNames, [1] relative name }`, encoded.
fn full_names(point: &Element<'_>) -> Result<Vec<Vec<u8>>, Asn1Error> {
    let mut names = point.inside().take(context(0))?.inside();
    let mut list = Vec::new();
    while !names.is_empty() {
        list.push(names.any()?.whole.to_vec());
    }
    Ok(list)
}

/// The names of all distribution points of a certificate.
fn certificate_points(certificate: &[u8]) -> Result<Vec<Vec<u8>>, Asn1Error> {
    let Some(value) = certificate::extension_value(certificate, extension::CRL_DISTRIBUTION_POINTS)? else {
        return Ok(Vec::new());
    };
    let mut points = Reader::der(value).take(asn1::SEQUENCE)?.inside();
    let mut list = Vec::new();
    while !points.is_empty() {
        let mut point = points.take(asn1::SEQUENCE)?.inside();
        if let Some(name) = point.optional(context(0))? {
            list.extend(full_names(&name).unwrap_or_default());
        }
    }
    Ok(list)
}

/// The range of `part` within `whole`.
fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// The serial number at `at`, without leading zeros.
fn serial_at(der: &[u8], at: u32) -> &[u8] {
    let tail = usize::try_from(at).ok().and_then(|at| der.get(at..)).unwrap_or_default();
    without_zeros(Reader::der(tail).any().map_or(&[], |element| element.content))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Seconds since 1970 of a date; 0 before.
fn time(element: &Element<'_>) -> Result<u64, CrlError> {
    let seconds = asn1::seconds_since_1970(element).ok_or(CrlError::Date)?;
    Ok(u64::try_from(seconds).unwrap_or(0))
}
