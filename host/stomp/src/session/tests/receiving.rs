//! SUBSCRIBE, MESSAGE, ACK and the memory budget.

use super::*;
use crate::budget::MemoryBudget;
use crate::decode::FrameError;

/// A session with one subscription, its peer and the id that the peer received.
async fn subscribed(options: SessionOptions, version: &str) -> (Session, Subscription, Peer, String) {
    let (session, mut peer) = session(options, version).await;
    let subscribing = tokio::spawn({
        let session = session.clone();
        async move { session.subscribe(&Subscribe::new("/queue/a")).await }
    });
    let id = peer.take_subscription().await;
    (session, subscribing.await.unwrap().unwrap(), peer, id)
}

fn message(subscription: &str, id: &str, body: &str) -> String {
    let length = body.len();
    format!("MESSAGE\nsubscription:{subscription}\nmessage-id:{id}\nack:{id}\ncontent-length:{length}\n\n{body}\0")
}

#[tokio::test]
async fn subscribe_asks_for_individual_acknowledgement_and_a_prefetch() {
    let (session, mut peer) = session(quick(), "1.2").await;
    let subscribe = Subscribe::new("/queue/a").with_prefetch(10);
    let asking = tokio::spawn(async move { session.subscribe(&subscribe).await });
    let frame = peer.frame().await;
    for (name, value) in [
        ("destination", "/queue/a"),
        ("ack", "client-individual"),
        ("prefetch-count", "10"),
        ("activemq.prefetchSize", "10"),
    ] {
        assert_eq!(frame.headers.text(name), Some(value));
    }
    asking.abort();
}

#[tokio::test]
async fn acknowledges_by_the_rules_of_each_version_with_the_id_escaped_again() {
    for (version, wire_id, expected) in [
        ("1.2", r"T_1@@s\c1\\2", "ACK\nid:T_1@@s\\c1\\\\2\n\n\0".to_owned()),
        ("1.1", r"a\cb", "ACK\nsubscription:{id}\nmessage-id:a\\cb\n\n\0".to_owned()),
        ("1.0", "a:b", "ACK\nmessage-id:a:b\n\n\0".to_owned()),
    ] {
        let (_session, mut subscription, mut peer, id) = subscribed(quick(), version).await;
        peer.write(message(&id, wire_id, "body")).await;
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.body.as_ref(), b"body");
        delivery.token.acknowledge().unwrap();
        let mut wire = vec![0; 200];
        let count = peer.stream.read(&mut wire).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&wire[..count]), expected.replace("{id}", &id));
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_reported_and_the_session_goes_on() {
    let limits = Limits { body: 100, ..Limits::default() };
    let (_session, mut subscription, mut peer, id) = subscribed(SessionOptions { limits, ..quick() }, "1.2").await;
    peer.write(message(&id, "1", &"x".repeat(101))).await;
    peer.write(message(&id, "2", "small")).await;
    let oversized = next(&mut subscription).await;
    assert_eq!((oversized.oversized, oversized.body.len()), (Some(101), 0));
    let small = next(&mut subscription).await;
    assert_eq!((small.oversized, small.body.as_ref()), (None, &b"small"[..]));
}

#[tokio::test]
async fn a_message_that_never_ends_is_read_up_to_the_limit_and_ends_the_session() {
    let limits = Limits { body: 100_000, ..Limits::default() };
    let (session, _subscription, mut peer, id) = subscribed(SessionOptions { limits, ..quick() }, "1.2").await;
    peer.write(format!("MESSAGE\nsubscription:{id}\nack:1\n\n{}", "x".repeat(100_000))).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(session.ended().is_none(), "the message received so far may still end");
    let _ = peer.stream.write_all(&vec![b'x'; 1 << 20]).await;
    let reason = closed(&session).await;
    let FrameError::BodyTooLong { command: Command::Message, limit: 100_000 } = frame_error(&reason) else {
        panic!("{reason:?}");
    };
}

fn frame_error(reason: &Closed) -> FrameError {
    match reason {
        Closed::Protocol(ProtocolError::Frame(error)) => error.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_before_the_receipt_of_subscribe_are_delivered() {
    let (session, mut peer) = session(quick(), "1.2").await;
    let asking = tokio::spawn(async move { session.subscribe(&Subscribe::new("/queue/a")).await });
    let frame = peer.frame().await;
    let (id, receipt) = (frame.headers.text("id").unwrap(), frame.headers.text("receipt").unwrap());
    peer.write(message(id, "1", "early")).await;
    let mut subscription = asking.await.unwrap().unwrap();
    peer.write(format!("RECEIPT\nreceipt-id:{receipt}\n\n\0{}", message(id, "2", "late"))).await;
    for body in ["early", "late"] {
        assert_eq!(next(&mut subscription).await.body, body);
    }
}

#[tokio::test]
async fn a_message_of_no_subscription_ends_the_session() {
    for (version, wire) in [
        ("1.2", "MESSAGE\nsubscription:77\nack:1\n\n\0".to_owned()),
        ("1.2", "MESSAGE\nack:1\n\n\0".to_owned()),
        ("1.1", "MESSAGE\nmessage-id:1\ndestination:/queue/a\n\n\0".to_owned()),
        ("1.2", "MESSAGE\nsubscription:{id}\nmessage-id:1\n\n\0".to_owned()),
        ("1.1", "MESSAGE\nsubscription:{id}\nack:1\n\n\0".to_owned()),
    ] {
        let (session, _subscription, mut peer, id) = subscribed(quick(), version).await;
        peer.write(wire.replace("{id}", &id)).await;
        assert!(matches!(*closed(&session).await, Closed::Protocol(_)), "{wire}");
    }
}

#[tokio::test]
async fn a_1_0_broker_may_omit_the_subscription_header() {
    let (_session, mut subscription, mut peer, _) = subscribed(quick(), "1.0").await;
    peer.write("MESSAGE\nmessage-id:1\ndestination:/queue/a\n\nx\0").await;
    assert_eq!(next(&mut subscription).await.body, "x");
}

#[tokio::test]
async fn the_subscription_decides_and_not_the_destination() {
    let (_session, mut subscription, mut peer, id) = subscribed(quick(), "1.2").await;
    peer.write(format!("MESSAGE\nsubscription:{id}\nack:1\ndestination:/queue/other\n\nx\0")).await;
    assert_eq!(next(&mut subscription).await.destination(), "/queue/other");
}

#[tokio::test]
async fn one_message_id_with_two_bodies_is_two_deliveries() {
    for version in ["1.1", "1.2"] {
        let (_session, mut subscription, mut peer, id) = subscribed(quick(), version).await;
        peer.write(message(&id, "same", "one")).await;
        peer.write(message(&id, "same", "other")).await;
        for body in ["one", "other"] {
            let delivery = next(&mut subscription).await;
            assert_eq!(delivery.body, body, "{version}");
            delivery.token.acknowledge().unwrap();
            assert_eq!(peer.frame().await.command, Command::Ack, "{version}");
        }
    }
}

#[tokio::test]
async fn a_message_that_comes_twice_is_delivered_and_acknowledged_twice() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.duplicate_deliveries = true);
    broker.put("/queue/a", testkit::broker::Headers::new(), "x");
    let session = with_broker(quick(), &broker).await;
    let mut subscription = session.subscribe(&Subscribe::new("/queue/a")).await.unwrap();
    for _ in 0..2 {
        let delivery = next(&mut subscription).await;
        delivery.token.acknowledge().unwrap();
    }
    assert!(session.disconnect(PATIENCE).await);
    assert_eq!((broker.depth("/queue/a"), broker.counters().nacks), (0, 0));
}

#[tokio::test]
async fn unacknowledged_messages_are_redelivered() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.lose_acks = true);
    broker.put("/queue/a", testkit::broker::Headers::new().with("empa-id", "1"), "x");
    let session = with_broker(quick(), &broker).await;
    let mut subscription = session.subscribe(&Subscribe::new("/queue/a")).await.unwrap();
    let delivery = next(&mut subscription).await;
    assert!(!delivery.redelivered());
    delivery.token.acknowledge().unwrap();
    session.disconnect(PATIENCE).await;

    broker.script(|script| script.lose_acks = false);
    let session = with_broker(quick(), &broker).await;
    let mut subscription = session.subscribe(&Subscribe::new("/queue/a")).await.unwrap();
    let delivery = next(&mut subscription).await;
    assert!(delivery.redelivered());
    assert_eq!(delivery.headers.text("empa-id"), Some("1"));
    delivery.token.acknowledge().unwrap();
    assert!(session.disconnect(PATIENCE).await);
    assert_eq!(broker.depth("/queue/a"), 0);
}

#[tokio::test]
async fn a_token_of_a_session_that_is_over_acknowledges_nothing() {
    let broker = Broker::start(None).await.unwrap();
    broker.put("/queue/a", testkit::broker::Headers::new(), "x");
    broker.put("/queue/a", testkit::broker::Headers::new(), "y");
    let session = with_broker(quick(), &broker).await;
    let mut subscription = session.subscribe(&Subscribe::new("/queue/a")).await.unwrap();
    let delivery = next(&mut subscription).await;
    eventually("both are delivered", || subscription.waiting() == 1).await;
    broker.drop_connections();
    closed(&session).await;
    assert!(subscription.next().await.is_none(), "deliveries that were not taken are left to the broker");
    let _other = with_broker(quick(), &broker).await;
    assert!(matches!(delivery.token.acknowledge(), Err(SessionError::Closed(_))));
    assert_eq!(broker.depth("/queue/a"), 2);
}

#[tokio::test]
async fn in_client_mode_only_the_contiguous_part_is_acknowledged() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.cumulative_only = true);
    for _ in 0..3 {
        broker.put("/queue/a", testkit::broker::Headers::new(), "x");
    }
    let mut subscribe = Subscribe::new("/queue/a");
    let session = with_broker(quick(), &broker).await;
    let refusal = session.subscribe(&subscribe).await.unwrap_err();
    assert!(subscribe.fall_back(&refusal) && !subscribe.fall_back(&refusal), "{refusal:?}");

    let session = with_broker(quick(), &broker).await;
    let mut subscription = session.subscribe(&subscribe).await.unwrap();
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(next(&mut subscription).await.token);
    }
    let (third, second, first) = (tokens.pop().unwrap(), tokens.pop().unwrap(), tokens.pop().unwrap());
    third.acknowledge().unwrap();
    first.acknowledge().unwrap();
    eventually("the first is acknowledged", || broker.depth("/queue/a") == 2).await;
    second.acknowledge().unwrap();
    eventually("all are acknowledged", || broker.depth("/queue/a") == 0).await;
}

#[tokio::test]
async fn a_1_0_subscription_uses_client_mode() {
    let (session, mut peer) = session(quick(), "1.0").await;
    let asking = tokio::spawn(async move { session.subscribe(&Subscribe::new("/queue/a")).await });
    assert_eq!(peer.frame().await.headers.text("ack"), Some("client"));
    asking.abort();
}

#[tokio::test]
async fn a_refused_subscription_shows_the_text_of_the_broker() {
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.refuse_subscriptions = Some("access to /queue/a refused".to_owned()));
    let session = with_broker(quick(), &broker).await;
    let mut subscribe = Subscribe::new("/queue/a");
    let error = session.subscribe(&subscribe).await.unwrap_err();
    assert_eq!(error.to_string(), "broker refused the frame: access to /queue/a refused");
    assert!(!subscribe.fall_back(&error));
}

#[tokio::test]
async fn what_was_acknowledged_before_an_unsubscribe_is_acknowledged() {
    let broker = Broker::start(None).await.unwrap();
    let session = with_broker(quick(), &broker).await;
    for _ in 0..20 {
        broker.put("/queue/a", testkit::broker::Headers::new(), "x");
        let mut subscription = session.subscribe(&Subscribe::new("/queue/a")).await.unwrap();
        let delivery = next(&mut subscription).await;
        delivery.token.acknowledge().unwrap();
        session.unsubscribe(&subscription).await.unwrap();
        assert_eq!(broker.depth("/queue/a"), 0);
    }
    assert!(session.disconnect(PATIENCE).await);
}

#[tokio::test]
async fn unsubscribed_deliveries_stay_with_the_broker() {
    let broker = Broker::start(None).await.unwrap();
    for _ in 0..3 {
        broker.put("/queue/a", testkit::broker::Headers::new(), "x");
    }
    let session = with_broker(quick(), &broker).await;
    let mut subscription = session.subscribe(&Subscribe::new("/queue/a")).await.unwrap();
    let delivery = next(&mut subscription).await;
    session.unsubscribe(&subscription).await.unwrap();
    delivery.token.acknowledge().unwrap();
    assert!(next(&mut subscription).await.body == "x" && next(&mut subscription).await.body == "x");
    assert!(subscription.next().await.is_none());
    assert!(session.ended().is_none());
    assert_eq!(broker.depth("/queue/a"), 3);
}

#[tokio::test]
async fn reading_pauses_while_the_memory_budget_is_used_up_and_the_session_stays_open() {
    let memory = MemoryBudget::new(256 * 1024);
    let interval = Duration::from_millis(50);
    let heart_beat = HeartBeat { outgoing: interval, incoming: interval, grace: Duration::ZERO, shortest: interval };
    let options = SessionOptions { memory: memory.clone(), heart_beat, ..quick() };
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| {
        script.heart_beat = (50, 5000);
        script.ignore_prefetch = true;
    });
    for _ in 0..20 {
        broker.put("/queue/a", testkit::broker::Headers::new(), vec![b'x'; 50_000]);
    }
    let session = with_broker(options, &broker).await;
    let mut subscription = session.subscribe(&Subscribe::new("/queue/a")).await.unwrap();
    eventually("the budget is used up", || memory.available() < 52_000).await;
    // Far longer than the allowed silence and the receipt timeout.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(session.ended().is_none());
    assert_eq!(subscription.waiting(), 5, "five of 50 kB fit into 256 kB");
    for _ in 0..20 {
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.body.len(), 50_000);
        delivery.token.acknowledge().unwrap();
    }
    assert!(session.disconnect(PATIENCE).await);
    assert_eq!((broker.depth("/queue/a"), memory.available()), (0, 256 * 1024));
}

#[tokio::test]
async fn a_disconnect_gets_through_while_the_memory_budget_is_used_up() {
    let options = SessionOptions { memory: MemoryBudget::new(64 * 1024), ..quick() };
    let broker = Broker::start(None).await.unwrap();
    for _ in 0..5 {
        broker.put("/queue/a", testkit::broker::Headers::new(), vec![b'x'; 50_000]);
    }
    let session = with_broker(options, &broker).await;
    let mut subscription = session.subscribe(&Subscribe::new("/queue/a")).await.unwrap();
    let delivery = next(&mut subscription).await;
    delivery.token.acknowledge().unwrap();
    assert!(session.disconnect(PATIENCE).await);
    assert_eq!(broker.depth("/queue/a"), 4);
    drop(delivery.memory);
}

#[tokio::test]
async fn a_body_of_unannounced_length_reserves_memory_as_it_grows() {
    let memory = MemoryBudget::new(1024 * 1024);
    let options = SessionOptions { memory: memory.clone(), ..quick() };
    let (_session, mut subscription, mut peer, id) = subscribed(options, "1.2").await;
    peer.write(format!("MESSAGE\nsubscription:{id}\nack:1\n\n{}\0", "x".repeat(300_000))).await;
    let delivery = next(&mut subscription).await;
    let held = delivery.memory.as_ref().unwrap().bytes();
    assert!((300_000..303_000).contains(&held), "{held}");
    drop(delivery);
    assert_eq!(memory.available(), 1024 * 1024);
}

#[tokio::test]
async fn ten_thousand_deliveries_beyond_the_prefetch_stay_within_the_budget() {
    let memory = MemoryBudget::new(1024 * 1024);
    let options = SessionOptions { memory: memory.clone(), ..SessionOptions::default() };
    let broker = Broker::start(None).await.unwrap();
    broker.script(|script| script.ignore_prefetch = true);
    for _ in 0..10_000 {
        broker.put("/queue/a", testkit::broker::Headers::new(), "x");
    }
    let session = with_broker(options, &broker).await;
    let mut subscription = session.subscribe(&Subscribe::new("/queue/a").with_prefetch(10)).await.unwrap();
    for _ in 0..10_000 {
        let delivery = next(&mut subscription).await;
        assert!(subscription.waiting() <= 1024);
        delivery.token.acknowledge().unwrap();
    }
    assert!(session.disconnect(PATIENCE).await);
    assert_eq!(broker.depth("/queue/a"), 0);
}
