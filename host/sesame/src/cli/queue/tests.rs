//! Tests of the queue commands on real queues, journals and certificates in a temporary directory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::{QueueAdd, QueueList, QueuePurge, QueueRetry, QueueShow, trace};
use super::*;
use crate::channel::{JOURNAL, LOCK};
use crate::config::Files;
use message::{Code, MessageId, content_digest};
use smime::{Peer, SealPolicy, Sealer, ToSeal};
use spool::journal::{Disposition, Facts, Journal, Key};
use spool::{Commit, CommitEngine, CommitSettings, Modes, NewElement, Outgoing, SpoolLock};
use testkit::pki::{Authority, Directory, KeyKind, Request};
use trust::Credential;

const SIGNER: &str = "/C=UK/O=eScience/CN=ce.example.org";

/// A site with the sender `cpu` and the receiver `central`, their certificates and directories; only `SIGNER` is not yet on
/// the list of signers.
pub(in crate::cli) struct Site {
    pub(in crate::cli) folder: tempfile::TempDir,
    pub(in crate::cli) config: Config,
}

impl Site {
    pub(in crate::cli) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { config: configuration(folder.path()), folder }
    }
}

fn configuration(folder: &Path) -> Config {
    let authority = Authority::root(&Request::authority("/C=UK/O=eScience/CN=Test CA")).unwrap();
    Directory::create(folder.join("ca")).unwrap().add_authority(&authority.own.certificate).unwrap();
    let own = authority.issue(&Request { key: KeyKind::P256, ..Request::host(SIGNER) }).unwrap();
    std::fs::write(folder.join("dns"), "/C=UK/O=eScience/CN=other.example.org\n").unwrap();
    for directory in ["outgoing", "spool", "plugins.d"] {
        std::fs::create_dir(folder.join(directory)).unwrap();
    }
    let (certificate, key) = own.write(folder, "own").unwrap();
    let text = format!(
        r#"
        # The program of a test opens no messages for another process.
        [process]
        isolate = false
        [credential]
        certificate = "{certificate}"
        key = "{key}"
        [trust]
        anchors = "{root}/ca"
        [plugins]
        folder = "{root}/plugins.d"
        cache = "{root}/cache"
        [broker.egi]
        hosts = ["127.0.0.1:1"]
        tls = false
        [send.cpu]
        broker = "egi"
        queue = "{root}/outgoing"
        destination = "/queue/cpu"
        [receive.central]
        broker = "egi"
        destination = "/queue/cpu"
        authorised = "{root}/dns"
        spool = "{root}/spool"
        [receive.central.route]
        cloud = "incoming-cloud"
        "#,
        certificate = certificate.display(),
        key = key.display(),
        root = folder.display(),
    );
    Config::parse(&text, Path::new("test.toml"), Files::Check).unwrap()
}

/// A message as a sender seals it.
pub(in crate::cli) fn sealed(config: &Config, id: &str, payload: &[u8]) -> Vec<u8> {
    let credential = Credential::load(&config.credential.certificate, &config.credential.key).unwrap();
    let policy = SealPolicy { peer: Peer::Ssm, cipher: None, max_payload: 1 << 20 };
    let sealer = Sealer::new(Arc::new(credential), None, policy).unwrap();
    let id = MessageId::parse(id).unwrap();
    sealer.seal(&ToSeal { id: &id, to: None, sequence: None, content_type: None, payload }).unwrap().into_bytes()
}

/// Any bytes in an envelope for the site's own certificate.
pub(in crate::cli) fn enveloped(config: &Config, plain: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    use openssl::cms::{CMSOptions, CmsContentInfo};
    let credential = Credential::load(&config.credential.certificate, &config.credential.key).unwrap();
    let mut recipients = openssl::stack::Stack::new().unwrap();
    recipients.push(credential.certificate().to_owned()).unwrap();
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let der = CmsContentInfo::encrypt(&recipients, plain, cipher, CMSOptions::BINARY).unwrap().to_der().unwrap();
    let head = "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\n";
    format!("{head}{}\n", base64::engine::general_purpose::STANDARD.encode(der)).into_bytes()
}

fn place(config: &Config, channel: &str, queue: &str) -> Place {
    chosen(config, &[channel.to_owned()], Some(queue)).unwrap().remove(0)
}

/// Commits an element as a daemon does, and stops it.
fn commit(config: &Config, queue: &str, fields: Vec<(&'static str, Vec<u8>)>, disposition: Disposition) -> String {
    let spool = &config.receivers["central"].spool;
    let lock = Arc::new(SpoolLock::acquire(&spool.join(LOCK)).unwrap());
    let journal = Arc::new(Journal::open(&spool.join(JOURNAL)).unwrap());
    let queues = crate::receiver::queues(&config.receivers["central"]);
    let engine = CommitEngine::start(lock, journal, CommitSettings::new(spool, queues)).unwrap();
    let key = Key {
        channel: "central".to_owned(),
        id: MessageId::parse("m/1").unwrap(),
        signer: "a signer".to_owned(),
        digest: content_digest(b"x"),
    };
    let element = NewElement { queue: spool.join(queue), fields };
    let commit = Commit::new(key, disposition, vec![element], Facts::at(SystemTime::now()));
    let stored = engine.submit(commit).wait().unwrap();
    match stored.outcome() {
        spool::Outcome::New { elements, .. } => elements[0].clone(),
        spool::Outcome::Duplicate => panic!("a duplicate"),
    }
}

fn rejected(config: &Config) -> String {
    let fields = vec![
        ("body", b"a: \x1b[2J\n".to_vec()),
        ("signer", SIGNER.as_bytes().to_vec()),
        ("empaid", b"m/1".to_vec()),
        ("error", b"unlisted: the signer is not on the list".to_vec()),
        ("findings", b"[]".to_vec()),
        ("sealed", sealed(config, "m/1", b"a: 1\n")),
    ];
    commit(config, "reject", fields, Disposition::Rejected { code: Code::Unlisted })
}

fn authorise(config: &Config) {
    std::fs::write(&config.receivers["central"].authorised, format!("{SIGNER}\n")).unwrap();
}

fn retry(config: &Config, channel: &str, element: &str, from: Aside, again: bool) -> u8 {
    let elements = vec![element.to_owned()];
    retry::run(config, &QueueRetry { channel: channel.to_owned(), elements, from, again }).unwrap()
}

fn count(config: &Config, channel: &str, queue: &str) -> usize {
    list::summary(config, &place(config, channel, queue)).unwrap().count
}

#[test]
fn knows_the_queues_of_every_channel_and_their_names() {
    let site = Site::new();
    let config = &site.config;
    let all = chosen(config, &[], None).unwrap();
    let names: Vec<String> = all.iter().map(|place| format!("{} {}", place.channel, place.name)).collect();
    let receiver = ["central deferred", "central incoming", "central incoming-cloud", "central reject"];
    assert_eq!(names, [&["cpu outgoing", "cpu reject"][..], &receiver[..]].concat());
    assert_eq!(place(config, "central", "cloud").name, "incoming-cloud");
    assert_eq!(chosen(config, &[], Some("nothing")), Err(2));
    assert_eq!(aside(config, "cpu", Aside::Deferred), Err(2));
}

#[test]
fn what_is_added_waits_in_outgoing_under_its_id() {
    let site = Site::new();
    let (folder, config) = (&site.folder, &site.config);
    let (good, blank) = (folder.path().join("good"), folder.path().join("blank"));
    std::fs::write(&good, "a: 1\n").unwrap();
    std::fs::write(&blank, " \n").unwrap();
    let arguments = QueueAdd { channel: "cpu".to_owned(), files: vec![good.clone(), blank] };
    assert_eq!(add::run(config, &arguments).unwrap(), 1);
    assert_eq!(count(config, "cpu", "outgoing"), 1);
    let outgoing = Outgoing::open(&config.senders["cpu"].queue, Format::Dirq).unwrap();
    let added = add::add(&outgoing, &config.senders["cpu"], &good).unwrap();
    assert_eq!(added.id.as_str(), added.element.to_string());
}

#[test]
fn the_id_of_a_plain_file_is_the_one_it_is_sent_under() {
    let site = Site::new();
    let (folder, config) = (&site.folder, &site.config);
    let outgoing = Outgoing::open(&config.senders["cpu"].queue, Format::Directory).unwrap();
    let file = folder.path().join("record");
    std::fs::write(&file, "a: 1\n").unwrap();
    let first = add::add(&outgoing, &config.senders["cpu"], &file).unwrap();
    let second = add::add(&outgoing, &config.senders["cpu"], &file).unwrap();
    assert!(first.id.as_str().starts_with("record-") && first.id != second.id);
    for added in [first, second] {
        assert_eq!(outgoing.lock(&added.element).unwrap().unwrap().message_id(), added.id);
    }
}

#[test]
fn shows_an_element_without_power_over_the_terminal() {
    let site = Site::new();
    let config = &site.config;
    let element = rejected(config);
    let found = show::find(config, &places(config, &config.select(&[], Kind::Any).unwrap()), &element).unwrap();
    assert_eq!(found.len(), 1);
    let lines = show::lines(&found[0]);
    assert!(lines.contains(&"a: \\u001b[2J".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line == "error     unlisted: the signer is not on the list"), "{lines:?}");
    let arguments = QueueShow { channel: "central".to_owned(), element, queue: None, body: false, json: true };
    assert_eq!(show::run(config, &arguments).unwrap(), 0);
    let arguments = QueueShow { element: "00000000/00000000000000".to_owned(), ..arguments };
    assert_eq!(show::run(config, &arguments).unwrap(), 1);
    let arguments = QueueList { channels: Vec::new(), queue: None, long: true, json: true };
    assert_eq!(list::run(config, &arguments).unwrap(), 0);
}

#[test]
fn a_refused_message_of_a_sender_goes_back_into_outgoing() {
    let site = Site::new();
    let config = &site.config;
    let sender = &config.senders["cpu"];
    let queue = Queue::create(&sender.reject, Modes::default()).unwrap();
    let element = spool::ElementPath::parse("00000000/6b03126398f937").unwrap();
    std::fs::create_dir_all(queue.element(&element)).unwrap();
    std::fs::write(queue.element(&element).join("body"), "a: 1\n").unwrap();
    assert_eq!(retry(config, "cpu", "reject/00000000/6b03126398f937", Aside::Reject, false), 0);
    assert_eq!((count(config, "cpu", "outgoing"), count(config, "cpu", "reject")), (1, 0));
    assert_eq!(retry(config, "cpu", "reject/00000000/6b03126398f937", Aside::Reject, false), 1);
}

#[test]
fn a_rejected_message_stays_while_it_would_be_rejected_again_and_is_stored_once_after() {
    let site = Site::new();
    let config = &site.config;
    let element = rejected(config);
    assert_eq!(retry(config, "central", &element, Aside::Reject, false), 1);
    assert_eq!((count(config, "central", "reject"), count(config, "central", "incoming")), (1, 0));
    authorise(config);
    assert_eq!(retry(config, "central", &element, Aside::Reject, false), 0);
    assert_eq!((count(config, "central", "reject"), count(config, "central", "incoming")), (0, 1));
    let element = rejected(config);
    assert_eq!(retry(config, "central", &element, Aside::Reject, false), 1);
    assert_eq!(count(config, "central", "reject"), 1);
    assert_eq!(retry(config, "central", &element, Aside::Reject, true), 0);
    assert_eq!((count(config, "central", "reject"), count(config, "central", "incoming")), (0, 2));
    let arguments = trace::Trace { id: vec!["m/1".to_owned()], channel: None, json: true };
    assert_eq!(trace::run(config, &arguments).unwrap(), 0);
    let journal = Journal::open_to_read(&config.receivers["central"].spool.join(JOURNAL)).unwrap();
    let element = journal.trace(&message::MessageId::from_peer("m/1")).unwrap().pop().unwrap().elements.remove(0);
    let path = config.receivers["central"].spool.join(&element).display().to_string();
    for id in [element.clone(), element.split_once('/').unwrap().1.to_owned(), path] {
        assert_eq!(trace::run(config, &trace::Trace { id: vec![id], channel: None, json: false }).unwrap(), 0);
    }
    let arguments = trace::Trace { id: vec!["m/2".to_owned()], ..arguments };
    assert!(trace::run(config, &arguments).unwrap_err().to_string().contains("no journal knows message m/2"));
}

#[test]
fn a_running_receiver_is_handed_the_element() {
    let site = Site::new();
    let config = &site.config;
    let element = rejected(config);
    authorise(config);
    let spool = &config.receivers["central"].spool;
    let running = SpoolLock::acquire(&spool.join(LOCK)).unwrap();
    assert_eq!(retry(config, "central", &element, Aside::Reject, false), 0);
    drop(running);
    assert_eq!((count(config, "central", "reject"), count(config, "central", "deferred")), (0, 1));
    let journal = Journal::open(&spool.join(JOURNAL)).unwrap();
    let rows = journal.deferred("central").unwrap();
    assert_eq!((rows.len(), rows[0].id.as_str(), rows[0].attempt), (1, "m/1", 0));
    assert!(rows[0].next <= SystemTime::now() && spool.join(&rows[0].element).join("sealed").exists());
    // Without its row, as a crash leaves it, it stays until it is retried.
    journal.forget_deferred("central", &rows[0].element).unwrap();
    assert_eq!(retry(config, "central", &rows[0].element, Aside::Deferred, false), 0);
    assert_eq!(journal.deferred("central").unwrap()[0].element, rows[0].element);
}

#[test]
fn a_deferred_message_is_due_now_and_a_purged_one_is_forgotten() {
    let site = Site::new();
    let config = &site.config;
    let later = SystemTime::now() + Duration::from_secs(3600);
    let fields = vec![("body", b"a: 1\n".to_vec())];
    let element = commit(config, "deferred", fields, Disposition::Deferred { next: later, attempt: 3 });
    assert_eq!(retry(config, "central", &element, Aside::Deferred, false), 0);
    let journal = Journal::open(&config.receivers["central"].spool.join(JOURNAL)).unwrap();
    let rows = journal.deferred("central").unwrap();
    assert!(rows[0].next <= SystemTime::now() && rows[0].attempt == 3);
    let mut arguments = QueuePurge {
        channel: "central".to_owned(),
        elements: Vec::new(),
        from: Aside::Deferred,
        older_than: Some(Duration::from_secs(3600)),
    };
    assert_eq!((purge::run(config, &arguments).unwrap(), count(config, "central", "deferred")), (0, 1));
    arguments = QueuePurge { elements: vec![element], older_than: None, ..arguments };
    assert_eq!((purge::run(config, &arguments).unwrap(), count(config, "central", "deferred")), (0, 0));
    assert!(journal.deferred("central").unwrap().is_empty());
    assert_eq!(purge::run(config, &arguments).unwrap(), 1);
}

#[test]
fn a_running_receiver_stores_what_it_is_handed() {
    let site = Site::new();
    let config = &site.config;
    let first = rejected(config);
    authorise(config);
    let shared = crate::service::Shared::start(config).unwrap();
    let selection = config.select(&["central".to_owned()], Kind::Receive).unwrap();
    let daemon = crate::service::Daemon::build(config, &selection, &shared).unwrap();
    let runtime = super::super::context::runtime().unwrap();
    let (switch, shutdown) = crate::shutdown::switch();
    let running = runtime.spawn(async move { daemon.run(crate::sender::Stay::Watch, &shutdown).await });
    assert_eq!(retry(config, "central", &first, Aside::Reject, false), 0);
    eventually(|| count(config, "central", "incoming") == 1);
    // What it was handed as goes a moment after what it became is there.
    eventually(|| (count(config, "central", "reject"), count(config, "central", "deferred")) == (0, 0));
    // Laid aside once more, it is a duplicate, until it is asked for again.
    let place = place(config, "central", "reject");
    let queue = open(&place, &storage(config, "central")).unwrap().unwrap();
    let element = ElementPath::parse("00000000/6b03126398f937").unwrap();
    std::fs::create_dir_all(queue.element(&element)).unwrap();
    for (name, bytes) in [("body", b"x".to_vec()), ("sealed", sealed(config, "m/1", b"a: 1\n"))] {
        std::fs::write(queue.element(&element).join(name), bytes).unwrap();
    }
    assert_eq!(retry(config, "central", &element.to_string(), Aside::Reject, false), 1);
    assert_eq!(retry(config, "central", &element.to_string(), Aside::Reject, true), 0);
    eventually(|| count(config, "central", "incoming") == 2);
    switch.press();
    runtime.block_on(running).unwrap();
}

fn eventually(done: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < end, "it did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}
