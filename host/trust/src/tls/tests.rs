//! Handshakes with an OpenSSL server in this process: trusted brokers are accepted, all others refused.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;

use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod, SslVerifyMode, SslVersion};
use rustls::{ClientConnection, StreamOwned};
use tempfile::TempDir;

use super::*;
use crate::{CrlMode, TrustSettings, asn1};
use testkit::pki::{Authority, Constraints, CrlRequest, Digest, Directory, Issued, KeyKind, Request};

const NAME: &str = "mq.example.org";

struct World {
    root: Authority,
    directory: Directory,
    settings: TrustSettings,
    allow_cn: bool,
    temporary: TempDir,
}

/// What the server saw of the client.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    subject: Option<String>,
    resumed: bool,
    alpn: Option<Vec<u8>>,
}

impl World {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::create(temporary.path().join("certificates")).unwrap();
        let root = Authority::root(&Request::authority("/O=Test CA/CN=Root")).unwrap();
        directory.add_authority(&root.own.certificate).unwrap();
        let settings = TrustSettings::new(directory.path());
        Self { root, directory, settings, allow_cn: false, temporary }
    }

    fn config(&self, credential: Option<Arc<CredentialSource>>) -> Arc<ClientConfig> {
        client_config(Arc::new(Trust::load(&self.settings).unwrap()), credential, self.allow_cn).unwrap()
    }

    /// The result for a broker certificate derived from a valid one.
    fn verdict(&self, change: impl FnOnce(&mut Request)) -> String {
        self.verdict_on(&self.root.issue(&broker(change)).unwrap())
    }

    fn verdict_on(&self, broker: &Issued) -> String {
        outcome(&connect(&self.config(None), &Server::new(broker), NAME))
    }
}

fn broker(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request::host(&format!("/O=Test/CN={NAME}"));
    request.key = KeyKind::P256;
    request.dns = vec![NAME.to_owned()];
    change(&mut request);
    request
}

/// The code of the refusal, or how the connection went otherwise.
fn outcome(result: &Result<Seen, std::io::Error>) -> String {
    match result {
        Ok(_) => "good".to_owned(),
        Err(error) => find(error).map_or_else(|| format!("other: {error}"), |refused| word(refused).to_owned()),
    }
}

/// One word for each refusal.
fn word(refused: &BrokerRefused) -> &'static str {
    match refused {
        BrokerRefused::Path(error) => crate::path::tests::word(error),
        BrokerRefused::WrongName { .. } => "wrong-name",
        BrokerRefused::CommonNameOnly { .. } => "cn-only",
        BrokerRefused::Unreadable => "unreadable",
    }
}

/// Our verifier's refusal in an error of a stream.
fn find(error: &std::io::Error) -> Option<&BrokerRefused> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
        _ => None,
    }
}

/// A server for one certificate.
struct Server {
    certificate: X509,
    key: PKey<openssl::pkey::Private>,
    version: SslVersion,
    schemes: Option<&'static str>,
}

impl Server {
    fn new(issued: &Issued) -> Self {
        let (certificate, key) = (issued.certificate.clone(), issued.key.clone());
        Self { certificate, key, version: SslVersion::TLS1_3, schemes: None }
    }

    fn acceptor(&self) -> SslAcceptor {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        builder.set_security_level(0);
        builder.set_certificate(&self.certificate).unwrap();
        builder.set_private_key(&self.key).unwrap();
        builder.set_max_proto_version(Some(self.version)).unwrap();
        if let Some(schemes) = self.schemes {
            builder.set_sigalgs_list(schemes).unwrap();
        }
        builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        builder.set_session_id_context(b"test").unwrap();
        builder.build()
    }
}

/// One connection to the server: a byte each way.
fn connect(config: &Arc<ClientConfig>, server: &Server, name: &str) -> Result<Seen, std::io::Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let acceptor = server.acceptor();
    let serving = thread::spawn(move || {
        let mut stream = acceptor.accept(theirs).ok()?;
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        stream.write_all(&byte).ok()?;
        let subject = stream.ssl().peer_certificate();
        let subject = subject.map(|c| crate::DistinguishedName::from_x509(c.subject_name()).unwrap().line());
        let alpn = stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec);
        Some(Seen { subject, resumed: stream.ssl().session_reused(), alpn })
    });
    let result = exchange(config, ours, name);
    let seen = serving.join().unwrap();
    result.map(|()| seen.unwrap_or_default())
}

fn exchange(config: &Arc<ClientConfig>, stream: UnixStream, name: &str) -> Result<(), std::io::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(b"x")?;
    stream.flush()?;
    let mut byte = [0];
    stream.read_exact(&mut byte)
}

#[test]
fn accepts_every_kind_of_key_in_both_versions() {
    let world = World::new();
    let config = world.config(None);
    for key in
        [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::Ec(Nid::SECP384R1), KeyKind::Ec(Nid::SECP521R1), KeyKind::Ed25519]
    {
        let issued = world.root.issue(&broker(|r| r.key = key)).unwrap();
        // In TLS 1.2 the curve of the certificate must be one for key exchange too, and the provider has no P-521
        // there.
        let old = (key != KeyKind::Ec(Nid::SECP521R1)).then_some(SslVersion::TLS1_2);
        for version in old.into_iter().chain([SslVersion::TLS1_3]) {
            let server = Server { version, ..Server::new(&issued) };
            assert_eq!(outcome(&connect(&config, &server, NAME)), "good", "{key:?} {version:?}");
        }
    }
}

#[test]
fn accepts_every_rsa_scheme() {
    let world = World::new();
    let config = world.config(None);
    let issued = world.root.issue(&broker(|r| r.key = KeyKind::Rsa(2048))).unwrap();
    for (schemes, version) in [
        ("RSA+SHA256", SslVersion::TLS1_2),
        ("RSA+SHA384", SslVersion::TLS1_2),
        ("RSA+SHA512", SslVersion::TLS1_2),
        ("rsa_pss_rsae_sha256", SslVersion::TLS1_2),
        ("rsa_pss_rsae_sha384", SslVersion::TLS1_3),
        ("rsa_pss_rsae_sha512", SslVersion::TLS1_3),
    ] {
        let server = Server { version, schemes: Some(schemes), ..Server::new(&issued) };
        assert_eq!(outcome(&connect(&config, &server, NAME)), "good", "{schemes}");
    }
}

#[test]
fn refuses_a_handshake_signed_over_sha1() {
    let world = World::new();
    let issued = world.root.issue(&broker(|r| r.key = KeyKind::Rsa(2048))).unwrap();
    let server = Server { version: SslVersion::TLS1_2, schemes: Some("RSA+SHA1"), ..Server::new(&issued) };
    assert!(connect(&world.config(None), &server, NAME).is_err());
}

#[test]
fn refuses_old_versions_and_servers_without_tls() {
    let world = World::new();
    let issued = world.root.issue(&broker(|_| {})).unwrap();
    let server = Server { version: SslVersion::TLS1_1, ..Server::new(&issued) };
    assert!(connect(&world.config(None), &server, NAME).is_err());
    for answer in ["ERROR\n\nspeak STOMP\0", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer.as_bytes()).unwrap();
        let error = exchange(&world.config(None), ours, NAME).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    }
}

#[test]
fn accepts_what_grid_authorities_issue() {
    let world = World::new();
    let critical_policy = ("2.5.29.32".to_owned(), true, vec![0x30, 5, 0x30, 3, 6, 1, 0x2a]);
    assert_eq!(world.verdict(|r| r.extensions.push(critical_policy)), "good");
    assert_eq!(world.verdict(|r| r.constraints = Some(Constraints::Authority(None))), "good");
    assert_eq!(world.verdict(|r| r.constraints = None), "good");
}

#[test]
fn refuses_certificates_by_the_rules_of_the_store() {
    let world = World::new();
    assert_eq!(world.verdict(|r| r.not_after = -1), "expired");
    assert_eq!(world.verdict(|r| r.not_before = 3600), "not-yet-valid");
    assert_eq!(world.verdict(|r| r.key = KeyKind::Rsa(1024)), "weak-key");
    assert_eq!(world.verdict(|r| r.purposes = vec!["clientAuth".into()]), "eku");
    assert_eq!(world.verdict(|r| r.digest = Digest::Sha1), "weak-signature");
    assert_eq!(world.verdict(|r| r.proxy = true), "proxy");
    let stranger = Authority::root(&Request::authority("/O=Stranger/CN=Root")).unwrap();
    assert_eq!(world.verdict_on(&stranger.issue(&broker(|_| {})).unwrap()), "untrusted");
    let own = Authority::root(&broker(|r| r.constraints = None)).unwrap().own;
    assert_eq!(world.verdict_on(&own), "untrusted");
}

#[test]
fn a_self_signed_certificate_in_the_directory_is_trusted() {
    let world = World::new();
    for constraints in [None, Some(Constraints::EndEntity), Some(Constraints::Authority(None))] {
        let own = Authority::root(&broker(|r| r.constraints = constraints)).unwrap().own;
        world.directory.add_authority(&own.certificate).unwrap();
        assert_eq!(world.verdict_on(&own), "good", "{constraints:?}");
    }
}

#[test]
fn checks_crls() {
    let mut world = World::new();
    let (good, revoked) = (world.root.issue(&broker(|_| {})).unwrap(), world.root.issue(&broker(|_| {})).unwrap());
    assert_eq!(world.verdict_on(&good), "good");
    world.settings.crls = CrlMode::Require;
    assert_eq!(world.verdict_on(&good), "crl-missing");
    let root = world.root.own.certificate.clone();
    let crl = world.root.crl(&[&revoked.certificate], &CrlRequest::default()).unwrap();
    let file = world.directory.add_crl(&root, &crl).unwrap();
    assert_eq!(world.verdict_on(&good), "good");
    assert_eq!(world.verdict_on(&revoked), "revoked");
    std::fs::remove_file(file).unwrap();
    let stale = world.root.crl(&[], &CrlRequest { next_update: Some(-1), ..CrlRequest::default() }).unwrap();
    world.directory.add_crl(&root, &stale).unwrap();
    assert_eq!(world.verdict_on(&good), "crl-stale");
}

#[test]
fn checks_names() {
    let world = World::new();
    assert_eq!(world.verdict(|r| r.dns = vec!["other.example.org".into()]), "wrong-name");
    assert_eq!(world.verdict(|r| r.dns = vec!["*.example.org".into()]), "good");
    assert_eq!(world.verdict(|r| r.dns = vec!["*.org".into()]), "wrong-name");
    let issued = world.root.issue(&broker(|r| r.addresses = vec!["192.0.2.1".parse().unwrap()])).unwrap();
    let server = Server::new(&issued);
    let config = world.config(None);
    assert_eq!(outcome(&connect(&config, &server, "192.0.2.1")), "good");
    assert_eq!(outcome(&connect(&config, &server, "192.0.2.2")), "wrong-name");
    assert_eq!(outcome(&connect(&config, &server, "2001:db8::1")), "wrong-name");
    let named = world.root.issue(&broker(|r| r.dns = vec!["192.0.2.1".into()])).unwrap();
    assert_eq!(outcome(&connect(&config, &Server::new(&named), "192.0.2.1")), "wrong-name");
}

#[test]
fn a_common_name_counts_only_where_it_is_allowed() {
    let mut world = World::new();
    let bare = |r: &mut Request| r.dns.clear();
    let service = |r: &mut Request| (r.dns.clear(), r.subject = format!("/O=Test/CN=host/{NAME}")).0;
    let other = |r: &mut Request| r.dns = vec!["other.example.org".into()];
    assert_eq!(world.verdict(bare), "cn-only");
    world.allow_cn = true;
    assert_eq!(world.verdict(bare), "good");
    assert_eq!(world.verdict(service), "good");
    assert_eq!(world.verdict(other), "wrong-name");
    assert_eq!(world.verdict(|r| (r.version_one, r.subject) = (true, format!("/CN={NAME}"))), "good");
}

#[test]
fn refusals_give_reason_and_remedy() {
    let world = World::new();
    let said = |issued: &Issued| {
        let error = connect(&world.config(None), &Server::new(issued), NAME).unwrap_err();
        find(&error).unwrap().to_string()
    };
    let words = |change: fn(&mut Request)| said(&world.root.issue(&broker(change)).unwrap());
    assert_eq!(
        words(|r| r.dns = vec!["other.example.org".into()]),
        "the certificate is not for mq.example.org, but for other.example.org; use that name in hosts, or have the \
         certificate reissued"
    );
    assert!(words(|r| r.dns.clear()).contains("set allow-cn = true"));
    let expired = words(|r| (r.not_before, r.not_after) = (-7200, -3600));
    let until = jiff::Timestamp::now().as_second() - 3600;
    let day = jiff::Timestamp::from_second(until).unwrap().to_string();
    assert!(expired.contains("expired on ") && expired.contains(&day[..10]), "{expired}");
    assert!(words(|r| r.purposes = vec!["clientAuth".into()]).ends_with("needs a certificate with serverAuth"));
    let weak = words(|r| r.digest = Digest::Sha1);
    assert!(weak.contains("with SHA-1 (1.2.840.10045.4.1); accepted are "), "{weak}");
    assert!(weak.ends_with("; the broker needs a certificate signed with SHA-256"), "{weak}");
    let stranger = Authority::root(&Request::authority("/O=Stranger/CN=Root")).unwrap();
    let strange = said(&stranger.issue(&broker(|_| {})).unwrap());
    assert_eq!(
        strange,
        "no trust anchor for issuer /O=Stranger/CN=Root; add that authority to trust.anchors if you trust it"
    );
}

#[test]
fn a_broker_under_a_reissued_authority_is_accepted() {
    let world = World::new();
    let root = world.root.own.certificate.issuer_name().to_der().unwrap();
    // AuthorityKeyIdentifier { [1] { [4] name }, [2] serial }, of another certificate of the root.
    let name = asn1::encode(asn1::context(1), &asn1::encode(asn1::context(4), &root));
    let value = asn1::encode(asn1::SEQUENCE, &[name, asn1::encode(asn1::context_primitive(2), &[0x63])].concat());
    let identifier = ("2.5.29.35".to_owned(), false, value);
    assert_eq!(world.verdict(|r| r.extensions.push(identifier.clone())), "good");
    let namesake = Authority::root(&Request::authority("/O=Test CA/CN=Root")).unwrap();
    let forged = namesake.issue(&broker(|r| r.extensions.push(identifier))).unwrap();
    assert_eq!(world.verdict_on(&forged), "bad-signature");
}

#[test]
fn defects_of_a_client_certificate_are_named() {
    let world = World::new();
    let faults = |change: fn(&mut Request)| {
        let mut request = Request { key: KeyKind::P256, ..Request::host("/O=Test/CN=client") };
        change(&mut request);
        let issued = world.root.issue(&request).unwrap();
        let (certificate, key) = issued.write(world.temporary.path(), "client").unwrap();
        client_faults(&Credential::load(&certificate, &key).unwrap(), SystemTime::now()).unwrap_or_default()
    };
    assert_eq!(faults(|_| {}), "");
    assert_eq!(faults(|r| r.purposes = vec!["anyExtendedKeyUsage".into()]), "");
    assert_eq!(faults(|r| (r.purposes.clear(), r.key_usage = None).1), "");
    let server = faults(|r| r.purposes = vec!["serverAuth".into()]);
    assert!(server.contains("client.pem lacks clientAuth in its extended key usage"), "{server}");
    let encipherment = faults(|r| r.key_usage = Some(openssl::x509::X509KeyUsage::KEY_ENCIPHERMENT));
    assert!(encipherment.contains("lacks digitalSignature in its key usage"), "{encipherment}");
    let old = faults(|r| r.extensions.push(("2.16.840.1.113730.1.1".to_owned(), false, vec![3, 2, 6, 0x40])));
    assert!(old.contains("\"SSL client\" in its Netscape certificate type"), "{old}");
    assert_eq!(faults(|r| r.extensions.push(("2.16.840.1.113730.1.1".to_owned(), false, vec![3, 2, 6, 0xc0]))), "");
    assert!(faults(|r| r.not_after = -1).contains("expired on"));
}

#[test]
fn presents_the_current_credential() {
    let world = World::new();
    let server = Server::new(&world.root.issue(&broker(|_| {})).unwrap());
    let path = world.temporary.path();
    let write = |subject: &str, key| -> (PathBuf, PathBuf) {
        world.root.issue(&Request { key, ..Request::host(subject) }).unwrap().write(path, "host").unwrap()
    };
    let (certificate, key) = write("/O=Test/CN=first", KeyKind::P256);
    let source = Arc::new(CredentialSource::load(&certificate, &key).unwrap());
    let config = world.config(Some(Arc::clone(&source)));
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let server = Server {
            version,
            ..Server::new(&Issued { certificate: server.certificate.clone(), key: server.key.clone() })
        };
        let seen = connect(&config, &server, NAME).unwrap();
        assert_eq!(seen.subject.as_deref(), Some("/O=Test/CN=first"), "{version:?}");
    }
    write("/O=Test/CN=second", KeyKind::Rsa(2048));
    source.refresh();
    let seen = connect(&config, &server, NAME).unwrap();
    assert_eq!(seen, Seen { subject: Some("/O=Test/CN=second".into()), resumed: false, alpn: None });
}

#[test]
fn every_connection_is_verified_again() {
    let world = World::new();
    let issued = world.root.issue(&broker(|_| {})).unwrap();
    let trust = Arc::new(Trust::load(&world.settings).unwrap());
    let config = client_config(Arc::clone(&trust), None, false).unwrap();
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let server = Server { version, ..Server::new(&issued) };
        for _ in 0..3 {
            assert!(!connect(&config, &server, NAME).unwrap().resumed);
        }
    }
    let crl = world.root.crl(&[&issued.certificate], &CrlRequest::default()).unwrap();
    world.directory.add_crl(&world.root.own.certificate, &crl).unwrap();
    trust.refresh();
    assert_eq!(outcome(&connect(&config, &Server::new(&issued), NAME)), "revoked");
}

#[test]
fn refuses_a_handshake_signed_by_another_key() {
    let message = b"transcript";
    let world = World::new();
    let issued = world.root.issue(&broker(|_| {})).unwrap();
    let other = world.root.issue(&broker(|_| {})).unwrap();
    let certificate = CertificateDer::from(issued.certificate.to_der().unwrap());
    let check = |key: &PKey<openssl::pkey::Private>, scheme: u16, protocol| {
        let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), key).unwrap();
        let signature = signer.sign_oneshot_to_vec(message).unwrap();
        signatures::verify(message, &certificate, &signed_struct(scheme, &signature), protocol).is_ok()
    };
    let (p256, p384, pss) = (0x0403, 0x0503, 0x0804);
    assert!(check(&issued.key, p256, signatures::Protocol::Tls13));
    assert!(!check(&other.key, p256, signatures::Protocol::Tls13));
    assert!(!check(&issued.key, p384, signatures::Protocol::Tls13));
    assert!(!check(&issued.key, p384, signatures::Protocol::Tls12));
    assert!(!check(&issued.key, pss, signatures::Protocol::Tls13));
}

/// rustls makes this only by reading it from a handshake.
fn signed_struct(scheme: u16, signature: &[u8]) -> DigitallySignedStruct {
    use rustls::internal::msgs::codec::{Codec, Reader};
    let mut bytes = scheme.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
    bytes.extend(signature);
    DigitallySignedStruct::read(&mut Reader::init(&bytes)).unwrap()
}

/// `NameConstraints` with these DNS subtrees.
fn name_constraints(permitted: &[&str], excluded: &[&str]) -> (String, bool, Vec<u8>) {
    use crate::asn1::{SEQUENCE, encode};
    let subtrees = |tag, bases: &[&str]| match bases {
        [] => Vec::new(),
        bases => {
            let subtree = |base: &&str| encode(SEQUENCE, &encode(0x82, base.as_bytes()));
            encode(tag, &bases.iter().flat_map(subtree).collect::<Vec<u8>>())
        }
    };
    let both = [subtrees(0xa0, permitted), subtrees(0xa1, excluded)].concat();
    ("2.5.29.30".to_owned(), true, encode(SEQUENCE, &both))
}

#[test]
fn a_wildcard_does_not_match_a_name_that_its_authority_may_not_use() {
    let verdict = |permitted: &[&str], excluded: &[&str], dns: &str| {
        let mut request = Request::authority("/O=Test CA/CN=Constrained");
        request.extensions.push(name_constraints(permitted, excluded));
        let root = Authority::root(&request).unwrap();
        let world = World::new();
        world.directory.add_authority(&root.own.certificate).unwrap();
        world.verdict_on(&root.issue(&broker(|request| request.dns = vec![dns.to_owned()])).unwrap())
    };
    assert_eq!(verdict(&["example.org"], &[], NAME), "good");
    assert_eq!(verdict(&[], &["example.net"], "*.example.org"), "good");
    assert_eq!(verdict(&[], &["secret.example.org"], "*.example.org"), "good", "for a name that is not excluded");
    assert_eq!(verdict(&[], &[NAME], "*.example.org"), "invalid");
    assert_eq!(verdict(&[], &["MQ.Example.ORG"], "*.example.org"), "invalid");
    assert_eq!(verdict(&[], &[NAME], NAME), "invalid");
    assert_eq!(verdict(&[], &["example.org"], "*.example.org"), "invalid");
    assert_eq!(verdict(&[NAME], &[], "*.example.org"), "invalid");
}

#[test]
fn name_constraints_apply_to_a_common_name_with_a_service() {
    let verdict = |excluded: &str| {
        let mut request = Request::authority("/O=Test CA/CN=Constrained");
        request.extensions.push(name_constraints(&[], &[excluded]));
        let root = Authority::root(&request).unwrap();
        let mut world = World::new();
        world.allow_cn = true;
        world.directory.add_authority(&root.own.certificate).unwrap();
        let request = broker(|request| {
            request.dns.clear();
            request.encoded_subject = Some(host_name());
        });
        world.verdict_on(&root.issue(&request).unwrap())
    };
    assert_eq!(verdict("example.net"), "good");
    assert_eq!(verdict(NAME), "invalid");
}

/// `CN=host/mq.example.org`, as old grid certificates have it.
fn host_name() -> Vec<u8> {
    let mut name = openssl::x509::X509NameBuilder::new().unwrap();
    name.append_entry_by_text("O", "Test").unwrap();
    name.append_entry_by_text("CN", &format!("host/{NAME}")).unwrap();
    name.build().to_der().unwrap()
}
