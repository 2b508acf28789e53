//! Messages are opened in processes of their own: a crash there costs neither a message nor the daemon.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::acknowledgements::{all_acknowledged, awaited, given};
use crate::checker::{Workload, when_stored};
use crate::harness::{Child, eventually};
use crate::peers::broker::shared;
use crate::peers::openssl::{self, Host, copy_into};
use crate::peers::python::{self, Frame};
use crate::peers::{Broker, Kind};
use crate::queues;
use crate::sesame::{Pair, Site, Way, encrypted_for, own_destination, recipient};

const ISOLATE: &str = "[process]\nisolate = true\n";
/// Octets of a message at which a process that opens it aborts, in a build for tests.
const MARKER: &str = "aborts-the-process-that-opens-it";

/// The processes that open messages for this one.
fn openers(daemon: &Child) -> Vec<Pid> {
    let of = format!("/proc/{0}/task", daemon.pid().as_raw_nonzero());
    let tasks = std::fs::read_dir(of).unwrap();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let ids: Vec<i32> =
        children.flat_map(|text| text.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect();
    let opens = |id: &i32| {
        let words = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        words.split(|octet| *octet == 0).any(|word| word == b"open-messages")
    };
    ids.into_iter().filter(opens).filter_map(Pid::from_raw).collect()
}

fn field(process: Pid, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).unwrap();
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
}

fn pair(broker: &Broker, send: &str, receive: &str) -> Pair {
    let sender = Site::of("sender.example.org").on(broker, Way::Plain);
    let receiver = Site::of("receiver.example.org").on(broker, Way::Plain).with_sections(ISOLATE);
    Pair::of(sender, receiver, send, receive)
}

#[test]
fn signed_and_encrypted_messages_arrive() {
    let encrypted = encrypted_for(&recipient());
    for (send, receive) in [("", ""), (encrypted.as_str(), "encryption = \"required\"\n")] {
        let pair = pair(shared(Kind::RabbitMq), send, receive);
        let messages = Workload::queued_in(&pair.outgoing(), 60, 3_000);
        let mut receiver = pair.receiver.start(&["receive"]);
        let _sender = pair.sender.start(&["send", "--watch"]);
        messages.arrives(&pair);
        let openers = openers(&receiver);
        assert!(!openers.is_empty(), "no process opened them");
        for opener in openers {
            assert_eq!(field(opener, "Seccomp:"), "2", "it is filtered");
            assert_eq!(field(opener, "NoNewPrivs:"), "1");
            let open = std::fs::read_dir(format!("/proc/{}/fd", opener.as_raw_nonzero())).unwrap().count();
            assert!(open <= 4, "{open} descriptors");
            let environment = std::fs::read(format!("/proc/{}/environ", opener.as_raw_nonzero())).unwrap();
            assert_eq!(environment, b"");
        }
        assert!(receiver.log().contains("messages are opened in processes without network, files and keys"));
        assert_eq!(receiver.stop(), 0);
        assert!(!receiver.log().contains("crashed"), "{}", receiver.last_words());
    }
}

#[test]
fn processes_killed_under_load_lose_and_repeat_nothing() {
    let pair = pair(shared(Kind::RabbitMq), &format!("window = 8\n{}", encrypted_for(&recipient())), "prefetch = 8\n");
    let messages = Workload::queued_in(&pair.outgoing(), 400, 3_000);
    let mut receiver = pair.receiver.start(&["receive"]);
    let daemon = receiver.pid();
    let _sender = pair.sender.start(&["send", "--watch"]);
    for share in [20, 60, 120, 200, 300] {
        when_stored(&pair.incoming(), share);
        let running =
            eventually("processes that open messages", || Some(openers(&receiver)).filter(|it| !it.is_empty()));
        for opener in running {
            let _ = kill_process(opener, Signal::KILL);
        }
    }
    messages.arrives(&pair);
    assert_eq!(queues::count(&pair.reject()), 0);
    assert!(receiver.ended().is_none() && receiver.pid() == daemon);
    assert_eq!(receiver.stop(), 0);
    let log = receiver.log();
    assert!(log.contains("SIGKILL"), "no end was noticed:\n{}", receiver.last_words());
    assert_eq!(log.matches("subscribed").count(), 1, "the session stayed:\n{log}");
}

#[test]
fn a_message_that_crashes_its_process_is_rejected_and_others_are_stored() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let sender = openssl::pki().host("sender.example.org");
    let site = Site::of("receiver.example.org").on(broker, Way::Plain).with_sections(ISOLATE);
    let site = site.receiving("central", &destination, &[&sender.subject], "");
    // All are at the broker before it starts, so that a process has several of them.
    let frame = |id: &str, text: &str| Frame::labelled(id, &openssl::sign(&sender, text.as_bytes()));
    let others =
        |from: u32| (from..from + 20).map(|number| frame(&format!("m-{number}"), &format!("Site: {number}\n")));
    let bad = frame("bad", &format!("Site: {MARKER}\n"));
    let frames: Vec<Frame> = others(0).chain([bad]).chain(others(20)).collect();
    python::send(&Way::Plain.link(broker, &sender), &destination, &frames);
    let mut receiver = site.start_by(&["env", &format!("SESAME_ABORT_ON={MARKER}")], &["receive"]);
    let (incoming, reject) = (site.queue("central", "incoming"), site.queue("central", "reject"));
    eventually("forty messages in incoming and one in reject", || {
        (queues::count(&incoming) == 40 && queues::count(&reject) == 1).then_some(())
    });
    let refused = queues::elements(&reject).remove(0);
    assert_eq!(refused.id(), "bad");
    assert!(refused.text("error").starts_with("crash-loop"), "{}", refused.text("error"));
    assert_eq!(receiver.log().matches("a process crashed while it opened a message").count(), 3);
    assert!(receiver.log().contains("a process crashed while it had several messages"), "{}", receiver.last_words());
    assert!(receiver.log().contains("SIGABRT"), "{}", receiver.last_words());
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn acknowledgements_are_opened_in_processes_too() {
    let (broker, queue) = (shared(Kind::RabbitMq), own_destination());
    let site = |name: &str| Site::of(name).on(broker, Way::Plain).with_sections(ISOLATE);
    let (sender, receiver) = (site("sender.example.org"), site("receiver.example.org"));
    let pair = Pair::of(sender, receiver, &awaited("required", &queue, ""), &given(&queue));
    let messages = Workload::queued_in(&pair.outgoing(), 20, 2_000);
    let _receiver = pair.receiver.start(&["receive"]);
    let sender = pair.sender.start(&["send", "--watch"]);
    messages.arrives(&pair);
    all_acknowledged(&pair, &sender);
    assert!(!openers(&sender).is_empty(), "{}", sender.last_words());
}

/// Sends messages of a signer until one goes to this queue.
fn until_in(queue: &str, (site, destination): (&Site, &str), message: impl Fn() -> Vec<u8>, signer: &Host) {
    let mut number = 0;
    eventually(&format!("a message in {queue}"), || {
        number += 1;
        let id = format!("{queue}-{number}");
        let link = Way::Plain.link(shared(Kind::RabbitMq), signer);
        python::send(&link, destination, &[Frame::labelled(&id, &message())]);
        let found = eventually("its disposition", || {
            ["incoming", "reject"]
                .into_iter()
                .find(|queue| queues::elements(&site.queue("central", queue)).iter().any(|element| element.id() == id))
        });
        (found == queue).then_some(())
    });
}

/// Copies all files of a directory, where it is made if need be.
fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn new_lists_anchors_and_certificates_reach_the_processes() {
    let pki = openssl::another("Isolated CA");
    let (signer, destination) = (pki.host("good.example.org"), own_destination());
    let site = Site::of("receiver.example.org");
    let own = copy_into(site.folder.path(), &site.host);
    let anchors = site.folder.join("own-anchors");
    copy_all(&pki.anchors(), &anchors);
    let site = Site::with(own).trusting(&[&anchors]).with_sections(ISOLATE);
    let site = site.on(shared(Kind::RabbitMq), Way::Plain).receiving("central", &destination, &[&signer.subject], "");
    let receiver = site.start(&["receive"]);
    let place = (&site, destination.as_str());
    let text = std::sync::atomic::AtomicU32::new(0);
    let next = || text.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let signed = || openssl::sign(&signer, format!("Site: {}\n", next()).as_bytes());
    let before = openssl::pki().host("receiver.example.org");
    until_in("incoming", place, || openssl::encrypt(&before, &signed()), &signer);
    // Another certificate: what is encrypted for it can be decrypted.
    let renewed = openssl::pki().host("other.example.org");
    std::fs::copy(&renewed.key, &site.host.key).unwrap();
    std::fs::copy(&renewed.certificate, &site.host.certificate).unwrap();
    until_in("reject", place, || openssl::encrypt(&before, &signed()), &signer);
    until_in("incoming", place, || openssl::encrypt(&renewed, &signed()), &signer);
    // Another authority: its signers are believed once it is an anchor.
    let second = openssl::another("Isolated Second CA");
    let newcomer = second.host("good.example.org");
    let by_newcomer = || openssl::sign(&newcomer, format!("Site: of {}\n", next()).as_bytes());
    until_in("reject", place, by_newcomer, &signer);
    copy_all(&second.anchors(), &anchors);
    until_in("incoming", place, by_newcomer, &signer);
    pki.revoke(&signer);
    copy_all(&pki.anchors(), &anchors);
    until_in("reject", place, signed, &signer);
    assert!(!receiver.log().contains("crashed"), "{}", receiver.last_words());
}
