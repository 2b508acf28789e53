//! The broker over TLS, and what the connector says where TLS does not come about.

use std::sync::Arc;
use std::time::Duration;

use dial::DialError;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Name};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::pki::provider;
use stomp::{Address, Closed, ConnectError, Connector, SendFrame, SessionOptions};

/// A self-signed certificate for 127.0.0.1 and its key, in DER.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "demo broker").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_der().unwrap(), key.private_key_to_pkcs8().unwrap())
}

fn roots(certificate: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.to_vec())).unwrap();
    roots
}

/// A server of `versions` that asks for a client certificate if `demanding`.
fn server(
    (certificate, key): &(Vec<u8>, Vec<u8>),
    demanding: bool,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = if demanding {
        let roots = Arc::new(roots(certificate));
        builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
    Arc::new(builder.with_single_cert(vec![CertificateDer::from(certificate.clone())], key).unwrap())
}

fn client(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn connector(broker: &Broker, tls: Option<Arc<ClientConfig>>) -> Connector {
    let address = Address { host: "127.0.0.1".to_owned(), port: broker.address().port() };
    Connector::new(vec![address], tls, SessionOptions::default())
}

async fn failure(broker: &Broker, tls: Option<Arc<ClientConfig>>) -> ConnectError {
    let Err(mut failures) = connector(broker, tls).connect_once().await else { panic!("a session") };
    failures.pop().unwrap().1
}

#[tokio::test]
async fn serves_a_session_over_tls_and_its_end_without_close_notify_is_a_disconnect() {
    let pair = certificate();
    let broker = Broker::start(Some(server(&pair, false, &[&version::TLS13]))).await.unwrap();
    let session = connector(&broker, Some(client(roots(&pair.0)))).connect_once().await.unwrap();
    let body = vec![b'x'; 1_000_000];
    let frame = SendFrame { destination: "/queue/a".to_owned(), headers: Vec::new(), body: body.clone().into() };
    let _receipt = session.send(frame).await.unwrap().await.unwrap();
    assert!(broker.waiting("/queue/a")[0].1 == body);
    broker.drop_connections();
    let reason = tokio::time::timeout(Duration::from_secs(5), session.closed()).await.unwrap();
    assert!(matches!(*reason, Closed::EndOfStream { mid_frame: false }), "{reason:?}");
}

#[tokio::test]
async fn a_certificate_we_refuse_is_told_with_its_reason() {
    let pair = certificate();
    let broker = Broker::start(Some(server(&pair, false, &[&version::TLS13]))).await.unwrap();
    let other = certificate();
    let error = failure(&broker, Some(client(roots(&other.0)))).await;
    let ConnectError::Dial(DialError::CertificateRefused { reason, .. }) = &error else { panic!("{error:?}") };
    assert!(reason.contains("the server does not hold the key of its certificate"), "{reason}");
    assert_eq!(broker.counters().sessions, 0);
}

#[tokio::test]
async fn a_broker_that_wants_our_certificate_says_so() {
    let pair = certificate();
    for versions in [&[&version::TLS13], &[&version::TLS12]] {
        let broker = Broker::start(Some(server(&pair, true, versions))).await.unwrap();
        let error = failure(&broker, Some(client(roots(&pair.0)))).await;
        assert!(
            matches!(error, ConnectError::Dial(DialError::ClientCertificateRefused { .. })),
            "{versions:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_of_our_certificate_names_what_it_lacks() {
    let pair = certificate();
    let broker = Broker::start(Some(server(&pair, true, &[&version::TLS13]))).await.unwrap();
    let own = stomp::OwnCertificate::new(|| Some("host.pem lacks clientAuth".to_owned()));
    let mut connector = connector(&broker, Some(client(roots(&pair.0)))).with_own_certificate(own);
    let failures = connector.connect_once().await.map(|_| ()).unwrap_err();
    let said = failures[0].1.to_string();
    assert!(said.contains("refused our certificate: TLS alert certificate_required: "), "{said}");
    assert!(said.ends_with("; host.pem lacks clientAuth"), "{said}");
}

#[tokio::test]
async fn tls_and_plaintext_are_not_confused() {
    let pair = certificate();
    let secure = Broker::start(Some(server(&pair, false, &[&version::TLS13]))).await.unwrap();
    let error = failure(&secure, None).await;
    let said = matches!(&error, ConnectError::NotOpened { source, .. } if source.to_string().contains("tls = true"));
    assert!(said, "{error:?}");
    let plain = Broker::start(None).await.unwrap();
    let error = failure(&plain, Some(client(roots(&pair.0)))).await;
    assert!(
        matches!(error, ConnectError::NotTls { .. } | ConnectError::Dial(DialError::HandshakeClosed { .. })),
        "{error:?}"
    );
}
