//! A certificate authority to throw away: for the demo, which needs certificates for an hour, and for tests, which need
//! every certificate that must be refused.
//!
//! Start with [`Authority::root`], [`Authority::issue`] and [`Directory`]. A [`Request`] can ask for what no authority
//! should issue; nothing here belongs into a production path.

mod crl;
mod server;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::dsa::Dsa;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Extension, X509KeyUsage, X509Name, X509Ref};

pub use crl::CrlRequest;
pub use rustls::ServerConfig;
pub use trust::tls::provider;

use trust::{DistinguishedName, NameError, OpensslError, asn1, seconds};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
const KEY_USAGE: &str = "2.5.29.15";
const PROXY_CERT_INFO: &str = "1.3.6.1.5.5.7.1.14";
/// `id-ppl-inheritAll`.
const INHERIT_ALL: &str = "1.3.6.1.5.5.7.21.1";

/// Why a certificate or a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    /// OpenSSL would not do it.
    #[error("cannot make a certificate")]
    OpenSsl(#[source] OpensslError),
    /// The subject is not a slash form.
    #[error("cannot make a certificate: {0}")]
    Subject(#[from] NameError),
    /// A server cannot be made from the certificate.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A server cannot check certificates of clients.
    #[error("cannot set up client certificates")]
    ClientCertificates(#[from] rustls::server::VerifierBuilderError),
    /// The key cannot be read back.
    #[error("cannot read the key")]
    Key(#[from] rustls_pki_types::pem::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<ErrorStack> for ThrowawayError {
    fn from(stack: ErrorStack) -> Self {
        Self::OpenSsl(stack.into())
    }
}

/// The kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of this many bits.
    Rsa(u32),
    /// EC on a named curve.
    Ec(Nid),
    /// Ed25519.
    Ed25519,
    /// DSA of this many bits, which no one should use.
    Dsa(u32),
}

impl KeyKind {
    /// EC on P-256.
    pub const P256: Self = Self::Ec(Nid::X9_62_PRIME256V1);

    fn generate(self) -> Result<PKey<Private>, ErrorStack> {
        match self {
            Self::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits)?),
            Self::Ec(curve) => {
                let group = EcGroup::from_curve_name(curve)?;
                PKey::from_ec_key(EcKey::generate(&group)?)
            }
            Self::Ed25519 => PKey::generate_ed25519(),
            Self::Dsa(bits) => PKey::from_dsa(Dsa::generate(bits)?),
        }
    }
}

/// What a certificate shall be like. The default is a host certificate as grid authorities issue them.
#[derive(Clone, Debug)]
pub struct Request {
    /// The subject in slash form.
    pub subject: String,
    /// The subject as DER, for names that have no slash form; wins over `subject`.
    pub encoded_subject: Option<Vec<u8>>,
    /// The key.
    pub key: KeyKind,
    /// DNS names in the subject alternative name.
    pub dns: Vec<String>,
    /// Addresses in the subject alternative name.
    pub addresses: Vec<IpAddr>,
    /// The key usage extension; `None` for none.
    pub key_usage: Option<X509KeyUsage>,
    /// Extended key usages by OpenSSL's short names or as OIDs; empty for none.
    pub purposes: Vec<String>,
    /// Whether basic constraints say that it is an authority, and with which path length; outer `None` for no such
    /// extension.
    pub constraints: Option<Constraints>,
    /// Start of the validity, in seconds from now.
    pub not_before: i64,
    /// End of the validity, in seconds from now.
    pub not_after: i64,
    /// The digest of the signature.
    pub digest: Digest,
    /// An X.509 v1 certificate, without any extension.
    pub version_one: bool,
    /// A proxy certificate of RFC 3820.
    pub proxy: bool,
    /// Further extensions: OID, whether critical, DER value. An authority key identifier among them replaces the usual one.
    pub extensions: Vec<(String, bool, Vec<u8>)>,
}

/// What the basic constraints say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constraints {
    /// Not an authority.
    EndEntity,
    /// An authority, with at most this many authorities below it.
    Authority(Option<u32>),
}

/// The digest of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
}

impl Digest {
    fn of(self, key: &PKey<Private>) -> MessageDigest {
        match self {
            _ if key.id() == Id::ED25519 => MessageDigest::null(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha1 => MessageDigest::sha1(),
            Self::Md5 => MessageDigest::md5(),
        }
    }
}

impl Request {
    /// A host certificate with an RSA-2048 key, valid from an hour ago for a year, for serverAuth and clientAuth.
    #[must_use]
    pub fn host(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            encoded_subject: None,
            key: KeyKind::Rsa(2048),
            dns: Vec::new(),
            addresses: Vec::new(),
            key_usage: Some(X509KeyUsage::DIGITAL_SIGNATURE | X509KeyUsage::KEY_ENCIPHERMENT),
            purposes: vec!["serverAuth".to_owned(), "clientAuth".to_owned()],
            constraints: Some(Constraints::EndEntity),
            not_before: -HOUR,
            not_after: 365 * DAY,
            digest: Digest::Sha256,
            version_one: false,
            proxy: false,
            extensions: Vec::new(),
        }
    }

    /// An authority with a P-256 key, valid from a day ago for ten years.
    #[must_use]
    pub fn authority(subject: &str) -> Self {
        Self {
            key: KeyKind::P256,
            key_usage: Some(X509KeyUsage::KEY_CERT_SIGN | X509KeyUsage::CRL_SIGN),
            purposes: Vec::new(),
            constraints: Some(Constraints::Authority(None)),
            not_before: -DAY,
            not_after: 3650 * DAY,
            ..Self::host(subject)
        }
    }

    fn subject_name(&self) -> Result<X509Name, ThrowawayError> {
        if let Some(encoded) = &self.encoded_subject {
            return Ok(X509Name::from_der(encoded)?);
        }
        let name = DistinguishedName::parse_slash(&self.subject)?;
        let mut builder = X509Name::builder()?;
        for (label, text) in name.attributes() {
            builder.append_entry_by_text(label, text.unwrap_or_default())?;
        }
        Ok(builder.build())
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: X509,
    /// Its key.
    pub key: PKey<Private>,
}

impl Issued {
    /// Writes `STEM.pem` and `STEM.key`, the key for its owner alone; gives both paths.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, directory: &Path, stem: &str) -> Result<(PathBuf, PathBuf), ThrowawayError> {
        let certificate = directory.join(format!("{stem}.pem"));
        let key = directory.join(format!("{stem}.key"));
        write(&certificate, &self.certificate.to_pem()?, 0o644)?;
        write(&key, &self.key.private_key_to_pem_pkcs8()?, 0o600)?;
        Ok((certificate, key))
    }
}

/// A certificate authority.
pub struct Authority {
    /// Its certificate and key.
    pub own: Issued,
    next_serial: AtomicU32,
}

impl Authority {
    /// Makes a self-signed authority.
    ///
    /// # Errors
    /// What OpenSSL says, or a subject that is not a slash form.
    pub fn root(request: &Request) -> Result<Self, ThrowawayError> {
        let key = request.key.generate()?;
        let certificate = build(request, &key, None, &serial_number()?)?;
        Ok(Self::with(Issued { certificate, key }))
    }

    /// Takes a certificate and key as an authority, whatever the certificate says.
    #[must_use]
    pub fn with(own: Issued) -> Self {
        Self { own, next_serial: AtomicU32::new(0x1000) }
    }

    /// Issues a certificate.
    ///
    /// # Errors
    /// What OpenSSL says, or a subject that is not a slash form.
    pub fn issue(&self, request: &Request) -> Result<Issued, ThrowawayError> {
        let key = request.key.generate()?;
        let certificate = self.certify(request, &key)?;
        Ok(Issued { certificate, key })
    }

    /// Issues a certificate for an existing key.
    ///
    /// # Errors
    /// What OpenSSL says, or a subject that is not a slash form.
    pub fn certify(&self, request: &Request, key: &PKey<Private>) -> Result<X509, ThrowawayError> {
        let number = BigNum::from_u32(self.next_serial.fetch_add(1, Ordering::Relaxed))?;
        build(request, key, Some(&self.own), &Asn1Integer::from_bn(&number)?)
    }

    /// Issues an authority below this one.
    ///
    /// # Errors
    /// What OpenSSL says, or a subject that is not a slash form.
    pub fn intermediate(&self, request: &Request) -> Result<Self, ThrowawayError> {
        Ok(Self::with(self.issue(request)?))
    }

    /// Makes a CRL, as DER, that lists these certificates.
    ///
    /// # Errors
    /// What OpenSSL says.
    pub fn crl(&self, revoked: &[&X509Ref], request: &CrlRequest) -> Result<Vec<u8>, ThrowawayError> {
        crl::build(&self.own, revoked, request)
    }
}

fn build(
    request: &Request,
    key: &PKey<Private>,
    issuer: Option<&Issued>,
    serial: &Asn1Integer,
) -> Result<X509, ThrowawayError> {
    let subject = request.subject_name()?;
    let mut builder = X509Builder::new()?;
    builder.set_version(if request.version_one { 0 } else { 2 })?;
    builder.set_serial_number(serial)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name()))?;
    let (not_before, not_after) = (moment(request.not_before)?, moment(request.not_after)?);
    builder.set_not_before(&not_before)?;
    builder.set_not_after(&not_after)?;
    builder.set_pubkey(key)?;
    if !request.version_one {
        add_extensions(&mut builder, request, issuer)?;
    }
    let signing_key = issuer.map_or(key, |issuer| &issuer.key);
    builder.sign(signing_key, request.digest.of(signing_key))?;
    Ok(builder.build())
}

fn add_extensions(builder: &mut X509Builder, request: &Request, issuer: Option<&Issued>) -> Result<(), ErrorStack> {
    let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(identifier)?;
    let own_identifier = request.extensions.iter().any(|(oid, ..)| oid == AUTHORITY_KEY_IDENTIFIER);
    let issuer = issuer.filter(|issuer| !own_identifier && issuer.certificate.subject_key_id().is_some());
    if let Some(issuer) = issuer {
        let context = builder.x509v3_context(Some(&issuer.certificate), None);
        let identifier = AuthorityKeyIdentifier::new().keyid(false).build(&context)?;
        builder.append_extension(identifier)?;
    }
    match request.constraints {
        Some(Constraints::EndEntity) => builder.append_extension(BasicConstraints::new().build()?)?,
        Some(Constraints::Authority(length)) => {
            let mut constraints = BasicConstraints::new();
            constraints.critical().ca();
            length.map(|length| constraints.pathlen(length));
            builder.append_extension(constraints.build()?)?;
        }
        None => {}
    }
    if let Some(usage) = request.key_usage {
        builder.append_extension(extension(KEY_USAGE, true, &key_usage_bits(usage))?)?;
    }
    if !request.purposes.is_empty() {
        let mut purposes = ExtendedKeyUsage::new();
        for purpose in &request.purposes {
            purposes.other(purpose);
        }
        builder.append_extension(purposes.build()?)?;
    }
    if !request.dns.is_empty() || !request.addresses.is_empty() {
        let mut names = SubjectAlternativeName::new();
        for name in &request.dns {
            names.dns(name);
        }
        for address in &request.addresses {
            names.ip(&address.to_string());
        }
        let names = names.build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
    }
    if request.proxy {
        // ProxyCertInfo { ProxyPolicy { language } }
        let language = asn1::encode(asn1::OID, Asn1Object::from_str(INHERIT_ALL)?.as_slice());
        let value = asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::SEQUENCE, &language));
        builder.append_extension(extension(PROXY_CERT_INFO, true, &value)?)?;
    }
    for (oid, critical, value) in &request.extensions {
        builder.append_extension(extension(oid, *critical, value)?)?;
    }
    Ok(())
}

/// `KeyUsage ::= BIT STRING`, of which the first eight bits are enough.
fn key_usage_bits(usage: X509KeyUsage) -> Vec<u8> {
    let bits = u8::try_from(usage.bits() & 0xff).unwrap_or(0);
    let unused = u8::try_from(bits.trailing_zeros()).unwrap_or(0).min(7);
    asn1::encode(asn1::BIT_STRING, &[unused, bits])
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Result<X509Extension, ErrorStack> {
    let value = Asn1OctetString::new_from_bytes(value)?;
    X509Extension::new_from_der(Asn1Object::from_str(oid)?.as_ref(), critical, &value)
}

/// A moment so many seconds from now, in seconds since 1970.
fn from_now(offset: i64) -> i64 {
    i64::try_from(seconds(SystemTime::now())).unwrap_or(0).saturating_add(offset)
}

fn moment(offset: i64) -> Result<Asn1Time, ErrorStack> {
    Asn1Time::from_unix(from_now(offset))
}

fn serial_number() -> Result<Asn1Integer, ErrorStack> {
    let mut number = BigNum::new()?;
    number.rand(120, MsbOption::ONE, false)?;
    Asn1Integer::from_bn(&number)
}

/// A CA directory with hashed names.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, ThrowawayError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| ThrowawayError::Write { file: path.clone(), source })?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an authority's certificate under its hash; gives its path.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add_authority(&self, certificate: &X509Ref) -> Result<PathBuf, ThrowawayError> {
        let file = self.free(&format!("{:08x}.", certificate.subject_name_hash()));
        write(&file, &certificate.to_pem()?, 0o644)?;
        Ok(file)
    }

    /// Adds a CRL under the hash of its authority; gives its path.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add_crl(&self, authority: &X509Ref, crl: &[u8]) -> Result<PathBuf, ThrowawayError> {
        let file = self.free(&format!("{:08x}.r", authority.subject_name_hash()));
        write(&file, crl::to_pem(crl).as_bytes(), 0o644)?;
        Ok(file)
    }

    /// Writes an authority's signing policy; gives its path.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add_policy(&self, authority: &X509Ref, patterns: &[&str]) -> Result<PathBuf, ThrowawayError> {
        let file = self.path.join(format!("{:08x}.signing_policy", authority.subject_name_hash()));
        let name = DistinguishedName::from_x509(authority.subject_name())?.line();
        let quoted: Vec<String> = patterns.iter().map(|pattern| format!("\"{pattern}\"")).collect();
        let text = format!(
            "access_id_CA  X509    '{name}'\npos_rights    globus  CA:sign\ncond_subjects globus  '{}'\n",
            quoted.join(" ")
        );
        write(&file, text.as_bytes(), 0o644)?;
        Ok(file)
    }

    /// The first free name with a number behind `prefix`.
    fn free(&self, prefix: &str) -> PathBuf {
        let mut names = (0_u32..).map(|number| self.path.join(format!("{prefix}{number}")));
        names.find(|file| !file.exists()).unwrap_or_else(|| self.path.join(prefix))
    }
}

/// Writes a file whole, under its name only once it is complete.
fn write(file: &Path, bytes: &[u8], mode: u32) -> Result<(), ThrowawayError> {
    let failed = |source| ThrowawayError::Write { file: file.to_owned(), source };
    let aside = file.with_extension("new");
    let _ = fs::remove_file(&aside);
    let mut open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside).map_err(failed)?;
    open.write_all(bytes).map_err(failed)?;
    fs::rename(&aside, file).map_err(failed)
}
