//! Tests of a session with a peer that writes literal bytes, and with the demo broker.

mod protocol;
mod receiving;
mod sending;

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::decode::{Decoder, Event, Limits};
use crate::frame::{Frame, Origin};
use testkit::broker::Broker;

/// How long a test waits for an expected event.
const PATIENCE: Duration = Duration::from_secs(5);

/// The other end of a session, controlled by the test.
struct Peer {
    stream: DuplexStream,
    decoder: Decoder,
    input: BytesMut,
}

impl Peer {
    fn new(stream: DuplexStream) -> Self {
        let mut decoder = Decoder::new(Origin::Client, Limits::default());
        decoder.set_version(Version::V1_2);
        Self { stream, decoder, input: BytesMut::new() }
    }

    async fn write(&mut self, wire: impl AsRef<[u8]>) {
        self.stream.write_all(wire.as_ref()).await.unwrap();
    }

    /// The next frame of the session.
    async fn frame(&mut self) -> Frame {
        let next = async {
            loop {
                if let Some(event) = self.decoder.decode(&mut self.input).unwrap() {
                    if let Event::Frame(frame) = event {
                        return frame;
                    }
                    continue;
                }
                assert!(self.stream.read_buf(&mut self.input).await.unwrap() > 0, "the session closed the stream");
            }
        };
        timeout(PATIENCE, next).await.expect("a frame in time")
    }

    /// Waits for SUBSCRIBE, sends its RECEIPT and returns its id.
    async fn take_subscription(&mut self) -> String {
        let frame = self.frame().await;
        assert_eq!(frame.command, Command::Subscribe);
        let receipt = frame.headers.text("receipt").unwrap();
        self.write(format!("RECEIPT\nreceipt-id:{receipt}\n\n\0")).await;
        frame.headers.text("id").unwrap().to_owned()
    }
}

fn quick() -> SessionOptions {
    SessionOptions {
        connected_timeout: Duration::from_millis(200),
        receipt_timeout: Duration::from_millis(300),
        ..SessionOptions::default()
    }
}

/// Opens a session whose peer answers CONNECT with `connected`.
async fn open_with(options: SessionOptions, connected: &str) -> (Result<Session, OpenError>, Peer) {
    let (ours, theirs) = duplex(1024 * 1024);
    let mut peer = Peer::new(theirs);
    peer.write(connected).await;
    (Session::open(ours, options).await, peer)
}

/// An open session of `version` and its peer, which has read CONNECT.
async fn session(options: SessionOptions, version: &str) -> (Session, Peer) {
    let (session, mut peer) = open_with(options, &format!("CONNECTED\nversion:{version}\n\n\0")).await;
    assert_eq!(peer.frame().await.command, Command::Connect);
    (session.unwrap(), peer)
}

fn to_queue(body: &[u8]) -> SendFrame {
    let headers = vec![("empa-id".to_owned(), "6b031234/6b03126398f937".to_owned())];
    SendFrame { destination: "/queue/a".to_owned(), headers, body: Bytes::copy_from_slice(body) }
}

async fn closed(session: &Session) -> Arc<Closed> {
    timeout(PATIENCE, session.closed()).await.expect("the session ends")
}

/// A session with a demo broker.
async fn with_broker(options: SessionOptions, broker: &Broker) -> Session {
    let stream = TcpStream::connect(broker.address()).await.unwrap();
    Session::open(stream, options).await.unwrap()
}

async fn next(subscription: &mut Subscription) -> Delivery {
    timeout(PATIENCE, subscription.next()).await.expect("a delivery in time").expect("an open session")
}

/// Waits until `fact` holds.
async fn eventually(what: &str, fact: impl Fn() -> bool) {
    let patience = tokio::time::Instant::now() + PATIENCE;
    while !fact() {
        assert!(tokio::time::Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
