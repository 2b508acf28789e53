//! An active receiver and its standby: the broker serves one, and the other goes on at once when it dies.

use std::time::{Duration, Instant};

use crate::checker::Workload;
use crate::harness::{Child, eventually};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::queues;
use crate::sesame::{Site, Way, own_destination};

/// What a fail-over may take.
const FAIL_OVER: Duration = Duration::from_secs(5);

fn subscribed(receiver: &Child) {
    eventually("the session", || receiver.log().contains("subscribed").then_some(()));
}

fn takes_over(kind: Kind) {
    let broker = shared(kind);
    let destination = broker.declare_single_active(&own_destination().replace("/queue/", ""));
    let sender = Site::of("sender.example.org").on(broker, Way::Plain).sending("cpu", &destination, "");
    let subject = sender.host.subject.clone();
    let receiver = || {
        let site = Site::of("receiver.example.org").on(broker, Way::Plain);
        site.receiving("central", &destination, &[&subject], "exclusive = true\nprefetch = 8\n")
    };
    let (active, standby) = (receiver(), receiver());
    let mut first = active.start(&["receive"]);
    subscribed(&first);
    let second = standby.start(&["receive"]);
    subscribed(&second);
    let (here, there) = (active.queue("central", "incoming"), standby.queue("central", "incoming"));
    let messages = Workload::queued_in(&sender.outgoing("cpu"), 60, 1_000);
    sender.run(&["send"]).expect(0);
    messages.is_stored_in(&here);
    assert_eq!(queues::count(&there), 0, "the standby is served as well");
    first.kill();
    let since = Instant::now();
    let more = Workload::queued_in(&sender.outgoing("cpu"), 60, 1_000);
    sender.run(&["send"]).expect(0);
    eventually("the standby to be served", || (queues::count(&there) > 0).then_some(()));
    assert!(since.elapsed() < FAIL_OVER, "{:?}", since.elapsed());
    more.is_stored_in(&there);
    // The former one comes back as the standby.
    let third = active.start(&["receive"]);
    subscribed(&third);
    let before = queues::count(&here);
    let still = Workload::queued_in(&sender.outgoing("cpu"), 20, 1_000);
    sender.run(&["send"]).expect(0);
    eventually("all to be stored", || (queues::count(&there) == more.len() + still.len()).then_some(()));
    assert_eq!(queues::count(&here), before);
}

#[test]
fn a_standby_takes_over_on_rabbitmq() {
    takes_over(Kind::RabbitMq);
}

#[test]
fn a_standby_takes_over_on_activemq() {
    takes_over(Kind::ActiveMq);
}
