//! Sesame over AMS: what one publishes, another one pulls, stores and acknowledges.

use crate::checker::Workload;
use crate::harness::{Folder, eventually};
use crate::peers::ams::{Ams, PROJECT, SUBSCRIPTION, TOPIC};
use crate::peers::openssl::pki;
use crate::queues;
use crate::sesame::{Pair, Site, encrypted_for, recipient};

#[test]
fn what_one_publishes_another_stores() {
    for more in [String::new(), encrypted_for(&recipient())] {
        let ams = Ams::start();
        let pair = Pair::at(&ams, &more, "");
        let messages = Workload::queued_in(&pair.outgoing(), 200, 3_000);
        let _receiver = pair.receiver.start(&["receive"]);
        pair.sender.run(&["send", "--deadline", "30s"]).expect(0);
        messages.arrives(&pair);
        assert_eq!(queues::elements(&pair.incoming())[0].text("signer"), pair.sender.host.subject);
        eventually("the last acknowledgement", || {
            ams.server.offset(PROJECT, SUBSCRIPTION).filter(|&offset| offset == 200)
        });
        let counters = ams.server.counters();
        assert_eq!((counters.certificates_at_api, counters.tokens_in_address, counters.stored), (0, 0, 200));
    }
}

#[test]
fn a_broker_sees_its_own_credential_and_messages_are_signed_with_the_other() {
    let ams = Ams::start();
    let own = pki().host("tls.example.org");
    ams.admit(&own);
    let lines =
        format!("{}[broker.test.credential]\ncertificate = {:?}\nkey = {:?}\n", ams.lines(), own.certificate, own.key);
    let sender = Site::of("sender.example.org").with_ams(&lines).sending("cpu", TOPIC, "");
    let pair = Pair { sender, ..Pair::at(&Ams::start(), "", "") };
    let receiver = Site::of("receiver.example.org").on_ams(&ams);
    let receiver = receiver.pulling("central", SUBSCRIPTION, &[&pair.sender.host.subject], "");
    let pair = Pair { receiver, ..pair };
    pair.sender.run(&["check"]).expect(0).says("tls.example.org").says("topic jobs is there");
    let messages = Workload::queued_in(&pair.outgoing(), 3, 1_000);
    pair.sender.run(&["send", "--deadline", "30s"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    assert_eq!(queues::elements(&pair.incoming())[0].text("signer"), pair.sender.host.subject);
}

#[test]
fn demo_goes_through_ams_too() {
    let folder = Folder::new("demo");
    let place = folder.join("here").display().to_string();
    let outcome = Site::of("sender.example.org").run(&["demo", "--ams", "--folder", &place]).expect(0);
    let outcome = outcome.says("A server of AMS listens on 127.0.0.1:").says("stored under a message id");
    assert!(!outcome.output.contains("RECEIPT"), "{}", outcome.output);
    let stored = queues::elements(&folder.join("here/spool/incoming"));
    outcome.says(&format!("{} stored, 2 rejected, none lost", stored.len()));
    assert!(!stored.is_empty());
}
