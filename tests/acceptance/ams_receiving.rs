//! Receiving over AMS: whatever AMS answers, each message is stored once, and a line says what happened.

use testkit::ams::{AttributeForm, Fault, Route, Settings};

use crate::checker::Workload;
use crate::harness::{Child, eventually};
use crate::peers::ams::{Ams, PROJECT, SUBSCRIPTION, TOPIC};
use crate::queues;
use crate::sesame::{Pair, Site};

/// Messages of a test.
const COUNT: u32 = 10;

/// A sender that has published ten messages, and a receiver that expects the answers of AMS within a second.
fn published(ams: &Ams) -> (Pair, Workload) {
    let pair = Pair::at(ams, "", "");
    let subject = pair.sender.host.subject.clone();
    let receiver = Site::of("receiver.example.org").on_ams_with(ams, "receipt-timeout = \"1s\"\n");
    let pair = Pair { receiver: receiver.pulling("central", SUBSCRIPTION, &[&subject], ""), ..pair };
    let messages = Workload::queued_in(&pair.outgoing(), COUNT, 2_000);
    pair.sender.run(&["send"]).expect(0);
    (pair, messages)
}

fn all_acknowledged(ams: &Ams, count: u64) {
    eventually("the last acknowledgement", || (ams.server.offset(PROJECT, SUBSCRIPTION) == Some(count)).then_some(()));
}

fn says(receiver: &Child, words: &str) {
    eventually(words, || receiver.log().contains(words).then_some(()));
}

/// Receives ten messages while requests go wrong in this way, one after the other.
fn survives(faults: &[(Route, Fault)], words: &str) {
    let ams = Ams::start();
    let (pair, messages) = published(&ams);
    for (route, fault) in faults {
        ams.server.fault(*route, fault.clone());
    }
    let receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    all_acknowledged(&ams, u64::from(COUNT));
    assert!(faults.iter().all(|(route, _)| ams.server.faults(*route) == 0), "not every fault was met");
    assert!(receiver.log().contains(words), "not said: {words}\n{}", receiver.log());
}

#[test]
fn ams_pull_faults_that_pass() {
    for (fault, words) in [
        (Fault::html(502), "AMS is not available (502), it says: a web page instead of JSON"),
        (Fault::error(403, "Access to this resource is forbidden", "FORBIDDEN"), "has no right to do so (403)"),
        (Fault::error(404, "Subscription does not exist", "NOT_FOUND"), "does not exist (404)"),
        (Fault::error(409, "subscription's topic doesn't exist", "CONFLICT"), "does not exist any more (409)"),
        (Fault::Reset, "the connection failed before the answer"),
        (Fault::Lost, "the connection failed before the answer"),
        (Fault::CutOff, "the answer was cut off"),
        (Fault::Silent, "no answer within 1 s"),
        (Fault::Long { bytes: 1 << 30, declared: false }, "Received message. ID = "),
        (Fault::ForeignAckIds, "which is none of this subscription"),
        (Fault::Empty, "Received message. ID = "),
    ] {
        survives(&[(Route::Pull, fault)], words);
    }
}

#[test]
fn ams_acknowledgement_faults_that_pass() {
    for (fault, words) in [
        (Fault::error(408, "ack timeout", "TIMEOUT"), "the messages come again and are recognised as duplicates"),
        (Fault::error(500, "wrong ack", "INTERNAL_SERVER_ERROR"), "the messages come again"),
        (Fault::error(500, "no ack pending", "INTERNAL_SERVER_ERROR"), "the messages come again"),
        (Fault::html(502), "Received message. ID = "),
        (Fault::Reset, "Received message. ID = "),
        (Fault::Lost, "Received message. ID = "),
        (Fault::CutOff, "Received message. ID = "),
        (Fault::Silent, "Received message. ID = "),
    ] {
        survives(&[(Route::Acknowledge, fault)], words);
    }
}

#[test]
fn an_ams_token_that_is_refused_is_fetched_again() {
    let refused = || Fault::error(401, "Unauthorized", "UNAUTHORIZED");
    survives(&[(Route::Pull, refused())], "Received message. ID = ");
    survives(&[(Route::Pull, refused()), (Route::Pull, refused())], "does not accept the token (401)");
    survives(&[(Route::Token, Fault::html(502))], "no token from ");
}

#[test]
fn ams_attributes_as_a_list_are_read() {
    let ams = Ams::with(Settings { attributes: AttributeForm::List, ..Settings::default() });
    let (pair, messages) = published(&ams);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

#[test]
fn what_ams_delivers_is_logged_as_ssm_logs_it() {
    let ams = Ams::start();
    let (pair, messages) = published(&ams);
    let receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    for (number, message) in ams.server.messages(PROJECT, TOPIC).iter().enumerate() {
        let line = format!("Received message. ID = {}, Argo ID = {number}", message.attributes["empaid"]);
        assert!(receiver.log().contains(&line), "not said: {line}\n{}", receiver.log());
    }
}

#[test]
fn ams_data_that_is_not_base64_is_rejected_with_its_text() {
    let ams = Ams::start();
    let (pair, _) = published(&ams);
    ams.server.fault(Route::Pull, Fault::NoBase64);
    let _receiver = pair.receiver.start(&["receive"]);
    all_acknowledged(&ams, u64::from(COUNT));
    let stored = || queues::count(&pair.incoming()) + queues::count(&pair.reject());
    assert_eq!(stored(), COUNT as usize);
    let refused = queues::elements(&pair.reject());
    assert!(refused[0].text("error").contains("base64"), "{refused:?}");
}

#[test]
fn messages_that_ams_deleted_are_said_with_their_number() {
    let ams = Ams::start();
    let (pair, messages) = published(&ams);
    let mut receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    all_acknowledged(&ams, 10);
    receiver.stop();
    for number in 0..5 {
        queues::add(&pair.outgoing(), format!("Site: later {number}\n").as_bytes());
    }
    pair.sender.run(&["send"]).expect(0);
    ams.server.drop_before(PROJECT, TOPIC, 13);
    let receiver = pair.receiver.start(&["receive"]);
    all_acknowledged(&ams, 15);
    says(&receiver, "messages of the subscription are missing");
    let log = receiver.log();
    let line = log.lines().find(|line| line.contains("are missing")).unwrap();
    for words in ["first=10", "last=12", "messages=3", "AMS deleted them"] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert_eq!(queues::count(&pair.incoming()), 12);
}

#[test]
fn a_message_that_ams_cannot_read_is_named_and_holds_up_only_what_follows() {
    let ams = Ams::start();
    let (pair, messages) = published(&ams);
    ams.server.put_text(PROJECT, TOPIC, "no JSON");
    queues::add(&pair.outgoing(), b"Site: behind\n");
    pair.sender.run(&["send"]).expect(0);
    let receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    says(&receiver, "a message that AMS cannot read holds up the subscription");
    let log = receiver.log();
    assert!(log.contains("offset=10") && log.contains("next=11"), "{log}");
    assert!(ams.server.requests(Route::Pull) < 30, "a hot loop");
    ams.server.drop_before(PROJECT, TOPIC, 11);
    all_acknowledged(&ams, 12);
    assert_eq!(queues::count(&pair.incoming()), COUNT as usize + 1);
}

#[test]
fn a_second_receiver_on_the_subscription_is_noticed() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "");
    let subject = pair.sender.host.subject.clone();
    let second = Site::of("receiver.example.org").on_ams(&ams).pulling("other", SUBSCRIPTION, &[&subject], "");
    let receivers = [pair.receiver.start(&["receive"]), second.start(&["receive"])];
    let words = "another program pulls from this subscription";
    eventually(words, || {
        queues::add(&pair.outgoing(), b"Site: X\n");
        pair.sender.run(&["send"]).expect(0);
        receivers.iter().any(|receiver| receiver.log().contains(words)).then_some(())
    });
}

#[test]
fn the_receiver_from_ams_killed_again_and_again() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "prefetch = 16\n");
    let messages = Workload::queued_in(&pair.outgoing(), 300, 2_000);
    pair.sender.run(&["send"]).expect(0);
    ams.server.set_lasting_fault(Route::Acknowledge, Some(Fault::Delay(std::time::Duration::from_millis(20))));
    for step in 1..=6 {
        let mut receiver = pair.receiver.start(&["receive"]);
        eventually("messages to be stored", || (queues::count(&pair.incoming()) >= step * 40).then_some(()));
        std::thread::sleep(std::time::Duration::from_millis(step as u64 * 7));
        receiver.kill();
    }
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    all_acknowledged(&ams, 300);
}
