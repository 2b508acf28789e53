//! What other programs publish through AMS with code of their own is received.

use testkit::ams::Server;

use crate::harness::eventually;
use crate::peers::ams::{Ams, PROJECT, SUBSCRIPTION, TOPIC};
use crate::peers::openssl::{pki, sign};
use crate::peers::python;
use crate::queues::{self, Element};
use crate::sesame::Site;

/// Two records, separated and ended as ARC does it.
const SUMMARY: &str = "APEL-summary-job-message: v0.2\nSite: UKI-TEST\nMonth: 3\nYear: 2026\nGlobalUserName: Jürgen\n\
     NumberOfJobs: 2\n%%\nSite: UKI-TEST\nMonth: 3\nYear: 2026\nVO: atlas\nNumberOfJobs: 1\n%%\n";

#[test]
fn what_auditor_publishes_through_ams_is_stored() {
    let (ams, receiver, subject) = site();
    let texts = python::publish_as_auditor(&ams, &pki().host("sender.example.org"));
    assert!(texts[0].starts_with("APEL-sync-message: v0.1\nSite: UKI-TEST\n"), "{texts:?}");
    assert!(texts[1].starts_with("APEL-normalised-summary-message: v0.4\nSite: UKI-TEST\n"), "{texts:?}");
    assert!(texts[1].contains("GlobalUserName: /DC=org/DC=example/CN=Jürgen 0\n"), "{texts:?}");

    let stored = stored(&ams, &receiver, 2);
    let bodies: Vec<_> = stored.iter().map(|element| element.text("body")).collect();
    assert_eq!(bodies, texts);
    let published = published_ids(&ams.server);
    assert_eq!(stored.iter().map(Element::id).collect::<Vec<_>>(), published);
    assert!(published.iter().all(|id| is_a_time(id)), "{published:?}");
    assert!(stored.iter().all(|element| element.text("signer") == subject));
    let counters = ams.server.counters();
    assert_eq!((counters.certificates_at_api, counters.tokens_in_address), (0, 0));
}

#[test]
fn what_arc_publishes_through_ams_is_stored() {
    let (ams, receiver, subject) = site();
    let id = python::publish_as_arc(&ams, &pki().host("sender.example.org"), SUMMARY);
    // ARC brings its certificate to the API too, and has the token in the address.
    let counters = ams.server.counters();
    assert_eq!((counters.certificates_at_api > 0, counters.tokens_in_address), (true, 1));

    let stored = stored(&ams, &receiver, 1);
    let fields = (stored[0].text("body"), stored[0].text("signer"), stored[0].id());
    assert_eq!(fields, (SUMMARY.to_owned(), subject, id.clone()));
    assert!(is_a_time(&id), "{id}");
}

/// Messages of different content under one id and one signer, as AUDITOR and ARC make them within a second.
#[test]
fn messages_with_one_id_are_all_stored() {
    let (ams, receiver, _) = site();
    let signer = pki().host("sender.example.org");
    let texts = ["first\n", "second\n", "third\n"];
    for text in texts {
        let message = sign(&signer, text.as_bytes());
        ams.server.put(PROJECT, TOPIC, &[("empaid", "20260301/20260301040000")], &message).unwrap();
    }
    let stored = stored(&ams, &receiver, 3);
    assert_eq!(stored.iter().map(|element| element.text("body")).collect::<Vec<_>>(), texts);
    assert!(stored.iter().all(|element| element.id() == "20260301/20260301040000"));
}

/// A server of AMS, a receiver there, and the DN of the sender that both let in.
fn site() -> (Ams, Site, String) {
    let ams = Ams::start();
    let sender = pki().host("sender.example.org");
    ams.admit(&sender);
    let receiver = Site::of("receiver.example.org").on_ams(&ams);
    (ams, receiver.pulling("central", SUBSCRIPTION, &[&sender.subject], ""), sender.subject)
}

/// What a receiver has stored once it has acknowledged `count` messages.
fn stored(ams: &Ams, receiver: &Site, count: u64) -> Vec<Element> {
    let mut running = receiver.start(&["receive"]);
    eventually("the last acknowledgement", || {
        ams.server.offset(PROJECT, SUBSCRIPTION).filter(|&offset| offset == count)
    });
    running.stop();
    let refused = queues::elements(&receiver.queue("central", "reject"));
    assert!(refused.is_empty(), "{:?}", refused.iter().map(|element| element.text("error")).collect::<Vec<_>>());
    queues::elements(&receiver.queue("central", "incoming"))
}

fn published_ids(server: &Server) -> Vec<String> {
    let messages = server.messages(PROJECT, TOPIC);
    messages.iter().map(|message| message.attributes["empaid"].clone()).collect()
}

/// Whether this is `YYYYMMDD/YYYYMMDDHHMMSS`.
fn is_a_time(id: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once('/').is_some_and(|(day, time)| digits(day, 8) && digits(time, 14) && time.starts_with(day))
}
