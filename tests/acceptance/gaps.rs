//! Messages that a broker lost without a word: the receiver sees them in the numbers of their sender, says so once, and
//! `sesame gaps` lists them.

use std::time::Duration;

use crate::harness::{Child, eventually};
use crate::peers::Kind;
use crate::peers::broker::{Broker, shared};
use crate::peers::openssl::pki;
use crate::peers::python::{self, Frame};
use crate::queues;
use crate::sesame::{Pair, Way, own_destination};

const MISSING: &str = "messages of this signer are missing";
const COME: &str = "missing messages have come";
const DISMISSED: &str = "missing messages were dismissed";
/// How long a test watches that nothing happens.
const WATCHED: Duration = Duration::from_secs(3);

/// A sender that numbers its messages and does not repeat them, and a receiver that reports what is missing for a second.
pub(crate) fn numbered(broker: &Broker) -> Pair {
    let receiver = &pki().host("receiver.example.org").subject;
    let send = format!(
        "[send.cpu.acknowledgements]\nmode = \"required\"\nfrom = \"{}\"\nreceivers = [\"{receiver}\"]\n\
         repeat-after = \"6h\"\n",
        own_destination()
    );
    Pair::on(broker, Way::Plain, &send, "missing-after = \"1s\"\n")
}

pub(crate) fn send(pair: &Pair, count: usize) {
    for _ in 0..count {
        queues::add(&pair.outgoing(), b"Site: X\n");
    }
    pair.sender.run(&["send"]).expect(0);
}

/// Takes messages out of the queue, as another client.
pub(crate) fn take(pair: &Pair, broker: &Broker, count: usize) -> Vec<Frame> {
    let taken = python::take(&Way::Plain.link(broker, &pair.sender.host), &pair.destination, count);
    assert_eq!(taken.len(), count);
    taken.iter().map(|frame| Frame::labelled(frame.header("empa-id").unwrap(), &frame.body)).collect()
}

pub(crate) fn put(pair: &Pair, broker: &Broker, frames: &[Frame]) {
    python::send(&Way::Plain.link(broker, &pair.sender.host), &pair.destination, frames);
}

pub(crate) fn receiver_until(pair: &Pair, stored: usize) -> Child {
    let receiver = pair.receiver.start(&["receive"]);
    eventually("the messages", || (queues::count(&pair.incoming()) == stored).then_some(()));
    receiver
}

fn occurs(receiver: &Child, words: &str) -> usize {
    receiver.log().matches(words).count()
}

#[test]
fn messages_lost_by_the_broker_are_reported_once_and_listed_until_they_come() {
    let broker = shared(Kind::RabbitMq);
    let pair = numbered(broker);
    pair.receiver.run(&["gaps"]).expect(0).says("no message is missing");
    send(&pair, 3);
    assert_eq!(receiver_until(&pair, 3).stop(), 0);
    send(&pair, 2);
    let lost = take(&pair, broker, 2);
    send(&pair, 4);
    let mut receiver = receiver_until(&pair, 7);
    eventually("the warning", || (occurs(&receiver, MISSING) == 1).then_some(()));
    let log = receiver.log();
    let line = log.lines().find(|line| line.contains(MISSING)).unwrap();
    assert!(["CN=sender.example.org", "4", "5", "2"].iter().all(|word| line.contains(word)), "{line}");
    // Beside the running receiver.
    let listed = pair.receiver.run(&["gaps", "central", "--json"]).expect(1).output;
    let gap: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&gap["first"], &gap["last"], &gap["messages"]), (&4.into(), &5.into(), &2.into()), "{listed}");
    assert_eq!((&gap["channel"], &gap["overdue"]), (&"central".into(), &true.into()), "{listed}");
    assert!(gap["signer"].as_str().unwrap().contains("CN=sender.example.org"), "{listed}");
    let table = pair.receiver.run(&["gaps"]).expect(1).output;
    assert!(table.contains(gap["stream"].as_str().unwrap()) && table.contains("overdue"), "{table}");
    pair.sender.run(&["gaps"]).expect(78).says("no receiver");
    assert_eq!(receiver.stop(), 0);

    let receiver = pair.receiver.start(&["receive"]);
    eventually("the session", || receiver.log().contains("subscribed").then_some(()));
    std::thread::sleep(WATCHED);
    assert_eq!(occurs(&receiver, MISSING), 0, "{}", receiver.log());
    put(&pair, broker, &lost);
    eventually("the end of the gap", || (occurs(&receiver, COME) == 1).then_some(()));
    assert_eq!(queues::count(&pair.incoming()), 9);
    assert_eq!(pair.receiver.run(&["gaps", "--json"]).expect(0).output, "");

    // One that is dismissed beside the running receiver, and comes all the same.
    let mut receiver = receiver;
    assert_eq!(receiver.stop(), 0);
    send(&pair, 1);
    let lost = take(&pair, broker, 1);
    send(&pair, 1);
    let receiver = receiver_until(&pair, 10);
    let stream = gap["stream"].as_str().unwrap();
    let number = format!("{stream} 10");
    pair.receiver.run(&["trace", &number]).expect(0).says("missing");
    pair.receiver.run(&["gaps", "--dismiss", &format!("{stream} 9")]).expect(1);
    let said = pair.receiver.run(&["gaps", "--dismiss", &number]).expect(0).output;
    assert!(said.contains("1 message") && said.trim_end().ends_with("CN=sender.example.org"), "{said}");
    assert_eq!(pair.receiver.run(&["gaps", "--json"]).expect(0).output, "");
    eventually("its line", || (occurs(&receiver, DISMISSED) == 1).then_some(()));
    put(&pair, broker, &lost);
    eventually("the dismissed message", || (queues::count(&pair.incoming()) == 11).then_some(()));
    pair.receiver.run(&["trace", &number]).expect(0).says("dismissed");
}

#[test]
fn messages_that_come_in_another_order_are_not_reported() {
    let broker = shared(Kind::RabbitMq);
    let pair = numbered(broker);
    send(&pair, 1);
    assert_eq!(receiver_until(&pair, 1).stop(), 0);
    send(&pair, 6);
    let mut taken = take(&pair, broker, 6);
    taken.reverse();
    put(&pair, broker, &taken);
    let receiver = receiver_until(&pair, 7);
    std::thread::sleep(WATCHED);
    assert_eq!(occurs(&receiver, MISSING), 0, "{}", receiver.log());
    assert_eq!(pair.receiver.run(&["gaps", "--json"]).expect(0).output, "");
}

#[test]
fn a_receiver_that_begins_in_the_middle_of_a_stream_reports_nothing_from_before() {
    let broker = shared(Kind::RabbitMq);
    let pair = numbered(broker);
    send(&pair, 3);
    take(&pair, broker, 3);
    send(&pair, 3);
    let receiver = receiver_until(&pair, 3);
    std::thread::sleep(WATCHED);
    assert_eq!(occurs(&receiver, MISSING), 0, "{}", receiver.log());
    pair.receiver.run(&["gaps"]).expect(0);
}
