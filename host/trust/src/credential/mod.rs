//! Our own certificate and key, and the certificate of the recipient.
//!
//! # Policy
//! Refused are a key file that other users may read, an encrypted key (a daemon cannot ask for the passphrase), a key
//! that does not belong to the certificate, a weak key, and the certificate of a certificate authority. Both files are
//! reloaded when they change; if the new pair does not match, as during a replacement, the last good one stays in use.

mod names;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use message::locked;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Ref};
use zeroize::Zeroizing;

use super::algorithm::weak_key;
use super::certificate::is_authority;
use super::path::{PathError, Role, Signer};
use super::times::{readable, seconds, unix};
use super::{NameError, Refreshed, Trust};
pub use names::CertificateNames;

/// Warn about certificates that expire within this time.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 86_400);
/// Maximum number of bytes read of a certificate or key file.
const MAX_FILE: u64 = 1 << 20;

/// Why a certificate and key cannot be used as our credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be read.
    #[error("cannot read {}: {}", file.display(), message::cause::io_words(*kind))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system error.
        kind: ErrorKind,
    },
    /// Users other than the owner have access to the key file.
    #[error("key {} is readable by other users (mode {mode:03o}); chmod 600 {}", file.display(), file.display())]
    KeyExposed {
        /// The key file.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key needs a passphrase.
    #[error("key {} is encrypted; write an unencrypted one with: openssl pkey -in {} -out NEW", file.display(), file.display())]
    KeyEncrypted {
        /// The key file.
        file: PathBuf,
    },
    /// There is no private key in the file.
    #[error("no private key in {}", file.display())]
    NoKey {
        /// The key file.
        file: PathBuf,
    },
    /// There is no certificate in the file.
    #[error("no certificate in {}", file.display())]
    NoCertificate {
        /// The certificate file.
        file: PathBuf,
    },
    /// The key is not that of the certificate.
    #[error(
        "key {} does not belong to certificate {}: copy the key of that certificate there, mode 0400",
        key.display(), certificate.display()
    )]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The certificate is that of a certificate authority.
    #[error("{} is the certificate of a certificate authority; use a host certificate", file.display())]
    IsAuthority {
        /// The certificate file.
        file: PathBuf,
    },
    /// The key is too short or of a refused kind.
    #[error("the key of {} is too weak: {key}", file.display())]
    WeakKey {
        /// The certificate file.
        file: PathBuf,
        /// The kind of the key.
        key: String,
    },
    /// The certificate's names cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Name {
        /// The certificate file.
        file: PathBuf,
        /// Why.
        source: NameError,
    },
}

/// A certificate, its key, and the issuers that follow the certificate in its file.
pub struct Credential {
    certificate: X509,
    key: PKey<Private>,
    chain: Vec<X509>,
    facts: Signer,
    certificate_file: PathBuf,
    key_file: PathBuf,
}

impl Credential {
    /// Reads a certificate and its key, both in PEM. The certificate file may also contain issuers.
    ///
    /// # Errors
    /// Why the pair cannot be used, with the file name.
    pub fn load(certificate_file: &Path, key_file: &Path) -> Result<Self, CredentialError> {
        let mut certificates = read_certificates(certificate_file)?;
        let key = read_key(key_file)?;
        let own = certificates.iter().position(|certificate| belongs(certificate, &key));
        let Some(own) = own else {
            return Err(CredentialError::Mismatch { certificate: certificate_file.into(), key: key_file.into() });
        };
        let certificate = certificates.remove(own);
        let file = || certificate_file.to_owned();
        if certificate.to_der().is_ok_and(|der| is_authority(&der)) {
            return Err(CredentialError::IsAuthority { file: file() });
        }
        if let Some(key) = certificate.public_key().ok().and_then(|key| weak_key(&key)) {
            return Err(CredentialError::WeakKey { file: file(), key });
        }
        let facts = Signer::from_x509(&certificate).map_err(|source| CredentialError::Name { file: file(), source })?;
        let chain = certificates;
        Ok(Self { certificate, key, chain, facts, certificate_file: file(), key_file: key_file.into() })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &X509Ref {
        &self.certificate
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> &PKey<Private> {
        &self.key
    }

    /// The issuers in the certificate file.
    #[must_use]
    pub fn chain(&self) -> &[X509] {
        &self.chain
    }

    /// The certificate file and the key file.
    #[must_use]
    pub fn files(&self) -> (&Path, &Path) {
        (&self.certificate_file, &self.key_file)
    }

    /// The certificate's names, serial number and fingerprint.
    #[must_use]
    pub fn facts(&self) -> &Signer {
        &self.facts
    }

    /// The addresses of CRLs that the certificate names, of the kinds that AMS reads.
    #[must_use]
    pub fn crl_addresses(&self) -> Vec<String> {
        let points = self.certificate.crl_distribution_points();
        let names = points.iter().flatten().filter_map(|point| point.distpoint()?.fullname());
        names.flatten().filter_map(|name| name.uri().map(str::to_owned)).collect()
    }

    /// The remaining validity of the certificate; `None` once it has expired.
    #[must_use]
    pub fn expires_in(&self, now: SystemTime) -> Option<Duration> {
        expires_in(&self.certificate, now)
    }

    /// A warning if the certificate expires soon, has expired or is not yet valid.
    #[must_use]
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        validity_warning(&self.certificate, &self.certificate_file, now)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("subject", &self.facts.subject)
            .field("certificate_file", &self.certificate_file)
            .field("key_file", &self.key_file)
            .finish_non_exhaustive()
    }
}

/// The current credential, shared by everything that signs, decrypts or connects with it.
#[derive(Debug)]
pub struct CredentialSource {
    certificate_file: PathBuf,
    key_file: PathBuf,
    current: ArcSwap<Credential>,
    seen: Mutex<[FileState; 2]>,
}

impl CredentialSource {
    /// Reads the pair for the first time.
    ///
    /// # Errors
    /// As [`Credential::load`].
    pub fn load(certificate_file: &Path, key_file: &Path) -> Result<Self, CredentialError> {
        let seen = Mutex::new([FileState::of(certificate_file), FileState::of(key_file)]);
        let current = ArcSwap::from_pointee(Credential::load(certificate_file, key_file)?);
        Ok(Self { certificate_file: certificate_file.into(), key_file: key_file.into(), current, seen })
    }

    /// The current pair.
    #[must_use]
    pub fn current(&self) -> Arc<Credential> {
        self.current.load_full()
    }

    /// Reloads the files if they changed; if the new pair cannot be used, the last good one stays in use.
    pub fn refresh(&self) -> Refreshed<CredentialError> {
        let mut seen = locked(&self.seen);
        let state = [FileState::of(&self.certificate_file), FileState::of(&self.key_file)];
        if *seen == state {
            return Refreshed::Unchanged;
        }
        match Credential::load(&self.certificate_file, &self.key_file) {
            Ok(credential) => {
                let before = CertificateNames::of(self.current().facts());
                let changed = CertificateNames::of(credential.facts()).own_change(&before, &self.certificate_file);
                let warning = credential.warning(SystemTime::now());
                self.current.store(Arc::new(credential));
                *seen = state;
                Refreshed::Replaced(changed.into_iter().chain(warning).collect())
            }
            Err(error) => Refreshed::KeptLastGood(error),
        }
    }
}

/// Why a certificate cannot be used as the recipient's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// The file cannot be read or contains no certificate.
    #[error("recipient certificate: {0}")]
    File(#[from] CredentialError),
    /// The certificate is not accepted.
    #[error("recipient certificate {}: {source}", file.display())]
    Path {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: PathError,
    },
    /// It is our own.
    #[error("recipient certificate {} is our own certificate; name the receiver's", file.display())]
    Own {
        /// The file.
        file: PathBuf,
    },
}

/// The certificate to encrypt for. It is checked before each use, see [`RecipientCertificate::check`].
#[derive(Debug)]
pub struct RecipientCertificate {
    certificate: X509,
    issuers: Vec<X509>,
    facts: Signer,
    file: PathBuf,
}

impl RecipientCertificate {
    /// Reads the first certificate of a file and checks it against the trust store.
    ///
    /// # Errors
    /// Why it cannot be used, with the file name.
    pub fn load(file: &Path, trust: &Trust, own: Option<&Credential>) -> Result<Self, RecipientError> {
        let read = Self::read(file, own)?;
        read.check(trust, SystemTime::now())?;
        Ok(read)
    }

    /// Reads the first certificate of a file without checking its path.
    ///
    /// # Errors
    /// Why it cannot be a recipient's, with the file name.
    fn read(file: &Path, own: Option<&Credential>) -> Result<Self, RecipientError> {
        let mut certificates = read_certificates(file)?.into_iter();
        let no_certificate = || CredentialError::NoCertificate { file: file.into() };
        let certificate = certificates.next().ok_or_else(no_certificate)?;
        let facts =
            Signer::from_x509(&certificate).map_err(|source| CredentialError::Name { file: file.into(), source })?;
        if own.is_some_and(|own| own.facts.certificate_der == facts.certificate_der) {
            return Err(RecipientError::Own { file: file.into() });
        }
        Ok(Self { certificate, issuers: certificates.collect(), facts, file: file.into() })
    }

    /// Checks the certificate against the current trust store at the time `now`.
    ///
    /// # Errors
    /// Why nothing may be encrypted for it.
    pub fn check(&self, trust: &Trust, now: SystemTime) -> Result<(), RecipientError> {
        let path = trust.snapshot().check_path(&self.certificate, &self.issuers, Role::Recipient, now);
        path.map(|_| ()).map_err(|source| RecipientError::Path { file: self.file.clone(), source })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// The file it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its names, serial number and fingerprint.
    #[must_use]
    pub fn facts(&self) -> &Signer {
        &self.facts
    }

    /// A warning if the certificate expires soon, has expired or is not yet valid.
    #[must_use]
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        validity_warning(&self.certificate, &self.file, now)
    }
}

/// The current certificate of a recipient.
#[derive(Debug)]
pub struct RecipientSource {
    file: PathBuf,
    trust: Arc<Trust>,
    own: Option<Arc<CredentialSource>>,
    current: ArcSwap<RecipientCertificate>,
    seen: Mutex<FileState>,
}

impl RecipientSource {
    /// Reads the certificate for the first time. One that is not trusted at present is accepted: it delays only the
    /// messages encrypted for it, not the program or other channels.
    ///
    /// # Errors
    /// [`RecipientError`] if the file is unreadable, contains no certificate, or contains our own.
    pub fn load(file: &Path, trust: Arc<Trust>, own: Option<Arc<CredentialSource>>) -> Result<Self, RecipientError> {
        let seen = Mutex::new(FileState::of(file));
        let credential = own.as_ref().map(|own| own.current());
        let certificate = RecipientCertificate::read(file, credential.as_deref())?;
        Ok(Self { file: file.into(), trust, own, current: ArcSwap::from_pointee(certificate), seen })
    }

    /// The current certificate.
    #[must_use]
    pub fn current(&self) -> Arc<RecipientCertificate> {
        self.current.load_full()
    }

    /// Reloads the file if it changed; if the new certificate cannot be used, the last good one stays in use.
    pub fn refresh(&self) -> Refreshed<RecipientError> {
        let mut seen = locked(&self.seen);
        let state = FileState::of(&self.file);
        if *seen == state {
            return Refreshed::Unchanged;
        }
        let credential = self.own.as_ref().map(|own| own.current());
        match RecipientCertificate::load(&self.file, &self.trust, credential.as_deref()) {
            Ok(certificate) => {
                let before = CertificateNames::of(self.current().facts());
                let changed = CertificateNames::of(certificate.facts()).recipient_change(&before, &self.file);
                let warning = certificate.warning(SystemTime::now());
                self.current.store(Arc::new(certificate));
                *seen = state;
                Refreshed::Replaced(changed.into_iter().chain(warning).collect())
            }
            Err(error) => Refreshed::KeptLastGood(error),
        }
    }
}

/// The metadata of a file that shows whether it was changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState(Option<[i64; 6]>);

impl FileState {
    pub(crate) fn of(file: &Path) -> Self {
        Self(fs::metadata(file).ok().map(|m| {
            let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            [whole(m.ino()), whole(m.size()), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()]
        }))
    }
}

fn read_certificates(file: &Path) -> Result<Vec<X509>, CredentialError> {
    let unreadable = |error: std::io::Error| CredentialError::Unreadable { file: file.into(), kind: error.kind() };
    let mut bytes = Vec::new();
    File::open(file).and_then(|open| open.take(MAX_FILE).read_to_end(&mut bytes)).map_err(unreadable)?;
    let certificates = X509::stack_from_pem(&bytes).unwrap_or_default();
    if certificates.is_empty() {
        return Err(CredentialError::NoCertificate { file: file.into() });
    }
    Ok(certificates)
}

/// Reads a key after checking the permissions of the open file.
fn read_key(file: &Path) -> Result<PKey<Private>, CredentialError> {
    let unreadable = |error: std::io::Error| CredentialError::Unreadable { file: file.into(), kind: error.kind() };
    let open = File::open(file).map_err(unreadable)?;
    let mode = open.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CredentialError::KeyExposed { file: file.into(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
    open.take(MAX_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    let mut asked = false;
    let key = PKey::private_key_from_pem_callback(&bytes, |_| {
        asked = true;
        Err(openssl::error::ErrorStack::get())
    });
    key.map_err(|_| match asked {
        true => CredentialError::KeyEncrypted { file: file.into() },
        false => CredentialError::NoKey { file: file.into() },
    })
}

fn belongs(certificate: &X509, key: &PKey<Private>) -> bool {
    certificate.public_key().is_ok_and(|public| public.public_eq(key))
}

fn expires_in(certificate: &X509Ref, now: SystemTime) -> Option<Duration> {
    unix(certificate.not_after()).checked_sub(seconds(now)).map(Duration::from_secs)
}

fn validity_warning(certificate: &X509Ref, file: &Path, now: SystemTime) -> Option<String> {
    let (not_before, not_after) = (unix(certificate.not_before()), unix(certificate.not_after()));
    let file = file.display();
    if seconds(now) < not_before {
        return Some(format!("certificate {file} is not valid before {}", readable(not_before)));
    }
    match expires_in(certificate, now) {
        None => Some(format!("certificate {file} expired on {}: renew it", readable(not_after))),
        Some(left) if left < EXPIRY_WARNING => {
            Some(format!("certificate {file} expires on {}: renew it", readable(not_after)))
        }
        Some(_) => None,
    }
}
