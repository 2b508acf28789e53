//! Connecting to brokers, to closed ports and to other servers.

use std::net::Ipv4Addr;

use dial::DialError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::session::OpenError;
use testkit::broker::Broker;

fn quick() -> Timing {
    Timing {
        attempt: Duration::from_millis(500),
        address: Duration::from_millis(200),
        first_pause: Duration::from_millis(40),
        longest_pause: Duration::from_millis(200),
        stable: Duration::from_millis(300),
    }
}

fn options() -> SessionOptions {
    SessionOptions { connected_timeout: Duration::from_millis(300), ..SessionOptions::default() }
}

fn local(port: u16) -> Address {
    Address { host: "127.0.0.1".to_owned(), port }
}

/// A port without a listener.
async fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port()
}

/// Starts a server that answers the first bytes of each connection with `answer` and closes it.
async fn answering(answer: &'static [u8]) -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = local(listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

fn tls() -> Arc<rustls::ClientConfig> {
    let builder = rustls::ClientConfig::builder_with_provider(testkit::pki::provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

async fn failure(address: Address, tls: Option<Arc<rustls::ClientConfig>>) -> ConnectError {
    let mut connector = Connector::new(vec![address], tls, options()).with_timing(quick());
    let Err(mut failures) = connector.connect_once().await else { panic!("a session") };
    failures.pop().unwrap().1
}

#[tokio::test]
async fn reports_why_no_session_was_opened() {
    let refused = failure(local(free_port().await), None).await;
    assert!(matches!(refused, ConnectError::Dial(DialError::Refused { .. })), "{refused}");
    let unknown = Address { host: "no-such-broker.invalid".to_owned(), port: 1 };
    let unknown = failure(unknown, None).await;
    assert!(
        matches!(&unknown, ConnectError::Dial(DialError::NameNotFound { host, .. }) if host == "no-such-broker.invalid"),
        "{unknown}"
    );
    let web = failure(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, None).await;
    assert!(matches!(web, ConnectError::NotOpened { source: OpenError::AnswersHttp { .. }, .. }), "{web}");
    let secure = failure(answering(b"\x15\x03\x03\x00\x02\x02\x46").await, None).await;
    assert!(matches!(secure, ConnectError::NotOpened { source: OpenError::AnswersTls, .. }), "{secure}");
}

#[tokio::test]
async fn reports_why_tls_failed() {
    let plain = failure(answering(b"ERROR\nmessage:no STOMP\n\n\0").await, Some(tls())).await;
    assert!(
        matches!(&plain, ConnectError::NotTls { answer, .. } if answer.starts_with("ERROR\\nmessage")),
        "{plain:?}"
    );
    let web = failure(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, Some(tls())).await;
    assert!(matches!(web, ConnectError::WebServer { .. }), "{web:?}");
    let hung_up = failure(answering(b"").await, Some(tls())).await;
    assert!(matches!(hung_up, ConnectError::Dial(DialError::HandshakeClosed { .. })), "{hung_up:?}");
    let alert = failure(answering(b"\x15\x03\x03\x00\x02\x02\x74").await, Some(tls())).await;
    let wanted = rustls::AlertDescription::CertificateRequired;
    assert!(
        matches!(alert, ConnectError::Dial(DialError::ClientCertificateRefused { alert, .. }) if alert == wanted),
        "{alert:?}"
    );
    let old = failure(answering(b"\x15\x03\x03\x00\x02\x02\x46").await, Some(tls())).await;
    assert!(matches!(old, ConnectError::Dial(DialError::Tls { .. })), "{old:?}");
    assert!(old.to_string().contains("TLS alert protocol_version: the server supports neither"), "{old}");
}

#[tokio::test]
async fn a_handshake_failure_is_attributed_to_a_known_defect_of_our_certificate() {
    let answer = b"\x15\x03\x03\x00\x02\x02\x28";
    let unknown = failure(answering(answer).await, Some(tls())).await.to_string();
    assert!(unknown.contains("TLS alert handshake_failure: no common cipher suite"), "{unknown}");
    let own = OwnCertificate::new(|| Some("host.pem lacks clientAuth".to_owned()));
    let mut connector = Connector::new(vec![answering(answer).await], Some(tls()), options()).with_own_certificate(own);
    let failures = connector.connect_once().await.map(|_| ()).unwrap_err();
    let known = failures[0].1.to_string();
    assert!(known.contains("refused our certificate: TLS alert handshake_failure"), "{known}");
    assert!(known.ends_with("; host.pem lacks clientAuth"), "{known}");
}

#[tokio::test]
async fn a_silent_peer_times_out_in_every_phase() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent = local(listener.local_addr().unwrap().port());
    let plain = failure(silent.clone(), None).await;
    assert!(matches!(plain, ConnectError::NotOpened { source: OpenError::NotConnectedInTime { .. }, .. }), "{plain}");
    let secure = failure(silent, Some(tls())).await;
    assert!(matches!(secure, ConnectError::Dial(DialError::HandshakeTimeout { .. })), "{secure}");
}

#[tokio::test]
async fn a_refused_login_is_quoted() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.login = Some(("ann".to_owned(), "secret".to_owned())));
    let error = failure(local(broker.address().port()), None).await;
    assert_eq!(chain(&error).split_once(": ").unwrap().1, "broker refused the login: Bad CONNECT: access refused");
}

#[tokio::test]
async fn fails_over_in_order_and_returns_to_the_first() {
    let (first, second) = (Broker::start(None).await.unwrap(), Broker::start(None).await.unwrap());
    let brokers = vec![local(free_port().await), local(first.address().port()), local(second.address().port())];
    let mut connector = Connector::new(brokers.clone(), None, options()).with_timing(quick());
    for _ in 0..2 {
        let session = connector.connect().await;
        assert_eq!(connector.broker(), brokers.get(1));
        first.script(|script| script.silent = true);
        first.drop_connections();
        session.closed().await;
        let session = connector.connect().await;
        assert_eq!(connector.broker(), brokers.get(2));
        first.script(|script| script.silent = false);
        second.drop_connections();
        session.closed().await;
    }
}

#[tokio::test]
async fn tries_every_address_of_a_name() {
    // The demo broker listens on 127.0.0.1 only; the name may also resolve to ::1.
    let broker = Broker::start(None).await.unwrap();
    let named = Address { host: "localhost".to_owned(), port: broker.address().port() };
    assert!(Connector::new(vec![named], None, options()).connect_once().await.is_ok());
}

#[tokio::test]
async fn retries_until_the_broker_is_up() {
    let port = free_port().await;
    let mut connector = Connector::new(vec![local(port)], None, options()).with_timing(quick());
    let connecting = tokio::spawn(async move { connector.connect().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!connecting.is_finished());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"CONNECTED\n\n\0").await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broker_that_accepts_and_closes_is_not_retried_in_a_hot_loop() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.close_after_frames = Some(1));
    let mut connector = Connector::new(vec![local(broker.address().port())], None, options()).with_timing(quick());
    let begun = Instant::now();
    for _ in 0..6 {
        let session = connector.connect().await;
        broker.drop_connections();
        session.closed().await;
    }
    // Five pauses of at least half of the first one.
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[test]
fn pauses_double_up_to_the_longest_and_are_random() {
    let timing = Timing::default();
    for (failures, most) in [(1, 1), (2, 2), (4, 8), (7, 60), (1000, 60)] {
        let pauses: Vec<Duration> = (0..200).map(|_| pause_after(failures, &timing)).collect();
        let within = pauses.iter().all(|p| *p >= Duration::from_millis(500) && *p <= Duration::from_secs(most));
        assert!(within, "{failures}");
        assert!(pauses.iter().max().unwrap().mul_f64(0.7) > *pauses.iter().min().unwrap());
    }
    // An absent broker is tried between 6 and 20 times in two minutes.
    for _ in 0..100 {
        let (mut clock, mut attempts) = (Duration::ZERO, 1);
        for failures in 1.. {
            clock += pause_after(failures, &timing);
            if clock > Duration::from_secs(120) {
                break;
            }
            attempts += 1;
        }
        assert!((6..=20).contains(&attempts), "{attempts}");
    }
}
