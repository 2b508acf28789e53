//! Connections, deadlines, and answers that are too long, cut off or without end.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const PUBLISH: &str = "cannot publish to topic gocdb of project accounting at HOST: ";
const ALL_THE_SAME: &str = "; the message may have been published all the same";

/// Checks the text of a failed publish with short deadlines, and what it says about the message.
async fn fails(server: &Server, change: impl FnOnce(&mut Settings), expected: &str, taken: bool) -> Error {
    let mut settings = settings(server);
    change(&mut settings);
    let error = Client::new(settings).publish(&topic(), &one()).await.unwrap_err();
    let after = if taken { ALL_THE_SAME } else { "" };
    assert_eq!(text(&error, server), format!("{PUBLISH}{expected}{after}"));
    assert_eq!(error.may_have_been_taken(), taken);
    error
}

fn hurry(settings: &mut Settings) {
    settings.timing.answer = Duration::from_millis(500);
    settings.timing.whole = Duration::from_millis(1500);
}

#[tokio::test]
async fn an_answer_is_cut_off() {
    let server = api(|_| Reply::cut("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"messageIds\":")).await;
    let error = fails(&server, |_| {}, "the answer was cut off after 14 bytes", true).await;
    assert!(error.is_transient());
    let server = api(|_| Reply::cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")).await;
    fails(&server, |_| {}, "the answer was cut off after 2 bytes", true).await;
}

#[tokio::test]
async fn an_answer_is_longer_than_the_bound() {
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n{";
    let server = api(|_| Reply::hang(announced)).await;
    fails(&server, |_| {}, "the answer is longer than 1048576 bytes, the most that is read", true).await;
    for head in [announced, "HTTP/1.1 200 OK\r\n\r\n"] {
        let server = api(move |_| Reply::flood(head)).await;
        let mut settings = settings(&server);
        settings.limits.pull = 2_000_000;
        let error = Client::new(settings).pull(&subscription(), 10).await.unwrap_err();
        assert!(
            text(&error, &server).ends_with(": the answer is longer than 2000000 bytes, the most that is read"),
            "{error}"
        );
        assert!(!error.is_transient());
    }
    let server = api(|_| Reply::flood("HTTP/1.1 500 X\r\n\r\n{")).await;
    fails(&server, |_| {}, "AMS is not available (500), it says: {", true).await;
}

#[tokio::test]
async fn an_answer_of_just_the_bound_is_read() {
    let body = format!("{{{}}}", " ".repeat(998));
    let server = api(move |_| Reply::ok(&body)).await;
    for (pull, good) in [(1000, true), (999, false)] {
        let mut settings = settings(&server);
        settings.limits.pull = pull;
        assert_eq!(Client::new(settings).pull(&subscription(), 1).await.is_ok(), good);
    }
}

#[tokio::test]
async fn an_answer_does_not_end() {
    let server = api(|_| Reply::hang("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")).await;
    fails(&server, hurry, "the answer did not end within 1.5 s", true).await;
}

#[tokio::test]
async fn an_answer_does_not_come() {
    for bytes in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let server = api(move |_| Reply::hang(bytes)).await;
        let error = fails(&server, hurry, "no answer within 0.5 s", true).await;
        assert!(error.is_transient());
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn the_request_cannot_be_sent_in_time() {
    // The server takes the connection and never answers the handshake.
    let server = silent().await;
    let error = fails(&server, hurry, "the request could not be sent within 0.5 s", false).await;
    assert!(error.is_transient());
    let connect = |settings: &mut Settings| settings.timing.connect = Duration::from_millis(300);
    let error = fails(&server, connect, "TLS handshake with HOST not finished within 0.3 s", false).await;
    assert!(error.is_transient());
}

/// A server that does not speak. It never gets as far as a request.
async fn silent() -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap().0);
        }
    });
    Server::at(address, task)
}

#[tokio::test]
async fn the_connection_is_closed_before_the_answer() {
    let server = api(|_| Reply::cut("")).await;
    let expected = "the connection failed before the answer: the server closed it";
    let error = fails(&server, |_| {}, expected, true).await;
    assert!(error.is_transient());
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced() {
    let server = api(|n| {
        let reply = r#"{"messageIds":["1"]}"#;
        let closing = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{reply}", reply.len());
        if n == 0 { Reply::cut(&closing) } else { Reply::ok(reply) }
    })
    .await;
    let client = client(&server);
    for expected in 1..=3 {
        client.publish(&topic(), &one()).await.unwrap();
        assert_eq!(server.count(), expected);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 1]);
}

#[tokio::test]
async fn the_answer_is_not_http() {
    let server = api(|_| Reply::cut("SSH-2.0-OpenSSH_9.9\r\n\r\n")).await;
    fails(&server, |_| {}, "the answer cannot be understood: it is not HTTP", true).await;
}

#[tokio::test]
async fn no_server_and_no_host() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let server = Server::at(address, tokio::spawn(async {}));
    let expected = "HOST refused the connection: no server listens on that port";
    let error = fails(&server, |_| {}, expected, false).await;
    assert!(error.is_transient());
    let nowhere: Endpoint = "ams.invalid".parse().unwrap();
    let client = Client::new(Settings { endpoint: nowhere, ..settings(&server) });
    let said = message::cause::chain(&client.status().await.unwrap_err());
    let begins = "cannot read the status of AMS at ams.invalid:443: cannot resolve host name ams.invalid: ";
    assert!(said.starts_with(begins), "{said}");
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        std::future::pending().await
    });
    let said = fails_somehow(&Server::at(address, task)).await;
    assert_eq!(
        said,
        "cannot read the status of AMS at HOST: TLS with HOST failed: the server's answer is not a TLS handshake"
    );
}

#[tokio::test]
async fn a_refusal_that_comes_before_the_end_of_a_large_request_is_read() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(WORLD.api_tls());
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 6\r\n\r\n<html>").await;
        let _ = stream.shutdown().await;
        std::future::pending().await
    });
    let server = Server::at(address, task);
    let error = client(&server).publish(&topic(), &[Publication::new("a", vec![0; 8_000_000])]).await.unwrap_err();
    let expected =
        "AMS takes no message of this size (413), it says: a web page instead of JSON: send less in one message";
    assert_eq!(text(&error, &server), format!("{PUBLISH}{expected}"));
}

async fn fails_somehow(server: &Server) -> String {
    text(&client(server).status().await.unwrap_err(), server)
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_host_is_refused() {
    let other = Authority::root(&Request::authority("/O=Other CA/CN=Root")).unwrap();
    let foreign = other.issue(&host("ams.example.org")).unwrap();
    let elsewhere = WORLD.root.issue(&Request { addresses: Vec::new(), ..host("elsewhere.example.org") }).unwrap();
    for own in [foreign, elsewhere] {
        let server = Server::start(Some(WORLD.root.server_config(&own).unwrap()), |_, _| Reply::ok("{}")).await;
        let said = fails_somehow(&server).await;
        assert!(said.starts_with("cannot read the status of AMS at HOST: certificate of HOST refused: "), "{said}");
        assert_eq!(server.count(), 0);
    }
}

/// A proxy that answers the head of a CONNECT with `reply`, and then passes all on to `to`.
async fn proxy(reply: &'static str, to: SocketAddr) -> (Endpoint, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(reply.as_bytes()).await.unwrap();
        if reply.contains(" 200 ") {
            let mut onward = TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut onward).await });
        }
        String::from_utf8(head).unwrap()
    });
    (endpoint, task)
}

#[tokio::test]
async fn goes_over_a_proxy() {
    let server = api(|_| Reply::ok(r#"{"status":"ok"}"#)).await;
    let (proxy, head) = proxy("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", server.address()).await;
    let client = Client::new(Settings { proxy: Some(proxy), ..settings(&server) });
    assert_eq!(client.status().await.unwrap(), "ok");
    let at = server.endpoint();
    assert_eq!(head.await.unwrap(), format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n"));
}

#[tokio::test]
async fn a_proxy_that_refuses_says_why() {
    let server = api(|_| Reply::ok("{}")).await;
    for (reply, reason) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it answered 407 Proxy Authentication Required"),
        ("HTTP/1.0 502\r\n\r\n", "it answered 502"),
        ("SSH-2.0\r\n\r\n", "its answer is not HTTP: SSH-2.0"),
        ("HTTP/1.1 200", "it closed the connection"),
    ] {
        let (proxy, _) = proxy(reply, server.address()).await;
        let named = proxy.to_string();
        let expected = format!("the proxy {named} makes no connection to HOST: {reason}");
        let error = fails(&server, |settings| settings.proxy = Some(proxy), &expected, false).await;
        assert!(error.is_transient());
    }
    assert_eq!(server.count(), 0);
}
