//! Reads CA directories and PEM files.
//!
//! # On disk
//! | name | content |
//! |---|---|
//! | `HHHHHHHH.N` | certificates; `HHHHHHHH` must be OpenSSL's hash of the subject, the current one or that before 1.0 |
//! | `HHHHHHHH.rN` | a CRL of an authority with that hash; one of another blocks the authority with that hash |
//! | `*.signing_policy` | a signing policy |
//! | `*.pem *.crt *.cer *.der` | CRLs; certificates too if the directory has no hashed names |
//! | `*.crl` | a CRL |
//!
//! Other files in a directory are ignored. A path of the settings that is a file is read as a bundle of certificates
//! and CRLs. PEM and DER are recognised by content.
//!
//! In a directory with hashed names only certificates with such a name are trusted, as in OpenSSL: if an operator
//! removed the hashed name of an authority, another file with its certificate must not restore the trust.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openssl::hash::{MessageDigest, hash};
use openssl::sha::Sha256;
use openssl::x509::X509;

use super::certificate::is_authority;
use super::crls::{Crl, CrlError, CrlMode};
use super::names::DistinguishedName;
use super::policy;
use super::times::{readable, unix};

mod known;
mod settings;

pub(crate) use known::Anchors;
pub use known::{CrlSummary, PathCrl};
pub use settings::{TrustError, TrustSettings};

/// Warn about authorities that expire within this time.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 86_400);
const MAX_CERTIFICATE_FILE: u64 = 16 << 20;
const MAX_CRL_FILE: u64 = 64 << 20;
/// `X509_V_ERR_KEYUSAGE_NO_CERTSIGN`: a self-signed host certificate may lack keyCertSign.
const NO_CERT_SIGN: i32 = 32;
/// `X509_V_ERR_CERT_SIGNATURE_FAILURE`.
pub(crate) const SIGNATURE_FAILURE: i32 = 7;

/// `X509_V_ERR_AKID_SKID_MISMATCH` and `X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH`.
pub(crate) const OTHER_KEY_IDENTIFIER: [i32; 2] = [30, 31];

/// A certificate of the CA directory.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) certificate: X509,
    pub(crate) der: Vec<u8>,
    pub(crate) subject: DistinguishedName,
    pub(crate) file: PathBuf,
    /// A path may end here.
    pub(crate) self_signed: bool,
}

impl Authority {
    /// A warning with its remedy if the certificate has expired, expires soon or is not yet valid. Subordinate
    /// authorities are included, since the certificates that they issued are then refused. `now` is in seconds since
    /// 1970.
    pub(super) fn validity_warning(&self, now: u64) -> Option<String> {
        let (from, until) = (unix(self.certificate.not_before()), unix(self.certificate.not_after()));
        let what = if self.self_signed { "trust anchor" } else { "subordinate authority" };
        let named = format!("{what} {} ({})", self.subject, self.file.display());
        if until < now {
            Some(format!("{named} expired on {}: replace it with the renewed one or remove it", readable(until)))
        } else if from > now {
            Some(format!("{named} is not valid before {}: check the clock", readable(from)))
        } else if until < now + EXPIRY_WARNING.as_secs() {
            Some(format!("{named} expires on {}", readable(until)))
        } else {
            None
        }
    }
}

/// A CRL file that cannot be used.
#[derive(Clone, Debug)]
pub(crate) struct BrokenCrl {
    pub(crate) file: PathBuf,
    /// The hash in its name.
    pub(crate) hash: Option<u32>,
    /// The issuer of the CRL, if it can be read.
    pub(crate) issuer: Option<DistinguishedName>,
    pub(crate) reason: CrlError,
}

/// The content of all files.
#[derive(Debug, Default)]
pub(crate) struct Material {
    pub(crate) authorities: Vec<Authority>,
    pub(crate) crls: Vec<Arc<Crl>>,
    pub(crate) broken_crls: Vec<BrokenCrl>,
    pub(crate) policies: HashMap<DistinguishedName, Vec<String>>,
    pub(crate) unusable_policies: HashMap<u32, PathBuf>,
    pub(crate) warnings: Vec<String>,
}

/// The kind of a file, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    HashedCertificate(u32),
    HashedCrl(u32),
    Policy,
    Mixed,
    Crl,
}

/// Reads all paths of the settings. Unreadable CRLs are replaced by those of `last_good` from the same file.
pub(crate) fn read(settings: &TrustSettings, last_good: &HashMap<PathBuf, Arc<Crl>>) -> Result<Material, TrustError> {
    let (material, seen, hashed) = (Material::default(), HashSet::new(), HashMap::new());
    let mut loader = Loader { settings, last_good, material, seen, hashed };
    for path in &settings.anchors {
        let unreadable = |error: std::io::Error| TrustError::Unreadable { path: path.clone(), kind: error.kind() };
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            loader.warn_if_writable(path, &metadata);
            let names = list(path).map_err(unreadable)?;
            loader.directory(path, &names);
        } else {
            let bytes = read_file(path, MAX_CERTIFICATE_FILE + MAX_CRL_FILE).map_err(unreadable)?;
            loader.mixed(path, &bytes, true);
        }
    }
    Ok(loader.material)
}

/// A digest over the names, inodes, sizes and times of every file that [`read`] would open.
pub(crate) fn state_of(settings: &TrustSettings) -> [u8; 32] {
    let mut digest = Sha256::new();
    for path in &settings.anchors {
        add_state(&mut digest, path);
        for name in list(path).unwrap_or_default() {
            if kind_of(&name).is_some() {
                add_state(&mut digest, &path.join(&name));
            }
        }
    }
    digest.finish()
}

fn add_state(digest: &mut Sha256, path: &Path) {
    digest.update(path.as_os_str().as_encoded_bytes());
    let state = match fs::metadata(path) {
        Ok(m) => format!("\0{} {} {} {} {}\0", m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime_nsec()),
        Err(error) => format!("\0{}\0", error.kind()),
    };
    digest.update(state.as_bytes());
}

/// The names in a directory, sorted.
fn list(directory: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.insert(name);
        }
    }
    Ok(names)
}

fn kind_of(name: &str) -> Option<Kind> {
    let (stem, extension) = name.rsplit_once('.')?;
    let hash = (stem.len() == 8).then(|| u32::from_str_radix(stem, 16).ok()).flatten();
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match (hash, extension) {
        (Some(hash), number) if numeric(number) => Some(Kind::HashedCertificate(hash)),
        (Some(hash), number) if number.strip_prefix('r').is_some_and(numeric) => Some(Kind::HashedCrl(hash)),
        (_, "signing_policy") => Some(Kind::Policy),
        (_, "pem" | "crt" | "cer" | "der") => Some(Kind::Mixed),
        (_, "crl") => Some(Kind::Crl),
        _ => None,
    }
}

/// Whether `hash` is OpenSSL's hash of the certificate's subject, the current one or that before 1.0.
pub(crate) fn has_hash(certificate: &X509, hash: u32) -> bool {
    certificate.subject_name_hash() == hash || old_hash(certificate) == Some(hash)
}

/// The subject hash of OpenSSL before 1.0: the first four bytes, little-endian, of the MD5 of the encoded name.
pub(crate) fn old_hash(certificate: &X509) -> Option<u32> {
    let name = certificate.subject_name().to_der().ok()?;
    let digest = hash(MessageDigest::md5(), &name).ok()?;
    let bytes: [u8; 4] = digest.get(..4)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}

fn read_file(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

struct Loader<'a> {
    settings: &'a TrustSettings,
    last_good: &'a HashMap<PathBuf, Arc<Crl>>,
    material: Material,
    /// Digests of the objects already added: the same file often has several names.
    seen: HashSet<[u8; 32]>,
    /// The names of the authorities with a hashed file name, by both hashes of each.
    hashed: HashMap<u32, Vec<DistinguishedName>>,
}

impl Loader<'_> {
    fn warn(&mut self, text: String) {
        self.material.warnings.push(text);
    }

    fn warn_if_writable(&mut self, path: &Path, metadata: &Metadata) {
        if metadata.permissions().mode() & 0o002 != 0 {
            self.warn(format!("{} is writable by every user; chmod o-w {0}", path.display()));
        }
    }

    fn directory(&mut self, directory: &Path, names: &BTreeSet<String>) {
        let hashed = names.iter().any(|name| matches!(kind_of(name), Some(Kind::HashedCertificate(_))));
        let mut left_out = Vec::new();
        for name in names {
            let Some(kind) = kind_of(name) else { continue };
            let file = directory.join(name);
            let Some(bytes) = self.open(&file, kind) else { continue };
            match kind {
                Kind::HashedCertificate(hash) => self.hashed_certificate(&file, &bytes, hash),
                Kind::HashedCrl(hash) => self.crl(&file, &bytes, Some(hash)),
                Kind::Crl => self.crl(&file, &bytes, None),
                Kind::Mixed => left_out.extend(self.mixed(&file, &bytes, !hashed)),
                Kind::Policy => self.policy(&file, &bytes),
            }
        }
        self.block_unnamed(directory, names);
        left_out.retain(|(_, digest)| !self.seen.contains(digest));
        if let Some((file, _)) = left_out.first() {
            let others = left_out.len() - 1;
            let others = if others == 0 { String::new() } else { format!(" and {others} more") };
            self.warn(format!(
                "{}{others} not used: the directory has hashed names, but none for it; run: openssl rehash {}",
                file.display(),
                directory.display()
            ));
        }
    }

    /// Reads a file of a directory. An unreadable file causes a warning; an unreadable CRL is also recorded as broken.
    fn open(&mut self, file: &Path, kind: Kind) -> Option<Vec<u8>> {
        let is_crl = matches!(kind, Kind::HashedCrl(_) | Kind::Crl);
        if is_crl && self.settings.crls == CrlMode::Ignore {
            return None;
        }
        if fs::metadata(file).is_ok_and(|metadata| metadata.is_dir()) {
            return None;
        }
        let limit = if is_crl { MAX_CRL_FILE } else { MAX_CERTIFICATE_FILE };
        match read_file(file, limit) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let reason = match error.kind() {
                    ErrorKind::FileTooLarge => CrlError::TooLarge(limit),
                    kind => CrlError::Io(kind),
                };
                let broken = |hash| BrokenCrl { file: file.to_owned(), hash, issuer: None, reason };
                match kind {
                    Kind::HashedCrl(hash) => _ = self.broken_crl(broken(Some(hash))),
                    Kind::Crl => _ = self.broken_crl(broken(None)),
                    Kind::Policy => self.broken_policy(file, &error.kind().to_string()),
                    _ => self.warn(format!("cannot read {}: {}", file.display(), error.kind())),
                }
                None
            }
        }
    }

    fn hashed_certificate(&mut self, file: &Path, bytes: &[u8], hash: u32) {
        let certificates = certificates_in(bytes);
        if certificates.is_empty() {
            self.warn(format!("no certificate in {}", file.display()));
        }
        for certificate in certificates {
            if has_hash(&certificate, hash) {
                self.note_hashes(&certificate);
                self.authority(file, certificate);
            } else {
                self.warn(format!(
                    "{} not used: its name does not match the hash of its subject, {:08x}",
                    file.display(),
                    certificate.subject_name_hash()
                ));
            }
        }
    }

    fn note_hashes(&mut self, certificate: &X509) {
        let Ok(subject) = DistinguishedName::from_x509(certificate.subject_name()) else { return };
        for hash in [Some(certificate.subject_name_hash()), old_hash(certificate)].into_iter().flatten() {
            self.hashed.entry(hash).or_default().push(subject.clone());
        }
    }

    /// Whether a file with this hash in its name may hold a CRL of `issuer`: no other authority must have the hash alone.
    fn may_hold(&self, hash: Option<u32>, issuer: &DistinguishedName) -> bool {
        hash.and_then(|hash| self.hashed.get(&hash)).is_none_or(|names| names.contains(issuer))
    }

    /// Reads certificates and CRLs from one file; returns the authorities that a file of this name does not make
    /// trusted.
    fn mixed(&mut self, file: &Path, bytes: &[u8], trusted: bool) -> Vec<(PathBuf, [u8; 32])> {
        let certificates = certificates_in(bytes);
        let crls = crls_in(bytes);
        if certificates.is_empty() && crls.is_empty() {
            self.warn(format!("neither a certificate nor a CRL in {}", file.display()));
        }
        if self.settings.crls != CrlMode::Ignore {
            for der in crls {
                self.add_crl(file, der, None);
            }
        }
        let mut left_out = Vec::new();
        for certificate in certificates {
            if trusted {
                self.authority(file, certificate);
            } else if let Some(der) = certificate.to_der().ok().filter(|der| is_authority(der)) {
                left_out.push((file.to_owned(), openssl::sha::sha256(&der)));
            }
        }
        left_out
    }

    fn authority(&mut self, file: &Path, certificate: X509) {
        let Ok(der) = certificate.to_der() else { return };
        let Ok(subject) = DistinguishedName::from_x509(certificate.subject_name()) else {
            return self.warn(format!("cannot read the subject of {}", file.display()));
        };
        if !self.seen.insert(openssl::sha::sha256(&der)) {
            return;
        }
        let self_signed = is_self_signed(&certificate);
        self.material.authorities.push(Authority { certificate, der, subject, file: file.to_owned(), self_signed });
    }

    fn crl(&mut self, file: &Path, bytes: &[u8], hash: Option<u32>) {
        let crls = crls_in(bytes);
        let issuers: Vec<DistinguishedName> = crls.iter().filter_map(|der| Crl::issuer_of(der)).collect();
        let reason = match issuers.first() {
            None if crls.is_empty() => Some(CrlError::NotCrl),
            Some(first) if !issuers.iter().any(|issuer| self.may_hold(hash, issuer)) => {
                Some(CrlError::OtherIssuer(first.line()))
            }
            _ => None,
        };
        if let Some(reason) = reason
            && self.broken_crl(BrokenCrl { file: file.to_owned(), hash, issuer: None, reason })
        {
            return;
        }
        for der in crls {
            self.add_crl(file, der, hash);
        }
    }

    fn add_crl(&mut self, file: &Path, der: Vec<u8>, hash: Option<u32>) {
        if !self.seen.insert(openssl::sha::sha256(&der)) {
            return;
        }
        let issuer = Crl::issuer_of(&der);
        match Crl::from_der(file, der) {
            Ok(crl) => self.material.crls.push(Arc::new(crl)),
            Err(reason) => _ = self.broken_crl(BrokenCrl { file: file.to_owned(), hash, issuer, reason }),
        }
    }

    /// Records an unusable CRL, which blocks its authority, or uses the last good state of the file instead; whether it
    /// does the latter.
    fn broken_crl(&mut self, broken: BrokenCrl) -> bool {
        let BrokenCrl { file, hash, reason, .. } = &broken;
        if *reason == CrlError::Io(ErrorKind::NotFound) {
            self.warn(format!("CRL {} is a dangling link", file.display()));
            return false;
        }
        let last_good = self.last_good.get(file).filter(|crl| self.may_hold(*hash, &crl.issuer));
        match last_good.cloned() {
            Some(crl) => {
                self.warn(format!("cannot use CRL {}: {reason}; the last good one stays in use", file.display()));
                self.material.crls.push(crl);
                true
            }
            None => {
                self.warn(format!("cannot use CRL {}: {reason}", file.display()));
                self.material.broken_crls.push(broken);
                false
            }
        }
    }

    fn policy(&mut self, file: &Path, bytes: &[u8]) {
        if !self.settings.signing_policy {
            return;
        }
        let entries = match std::str::from_utf8(bytes) {
            Ok(text) => policy::parse(text).map_err(|error| error.to_string()),
            Err(_) => Err("not UTF-8".to_owned()),
        };
        match entries {
            Ok(entries) => {
                for entry in entries {
                    let patterns = self.material.policies.entry(entry.authority).or_default();
                    for pattern in entry.patterns {
                        if !patterns.contains(&pattern) {
                            patterns.push(pattern);
                        }
                    }
                }
            }
            Err(reason) => self.broken_policy(file, &reason),
        }
    }

    fn broken_policy(&mut self, file: &Path, reason: &str) {
        if self.settings.signing_policy {
            self.warn(format!("cannot use signing policy {}: {reason}", file.display()));
        }
    }

    /// Blocks every authority that has a policy file by its name but is not named in any.
    fn block_unnamed(&mut self, directory: &Path, names: &BTreeSet<String>) {
        if !self.settings.signing_policy {
            return;
        }
        let mut blocked = Vec::new();
        for authority in &self.material.authorities {
            if authority.file.parent() != Some(directory) || self.material.policies.contains_key(&authority.subject) {
                continue;
            }
            let new = authority.certificate.subject_name_hash();
            let stem = authority.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            let old = old_hash(&authority.certificate).map(|hash| format!("{hash:08x}"));
            let stems = [Some(format!("{new:08x}")), old, Some(stem)];
            let mut files = stems.into_iter().flatten().map(|stem| format!("{stem}.signing_policy"));
            if let Some(name) = files.find(|name| names.contains(name)) {
                blocked.push((new, directory.join(name)));
            }
        }
        for (hash, file) in blocked {
            self.warn(format!(
                "signing policy {} does not name its authority: no certificate of that authority is accepted",
                file.display()
            ));
            self.material.unusable_policies.insert(hash, file);
        }
    }
}

/// Whether a path may end at this certificate. An authority key identifier of an earlier issue is ignored if the
/// certificate is signed with its own key.
fn is_self_signed(certificate: &X509) -> bool {
    let verdict = certificate.issued(certificate);
    let own_signature = || certificate.public_key().is_ok_and(|key| certificate.verify(&key).unwrap_or(false));
    match verdict.as_raw() {
        0 | NO_CERT_SIGN => true,
        // What OpenSSL 4.0 says of every certificate that it does not take for its own issuer, for whatever reason.
        SIGNATURE_FAILURE => own_signature(),
        raw => OTHER_KEY_IDENTIFIER.contains(&raw) && own_signature(),
    }
}

/// The certificates in PEM or DER bytes; unreadable blocks are skipped.
fn certificates_in(bytes: &[u8]) -> Vec<X509> {
    let blocks = pem_blocks(bytes, &["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"]);
    if blocks.is_empty() {
        return X509::from_der(bytes).into_iter().collect();
    }
    blocks.iter().filter_map(|der| X509::from_der(der).ok()).collect()
}

/// The encoded CRLs in PEM or DER bytes.
fn crls_in(bytes: &[u8]) -> Vec<Vec<u8>> {
    let blocks = pem_blocks(bytes, &["X509 CRL"]);
    if blocks.is_empty() && bytes.first() == Some(&super::asn1::SEQUENCE) && X509::from_der(bytes).is_err() {
        return vec![bytes.to_vec()];
    }
    blocks
}

/// The content of every PEM block with one of these labels.
fn pem_blocks(bytes: &[u8], labels: &[&str]) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    if memchr::memmem::find(bytes, b"-----BEGIN ").is_none() {
        return blocks;
    }
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let label = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        if !label.is_some_and(|label| labels.contains(&label)) {
            continue;
        }
        let body: String = lines.by_ref().take_while(|line| !line.starts_with("-----END")).collect();
        if let Ok(der) = openssl::base64::decode_block(&body) {
            blocks.push(der);
        }
    }
    blocks
}
