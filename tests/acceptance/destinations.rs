//! Nothing is removed on a RECEIPT that does not mean that a queue holds the message, and nothing is received from what
//! keeps no messages. `docs/src/destinations.md` is proved row by row against both brokers.

use std::time::Duration;

use crate::harness::eventually;
use crate::harness::patience::{patience, within};
use crate::peers::broker::shared;
use crate::peers::openssl::pki;
use crate::peers::scripted::{Scripted, header};
use crate::peers::{Broker, Kind};
use crate::queues;
use crate::sesame::{Site, Way, own_destination};

const PAGE: &str = include_str!("../../docs/src/destinations.md");

/// The name of a queue that no other test uses.
fn own_name() -> String {
    own_destination().trim_start_matches("/queue/").to_owned()
}

fn site(broker: &Broker, destination: &str) -> Site {
    let site = Site::of("sender.example.org").on(broker, Way::Plain);
    site.sending("cpu", destination, "back-off-min = \"1s\"\nback-off-max = \"1s\"\n")
}

fn receiver(broker: &Broker, destination: &str) -> Site {
    let signer = pki().host("sender.example.org").subject;
    Site::of("receiver.example.org").on(broker, Way::Plain).receiving("central", destination, &[&signer], "")
}

/// Rows of the first table: the destination and what each broker does.
fn rows() -> Vec<(String, [String; 2])> {
    let table = PAGE.lines().skip_while(|line| !line.starts_with("| destination |")).skip(2);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells = cells(line);
        (cells[0].trim_matches('`').to_owned(), [cells[1].clone(), cells[2].clone()])
    };
    table.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// Sends one message to a destination and compares what becomes of it with what the page says.
fn is_as_the_page_says(broker: &Broker, destination: &str, said: &str) {
    let name = own_name();
    let place = |text: &str| text.replace("NAME", &name);
    let body = format!("body of {name}");
    let send = format!(
        "SEND\ndestination:{}\npersistent:true\nreceipt:sent\ncontent-length:{}\n\n{body}\0",
        place(destination),
        body.len()
    );
    let answer = broker.converse_until(&send, &["receipt-id:sent", "ERROR\n"], patience());
    let (answered, rest) = said.split_once(", ").unwrap_or((said, ""));
    let as_said = match answered {
        "RECEIPT" => answer.contains("RECEIPT\nreceipt-id:sent"),
        "ERROR" => answer.contains("\nERROR\n") || answer.contains("\0ERROR\n"),
        "closed" => !answer.contains("RECEIPT") && !answer.contains("ERROR"),
        other => panic!("{destination}: the page says {other:?}"),
    };
    assert!(as_said, "{destination}: the page says {said}, the broker {answer:?}");
    let listened = rest.strip_prefix("held as ").map(|text| text.trim_matches('`')).unwrap_or(destination);
    let subscribe = format!("SUBSCRIBE\nid:1\ndestination:{}\nack:auto\n\n\0", place(listened));
    let held = rest.starts_with("held");
    let silence = if held { patience() } else { Duration::from_millis(700) };
    let found = broker.converse_until(&subscribe, &[&body], silence).contains(&body);
    assert_eq!(found, held, "{destination}: the page says {said}");
}

#[test]
fn every_form_does_on_rabbitmq_what_the_page_says() {
    let rows = rows();
    assert!(rows.len() >= 20, "{rows:?}");
    for (destination, [rabbitmq, _]) in rows {
        is_as_the_page_says(shared(Kind::RabbitMq), &destination, &rabbitmq);
    }
}

#[test]
fn every_form_does_on_activemq_what_the_page_says() {
    for (destination, [_, activemq]) in rows() {
        is_as_the_page_says(shared(Kind::ActiveMq), &destination, &activemq);
    }
}

#[test]
fn nothing_is_sent_to_a_queue_that_is_not_there() {
    let broker = shared(Kind::RabbitMq);
    let name = own_name();
    let destination = format!("/amq/queue/{name}");
    let site = site(broker, &destination);
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    let missing = format!("no queue for {destination}");
    site.run(&["check"]).expect(1).says("error    send.cpu: ").says(&missing).says("declare the queue");
    site.run(&["send"]).expect(1).says("stay in outgoing").says(&missing);
    assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 1, "removed, and no queue holds it");
    assert_eq!(queues::locks(&site.outgoing("cpu")).len(), 0);
    broker.declare(&format!("/queue/{name}"));
    site.run(&["check"]).expect(0).says(&format!("{destination} is a classic queue"));
    site.run(&["send"]).expect(0);
    assert_eq!(broker.waiting(&format!("/queue/{name}")), 1);
}

#[test]
fn a_route_to_a_queue_that_is_not_there_holds_up_no_other() {
    let broker = shared(Kind::RabbitMq);
    let (good, missing) = (own_destination(), format!("/amq/queue/{}", own_name()));
    let kinds = "pipeline = [\"builtin:route-by-type\"]\n";
    let site = Site::of("sender.example.org").on(broker, Way::Plain).sending(
        "cpu",
        &good,
        &format!("{kinds}[send.cpu.route]\nsummaries = {missing:?}\n"),
    );
    let site = site.with_sections("[plugin.\"builtin:route-by-type\".config.routes]\n\"summary\" = \"summaries\"\n");
    queues::add(&site.outgoing("cpu"), b"APEL-summary-job-message: v0.2\nSite: X\nMonth: 3\nYear: 2026\n%%\n");
    queues::add(&site.outgoing("cpu"), b"APEL-sync-message: v0.1\nSite: X\nSubmitHost: h\nNumberOfJobs: 1\n%%\n");
    site.run(&["send"]).expect(1).says(&missing);
    assert_eq!((queues::outgoing(&site.outgoing("cpu")).len(), broker.waiting(&good)), (1, 1));
}

#[test]
fn what_is_confirmed_after_the_queue_was_deleted_is_kept_and_sent_again() {
    let broker = shared(Kind::RabbitMq);
    for form in ["/queue/", "/amq/queue/"] {
        let name = own_name();
        let queue = format!("/queue/{name}");
        broker.declare(&queue);
        let site = site(broker, &format!("{form}{name}"));
        let mut sender = site.start(&["send", "--watch"]);
        queues::add(&site.outgoing("cpu"), b"Site: A\n");
        eventually("the first message", || (broker.waiting(&queue) == 1).then_some(()));
        eventually("its removal", || queues::outgoing(&site.outgoing("cpu")).is_empty().then_some(()));
        broker.delete_queue(&name);
        queues::add(&site.outgoing("cpu"), b"Site: B\n");
        eventually("the error", || sender.log().contains("no queue may hold").then_some(()));
        if form == "/amq/queue/" {
            assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 1, "removed, and no queue holds it");
            broker.declare(&queue);
        }
        eventually("the second message", || (broker.waiting(&queue) == 1).then_some(()));
        eventually("its removal", || queues::outgoing(&site.outgoing("cpu")).is_empty().then_some(()));
        assert_eq!(sender.stop(), 0);
    }
}

#[test]
fn a_queue_with_arguments_has_its_remedy_named_by_check_send_and_receive() {
    let broker = shared(Kind::RabbitMq);
    for (arguments, kind) in [("x-queue-type:quorum\n", "quorum"), ("x-max-length:10\n", "classic")] {
        let name = own_name();
        broker.declare_with(&format!("/queue/{name}"), arguments);
        let remedy = format!("set destination to /amq/queue/{name}, which uses the existing queue");
        let sender = site(broker, &format!("/queue/{name}"));
        queues::add(&sender.outgoing("cpu"), b"Site: X\n");
        sender.run(&["check"]).expect(1).says("error    send.cpu: ").says(&remedy);
        sender.run(&["send"]).expect(1).says(&remedy);
        assert_eq!(queues::outgoing(&sender.outgoing("cpu")).len(), 1);
        assert_eq!(queues::count(&sender.refused("cpu")), 0, "not the message's fault");
        let receiving = receiver(broker, &format!("/queue/{name}"));
        receiving.run(&["check"]).expect(1).says("error    receive.central: ").says(&remedy);
        let mut daemon = receiving.start(&["receive"]);
        eventually("the remedy", || daemon.log().contains(&remedy).then_some(()));
        daemon.stop();
        let destination = format!("/amq/queue/{name}");
        let sender = site(broker, &destination);
        queues::add(&sender.outgoing("cpu"), b"Site: X\n");
        sender.run(&["check"]).expect(0).says(&format!("{destination} is a {kind} queue"));
        sender.run(&["send"]).expect(0);
        let receiving = receiver(broker, &destination);
        let _daemon = receiving.start(&["receive"]);
        eventually("the message", || (queues::count(&receiving.queue("central", "incoming")) == 1).then_some(()));
    }
}

#[test]
fn a_stream_is_refused_by_check_send_and_receive() {
    let broker = shared(Kind::RabbitMq);
    let name = own_name();
    broker.declare_with(&format!("/queue/{name}"), "x-queue-type:stream\nprefetch-count:1\nack:client\n");
    for destination in [format!("/amq/queue/{name}"), format!("/queue/{name}")] {
        let words = format!("{destination} is a RabbitMQ stream");
        let sender = site(broker, &destination);
        queues::add(&sender.outgoing("cpu"), b"Site: X\n");
        sender.run(&["check"]).expect(1).says("error    send.cpu: ").says(&words);
        sender.run(&["send"]).expect(1).says(&words).says("stay in outgoing");
        assert_eq!(queues::outgoing(&sender.outgoing("cpu")).len(), 1);
        let receiving = receiver(broker, &destination);
        receiving.run(&["check"]).expect(1).says("error    receive.central: ").says(&words);
        let mut daemon = receiving.start(&["receive"]);
        eventually("the refusal", || daemon.log().contains(&words).then_some(()));
        broker.put(&format!("/amq/queue/{name}"), "", "from a stream");
        std::thread::sleep(Duration::from_secs(1));
        assert!(!daemon.log().contains("INFO subscribed"), "{}", daemon.log());
        daemon.stop();
        let stored = ["incoming", "reject"].map(|queue| queues::count(&receiving.queue("central", queue)));
        assert_eq!(stored, [0, 0]);
    }
}

#[test]
fn a_sender_cannot_stop_a_receiver_with_the_header_of_a_stream() {
    for (kind, form) in [(Kind::RabbitMq, "/queue/"), (Kind::RabbitMq, "/amq/queue/"), (Kind::ActiveMq, "/queue/")] {
        let (broker, name) = (shared(kind), own_name());
        broker.declare(&format!("/queue/{name}"));
        let receiving = receiver(broker, &format!("{form}{name}"));
        let _daemon = receiving.start(&["receive"]);
        broker.put(&format!("/queue/{name}"), "x-stream-offset:5\n", "not signed");
        eventually("its refusal", || (queues::count(&receiving.queue("central", "reject")) == 1).then_some(()));
    }
}

#[test]
fn what_may_be_from_a_stream_is_neither_stored_nor_acknowledged() {
    // A broker that hides its name and cannot be asked: only the header shows it.
    let broker = Scripted::playing(|mut peer| {
        peer.frame();
        peer.say("CONNECTED\nversion:1.2\n\n\0");
        while let frame = peer.frame()
            && !frame.is_empty()
        {
            assert!(!frame.starts_with("ACK"), "{frame}");
            let (Some(id), Some(receipt)) = (header(&frame, "id"), header(&frame, "receipt")) else { continue };
            peer.say(format!("RECEIPT\nreceipt-id:{receipt}\n\n\0"));
            if header(&frame, "x-stream-offset").is_none() {
                peer.say(format!("MESSAGE\nsubscription:{id}\nmessage-id:1\nack:1\nx-stream-offset:7\n\nnot signed\0"));
            }
        }
    });
    let signer = pki().host("sender.example.org").subject;
    let site = Site::of("receiver.example.org").at(&[&broker.address()], Way::Plain, "");
    let site = site.receiving("central", "/queue/a", &[&signer], "");
    let mut daemon = site.start(&["receive"]);
    eventually("the refusal", || daemon.log().contains("seems to be a RabbitMQ stream").then_some(()));
    daemon.stop();
    assert_eq!(queues::count(&site.queue("central", "reject")), 0);
}

#[test]
fn a_sender_that_may_not_read_sends_only_to_what_it_declares() {
    let broker = shared(Kind::RabbitMq);
    let name = own_name();
    let (queue, named) = (format!("/queue/{name}"), format!("/amq/queue/{name}"));
    let site = |destination: &str| Site::of("writer.example.org").on(broker, Way::Tls).sending("cpu", destination, "");
    let to_queue = site(&queue);
    queues::add(&to_queue.outgoing("cpu"), b"Site: X\n");
    to_queue.run(&["send"]).expect(0).says("after this queue is deleted would be lost").says("read permission");
    assert_eq!(broker.waiting(&queue), 1);
    let to_named = site(&named);
    queues::add(&to_named.outgoing("cpu"), b"Site: X\n");
    to_named.run(&["send"]).expect(1).says("read permission");
    assert_eq!((queues::outgoing(&to_named.outgoing("cpu")).len(), broker.waiting(&queue)), (1, 1));
}

#[test]
fn a_payload_limit_beyond_the_frame_of_later_releases_of_rabbitmq_is_named() {
    let warned = |kind: Kind, limit: &str| {
        let site = Site::of("sender.example.org").on(shared(kind), Way::Plain);
        let site = site.sending("cpu", &own_destination(), &format!("max-payload = {limit:?}\n"));
        site.run(&["check"]).expect(0).output
    };
    let output = warned(Kind::RabbitMq, "5MiB");
    let line = output.lines().find(|line| line.contains("on the wire")).unwrap();
    // Debian's 3.10.8 has neither the limit nor the key that raises it.
    assert!(
        line.starts_with("ok       send.cpu: a message of max-payload, 5.0 MiB, is ") && line.contains("3.12.2"),
        "{line}"
    );
    assert!(line.contains("RabbitMQ/3.10.8 takes frames of any size") && !line.contains("max_frame_size"), "{line}");
    assert!(!warned(Kind::RabbitMq, "4MB").contains("on the wire"));
    assert!(!warned(Kind::ActiveMq, "5MiB").contains("on the wire"));
}

#[test]
fn a_message_that_never_ends_is_closed_at_max_frame_and_takes_no_more_memory() {
    // Large beside what malloc keeps of the buffers that the message outgrew, about 6 MB whatever the limit.
    const LIMIT: u64 = 96 << 20;
    let broker = Scripted::playing(|mut peer| {
        peer.frame();
        peer.say("CONNECTED\nversion:1.2\n\n\0");
        let frame = peer.frame();
        let (id, receipt) = (header(&frame, "id").unwrap(), header(&frame, "receipt").unwrap());
        peer.say(format!("RECEIPT\nreceipt-id:{receipt}\n\n\0MESSAGE\nsubscription:{id}\nmessage-id:1\nack:1\n\n"));
        let piece = vec![b'x'; 1 << 20];
        (0..200).for_each(|_| peer.say(&piece));
        peer.wait_for_the_end();
    });
    let signer = pki().host("sender.example.org").subject;
    let site = Site::of("receiver.example.org").at(&[&broker.address()], Way::Plain, "max-frame = \"96MiB\"\n");
    let site = site.receiving("central", "/queue/a", &[&signer], "");
    let idle = {
        let silent = Scripted::answering(b"CONNECTED\nversion:1.2\n\n\0");
        let site = Site::of("receiver.example.org").at(&[&silent.address()], Way::Plain, "max-frame = \"96MiB\"\n");
        let site = site.receiving("central", "/queue/a", &[&signer], "");
        let daemon = site.start(&["receive"]);
        eventually("a connection", || (silent.connections() > 0).then_some(()));
        within(Duration::from_secs(1), || None::<()>);
        daemon.peak_private_memory()
    };
    let daemon = site.start(&["receive"]);
    let said = format!("MESSAGE body longer than {LIMIT} bytes");
    eventually("the line of the log", || daemon.log().contains(&said).then_some(()));
    assert!(daemon.log().contains("raise max-frame"), "{}", daemon.log());
    let taken = daemon.peak_private_memory() - idle;
    eprintln!("peak: {taken} bytes beyond an idle receiver, for a limit of {LIMIT}");
    assert!(taken < LIMIT + LIMIT / 8, "{taken} bytes for a frame of at most {LIMIT}");
}
