//! What the script makes go wrong.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test]
async fn faults_come_in_their_order_and_then_all_is_well() {
    let server = server().await;
    server.fault(Route::Publish, Fault::html(502));
    server.fault(Route::Publish, Fault::error(500, "Backend Error", "INTERNAL_SERVER_ERROR"));
    server.fault(Route::Publish, Fault::bare(503));
    assert_eq!(server.faults(Route::Publish), 3);
    let first = publish(&server, &[message("a", "")]).await;
    assert!(first.0 == 502 && first.1.as_str().unwrap().starts_with("<html>"), "{first:?}");
    assert_eq!(error(publish(&server, &[message("a", "")]).await), (500, "Backend Error".to_owned()));
    assert_eq!(publish(&server, &[message("a", "")]).await, (503, json!("")));
    assert!(server.messages("accounting", "jobs").is_empty());
    assert_eq!(publish(&server, &[message("a", "")]).await.0, 200);
    server.set_lasting_fault(Route::Publish, Some(Fault::bare(504)));
    for _ in 0..2 {
        assert_eq!(publish(&server, &[message("a", "")]).await.0, 504);
    }
    server.set_lasting_fault(Route::Publish, None);
    assert_eq!(publish(&server, &[message("a", "")]).await.0, 200);
}

#[tokio::test]
async fn a_reset_before_or_after_the_request_is_carried_out() {
    let server = server().await;
    let large = json!({ "messages": [message("a", &"A".repeat(900_000))] }).to_string();
    for (fault, stored) in [(Fault::Reset, 0), (Fault::Lost, 1)] {
        server.fault(Route::Publish, fault);
        let said = send(&server, "POST", &format!("{TOPIC}:publish"), "secret", &large).await;
        assert!(said.is_err(), "{said:?}");
        assert_eq!(server.messages("accounting", "jobs").len(), stored);
    }
}

#[tokio::test]
async fn an_answer_ends_in_the_middle() {
    let server = server().await;
    fill(&server, 1);
    server.fault(Route::Pull, Fault::CutOff);
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = "host: localhost\r\nx-api-key: secret\r\ncontent-length: 2";
    stream.write_all(format!("POST {SUBSCRIPTION}:pull HTTP/1.1\r\n{head}\r\n\r\n{{}}").as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    let length: usize = head.split_once("content-length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && body.starts_with('{') && body.len() == length / 2, "{said}");
    assert_eq!(server.counters().pulled, 1);
}

#[tokio::test]
async fn an_answer_has_the_length_that_is_asked_for() {
    let server = server().await;
    for declared in [false, true] {
        server.fault(Route::Pull, Fault::Long { bytes: 10_000_001, declared });
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let said = exchange(stream, "POST", &format!("{SUBSCRIPTION}:pull"), "secret", "{}").await.unwrap();
        assert_eq!((said.0, said.1.len()), (200, 10_000_001));
    }
}

#[tokio::test]
async fn an_answer_comes_late_or_never() {
    let server = server().await;
    server.fault(Route::Publish, Fault::Delay(Duration::from_millis(200)));
    let began = Instant::now();
    assert_eq!(publish(&server, &[message("a", "")]).await.0, 200);
    assert!(began.elapsed() >= Duration::from_millis(200));
    server.fault(Route::Publish, Fault::Silent);
    let said = tokio::time::timeout(Duration::from_millis(200), publish(&server, &[message("a", "")])).await;
    assert!(said.is_err() && server.messages("accounting", "jobs").len() == 1);
}

#[tokio::test]
async fn a_batch_fails_in_the_middle() {
    let server = server().await;
    server.fault(Route::Publish, Fault::FailAfter(2));
    let batch = [message("a", ""), message("b", ""), message("c", "")];
    assert_eq!(error(publish(&server, &batch).await), (500, "Backend Error".to_owned()));
    assert_eq!(server.messages("accounting", "jobs").len(), 2);
}

#[tokio::test]
async fn pulled_messages_are_not_what_they_should_be() {
    let server = server().await;
    fill(&server, 1);
    server.fault(Route::Pull, Fault::NoBase64);
    server.fault(Route::Pull, Fault::ForeignAckIds);
    assert_eq!(pull(&server, 1).await.1["receivedMessages"][0]["message"]["data"], "=this is not base64!=");
    let ack_id = pull(&server, 1).await.1["receivedMessages"][0]["ackId"].clone();
    assert_eq!(ack_id, "projects/accounting/subscriptions/repository-other:0");
}

#[tokio::test]
async fn a_server_that_is_dropped_is_gone() {
    let server = server().await;
    let address = server.address();
    let path = format!("{SUBSCRIPTION}:pull");
    let stream = TcpStream::connect(address).await.unwrap();
    let pulling =
        tokio::spawn(
            async move { exchange(stream, "POST", &path, "secret", r#"{"returnImmediately": "false"}"#).await },
        );
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(server);
    assert!(tokio::time::timeout(Duration::from_secs(5), pulling).await.unwrap().unwrap().is_err());
    let refused = TcpStream::connect(address).await.map(drop);
    assert!(refused.is_err(), "{refused:?}");
}
