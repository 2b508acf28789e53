//! CA directories as found at sites: old and new hashed names, plain files, and other files.

use std::os::unix::fs::symlink;
use std::time::{Instant, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::{Role, TrustStore};
use testkit::pki::{Authority as Ca, CrlRequest, Directory, KeyKind, Request};

struct World {
    root: Ca,
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let root = Ca::root(&Request::authority("/C=UK/O=CA/CN=Root")).unwrap();
        Self { root, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn pem(&self) -> Vec<u8> {
        self.root.own.certificate.to_pem().unwrap()
    }

    fn hash(&self) -> u32 {
        self.root.own.certificate.subject_name_hash()
    }

    fn load(&self) -> Result<TrustStore, TrustError> {
        TrustStore::load(&TrustSettings::new(self.directory.path()))
    }

    fn trusts_a_host(&self) -> bool {
        let leaf = self.root.issue(&Request { key: KeyKind::P256, ..Request::host("/CN=host") }).unwrap();
        let store = self.load().unwrap();
        store.check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now()).is_ok()
    }

    fn warnings(&self) -> Vec<String> {
        self.load().unwrap().warnings(SystemTime::now())
    }
}

#[test]
fn old_and_new_hashed_names_are_read() {
    for hash in [|root: &X509| root.subject_name_hash(), |root: &X509| old_hash(root).unwrap()] {
        let world = World::new();
        fs::write(world.path(&format!("{:08x}.0", hash(&world.root.own.certificate))), world.pem()).unwrap();
        assert!(world.trusts_a_host());
        assert_eq!(world.warnings(), [""; 0]);
    }
}

#[test]
fn the_old_hash_is_that_of_openssl() {
    // openssl x509 -subject_hash_old of a certificate with subject CN=Root.
    let certificate = Ca::root(&Request::authority("/CN=Root")).unwrap().own.certificate;
    let der = certificate.subject_name().to_der().unwrap();
    let digest = hash(MessageDigest::md5(), &der).unwrap();
    let expected = digest.iter().take(4).rev().fold(0_u32, |sum, &byte| (sum << 8) | u32::from(byte));
    assert_eq!(old_hash(&certificate), Some(expected));
}

#[test]
fn plain_files_and_bundles_are_read() {
    let world = World::new();
    let other = Ca::root(&Request::authority("/CN=Other")).unwrap();
    let crl = world.root.crl(&[], &CrlRequest::default()).unwrap();
    fs::write(world.path("root.crt"), world.root.own.certificate.to_der().unwrap()).unwrap();
    fs::write(world.path("other.pem"), other.own.certificate.to_pem().unwrap()).unwrap();
    fs::write(world.path("root.crl"), &crl).unwrap();
    let store = world.load().unwrap();
    assert_eq!((store.anchor_count(), store.crls().len()), (2, 1));
    assert!(world.trusts_a_host());
    let bundle = world.path("bundle.txt");
    fs::write(&bundle, [world.pem(), b"text between\n".to_vec(), other.own.certificate.to_pem().unwrap()].concat())
        .unwrap();
    let store = TrustStore::load(&TrustSettings::new(&bundle)).unwrap();
    assert_eq!(store.anchor_count(), 2);
}

#[test]
fn a_hashed_directory_trusts_hashed_names_only() {
    let world = World::new();
    let other = Ca::root(&Request::authority("/CN=Other")).unwrap();
    fs::write(world.path("root.pem"), world.pem()).unwrap();
    symlink("root.pem", world.path(&format!("{:08x}.0", world.hash()))).unwrap();
    assert_eq!(world.warnings(), [""; 0]);
    fs::write(world.path("other.pem"), other.own.certificate.to_pem().unwrap()).unwrap();
    assert_eq!(world.load().unwrap().anchor_count(), 1);
    assert!(
        world.warnings()[0].contains("other.pem not used: the directory has hashed names"),
        "{:?}",
        world.warnings()
    );
    fs::write(world.path("deadbeef.0"), other.own.certificate.to_pem().unwrap()).unwrap();
    assert_eq!(world.load().unwrap().anchor_count(), 1);
    let expected = format!("hash of its subject, {:08x}", other.own.certificate.subject_name_hash());
    assert!(world.warnings().iter().any(|warning| warning.contains(&expected)), "{:?}", world.warnings());
}

#[test]
fn other_files_are_skipped() {
    let world = World::new();
    fs::write(world.path(&format!("{:08x}.0", world.hash())), world.pem()).unwrap();
    for name in ["README", "root.info", "root.namespaces", "root.crl_url", ".hidden"] {
        fs::write(world.path(name), "text").unwrap();
    }
    fs::create_dir(world.path("12345678.0")).unwrap();
    assert_eq!(world.warnings(), [""; 0]);
    symlink("nowhere", world.path("12345678.1")).unwrap();
    symlink("nowhere", world.path(&format!("{:08x}.r0", world.hash()))).unwrap();
    fs::write(world.path("12345678.2"), "rubbish").unwrap();
    assert_eq!(world.warnings().len(), 3, "{:?}", world.warnings());
    assert!(world.trusts_a_host());
}

#[test]
fn a_world_writable_directory_is_reported() {
    let world = World::new();
    fs::write(world.path("root.pem"), world.pem()).unwrap();
    fs::set_permissions(world.directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(world.warnings()[0].contains("is writable by every user"), "{:?}", world.warnings());
}

#[test]
fn a_broken_crl_blocks_its_authority() {
    let world = World::new();
    fs::write(world.path(&format!("{:08x}.0", world.hash())), world.pem()).unwrap();
    fs::write(world.path(&format!("{:08x}.r0", world.hash())), "-----BEGIN X509 CRL-----\nAAAA\n").unwrap();
    assert!(!world.trusts_a_host());
    assert!(world.warnings()[0].contains("cannot use CRL"), "{:?}", world.warnings());
}

#[test]
fn a_crl_larger_than_any_blocks_its_authority_and_is_not_read() {
    let world = World::new();
    fs::write(world.path(&format!("{:08x}.0", world.hash())), world.pem()).unwrap();
    let file = world.path(&format!("{:08x}.r0", world.hash()));
    File::create(&file).unwrap().set_len(200 << 20).unwrap();
    let before = Instant::now();
    let store = world.load().unwrap();
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
    let leaf = world.root.issue(&Request { key: KeyKind::P256, ..Request::host("/CN=host") }).unwrap();
    let refused = store.check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now());
    assert_eq!(refused.unwrap_err().code(), "crl-unusable");
    let warnings = store.warnings(SystemTime::now());
    assert!(warnings[0].ends_with("it is larger than 67108864 bytes"), "{warnings:?}");
}

#[test]
fn a_crl_is_found_under_the_old_hash_and_under_the_new_one() {
    for hash in [|root: &X509| root.subject_name_hash(), |root: &X509| old_hash(root).unwrap()] {
        let world = World::new();
        fs::write(world.path(&format!("{:08x}.0", world.hash())), world.pem()).unwrap();
        let crl = world.root.crl(&[], &CrlRequest::default()).unwrap();
        fs::write(world.path(&format!("{:08x}.r0", hash(&world.root.own.certificate))), crl).unwrap();
        assert_eq!(world.warnings(), [""; 0]);
        assert!(world.trusts_a_host());
    }
}

#[test]
fn a_broken_crl_without_a_hash_blocks_its_authority_too() {
    let world = World::new();
    fs::write(world.path("root.pem"), world.pem()).unwrap();
    fs::write(world.path("root.crl"), "half").unwrap();
    assert!(!world.trusts_a_host());
    fs::remove_file(world.path("root.crl")).unwrap();
    let delta = vec![("2.5.29.27".to_owned(), true, vec![2, 1, 1])];
    let delta = world.root.crl(&[], &CrlRequest { extensions: delta, ..CrlRequest::default() }).unwrap();
    fs::write(world.path("delta.crl"), delta).unwrap();
    assert!(!world.trusts_a_host());
    fs::write(world.path("full.crl"), world.root.crl(&[], &CrlRequest::default()).unwrap()).unwrap();
    assert!(world.trusts_a_host());
}

#[test]
fn no_anchor_and_no_directory_are_errors() {
    let world = World::new();
    assert!(matches!(world.load(), Err(TrustError::NoAnchors { .. })));
    let settings = TrustSettings::new(world.path("gone"));
    let error = TrustStore::load(&settings).unwrap_err();
    assert_eq!(error, TrustError::Unreadable { path: world.path("gone"), kind: ErrorKind::NotFound });
}

#[test]
fn five_hundred_authorities_are_read_fast() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = Directory::create(temporary.path()).unwrap();
    for number in 0..500 {
        let root = Ca::root(&Request::authority(&format!("/CN=Root {number}"))).unwrap();
        directory.add_authority(&root.own.certificate).unwrap();
        directory.add_crl(&root.own.certificate, &root.crl(&[], &CrlRequest::default()).unwrap()).unwrap();
        directory.add_policy(&root.own.certificate, &["/C=UK/*"]).unwrap();
    }
    let before = Instant::now();
    let store = TrustStore::load(&TrustSettings::new(directory.path())).unwrap();
    assert!(before.elapsed().as_secs() < 2, "{:?}", before.elapsed());
    assert_eq!((store.anchor_count(), store.crls().len(), store.policy_count()), (500, 500, 500));
    let before = Instant::now();
    state_of(store.settings());
    assert!(before.elapsed().as_millis() < 500, "{:?}", before.elapsed());
}

#[test]
fn a_million_revocations_are_loaded_and_found() {
    use crate::asn1;
    let root = Ca::root(&Request::authority("/CN=Root")).unwrap();
    let small = root.crl(&[], &CrlRequest::default()).unwrap();
    let mut outer = asn1::Reader::der(&small).take(asn1::SEQUENCE).unwrap().inside();
    let (tbs, algorithm, signature) = (outer.any().unwrap(), outer.any().unwrap(), outer.any().unwrap());
    let date = asn1::encode(asn1::UTC_TIME, b"250101000000Z");
    let entry =
        |n: u32| asn1::encode(asn1::SEQUENCE, &[asn1::encode(asn1::INTEGER, &n.to_be_bytes()), date.clone()].concat());
    let entries: Vec<u8> = (0x0100_0000..0x0100_0000 + 1_000_000).flat_map(entry).collect();
    let signed = asn1::encode(asn1::SEQUENCE, &[tbs.content, &asn1::encode(asn1::SEQUENCE, &entries)].concat());
    let large = asn1::encode(asn1::SEQUENCE, &[signed.as_slice(), algorithm.whole, signature.whole].concat());
    let before = Instant::now();
    let crl = Crl::from_der(Path::new("large"), large).unwrap();
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
    assert_eq!(crl.len(), 1_000_000);
    assert!(crl.lists(&0x0100_0000_u32.to_be_bytes()) && crl.lists(&[0, 1, 0xf, 0x42, 0x3f][1..]));
    assert!(!crl.lists(&0x00ff_ffff_u32.to_be_bytes()));
    assert!(!crl.is_signed_by(&root.own.certificate));
}

#[test]
fn expired_and_not_yet_valid_subordinate_authorities_are_reported() {
    let world = World::new();
    let directory = Directory::create(world.directory.path()).unwrap();
    directory.add_authority(&world.root.own.certificate).unwrap();
    let below = |name: &str, not_before, not_after| {
        let request = Request { not_before, not_after, ..Request::authority(&format!("/C=UK/O=CA/CN={name}")) };
        directory.add_authority(&world.root.intermediate(&request).unwrap().own.certificate).unwrap()
    };
    let day = 86_400;
    let ended = below("Ended", -20 * day, -day);
    below("Good", -20 * day, 100 * day);
    assert_eq!(world.warnings().len(), 1, "{:?}", world.warnings());
    let warning = &world.warnings()[0];
    assert!(warning.starts_with("subordinate authority ") && warning.contains("expired on"), "{warning}");
    assert!(warning.contains(&*ended.to_string_lossy()) && warning.ends_with("or remove it"), "{warning}");
    below("Soon", -day, 3 * day);
    below("Later", day, 100 * day);
    let warnings = world.warnings().join("\n");
    assert!(warnings.contains("CN=Soon") && warnings.contains("is not valid before"), "{warnings}");
    assert_eq!(world.warnings().len(), 3, "{warnings}");
}

#[test]
fn the_crls_of_a_path_are_those_that_its_issuers_signed() {
    let world = World::new();
    let directory = Directory::create(world.directory.path().to_owned()).unwrap();
    let authority = &world.root.own.certificate;
    directory.add_authority(authority).unwrap();
    let (other, same_name) = (
        Ca::root(&Request::authority("/C=UK/O=CA/CN=Other")).unwrap(),
        Ca::root(&Request::authority("/C=UK/O=CA/CN=Root")).unwrap(),
    );
    let leaf = world.root.issue(&Request { key: KeyKind::P256, ..Request::host("/CN=host") }).unwrap();
    let store = world.load().unwrap();
    let path = store.check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now()).unwrap();
    let crls = || world.load().unwrap().crls_of(&path);
    assert_eq!(crls(), []);
    let crl = |of: &Ca| of.crl(&[], &CrlRequest::default()).unwrap();
    fs::write(world.path("other.crl"), crl(&other)).unwrap();
    let own = crl(&world.root);
    fs::write(world.path("a.crl"), &own).unwrap();
    let found = crls();
    assert_eq!(found.iter().map(|one| one.issuer).collect::<Vec<_>>(), [1]);
    assert!(found[0].pem.starts_with(b"-----BEGIN X509 CRL-----\n"));
    assert_eq!(openssl::x509::X509Crl::from_pem(&found[0].pem).unwrap().to_der().unwrap(), own);
    fs::write(world.path("b.crl"), crl(&same_name)).unwrap();
    assert_eq!(crls().len(), 1, "another key signed the second one");
}
