//! A snapshot of the CA directory, indexed by name.

mod wire;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use openssl::x509::X509;

use super::{Authority, BrokenCrl, Material, TrustError, TrustSettings, has_hash, read};
use crate::DistinguishedName;
use crate::crls::{Crl, CrlMode};
use crate::times::{readable, seconds};

/// A CRL, as `check` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlSummary {
    /// The file.
    pub file: PathBuf,
    /// The authority.
    pub issuer: DistinguishedName,
    /// Its date of issue, in seconds since 1970.
    pub this_update: u64,
    /// Its next update, in seconds since 1970.
    pub next_update: Option<u64>,
    /// Number of revoked certificates.
    pub revoked: usize,
}

/// A CRL of an issuer in a certification path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathCrl {
    /// The place of its issuer in the path; the leaf has place 0.
    pub issuer: usize,
    /// Its date of issue, in seconds since 1970.
    pub this_update: u64,
    /// Its next update, in seconds since 1970.
    pub next_update: Option<u64>,
    /// The CRL in PEM.
    pub pem: Vec<u8>,
}

/// A snapshot of trust anchors, authorities, CRLs and signing policies.
#[derive(Debug)]
pub(crate) struct Anchors {
    settings: TrustSettings,
    authorities: Vec<Authority>,
    by_subject: HashMap<DistinguishedName, Vec<usize>>,
    crls: HashMap<DistinguishedName, Vec<Arc<Crl>>>,
    broken_crls: Vec<BrokenCrl>,
    policies: HashMap<DistinguishedName, Vec<String>>,
    /// Policy files that cannot be used, by OpenSSL's name hash of the authority.
    unusable_policies: HashMap<u32, PathBuf>,
    warnings: Vec<String>,
}

impl Anchors {
    /// Reads all files of the settings. A CRL that became unreadable is taken from `before`.
    pub(crate) fn load(settings: &TrustSettings, before: Option<&Self>) -> Result<Self, TrustError> {
        let last_good: HashMap<PathBuf, Arc<Crl>> =
            before.into_iter().flat_map(Self::all_crls).map(|crl| (crl.file.clone(), Arc::clone(crl))).collect();
        let material = read(settings, &last_good)?;
        if !material.authorities.iter().any(|authority| authority.self_signed) {
            return Err(TrustError::NoAnchors { paths: settings.anchors.clone() });
        }
        Ok(Self::from_material(settings.clone(), material))
    }

    fn from_material(settings: TrustSettings, material: Material) -> Self {
        let Material { authorities, crls, broken_crls, policies, unusable_policies, warnings } = material;
        let mut by_subject: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, authority) in authorities.iter().enumerate() {
            by_subject.entry(authority.subject.clone()).or_default().push(index);
        }
        let mut crls_by_issuer: HashMap<_, Vec<Arc<Crl>>> = HashMap::new();
        for crl in crls {
            crls_by_issuer.entry(crl.issuer.clone()).or_default().push(crl);
        }
        let crls = crls_by_issuer;
        Self { settings, authorities, by_subject, crls, broken_crls, policies, unusable_policies, warnings }
    }

    /// The settings it was loaded with.
    pub(crate) fn settings(&self) -> &TrustSettings {
        &self.settings
    }

    /// Number of self-signed trust anchors.
    pub(crate) fn anchor_count(&self) -> usize {
        self.authorities.iter().filter(|authority| authority.self_signed).count()
    }

    /// Number of other certificates, which only help to build paths.
    pub(crate) fn intermediate_count(&self) -> usize {
        self.authorities.len() - self.anchor_count()
    }

    /// Number of authorities with a signing policy.
    pub(crate) fn policy_count(&self) -> usize {
        self.policies.len()
    }

    /// The usable CRLs, sorted by file.
    pub(crate) fn crls(&self) -> Vec<CrlSummary> {
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

    /// Problems of single files, present and imminent: one sentence each, with the file name.
    pub(crate) fn warnings(&self, now: SystemTime) -> Vec<String> {
        let now = seconds(now);
        let mut list = self.warnings.clone();
        list.extend(self.authorities.iter().filter_map(|authority| authority.validity_warning(now)));
        list.extend(self.crl_mode_warning());
        for crl in self.crls() {
            match crl.next_update {
                Some(time) if time >= now => {}
                Some(time) => {
                    list.push(format!("CRL {} expired on {}", crl.file.display(), readable(time)));
                }
                None => list.push(format!("CRL {} has no next update", crl.file.display())),
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

    /// The authorities of the CA directory without a CRL.
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

    /// The CRLs that an issuer in the path signed.
    pub(crate) fn crls_of_path(&self, path: &[X509]) -> Vec<PathCrl> {
        let mut found = Vec::new();
        for (issuer, certificate) in path.iter().enumerate().skip(1) {
            let Ok(subject) = DistinguishedName::from_x509(certificate.subject_name()) else { continue };
            for crl in self.crls_of(&subject).iter().filter(|crl| crl.is_signed_by(certificate)) {
                let (this_update, next_update) = (crl.this_update, crl.next_update);
                found.extend(crl.to_pem().ok().map(|pem| PathCrl { issuer, this_update, next_update, pem }));
            }
        }
        found
    }

    /// An unusable CRL file of this authority, recognised by the hash in its name, by its issuer, or because the
    /// authority's own file has the same name.
    pub(crate) fn broken_crl_of(&self, issuer: &X509, subject: &DistinguishedName) -> Option<&BrokenCrl> {
        let same_stem = |broken: &BrokenCrl| {
            let stem = broken.file.with_extension("");
            self.authorities(subject).any(|authority| authority.file.with_extension("") == stem)
        };
        self.broken_crls.iter().find(|broken| {
            broken.hash.is_some_and(|hash| has_hash(issuer, hash))
                || broken.issuer.as_ref() == Some(subject)
                || same_stem(broken)
        })
    }

    pub(crate) fn policy_of(&self, issuer: &DistinguishedName) -> Option<&[String]> {
        self.policies.get(issuer).map(Vec::as_slice)
    }

    pub(crate) fn unusable_policy_of(&self, issuer: &X509) -> Option<&PathBuf> {
        self.unusable_policies.get(&issuer.subject_name_hash())
    }
}
