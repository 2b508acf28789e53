//! Proofs from a journal: which messages are written, and how a certificate is checked with the CRLs of another time.

use std::sync::Arc;
use std::time::Duration;

use testkit::pki::{Authority, CrlRequest, Directory, Issued, KeyKind, Request};

use super::super::queue::Site;
use super::*;
use message::acknowledgement::{CONTENT_TYPE, Verdict};
use message::{Output, content_digest, hex};
use smime::{Peer, SealPolicy, Sealer, ToSeal};
use spool::journal::{Dispatch, Prepared, PreparedKey};
use trust::Credential;

const HOUR: i64 = 3_600;

/// A sender whose receiver has a certificate of a subordinate authority.
struct World {
    site: Site,
    root: Authority,
    middle: Authority,
    receiver: Issued,
    anchors: Directory,
    journal: Journal,
}

fn world() -> World {
    let mut site = Site::new();
    let root = Authority::root(&Request::authority("/C=UK/O=CA/CN=Root")).unwrap();
    let middle = root.intermediate(&Request::authority("/C=UK/O=CA/CN=Middle")).unwrap();
    let request = Request { key: KeyKind::P256, not_before: -24 * HOUR, ..Request::host("/C=UK/CN=central") };
    let receiver = middle.issue(&request).unwrap();
    let anchors = Directory::create(site.folder.path().join("anchors")).unwrap();
    anchors.add_authority(&root.own.certificate).unwrap();
    anchors.add_authority(&middle.own.certificate).unwrap();
    let sender = site.config.senders.get_mut("cpu").unwrap();
    sender.trust.anchors = vec![anchors.path().to_owned()];
    std::fs::create_dir_all(&sender.state).unwrap();
    let journal = Journal::open(&sender.state.join(JOURNAL)).unwrap();
    World { site, root, middle, receiver, anchors, journal }
}

fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

fn ago(seconds: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(seconds)
}

impl World {
    /// Sends the message `m` in parts.
    fn send(&self, parts: &[&str]) -> Vec<Dispatch> {
        let dispatch = |text: &&str| Dispatch {
            id: id(text),
            destination: "/queue/cpu".to_owned(),
            digest: content_digest(text.as_bytes()),
            sequence: None,
            open: true,
        };
        let mut rows = [Prepared {
            key: PreparedKey { id: id("m"), digest: content_digest(b"m") },
            element: "m".to_owned(),
            outputs: vec![Output::default()],
            pipeline: String::new(),
            attempts: 0,
            dispatches: parts.iter().map(dispatch).collect(),
            counts: Vec::new(),
            repeated: false,
        }];
        self.journal.record_prepared("cpu", &mut rows).unwrap();
        rows[0].dispatches.clone()
    }

    /// The receiver acknowledges a part in a message of its own.
    fn acknowledge(&self, dispatch: &Dispatch, received: SystemTime) -> Vec<u8> {
        let line = Acknowledgement {
            id: dispatch.id.clone(),
            digest: ContentDigest(dispatch.digest),
            signer: "CN=ce".to_owned(),
            verdict: Verdict::Accepted,
            code: None,
            reason: None,
            at: "2026-11-22T16:40:47Z".to_owned(),
            element: None,
            sequence: dispatch.sequence.clone(),
        };
        let (certificate, key) = self.receiver.write(self.site.folder.path(), "receiver").unwrap();
        let credential = Arc::new(Credential::load(&certificate, &key).unwrap());
        let policy = SealPolicy { peer: Peer::Sesame, cipher: None, max_payload: MOST_BYTES };
        let content = Acknowledgement::lines(std::slice::from_ref(&line));
        let (id, payload) = (id("a"), content.as_bytes());
        let to_seal = ToSeal { id: &id, to: None, sequence: None, content_type: Some(CONTENT_TYPE), payload };
        let raw = Sealer::new(credential, None, policy).unwrap().seal(&to_seal).unwrap().into_bytes();
        let proof = spool::journal::Proof { receiver: "CN=central", raw: &raw, at: received };
        self.journal.take_acknowledgements("cpu", &proof, &[line]).unwrap();
        raw
    }

    fn prove(&self, text: &str) -> anyhow::Result<PathBuf> {
        let output = self.site.folder.path().join("proof");
        run(&self.site.config, &Proof { id: text.to_owned(), output: Some(output.clone()) })?;
        Ok(output)
    }

    /// How the only acknowledgement of `m` is checked with the CRLs that are there now.
    fn crls(&self) -> Crls {
        let mut found = Found::default();
        search(&self.journal, ("cpu", &self.site.config.senders["cpu"]), &id("m"), &mut found).unwrap();
        found.evidence.remove(0).crls
    }

    fn publish(&self, authority: &Authority, revoked: &[&Issued], this_update: i64) {
        let revoked: Vec<_> = revoked.iter().map(|issued| &*issued.certificate).collect();
        let crl = authority.crl(&revoked, &CrlRequest { this_update, ..CrlRequest::default() }).unwrap();
        self.anchors.add_crl(&authority.own.certificate, &crl).unwrap();
    }
}

#[test]
fn every_acknowledgement_message_of_a_message_and_its_parts_is_written_as_received() {
    let world = world();
    let parts = world.send(&["m.1", "m.2", "m.3"]);
    let raws = [&parts[0], &parts[1]].map(|part| world.acknowledge(part, SystemTime::now()));
    let folder = world.prove("m").unwrap();
    for (number, raw) in (1..).zip(&raws) {
        assert_eq!(std::fs::read(folder.join(format!("acknowledgement-{number}.eml"))).unwrap(), *raw);
    }
    let trusted = std::fs::read_to_string(folder.join("trusted-2.pem")).unwrap();
    let authorities = [&world.middle, &world.root].map(|one| one.own.certificate.to_pem().unwrap()).concat();
    assert_eq!(trusted.as_bytes(), authorities);
    let signer = std::fs::read(folder.join("signer-2.pem")).unwrap();
    assert_eq!(signer, world.receiver.certificate.to_pem().unwrap());
    let readme = std::fs::read_to_string(folder.join("README.txt")).unwrap();
    assert!(readme.contains("Not acknowledged:\n- message m.3 to /queue/cpu (channel cpu)"), "{readme}");
    assert!(readme.contains("There was no CRL") && readme.contains(&hex(&parts[1].digest)), "{readme}");
    assert!(world.prove("m").unwrap_err().to_string().contains("nothing is overwritten"));
    assert_eq!(std::fs::read_to_string(folder.join("README.txt")).unwrap(), readme);
}

#[test]
fn what_cannot_be_proved_is_an_error_that_says_why() {
    let world = world();
    let why = |text: &str| world.prove(text).unwrap_err().to_string();
    assert!(why("m").starts_with("no journal of a sender knows message m (searched: "), "{}", why("m"));
    let part = world.send(&["m"]).remove(0);
    assert_eq!(why("m"), "no receiver has acknowledged message m to /queue/cpu (channel cpu)");
    world.acknowledge(&part, ago(100));
    std::fs::remove_dir_all(world.anchors.path()).unwrap();
    let other = Directory::create(world.anchors.path().to_owned()).unwrap();
    other.add_authority(&Authority::root(&Request::authority("/CN=Other")).unwrap().own.certificate).unwrap();
    let error = chain(&*world.prove("m").unwrap_err());
    assert!(error.contains("cannot be verified any more: cannot trust the signer's certificate"), "{error}");
    // A retained message stays in the journal for longer than its acknowledgement.
    let retain = Some(Duration::from_secs(60));
    let key = PreparedKey { id: id("m"), digest: content_digest(b"m") };
    let sent = spool::journal::Sent { key, broker: String::new(), at: ago(100), detail: None, retain };
    world.journal.record_sent("cpu", &[sent]).unwrap();
    world.journal.expire(ago(50), 100).unwrap();
    assert!(why("m").ends_with("is older than the journal's retention and no longer kept"), "{}", why("m"));
    assert!(!world.site.folder.path().join("proof").exists());
}

#[test]
fn crls_are_used_as_of_the_receipt_or_else_as_of_now() {
    let world = world();
    let part = world.send(&["m"]).remove(0);
    let received = ago(600);
    world.acknowledge(&part, received);
    assert!(matches!(world.crls(), Crls::Missing));
    world.publish(&world.middle, &[], -HOUR);
    assert!(matches!(world.crls(), Crls::Usable { option: "-crl_check", at } if at == seconds(received)));
    world.publish(&world.root, &[], -300);
    let later = world.crls();
    assert!(matches!(later, Crls::Usable { option: "-crl_check_all", at } if at > seconds(received) + 500));
    world.publish(&world.root, &[], -HOUR);
    assert!(matches!(world.crls(), Crls::Usable { option: "-crl_check_all", at } if at == seconds(received)));
    world.publish(&world.middle, &[&world.receiver], -60);
    let Crls::Unusable(why) = world.crls() else { panic!("a revoked certificate counts as good") };
    assert!(why.contains("revoked"), "{why}");
    let readme = std::fs::read_to_string(world.prove("m").unwrap().join("README.txt")).unwrap();
    assert!(readme.contains(&format!("do not show that the certificate was not revoked: {why}")), "{readme}");
    assert!(!readme.contains("-crl_check"), "{readme}");
}
