//! Certificates, CRLs and signer lists are replaced while the program runs; it takes the new ones and keeps the last good.

use std::io::Write as _;
use std::path::Path;

use crate::harness::{Child, eventually};
use crate::peers::broker::shared;
use crate::peers::openssl::{self, Host, Pki, copy_into};
use crate::peers::python::{self, Frame};
use crate::peers::{Broker, Kind};
use crate::queues;
use crate::sesame::{Site, Way, own_destination};

/// A running receiver that trusts an authority of its own.
struct Receiver {
    broker: &'static Broker,
    destination: String,
    site: Site,
    process: Child,
    sent: u32,
}

impl Receiver {
    fn start(pki: &Pki, authorised: &[&Host]) -> Self {
        let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
        let subjects: Vec<&str> = authorised.iter().map(|host| host.subject.as_str()).collect();
        let site = Site::of("receiver.example.org").trusting(&[&pki.anchors()]).on(broker, Way::Plain);
        let site = site.receiving("central", &destination, &subjects, "");
        let process = site.start(&["receive"]);
        Self { broker, destination, site, process, sent: 0 }
    }

    /// Sends one message of `signer` and says which queue it came into.
    fn disposition(&mut self, signer: &Host) -> &'static str {
        self.sent += 1;
        let id = format!("message-{}", self.sent);
        let message = openssl::sign(signer, format!("Site: {id}\n").as_bytes());
        python::send(&Way::Plain.link(self.broker, signer), &self.destination, &[Frame::labelled(&id, &message)]);
        eventually("the message's disposition", || {
            ["incoming", "reject"].into_iter().find(|queue| {
                queues::elements(&self.site.queue("central", queue)).iter().any(|element| element.id() == id)
            })
        })
    }

    fn becomes(&mut self, signer: &Host, disposition: &str) {
        eventually(&format!("messages of {} to go to {disposition}", signer.subject), || {
            (self.disposition(signer) == disposition).then_some(())
        });
    }
}

/// Replaces a file by rename, as careful tools do.
fn replace(file: &Path, content: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[test]
fn a_revocation_takes_effect_without_a_restart() {
    let pki = openssl::another("Changing CA");
    let (good, bad) = (pki.host("good.example.org"), pki.host("bad.example.org"));
    let mut receiver = Receiver::start(&pki, &[&good, &bad]);
    assert_eq!(receiver.disposition(&bad), "incoming");
    pki.revoke(&bad);
    receiver.becomes(&bad, "reject");
    assert_eq!(receiver.disposition(&good), "incoming");
    assert_eq!(receiver.process.stop(), 0);
}

#[test]
fn a_signer_is_added_to_the_list_and_removed_from_it() {
    let pki = openssl::pki();
    let (first, second) = (pki.host("sender.example.org"), pki.host("other.example.org"));
    let mut receiver = Receiver::start(pki, &[&first]);
    assert_eq!(receiver.disposition(&second), "reject");
    let list = receiver.site.signer_list("central");
    replace(&list, &format!("# both\n{}\n{}\n", first.subject, second.subject));
    receiver.becomes(&second, "incoming");
    replace(&list, &format!("{}\n", second.subject));
    receiver.becomes(&first, "reject");
}

#[test]
fn a_list_that_is_empty_or_unreadable_keeps_the_last_good_one() {
    let pki = openssl::pki();
    let signer = pki.host("sender.example.org");
    let mut receiver = Receiver::start(pki, &[&signer]);
    let list = receiver.site.signer_list("central");
    assert_eq!(receiver.disposition(&signer), "incoming");
    for (what, content) in [("empty", ""), ("only comments", "# later\n")] {
        std::fs::write(&list, content).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2_500));
        assert_eq!(receiver.disposition(&signer), "incoming", "{what}\n{}", receiver.process.last_words());
    }
    std::fs::remove_file(&list).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(receiver.disposition(&signer), "incoming", "gone");
    std::fs::create_dir(&list).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(receiver.disposition(&signer), "incoming", "a directory in its place");
    assert!(receiver.process.log().contains("central.dns"), "nothing was said:\n{}", receiver.process.last_words());
}

#[test]
fn a_list_that_is_being_written_keeps_the_last_good_one() {
    let pki = openssl::pki();
    let signer = pki.host("sender.example.org");
    let mut receiver = Receiver::start(pki, &[&signer]);
    assert_eq!(receiver.disposition(&signer), "incoming");
    let list = receiver.site.signer_list("central");
    let subject = signer.subject.clone();
    let writer = std::thread::spawn(move || {
        let mut file = std::fs::File::create(list).unwrap();
        for number in 0..60 {
            writeln!(file, "/C=UK/O=Sesame/OU=Hosts/CN=host{number}.example.org").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        writeln!(file, "{subject}").unwrap();
    });
    while !writer.is_finished() {
        assert_eq!(receiver.disposition(&signer), "incoming", "while the list is being written");
    }
    writer.join().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(receiver.disposition(&signer), "incoming", "when it is whole");
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let pki = openssl::pki();
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let first = Site::of("sender.example.org");
    let own = copy_into(first.folder.path(), &first.host);
    let site = Site::with(own).on(broker, Way::Plain).sending("cpu", &destination, "");
    let mut sender = site.start(&["send", "--watch"]);
    let next = |body: &[u8]| {
        queues::add(&site.outgoing("cpu"), body);
        let frame = python::take(&Way::Plain.link(broker, &site.host), &destination, 1).remove(0);
        openssl::signer(&frame.body)
    };
    assert!(next(b"Site: 1\n").contains("sender.example.org"));
    let renewed = pki.host("other.example.org");
    std::fs::copy(&renewed.key, &site.host.key).unwrap();
    std::fs::copy(&renewed.certificate, &site.host.certificate).unwrap();
    eventually("a message signed with the new certificate", || {
        next(b"Site: 2\n").contains("other.example.org").then_some(())
    });
    assert_eq!(sender.stop(), 0);
}
