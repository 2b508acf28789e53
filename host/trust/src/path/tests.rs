//! Certificates that must be accepted, and certificates that must be refused.

mod identifiers;
mod revocation;

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openssl::nid::Nid;
use openssl::x509::{X509KeyUsage, X509Ref};
use tempfile::TempDir;

use super::*;
use crate::TrustStore;
use crate::{CrlMode, Refreshed, Trust, TrustSettings, asn1};
use testkit::pki::{Authority, Constraints, CrlRequest, Digest, Directory, Issued, KeyKind, Request};

const ROOT: &str = "/C=UK/O=Test CA/CN=Root";
const HOST: &str = "/C=UK/O=eScience/CN=host.example.org";
const CRL_NUMBER: (&str, bool, &[u8]) = ("2.5.29.20", false, &[2, 1, 1]);

/// A root in a hashed directory, and the settings to change.
struct World {
    root: Authority,
    directory: Directory,
    settings: TrustSettings,
    _temporary: TempDir,
}

impl World {
    fn new() -> Self {
        Self::with_root(&Request::authority(ROOT))
    }

    fn with_root(request: &Request) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::create(temporary.path().join("certificates")).unwrap();
        let root = Authority::root(request).unwrap();
        directory.add_authority(&root.own.certificate).unwrap();
        let settings = TrustSettings::new(directory.path());
        Self { root, directory, settings, _temporary: temporary }
    }

    fn store(&self) -> TrustStore {
        TrustStore::load(&self.settings).unwrap()
    }

    fn add_crl(&self, revoked: &[&X509Ref], request: &CrlRequest) {
        let crl = self.root.crl(revoked, request).unwrap();
        self.directory.add_crl(&self.root.own.certificate, &crl).unwrap();
    }

    fn check(&self, leaf: &Issued) -> Result<CertPath, PathError> {
        self.check_with(leaf, &[])
    }

    fn check_with(&self, leaf: &Issued, untrusted: &[&Authority]) -> Result<CertPath, PathError> {
        let untrusted: Vec<X509> = untrusted.iter().map(|authority| authority.own.certificate.clone()).collect();
        let store = self.store();
        let now = SystemTime::now();
        let check = |store: &TrustStore| store.check_path(&leaf.certificate, &untrusted, Role::MessageSigner, now);
        let answer = check(&store);
        // What a process without files makes of the store is the same.
        let copy = check(&TrustStore::from_bytes(&store.to_bytes()).unwrap());
        let words = |answer: &Result<CertPath, PathError>| {
            answer.as_ref().map(|path| path.signer().clone()).map_err(ToString::to_string)
        };
        assert_eq!(words(&copy), words(&answer));
        if let Ok(path) = &answer {
            let signer = path.signer();
            assert_eq!(Signer::from_der(&signer.certificate_der).unwrap(), **signer);
        }
        answer
    }

    fn code(&self, leaf: &Issued) -> &'static str {
        code(self.check(leaf))
    }

    /// The result for a host certificate derived from the default one.
    fn verdict(&self, change: impl FnOnce(&mut Request)) -> &'static str {
        self.code(&self.root.issue(&host(change)).unwrap())
    }
}

fn code(result: Result<CertPath, PathError>) -> &'static str {
    result.map_or_else(|error| word(&error), |_| "good")
}

/// The code of an error; two errors that share a code are distinguished.
pub(crate) fn word(error: &PathError) -> &'static str {
    match error {
        PathError::Untrusted { .. } => "untrusted",
        PathError::BadSignature { .. } => "bad-signature",
        other => other.code().as_str(),
    }
}

fn host(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request { key: KeyKind::P256, ..Request::host(HOST) };
    change(&mut request);
    request
}

fn sub(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request::authority("/C=UK/O=Test CA/CN=Sub");
    change(&mut request);
    request
}

fn purposes(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn accepts_a_host_certificate_and_names_its_signer() {
    let world = World::new();
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    let path = world.check(&leaf).unwrap();
    assert_eq!(path.certificates().len(), 2);
    assert_eq!(path.signer().subject.slash().as_deref(), Some(HOST));
    assert_eq!(path.signer().issuer.slash().as_deref(), Some(ROOT));
    assert_eq!(path.signer().serial, "1000");
    assert_eq!(path.signer().fingerprint.len(), 64);
}

#[test]
fn accepts_keys_of_every_strong_kind() {
    let world = World::new();
    for key in [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::Ec(Nid::SECP384R1), KeyKind::Ed25519] {
        assert_eq!(world.verdict(|request| request.key = key), "good", "{key:?}");
    }
}

#[test]
fn refuses_weak_keys() {
    let world = World::new();
    for key in [KeyKind::Rsa(1024), KeyKind::Rsa(512), KeyKind::Ec(Nid::X9_62_PRIME192V1), KeyKind::Dsa(2048)] {
        assert_eq!(world.verdict(|request| request.key = key), "weak-key", "{key:?}");
    }
    let weak = World::with_root(&Request { key: KeyKind::Rsa(1024), ..Request::authority(ROOT) });
    assert_eq!(weak.verdict(|_| {}), "weak-key");
}

#[test]
fn validity_is_exact_to_the_second() {
    let world = World::new();
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    let store = world.store();
    let at = |seconds| {
        code(store.check_path(&leaf.certificate, &[], Role::MessageSigner, UNIX_EPOCH + Duration::from_secs(seconds)))
    };
    let (start, end) = (unix(leaf.certificate.not_before()), unix(leaf.certificate.not_after()));
    assert_eq!(at(start - 86_400), "not-yet-valid");
    assert_eq!(at(start - 1), "not-yet-valid");
    assert_eq!(at(start), "good");
    assert_eq!(at(end), "good");
    assert_eq!(at(end + 1), "expired");
    assert_eq!(at(end + 86_400), "expired");
}

#[test]
fn refuses_expired_and_not_yet_valid_certificates() {
    let world = World::new();
    assert_eq!(world.verdict(|request| request.not_after = -1), "expired");
    assert_eq!(world.verdict(|request| request.not_before = 60), "not-yet-valid");
    let old = World::with_root(&Request { not_after: -60, ..Request::authority(ROOT) });
    assert_eq!(old.verdict(|_| {}), "expired");
}

#[test]
fn refuses_weak_signatures_unless_sha1_is_allowed() {
    let mut world = World::with_root(&Request { key: KeyKind::Rsa(2048), ..Request::authority(ROOT) });
    assert_eq!(world.verdict(|request| request.digest = Digest::Md5), "weak-signature");
    assert_eq!(world.verdict(|request| request.digest = Digest::Sha1), "weak-signature");
    world.settings.allow_sha1_digest = true;
    assert_eq!(world.verdict(|request| request.digest = Digest::Md5), "weak-signature");
    assert_eq!(world.verdict(|request| request.digest = Digest::Sha1), "good");
}

#[test]
fn the_signature_of_the_anchor_on_itself_does_not_matter() {
    let world = World::with_root(&Request { digest: Digest::Sha1, ..Request::authority(ROOT) });
    assert_eq!(world.verdict(|_| {}), "good");
    let first_version = World::with_root(&Request { version_one: true, ..Request::authority(ROOT) });
    assert_eq!(first_version.verdict(|_| {}), "good");
}

#[test]
fn purposes_are_those_of_hosts() {
    let world = World::new();
    for (names, expected) in [
        (&[][..], "good"),
        (&["serverAuth"], "good"),
        (&["clientAuth"], "good"),
        (&["emailProtection"], "good"),
        (&["anyExtendedKeyUsage"], "good"),
        (&["OCSPSigning"], "eku"),
        (&["codeSigning"], "eku"),
        (&["1.2.3.4.5"], "eku"),
    ] {
        assert_eq!(world.verdict(|request| request.purposes = purposes(names)), expected, "{names:?}");
    }
}

#[test]
fn roles_need_their_own_usages() {
    let world = World::new();
    let store = world.store();
    let verdict = |role, change: &dyn Fn(&mut Request)| {
        let leaf = world.root.issue(&host(change)).unwrap();
        code(store.check_path(&leaf.certificate, &[], role, SystemTime::now()))
    };
    let client: &dyn Fn(&mut Request) = &|request| request.purposes = purposes(&["clientAuth"]);
    assert_eq!(verdict(Role::Broker, client), "eku");
    assert_eq!(verdict(Role::Broker, &|_| {}), "good");
    assert_eq!(verdict(Role::PluginSigner, &|request| request.purposes = purposes(&["codeSigning"])), "good");
    let rsa: &dyn Fn(&mut Request) = &|request| request.key = KeyKind::Rsa(2048);
    assert_eq!(verdict(Role::Recipient, rsa), "good");
    assert_eq!(verdict(Role::Recipient, &|_| {}), "keyusage");
    assert_eq!(verdict(Role::Recipient, &|request| request.key_usage = Some(X509KeyUsage::KEY_AGREEMENT)), "good");
}

#[test]
fn key_usage_must_allow_signing() {
    let world = World::new();
    for (usage, expected) in [
        (None, "good"),
        (Some(X509KeyUsage::DIGITAL_SIGNATURE), "good"),
        (Some(X509KeyUsage::NON_REPUDIATION), "good"),
        (Some(X509KeyUsage::KEY_ENCIPHERMENT), "keyusage"),
    ] {
        assert_eq!(world.verdict(|request| request.key_usage = usage), expected, "{usage:?}");
    }
}

#[test]
fn refuses_an_authority_as_signer_but_not_as_broker() {
    let world = World::new();
    let store = world.store();
    let usage = |request: &mut Request| {
        request.constraints = Some(Constraints::Authority(None));
    };
    let leaf = world.root.issue(&host(usage)).unwrap();
    assert_eq!(world.code(&leaf), "ca");
    let now = SystemTime::now();
    assert_eq!(code(store.check_path(&leaf.certificate, &[], Role::Broker, now)), "good");
    let root = &world.root.own.certificate;
    assert_eq!(code(store.check_path(root, &[], Role::MessageSigner, now)), "ca");
}

#[test]
fn refuses_proxies() {
    let world = World::new();
    let user = Authority::with(world.root.issue(&host(|_| {})).unwrap());
    let named = |name: &str| format!("{HOST}/CN={name}");
    let modern = user.issue(&host(|r| (r.subject, r.proxy) = (named("123456"), true))).unwrap();
    let legacy = user.issue(&host(|r| r.subject = named("proxy"))).unwrap();
    assert_eq!(code(world.check_with(&modern, &[&user])), "proxy");
    assert_eq!(code(world.check_with(&legacy, &[&user])), "proxy");
    let plain = user.issue(&host(|r| r.subject = named("123456"))).unwrap();
    assert_eq!(code(world.check_with(&plain, &[&user])), "chain");
}

#[test]
fn refuses_unknown_and_false_issuers() {
    let world = World::new();
    let stranger = Authority::root(&Request::authority("/C=UK/O=Stranger/CN=Root")).unwrap();
    let leaf = stranger.issue(&host(|_| {})).unwrap();
    let issuer = DistinguishedName::parse("/C=UK/O=Stranger/CN=Root").unwrap();
    assert_eq!(world.check(&leaf).unwrap_err(), PathError::Untrusted { issuer: issuer.clone() });
    assert_eq!(world.check_with(&leaf, &[&stranger]).unwrap_err(), PathError::Untrusted { issuer });
    let namesake = Authority::root(&Request::authority(ROOT)).unwrap();
    let forged = namesake.issue(&host(|_| {})).unwrap();
    assert_eq!(world.code(&forged), "bad-signature");
    assert_eq!(code(world.check_with(&forged, &[&namesake])), "bad-signature");
}

#[test]
fn builds_paths_over_intermediates_of_either_source() {
    let world = World::new();
    let middle = world.root.intermediate(&sub(|_| {})).unwrap();
    let leaf = middle.issue(&host(|_| {})).unwrap();
    assert_eq!(world.code(&leaf), "untrusted");
    assert_eq!(world.check_with(&leaf, &[&middle]).unwrap().certificates().len(), 3);
    world.directory.add_authority(&middle.own.certificate).unwrap();
    assert_eq!(world.code(&leaf), "good");
    assert_eq!((world.store().anchor_count(), world.store().intermediate_count()), (1, 1));
}

#[test]
fn an_intermediate_alone_is_no_anchor() {
    let world = World::new();
    let middle = world.root.intermediate(&sub(|_| {})).unwrap();
    let leaf = middle.issue(&host(|_| {})).unwrap();
    let alone = Directory::create(world.directory.path().join("../alone")).unwrap();
    alone.add_authority(&middle.own.certificate).unwrap();
    assert!(TrustStore::load(&TrustSettings::new(alone.path())).is_err());
    let other = Authority::root(&Request::authority("/CN=Other")).unwrap();
    alone.add_authority(&other.own.certificate).unwrap();
    let store = TrustStore::load(&TrustSettings::new(alone.path())).unwrap();
    let result = store.check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now());
    assert_eq!(code(result), "untrusted");
}

#[test]
fn issuers_must_be_authorities() {
    let world = World::new();
    for (change, expected) in [
        (&(|r: &mut Request| r.constraints = Some(Constraints::EndEntity)) as &dyn Fn(&mut Request), "chain"),
        (&|r| r.constraints = None, "chain"),
        (&|r| r.version_one = true, "chain"),
        (&|r| r.key_usage = Some(X509KeyUsage::DIGITAL_SIGNATURE), "invalid"),
        (&|r| r.constraints = Some(Constraints::Authority(Some(0))), "good"),
    ] {
        let middle = world.root.intermediate(&sub(change)).unwrap();
        let leaf = middle.issue(&host(|_| {})).unwrap();
        assert_eq!(code(world.check_with(&leaf, &[&middle])), expected);
    }
}

#[test]
fn path_length_is_enforced() {
    let world = World::new();
    let first = world.root.intermediate(&sub(|r| r.constraints = Some(Constraints::Authority(Some(0))))).unwrap();
    let second = first.intermediate(&sub(|r| r.subject = "/CN=Second".into())).unwrap();
    let leaf = second.issue(&host(|_| {})).unwrap();
    let error = world.check_with(&leaf, &[&first, &second]).unwrap_err();
    assert!(matches!(&error, PathError::Invalid { reason, .. } if reason.contains("path length")), "{error}");
}

#[test]
fn refuses_unknown_critical_extensions() {
    let world = World::new();
    let unknown = |critical| ("1.2.3.4.5".to_owned(), critical, vec![5, 0]);
    assert_eq!(world.verdict(|r| r.extensions.push(unknown(true))), "invalid");
    assert_eq!(world.verdict(|r| r.extensions.push(unknown(false))), "good");
}

#[test]
fn tries_every_anchor_of_one_name() {
    let world = World::new();
    let second = Authority::root(&Request::authority(ROOT)).unwrap();
    world.directory.add_authority(&second.own.certificate).unwrap();
    assert_eq!(world.code(&second.issue(&host(|_| {})).unwrap()), "good");
    assert_eq!(world.code(&world.root.issue(&host(|_| {})).unwrap()), "good");
    let expired = Authority::root(&Request { not_after: -60, ..Request::authority(ROOT) }).unwrap();
    world.directory.add_authority(&expired.own.certificate).unwrap();
    assert_eq!(world.code(&expired.issue(&host(|_| {})).unwrap()), "expired");
}

#[test]
fn renewed_anchor_with_the_same_key_replaces_the_expired_one() {
    let world = World::with_root(&Request { not_after: -60, ..Request::authority(ROOT) });
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    assert_eq!(world.code(&leaf), "expired");
    let key = &world.root.own.key;
    let renewed = world.root.certify(&Request::authority(ROOT), key).unwrap();
    world.directory.add_authority(&renewed).unwrap();
    assert_eq!(world.code(&leaf), "good");
}

#[test]
fn long_chains_end_at_ten_issuers() {
    let world = World::new();
    let mut chain: Vec<Authority> = Vec::new();
    for number in 0..1000 {
        let request = sub(|r| r.subject = format!("/CN=Level {number}"));
        let next = chain.last().unwrap_or(&world.root).intermediate(&request).unwrap();
        chain.push(next);
    }
    let all: Vec<&Authority> = chain.iter().collect();
    let ninth = chain[8].issue(&host(|_| {})).unwrap();
    assert_eq!(world.check_with(&ninth, &all).unwrap().certificates().len(), 11);
    let tenth = chain[9].issue(&host(|_| {})).unwrap();
    assert_eq!(world.check_with(&tenth, &all).unwrap_err(), PathError::TooDeep { limit: 10 });
    let last = chain[999].issue(&host(|_| {})).unwrap();
    assert_eq!(code(world.check_with(&last, &all)), "depth");
}

#[test]
fn a_mesh_of_cross_certificates_is_searched_fast() {
    let world = World::new();
    let mut certificates = Vec::new();
    let keys: Vec<Authority> =
        (0..9).map(|level| Authority::root(&Request::authority(&format!("/CN=Level {level}"))).unwrap()).collect();
    for (level, pair) in keys.windows(2).enumerate() {
        for copy in 0..3 {
            let request = sub(|r| {
                r.subject = format!("/CN=Level {}", level + 1);
                r.not_after += copy;
            });
            certificates.push(pair[0].certify(&request, &pair[1].own.key).unwrap());
        }
    }
    let leaf = keys[8].issue(&host(|_| {})).unwrap();
    let store = world.store();
    let before = Instant::now();
    let result = store.check_path(&leaf.certificate, &certificates, Role::MessageSigner, SystemTime::now());
    assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
    assert!(["path-budget", "untrusted"].contains(&code(result)));
}

#[test]
fn signing_policy_limits_authorities_to_their_names() {
    let mut world = World::new();
    let root = world.root.own.certificate.clone();
    let file = world.directory.add_policy(&root, &["/C=UK/O=eScience/*"]).unwrap();
    assert_eq!(world.store().policy_count(), 1);
    assert_eq!(world.verdict(|_| {}), "good");
    assert_eq!(world.verdict(|r| r.subject = "/C=FR/O=eScience/CN=x".into()), "namespace");
    let forged = world.verdict(|r| r.subject = "/C=UK/O=Other/CN=a".into());
    assert_eq!(forged, "namespace");
    fs::write(&file, "rubbish").unwrap();
    assert_eq!(world.verdict(|_| {}), "policy-unusable");
    fs::write(&file, "access_id_CA X509 '/CN=Other'\npos_rights globus CA:sign\ncond_subjects globus '\"/*\"'")
        .unwrap();
    assert_eq!(world.verdict(|_| {}), "policy-unusable");
    world.settings.signing_policy = false;
    assert_eq!(world.verdict(|_| {}), "good");
}

#[test]
fn signing_policy_also_limits_intermediates() {
    let world = World::new();
    world.directory.add_policy(&world.root.own.certificate, &["/C=UK/O=eScience/*"]).unwrap();
    let middle = world.root.intermediate(&sub(|_| {})).unwrap();
    let leaf = middle.issue(&host(|_| {})).unwrap();
    let error = world.check_with(&leaf, &[&middle]).unwrap_err();
    let subject = DistinguishedName::parse("/C=UK/O=Test CA/CN=Sub").unwrap();
    assert!(matches!(&error, PathError::Namespace { subject: refused, .. } if *refused == subject), "{error}");
}

#[test]
fn authorities_are_added_and_removed_while_running() {
    let world = World::new();
    let second = Authority::root(&Request::authority("/CN=Second")).unwrap();
    let leaf = second.issue(&host(|_| {})).unwrap();
    let trust = Trust::load(&world.settings).unwrap();
    let verdict = || code(trust.snapshot().check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now()));
    assert_eq!(verdict(), "untrusted");
    let file = world.directory.add_authority(&second.own.certificate).unwrap();
    trust.refresh();
    assert_eq!(verdict(), "good");
    fs::remove_file(file).unwrap();
    trust.refresh();
    assert_eq!(verdict(), "untrusted");
    fs::remove_dir_all(world.directory.path()).unwrap();
    assert!(matches!(trust.refresh(), Refreshed::KeptLastGood(_)));
    assert_eq!(
        code(trust.snapshot().check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now())),
        "untrusted"
    );
}

#[test]
fn the_most_useful_error_is_reported() {
    let world = World::new();
    let leaf = world.root.issue(&host(|r| (r.not_after, r.purposes) = (-1, purposes(&["codeSigning"])))).unwrap();
    assert_eq!(world.code(&leaf), "expired");
    world.add_crl(&[&leaf.certificate], &CrlRequest { next_update: Some(-1), ..CrlRequest::default() });
    assert_eq!(world.code(&leaf), "revoked");
}

#[test]
fn openssl_results_are_explained() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot sign the message")]
    struct Signing(#[source] OpensslError);
    let stack = openssl::x509::X509::from_pem(b"no certificate").unwrap_err();
    assert!(stack.to_string().contains("error:"), "{stack:?}");
    assert_eq!(message::cause::chain(&Signing(stack.into())), "cannot sign the message: no start line");
}
