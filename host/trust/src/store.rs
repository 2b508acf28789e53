//! The trust store: what was read from the CA directory at one time, and the handle that replaces it when files change.
//!
//! A store never changes. [`Trust::refresh`] looks at the files, loads a new store when one of them differs, and swaps it
//! in; a holder of a snapshot finishes with it. OpenSSL's own directory lookup is not used: it never notices a CRL that
//! was replaced under its name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use message::locked;
use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Ref};

use super::Refreshed;
use super::anchors::{self, Anchors, CrlSummary, TrustError, TrustSettings};
use super::names::DistinguishedName;
use super::path::{self, CertPath, PathError, Role};
use super::times::seconds;

/// Paths that were found good are remembered up to this number.
const REMEMBERED_PATHS: usize = 4096;

/// What is wrong with a certificate of our own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct OwnFault {
    /// The fault.
    pub error: PathError,
    /// Whether others refuse the certificate for it as well; see `PathError::holds_elsewhere`.
    pub elsewhere: bool,
}

/// Trust anchors, authorities, CRLs and signing policies as they were read at one time.
#[derive(Debug)]
pub struct TrustStore {
    anchors: Anchors,
    good_paths: Mutex<HashMap<([u8; 32], Role), CertPath>>,
}

impl TrustStore {
    /// Reads everything the settings name.
    ///
    /// # Errors
    /// A path that cannot be read, or no anchor at all. Single files that cannot be used are [`warnings`](Self::warnings).
    pub fn load(settings: &TrustSettings) -> Result<Self, TrustError> {
        Self::load_after(settings, None)
    }

    /// Like [`load`](Self::load), but a CRL that became unreadable is taken from the store before.
    fn load_after(settings: &TrustSettings, before: Option<&Self>) -> Result<Self, TrustError> {
        let anchors = Anchors::load(settings, before.map(|before| &before.anchors))?;
        Ok(Self { anchors, good_paths: Mutex::default() })
    }

    /// Checks that `leaf` may be used for `role` at the time `at`: a path to an anchor and every rule on it.
    ///
    /// `untrusted` are certificates that came along; they only help to find the path.
    ///
    /// # Errors
    /// The most useful of the reasons against it.
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
        if let Some(path) = self.remembered().get(&key)
            && (path.valid_from..=path.valid_until).contains(&at)
            && now <= path.fresh_until
        {
            return Ok(path.clone());
        }
        let path = path::check(&self.anchors, leaf, untrusted, role, at)?;
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED_PATHS {
            remembered.clear();
        }
        remembered.insert(key, path.clone());
        Ok(path)
    }

    /// Checks a certificate of our own as its recipients will.
    ///
    /// # Errors
    /// What is wrong with it, and whether recipients will refuse it for that.
    pub fn check_own(&self, leaf: &X509Ref, issuers: &[X509], role: Role, at: SystemTime) -> Result<(), OwnFault> {
        let leaf = leaf.to_owned();
        let Err(error) = self.check_path(&leaf, issuers, role, at) else { return Ok(()) };
        path::check_alone(&leaf, role, seconds(at)).map_err(|error| OwnFault { error, elsewhere: true })?;
        let failure = path::judge_all(&self.anchors, &leaf, issuers, (role, seconds(at)));
        if let Some(error) = failure.err().and_then(|failure| failure.elsewhere) {
            return Err(OwnFault { error, elsewhere: true });
        }
        let subject = DistinguishedName::from_x509(leaf.subject_name());
        let elsewhere = subject.is_ok_and(|subject| error.holds_elsewhere(&subject));
        Err(OwnFault { error, elsewhere })
    }

    /// The certificate that `der` encodes: as it was parsed before, where a path for `role` was found good for it.
    pub fn certificate(&self, der: &[u8], role: Role) -> Result<X509, ErrorStack> {
        let key = (openssl::sha::sha256(der), role);
        let known = self.remembered().get(&key).and_then(|path| path.certificates().first().cloned());
        known.map_or_else(|| X509::from_der(der), Ok)
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<([u8; 32], Role), CertPath>> {
        locked(&self.good_paths)
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &TrustSettings {
        self.anchors.settings()
    }

    /// How many self-signed trust anchors it holds.
    #[must_use]
    pub fn anchor_count(&self) -> usize {
        self.anchors.anchor_count()
    }

    /// How many other certificates help to build paths.
    #[must_use]
    pub fn intermediate_count(&self) -> usize {
        self.anchors.intermediate_count()
    }

    /// How many authorities have a signing policy.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.anchors.policy_count()
    }

    /// The CRLs that can be used.
    #[must_use]
    pub fn crls(&self) -> Vec<CrlSummary> {
        self.anchors.crls()
    }

    /// What is wrong with single files, and what will be soon: one sentence each, naming the file.
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

    /// The store as it is now. One message is judged by one snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<TrustStore> {
        self.current.load_full()
    }

    /// Looks at the files and replaces the store if one of them changed. Costs one `stat` for each file otherwise.
    ///
    /// The last good store stays when nothing can be read any more.
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
