//! Sending over AMS: whatever AMS answers, nothing is lost, the receiver stores each message once, and a line says why.

use std::process::Command;
use std::time::Duration;

use testkit::ams::{Fault, Route, Settings, TooLarge};

use crate::checker::Workload;
use crate::harness::eventually;
use crate::peers::ams::{Ams, PROJECT, TOPIC};
use crate::queues;
use crate::sesame::{Outcome, Pair, Site, encrypted_for, program, recipient};
use crate::survives_crashes::sends_though_killed;

/// What AMS says when its store fails.
fn backend_error() -> Fault {
    Fault::error(500, "Backend Error", "INTERNAL_SERVER_ERROR")
}

/// A sender and a receiver, with the answers of AMS expected within a second.
fn quick(ams: &Ams, send: &str) -> Pair {
    let sender =
        Site::of("sender.example.org").on_ams_with(ams, "receipt-timeout = \"1s\"\n").sending("cpu", TOPIC, send);
    let pair = Pair::at(ams, "", "");
    Pair { sender, ..pair }
}

/// Sends ten messages while requests go wrong in this way, one after the other; then a receiver stores each once.
fn survives(faults: Vec<(Route, Fault)>, words: &str) -> Outcome {
    let ams = Ams::start();
    let pair = quick(&ams, "");
    for (route, fault) in faults {
        ams.server.fault(route, fault);
    }
    let messages = Workload::queued_in(&pair.outgoing(), 10, 2_000);
    let outcome = pair.sender.run(&["send", "--deadline", "60s"]).expect(0).says(words);
    assert_eq!(ams.server.faults(Route::Publish), 0, "not every fault was met");
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    outcome
}

fn publishing(fault: Fault) -> Vec<(Route, Fault)> {
    vec![(Route::Publish, fault)]
}

#[test]
fn ams_publish_faults_that_pass() {
    for (fault, words) in [
        (Fault::html(502), "AMS is not available (502), it says: a web page instead of JSON"),
        (Fault::error(408, "Timeout", "TIMEOUT"), "AMS is not available (408)"),
        (Fault::Reset, "the connection failed before the answer"),
        (Fault::Lost, " may have been published all the same"),
        (Fault::CutOff, "the answer was cut off"),
        (Fault::Silent, "no answer within 1 s"),
        (Fault::Long { bytes: 1 << 30, declared: false }, "the answer is longer than 1048576 bytes"),
        (Fault::bare(200), "the answer cannot be understood: it is empty"),
    ] {
        survives(publishing(fault), words);
    }
}

#[test]
fn ams_ids_that_are_not_as_many_as_the_messages_confirm_none() {
    let body = "{\"messageIds\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\"]}".into();
    let more = Fault::Answer { status: 200, content_type: "application/json", body };
    survives(publishing(more), "AMS answered with 11 ids where ");
}

#[test]
fn ams_that_fails_in_the_middle_of_a_batch_is_given_it_one_by_one() {
    let ams = Ams::start();
    let pair = quick(&ams, "window = 200\n");
    // Four requests in flight take at most 32 messages each. What comes meanwhile goes together.
    (0..4).for_each(|_| ams.server.fault(Route::Publish, Fault::Delay(Duration::from_millis(500))));
    ams.server.set_lasting_fault(Route::Publish, Some(Fault::FailAfter(2)));
    let messages = Workload::queued_in(&pair.outgoing(), 160, 500);
    let log = pair.sender.run(&["send"]).expect(0).log;
    assert!(!log.contains("failed") && !log.contains("could not store"), "{log}");
    let again = ams.server.counters().stored - 160;
    assert!(again >= 2 && again.is_multiple_of(2), "{again} were published again, not two of each batch");
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

#[test]
fn ams_that_cannot_store_for_a_while_rejects_nothing() {
    let faults = (0..6).map(|_| (Route::Publish, backend_error())).collect();
    survives(faults, "AMS has an internal failure (500), it says: Backend Error");
}

#[test]
fn an_ams_token_is_fetched_again_once() {
    let ams = Ams::start();
    let pair = quick(&ams, "");
    ams.server.fault(Route::Publish, Fault::error(401, "Unauthorized", "UNAUTHORIZED"));
    let messages = Workload::queued_in(&pair.outgoing(), 3, 500);
    let log = pair.sender.run(&["send"]).expect(0).log;
    assert!(!log.contains("(401)"), "{log}");
    assert_eq!(ams.server.counters().tokens, 2);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

/// What a lasting fault of a route says; nothing is lost, and what waited is sent once the fault is gone.
fn waits(route: Route, fault: Fault, words: &[&str]) {
    let ams = Ams::start();
    let pair = quick(&ams, "back-off-min = \"1s\"\n");
    ams.server.set_lasting_fault(route, Some(fault));
    let messages = Workload::queued_in(&pair.outgoing(), 3, 500);
    let outcome = pair.sender.run(&["send", "--deadline", "2s"]).expect(1);
    let outcome = words.iter().fold(outcome, |outcome, words| outcome.says(words));
    assert!(!outcome.log.contains("secret"), "the token is in the log");
    assert_eq!((queues::outgoing(&pair.outgoing()).len(), queues::count(&pair.sender.refused("cpu"))), (3, 0));
    ams.server.set_lasting_fault(route, None);
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

#[test]
fn ams_faults_that_last_leave_everything_in_outgoing() {
    let unauthorised = Fault::error(401, "Unauthorized", "UNAUTHORIZED");
    waits(Route::Publish, unauthorised, &["all messages stay in outgoing", "AMS does not accept the token (401)"]);
    let forbidden = Fault::error(403, "Access to this resource is forbidden", "FORBIDDEN");
    waits(Route::Publish, forbidden, &["nothing is sent to this destination", "topic jobs", "(403)"]);
    let gone = Fault::error(404, "Topic doesn't exist", "NOT_FOUND");
    waits(Route::Publish, gone, &["nothing is sent to this destination", "topic jobs", "Topic doesn't exist"]);
    waits(Route::Token, Fault::Reset, &["no token from localhost", "its messages are sent again"]);
    waits(Route::Version, Fault::html(503), &["cannot connect", "(503)"]);
}

#[test]
fn an_ams_topic_that_is_gone_does_not_hold_back_another() {
    let ams = Ams::start();
    let routed = "pipeline = [\"builtin:route-by-type\"]\n[send.cpu.route]\nother = \"nowhere\"\n\
                  [plugin.\"builtin:route-by-type\".config.routes]\ncloud = \"other\"\n";
    let pair = quick(&ams, routed);
    let messages = Workload::queued_in(&pair.outgoing(), 40, 500);
    let cloud = b"APEL-cloud-message: v0.4\nVMUUID: 1\nSiteName: ALPINE-CLOUD\n%%\n";
    let name = queues::add(&pair.outgoing(), cloud);
    let outcome = pair.sender.run(&["send"]).expect(1).says("topic nowhere");
    assert_eq!(outcome.log.matches("nothing is sent to this destination").count(), 1);
    assert_eq!(queues::outgoing(&pair.outgoing()), [pair.outgoing().join(name)]);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.is_stored_in(&pair.incoming());
}

#[test]
fn what_ams_never_stores_is_rejected_after_the_attempts_and_others_go_on() {
    let ams = Ams::with(Settings { max_stored: 20_000, ..Settings::default() });
    let pair = quick(&ams, "attempts = 2\n");
    queues::add(&pair.outgoing(), &[b'x'; 30_000]);
    let messages = Workload::queued_in(&pair.outgoing(), 40, 500);
    pair.sender.run(&["send"]).expect(1).says("could not store a message").says("the broker stored other messages");
    let refused = queues::elements(&pair.sender.refused("cpu"));
    let [refused] = refused.as_slice() else { panic!("{} were rejected", refused.len()) };
    // More than two where AMS stored none of the others between two of them: then the message may not be at fault.
    let error = refused.text("error");
    let attempts = error.split_once("after ").and_then(|(_, rest)| rest.split_once(" attempts: "));
    assert!(attempts.is_some_and(|(count, _)| count.parse::<u32>().unwrap() >= 2), "{error}");
    assert_eq!(refused.bytes("body").len(), 30_000);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

#[test]
fn a_message_too_large_for_ams_is_split_without_configuration() {
    let ams = Ams::with(Settings { max_stored: 1_000_000, ..Settings::default() });
    let more = format!("pipeline = [\"builtin:split-records\"]\n{}", encrypted_for(&recipient()));
    let pair = Pair::at(&ams, &more, "");
    let header = "APEL-individual-job-message: v0.3\n";
    let record = |number: u32| format!("Site: X\nLocalJobId: {number}\nQueue: {}\n%%\n", "q".repeat(500));
    let whole = header.to_owned() + &(0..1800).map(record).collect::<String>();
    queues::add(&pair.outgoing(), whole.as_bytes());
    pair.sender.run(&["send"]).expect(0);
    let stored = ams.server.messages(PROJECT, TOPIC);
    let sizes: Vec<usize> = stored.iter().map(|message| message.text.len()).collect();
    assert!(sizes.len() == 2 && sizes.iter().any(|size| *size > 950_000), "{sizes:?}");
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("both parts", || (queues::count(&pair.incoming()) == 2).then_some(()));
    let bodies: String = queues::elements(&pair.incoming()).iter().map(|element| element.text("body")).collect();
    assert!((0..1800).all(|number| bodies.matches(record(number).as_str()).count() == 1));
}

/// Sends one message that is refused, with others; the error in the reject queue.
fn rejected(settings: Settings, schema: bool, size: usize, more: &str) -> String {
    let ams = Ams::with(settings);
    if schema {
        let refuses = |data: &[u8]| (data.len() > 20_000).then(|| "(root): cloud is required".to_owned());
        ams.server.set_schema(PROJECT, TOPIC, Some(refuses));
    }
    let sender = Site::of("sender.example.org").on_ams_with(&ams, more).sending("cpu", TOPIC, "");
    let pair = Pair { sender, ..Pair::at(&ams, "", "") };
    queues::add(&pair.outgoing(), &vec![b'x'; size]);
    let messages = Workload::queued_in(&pair.outgoing(), 5, 500);
    pair.sender.run(&["send"]).expect(1).says("message rejected");
    let refused = queues::elements(&pair.sender.refused("cpu"));
    assert_eq!(refused.len(), 1);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    refused[0].text("error")
}

#[test]
fn what_ams_refuses_for_good_goes_to_reject_with_its_words() {
    let error = rejected(Settings::default(), true, 30_000, "");
    assert!(error.contains("(400)") && error.contains("(root): cloud is required"), "{error}");
    let small = Settings { max_stored: 20_000, too_large: TooLarge::PayloadTooLarge, ..Settings::default() };
    let error = rejected(small, false, 30_000, "");
    assert!(error.contains("(413)") && error.contains("builtin:split-records"), "{error}");
    let error = rejected(Settings::default(), false, 100_000, "max-message = 100_000\n");
    assert!(error.contains("more than max-message, 100000; builtin:split-records"), "{error}");
}

#[test]
fn what_ams_stores_is_logged_as_ssm_logs_it_and_in_the_journal() {
    let ams = Ams::start();
    let pair = quick(&ams, "");
    queues::add(&pair.outgoing(), b"Site: X\n");
    let log = pair.sender.run(&["send"]).expect(0).log;
    let id = ams.server.messages(PROJECT, TOPIC)[0].attributes["empaid"].clone();
    assert!(log.contains(&format!("Sent {id}, Argo ID: 0")), "{log}");
    pair.sender.run(&["trace", &id]).expect(0).says("Argo ID 0");
}

#[test]
fn a_sender_to_ams_that_is_stopped_waits_for_its_answers() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "");
    let messages = Workload::queued_in(&pair.outgoing(), 5, 500);
    ams.server.set_lasting_fault(Route::Publish, Some(Fault::Delay(Duration::from_secs(2))));
    let mut sender = pair.sender.start(&["send", "--watch"]);
    eventually("a request", || (ams.server.requests(Route::Publish) > 0).then_some(()));
    assert_eq!(sender.stop(), 0, "{}", sender.last_words());
    let (left, stored) = (queues::outgoing(&pair.outgoing()).len() as u64, ams.server.counters().stored);
    assert_eq!(left + stored, 5, "an answer was not waited for");
    ams.server.set_lasting_fault(Route::Publish, None);
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

#[test]
fn the_sender_to_ams_killed_again_and_again() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "window = 8\n", "");
    ams.server.set_lasting_fault(Route::Publish, Some(Fault::Delay(Duration::from_millis(20))));
    sends_though_killed(&pair, 2_000);
}

#[test]
fn publish_sends_standard_input_to_ams() {
    let ams = Ams::start();
    let pair = quick(&ams, "");
    let input = pair.sender.folder.write("input", "Site: X\n");
    let mut command = Command::new(program());
    command.arg("--config").arg(pair.sender.configuration()).args(["publish", "cpu", "-"]);
    let output = command.stdin(std::fs::File::open(input).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stored = ams.server.messages(PROJECT, TOPIC);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), stored[0].attributes["empaid"]);
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("the message", || (queues::count(&pair.incoming()) == 1).then_some(()));
    assert_eq!(queues::elements(&pair.incoming())[0].text("body"), "Site: X\n");
}

#[test]
fn publish_sends_to_ams_and_says_what_became_of_it() {
    let ams = Ams::start();
    let pair = quick(&ams, "");
    let file = pair.sender.folder.write("one", "Site: X\n").display().to_string();
    ams.server.fault(Route::Publish, Fault::html(502));
    ams.server.fault(Route::Publish, backend_error());
    let said = pair.sender.run(&["publish", "cpu", &file, "--json"]).expect(0).output;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((said["fate"].as_str(), said["reason"].as_str()), (Some("sent"), None));
    assert_eq!(said["id"].as_str(), Some(ams.server.messages(PROJECT, TOPIC)[0].attributes["empaid"].as_str()));
    ams.server.delete_topic(PROJECT, TOPIC);
    let said = pair.sender.run(&["publish", "cpu", &file, "--json"]).expect(1).output;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["fate"].as_str(), Some("waiting"));
    assert!(said["reason"].as_str().unwrap().contains("Topic doesn't exist"), "{said}");
}
