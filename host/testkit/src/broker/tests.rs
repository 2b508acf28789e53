//! The broker keeps its word: nothing is lost, and it speaks the protocol to a client that is not ours.

mod tls;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// Writes `wire` and reads until `wanted` came.
async fn exchange(stream: &mut TcpStream, wire: &str, wanted: &str) -> String {
    stream.write_all(wire.as_bytes()).await.unwrap();
    let mut found = Vec::new();
    while !String::from_utf8_lossy(&found).contains(wanted) {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_buf(&mut found)).await;
        assert!(read.expect("an answer in time").unwrap() > 0, "{:?}", String::from_utf8_lossy(&found));
    }
    String::from_utf8(found).unwrap()
}

async fn connected(broker: &Broker, version: &str) -> TcpStream {
    let mut stream = TcpStream::connect(broker.address()).await.unwrap();
    exchange(&mut stream, &format!("CONNECT\naccept-version:{version}\n\n\0"), "\n\n\0").await;
    stream
}

#[tokio::test]
async fn speaks_the_highest_version_offered() {
    let broker = Broker::start(None).await.unwrap();
    for (offered, version) in [("1.0,1.1,1.2", "version:1.2\n"), ("1.1", "version:1.1\n"), ("1.0", "CONNECTED\n")] {
        let mut stream = TcpStream::connect(broker.address()).await.unwrap();
        let wire = format!("STOMP\naccept-version:{offered}\n\n\0");
        let answer = exchange(&mut stream, &wire, "\n\n\0").await;
        assert!(answer.contains(version) && (offered != "1.0" || !answer.contains("version")), "{answer}");
    }
}

#[tokio::test]
async fn a_message_is_kept_until_it_is_acknowledged() {
    let broker = Broker::start(None).await.unwrap();
    let mut stream = connected(&broker, "1.2").await;
    let sent = "SEND\ndestination:/queue/a\nempa-id:1\nreceipt:r1\n\nhello\0";
    exchange(&mut stream, sent, "RECEIPT\nreceipt-id:r1\n\n\0").await;
    let subscribe = "SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client-individual\n\n\0";
    let first = exchange(&mut stream, subscribe, "hello\0").await;
    assert!(first.contains("empa-id:1\n") && !first.contains("redelivered"), "{first}");
    assert_eq!((broker.depth("/queue/a"), broker.in_flight("/queue/a")), (1, 1));
    drop(stream);

    let mut stream = connected(&broker, "1.2").await;
    let second = exchange(&mut stream, subscribe, "hello\0").await;
    assert!(second.contains("redelivered:true\n"), "{second}");
    let id = second.split_once("\nack:").unwrap().1.split_once('\n').unwrap().0;
    assert!(id.contains(r"\c"), "{id}");
    exchange(&mut stream, &format!("ACK\nid:{id}\nreceipt:r2\n\n\0"), "receipt-id:r2\n").await;
    assert_eq!((broker.depth("/queue/a"), broker.counters().acknowledged), (0, 1));
}

#[tokio::test]
async fn the_prefetch_is_kept_and_what_it_holds_back_goes_to_another() {
    let broker = Broker::start(None).await.unwrap();
    for body in ["one", "two", "three"] {
        broker.put("/queue/a", Headers::new(), body);
    }
    let subscribe = "SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client-individual\nprefetch-count:2\nreceipt:r\n\n\0";
    let mut first = connected(&broker, "1.1").await;
    exchange(&mut first, subscribe, "two\0").await;
    assert_eq!((broker.in_flight("/queue/a"), broker.waiting("/queue/a").len()), (2, 1));
    let mut second = connected(&broker, "1.1").await;
    exchange(&mut second, subscribe, "three\0").await;
    drop(first);
    exchange(&mut second, "", "one\0").await;
}

#[tokio::test]
async fn breaking_the_protocol_is_answered_by_an_error() {
    let broker = Broker::start(None).await.unwrap();
    let mut stream = TcpStream::connect(broker.address()).await.unwrap();
    exchange(&mut stream, "SEND\ndestination:/queue/a\n\n\0", "You must log in using CONNECT first").await;
    for wire in ["SEND\n\n\0", "ACK\nid:c1\\cm1\n\n\0", "nonsense\n", "CONNECT\n\n\0"] {
        let mut stream = connected(&broker, "1.2").await;
        exchange(&mut stream, wire, "ERROR\n").await;
    }
}
