//! SEND and its RECEIPT.

use super::*;

#[tokio::test]
async fn a_send_has_the_expected_bytes_in_every_version() {
    for (version, destination) in [("1.0", "/queue/a:b"), ("1.1", r"/queue/a\cb"), ("1.2", r"/queue/a\cb")] {
        let (session, mut peer) = session(quick(), version).await;
        let frame = SendFrame { destination: "/queue/a:b".to_owned(), ..to_queue(b"x\0\xff") };
        let _pending = session.send(frame).await.unwrap();
        let mut wire = vec![0; 512];
        let count = peer.stream.read(&mut wire).await.unwrap();
        let text = String::from_utf8_lossy(&wire[..count]).into_owned();
        let begin = format!("SEND\ndestination:{destination}\ncontent-length:3\npersistent:true\nreceipt:");
        assert!(text.starts_with(&begin), "{text:?}");
        assert!(text.contains("\nempa-id:6b031234/6b03126398f937\n\n"), "{text:?}");
        assert!(wire[..count].ends_with(b"\n\nx\0\xff\0"));
    }
}

#[tokio::test]
async fn receipts_are_matched_one_by_one_in_any_order() {
    let (session, mut peer) = session(quick(), "1.2").await;
    let (mut pending, mut ids) = (Vec::new(), Vec::new());
    for number in 0..3 {
        pending.push(session.send(to_queue(&[number])).await.unwrap());
        ids.push(peer.frame().await.headers.text("receipt").unwrap().to_owned());
    }
    let [first, second, third] = &ids[..] else { panic!("three ids") };
    peer.write(format!("RECEIPT\nreceipt-id:{third}\n\n\0RECEIPT\nreceipt-id:{first}\n\n\0")).await;
    assert_eq!(pending.pop().unwrap().await.unwrap().id(), third);
    let mut waiting = pending.pop().unwrap();
    assert_eq!(pending.pop().unwrap().await.unwrap().id(), first);
    assert!(timeout(Duration::from_millis(20), &mut waiting).await.is_err(), "{second} has no receipt yet");
}

#[tokio::test]
async fn an_unknown_receipt_ends_the_session_and_confirms_nothing() {
    for foreign in ["other", "", "000000000000-1"] {
        let (session, mut peer) = session(quick(), "1.2").await;
        let pending = session.send(to_queue(b"x")).await.unwrap();
        peer.frame().await;
        peer.write(format!("RECEIPT\nreceipt-id:{foreign}\n\n\0")).await;
        assert!(matches!(pending.await, Err(SendFailure::Closed(_))));
        let reason = closed(&session).await;
        assert!(matches!(*reason, Closed::Protocol(ProtocolError::UnknownReceipt { .. })), "{reason:?}");
    }
}

#[tokio::test]
async fn a_receipt_of_an_earlier_connection_is_foreign() {
    let (first, mut peer) = session(quick(), "1.2").await;
    let _pending = first.send(to_queue(b"x")).await.unwrap();
    let old = peer.frame().await.headers.text("receipt").unwrap().to_owned();
    let (second, mut peer) = session(quick(), "1.2").await;
    let pending = second.send(to_queue(b"x")).await.unwrap();
    peer.write(format!("RECEIPT\nreceipt-id:{old}\n\n\0")).await;
    assert!(matches!(pending.await, Err(SendFailure::Closed(_))));
}

#[tokio::test]
async fn a_duplicate_receipt_confirms_once_and_ends_the_session() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.duplicate_receipts = true);
    let session = with_broker(quick(), &broker).await;
    let pending = session.send(to_queue(b"x")).await.unwrap();
    let _receipt = pending.await.unwrap();
    assert!(matches!(*closed(&session).await, Closed::Protocol(ProtocolError::UnknownReceipt { .. })));
}

#[tokio::test]
async fn a_withheld_receipt_times_out_and_ends_the_session() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.withhold_receipts = true);
    let session = with_broker(quick(), &broker).await;
    let first = session.send(to_queue(b"x")).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(matches!(first.await, Err(SendFailure::TimedOut { .. })));
    assert!(begun.elapsed() >= Duration::from_millis(290) && begun.elapsed() < PATIENCE);
    assert!(matches!(*closed(&session).await, Closed::ReceiptTimeout { .. }));
    assert!(matches!(session.send(to_queue(b"x")).await, Err(SendFailure::Closed(_))));
}

#[tokio::test]
async fn an_error_that_names_a_send_refuses_that_send_and_fails_the_others() {
    let (session, mut peer) = session(quick(), "1.2").await;
    let culprit = session.send(to_queue(b"x")).await.unwrap();
    let bystander = session.send(to_queue(b"y")).await.unwrap();
    let id = peer.frame().await.headers.text("receipt").unwrap().to_owned();
    peer.write(format!("ERROR\nreceipt-id:{id}\nmessage:too large\n\n\0")).await;
    assert!(matches!(culprit.await, Err(SendFailure::Refused { message }) if message == "too large"));
    let Err(SendFailure::Closed(reason)) = bystander.await else { panic!("no failure") };
    assert!(matches!(&*reason, Closed::Error { receipt_id: Some(named), .. } if *named == id));
}

#[tokio::test]
async fn an_error_that_names_nothing_fails_every_send() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.max_body = Some(10));
    let session = with_broker(quick(), &broker).await;
    let good = session.send(to_queue(b"x")).await.unwrap();
    let _receipt = good.await.unwrap();
    let pending = session.send(to_queue(&[b'x'; 11])).await.unwrap();
    let Err(failure) = pending.await else { panic!("no failure") };
    assert_eq!(failure.broker_text().unwrap(), "Message too large");
    assert_eq!(broker.depth("/queue/a"), 1);
}

#[tokio::test]
async fn an_enormous_error_is_cut() {
    let (session, mut peer) = session(quick(), "1.2").await;
    peer.write("ERROR\nmessage:why\ncontent-length:1000000000\n\nxxxx").await;
    assert_eq!(closed(&session).await.to_string(), "broker sent ERROR: why");
    let (session, mut peer) = self::session(quick(), "1.2").await;
    peer.write(format!("ERROR\n\n\x1b[2J{}\0", "x".repeat(60_000))).await;
    let text = closed(&session).await.to_string();
    assert!(text.starts_with("broker sent ERROR: \\u{1b}[2Jxxx") && text.len() < 4200, "{}", text.len());
}

#[tokio::test]
async fn a_lost_connection_is_never_a_success() {
    let (session, peer) = session(quick(), "1.2").await;
    let pending = session.send(to_queue(b"x")).await.unwrap();
    drop(peer);
    assert!(matches!(pending.await, Err(SendFailure::Closed(_))));
    let (dropped, _peer) = self::session(quick(), "1.2").await;
    let pending = dropped.send(to_queue(b"x")).await.unwrap();
    drop(dropped);
    assert!(matches!(pending.await, Err(SendFailure::Closed(_))));
}

#[tokio::test]
async fn headers_that_cannot_be_sent_are_refused_and_the_session_goes_on() {
    let (session, _peer) = session(quick(), "1.1").await;
    for (name, value) in
        [("empa-id", "a\rb"), ("empa-id", "a\0b"), ("", "x"), ("receipt", "mine"), ("content-length", "5")]
    {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let result = session.send(SendFrame { headers, ..to_queue(b"x") }).await;
        assert!(matches!(result, Err(SendFailure::Unsendable(_))), "{name}: {value:?}");
    }
    assert!(session.ended().is_none());
}

#[tokio::test]
async fn a_broker_that_does_not_read_ends_the_session_before_memory_fills_up() {
    let (session, _peer) = session(quick(), "1.2").await;
    let sending = async {
        let mut queued = 0;
        while let Ok(pending) = session.send(to_queue(&[0; 100_000])).await {
            drop(pending);
            queued += 1;
        }
        queued
    };
    let queued = timeout(PATIENCE, sending).await.unwrap();
    assert!(queued < 200, "{queued} messages of 100 kB were queued");
    assert!(matches!(*closed(&session).await, Closed::WriteStalled { .. } | Closed::ReceiptTimeout { .. }));
}

#[tokio::test]
async fn large_and_small_messages_arrive_as_they_were_sent() {
    let broker = Broker::start(None).await.unwrap();
    let session = with_broker(SessionOptions::default(), &broker).await;
    let bodies: Vec<Vec<u8>> = [0, 1, 4095, 4096, 40_000, 3_000_000].iter().map(|n| vec![b'\0'; *n]).collect();
    let mut pending = Vec::new();
    for body in &bodies {
        pending.push(session.send(to_queue(body)).await.unwrap());
    }
    for receipt in pending {
        let _receipt = receipt.await.unwrap();
    }
    let stored: Vec<Vec<u8>> = broker.waiting("/queue/a").into_iter().map(|(_, body)| body.to_vec()).collect();
    assert!(stored == bodies);
}

#[tokio::test]
async fn an_error_frame_is_still_read_after_a_failed_write() {
    let (ours, theirs) = duplex(1024);
    let mut peer = Peer::new(theirs);
    peer.write("CONNECTED\nversion:1.2\n\n\0").await;
    let session = Session::open(FailingWriter { stream: ours, failing: false }, quick()).await.unwrap();
    let pending = session.send(to_queue(b"x")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    peer.write("ERROR\nmessage:frame too large\n\n\0").await;
    let Err(failure) = pending.await else { panic!("no failure") };
    assert_eq!(failure.broker_text().unwrap(), "frame too large");
}

/// A stream that accepts one write and fails every other.
struct FailingWriter {
    stream: DuplexStream,
    failing: bool,
}

impl AsyncRead for FailingWriter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for FailingWriter {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, wire: &[u8]) -> Poll<std::io::Result<usize>> {
        if std::mem::replace(&mut self.failing, true) {
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, wire)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
