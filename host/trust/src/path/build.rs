//! Builds certification paths and checks each against the rules.

use std::sync::Arc;
use std::time::SystemTime;

use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509, X509KeyUsage, X509PurposeId, X509StoreContext, X509VerifyResult};

use super::error::PathError;
use super::{CertPath, MAX_DEPTH, Role, Signer, detached, leaf, serial_hex};
use crate::DistinguishedName;
use crate::algorithm::{SignatureAlgorithm, kind_of_certificate, weak_key};
use crate::anchors::{Anchors, OTHER_KEY_IDENTIFIER, SIGNATURE_FAILURE};
use crate::asn1::Reader;
use crate::certificate::{TbsCertificate, is_authority};
use crate::crls::{Crl, CrlMode};
use crate::oids;
use crate::policy;
use crate::times::{seconds, unix};

/// Maximum number of signatures checked in one search.
const BUDGET: usize = 64;
/// How far, in seconds, the issue date of a CRL may lie in the future.
const CLOCK_SKEW: u64 = 300;
/// Security level of OpenSSL: 112 bits. Level 0 is used if SHA-1 is allowed; our own rules apply in both cases.
const AUTH_LEVEL: i32 = 2;
/// `X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT` and the same with `_LOCALLY`: OpenSSL does not accept the offered issuer.
const NO_ISSUER: [i32; 2] = [2, 20];
/// `X509_V_ERR_INVALID_CA`, as OpenSSL 1.1 and 3 number it.
const INVALID_CA: [i32; 2] = [24, 79];
/// `X509_V_ERR_KEYUSAGE_NO_CERTSIGN`.
const NO_CERT_SIGN: i32 = 32;

/// A certificate with its decoded fields.
#[derive(Clone)]
struct Link {
    certificate: X509,
    der: Vec<u8>,
    subject: DistinguishedName,
    issuer: DistinguishedName,
    anchor: bool,
}

impl Link {
    fn new(certificate: &X509, anchor: bool) -> Result<Self, PathError> {
        Ok(Self {
            der: certificate.to_der().map_err(openssl_error)?,
            subject: DistinguishedName::from_x509(certificate.subject_name())?,
            issuer: DistinguishedName::from_x509(certificate.issuer_name())?,
            certificate: certificate.clone(),
            anchor,
        })
    }
}

pub(crate) fn openssl_error(error: openssl::error::ErrorStack) -> PathError {
    PathError::OpenSsl(reasons(&error))
}

/// The reasons in an OpenSSL error, without the numbers and source lines of its own text.
fn reasons(error: &openssl::error::ErrorStack) -> String {
    let reasons: Vec<&str> = error.errors().iter().filter_map(openssl::error::Error::reason).collect();
    if reasons.is_empty() { "OpenSSL gives no reason".to_owned() } else { reasons.join("; ") }
}

/// An error of OpenSSL. Its text has the reasons without numbers and source lines.
#[derive(Debug, thiserror::Error)]
#[error("{}", reasons(.0))]
pub struct OpensslError(openssl::error::ErrorStack);

impl From<openssl::error::ErrorStack> for OpensslError {
    fn from(stack: openssl::error::ErrorStack) -> Self {
        Self(stack)
    }
}

/// Builds a path from `leaf` to an anchor that satisfies every rule.
pub(crate) fn check(
    anchors: &Anchors,
    leaf: &X509,
    untrusted: &[X509],
    role: Role,
    at: u64,
) -> Result<CertPath, PathError> {
    search(anchors, leaf, untrusted, (role, at)).map_err(|failure| failure.best)
}

/// Why no path is valid.
pub(crate) struct Failure {
    /// The most useful error of all paths.
    pub(crate) best: PathError,
    /// The most useful error that other parties find as well. It is kept separately because an error of another path
    /// may rank higher.
    pub(crate) elsewhere: Option<PathError>,
}

impl From<PathError> for Box<Failure> {
    fn from(best: PathError) -> Self {
        Box::new(Failure { best, elsewhere: None })
    }
}

/// As [`check`], with both errors of a [`Failure`].
pub(crate) fn search(
    anchors: &Anchors,
    leaf: &X509,
    untrusted: &[X509],
    (role, at): (Role, u64),
) -> Result<CertPath, Box<Failure>> {
    let mut first = Link::new(leaf, false)?;
    if leaf::is_proxy(&first.der, &first.subject, &first.issuer) {
        return Err(PathError::Proxy { subject: first.subject }.into());
    }
    first.anchor = anchors.authorities(&first.subject).any(|known| known.self_signed && known.der == first.der);
    let helpers = untrusted.iter().filter_map(|certificate| Link::new(certificate, false).ok()).collect();
    let now = at.max(seconds(SystemTime::now()));
    let subject = first.subject.clone();
    let mut search = Search { anchors, helpers, role, at, now, spent: 0, best: None, subject, elsewhere: None };
    let mut path = vec![first];
    match search.extend(&mut path) {
        Some(good) => Ok(good),
        None => {
            let best = search.best.unwrap_or(PathError::TooManyPaths { limit: BUDGET });
            Err(Box::new(Failure { best, elsewhere: search.elsewhere }))
        }
    }
}

struct Search<'a> {
    anchors: &'a Anchors,
    helpers: Vec<Link>,
    role: Role,
    at: u64,
    /// The time for the freshness of CRLs.
    now: u64,
    spent: usize,
    /// The most useful error so far.
    best: Option<PathError>,
    /// The subject of the leaf.
    subject: DistinguishedName,
    /// See [`Failure::elsewhere`].
    elsewhere: Option<PathError>,
}

impl Search<'_> {
    /// Follows every issuer of the last certificate in turn, until a path is valid.
    fn extend(&mut self, path: &mut Vec<Link>) -> Option<CertPath> {
        let current = path.last()?.clone();
        if current.anchor {
            return self.check_rules(path);
        }
        if path.len() > MAX_DEPTH {
            self.note(PathError::TooDeep { limit: MAX_DEPTH });
            return None;
        }
        let mut named = false;
        let mut signed = false;
        for candidate in self.issuers_of(&current) {
            if path.iter().any(|link| link.der == candidate.der) {
                continue;
            }
            named = true;
            if self.spent >= BUDGET {
                self.note(PathError::TooManyPaths { limit: BUDGET });
                return None;
            }
            self.spent += 1;
            let key = candidate.certificate.public_key();
            if !key.is_ok_and(|key| current.certificate.verify(&key).unwrap_or(false)) {
                continue;
            }
            signed = true;
            path.push(candidate);
            let good = self.extend(path);
            path.pop();
            if good.is_some() {
                return good;
            }
        }
        if !named {
            self.note(PathError::Untrusted { issuer: current.issuer });
        } else if !signed {
            self.note(PathError::BadSignature { subject: current.subject, issuer: current.issuer });
        }
        None
    }

    /// All certificates with the issuer's name: anchors, other certificates of the CA directory, then the untrusted
    /// ones.
    fn issuers_of(&self, link: &Link) -> Vec<Link> {
        let known = self.anchors.authorities(&link.issuer);
        let mut list: Vec<Link> =
            known.filter_map(|known| Link::new(&known.certificate, known.self_signed).ok()).collect();
        list.sort_by_key(|link| !link.anchor);
        for helper in self.helpers.iter().filter(|helper| helper.subject == link.issuer) {
            if !list.iter().any(|known| known.der == helper.der) {
                list.push(helper.clone());
            }
        }
        list
    }

    fn note(&mut self, error: PathError) {
        if error.holds_elsewhere(&self.subject)
            && self.elsewhere.as_ref().is_none_or(|known| error.rank() < known.rank())
        {
            self.elsewhere = Some(error.clone());
        }
        if self.best.as_ref().is_none_or(|best| error.rank() < best.rank()) {
            self.best = Some(error);
        }
    }

    /// Checks a complete path against every rule.
    fn check_rules(&mut self, path: &[Link]) -> Option<CertPath> {
        let mut fresh_until = u64::MAX;
        let mut errors = Vec::new();
        for (index, link) in path.iter().enumerate() {
            errors.extend(check_validity(link, self.at));
            errors.extend(check_key(link));
            let Some(issuer) = path.get(index + 1) else { continue };
            errors.extend(self.check_signature(link));
            if !issuer.anchor && !is_authority(&issuer.der) {
                errors.push(PathError::IssuerNotCa { issuer: issuer.subject.clone() });
            }
            errors.extend(self.check_policy(link, issuer));
            match self.check_revocation(link, issuer) {
                Ok(until) => fresh_until = fresh_until.min(until),
                Err(error) => errors.push(error),
            }
        }
        if let Some(first) = path.first() {
            errors.extend(leaf::check_role(&first.certificate, &first.der, &first.subject, self.role).err());
        }
        if errors.is_empty() {
            errors.extend(self.check_by_openssl(path).err());
        }
        if errors.is_empty() {
            match good_path(path, fresh_until) {
                Ok(good) => return Some(good),
                Err(error) => errors.push(error),
            }
        }
        for error in errors {
            self.note(error);
        }
        None
    }

    fn check_signature(&self, link: &Link) -> Option<PathError> {
        let subject = link.subject.clone();
        let allow_sha1 = self.anchors.settings().allow_sha1_digest;
        match SignatureAlgorithm::of_certificate(&link.der) {
            Ok(algorithm) if algorithm.strength.accepted(allow_sha1) => None,
            Ok(algorithm) => Some(PathError::WeakSignature { subject, algorithm: algorithm.name }),
            Err(error) => Some(PathError::Invalid { subject, reason: error.to_string() }),
        }
    }

    fn check_policy(&self, link: &Link, issuer: &Link) -> Option<PathError> {
        if !self.anchors.settings().signing_policy {
            return None;
        }
        if let Some(file) = self.anchors.unusable_policy_of(&issuer.certificate) {
            return Some(PathError::PolicyUnusable { issuer: issuer.subject.clone(), file: file.clone() });
        }
        let patterns = self.anchors.policy_of(&issuer.subject)?;
        (!policy::allows(patterns, &link.subject))
            .then(|| PathError::Namespace { issuer: issuer.subject.clone(), subject: link.subject.clone() })
    }

    /// Checks one link against the CRLs of its issuer; returns the time until which the result is fresh.
    fn check_revocation(&self, link: &Link, issuer: &Link) -> Result<u64, PathError> {
        let mode = self.anchors.settings().crls;
        if mode == CrlMode::Ignore {
            return Ok(u64::MAX);
        }
        let authority = is_authority(&link.der);
        let named = self.anchors.crls_of(&issuer.subject);
        let signed = named.iter().filter(|crl| crl.is_signed_by(&issuer.certificate));
        let newest = signed.filter(|crl| crl.covers(&link.der, authority)).max_by_key(|crl| crl.this_update);
        let name = || issuer.subject.clone();
        if let Some(crl) = newest {
            return self.check_against(crl, link, issuer);
        }
        if let Some(crl) = named.iter().find(|crl| !self.belongs_to_namesake(crl, issuer)) {
            let reason = "it is not signed by this authority".to_owned();
            return Err(PathError::CrlUnusable { issuer: name(), file: crl.file.clone(), reason });
        }
        if let Some(broken) = self.anchors.broken_crl_of(&issuer.certificate, &issuer.subject) {
            let reason = broken.reason.to_string();
            return Err(PathError::CrlUnusable { issuer: name(), file: broken.file.clone(), reason });
        }
        if mode == CrlMode::Require { Err(PathError::CrlMissing { issuer: name() }) } else { Ok(u64::MAX) }
    }

    /// Whether a CRL is signed by this authority (for other certificates) or by another of the same name, as after a
    /// key change.
    fn belongs_to_namesake(&self, crl: &Crl, issuer: &Link) -> bool {
        crl.is_signed_by(&issuer.certificate)
            || self.anchors.authorities(&issuer.subject).any(|known| crl.is_signed_by(&known.certificate))
    }

    fn check_against(&self, crl: &Crl, link: &Link, issuer: &Link) -> Result<u64, PathError> {
        let (issuer, file) = (issuer.subject.clone(), crl.file.clone());
        if !crl.algorithm.strength.accepted(self.anchors.settings().allow_sha1_digest) {
            let accepted = oids::accepted::CERTIFICATE_SIGNATURES;
            let reason = format!("it is signed with {}; accepted are {accepted}", crl.algorithm.name);
            return Err(PathError::CrlUnusable { issuer, file, reason });
        }
        if serial_content(&link.der).is_none_or(|serial| crl.lists(serial)) {
            let serial = serial_hex(&link.certificate);
            return Err(PathError::Revoked { subject: link.subject.clone(), serial, crl: file });
        }
        if crl.this_update > self.now + CLOCK_SKEW {
            return Err(PathError::CrlNotYetValid { issuer, file, this_update: crl.this_update });
        }
        match crl.next_update {
            Some(until) if until >= self.now => Ok(until),
            next_update => Err(PathError::CrlStale { issuer, file, next_update }),
        }
    }

    /// Verifies exactly this path with OpenSSL. If OpenSSL does not accept an issuer only because of the authority key
    /// identifier, the same path is verified without such identifiers; see [`detached`].
    fn check_by_openssl(&self, path: &[Link]) -> Result<(), PathError> {
        let own: Vec<X509> = path.iter().map(|link| link.certificate.clone()).collect();
        let verdict = self.verify_by_openssl(&own)?;
        let (result, depth) = if NO_ISSUER.contains(&verdict.0.as_raw()) {
            check_issuers(path)?;
            self.verify_by_openssl(&detached::without_identifiers(path.iter().map(|link| link.der.as_slice()))?)?
        } else {
            verdict
        };
        if result == X509VerifyResult::OK {
            return Ok(());
        }
        let place = usize::try_from(depth).unwrap_or(0);
        let Some(link) = path.get(place).or(path.first()) else { return Ok(()) };
        let subject = link.subject.clone();
        Err(match result.as_raw() {
            NO_CERT_SIGN => PathError::IssuerKeyUsage { issuer: subject },
            raw if place > 0 && !may_sign_certificates(link) && INVALID_CA.contains(&raw) => {
                PathError::IssuerKeyUsage { issuer: subject }
            }
            _ => PathError::Invalid { subject, reason: explained(result) },
        })
    }

    /// OpenSSL's result for a path and the depth where it stopped. Only the last certificate is trusted, and only those
    /// between are offered as issuers.
    fn verify_by_openssl(&self, path: &[X509]) -> Result<(X509VerifyResult, u32), PathError> {
        let (Some(first), Some(anchor)) = (path.first(), path.last()) else { return Ok((X509VerifyResult::OK, 0)) };
        let mut param = X509VerifyParam::new().map_err(openssl_error)?;
        param.set_time(i64::try_from(self.at).unwrap_or(i64::MAX));
        param.set_depth(i32::try_from(MAX_DEPTH).unwrap_or(i32::MAX));
        param.set_auth_level(if self.anchors.settings().allow_sha1_digest { 0 } else { AUTH_LEVEL });
        param.set_purpose(X509PurposeId::ANY).map_err(openssl_error)?;
        let mut builder = X509StoreBuilder::new().map_err(openssl_error)?;
        builder.add_cert(anchor.clone()).map_err(openssl_error)?;
        builder.set_param(&param).map_err(openssl_error)?;
        let anchors = builder.build();
        let mut issuers = Stack::new().map_err(openssl_error)?;
        for issuer in path.iter().skip(1).take(path.len().saturating_sub(2)) {
            issuers.push(issuer.clone()).map_err(openssl_error)?;
        }
        let mut context = X509StoreContext::new().map_err(openssl_error)?;
        context
            .init(&anchors, first, &issuers, |context| {
                context.verify_cert()?;
                Ok((context.error(), context.error_depth()))
            })
            .map_err(openssl_error)
    }
}

/// Checks that OpenSSL accepts every certificate of the path as issuer of the one before it, apart from key
/// identifiers. The signatures were verified before.
fn check_issuers(path: &[Link]) -> Result<(), PathError> {
    for (link, issuer) in path.iter().zip(path.iter().skip(1)) {
        let verdict = issuer.certificate.issued(&link.certificate);
        match verdict.as_raw() {
            0 => {}
            raw if OTHER_KEY_IDENTIFIER.contains(&raw) => {}
            // OpenSSL 4.0 takes two certificates with one serial number and one issuer for the same, and looks no further.
            SIGNATURE_FAILURE if may_sign_certificates(issuer) => {}
            NO_CERT_SIGN | SIGNATURE_FAILURE => {
                return Err(PathError::IssuerKeyUsage { issuer: issuer.subject.clone() });
            }
            _ => return Err(PathError::Invalid { subject: link.subject.clone(), reason: explained(verdict) }),
        }
    }
    Ok(())
}

/// Whether the key usage of a certificate, where it has one, includes keyCertSign (RFC 5280 4.2.1.3).
fn may_sign_certificates(link: &Link) -> bool {
    link.certificate.key_usage().is_none_or(|usage| usage.contains(X509KeyUsage::KEY_CERT_SIGN))
}

/// The text for a result of OpenSSL, with an explanation where its own text is unclear.
fn explained(result: X509VerifyResult) -> String {
    let own = result.error_string();
    let meaning = match result.as_raw() {
        24 => "an issuer is not a certificate authority",
        25 => "an issuer allows fewer authorities below it",
        34 => "it has an unknown critical extension",
        43 => "an issuer requires a certificate policy that it does not have",
        47 => "a name constraint of an issuer does not permit its names",
        48 => "a name constraint of an issuer excludes one of its names",
        51..=53 => "an issuer has a name constraint of a kind that cannot be checked",
        _ => return own.to_owned(),
    };
    format!("{meaning} ({own})")
}

/// Checks a certificate against the rules that do not depend on anchors, CRLs or policies: what fails here also fails
/// for other parties.
///
/// # Errors
/// The first violated rule.
pub(crate) fn check_alone(leaf: &X509, role: Role, at: u64) -> Result<(), PathError> {
    let link = Link::new(leaf, false)?;
    if leaf::is_proxy(&link.der, &link.subject, &link.issuer) {
        return Err(PathError::Proxy { subject: link.subject });
    }
    check_validity(&link, at).map_or(Ok(()), Err)?;
    check_key(&link).map_or(Ok(()), Err)?;
    leaf::check_role(&link.certificate, &link.der, &link.subject, role)
}

fn check_validity(link: &Link, at: u64) -> Option<PathError> {
    let (not_before, not_after) = (unix(link.certificate.not_before()), unix(link.certificate.not_after()));
    let subject = || link.subject.clone();
    if at > not_after {
        return Some(PathError::Expired { subject: subject(), not_after });
    }
    (at < not_before).then(|| PathError::NotYetValid { subject: subject(), not_before })
}

fn check_key(link: &Link) -> Option<PathError> {
    let subject = link.subject.clone();
    match link.certificate.public_key() {
        Ok(key) => weak_key(&key).map(|key| PathError::WeakKey { subject, key }),
        Err(_) => {
            let key = kind_of_certificate(&link.der).unwrap_or_else(|| "unsupported kind".to_owned());
            Some(PathError::WeakKey { subject, key })
        }
    }
}

/// The content octets of the serial number.
fn serial_content(certificate: &[u8]) -> Option<&[u8]> {
    Some(TbsCertificate::read(Reader::der(certificate)).ok()?.serial.content)
}

fn good_path(path: &[Link], fresh_until: u64) -> Result<CertPath, PathError> {
    let first = path.first().ok_or(PathError::TooDeep { limit: MAX_DEPTH })?;
    let validity = |link: &Link| (unix(link.certificate.not_before()), unix(link.certificate.not_after()));
    Ok(CertPath {
        signer: Arc::new(Signer::from_x509(&first.certificate)?),
        valid_from: path.iter().map(|link| validity(link).0).max().unwrap_or(0),
        valid_until: path.iter().map(|link| validity(link).1).min().unwrap_or(0),
        certificates: path.iter().map(|link| link.certificate.clone()).collect(),
        fresh_until,
    })
}
