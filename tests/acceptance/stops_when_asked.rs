//! SIGTERM: what is in flight is finished within the grace period; a second one stops at once.

use rustix::process::Signal;

use crate::checker::{Workload, when_stored};
use crate::harness::eventually;
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::scripted::Scripted;
use crate::queues;
use crate::sesame::{Pair, Site, Way, own_destination};

#[test]
fn a_receiver_drains_and_loses_nothing() {
    for kind in [Kind::RabbitMq, Kind::ActiveMq] {
        let pair = Pair::on(shared(kind), Way::Tls, "", "prefetch = 16\n");
        let messages = Workload::queued_in(&pair.outgoing(), 300, 3_000);
        pair.sender.run(&["send"]).expect(0);
        for share in [20, 100] {
            let mut receiver = pair.receiver.start(&["receive"]);
            eventually("the receiver to be at work", || receiver.log().contains("subscribed").then_some(()));
            when_stored(&pair.incoming(), share);
            assert_eq!(receiver.stop(), 0, "{}", receiver.last_words());
        }
        let _receiver = pair.receiver.start(&["receive"]);
        messages.arrives(&pair);
    }
}

#[test]
fn a_sender_drains_and_leaves_no_lock() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "window = 8\n", "");
    let messages = Workload::queued_in(&pair.outgoing(), 300, 3_000);
    let mut sender = pair.sender.start(&["send", "--watch"]);
    eventually("the queue to shrink", || (queues::outgoing(&pair.outgoing()).len() < 250).then_some(()));
    assert_eq!(sender.stop(), 0, "{}", sender.last_words());
    assert_eq!(queues::locks(&pair.outgoing()), [] as [std::path::PathBuf; 0]);
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

/// A sender that waits for a receipt which never comes.
fn waiting_for_a_receipt(grace: &str) -> (Site, crate::harness::Child) {
    let broker = Scripted::playing(|mut peer| {
        peer.frame();
        peer.say("CONNECTED\nversion:1.2\n\n\0");
        peer.wait_for_the_end();
    });
    let site = Site::of("sender.example.org").at(&[&broker.address()], Way::Plain, "");
    let site = site.with_sections(&format!("[limits]\ngrace = \"{grace}\"\n")).sending("cpu", &own_destination(), "");
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    let sender = site.start(&["send", "--watch"]);
    eventually("the element to be locked", || queues::locks(&site.outgoing("cpu")).pop());
    eventually("the connection", || (broker.connections() > 0).then_some(()));
    (site, sender)
}

#[test]
fn the_grace_period_ends_the_wait() {
    let (site, mut sender) = waiting_for_a_receipt("1s");
    sender.stop();
    assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 1);
    assert_eq!(queues::locks(&site.outgoing("cpu")), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_second_signal_stops_at_once() {
    let (site, mut sender) = waiting_for_a_receipt("10m");
    sender.signal(Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(sender.ended().is_none(), "it did not wait for the receipt");
    sender.signal(Signal::TERM);
    assert_eq!(sender.exit_code(), 1);
    assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 1);
}
