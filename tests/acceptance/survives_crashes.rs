//! Broker, sender and receiver may be killed at any moment: nothing is lost, nothing is torn, nothing is stored twice.

use std::time::Duration;

use crate::checker::{Workload, when_stored};
use crate::harness::eventually;
use crate::peers::broker::shared;
use crate::peers::openssl::{self, pki};
use crate::peers::python::{self, Frame};
use crate::peers::{Broker, Kind};
use crate::queues::{self, Element};
use crate::sesame::{Pair, Site, Way, encrypted_for, own_destination, recipient};

/// Small windows, so that there is a middle of the flow to strike.
const SEND: &str = "window = 8\n";
const RECEIVE: &str = "prefetch = 8\n";

fn survives_the_broker(kind: Kind) {
    let broker = Broker::own(kind);
    let pair = Pair::on(&broker, Way::Tls, &format!("{SEND}{}", encrypted_for(&recipient())), RECEIVE);
    broker.declare(&pair.destination);
    let messages = Workload::queued_in(&pair.outgoing(), 400, 3_000);
    let _receiver = pair.receiver.start(&["receive"]);
    let _sender = pair.sender.start(&["send", "--watch"]);
    for share in [50, 200] {
        when_stored(&pair.incoming(), share);
        broker.kill();
        broker.restart();
    }
    messages.arrives(&pair);
}

#[test]
fn rabbitmq_killed_twice_in_mid_flow() {
    survives_the_broker(Kind::RabbitMq);
}

#[test]
fn activemq_killed_twice_in_mid_flow() {
    survives_the_broker(Kind::ActiveMq);
}

/// The broker is killed with messages in it and no receiver.
fn keeps_what_was_sent(kind: Kind) {
    let broker = Broker::own(kind);
    let pair = Pair::on(&broker, Way::Plain, "", "");
    broker.declare(&pair.destination);
    let messages = Workload::queued_in(&pair.outgoing(), 200, 1_000);
    pair.sender.run(&["send"]).expect(0);
    broker.kill();
    broker.restart();
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

#[test]
fn rabbitmq_keeps_what_it_gave_a_receipt_for() {
    keeps_what_was_sent(Kind::RabbitMq);
}

#[test]
fn activemq_keeps_what_it_gave_a_receipt_for() {
    keeps_what_was_sent(Kind::ActiveMq);
}

fn survives_the_receiver(kind: Kind) {
    let pair = Pair::on(shared(kind), Way::Plain, "", RECEIVE);
    let messages = Workload::queued_in(&pair.outgoing(), 400, 3_000);
    pair.sender.run(&["send"]).expect(0);
    for share in [20, 60, 100, 150, 200, 300] {
        let mut receiver = pair.receiver.start(&["receive"]);
        when_stored(&pair.incoming(), share);
        receiver.kill();
    }
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

#[test]
fn the_receiver_killed_again_and_again_over_rabbitmq() {
    survives_the_receiver(Kind::RabbitMq);
}

#[test]
fn the_receiver_killed_again_and_again_over_activemq() {
    survives_the_receiver(Kind::ActiveMq);
}

/// Kills the sender at a different moment each time; its locks must not hold up the next start.
fn survives_the_sender(kind: Kind) {
    let pair = Pair::on(shared(kind), Way::Plain, SEND, "");
    sends_though_killed(&pair, 3_000);
}

/// Sends 400 messages of this size with a sender that is killed six times; each arrives once.
pub(crate) fn sends_though_killed(pair: &Pair, size: usize) {
    let messages = Workload::queued_in(&pair.outgoing(), 400, size);
    let _receiver = pair.receiver.start(&["receive"]);
    for step in 1..=6 {
        let mut sender = pair.sender.start(&["send", "--watch"]);
        let left = 400_usize.saturating_sub(step * 50);
        eventually("the queue to shrink", || (queues::outgoing(&pair.outgoing()).len() <= left).then_some(()));
        std::thread::sleep(Duration::from_millis(step as u64 * 7));
        sender.kill();
    }
    pair.sender.run(&["send"]).expect(0);
    messages.arrives(pair);
}

#[test]
fn the_sender_killed_again_and_again_over_rabbitmq() {
    survives_the_sender(Kind::RabbitMq);
}

#[test]
fn the_sender_killed_again_and_again_over_activemq() {
    survives_the_sender(Kind::ActiveMq);
}

#[test]
fn everyone_killed_in_turn() {
    let broker = Broker::own(Kind::RabbitMq);
    let pair = Pair::on(&broker, Way::Plain, SEND, RECEIVE);
    broker.declare(&pair.destination);
    let messages = Workload::queued_in(&pair.outgoing(), 300, 3_000);
    let mut receiver = pair.receiver.start(&["receive"]);
    let mut sender = pair.sender.start(&["send", "--watch"]);
    for share in [30, 90, 150] {
        when_stored(&pair.incoming(), share);
        receiver.kill();
        sender.kill();
        broker.kill();
        broker.restart();
        receiver = pair.receiver.start(&["receive"]);
        sender = pair.sender.start(&["send", "--watch"]);
    }
    messages.arrives(&pair);
    assert_eq!((sender.stop(), receiver.stop()), (0, 0));
}

#[test]
fn a_message_sent_twice_is_stored_once() {
    let pair = Pair::on(shared(Kind::ActiveMq), Way::Plain, "", "");
    let queue = pair.outgoing();
    let messages = Workload::queued_in(&queue, 5, 1_000);
    let kept: Vec<_> =
        queues::outgoing(&queue).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    let _receiver = pair.receiver.start(&["receive"]);
    pair.sender.run(&["send"]).expect(0);
    messages.arrives(&pair);
    for (path, body) in kept {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }
    pair.sender.run(&["send"]).expect(0);
    eventually("the broker's queue to be empty", || {
        (shared(Kind::ActiveMq).waiting(&pair.destination) == 0).then_some(())
    });
    messages.arrives(&pair);
}

/// Other senders sign no id: that of the header counts, and the broker's, which is another each time, does not.
#[test]
fn a_message_that_another_sender_sends_twice_is_stored_once() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let signer = pki().host("sender.example.org");
    let site = Site::of("receiver.example.org").on(broker, Way::Plain);
    let site = site.receiving("central", &destination, &[&signer.subject], "");
    let _receiver = site.start(&["receive"]);
    let message = openssl::sign(&signer, b"Site: A\n");
    let frames = ["one", "one", "two"].map(|id| Frame::labelled(id, &message));
    python::send(&Way::Plain.link(broker, &signer), &destination, &frames);
    let incoming = site.queue("central", "incoming");
    eventually("the last message", || (queues::count(&incoming) >= 2).then_some(()));
    eventually("the broker's queue to be empty", || (broker.waiting(&destination) == 0).then_some(()));
    let mut stored: Vec<String> = queues::elements(&incoming).iter().map(Element::id).collect();
    stored.sort();
    assert_eq!(stored, ["one", "two"]);
}
