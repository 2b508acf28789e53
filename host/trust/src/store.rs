//! The trust store, a snapshot of the CA directory, and the handle that replaces it when files change.
//!
//! A store is immutable. [`Trust::refresh`] checks the files and loads a new store if one of them changed; existing
//! snapshots stay valid. OpenSSL's own directory lookup is not used: it does not notice a CRL that was replaced under
//! the same name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use message::locked;
use message::wire::{Malformed, Reader, Writer};
use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Ref};

use super::Refreshed;
use super::anchors::{self, Anchors, CrlSummary, PathCrl, TrustError, TrustSettings};
use super::names::DistinguishedName;
use super::path::{self, CertPath, PathError, Role};
use super::times::seconds;

/// Maximum number of cached valid paths.
const CACHED_PATHS: usize = 4096;

/// Why a certificate of our own is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct OwnFault {
    /// The error.
    pub error: PathError,
    /// Whether other parties also refuse the certificate; see `PathError::holds_elsewhere`.
    pub elsewhere: bool,
}

/// A snapshot of trust anchors, authorities, CRLs and signing policies.
#[derive(Debug)]
pub struct TrustStore {
    anchors: Anchors,
    good_paths: Mutex<HashMap<([u8; 32], Role), CertPath>>,
}

impl TrustStore {
    /// Reads all files of the settings.
    ///
    /// # Errors
    /// [`TrustError`] if a path cannot be read or there is no anchor. Problems of single files are
    /// [`warnings`](Self::warnings).
    pub fn load(settings: &TrustSettings) -> Result<Self, TrustError> {
        Self::load_after(settings, None)
    }

    /// As [`load`](Self::load), but a CRL that became unreadable is taken from the previous store.
    fn load_after(settings: &TrustSettings, before: Option<&Self>) -> Result<Self, TrustError> {
        let anchors = Anchors::load(settings, before.map(|before| &before.anchors))?;
        Ok(Self { anchors, good_paths: Mutex::default() })
    }

    /// Checks that `leaf` may be used for `role` at the time `at`: that there is a path to an anchor which satisfies
    /// every rule.
    ///
    /// `untrusted` are certificates that came with the leaf; they only help to build the path.
    ///
    /// # Errors
    /// The most useful error of all paths.
    pub fn check_path(
        &self,
        leaf: &X509,
        untrusted: &[X509],
        role: Role,
        at: SystemTime,
    ) -> Result<CertPath, PathError> {
        let der = leaf.to_der().map_err(path::openssl_error)?;
        let key = (openssl::sha::sha256(&der), role);
        let at = seconds(at);
        let now = at.max(seconds(SystemTime::now()));
        if let Some(path) = self.cached_paths().get(&key)
            && (path.valid_from..=path.valid_until).contains(&at)
            && now <= path.fresh_until
        {
            return Ok(path.clone());
        }
        let path = path::check(&self.anchors, leaf, untrusted, role, at)?;
        let mut cached = self.cached_paths();
        if cached.len() >= CACHED_PATHS {
            cached.clear();
        }
        cached.insert(key, path.clone());
        Ok(path)
    }

    /// Checks a certificate of our own as recipients do.
    ///
    /// # Errors
    /// The error, and whether recipients also refuse the certificate.
    pub fn check_own(&self, leaf: &X509Ref, issuers: &[X509], role: Role, at: SystemTime) -> Result<(), OwnFault> {
        let leaf = leaf.to_owned();
        let Err(error) = self.check_path(&leaf, issuers, role, at) else { return Ok(()) };
        path::check_alone(&leaf, role, seconds(at)).map_err(|error| OwnFault { error, elsewhere: true })?;
        let failure = path::search(&self.anchors, &leaf, issuers, (role, seconds(at)));
        if let Some(error) = failure.err().and_then(|failure| failure.elsewhere) {
            return Err(OwnFault { error, elsewhere: true });
        }
        let subject = DistinguishedName::from_x509(leaf.subject_name());
        let elsewhere = subject.is_ok_and(|subject| error.holds_elsewhere(&subject));
        Err(OwnFault { error, elsewhere })
    }

    /// The certificate that `der` encodes, from the cache if it has a valid path for `role`.
    pub fn certificate(&self, der: &[u8], role: Role) -> Result<X509, ErrorStack> {
        let key = (openssl::sha::sha256(der), role);
        let cached = self.cached_paths().get(&key).and_then(|path| path.certificates().first().cloned());
        cached.map_or_else(|| X509::from_der(der), Ok)
    }

    fn cached_paths(&self) -> MutexGuard<'_, HashMap<([u8; 32], Role), CertPath>> {
        locked(&self.good_paths)
    }

    /// The store as octets, for a process of ours that opens no files.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.anchors.write(&mut writer);
        writer.finish()
    }

    /// The store that [`to_bytes`](Self::to_bytes) wrote, without its warnings.
    ///
    /// # Errors
    /// [`Malformed`] for other octets.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let anchors = Anchors::read(&mut reader)?;
        reader.end()?;
        Ok(Self { anchors, good_paths: Mutex::default() })
    }

    /// The settings it was loaded with.
    #[must_use]
    pub fn settings(&self) -> &TrustSettings {
        self.anchors.settings()
    }

    /// Number of self-signed trust anchors.
    #[must_use]
    pub fn anchor_count(&self) -> usize {
        self.anchors.anchor_count()
    }

    /// Number of other certificates, which only help to build paths.
    #[must_use]
    pub fn intermediate_count(&self) -> usize {
        self.anchors.intermediate_count()
    }

    /// Number of authorities with a signing policy.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.anchors.policy_count()
    }

    /// The usable CRLs, sorted by file.
    #[must_use]
    pub fn crls(&self) -> Vec<CrlSummary> {
        self.anchors.crls()
    }

    /// The CRLs of all issuers in a path, the anchor's included: those that an issuer's key signed. Whether they are fresh
    /// and what they list does not matter.
    #[must_use]
    pub fn crls_of(&self, path: &CertPath) -> Vec<PathCrl> {
        self.anchors.crls_of_path(path.certificates())
    }

    /// Problems of single files, present and imminent: one sentence each, with the file name.
    #[must_use]
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        self.anchors.warnings(now)
    }
}

/// The current trust store, shared by everything that checks certificates.
#[derive(Debug)]
pub struct Trust {
    current: ArcSwap<TrustStore>,
    seen: Mutex<Option<[u8; 32]>>,
}

impl Trust {
    /// Reads the store for the first time.
    ///
    /// # Errors
    /// As [`TrustStore::load`].
    pub fn load(settings: &TrustSettings) -> Result<Self, TrustError> {
        let seen = anchors::state_of(settings);
        let store = TrustStore::load(settings)?;
        Ok(Self { current: ArcSwap::from_pointee(store), seen: Mutex::new(Some(seen)) })
    }

    /// The current store. Check one message against one snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<TrustStore> {
        self.current.load_full()
    }

    /// Checks the files and replaces the store if one of them changed. Costs one `stat` per file otherwise.
    ///
    /// If the new store cannot be loaded, the last good one stays in use.
    pub fn refresh(&self) -> Refreshed<TrustError> {
        let mut seen = locked(&self.seen);
        let before = self.current.load_full();
        let state = anchors::state_of(before.settings());
        if *seen == Some(state) {
            return Refreshed::Unchanged;
        }
        match TrustStore::load_after(before.settings(), Some(&before)) {
            Ok(store) => {
                let warnings = store.warnings(SystemTime::now());
                self.current.store(Arc::new(store));
                *seen = Some(state);
                Refreshed::Replaced(warnings)
            }
            Err(error) => Refreshed::KeptLastGood(error),
        }
    }
}
