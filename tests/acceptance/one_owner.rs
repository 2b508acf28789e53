//! A queue and a spool have one owner: a second Sesame says who is in the way and ends with status 75.

use crate::checker::Workload;
use crate::harness::eventually;
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::queues;
use crate::sesame::{Pair, Way};

#[test]
fn a_second_receiver_on_the_same_spool() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let mut first = pair.receiver.start(&["receive"]);
    let messages = Workload::queued_in(&pair.outgoing(), 3, 500);
    pair.sender.run(&["send"]).expect(0);
    messages.arrives(&pair);
    let spool = pair.receiver.spool("central");
    pair.receiver.run(&["receive"]).expect(75).says(&spool.display().to_string());
    assert!(first.ended().is_none(), "the first one ended");
}

#[test]
fn a_second_sender_on_the_same_queue() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let mut first = pair.sender.start(&["send", "--watch"]);
    queues::add(&pair.outgoing(), b"Site: X\n");
    eventually("the first to send", || queues::outgoing(&pair.outgoing()).is_empty().then_some(()));
    let second = pair.sender.run(&["send"]).expect(75);
    second.says(&pair.outgoing().display().to_string());
    assert_eq!(first.stop(), 0);
    pair.sender.run(&["send"]).expect(0);
}

#[test]
fn the_owner_s_death_frees_the_spool() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let messages = Workload::queued_in(&pair.outgoing(), 3, 500);
    let mut first = pair.receiver.start(&["receive"]);
    pair.sender.run(&["send"]).expect(0);
    messages.arrives(&pair);
    first.kill();
    let mut second = pair.receiver.start(&["receive"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(second.ended().is_none(), "{}", second.last_words());
    assert_eq!(second.stop(), 0);
}
