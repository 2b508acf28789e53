//! The commands an operator uses, each with its exit status and what it says.

use std::path::Path;

use serde_json::Value;

use crate::checker::Workload;
use crate::harness::{Folder, eventually};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::openssl::{self, Validity, pki, strangers};
use crate::peers::python::{self, Frame};
use crate::peers::scripted::unreachable_broker;
use crate::queues;
use crate::sesame::{Outcome, Pair, Site, Way, own_destination, program};

const RECORD: &[u8] = b"APEL-summary-job-message: v0.2\nSite: UKI-TEST\n%%\n";

fn json(outcome: &Outcome) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    match serde_json::from_str(&outcome.output) {
        Ok(whole) => vec![whole],
        Err(_) => outcome.output.lines().map(parse).collect(),
    }
}

#[test]
fn check_finds_nothing_wrong_where_nothing_is() {
    for kind in [Kind::RabbitMq, Kind::ActiveMq] {
        let pair = Pair::on(shared(kind), Way::Tls, "", "");
        pair.sender.run(&["check"]).expect(0);
        json(&pair.receiver.run(&["check", "--json"]).expect(0));
    }
}

#[test]
fn check_says_what_is_wrong_and_how_to_fix_it() {
    let address = unreachable_broker();
    let site = Site::of("sender.example.org").at(&[&address], Way::Tls, "").sending("cpu", "/queue/x", "");
    site.run(&["check"]).expect(1).says(&address);
    site.run(&["check", "--offline"]).expect(0);

    let expired = pki().issue("sender.example.org", openssl::Key::Rsa2048, Validity::Over);
    let site = Site::with(expired).at(&[&unreachable_broker()], Way::Tls, "").sending("cpu", "/queue/x", "");
    let outcome = site.run(&["check", "--offline"]);
    assert!([1, 78].contains(&outcome.code), "exit status {}", outcome.code);
    outcome.says("expired");

    let site = Site::of("sender.example.org").trusting(&[&strangers().anchors()]);
    let site = site.on(shared(Kind::RabbitMq), Way::Tls).sending("cpu", &own_destination(), "");
    site.run(&["check"]).expect(1).says(&shared(Kind::RabbitMq).tls());
}

#[test]
fn the_effective_configuration_can_be_used_as_one() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    let effective = pair.receiver.run(&["check", "--effective", "--offline"]).expect(0).output;
    assert!(effective.contains("prefetch = 128"), "{effective}");
    let file = pair.receiver.folder.write("effective.toml", &effective).display().to_string();
    let again = pair.receiver.run(&["check", "--effective", "--offline", "--config", &file]).expect(0).output;
    assert_eq!(again, effective);
}

#[test]
fn publish_sends_files_and_says_their_ids() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    let one = pair.sender.folder.write("one", RECORD).display().to_string();
    let two = pair.sender.folder.write("two", "Site: two\n").display().to_string();
    let outcome = pair.sender.run(&["publish", "cpu", &one, &two]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("both messages", || (queues::count(&pair.incoming()) == 2).then_some(()));
    let stored = queues::elements(&pair.incoming());
    for element in &stored {
        assert!(outcome.output.contains(&element.id()), "{} is not in:\n{}", element.id(), outcome.output);
    }
    assert!(stored.iter().any(|element| element.bytes("body") == RECORD));
}

#[test]
fn publish_leaves_the_message_queued_when_no_broker_is_there() {
    let site = Site::of("sender.example.org").at(&[&unreachable_broker()], Way::Tls, "").sending("cpu", "/queue/x", "");
    let file = site.folder.write("one", RECORD).display().to_string();
    site.run(&["publish", "cpu", &file, "--deadline", "1s"]).expect(1);
    assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 1);
}

#[test]
fn explain_tells_a_message_s_fate_and_stores_nothing() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    let (listed, stranger) = (pki().host("sender.example.org"), pki().host("other.example.org"));
    let file = |name: &str, content: &[u8]| pair.receiver.folder.write(name, content).display().to_string();
    let good = file("good", &openssl::sign(&listed, RECORD));
    pair.receiver.run(&["explain", "central", &good]).expect(0).says(&listed.subject);
    let bad = file("bad", &openssl::sign(&stranger, RECORD));
    pair.receiver.run(&["explain", "central", &bad]).expect(1).says("not on the list of authorised signers");
    let broken = file("broken", &openssl::sign(&listed, RECORD)[..400]);
    json(&pair.receiver.run(&["explain", "central", &broken, "--json"]).expect(1));
    let content = pair.sender.folder.write("content", RECORD).display().to_string();
    pair.sender.run(&["explain", "cpu", &content]).expect(0);
    let queues = [pair.incoming(), pair.reject(), pair.outgoing()];
    assert!(queues.iter().all(|queue| queues::count(queue) + queues::outgoing(queue).len() == 0));
}

#[test]
fn a_plugin_is_tried_on_messages_that_are_there_before_it_is_installed() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    let stock = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/{name}.wasm"));
    let candidate = |name: &str| {
        let folder = pair.sender.folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(stock(name), folder.join("jobs.wasm")).unwrap();
        folder.join("jobs.wasm").display().to_string()
    };
    let (checks, passes) = (candidate("job-records"), candidate("passthrough"));
    let tried = |site: &Site, file: &str, channel: &str, from: &str| {
        site.run(&["plugin", "try", file, "--channel", channel, "--from", from])
    };
    queues::add(&pair.outgoing(), include_bytes!("../../host/sesame/src/demo/samples/cpu-jobs.txt"));
    queues::add(&pair.outgoing(), b"a: 1\n");
    let sent = tried(&pair.sender, &checks, "cpu", "outgoing").expect(0);
    sent.says("rejected: plugin-invalid: jobs.wasm: ").says("2 messages, 1 verdicts differ, the plugin fails for 0");
    assert_eq!(queues::outgoing(&pair.outgoing()).len(), 2);
    std::fs::copy(stock("job-records"), pair.receiver.folder.join("plugins.d/jobs.wasm")).unwrap();
    let _receiver = pair.receiver.start(&["receive"]);
    pair.sender.run(&["send"]).expect(0);
    let count = |queue: &Path| queues::count(queue);
    eventually("both messages", || (count(&pair.incoming()) + count(&pair.reject()) == 2).then_some(()));
    // What was rejected is opened again, and its signer verified.
    let rejected = tried(&pair.receiver, &passes, "central", "reject").expect(0);
    rejected.says("rejected: plugin-invalid: jobs.wasm: ").says("stored").says("1 messages, 1 verdicts differ");
    tried(&pair.receiver, &passes, "central", "incoming").expect(0).says("1 messages, 0 verdicts differ");
    assert_eq!((count(&pair.incoming()), count(&pair.reject())), (1, 1));
    std::fs::write(Path::new(&passes).with_extension("toml"), "direction = \"outbound\"\n").unwrap();
    let elsewhere = tried(&pair.receiver, &passes, "central", "incoming").expect(1);
    elsewhere.says("its sidecar leaves the channel out");
    tried(&pair.receiver, &checks, "central", "nowhere").expect(2).says("no queue \"nowhere\"");
}

#[test]
fn queue_list_counts_what_waits_and_show_prints_it() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    let file = pair.sender.folder.write("one", RECORD).display().to_string();
    pair.sender.run(&["queue", "add", "cpu", &file]).expect(0);
    assert_eq!(python::outgoing(&pair.outgoing())[0].1, RECORD);
    let element = python::outgoing(&pair.outgoing())[0].0.clone();
    pair.sender.run(&["queue", "list", "--long"]).expect(0).says("cpu").says("outgoing").says(&element);
    json(&pair.sender.run(&["queue", "list", "--json"]).expect(0));
    assert_eq!(pair.sender.run(&["queue", "show", "cpu", &element, "--body"]).expect(0).output.as_bytes(), RECORD);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    let stored = eventually("the message", || queues::elements(&pair.incoming()).pop());
    pair.receiver.run(&["queue", "list", "central", "--long"]).expect(0).says("incoming").says(&stored.name);
    let shown = pair.receiver.run(&["queue", "show", "central", &stored.name]).expect(0);
    shown.says(&pair.sender.host.subject).says(&element);
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn a_rejected_message_is_retried_once_its_signer_is_listed() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let signer = pki().host("sender.example.org");
    let site = Site::of("receiver.example.org").on(broker, Way::Plain);
    let site = site.receiving("central", &destination, &["/C=UK/O=Sesame/CN=nobody"], "");
    let mut receiver = site.start(&["receive"]);
    python::send(
        &Way::Plain.link(broker, &signer),
        &destination,
        &[Frame::labelled("one", &openssl::sign(&signer, RECORD))],
    );
    let (incoming, reject) = (site.queue("central", "incoming"), site.queue("central", "reject"));
    eventually("the message in reject", || (queues::count(&reject) == 1).then_some(()));
    assert_eq!(receiver.stop(), 0);
    std::fs::write(site.signer_list("central"), format!("{}\n", signer.subject)).unwrap();
    site.run(&["queue", "retry", "central"]).expect(0);
    let receiver = site.start(&["receive"]);
    let stored = eventually("the message in incoming", || queues::elements(&incoming).pop());
    assert_eq!((stored.bytes("body"), stored.id().as_str()), (RECORD, "one"));
    queues::becomes_empty(&reject);
    drop(receiver);
}

/// The Sesame that runs reads its files again only once an hour here: the command must not decide by newer ones.
#[test]
fn a_retry_at_once_after_a_list_was_changed_loses_nothing() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let signer = pki().host("sender.example.org");
    let site = Site::of("receiver.example.org").on(broker, Way::Plain);
    let site = site.receiving("central", &destination, &["/C=UK/O=Sesame/CN=nobody"], "");
    let site = site.with_sections("[receive.central.trust]\nrefresh = \"1h\"\n");
    let mut receiver = site.start(&["receive"]);
    let frame = Frame::labelled("one", &openssl::sign(&signer, RECORD));
    python::send(&Way::Plain.link(broker, &signer), &destination, &[frame]);
    let (incoming, reject) = (site.queue("central", "incoming"), site.queue("central", "reject"));
    eventually("the message in reject", || (queues::count(&reject) == 1).then_some(()));
    std::fs::write(site.signer_list("central"), format!("{}\n", signer.subject)).unwrap();
    site.run(&["queue", "retry", "central"]).expect(0).says("which decides about it");
    let stored = eventually("the message in incoming", || queues::elements(&incoming).pop());
    assert_eq!((stored.bytes("body"), stored.id().as_str()), (RECORD, "one"));
    queues::becomes_empty(&reject);
    queues::becomes_empty(&site.queue("central", "deferred"));
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn purge_removes_what_was_named_and_nothing_else() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Plain);
    let site = site.sending("cpu", &own_destination(), "");
    (0..2).for_each(|_| drop(queues::add(&site.outgoing("cpu"), b"")));
    site.run(&["send"]).expect(1);
    let refused = queues::elements(&site.refused("cpu"));
    assert_eq!(refused.len(), 2);
    site.run(&["queue", "purge", "cpu", &refused[0].name]).expect(0);
    assert_eq!(queues::elements(&site.refused("cpu")), refused[1..]);
}

#[test]
fn trace_tells_every_step_at_either_end() {
    let pair = Pair::on(shared(Kind::ActiveMq), Way::Tls, "", "");
    let id = queues::add(&pair.outgoing(), RECORD);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    let stored = eventually("the message", || queues::elements(&pair.incoming()).pop());
    assert_eq!(receiver.stop(), 0);
    pair.sender.run(&["trace", &id]).expect(0).says(&id).says("cpu");
    let trace = pair.receiver.run(&["trace", &id]).expect(0);
    trace.says(&stored.name).says(&pair.sender.host.subject);
    json(&pair.receiver.run(&["trace", &id, "--json"]).expect(0));
    pair.receiver.run(&["trace", "not-an-id-of-ours"]).expect(1);
}

#[test]
fn demo_needs_nothing_and_shows_each_message_s_way() {
    let site = Site::of("sender.example.org");
    let folder = Folder::new("demo");
    let place = folder.join("here").display().to_string();
    let start = std::time::Instant::now();
    let outcome = site.run(&["demo", "--folder", &place]).expect(0);
    assert!(start.elapsed().as_secs() < 10, "it took {:?}", start.elapsed());
    outcome.says(&place).says("incoming").says("reject");
    let mut stored = 0;
    let mut walk = vec![folder.join("here")];
    while let Some(path) = walk.pop() {
        stored += usize::from(path.file_name().is_some_and(|name| name == "body"));
        if path.is_dir() {
            walk.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(stored >= 4, "{stored} elements are left to look at");
}

#[test]
fn send_reports_each_message_as_json() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    let messages = Workload::queued_in(&pair.outgoing(), 3, 500);
    let outcome = pair.sender.run(&["send", "--json"]).expect(0);
    assert_eq!(json(&outcome).len(), 4, "three messages and an end:\n{}", outcome.output);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
}

#[test]
fn the_program_says_its_version() {
    Site::of("sender.example.org").run(&["--version"]).expect(0).says("sesame 0.");
}

#[test]
fn an_unchanged_warning_is_said_once_a_day_by_runs_that_cron_starts() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Plain);
    let site = site.sending("cpu", &own_destination(), "");
    let warning = "without TLS";
    site.run(&["send"]).expect(0).says(warning);
    let second = site.run(&["send"]).expect(0).all();
    assert!(!second.contains(warning) && !second.contains("file system"), "{second}");
    // What is wrong is said each time, and check says everything each time.
    for _ in 0..2 {
        site.run(&["check"]).says(warning);
    }
    queues::add(&site.outgoing("cpu"), b" ");
    site.run(&["send"]).expect(1).says("message rejected");
    std::fs::remove_file(site.outgoing("cpu").with_extension("state").join("warned")).unwrap();
    site.run(&["send"]).expect(0).says(warning);
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = std::process::Command::new(program()).arg("version").stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write to standard output: No space left on device"), "{said}");
}
