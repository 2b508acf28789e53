//! CONNECT and CONNECTED, heart-beats, and what ends a session.

use super::*;
use crate::decode::FrameError;

async fn refused(connected: &str) -> OpenError {
    open_with(quick(), connected).await.0.err().unwrap_or_else(|| panic!("a session with {connected:?}"))
}

#[tokio::test]
async fn connect_follows_the_specification() {
    let login = Login { name: "ann".to_owned(), passcode: "pass:word".to_owned().into() };
    let options = SessionOptions { login: Some(login), virtual_host: "/apel".to_owned(), ..quick() };
    assert!(!format!("{options:?}").contains("pass:word"));
    let (_session, mut peer) = open_with(options, "CONNECTED\nversion:1.2\n\n\0").await;
    let mut wire = vec![0; 512];
    let count = peer.stream.read(&mut wire).await.unwrap();
    let expected =
        "CONNECT\naccept-version:1.0,1.1,1.2\nhost:/apel\nheart-beat:10000,10000\nlogin:ann\npasscode:pass:word\n\n\0";
    assert_eq!(String::from_utf8_lossy(&wire[..count]), expected);
}

#[tokio::test]
async fn uses_the_version_that_the_broker_chose() {
    for (connected, version) in [
        ("CONNECTED\n\n\0", Version::V1_0),
        ("CONNECTED\nversion:1.0\n\n\0", Version::V1_0),
        ("\n\nCONNECTED\nversion:1.1\nheart-beat:0,0\n\n\0\n", Version::V1_1),
        ("CONNECTED\r\nversion:1.2\r\nserver:RabbitMQ/3\r\n\r\n\0\n", Version::V1_2),
    ] {
        assert_eq!(open_with(quick(), connected).await.0.unwrap().version(), version, "{connected:?}");
    }
    let error = refused("CONNECTED\nversion:9.9\n\n\0").await;
    assert!(matches!(error, OpenError::UnknownVersion { version } if version == "9.9"));
}

#[tokio::test]
async fn refuses_frames_before_connected() {
    for (wire, command) in
        [("MESSAGE\nsubscription:1\n\nx\0", Command::Message), ("RECEIPT\nreceipt-id:1\n\n\0", Command::Receipt)]
    {
        let error = refused(wire).await;
        assert!(matches!(error, OpenError::Protocol(ProtocolError::Unexpected { command: found }) if found == command));
    }
}

#[tokio::test]
async fn a_refused_login_shows_the_text_of_the_broker_without_the_password() {
    let login = Login { name: "ann".to_owned(), passcode: "hunter2".to_owned().into() };
    let options = SessionOptions { login: Some(login), ..quick() };
    let wire = format!("ERROR\nmessage:Bad CONNECT\n\nno hunter2\x1b[31m here {}\0", "x".repeat(10_000));
    let error = open_with(options, &wire).await.0.unwrap_err();
    let OpenError::LoginRefused { message } = error else { panic!("{error}") };
    assert!(message.starts_with("Bad CONNECT: no (passcode)\\u{1b}[31m here xxx"), "{message}");
    assert!(message.len() < 4200);
}

#[tokio::test]
async fn reports_what_answered_instead_of_a_broker() {
    assert!(matches!(refused("\x15\x03\x03\x00\x02\x02\x28").await, OpenError::AnswersTls));
    let error = refused("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_eq!(error.to_string(), "a web server answered, not a STOMP broker: HTTP/1.1 400 Bad Request");
    assert!(matches!(refused("SSH-2.0-OpenSSH\n").await, OpenError::Protocol(ProtocolError::Frame(_))));
}

#[tokio::test]
async fn connected_has_a_deadline() {
    assert!(matches!(refused("").await, OpenError::NotConnectedInTime { .. }));
    let (ours, theirs) = duplex(64 * 1024);
    drop(theirs);
    assert!(matches!(Session::open(ours, quick()).await, Err(OpenError::EndOfStream | OpenError::Io(_))));
}

#[tokio::test]
async fn refuses_a_malformed_heart_beat() {
    for bad in ["a,b", "-1,0", "1"] {
        let error = refused(&format!("CONNECTED\nversion:1.2\nheart-beat:{bad}\n\n\0")).await;
        assert!(matches!(error, OpenError::Protocol(ProtocolError::MalformedHeartBeat { .. })), "{bad}");
    }
}

#[tokio::test]
async fn a_login_cannot_inject_a_header() {
    let login = Login { name: "ann\nhost:evil".to_owned(), passcode: String::new().into() };
    let (session, _peer) = open_with(SessionOptions { login: Some(login), ..quick() }, "").await;
    assert!(matches!(session, Err(OpenError::Unsendable(EncodeError::Unrepresentable { byte: b'\n', .. }))));
}

fn beats(interval: u64) -> SessionOptions {
    let interval = Duration::from_millis(interval);
    let heart_beat = HeartBeat {
        outgoing: interval,
        incoming: interval,
        grace: Duration::ZERO,
        shortest: Duration::from_millis(10),
    };
    SessionOptions { heart_beat, receipt_timeout: Duration::from_secs(60), ..quick() }
}

const BEATING: &str = "CONNECTED\nversion:1.2\nheart-beat:100,100\n\n\0";

#[tokio::test]
async fn sends_heart_beats_and_ends_the_session_of_a_silent_broker() {
    let (session, mut peer) = open_with(beats(100), BEATING).await;
    let session = session.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(matches!(*closed(&session).await, Closed::HeartBeatMissed { .. }));
    let lived = begun.elapsed();
    assert!(lived >= Duration::from_millis(195) && lived < Duration::from_secs(2), "{lived:?}");
    let mut wire = Vec::new();
    peer.stream.read_to_end(&mut wire).await.unwrap();
    let sent = wire.iter().rev().take_while(|byte| **byte == b'\n').count();
    assert!(sent >= 1, "{sent} heart-beats");
}

#[tokio::test]
async fn stays_alive_on_heart_beats_alone_and_on_frames_alone() {
    for alive in [&b"\n"[..], b"MESSAGE\nsubscription:1\nack:1\n\n\0"] {
        let (session, mut peer) = open_with(beats(100), BEATING).await;
        let session = session.unwrap();
        let subscribing = tokio::spawn({
            let session = session.clone();
            async move { session.subscribe(&Subscribe::new("/queue/a")).await.unwrap() }
        });
        peer.frame().await;
        let id = peer.take_subscription().await;
        let _subscription = subscribing.await.unwrap();
        assert_eq!(id, "1");
        for _ in 0..10 {
            peer.write(alive).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(session.ended().is_none());
    }
}

#[tokio::test]
async fn time_in_which_the_process_did_not_run_does_not_count() {
    let (session, mut peer) = open_with(beats(100), BEATING).await;
    let session = session.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(400));
        peer.write("\n").await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(session.ended().is_none());
    }
}

#[tokio::test]
async fn a_flood_of_heart_beats_does_not_hide_frames() {
    let (session, mut peer) = session(quick(), "1.2").await;
    let pending = session.send(to_queue(b"x")).await.unwrap();
    let receipt = peer.frame().await.headers.text("receipt").unwrap().to_owned();
    for _ in 0..10 {
        peer.write(vec![b'\n'; 100_000]).await;
    }
    peer.write(format!("RECEIPT\nreceipt-id:{receipt}\n\n\0")).await;
    let _receipt = pending.await.unwrap();
}

#[tokio::test]
async fn a_client_frame_or_other_input_ends_the_session() {
    for wire in ["CONNECTED\nversion:1.2\n\n\0", "SEND\n\n\0", "garbage\n", "MESSAGE\nno colon\n\n\0"] {
        let (session, mut peer) = session(quick(), "1.2").await;
        peer.write(wire).await;
        assert!(matches!(*closed(&session).await, Closed::Protocol(_)), "{wire:?}");
    }
    let (session, mut peer) = session(quick(), "1.2").await;
    peer.write("RECEIPT\ncontent-length:99999999\n\n").await;
    let reason = closed(&session).await;
    let too_long = matches!(&*reason, Closed::Protocol(ProtocolError::Frame(FrameError::BodyTooLong { .. })));
    assert!(too_long, "{reason:?}");
}

#[tokio::test]
async fn the_end_of_the_stream_is_reported_with_its_position() {
    for (wire, cut) in [("", false), ("\n", false), ("MESSAGE\nsub", true), ("MESSAGE\n\nbody", true), ("MES", true)] {
        let (session, mut peer) = session(quick(), "1.2").await;
        peer.write(wire).await;
        drop(peer);
        let reason = closed(&session).await;
        assert!(matches!(*reason, Closed::EndOfStream { mid_frame } if mid_frame == cut), "{wire:?}: {reason:?}");
    }
}

#[tokio::test]
async fn a_slow_frame_ends_the_session() {
    let options = SessionOptions { frame_deadline: Duration::from_millis(200), ..quick() };
    let (session, mut peer) = session(options, "1.2").await;
    let creeping = tokio::spawn(async move {
        for byte in b"RECEIPT\nreceipt-id:".iter().cycle() {
            if peer.stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(matches!(*closed(&session).await, Closed::FrameTooSlow { .. }));
    creeping.abort();
}

#[tokio::test]
async fn a_disconnect_is_answered_or_times_out() {
    let broker = Broker::start(None).await.unwrap();
    let session = with_broker(quick(), &broker).await;
    assert!(session.disconnect(PATIENCE).await);
    assert!(matches!(*closed(&session).await, Closed::ByUs));

    broker.script(|script| script.withhold_receipts = true);
    let session = with_broker(quick(), &broker).await;
    assert!(!session.disconnect(Duration::from_millis(100)).await);
    assert!(matches!(*closed(&session).await, Closed::ByUs));
}

#[tokio::test]
async fn a_dropped_session_closes_the_connection() {
    let (session, mut peer) = session(quick(), "1.2").await;
    drop(session);
    assert_eq!(timeout(PATIENCE, peer.stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
}
