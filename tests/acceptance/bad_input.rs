//! A sender's bad input: each is set aside with its reason or left alone, and every other message goes.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::checker::{Workload, body};
use crate::harness::eventually;
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::queues::{self, Element};
use crate::sesame::{Pair, Site, Way, own_destination};

/// Puts bad bodies among good messages, sends, and gives what was refused once the good ones have arrived.
fn refused(bad: &[&[u8]], more: &str) -> Vec<Element> {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, more, "");
    let queue = pair.outgoing();
    bad.iter().for_each(|content| drop(queues::add(&queue, content)));
    let messages = Workload::queued_in(&queue, 10, 500);
    bad.iter().for_each(|content| drop(queues::add(&queue, content)));
    let outcome = pair.sender.run(&["send"]).expect(1);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.is_stored_in(&pair.incoming());
    assert_eq!(queues::outgoing(&queue), [] as [PathBuf; 0]);
    let elements = queues::elements(&pair.sender.refused("cpu"));
    assert_eq!(elements.len(), 2 * bad.len());
    for element in &elements {
        assert!(outcome.log.contains(&element.id()), "the log does not name {}:\n{}", element.id(), outcome.log);
    }
    elements
}

#[test]
fn empty_and_blank_messages_are_refused() {
    for element in refused(&[b"", b" \n\t\r\n "], "") {
        assert!(element.text("error").contains("empty"), "{}", element.text("error"));
    }
}

#[test]
fn a_message_over_the_limit_is_refused() {
    for element in refused(&[&body(99, 5_000)], "max-payload = \"4KiB\"\n") {
        assert!(element.text("error").contains("4096"), "{}", element.text("error"));
        assert_eq!(element.bytes("body"), body(99, 5_000));
    }
}

#[test]
fn a_message_too_large_for_the_broker_does_not_stop_the_others() {
    let broker = shared(Kind::RabbitMq);
    let pair = Pair::on(broker, Way::Plain, "", "");
    let large = body(1_000_000, 9 << 20);
    queues::add(&pair.outgoing(), &large);
    let messages = Workload::queued_in(&pair.outgoing(), 10, 500);
    let mut sender = pair.sender.start(&["send", "--watch"]);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.is_stored_in(&pair.incoming());
    let set_aside = eventually("the large message in reject", || queues::elements(&pair.sender.refused("cpu")).pop());
    assert_eq!(set_aside.bytes("body"), large);
    eventually("the queue to be empty", || queues::outgoing(&pair.outgoing()).is_empty().then_some(()));
    assert!(sender.log().contains(&set_aside.id()), "the log does not name it:\n{}", sender.last_words());
    assert_eq!(sender.stop(), 0);
}

#[test]
fn a_message_too_large_for_the_receiver_stays_with_the_broker_and_the_others_go_on() {
    let broker = shared(Kind::RabbitMq);
    let destination = own_destination();
    let site = Site::of("sender.example.org").on(broker, Way::Plain).sending("cpu", &destination, "");
    let queue = site.outgoing("cpu");
    queues::add(&queue, &body(1_000_000, 300 << 10));
    let messages = Workload::queued_in(&queue, 10, 500);
    site.run(&["send"]).expect(0);
    let receiver = Site::of("receiver.example.org").at(&[&broker.plain()], Way::Plain, "max-frame = \"256KiB\"\n");
    let more = "max-payload = \"128KiB\"\n";
    let mut receiver = receiver.receiving("central", &destination, &[&site.host.subject], more);
    let incoming = receiver.queue("central", "incoming");
    let mut running = receiver.start(&["receive"]);
    messages.is_stored_in(&incoming);
    assert!(running.log().contains("message is larger than max-frame and stays with the broker"), "{}", running.log());
    assert_eq!(running.stop(), 0);
    receiver = Site::of("receiver.example.org").on(broker, Way::Plain);
    let receiver = receiver.receiving("central", &destination, &[&site.host.subject], "");
    let _running = receiver.start(&["receive"]);
    eventually("the large one", || (queues::count(&receiver.queue("central", "incoming")) == 1).then_some(()));
}

#[test]
fn messages_too_large_for_the_receiver_do_not_use_up_its_prefetch() {
    let broker = shared(Kind::RabbitMq);
    let destination = own_destination();
    let site = Site::of("sender.example.org").on(broker, Way::Plain).sending("cpu", &destination, "");
    let queue = site.outgoing("cpu");
    (0..5).for_each(|number| drop(queues::add(&queue, &body(1_000_000 + number, 70 << 10))));
    site.run(&["send"]).expect(0);
    let messages = Workload::queued_in(&queue, 10, 500);
    site.run(&["send"]).expect(0);
    let receiver = Site::of("receiver.example.org").at(&[&broker.plain()], Way::Plain, "max-frame = \"64KiB\"\n");
    let more = "max-payload = \"32KiB\"\nprefetch = 2\n";
    let receiver = receiver.receiving("central", &destination, &[&site.host.subject], more);
    let mut running = receiver.start(&["receive"]);
    messages.is_stored_in(&receiver.queue("central", "incoming"));
    let log = running.log();
    assert!(log.contains("take up the whole prefetch"), "{log}");
    assert!(!log.contains("connection to the broker lost"), "{log}");
    assert_eq!(running.stop(), 0);
    assert_eq!(broker.waiting(&destination), 5);
}

#[test]
fn what_is_no_element_is_left_alone() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let queue = pair.outgoing();
    let messages = Workload::queued_in(&queue, 5, 500);
    let folder = queue.join("6b030000");
    std::fs::create_dir_all(&folder).unwrap();
    let secret = pair.sender.folder.write("secret", "not for sending\n");
    std::fs::write(folder.join("6b0300000000aa.tmp"), "half a mess").unwrap();
    std::fs::write(folder.join("README"), "not an element\n").unwrap();
    std::fs::write(queue.join("6b03000000000b"), "in the wrong place\n").unwrap();
    symlink(&secret, folder.join("6b0300000000bb")).unwrap();
    std::fs::create_dir(folder.join("6b0300000000cc")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(folder.join("6b0300000000dd")).status().unwrap();
    assert!(fifo.success());
    let mut sender = pair.sender.start(&["send", "--watch"]);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.is_stored_in(&pair.incoming());
    assert_eq!(sender.stop(), 0);
    assert_eq!(queues::count(&pair.incoming()), 5);
    assert_eq!(std::fs::read(&secret).unwrap(), b"not for sending\n");
    for name in ["6b0300000000aa.tmp", "README", "6b0300000000cc"] {
        assert!(folder.join(name).exists(), "{name} is gone");
    }
}

#[test]
fn a_file_that_is_still_being_copied_in_is_left_until_it_is_whole() {
    use std::io::Write as _;
    let destination = own_destination();
    let broker = shared(Kind::RabbitMq);
    let site = Site::of("sender.example.org").on(broker, Way::Plain);
    let site = site.sending("cpu", &destination, "format = \"directory\"\n");
    let mut sender = site.start(&["send", "--watch"]);
    let path = site.outgoing("cpu").join("slow.txt");
    let mut file = std::fs::File::create(&path).unwrap();
    for line in 0..20 {
        writeln!(file, "Line: {line}").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(path.exists(), "taken before it was whole");
    }
    drop(file);
    eventually("the file to be sent", || (!path.exists()).then_some(()));
    let sent = crate::peers::python::take(&Way::Plain.link(broker, &site.host), &destination, 1).remove(0);
    assert!(String::from_utf8_lossy(&sent.body).contains("Line: 19"));
    assert_eq!(sender.stop(), 0);
}

#[test]
fn one_file_name_used_again_and_again_is_a_new_message_each_time() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "format = \"directory\"\n", "");
    let _sender = pair.sender.start(&["send", "--watch"]);
    let _receiver = pair.receiver.start(&["receive"]);
    let file = pair.outgoing().join("apel.txt");
    for round in 1..=3 {
        std::fs::write(file.with_extension("tmp"), "Site: the same\n").unwrap();
        std::fs::rename(file.with_extension("tmp"), &file).unwrap();
        eventually("the file to be sent", || (!file.exists()).then_some(()));
        eventually("the message", || (queues::count(&pair.incoming()) == round).then_some(()));
    }
}

#[test]
fn a_topic_is_refused_as_a_destination_unless_it_is_allowed() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Plain);
    let refused = site.sending("cpu", "/topic/accounting", "").run(&["send"]).expect(78);
    refused.says("destination").says("allow-topic");
}
