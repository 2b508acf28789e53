//! Credentials that must be refused, and pairs that are replaced while in use.

use openssl::symm::Cipher;
use tempfile::TempDir;

use super::*;
use crate::{TrustSettings, asn1};
use testkit::pki::{Authority, Constraints, CrlRequest, Directory, Issued, KeyKind, Request};

struct World {
    root: Authority,
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let root = Authority::root(&Request::authority("/O=CA/CN=Root")).unwrap();
        Self { root, directory: tempfile::tempdir().unwrap() }
    }

    fn issue(&self, change: impl FnOnce(&mut Request)) -> Issued {
        let mut request = Request { key: KeyKind::P256, ..Request::host("/O=Test/CN=host") };
        change(&mut request);
        self.root.issue(&request).unwrap()
    }

    fn write(&self, issued: &Issued, stem: &str) -> (PathBuf, PathBuf) {
        issued.write(self.directory.path(), stem).unwrap()
    }

    fn trust(&self) -> (Arc<Trust>, Directory) {
        let directory = Directory::create(self.directory.path().join("certificates")).unwrap();
        directory.add_authority(&self.root.own.certificate).unwrap();
        (Arc::new(Trust::load(&TrustSettings::new(directory.path())).unwrap()), directory)
    }
}

fn chmod(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn loads_rsa_and_ec_with_a_chain() {
    let world = World::new();
    for key in [KeyKind::Rsa(2048), KeyKind::P256] {
        let (certificate, key) = world.write(&world.issue(|r| r.key = key), "host");
        let own = fs::read(&certificate).unwrap();
        fs::write(&certificate, [world.root.own.certificate.to_pem().unwrap(), own].concat()).unwrap();
        let credential = Credential::load(&certificate, &key).unwrap();
        assert_eq!(credential.facts().subject.line(), "/O=Test/CN=host");
        assert_eq!(credential.chain().len(), 1);
    }
}

#[test]
fn refuses_a_key_that_others_may_read() {
    let world = World::new();
    let (certificate, key) = world.write(&world.issue(|_| {}), "host");
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        chmod(&key, mode);
        let error = Credential::load(&certificate, &key).unwrap_err();
        assert_eq!(error, CredentialError::KeyExposed { file: key.clone(), mode });
        assert!(error.to_string().ends_with(&format!("chmod 600 {}", key.display())), "{error}");
    }
    for mode in [0o600, 0o400] {
        chmod(&key, mode);
        Credential::load(&certificate, &key).unwrap();
    }
}

#[test]
fn refuses_unusable_pairs() {
    let world = World::new();
    let (certificate, key) = world.write(&world.issue(|_| {}), "host");
    let (_, other) = world.write(&world.issue(|_| {}), "other");
    let load = |certificate: &Path, key: &Path| Credential::load(certificate, key).unwrap_err();
    assert!(matches!(load(&certificate, &other), CredentialError::Mismatch { .. }));
    assert!(matches!(load(&key, &key), CredentialError::NoCertificate { .. }));
    let gone = world.directory.path().join("gone");
    assert_eq!(load(&gone, &key), CredentialError::Unreadable { file: gone.clone(), kind: ErrorKind::NotFound });
    assert_eq!(load(&certificate, &gone), CredentialError::Unreadable { file: gone, kind: ErrorKind::NotFound });
    chmod(&certificate, 0o600);
    assert!(matches!(load(&certificate, &certificate), CredentialError::NoKey { .. }));
    let encrypted = PKey::private_key_from_pem(&fs::read(&key).unwrap()).unwrap();
    let encrypted = encrypted.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret").unwrap();
    fs::write(&key, encrypted).unwrap();
    assert!(matches!(load(&certificate, &key), CredentialError::KeyEncrypted { .. }));
    let authority = world.issue(|r| r.constraints = Some(Constraints::Authority(None)));
    let (certificate, key) = world.write(&authority, "authority");
    assert!(matches!(load(&certificate, &key), CredentialError::IsAuthority { .. }));
    let (certificate, key) = world.write(&world.issue(|r| r.key = KeyKind::Rsa(1024)), "weak");
    assert!(matches!(load(&certificate, &key), CredentialError::WeakKey { .. }));
}

#[test]
fn warns_before_it_expires() {
    let world = World::new();
    let warning = |not_before, not_after| {
        let issued = world.issue(|r| (r.not_before, r.not_after) = (not_before, not_after));
        let (certificate, key) = world.write(&issued, "host");
        let credential = Credential::load(&certificate, &key).unwrap();
        let now = SystemTime::now();
        (credential.warning(now).unwrap_or_default(), credential.expires_in(now).is_some())
    };
    const DAY: i64 = 86_400;
    assert_eq!(warning(-DAY, 31 * DAY), (String::new(), true));
    assert!(warning(-DAY, DAY).0.contains("expires on"));
    let expired = warning(-2 * DAY, -DAY);
    assert!(expired.0.contains("expired on") && !expired.1);
    assert!(warning(DAY, 100 * DAY).0.contains("not valid before"));
}

#[test]
fn never_shows_the_key() {
    let world = World::new();
    let issued = world.issue(|_| {});
    let (certificate, key) = world.write(&issued, "host");
    let shown = format!("{:?}", CredentialSource::load(&certificate, &key).unwrap());
    let secret = issued.key.ec_key().unwrap().private_key().to_dec_str().unwrap().to_string();
    assert!(shown.contains("/O=Test/CN=host") || shown.contains("CN=host,O=Test"), "{shown}");
    assert!(!shown.contains(&secret) && !shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn a_half_replaced_pair_keeps_the_last_good_one() {
    let world = World::new();
    let (first, second) =
        (world.issue(|r| r.subject = "/CN=first".into()), world.issue(|r| r.subject = "/CN=second".into()));
    let (certificate, key) = world.write(&first, "host");
    let source = CredentialSource::load(&certificate, &key).unwrap();
    let subject = || source.current().facts().subject.line();
    assert!(matches!(source.refresh(), Refreshed::Unchanged));
    let (new_certificate, new_key) = world.write(&second, "new");
    fs::rename(new_certificate, &certificate).unwrap();
    for _ in 0..2 {
        assert!(matches!(source.refresh(), Refreshed::KeptLastGood(CredentialError::Mismatch { .. })));
        assert_eq!(subject(), "/CN=first");
    }
    fs::rename(new_key, &key).unwrap();
    assert!(matches!(source.refresh(), Refreshed::Replaced(_)));
    assert_eq!(subject(), "/CN=second");
}

fn notes<E: std::fmt::Debug>(refreshed: Refreshed<E>) -> Vec<String> {
    match refreshed {
        Refreshed::Replaced(notes) => notes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_subject_or_issuer_is_said_with_what_to_do() {
    let world = World::new();
    let other = Authority::root(&Request::authority("/O=CA/CN=Other")).unwrap();
    let (certificate, key) = world.write(&world.issue(|_| {}), "host");
    let source = CredentialSource::load(&certificate, &key).unwrap();
    let request = |subject: &str| Request { key: KeyKind::P256, ..Request::host(subject) };
    let renewed = |authority: &Authority, subject: &str| {
        world.write(&authority.issue(&request(subject)).unwrap(), "host");
        notes(source.refresh())
    };
    assert_eq!(renewed(&world.root, "/O=Test/CN=host"), Vec::<String>::new(), "an ordinary renewal");
    let file = certificate.display();
    let register =
        "register the new DN with the broker (AMS: in GOCDB) and with the receivers that authorise the old one";
    let trust = "make sure that broker and receivers trust the new issuer";
    let subject = "another subject (/O=Test/CN=host before, /O=Test/CN=new now)";
    assert_eq!(renewed(&world.root, "/O=Test/CN=new"), [format!("certificate {file} has {subject}: {register}")]);
    let issuer = "another issuer (/O=CA/CN=Root before, /O=CA/CN=Other now)";
    assert_eq!(renewed(&other, "/O=Test/CN=new"), [format!("certificate {file} has {issuer}: {trust}")]);
    let both = renewed(&world.root, "/O=Test/CN=host");
    assert!(
        matches!(&both[..], [one] if one.contains(" now) and another issuer (") && one.ends_with(&format!("{register}; {trust}"))),
        "{both:?}"
    );
}

#[test]
fn another_recipient_is_said_and_its_renewal_is_not() {
    let world = World::new();
    let (trust, _directory) = world.trust();
    let recipient = |subject: &str| {
        let issued = world.issue(|r| (r.key, r.subject) = (KeyKind::Rsa(2048), subject.to_owned()));
        world.write(&issued, "receiver").0
    };
    let file = recipient("/CN=receiver");
    let source = RecipientSource::load(&file, trust, None).unwrap();
    recipient("/CN=receiver");
    assert_eq!(notes(source.refresh()), Vec::<String>::new());
    recipient("/CN=other");
    let change =
        "another subject (/CN=receiver before, /CN=other now): ask the receiver whether this is its certificate";
    assert_eq!(notes(source.refresh()), [format!("recipient certificate {} has {change}", file.display())]);
}

#[test]
fn the_addresses_of_crls_are_those_of_the_certificate() {
    let world = World::new();
    let addresses = |extensions: Vec<(String, bool, Vec<u8>)>| {
        let (certificate, key) = world.write(&world.issue(|r| r.extensions = extensions), "host");
        Credential::load(&certificate, &key).unwrap().crl_addresses()
    };
    assert_eq!(addresses(Vec::new()), Vec::<String>::new());
    let point = |name: &[u8]| {
        let full = asn1::encode(asn1::context(0), &asn1::encode(asn1::context(0), name));
        asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::SEQUENCE, &full))
    };
    let uri = asn1::encode(asn1::context_primitive(6), b"http://ca.example.org/crl");
    let directory = asn1::encode(asn1::context(4), &asn1::encode(asn1::SEQUENCE, b""));
    let extension = |name: &[u8]| vec![("2.5.29.31".to_owned(), false, point(name))];
    assert_eq!(addresses(extension(&uri)), ["http://ca.example.org/crl"]);
    assert_eq!(addresses(extension(&directory)), Vec::<String>::new(), "a name in a directory is no address");
}

#[test]
fn a_recipient_must_be_trusted_and_not_ourselves() {
    let world = World::new();
    let (trust, directory) = world.trust();
    let (certificate, key) = world.write(&world.issue(|r| r.key = KeyKind::Rsa(2048)), "own");
    let own = Arc::new(CredentialSource::load(&certificate, &key).unwrap());
    let recipient = world.issue(|r| (r.key, r.subject) = (KeyKind::Rsa(2048), "/CN=receiver".into()));
    let (file, _) = world.write(&recipient, "receiver");
    let source = RecipientSource::load(&file, Arc::clone(&trust), Some(Arc::clone(&own))).unwrap();
    assert_eq!(source.current().facts().subject.line(), "/CN=receiver");
    let load = |file: &Path| RecipientCertificate::load(file, &trust, Some(&own.current())).unwrap_err();
    assert_eq!(load(&certificate), RecipientError::Own { file: certificate.clone() });
    let (expired, _) = world.write(&world.issue(|r| r.not_after = -1), "expired");
    assert!(matches!(load(&expired), RecipientError::Path { source: PathError::Expired { .. }, .. }));
    let stranger = Authority::root(&Request::authority("/CN=Stranger")).unwrap();
    assert!(
        RecipientSource::load(&expired, Arc::clone(&trust), None).is_ok(),
        "it holds messages back, not the program"
    );
    let (foreign, _) = world.write(&stranger.issue(&Request::host("/CN=x")).unwrap(), "foreign");
    assert!(matches!(load(&foreign), RecipientError::Path { source: PathError::Untrusted { .. }, .. }));
    fs::copy(&expired, &file).unwrap();
    assert!(matches!(source.refresh(), Refreshed::KeptLastGood(RecipientError::Path { .. })));
    assert_eq!(source.current().check(&trust, SystemTime::now()), Ok(()));
    let crl = world.root.crl(&[&recipient.certificate], &CrlRequest::default()).unwrap();
    directory.add_crl(&world.root.own.certificate, &crl).unwrap();
    trust.refresh();
    assert!(matches!(
        source.current().check(&trust, SystemTime::now()),
        Err(RecipientError::Path { source: PathError::Revoked { .. }, .. })
    ));
}
