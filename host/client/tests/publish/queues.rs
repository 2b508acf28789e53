//! Destinations whose receipt proves nothing: a broker that answers for queues as RabbitMQ does.

use std::time::Duration;

use sesame_client::{Failure, Message};
use testkit::broker::{Broker, Script};

use super::stomp::{at, ids};
use super::{RECORD, settings, start, until};

const QUEUE: &str = "/amq/queue/cpu";
const THERE: &str = "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 'cpu' in vhost '/' of queue type rabbit_classic_queue";
const MISSING: &str = "NOT_FOUND - no queue 'cpu' in vhost '/'";

async fn broker(answer: &str) -> Broker {
    let script = Script { refuse_subscriptions: Some(answer.to_owned()), ..Script::default() };
    Broker::start_with(None, script).await.unwrap()
}

#[tokio::test]
async fn a_queue_is_asked_about_before_and_after() {
    let broker = broker(THERE).await;
    let published = start(settings(at(&broker), QUEUE), Message::new(RECORD)).await.unwrap().unwrap();
    assert_eq!((published.attempts, ids(&broker, QUEUE)), (1, vec![published.id.to_string()]));
    assert_eq!((broker.counters().errors, broker.counters().sessions), (2, 3), "one look before, one after");
}

#[tokio::test]
async fn nothing_is_sent_to_a_queue_that_is_not_there() {
    let broker = broker(MISSING).await;
    let mut settings = settings(at(&broker), QUEUE);
    settings.deadline = Duration::from_secs(1);
    let error = start(settings, Message::new(RECORD)).await.unwrap().unwrap_err();
    assert_eq!((error.failure, error.attempts, error.may_have_arrived), (Failure::NotConfirmed, 0, false));
    assert!(error.reason.contains("cpu"), "{error}");
    assert_eq!(broker.counters().sends, 0);
}

#[tokio::test]
async fn a_receipt_for_a_queue_that_is_gone_is_no_confirmation() {
    let broker = broker(THERE).await;
    broker.script(|script| script.delay = Duration::from_millis(300));
    let publishing = start(settings(at(&broker), QUEUE), Message::new(RECORD));
    until("a SEND", || broker.counters().sends == 1).await;
    broker.script(|script| script.refuse_subscriptions = Some(MISSING.to_owned()));
    until("a second look", || broker.counters().errors >= 2).await;
    assert!(!publishing.is_finished());
    broker.script(|script| {
        script.refuse_subscriptions = Some(THERE.to_owned());
        script.delay = Duration::ZERO;
    });
    let published = publishing.await.unwrap().unwrap();
    assert_eq!((published.attempts, ids(&broker, QUEUE).len()), (2, 2));
}
