//! What signed acknowledgements cost and what they repair, through RabbitMQ: CPU of a message at both sides with and without
//! them, side by side; messages that the broker lost after its receipt; and the journal with a million messages retained.

use std::path::Path;
use std::time::{Duration, SystemTime};

use ::message::{MessageId, Output, content_digest};
use ::spool::journal::{Dispatch, Journal, Prepared, PreparedKey, Sent};

use crate::clock::{own_cpu, own_resident};
use crate::end_to_end::{Between, Sites};
use crate::image::{FileSystem, Image};
use crate::installation::{Running, until};
use crate::peers::Kind;
use crate::peers::broker::{self, Broker};
use crate::peers::openssl::pki;
use crate::peers::python::{self, Link};
use crate::report::{Goal, Report, median};
use crate::{queues, setting};

const LIMIT: Duration = Duration::from_secs(300);
/// Messages that a broker loses.
const LOST: u32 = 100;
/// Messages that a sender records together.
const BATCH: usize = 64;
/// Messages over which the journal is measured, empty and full.
const SAMPLE: usize = 20_000;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let (count, rounds) = (setting("SESAME_FIGURES_MESSAGES", 2_000), setting("SESAME_FIGURES_REPEAT", 3));
    report.note(&format!(
        "{count} messages of 30 kB, RabbitMQ, TLS, signed and encrypted, `send --watch` and `receive`; median of {rounds} \
         rounds, off and required in turn"
    ));
    let image = Image::mounted(FileSystem::Ext4, 4096);
    let broker = broker::Broker::own(Kind::RabbitMq);
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for number in 0..rounds {
        off.push(cpu(&broker, &image.path(), &format!("off-{number}"), false, count));
        on.push(cpu(&broker, &image.path(), &format!("on-{number}"), true, count));
    }
    let (off, on) = (median(off), median(on));
    report.figure("CPU of a message, both sides, off", off * 1e6, "us");
    report.figure("CPU of a message, both sides, required", on * 1e6, "us");
    report.goal("more CPU by acknowledgements", (on / off - 1.0) * 100.0, "%", Goal::AtMost(3.0));
    let delivered = repaired(&broker, &image.path());
    report.goal("lost after the receipt, delivered by the repeat", delivered as f64, "of 100", Goal::Exactly(100.0));
    drop(broker);
    journal(report, &image.path().join("retained"));
}

/// Sites of one round. The sender waits for acknowledgements, if `asked`; `more` are further lines about that.
fn sites(broker: &Broker, root: &Path, name: &str, (asked, more): (bool, &str)) -> (Sites, String) {
    let destination = format!("/queue/sesame.figures.{name}");
    let from = format!("/queue/sesame.figures.{name}.acknowledgements");
    broker.declare(&destination);
    let sender = pki().host("sender.example.org").subject;
    let (mut send, mut receive) = (String::new(), String::new());
    if asked {
        broker.declare(&from);
        send = format!("[send.cpu.acknowledgements]\nmode = \"required\"\nfrom = \"{from}\"\n{more}");
        receive = format!("[receive.central.acknowledgements]\n\"{sender}\" = \"{from}\"\n");
    }
    let between = Between::rabbitmq(broker, &destination);
    (Sites::with(&between, &root.join(name), &send, &receive), destination)
}

/// CPU seconds of a message, of both processes together.
fn cpu(broker: &Broker, root: &Path, name: &str, asked: bool, count: u32) -> f64 {
    let (sites, _) = sites(broker, root, name, (asked, ""));
    let (mut receiver, mut sender) = (sites.receiver.start(&["receive"]), sites.sender.start(&["send", "--watch"]));
    let mut pass = |numbers: std::ops::Range<u32>| {
        sites.fill(&numbers);
        until("everything to be stored and acknowledged", LIMIT, || {
            receiver.must_run();
            sender.must_run();
            let settled = !asked || retained(&sites) == 0;
            let stored = numbers.end as usize;
            queues::count(&sites.incoming) >= stored && queues::outgoing(&sites.outgoing).is_empty() && settled
        });
        // The last acknowledgements leave after a second.
        std::thread::sleep(Duration::from_millis(1_500));
        spent(&sender) + spent(&receiver)
    };
    // Plugins are compiled by then.
    let before = pass(0..20);
    let after = pass(20..count + 20);
    sender.stop();
    receiver.stop();
    let account = sites.account(&(0..count + 20));
    assert_eq!((account.lost, account.twice), (0, 0), "messages lost or stored twice");
    std::fs::remove_dir_all(root.join(name)).unwrap();
    (after - before) / f64::from(count)
}

fn spent(process: &Running) -> f64 {
    let (own, kernel) = process.cpu();
    own + kernel
}

fn retained(sites: &Sites) -> usize {
    let state = sites.outgoing.with_extension("state");
    state.join("retained").read_dir().map_or(0, Iterator::count)
}

/// How many of a hundred messages arrive that another client took out of the broker.
fn repaired(broker: &Broker, root: &Path) -> usize {
    let (sites, destination) = sites(broker, root, "lost", (true, "repeat-after = \"10s\"\n"));
    let sender = sites.sender.start(&["send", "--watch"]);
    sites.fill(&(0..LOST));
    until("the receipts", LIMIT, || retained(&sites) == LOST as usize && queues::outgoing(&sites.outgoing).is_empty());
    let host = pki().host("sender.example.org");
    let link = Link { broker: broker.tls(), host: Some(&host) };
    assert_eq!(python::take(&link, &destination, LOST as usize).len(), LOST as usize);
    let receiver = sites.receiver.start(&["receive"]);
    until("the repeats", LIMIT, || retained(&sites) == 0);
    let account = sites.account(&(0..LOST));
    assert_eq!(account.twice, 0, "messages stored twice");
    sender.stop();
    receiver.stop();
    LOST as usize - account.lost
}

/// A sender's journal while a million messages wait for their acknowledgement.
fn journal(report: &mut Report, folder: &Path) {
    let total = setting("SESAME_FIGURES_RETAINED", 1_000_000) as usize;
    report.note(&format!("the journal alone: {total} messages retained, recorded in transactions of {BATCH}"));
    std::fs::create_dir_all(folder).unwrap();
    let journal = Journal::open(&folder.join("journal")).unwrap();
    let first = record(&journal, 0..SAMPLE);
    let memory = own_resident();
    record(&journal, SAMPLE..total - SAMPLE);
    let last = record(&journal, total - SAMPLE..total);
    let more = own_resident().saturating_sub(memory);
    report.figure("CPU of a message in the journal, the first 20,000", first * 1e6, "us");
    report.figure("CPU of a message in the journal, the last 20,000", last * 1e6, "us");
    report.goal("more memory with all of them retained", more as f64 / 1e6, "MB", Goal::AtMost(64.0));
    assert_eq!(journal.retained("cpu").unwrap().messages, total as u64);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Prepares and sends messages; CPU seconds of one.
fn record(journal: &Journal, numbers: std::ops::Range<usize>) -> f64 {
    let count = numbers.len() as f64;
    let cpu = own_cpu();
    for start in numbers.clone().step_by(BATCH) {
        let keys = (start..numbers.end.min(start + BATCH)).map(|number| {
            let id = MessageId::parse(&format!("{:08x}/{number:014x}", 0x6b03_1234)).unwrap();
            PreparedKey { id, digest: content_digest(&number.to_le_bytes()) }
        });
        let mut rows: Vec<Prepared> = keys.map(prepared).collect();
        journal.record_prepared("cpu", &mut rows).unwrap();
        let (at, retain) = (SystemTime::now(), Some(Duration::from_secs(21_600)));
        let sent: Vec<Sent> = rows
            .into_iter()
            .map(|row| Sent { key: row.key, broker: "mq:61614".to_owned(), at, detail: None, retain })
            .collect();
        journal.record_sent("cpu", &sent).unwrap();
    }
    (own_cpu() - cpu) / count
}

fn prepared(key: PreparedKey) -> Prepared {
    let destination = "/queue/global.accounting.cpu".to_owned();
    let dispatch = Dispatch { id: key.id.clone(), destination, digest: key.digest, sequence: None, open: true };
    let (element, outputs) = (key.id.to_string(), vec![Output::default()]);
    Prepared {
        key,
        element,
        outputs,
        pipeline: "p".to_owned(),
        attempts: 0,
        dispatches: vec![dispatch],
        counts: Vec::new(),
        repeated: false,
    }
}
