//! A broker that is away, is the wrong one, refuses us or talks nonsense: nothing is lost, and one line says what is wrong.

use std::time::{Duration, Instant};

use crate::checker::Workload;
use crate::harness::eventually;
use crate::peers::broker::{BOTH, shared};
use crate::peers::openssl::{pki, strangers};
use crate::peers::scripted::{Scripted, header, relay, unreachable_broker};
use crate::peers::{Broker, Kind};
use crate::queues;
use crate::sesame::{Outcome, Pair, Site, Way, own_destination};

/// Tries to send one message through these addresses within two seconds; it must stay where it was.
fn cannot_send(site: Site, addresses: &[&str], way: Way) -> Outcome {
    let site = site.at(addresses, way, "").sending("cpu", &own_destination(), "");
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    let outcome = site.run(&["send", "--deadline", "2s"]).expect(1);
    assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 1, "the message is gone");
    assert_eq!(queues::locks(&site.outgoing("cpu")).len(), 0, "a lock is left");
    outcome
}

#[test]
fn no_one_there() {
    let address = unreachable_broker();
    let start = Instant::now();
    cannot_send(Site::of("sender.example.org"), &[&address], Way::Plain).says(&address);
    assert!(start.elapsed() < Duration::from_secs(20), "the deadline did not hold");
}

#[test]
fn a_daemon_waits_for_its_broker() {
    for kind in BOTH {
        let broker = Broker::own(kind);
        let pair = Pair::on(&broker, Way::Tls, "", "");
        broker.kill();
        let messages = Workload::queued_in(&pair.outgoing(), 5, 500);
        let mut receiver = pair.receiver.start(&["receive"]);
        let mut sender = pair.sender.start(&["send", "--watch"]);
        std::thread::sleep(Duration::from_secs(3));
        assert!(sender.ended().is_none() && receiver.ended().is_none(), "gave up");
        broker.restart();
        messages.arrives(&pair);
    }
}

#[test]
fn a_broker_whose_certificate_is_for_another_host() {
    let broker = shared(Kind::RabbitMq);
    let relay = relay(&broker.tls(), None);
    cannot_send(Site::of("sender.example.org"), &[&relay.address()], Way::Tls).says("127.0.0.2");
}

#[test]
fn a_broker_of_an_unknown_authority() {
    for kind in BOTH {
        let site = Site::of("sender.example.org").trusting(&[&strangers().anchors()]);
        let address = shared(kind).tls();
        cannot_send(site, &[&address], Way::Tls).says(&address).says("certificate");
    }
}

#[test]
fn a_client_certificate_of_an_unknown_authority_is_refused_by_the_broker() {
    for kind in BOTH {
        let host = strangers().host("sender.example.org");
        let address = shared(kind).tls();
        cannot_send(Site::with(host), &[&address], Way::Tls).says(&address);
    }
}

#[test]
fn a_client_certificate_that_belongs_to_no_user_is_refused_by_the_broker() {
    for kind in BOTH {
        let address = shared(kind).tls();
        cannot_send(Site::with(pki().host("stranger.example.org")), &[&address], Way::Tls).says(&address);
    }
}

#[test]
fn a_plain_broker_where_tls_is_wanted_and_the_reverse() {
    let (plain, tls) = (shared(Kind::RabbitMq).plain(), shared(Kind::RabbitMq).tls());
    cannot_send(Site::of("sender.example.org"), &[&plain], Way::Tls).says(&plain);
    cannot_send(Site::of("sender.example.org"), &[&tls], Way::Plain).says(&tls);
}

#[test]
fn answers_that_make_no_sense() {
    let answers: [&'static [u8]; 9] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"MESSAGE\nsubscription:1\nmessage-id:1\n\nbody\0",
        b"RECEIPT\nreceipt-id:1\n\n\0",
        b"CONNECTED\nversion:9.9\n\n\0",
        b"CONNECTED\nversion:1.2\nheart-beat:a,b\n\n\0",
        b"CONNECTED\nno colon here\n\n\0",
        b"connected\nversion:1.2\n\n\0",
        b"ERROR\nmessage:we are closed\n\ncome back tomorrow\0",
    ];
    for answer in answers {
        let broker = Scripted::answering(answer);
        cannot_send(Site::of("sender.example.org"), &[&broker.address()], Way::Plain).says(&broker.address());
    }
}

#[test]
fn a_broker_that_talks_nonsense_is_passed_over_for_the_next() {
    let broken = Scripted::answering(b"220 mail.example.org ESMTP\r\n");
    let (good, destination) = (shared(Kind::RabbitMq), own_destination());
    let site = Site::of("sender.example.org").at(&[&broken.address(), &good.plain()], Way::Plain, "");
    let site = site.sending("cpu", &destination, "");
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    site.run(&["send", "--deadline", "30s"]).expect(0);
    assert_eq!((broken.connections() > 0, good.waiting(&destination)), (true, 1));
}

/// A broker that takes a SEND and answers it with what `answer` makes of the receipt it asks for.
fn answering_sends(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Scripted {
    Scripted::playing(move |mut peer| {
        peer.frame();
        peer.say("CONNECTED\nversion:1.2\n\n\0");
        loop {
            let frame = peer.frame();
            if frame.is_empty() {
                return;
            }
            if let Some(receipt) = header(&frame, "receipt").filter(|_| frame.starts_with("SEND")) {
                peer.say(answer(receipt));
            }
        }
    })
}

/// Sends one message through a scripted broker for some seconds; gives how often it was tried.
fn keeps_the_message(broker: &Scripted) -> usize {
    let site = Site::of("sender.example.org").at(&[&broker.address()], Way::Plain, "receipt-timeout = \"1s\"\n");
    let site = site.sending("cpu", &own_destination(), "");
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    let mut sender = site.start(&["send", "--watch"]);
    eventually("a second connection", || (broker.connections() > 1).then_some(()));
    assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 1, "removed without a receipt");
    sender.signal(rustix::process::Signal::TERM);
    sender.signal(rustix::process::Signal::TERM);
    sender.wait();
    broker.connections()
}

#[test]
fn a_receipt_that_never_comes_removes_nothing() {
    keeps_the_message(&answering_sends(|_| String::new()));
}

#[test]
fn a_receipt_for_another_frame_removes_nothing() {
    keeps_the_message(&answering_sends(|receipt| format!("RECEIPT\nreceipt-id:{receipt}0\n\n\0")));
}

#[test]
fn an_error_instead_of_a_receipt_does_not_lose_the_message() {
    let broker = answering_sends(|_| "ERROR\nmessage:no\n\n\0".to_owned());
    let site = Site::of("sender.example.org").at(&[&broker.address()], Way::Plain, "");
    let site = site.sending("cpu", &own_destination(), "");
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    let outcome = site.run(&["send", "--deadline", "3s"]).expect(1);
    let kept = queues::outgoing(&site.outgoing("cpu")).len() + queues::count(&site.refused("cpu"));
    assert_eq!(kept, 1, "{}", outcome.log);
}

/// One message, alone in its queue, that the broker never takes: set aside within one run, with the broker's words.
fn sets_aside_the_only_message(site: &Site, words: &str) {
    let id = queues::add(&site.outgoing("cpu"), &vec![b'x'; 5 << 20]);
    let outcome = site.run(&["send"]).expect(1);
    assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 0, "{}", outcome.all());
    let refused = queues::elements(&site.refused("cpu"));
    assert_eq!(refused.len(), 1, "{}", outcome.all());
    assert_eq!((refused[0].id(), refused[0].bytes("body").len()), (id, 5 << 20));
    let error = refused[0].text("error");
    assert!(error.starts_with("broker-refused: ") && error.contains(words), "{error}");
    site.run(&["send"]).expect(0);
}

#[test]
fn a_message_too_large_for_the_broker_is_set_aside_though_it_is_alone() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let site = Site::of("sender.example.org").on(broker, Way::Plain).sending("cpu", &destination, "");
    sets_aside_the_only_message(&site, "larger than");
}

#[test]
fn a_message_over_which_the_broker_hangs_up_is_set_aside_though_it_is_alone() {
    let broker = Scripted::playing(|mut peer| {
        peer.frame();
        peer.say("CONNECTED\nversion:1.2\n\n\0");
        loop {
            let frame = peer.frame();
            match header(&frame, "receipt") {
                Some(receipt) if frame.len() < 1 << 20 => peer.say(format!("RECEIPT\nreceipt-id:{receipt}\n\n\0")),
                _ => return,
            }
        }
    });
    let site = Site::of("sender.example.org").at(&[&broker.address()], Way::Plain, "");
    let site = site.sending("cpu", &own_destination(), "");
    sets_aside_the_only_message(&site, "closed");
}

#[test]
fn a_receiver_passes_over_what_goes_ahead_of_a_suspect() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    queues::add(&pair.outgoing(), &vec![b'x'; 5 << 20]);
    pair.sender.run(&["send"]).expect(1);
    let messages = Workload::queued_in(&pair.outgoing(), 3, 500);
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    assert_eq!(queues::count(&pair.reject()), 0, "a probe was taken for a message");
}
