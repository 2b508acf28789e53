//! Queues that delete a message after some deliveries without an ACK: a fault that lasts costs one delivery and no message.
//! And a journal that another program locks: no message is lost, and each gets its line.

use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::checker::Workload;
use crate::full_disk::Disk;
use crate::harness::{Child, eventually};
use crate::peers::broker::shared;
use crate::peers::{Broker, Kind};
use crate::plugins::install;
use crate::queues;
use crate::sesame::{Pair, Site, Way, own_destination};

/// A pair with a quorum queue between them that deletes what was delivered more than `limit` times.
fn limited(limit: u32, receive: &str) -> (&'static Broker, Pair) {
    let broker = shared(Kind::RabbitMq);
    let name = own_destination().replace("/queue/", "");
    broker.declare_quorum(&name, limit);
    let destination = format!("/amq/queue/{name}");
    let sender = Site::of("sender.example.org").on(broker, Way::Plain).sending("cpu", &destination, "");
    let subject = sender.host.subject.clone();
    let receiver = Site::of("receiver.example.org").on(broker, Way::Plain);
    let receiver = receiver.receiving("central", &destination, &[&subject], receive);
    (broker, Pair { sender, receiver, destination: format!("/queue/{name}") })
}

/// Another program that writes to a SQLite file. It holds the write lock while the value lives.
struct Writer(std::process::Child, Option<ChildStdin>);

impl Writer {
    fn locking(journal: &std::path::Path) -> Self {
        let program = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
                       db.execute('BEGIN IMMEDIATE')\nprint('locked', flush=True)\nsys.stdin.read()\n";
        let mut command = Command::new("python3");
        let command = command.args(["-c", program]).arg(journal).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        let stdin = child.stdin.take();
        Self(child, stdin)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.1.take());
        let _ = self.0.wait();
    }
}

fn count(child: &Child, words: &str) -> usize {
    child.log().lines().filter(|line| line.contains(words)).count()
}

/// The ids of the lines that say this of a message, sorted.
fn ids(child: &Child, words: &str) -> Vec<String> {
    let log = child.log();
    let id = |line: &str| line.split("id=").nth(1)?.split_whitespace().next().map(|id| id.trim_matches('"').to_owned());
    let mut ids: Vec<String> = log.lines().filter(|line| line.contains(words)).filter_map(id).collect();
    ids.sort();
    ids
}

#[test]
fn a_full_disk_costs_one_delivery_and_no_message() {
    let (broker, pair) = limited(2, "prefetch = 16\n");
    let disk = Disk::mounted_at(&pair.receiver.spool("central"), 64);
    let ballast = disk.fill(2_500);
    let messages = Workload::queued_in(&pair.outgoing(), 60, 60_000);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    eventually("a word about the disk", || (count(&receiver, "cannot store messages") > 0).then_some(()));
    // No message finds room from here on: else half of what was in flight might fit, and the receiver would subscribe.
    disk.fill(64);
    std::thread::sleep(Duration::from_secs(22));
    let (stored, waiting) = (queues::count(&pair.incoming()), broker.waiting(&pair.destination));
    assert!(stored + waiting >= 60, "{stored} stored and {waiting} left of 60:\n{}", receiver.last_words());
    assert_eq!(count(&receiver, "subscribed"), 1, "{}", receiver.last_words());
    std::fs::remove_file(ballast).unwrap();
    messages.arrives(&pair);
    assert_eq!(receiver.stop(), 0);
    drop(receiver);
    drop(disk);
}

#[test]
fn a_locked_journal_costs_one_delivery_and_no_message() {
    let (broker, pair) = limited(1, "");
    let mut receiver = pair.receiver.start(&["receive"]);
    eventually("the session", || (count(&receiver, "subscribed") == 1).then_some(()));
    let writer = Writer::locking(&pair.receiver.spool("central").join("journal.sqlite"));
    let messages = Workload::queued_in(&pair.outgoing(), 150, 500);
    pair.sender.run(&["send"]).expect(0);
    std::thread::sleep(Duration::from_secs(33));
    let waiting = broker.waiting(&pair.destination);
    assert_eq!((waiting, count(&receiver, "subscribed")), (150, 1), "{}", receiver.last_words());
    drop(writer);
    messages.arrives(&pair);
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn every_message_gets_its_line_once_though_the_journal_was_locked_for_longer_than_the_receiver_waits() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let mut receiver = pair.receiver.start(&["receive"]);
    eventually("the session", || (count(&receiver, "subscribed") == 1).then_some(()));
    let writer = Writer::locking(&pair.receiver.spool("central").join("journal.sqlite"));
    let messages = Workload::queued_in(&pair.outgoing(), 600, 500);
    let mut sender = pair.sender.start(&["send", "--watch"]);
    eventually("the lock to be felt", || (count(&receiver, "messages could not be committed") > 0).then_some(()));
    drop(writer);
    messages.arrives(&pair);
    eventually("a line for each", || (count(&receiver, "message stored") >= 600).then_some(()));
    assert_eq!((sender.stop(), receiver.stop()), (0, 0));
    let (mut stored, sent) = (ids(&receiver, "message stored"), ids(&sender, "message sent"));
    assert_eq!((stored.len(), sent.len()), (600, 600));
    stored.dedup();
    assert_eq!(stored, sent);
}

#[test]
fn a_plugin_that_fails_for_all_costs_no_message_at_a_delivery_limit() {
    let (broker, pair) = limited(3, "");
    install(&pair.receiver, "behaviour", "[config]\nvalidate = \"panic\"\ntext = \"out of cheese\"\n");
    let messages = Workload::queued_in(&pair.outgoing(), 60, 500);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    // Each pause is followed by a session of its own; that the channel is paused is logged once.
    eventually("four pauses", || (count(&receiver, "subscribed") > 4).then_some(()));
    assert_eq!(count(&receiver, "channel paused"), 1, "{}", receiver.last_words());
    let deferred = pair.receiver.queue("central", "deferred");
    let kept = || queues::count(&deferred) + broker.waiting(&pair.destination);
    eventually("the session to be given back", || (kept() >= 60).then_some(()));
    install(&pair.receiver, "behaviour", "");
    receiver.signal(rustix::process::Signal::HUP);
    messages.arrives(&pair);
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn messages_larger_than_we_take_do_not_use_up_their_deliveries_in_search_of_a_prefetch() {
    let (broker, mut pair) = limited(4, "");
    let destination = pair.destination.replace("/queue/", "/amq/queue/");
    for _ in 0..80 {
        broker.put(&destination, "empa-id:large\n", &"x".repeat(66_000));
    }
    let subject = pair.sender.host.subject.clone();
    let receiver = Site::of("receiver.example.org").at(&[&broker.plain()], Way::Plain, "max-frame = \"64KiB\"\n");
    pair.receiver = receiver.receiving("central", &destination, &[&subject], "prefetch = 1\nmax-payload = \"32KiB\"\n");
    Workload::queued_in(&pair.outgoing(), 10, 500);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    eventually("the small ones", || (queues::count(&pair.incoming()) == 10).then_some(()));
    assert_eq!(receiver.stop(), 0);
    eventually("the large ones to be given back", || (broker.waiting(&pair.destination) == 80).then_some(()));
}

#[test]
fn a_message_that_was_delivered_ten_times_is_warned_of() {
    let (broker, pair) = limited(20, "");
    let destination = pair.destination.replace("/queue/", "/amq/queue/");
    let messages = Workload::queued_in(&pair.outgoing(), 2, 500);
    pair.sender.run(&["send"]).expect(0);
    for _ in 0..10 {
        assert_eq!(broker.cut_off(&destination).matches("MESSAGE\n").count(), 2);
    }
    let mut receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    assert_eq!(receiver.stop(), 0);
    let log = receiver.log();
    let warnings: Vec<&str> =
        log.lines().filter(|line| line.contains("deletes it at the queue's delivery limit")).collect();
    assert_eq!(warnings.len(), 2, "{log}");
    for word in ["WARN", "deliveries=10", destination.as_str(), "id=", "delivery-limit"] {
        assert!(warnings.iter().all(|line| line.contains(word)), "{word:?} is not in {warnings:?}");
    }
}
