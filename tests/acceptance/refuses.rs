//! What a receiver must not store: each goes to reject with the reason an operator reads, and everything else flows on.
//!
//! The cases are the folders of `tests/data/reject`: `message` and `error.txt`. `SESAME_TEST_BLESS=1` writes what the
//! program says into `error.txt` instead of comparing; read the difference before it is committed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::harness::eventually;
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::openssl::{self, Host, pki};
use crate::peers::python::{self, Frame};
use crate::queues::{self, Element};
use crate::sesame::{Site, Way, encrypted_for, own_destination, recipient};

const RECORD: &[u8] = b"APEL-summary-job-message: v0.2\nSite: UKI-TEST\n%%\n";

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/reject").canonicalize().unwrap()
}

/// Name and message of each case.
fn cases() -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path());
    let case = |path: PathBuf| {
        let message = std::fs::read(path.join("message")).ok()?;
        Some((path.file_name()?.to_str()?.to_owned(), message))
    };
    entries.filter_map(case).collect()
}

/// A receiver that trusts the run's authority and the one of the cases, however long ago their messages were signed.
fn receiver_of_cases(destination: &str, signer: &Host) -> Site {
    let data = data();
    let list = std::fs::read_to_string(data.join("authorised")).unwrap();
    let mut authorised: Vec<&str> = list.lines().collect();
    authorised.push(&signer.subject);
    let more = format!("banned = {:?}\nmax-age = \"36500d\"\n", data.join("banned"));
    Site::of("receiver.example.org")
        .trusting(&[&pki().anchors(), &data.join("anchors")])
        .with_sections("[journal]\nretention = \"36500d\"\n")
        .on(shared(Kind::RabbitMq), Way::Plain)
        .receiving("central", destination, &authorised, &more)
}

fn compare(element: &Element, message: &[u8], differences: &mut Vec<String>) {
    let id = element.id();
    let file = data().join(&id).join("error.txt");
    // A reason may name a file of the trust store, and the receiver's certificate, which each run makes.
    let error = element.text("error").trim_end().replace(&data().display().to_string(), "DATA");
    let error = match error.split_once("and ours has serial number ") {
        Some((before, ours)) => {
            assert!(ours.contains(" and subject key identifier "), "{error}");
            format!("{before}and ours has OURS\n")
        }
        None => error + "\n",
    };
    if std::env::var_os("SESAME_TEST_BLESS").is_some() {
        std::fs::write(&file, &error).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    if error != expected {
        differences.push(format!("{id}\n  expected: {expected}\n  was:      {error}"));
    }
    assert_eq!(element.bytes("sealed"), message, "{id}: the sealed message is not as it came");
}

#[test]
fn each_case_goes_to_reject_with_its_reason() {
    let (cases, destination) = (cases(), own_destination());
    assert!(cases.len() > 20, "cases are missing in {}", data().display());
    let signer = pki().host("sender.example.org");
    let site = receiver_of_cases(&destination, &signer);
    let _receiver = site.start(&["receive"]);
    let good = openssl::sign(&signer, RECORD);
    let mut frames = vec![Frame::labelled("first", &good)];
    frames.extend(cases.iter().map(|(name, message)| Frame::labelled(name, message)));
    frames.push(Frame::labelled("last", &[good.as_slice(), b"\n"].concat()));
    python::send(&Way::Plain.link(shared(Kind::RabbitMq), &signer), &destination, &frames);

    let (incoming, reject) = (site.queue("central", "incoming"), site.queue("central", "reject"));
    eventually("every case in reject", || (queues::count(&reject) >= cases.len()).then_some(()));
    let mut differences = Vec::new();
    for element in queues::elements(&reject) {
        compare(&element, &cases[&element.id()], &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let mut stored: Vec<String> = queues::elements(&incoming).iter().map(Element::id).collect();
    stored.sort();
    assert_eq!(stored, ["first", "last"], "what stands around the cases was not stored");
    let broker = shared(Kind::RabbitMq);
    eventually("the broker's queue to be empty", || (broker.waiting(&destination) == 0).then_some(()));
}

#[test]
fn a_rejected_element_is_read_by_dirq() {
    let destination = own_destination();
    let signer = pki().host("sender.example.org");
    let site = Site::of("receiver.example.org").on(shared(Kind::ActiveMq), Way::Plain);
    let site = site.receiving("central", &destination, &["/C=UK/O=Sesame/CN=nobody"], "");
    let _receiver = site.start(&["receive"]);
    let frames = [Frame::labelled("unlisted", &openssl::sign(&signer, RECORD)), Frame::labelled("nonsense", b"?")];
    python::send(&Way::Plain.link(shared(Kind::ActiveMq), &signer), &destination, &frames);
    let reject = site.queue("central", "reject");
    eventually("both in reject", || (queues::count(&reject) == 2).then_some(()));
    let mut read = python::take_elements(&reject, "reject");
    read.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!((read[0].id.as_str(), read[1].id.as_str()), ("nonsense", "unlisted"));
    assert_eq!(read[1].signer, signer.subject);
    assert!(read.iter().all(|element| element.error.as_ref().is_some_and(|error| !error.is_empty())));
}

/// Sends one message to a receiver with these further settings and gives its element in reject.
fn rejected(message: &[u8], more: &str) -> Element {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let signer = pki().host("sender.example.org");
    let site = Site::of("receiver.example.org").on(broker, Way::Plain);
    let site = site.receiving("central", &destination, &[&signer.subject], more);
    let _receiver = site.start(&["receive"]);
    python::send(&Way::Plain.link(broker, &signer), &destination, &[Frame::labelled("one", message)]);
    let element = eventually("the message in reject", || queues::elements(&site.queue("central", "reject")).pop());
    assert_eq!(queues::count(&site.queue("central", "incoming")), 0);
    element
}

#[test]
fn what_came_unencrypted_is_refused_where_encryption_is_required() {
    let signed = openssl::sign(&pki().host("sender.example.org"), RECORD);
    let element = rejected(&signed, "encryption = \"required\"\n");
    assert!(element.text("error").contains("not encrypted"), "{}", element.text("error"));
}

#[test]
fn everything_wrong_inside_an_envelope_has_the_same_error() {
    let signer = pki().host("sender.example.org");
    let good = openssl::encrypt(&recipient(), &openssl::sign(&signer, RECORD));
    let changed = {
        let mut lines: Vec<String> = String::from_utf8(good).unwrap().lines().map(str::to_owned).collect();
        let middle = lines.len() - 8;
        lines[middle] = lines[middle].chars().rev().collect();
        lines.join("\n") + "\n"
    };
    let tampered = String::from_utf8(openssl::sign(&signer, RECORD)).unwrap().replace("UKI-TEST", "UKI-BEST");
    let inside = openssl::encrypt(&recipient(), tampered.as_bytes());
    let unsigned = openssl::encrypt(&recipient(), RECORD);
    let errors = [changed.as_bytes(), &inside, &unsigned].map(|message| rejected(message, "").text("error"));
    assert_eq!(errors[0], errors[1]);
    assert_eq!(errors[1], errors[2]);
}

#[test]
fn what_was_signed_too_long_ago_is_refused() {
    let signed = openssl::sign(&pki().host("sender.example.org"), RECORD);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let element = rejected(&signed, "max-age = \"1s\"\n");
    assert!(element.text("error").contains("signed more than"), "{}", element.text("error"));
}

#[test]
fn content_over_the_limit_is_refused() {
    let signed = openssl::sign(&pki().host("sender.example.org"), &b"0123456789\n".repeat(1_000));
    let element = rejected(&signed, "max-payload = \"4KiB\"\n");
    assert!(element.text("error").contains("4096"), "{}", element.text("error"));
}

#[test]
fn a_message_for_another_receiver_is_refused() {
    // Sealed by a sender whose recipient is another host, then encrypted again for us by that host.
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let other = pki().host("other.example.org");
    let site = Site::of("sender.example.org").on(broker, Way::Plain);
    let site = site.sending("cpu", &destination, &encrypted_for(&other));
    queues::add(&site.outgoing("cpu"), RECORD);
    site.run(&["send"]).expect(0);
    let sealed = python::take(&Way::Plain.link(broker, &other), &destination, 1).remove(0).body;
    let forwarded = openssl::encrypt(&recipient(), &openssl::decrypt("smime", &other, &sealed));
    rejected(&forwarded, "");
}

#[test]
fn unlisted_signers_may_be_dropped() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let (signer, stranger) = (pki().host("sender.example.org"), pki().host("other.example.org"));
    let site = Site::of("receiver.example.org").on(broker, Way::Plain);
    let site = site.receiving("central", &destination, &[&signer.subject], "unlisted = \"drop\"\n");
    let _receiver = site.start(&["receive"]);
    let frames = [("stranger", &stranger), ("known", &signer)]
        .map(|(id, host)| Frame::labelled(id, &openssl::sign(host, RECORD)));
    python::send(&Way::Plain.link(broker, &signer), &destination, &frames);
    eventually("the known signer's message", || (queues::count(&site.queue("central", "incoming")) == 1).then_some(()));
    eventually("the broker's queue to be empty", || (broker.waiting(&destination) == 0).then_some(()));
    assert_eq!(queues::count(&site.queue("central", "reject")), 0);
}

#[test]
fn a_message_without_a_body_is_empty_and_said_to_be() {
    // As ActiveMQ gives a JMS MapMessage to a subscriber; see findings/jms-map-message-is-empty-over-stomp.sh.
    let (signer, destination) = (pki().host("sender.example.org"), own_destination());
    let site = Site::with(recipient()).on(shared(Kind::ActiveMq), Way::Plain);
    let site = site.receiving("central", &destination, &[&signer.subject], "");
    let receiver = site.start(&["receive"]);
    let link = Way::Plain.link(shared(Kind::ActiveMq), &signer);
    python::send(&link, &destination, &[Frame::labelled("map", b"")]);
    let reject = site.queue("central", "reject");
    let element = eventually("the map in reject", || queues::elements(&reject).into_iter().next());
    assert!(element.bytes("sealed").is_empty());
    let error = element.text("error");
    assert!(error.starts_with("empty: the message is empty; ") && error.contains("JMS MapMessage"), "{error}");
    let line =
        eventually("the log line", || receiver.log().lines().find(|line| line.contains("rejected")).map(str::to_owned));
    assert!(!line.contains("=\"\"") && !line.contains("signer") && !line.contains("plugin"), "{line}");
}
