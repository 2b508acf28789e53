//! The trust store: what was read from the CA directory at one time, and the handle that replaces it when files change.
//!
//! A store never changes. [`Trust::refresh`] looks at the files, loads a new store when one of them differs, and swaps it
//! in; a holder of a snapshot finishes with it. OpenSSL's own directory lookup is not used: it never notices a CRL that
//! was replaced under its name.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use message::locked;
use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Ref};

use super::anchors::{self, Authority, BrokenCrl, Material, TrustError, TrustSettings};
use super::crls::{Crl, CrlMode};
use super::names::DistinguishedName;
use super::path::{self, CertPath, PathError, Role};
use super::{Refreshed, path::readable};

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

/// A CRL, as `check` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlSummary {
    /// The file.
    pub file: PathBuf,
    /// The authority.
    pub issuer: DistinguishedName,
    /// Its date of issue, in seconds since 1970.
    pub this_update: u64,
    /// When it must be renewed, in seconds since 1970.
    pub next_update: Option<u64>,
    /// How many certificates it lists.
    pub revoked: usize,
}

/// Trust anchors, authorities, CRLs and signing policies as they were read at one time.
#[derive(Debug)]
pub struct TrustStore {
    settings: TrustSettings,
    authorities: Vec<Authority>,
    by_subject: HashMap<DistinguishedName, Vec<usize>>,
    crls: HashMap<DistinguishedName, Vec<Arc<Crl>>>,
    broken_crls: Vec<BrokenCrl>,
    policies: HashMap<DistinguishedName, Vec<String>>,
    /// Authorities whose policy file cannot be used, by the name hash of OpenSSL.
    closed: HashMap<u32, PathBuf>,
    warnings: Vec<String>,
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
        let last_good: HashMap<PathBuf, Arc<Crl>> =
            before.into_iter().flat_map(Self::all_crls).map(|crl| (crl.file.clone(), Arc::clone(crl))).collect();
        let material = anchors::read(settings, &last_good)?;
        if !material.authorities.iter().any(|authority| authority.self_signed) {
            return Err(TrustError::NoAnchors { paths: settings.anchors.clone() });
        }
        Ok(Self::from_material(settings.clone(), material))
    }

    fn from_material(settings: TrustSettings, material: Material) -> Self {
        let Material { authorities, crls, broken_crls, policies, closed, warnings } = material;
        let mut by_subject: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, authority) in authorities.iter().enumerate() {
            by_subject.entry(authority.subject.clone()).or_default().push(index);
        }
        let mut crls_by_issuer: HashMap<_, Vec<Arc<Crl>>> = HashMap::new();
        for crl in crls {
            crls_by_issuer.entry(crl.issuer.clone()).or_default().push(crl);
        }
        Self {
            settings,
            authorities,
            by_subject,
            crls: crls_by_issuer,
            broken_crls,
            policies,
            closed,
            warnings,
            good_paths: Mutex::default(),
        }
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
        let at = path::seconds(at);
        let now = at.max(path::seconds(SystemTime::now()));
        if let Some(path) = self.remembered().get(&key)
            && (path.valid_from..=path.valid_until).contains(&at)
            && now <= path.fresh_until
        {
            return Ok(path.clone());
        }
        let path = path::check(self, leaf, untrusted, role, at)?;
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
        path::check_alone(&leaf, role, path::seconds(at)).map_err(|error| OwnFault { error, elsewhere: true })?;
        let failure = path::judge_all(self, &leaf, issuers, (role, path::seconds(at)));
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
        &self.settings
    }

    /// How many self-signed trust anchors it holds.
    #[must_use]
    pub fn anchor_count(&self) -> usize {
        self.authorities.iter().filter(|authority| authority.self_signed).count()
    }

    /// How many other certificates help to build paths.
    #[must_use]
    pub fn intermediate_count(&self) -> usize {
        self.authorities.len() - self.anchor_count()
    }

    /// How many authorities have a signing policy.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.policies.len()
    }

    /// The CRLs that can be used.
    #[must_use]
    pub fn crls(&self) -> Vec<CrlSummary> {
        let summary = |crl: &Arc<Crl>| CrlSummary {
            file: crl.file.clone(),
            issuer: crl.issuer.clone(),
            this_update: crl.this_update,
            next_update: crl.next_update,
            revoked: crl.len(),
        };
        let mut list: Vec<CrlSummary> = self.all_crls().map(summary).collect();
        list.sort_by(|a, b| a.file.cmp(&b.file));
        list
    }

    /// What is wrong with single files, and what will be soon: one sentence each, naming the file.
    #[must_use]
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let now = path::seconds(now);
        let mut list = self.warnings.clone();
        list.extend(self.authorities.iter().filter_map(|authority| authority.validity_warning(now)));
        list.extend(self.crl_mode_warning());
        for crl in self.crls() {
            match crl.next_update {
                Some(time) if time >= now => {}
                Some(time) => {
                    list.push(format!("CRL {} had to be renewed by {}", crl.file.display(), readable(time)));
                }
                None => list.push(format!("CRL {} has no date of its next update", crl.file.display())),
            }
        }
        list
    }

    fn crl_mode_warning(&self) -> Option<String> {
        match self.settings.crls {
            CrlMode::Ignore => Some("CRLs are not checked: trust.crls is \"ignore\"".to_owned()),
            CrlMode::IfPresent => None,
            CrlMode::Require => {
                let missing = self.without_crl();
                let first = missing.first()?;
                let more = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
                Some(format!(
                    "no CRL of {first}{more}: trust.crls is \"require\", so no certificate of these authorities is accepted"
                ))
            }
        }
    }

    /// The authorities of the CA directory of which there is no CRL.
    #[must_use]
    fn without_crl(&self) -> Vec<DistinguishedName> {
        let mut list: Vec<DistinguishedName> =
            self.by_subject.keys().filter(|subject| !self.crls.contains_key(subject)).cloned().collect();
        list.sort();
        list
    }

    fn all_crls(&self) -> impl Iterator<Item = &Arc<Crl>> {
        self.crls.values().flatten()
    }

    /// The certificates of the CA directory with this subject.
    pub(crate) fn authorities(&self, subject: &DistinguishedName) -> impl Iterator<Item = &Authority> {
        let places = self.by_subject.get(subject).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|&index| self.authorities.get(index))
    }

    pub(crate) fn crls_of(&self, issuer: &DistinguishedName) -> &[Arc<Crl>] {
        self.crls.get(issuer).map(Vec::as_slice).unwrap_or_default()
    }

    /// A CRL file that was meant for this authority and cannot be used: by the hash in its name, by the issuer in it, or
    /// because the authority's own file has the same name.
    pub(crate) fn broken_crl_of(&self, issuer: &X509, subject: &DistinguishedName) -> Option<&BrokenCrl> {
        let beside = |broken: &BrokenCrl| {
            let stem = broken.file.with_extension("");
            self.authorities(subject).any(|authority| authority.file.with_extension("") == stem)
        };
        self.broken_crls.iter().find(|broken| {
            broken.hash.is_some_and(|hash| anchors::has_hash(issuer, hash))
                || broken.issuer.as_ref() == Some(subject)
                || beside(broken)
        })
    }

    pub(crate) fn policy_of(&self, issuer: &DistinguishedName) -> Option<&[String]> {
        self.policies.get(issuer).map(Vec::as_slice)
    }

    pub(crate) fn closed_policy_of(&self, issuer: &X509) -> Option<&PathBuf> {
        self.closed.get(&issuer.subject_name_hash())
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
