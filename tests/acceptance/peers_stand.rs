//! The peers themselves do what the other tests take for granted.

use crate::harness::Folder;
use crate::peers::broker::{BOTH, PASSCODE, shared};
use crate::peers::openssl::{self, Key, Validity, pki};
use crate::peers::python::{self, Frame, Link, SsmReceiver, SsmSender};
use crate::peers::{Broker, Kind};

fn bodies(frames: &[Frame]) -> Vec<&[u8]> {
    frames.iter().map(|frame| frame.body.as_slice()).collect()
}

fn passes_a_message(kind: Kind, tls: bool) {
    let (broker, host) = (shared(kind), pki().host("sender.example.org"));
    let link = if tls {
        Link { broker: broker.tls(), host: Some(&host) }
    } else {
        Link { broker: broker.plain(), host: None }
    };
    let destination = format!("/queue/peers.passes-{tls}");
    python::send(&link, &destination, &[Frame::labelled("one", b"a body\n")]);
    assert_eq!(broker.waiting(&destination), 1);
    let taken = python::take(&link, &destination, 1);
    assert_eq!(bodies(&taken), [b"a body\n"]);
    assert_eq!(taken[0].header("empa-id"), Some("one"));
    assert_eq!(broker.waiting(&destination), 0);
}

#[test]
fn rabbitmq_passes_a_message() {
    passes_a_message(Kind::RabbitMq, false);
}

#[test]
fn rabbitmq_passes_a_message_over_tls() {
    passes_a_message(Kind::RabbitMq, true);
}

#[test]
fn activemq_passes_a_message() {
    passes_a_message(Kind::ActiveMq, false);
}

#[test]
fn activemq_passes_a_message_over_tls() {
    passes_a_message(Kind::ActiveMq, true);
}

#[test]
fn a_broker_lets_in_the_hosts_it_knows_and_no_others() {
    for kind in BOTH {
        let tls = |host: openssl::Host, patience: u32| {
            python::may_connect(&Link { broker: shared(kind).tls(), host: Some(&host) }, patience)
        };
        // A busy broker answers late and closes what it did not get round to: whom it knows, it lets in in the end.
        assert!(tls(pki().host("sender.example.org"), 60), "{kind:?} refuses a known host");
        assert!(!tls(pki().host("stranger.example.org"), 5), "{kind:?} lets in a host without a user");
        assert!(
            !tls(openssl::strangers().host("sender.example.org"), 5),
            "{kind:?} takes a certificate of an unknown authority"
        );
        assert!(
            shared(kind).lets_in(PASSCODE) && !shared(kind).lets_in("wrong"),
            "{kind:?} does not look at the passcode"
        );
    }
}

fn keeps_messages_when_killed(kind: Kind) {
    let broker = Broker::own(kind);
    broker.declare("/queue/peers.killed");
    let link = Link { broker: broker.plain(), host: None };
    let frames: Vec<Frame> = (0..20).map(|n| Frame::labelled(&n.to_string(), format!("body {n}").as_bytes())).collect();
    python::send(&link, "/queue/peers.killed", &frames);
    broker.kill();
    broker.restart();
    assert_eq!(broker.waiting("/queue/peers.killed"), 20);
    assert_eq!(bodies(&python::take(&link, "/queue/peers.killed", 20)), bodies(&frames));
}

#[test]
fn rabbitmq_keeps_persistent_messages_when_killed() {
    keeps_messages_when_killed(Kind::RabbitMq);
}

#[test]
fn activemq_keeps_persistent_messages_when_killed() {
    keeps_messages_when_killed(Kind::ActiveMq);
}

#[test]
fn dirq_reads_what_dirq_wrote() {
    let folder = Folder::new("dirq");
    let names = python::add(folder.path(), &[b"first\n", b"second \xc3\xa4\n"]);
    let read = python::outgoing(folder.path());
    assert_eq!(read, [(names[0].clone(), b"first\n".to_vec()), (names[1].clone(), b"second \xc3\xa4\n".to_vec())]);
}

#[test]
fn openssl_reads_what_openssl_sealed() {
    for key in [Key::Rsa2048, Key::Rsa4096, Key::P256] {
        let signer = pki().issue("signer.example.org", key, Validity::Now);
        let recipient = pki().host("receiver.example.org");
        let sealed = openssl::encrypt(&recipient, &openssl::sign(&signer, b"content\n"));
        assert!(!sealed.contains(&b'\r'));
        let opened = openssl::verify("smime", pki(), &openssl::decrypt("smime", &recipient, &sealed));
        assert_eq!(opened, b"Content-Type: text/plain\r\n\r\ncontent\r\n");
    }
}

#[test]
fn the_ssm_stand_in_receives_what_it_sent() {
    let (sender, receiver) = (pki().host("sender.example.org"), pki().host("receiver.example.org"));
    for kind in BOTH {
        let (broker, destination) = (shared(kind), "/queue/peers.ssm");
        let incoming = Link { broker: broker.tls(), host: Some(&receiver) };
        let ssm = SsmReceiver::start(&incoming, destination, &receiver, &[&sender.subject], 1);
        let queue = Folder::new("outgoing");
        python::add(queue.path(), &[b"APEL-summary-job-message: v0.2\nSite: X\n%%\n"]);
        let link = Link { broker: broker.tls(), host: Some(&sender) };
        let encrypt_for = Some(&receiver);
        let sent = python::send_as_ssm(&SsmSender {
            link,
            destination,
            signer: &sender,
            encrypt_for,
            queue: queue.path(),
            format: "dirq",
        });
        let (stored, refused) = ssm.finish();
        assert_eq!((sent.len(), refused.len()), (1, 0), "{refused:?}");
        assert_eq!(stored[0].body, "APEL-summary-job-message: v0.2\nSite: X\n%%");
        assert_eq!((&stored[0].signer, &stored[0].id), (&sender.subject, &sent[0]));
    }
}
