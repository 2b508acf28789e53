//! Over STOMP.

use std::time::Duration;

use sesame_client::{Address, Failure, Message, MessageId, Publisher, SetupError, StompBroker};
use testkit::broker::{Broker, Script};

use super::{RECORD, WORLD, example, settings, start, until};

pub(super) const QUEUE: &str = "/queue/cpu";

/// How to reach a broker, without TLS.
pub(super) fn at(broker: &Broker) -> StompBroker {
    let address = broker.address();
    let hosts = vec![Address { host: address.ip().to_string(), port: address.port() }];
    StompBroker { tls: false, ..StompBroker::new(hosts) }
}

/// The ids of what a queue has.
pub(super) fn ids(broker: &Broker, destination: &str) -> Vec<String> {
    let waiting = broker.waiting(destination);
    waiting.iter().map(|(headers, _)| headers.text("empa-id").unwrap().to_owned()).collect()
}

fn named(id: &str) -> Message {
    Message::new(RECORD).with_id(MessageId::parse(id).unwrap())
}

#[tokio::test]
async fn the_example_publishes_over_tls() {
    let tls = WORLD.authority.server_config(&WORLD.server).unwrap();
    let broker = Broker::start(Some(tls)).await.unwrap();
    let (port, file) = (broker.address().port().to_string(), |name: &str| WORLD.folder.path().join(name));
    let files = ["own.pem", "own.key", "ca"].map(|name| file(name).to_str().unwrap().to_owned());
    let arguments: Vec<String> =
        ["stomp", "127.0.0.1", &port, QUEUE].map(str::to_owned).into_iter().chain(files).collect();
    let done = example::publish(&arguments, RECORD.into()).await.unwrap();
    let ids = ids(&broker, QUEUE);
    assert_eq!(done, format!("{} is at 127.0.0.1:{port}", ids[0]));
    assert_eq!(ids[0].split('/').map(str::len).collect::<Vec<_>>(), [8, 14], "{ids:?}");
    let body = String::from_utf8(broker.waiting(QUEUE)[0].1.to_vec()).unwrap();
    assert!(body.starts_with("MIME-Version: 1.0\nContent-Type: multipart/signed;") && body.contains("UKI-TEST"));
    let usage = example::publish(&arguments[1..], Vec::new()).await.unwrap_err();
    assert!(usage.to_string().contains("CERTIFICATE KEY ANCHORS"));
}

#[tokio::test]
async fn several_messages_share_one_session_and_are_all_confirmed() {
    let broker = Broker::start(None).await.unwrap();
    let publisher = Publisher::new(settings(at(&broker), QUEUE)).unwrap();
    let (first, second) = tokio::join!(publisher.publish(named("one")), publisher.publish(named("two")));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.id.as_str(), first.attempts, first.ams_id), ("one", 1, None));
    assert_eq!((second.id.as_str(), second.broker), ("two", broker.address().to_string()));
    publisher.publish(named("three")).await.unwrap();
    let mut known = ids(&broker, QUEUE);
    known.sort();
    assert_eq!(known, ["one", "three", "two"]);
    assert_eq!(broker.counters().sessions, 1);
    publisher.close().await;
    let closed = publisher.publish(named("four")).await.unwrap_err();
    assert_eq!((closed.failure, closed.may_have_arrived, closed.attempts), (Failure::Closed, false, 0));
    assert_eq!(closed.to_string(), "message four not published: the publisher was closed; it did not arrive");
}

#[tokio::test]
async fn an_error_frame_is_survived_under_the_same_id() {
    let script = Script { refuse_sends: Some("queue is full".to_owned()), ..Script::default() };
    let broker = Broker::start_with(None, script).await.unwrap();
    let publishing = start(settings(at(&broker), QUEUE), named("one"));
    until("an ERROR", || broker.counters().errors > 0).await;
    broker.script(|script| script.refuse_sends = None);
    let published = publishing.await.unwrap().unwrap();
    assert!(published.attempts >= 2, "{published:?}");
    assert_eq!(ids(&broker, QUEUE), ["one"]);
}

#[tokio::test]
async fn a_connection_that_ends_before_the_receipt_means_a_second_copy_under_the_same_id() {
    let broker = Broker::start_with(None, Script { withhold_receipts: true, ..Script::default() }).await.unwrap();
    let publishing = start(settings(at(&broker), QUEUE), named("one"));
    until("a SEND", || broker.counters().sends > 0).await;
    broker.script(|script| script.withhold_receipts = false);
    broker.drop_connections();
    let published = publishing.await.unwrap().unwrap();
    assert_eq!((published.attempts, ids(&broker, QUEUE)), (2, vec!["one".to_owned(); 2]));
    assert_eq!(broker.counters().sessions, 2);
}

#[tokio::test]
async fn a_lost_idle_connection_is_opened_again() {
    let broker = Broker::start(None).await.unwrap();
    let publisher = Publisher::new(settings(at(&broker), QUEUE)).unwrap();
    publisher.publish(named("one")).await.unwrap();
    broker.drop_connections();
    assert!(publisher.publish(named("two")).await.is_ok());
    assert_eq!(broker.counters().sessions, 2);
}

#[tokio::test]
async fn a_deadline_without_a_receipt_says_that_the_message_may_have_arrived() {
    let broker = Broker::start_with(None, Script { withhold_receipts: true, ..Script::default() }).await.unwrap();
    let mut settings = settings(at(&broker), QUEUE);
    settings.deadline = Duration::from_millis(800);
    let error = start(settings, named("one")).await.unwrap().unwrap_err();
    assert_eq!((error.failure, error.attempts, error.may_have_arrived), (Failure::NotConfirmed, 1, true));
    assert!(!error.failure.is_final());
    let (said, at) = (error.to_string(), broker.address());
    let expected =
        format!("message one not confirmed within 800 ms: {at} did not answer; it may have arrived all the same");
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_deadline_without_a_broker_says_that_the_message_did_not_arrive() {
    let broker = Broker::start(None).await.unwrap();
    let mut settings = settings(at(&broker), QUEUE);
    drop(broker);
    settings.deadline = Duration::from_millis(800);
    let error = start(settings, named("one")).await.unwrap().unwrap_err();
    assert_eq!((error.failure, error.attempts, error.may_have_arrived), (Failure::NotConfirmed, 0, false));
    let said = error.to_string();
    assert!(said.contains("refused the connection") && said.ends_with("; it did not arrive"), "{said}");
}

#[tokio::test]
async fn closing_waits_for_what_is_in_flight_and_ends_what_waits_for_a_broker() {
    let broker =
        Broker::start_with(None, Script { delay: Duration::from_millis(200), ..Script::default() }).await.unwrap();
    let publisher = Publisher::new(settings(at(&broker), QUEUE)).unwrap();
    let closing = async {
        until("a SEND", || broker.counters().sends > 0).await;
        publisher.close().await;
    };
    let (published, ()) = tokio::join!(publisher.publish(named("one")), closing);
    assert_eq!(published.unwrap().attempts, 1);

    let gone = at(&broker);
    drop(broker);
    let publisher = Publisher::new(settings(gone, QUEUE)).unwrap();
    let closing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        publisher.close().await;
    };
    let (published, ()) = tokio::join!(publisher.publish(named("two")), closing);
    assert_eq!(published.unwrap_err().failure, Failure::Closed);
}

#[tokio::test]
async fn what_can_never_be_sent_is_refused_without_a_connection() {
    let broker = Broker::start(None).await.unwrap();
    let refused = async |content: &str, peer_limit: usize, max_frame: u64| {
        let mut settings = settings(StompBroker { max_frame, ..at(&broker) }, QUEUE);
        settings.max_payload = peer_limit;
        let error = start(settings, Message::new(content.to_owned())).await.unwrap().unwrap_err();
        assert!(error.failure.is_final() && error.attempts == 0 && !error.may_have_arrived, "{error:?}");
        (error.failure, error.reason)
    };
    let frame = 64 << 20;
    let (failure, reason) = refused(RECORD, 10, frame).await;
    assert_eq!((failure, reason.as_str()), (Failure::TooLarge, "the content of 52 bytes is larger than 10"));
    assert_eq!(refused(" \n", 1000, frame).await.0, Failure::Content);
    let (failure, reason) = refused(RECORD, 1000, 1000).await;
    assert!(failure == Failure::TooLarge && reason.contains("max-frame"), "{reason}");
    assert_eq!(broker.counters().sessions, 0);
}

#[tokio::test]
async fn settings_are_checked_before_the_first_message() {
    let broker = Broker::start(None).await.unwrap();
    let topic = settings(at(&broker), "/topic/cpu");
    let error = Publisher::new(topic.clone()).unwrap_err();
    assert!(matches!(error, SetupError::Destination(_)), "{error:?}");
    assert!(error.to_string().starts_with("destination \"/topic/cpu\" is not a queue"), "{error}");
    let mut allowed = topic;
    allowed.allow_topic = true;
    assert!(start(allowed, named("one")).await.unwrap().is_ok());
    let mut missing = settings(at(&broker), QUEUE);
    missing.key = WORLD.folder.path().join("none.key");
    assert!(matches!(Publisher::new(missing), Err(SetupError::Credential(_))));
    for (host, good) in [("mq.example.org", true), ("127.0.0.1", true), ("::1", true), ("a b", false), ("", false)] {
        assert_eq!(sesame_client::stomp(host, 61614).is_ok(), good, "{host}");
    }
    assert!(sesame_client::ams("msg.argo.grnet.gr", "accounting").is_ok());
    assert!(matches!(sesame_client::ams("https://host", "a"), Err(SetupError::Endpoint(_))));
    assert!(matches!(sesame_client::ams("host", "a/b"), Err(SetupError::Project(_))));
}
