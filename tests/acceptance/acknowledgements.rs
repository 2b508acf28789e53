//! Both sides know: a receiver's signed acknowledgements reach the sender, which repeats what stays silent and takes no
//! other word for true.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::checker::{self, Workload};
use crate::harness::{Child, eventually};
use crate::peers::ams::{Ams, PROJECT};
use crate::peers::broker::{Broker, shared};
use crate::peers::openssl::{Host, pki, sign_with, strangers};
use crate::peers::python::{self, Frame};
use crate::peers::{Kind, openssl};
use crate::queues;
use crate::sesame::{Pair, Site, Way, encrypted_for, own_destination, recipient};

/// How long a test watches that nothing happens.
const WATCHED: Duration = Duration::from_secs(3);

fn subject(name: &str) -> String {
    pki().host(name).subject
}

/// What the sender's configuration says of acknowledgements.
pub(crate) fn awaited(mode: &str, from: &str, more: &str) -> String {
    let receiver = subject("receiver.example.org");
    format!("[send.cpu.acknowledgements]\nmode = \"{mode}\"\nfrom = \"{from}\"\nreceivers = [\"{receiver}\"]\n{more}")
}

/// What the receiver's does.
pub(crate) fn given(to: &str) -> String {
    format!("[receive.central.acknowledgements]\n\"{}\" = \"{to}\"\n", subject("sender.example.org"))
}

/// A sender that waits for acknowledgements, and a receiver that sends them, to this queue.
pub(crate) fn pair(broker: &Broker, way: Way, mode: &str, more: &str) -> (Pair, String) {
    let queue = own_destination();
    (Pair::on(broker, way, &awaited(mode, &queue, more), &given(&queue)), queue)
}

pub(crate) fn retained(pair: &Pair) -> usize {
    let folder: PathBuf = pair.sender.folder.join("cpu-outgoing.state/retained");
    folder.read_dir().map_or(0, Iterator::count)
}

pub(crate) fn all_acknowledged(pair: &Pair, sender: &Child) {
    eventually("the acknowledgements", || {
        (sender.log().contains("messages acknowledged") && retained(pair) == 0).then_some(())
    });
}

/// The sender's words about the message with this id.
fn trace(pair: &Pair, id: &str) -> String {
    pair.sender.run(&["trace", id]).expect(0).output
}

fn crosses(pair: &Pair) {
    let messages = Workload::queued_in(&pair.outgoing(), 20, 2_000);
    let _receiver = pair.receiver.start(&["receive"]);
    let sender = pair.sender.start(&["send", "--watch"]);
    messages.arrives(pair);
    all_acknowledged(pair, &sender);
    let element = &queues::elements(&pair.incoming())[0];
    let said = trace(pair, &element.id());
    assert!(said.contains("receiver  accepted at 20"), "{said}");
    assert!(said.contains("CN=receiver.example.org"), "{said}");
    assert!(said.contains(" as incoming/"), "{said}");
}

#[test]
fn acknowledged_over_rabbitmq() {
    crosses(&pair(shared(Kind::RabbitMq), Way::Plain, "required", "").0);
}

#[test]
fn acknowledged_over_activemq_with_tls() {
    crosses(&pair(shared(Kind::ActiveMq), Way::Tls, "required", "").0);
}

#[test]
fn acknowledged_over_ams() {
    let ams = Ams::start();
    ams.server.create(PROJECT, "acknowledgements", "acknowledgements-site", "site", "secret");
    crosses(&Pair::at(&ams, &awaited("required", "acknowledgements-site", ""), &given("acknowledgements")));
}

#[test]
fn acknowledged_by_the_owner_of_the_recipient_certificate() {
    let queue = own_destination();
    let encrypted = encrypted_for(&recipient());
    let send = format!("{encrypted}[send.cpu.acknowledgements]\nmode = \"required\"\nfrom = \"{queue}\"\n");
    crosses(&Pair::on(shared(Kind::RabbitMq), Way::Plain, &send, &given(&queue)));
}

#[test]
fn what_the_broker_lost_after_its_receipt_is_sent_again() {
    let broker = shared(Kind::RabbitMq);
    let (pair, _) = pair(broker, Way::Plain, "required", "repeat-after = \"2s\"\n");
    let messages = Workload::queued_in(&pair.outgoing(), 10, 1_000);
    let sender = pair.sender.start(&["send", "--watch"]);
    eventually("the receipts", || {
        (retained(&pair) == 10 && queues::outgoing(&pair.outgoing()).is_empty()).then_some(())
    });
    // Another client takes them: the broker said that it has them, and has them no more.
    let lost = python::take(&Way::Plain.link(broker, &pair.sender.host), &pair.destination, 10);
    assert_eq!(lost.len(), 10);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    all_acknowledged(&pair, &sender);
    assert!(sender.log().contains("it is sent again"), "{}", sender.log());
    messages.is_stored_in(&pair.incoming());
}

#[test]
fn what_waits_is_repeated_or_released_beside_a_running_sender() {
    let broker = shared(Kind::RabbitMq);
    let (pair, _) = pair(broker, Way::Plain, "required", "");
    let ids = python::add(&pair.outgoing(), &[b"Site: X\n", b"Site: Y\n"]);
    let sender = pair.sender.start(&["send", "--watch"]);
    eventually("the receipts", || {
        (retained(&pair) == 2 && queues::outgoing(&pair.outgoing()).is_empty()).then_some(())
    });
    let lost = python::take(&Way::Plain.link(broker, &pair.sender.host), &pair.destination, 2);
    let number = sent(&lost[0].body);
    let listed = pair.sender.run(&["queue", "list", "--queue", "unacknowledged", "--long"]).expect(0).output;
    assert!(listed.contains("waiting  repeats 0") && listed.contains(&number), "{listed}");
    assert!(trace(&pair, &ids[1]).contains("waiting   for an acknowledgement since 20"));
    let said = pair.sender.run(&["trace", &number]).expect(0).output;
    assert!(ids.iter().filter(|id| said.contains(*id)).count() == 1, "{said}");

    pair.sender.run(&["queue", "release", "cpu", &ids[1]]).expect(0).says("released");
    assert_eq!(retained(&pair), 1);
    let said = trace(&pair, &ids[1]);
    assert!(said.contains("released  20") && !said.contains("waiting"), "{said}");
    pair.sender.run(&["queue", "repeat", "cpu", "--all"]).expect(0).says("1 message of channel cpu to be sent again");
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("the repeated message", || (queues::count(&pair.incoming()) == 1).then_some(()));
    all_acknowledged(&pair, &sender);
    assert_eq!(queues::elements(&pair.incoming())[0].id(), ids[0]);
    pair.receiver.run(&["queue", "repeat", "central", "--all"]).expect(2);
}

#[test]
fn what_was_kept_is_waited_for_though_acknowledgements_are_off() {
    let broker = shared(Kind::RabbitMq);
    let (pair, _) = pair(broker, Way::Plain, "required", "");
    queues::add(&pair.outgoing(), b"first: 1\n");
    pair.sender.run(&["send"]).expect(0);
    assert_eq!(retained(&pair), 1);
    let lost = python::take(&Way::Plain.link(broker, &pair.sender.host), &pair.destination, 1);
    let pair = Pair { sender: pair.sender.changed("mode = \"required\"", "mode = \"off\""), ..pair };
    pair.sender.run(&["queue", "repeat", "cpu", "--all"]).expect(0);
    let sender = pair.sender.start(&["send", "--watch"]);
    let _receiver = pair.receiver.start(&["receive"]);
    all_acknowledged(&pair, &sender);
    let said = pair.sender.run(&["trace", &sent(&lost[0].body)]).expect(0).output;
    assert!(said.contains("accepted at 20"), "it was sent again under another number: {said}");
    assert!(sender.log().contains("acknowledgements are off"), "{}", sender.log());
    queues::add(&pair.outgoing(), b"second: 2\n");
    eventually("the second message", || (queues::count(&pair.incoming()) == 2).then_some(()));
    eventually("its receipt", || queues::outgoing(&pair.outgoing()).is_empty().then_some(()));
    assert_eq!(retained(&pair), 0, "it is kept though acknowledgements are off");
}

#[test]
fn what_the_receiver_rejects_comes_back_with_its_reason() {
    let broker = shared(Kind::RabbitMq);
    let queue = own_destination();
    let receive = format!("pipeline = [\"builtin:any-record\"]\n{}", given(&queue));
    let pair = Pair::on(broker, Way::Plain, &awaited("required", &queue, ""), &receive);
    let body = b"no record at all\n".as_slice();
    let id = python::add(&pair.outgoing(), &[body]).remove(0);
    let _receiver = pair.receiver.start(&["receive"]);
    let sender = pair.sender.start(&["send", "--watch"]);
    let refused = eventually("the rejected message", || queues::elements(&pair.sender.refused("cpu")).pop());
    assert_eq!((refused.id(), refused.bytes("body")), (id.clone(), body));
    let error = refused.text("error");
    assert!(error.starts_with("receiver-rejected: "), "{error}");
    let reason = queues::elements(&pair.reject())[0].text("error");
    assert!(error.contains(reason.split_once(": ").unwrap().1), "{error} does not give the reason {reason}");
    eventually("the end", || (retained(&pair) == 0).then_some(()));
    let said = trace(&pair, &id);
    assert!(said.contains("rejected at 20"), "{said}");
    assert!(sender.log().contains("receiver-rejected"), "{}", sender.log());
}

#[test]
fn nothing_waits_for_a_receiver_that_sends_none() {
    let broker = shared(Kind::RabbitMq);
    let queue = own_destination();
    let pair = Pair::on(broker, Way::Plain, &awaited("optional", &queue, "repeat-after = \"1s\"\n"), "");
    let messages = Workload::queued_in(&pair.outgoing(), 10, 1_000);
    let _receiver = pair.receiver.start(&["receive"]);
    let sender = pair.sender.start(&["send", "--watch"]);
    messages.arrives(&pair);
    std::thread::sleep(WATCHED);
    assert_eq!(retained(&pair), 0);
    assert!(!sender.log().contains("again"), "{}", sender.log());
}

#[test]
fn a_receiver_that_acknowledged_once_is_waited_for() {
    let (pair, _) = pair(shared(Kind::RabbitMq), Way::Plain, "optional", "");
    let sender = pair.sender.start(&["send", "--watch"]);
    queues::add(&pair.outgoing(), b"first: 1\n");
    let mut receiver = pair.receiver.start(&["receive"]);
    eventually("an acknowledgement", || sender.log().contains("messages acknowledged").then_some(()));
    assert_eq!(receiver.stop(), 0);
    queues::add(&pair.outgoing(), b"second: 2\n");
    eventually("the second message", || (retained(&pair) == 1).then_some(()));
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("the second acknowledgement", || (retained(&pair) == 0).then_some(()));
}

#[test]
fn one_shot_senders_collect_acknowledgements_of_earlier_runs() {
    let (pair, _) = pair(shared(Kind::RabbitMq), Way::Plain, "required", "");
    let messages = Workload::queued_in(&pair.outgoing(), 5, 1_000);
    let receiver = pair.receiver.start(&["receive"]);
    pair.sender.run(&["send"]).expect(0);
    messages.arrives(&pair);
    eventually("the acknowledgements", || receiver.log().contains("acknowledgements sent").then_some(()));
    eventually("the end", || {
        pair.sender.run(&["send"]).expect(0);
        (retained(&pair) == 0).then_some(())
    });
}

/// Why false words are ignored, as the log says it.
const REASONS: [&str; 6] = [
    "it is not signed as it must be",
    "its signer is not an expected receiver",
    "it acknowledges other content than what was sent",
    "it acknowledges messages that were not sent",
    "it is malformed",
    "it is a message and no acknowledgement",
];

/// A signed acknowledgement message, as another program could make it.
fn forged(signer: &Host, lines: &str) -> Frame {
    let content = format!("Content-Type: application/sesame-acknowledgement; version=1\r\n\r\n{lines}");
    acknowledgement(signer, &content, &["smime", "-sign"])
}

/// The same with header, signed with this command.
pub(crate) fn acknowledgement(signer: &Host, content: &str, command: &[&str]) -> Frame {
    Frame::labelled("forged", &sign_with(signer, content.as_bytes(), command))
}

/// The sequence in a signed message.
pub(crate) fn sent(message: &[u8]) -> String {
    let opened = String::from_utf8(openssl::verify("smime", pki(), message)).unwrap();
    opened.lines().find_map(|line| line.trim().strip_prefix("Sesame-Sequence: ")).unwrap().to_owned()
}

/// The line that says that a message with this content was accepted.
pub(crate) fn line(id: &str, content: &[u8], sequence: &str) -> String {
    let digest = message::hex(&message::content_digest(content));
    format!(
        "{{\"id\":\"{id}\",\"digest\":\"sha-256:{digest}\",\"signer\":\"x\",\"verdict\":\"accepted\",\
         \"at\":\"2026-01-01T00:00:00Z\",\"sequence\":\"{sequence}\"}}\n"
    )
}

#[test]
fn no_other_word_counts() {
    let broker = shared(Kind::RabbitMq);
    let (pair, queue) = pair(broker, Way::Plain, "required", "");
    let id = python::add(&pair.outgoing(), &[b"Site: X\n"]).remove(0);
    let sender = pair.sender.start(&["send", "--watch"]);
    eventually("the receipt", || (retained(&pair) == 1).then_some(()));
    let mut receiver = pair.receiver.start(&["receive"]);
    let link = Way::Plain.link(broker, &pair.sender.host);
    eventually("an acknowledgement", || sender.log().contains("messages acknowledged").then_some(()));
    assert_eq!(receiver.stop(), 0);
    eventually("the end", || (retained(&pair) == 0).then_some(()));

    // A second message: its true acknowledgement is known to the test alone, until the end.
    let second = python::add(&pair.outgoing(), &[b"Site: Y\n"]).remove(0);
    eventually("the second receipt", || (retained(&pair) == 1).then_some(()));
    let taken = python::take(&link, &pair.destination, 1).remove(0);
    let sequence = sent(&taken.body);
    let right = line(&second, b"Site: Y\n", &sequence);
    let expected = pki().host("receiver.example.org");
    let false_words = [
        forged(&strangers().host("receiver.example.org"), &right),
        forged(&pki().host("other.example.org"), &right),
        forged(&pki().host("sender.example.org"), &right),
        forged(&expected, &line(&second, b"Site: Z\n", &sequence)),
        forged(&expected, &line(&id, b"Site: Y\n", &sequence)),
        forged(&expected, &right.replace(&sequence, "00c0ffee00c0ffee 1")),
        forged(&expected, &right.repeat(1_001)),
        forged(&expected, "no json\n"),
        Frame::labelled("a", &openssl::sign(&expected, right.as_bytes())),
        Frame::labelled("b", right.as_bytes()),
        Frame::labelled("c", &vec![b'x'; 3 << 20]),
    ];
    python::send(&link, &queue, &false_words);
    eventually("the last of them", || {
        (broker.waiting(&queue) == 0 && REASONS.iter().all(|reason| sender.log().contains(reason))).then_some(())
    });
    assert!(sender.log().contains(&format!("expected: {}", expected.subject)), "{}", sender.log());
    std::thread::sleep(WATCHED);
    let mut codes: Vec<String> = queues::elements(&pair.sender.refused("cpu"))
        .iter()
        .map(|element| element.text("error").split(':').next().unwrap().to_owned())
        .collect();
    codes.sort();
    assert_eq!(codes, ["mime", "misdirected", "signer-untrusted", "unsigned"], "what is no acknowledgement is kept");
    assert_eq!(retained(&pair), 1, "a false word was believed:\n{}", sender.log());
    python::send(&link, &queue, &[forged(&expected, &right)]);
    eventually("the true word", || (retained(&pair) == 0).then_some(()));
    let said = trace(&pair, &second);
    assert!(said.contains("accepted at 2026-01-01T00:00:00Z by CN=receiver.example.org"), "{said}");
}

#[test]
fn an_acknowledgement_on_a_channel_of_records_is_refused_and_never_acknowledged() {
    let broker = shared(Kind::RabbitMq);
    let queue = own_destination();
    // Both sides name the queue of the records: a loop, if any acknowledgement were acknowledged.
    let pair = Pair::on(broker, Way::Plain, "", "");
    let receiver = Site::of("receiver.example.org").on(broker, Way::Plain);
    let subjects = [subject("sender.example.org"), subject("receiver.example.org")];
    let destination = pair.destination.clone();
    // RabbitMQ's other name of the same queue, which the configuration cannot know.
    let same = destination.replace("/queue/", "/amq/queue/");
    let given = format!(
        "[receive.central.acknowledgements]\n\"{}\" = \"{same}\"\n\"{}\" = \"{queue}\"\n",
        subjects[0], subjects[1]
    );
    let authorised: Vec<&str> = subjects.iter().map(String::as_str).collect();
    let pair = Pair { receiver: receiver.receiving("central", &destination, &authorised, &given), ..pair };
    queues::add(&pair.outgoing(), b"Site: X\n");
    pair.sender.run(&["send"]).expect(0);
    pair.receiver.run(&["check"]).expect(1).says(&format!("{same} is where the records of {destination} go"));
    let _receiver = pair.receiver.start(&["receive"]);
    let refused = eventually("the acknowledgement", || queues::elements(&pair.reject()).pop());
    assert!(refused.text("error").starts_with("misdirected: it acknowledges messages"), "{}", refused.text("error"));
    std::thread::sleep(WATCHED);
    assert_eq!((queues::count(&pair.incoming()), queues::count(&pair.reject())), (1, 1));
    assert_eq!(broker.waiting(&queue), 0, "an acknowledgement was acknowledged");
}

/// Where both sides are killed: before and after their transactions, and before what they change in their queues.
const STRIKES: [(&str, &str); 16] = [
    ("transaction@1", "committed@1"),
    ("committed@2", "transaction@2"),
    ("transaction@3", "committed@3"),
    ("committed@4", "transaction@4"),
    ("transaction@5", "committed@5"),
    ("committed@6", "transaction@6"),
    ("transaction@7", "committed@7"),
    ("committed@3", "transaction@5"),
    ("step@4", "step@4"),
    ("step@8", "step@8"),
    ("step@11", "step@10"),
    ("step@14", "step@12"),
    ("step@17", "step@14"),
    ("step@20", "step@16"),
    ("step@23", "step@18"),
    ("step@26", "step@20"),
];

#[test]
fn both_sides_know_the_same_after_kills_between_their_steps() {
    const EACH: u32 = 3;
    let broker = shared(Kind::RabbitMq);
    let (pair, _) = pair(broker, Way::Plain, "required", "repeat-after = \"3s\"\n");
    let (mut number, mut died) = (0, [0, 0]);
    for (sending, receiving) in STRIKES {
        for _ in 0..EACH {
            queues::add(&pair.outgoing(), &checker::body(number, 500));
            number += 1;
        }
        let mut receiver = pair.receiver.start_to_die(&["receive"], receiving);
        let mut sender = pair.sender.start_to_die(&["send", "--watch"], sending);
        let until = Instant::now() + Duration::from_millis(1_300);
        let ended = |child: &mut Child| child.ended().is_some();
        while Instant::now() < until && !(ended(&mut sender) && ended(&mut receiver)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        died[0] += u32::from(ended(&mut sender));
        died[1] += u32::from(ended(&mut receiver));
        sender.kill();
        receiver.kill();
    }
    assert!(died.iter().all(|died| *died > 10), "of {} times, they reached the point {died:?} times", STRIKES.len());
    let _receiver = pair.receiver.start(&["receive"]);
    let _sender = pair.sender.start(&["send", "--watch"]);
    let messages = Workload::of(number, 500);
    messages.arrives(&pair);
    eventually("all acknowledgements", || {
        (retained(&pair) == 0 && queues::outgoing(&pair.outgoing()).is_empty()).then_some(())
    });
    messages.is_stored_in(&pair.incoming());
    for element in queues::elements(&pair.incoming()) {
        let said = trace(&pair, &element.id());
        assert!(said.contains("receiver  accepted at") || said.contains("receiver  duplicate at"), "{said}");
    }
}

#[test]
fn what_waits_for_a_destination_that_is_renamed_goes_to_its_new_name() {
    let broker = shared(Kind::RabbitMq);
    let (before, queue) = (own_destination(), own_destination());
    let lines = awaited("required", &queue, "repeat-after = \"2s\"\n");
    let mut pair = Pair::on(broker, Way::Plain, &lines, &given(&queue));
    let messages = Workload::queued_in(&pair.outgoing(), 3, 500);
    pair.sender.change(&pair.destination, &before);
    let mut sender = pair.sender.start(&["send", "--watch"]);
    eventually("the receipts", || {
        (retained(&pair) == 3 && queues::outgoing(&pair.outgoing()).is_empty()).then_some(())
    });
    assert_eq!(sender.stop(), 0);
    pair.sender.change(&before, &pair.destination);
    let _receiver = pair.receiver.start(&["receive"]);
    let sender = pair.sender.start(&["send", "--watch"]);
    messages.arrives(&pair);
    all_acknowledged(&pair, &sender);
}
