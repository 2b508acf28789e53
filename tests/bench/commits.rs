//! The commit engine: elements of 30 kB with `body`, `signer` and `empaid` and their journal rows, durable, a second.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Instant, SystemTime};

use ::message::{MessageId, content_digest};
use ::spool::journal::{Disposition, Facts, Journal, Key};
use ::spool::{Commit, CommitEngine, CommitSettings, NewElement, Outcome, SpoolLock};

use crate::clock::own_cpu;
use crate::crypto::text;
use crate::image::{FileSystem, Image};
use crate::report::{Goal, Report, median};

const SIGNER: &str = "/C=UK/O=Sesame/OU=Hosts/CN=sender.example.org";
const SIZE: usize = 30_000;
const ROUNDS: usize = 5;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    report.note("30 kB, three field files and a journal row each, ext4 with journal in a loop-mounted image");
    let image = Image::mounted(FileSystem::Ext4, 4096);
    for (batch, count, goal) in [(1, 300, None), (64, 4_000, Some(Goal::AtLeast(1_500.0)))] {
        let mut rates = Vec::new();
        let mut cpu = Vec::new();
        for round in 0..ROUNDS {
            let root = image.path().join(format!("spool-{batch}-{round}"));
            let (rate, spent) = commit_all(&root, batch, count);
            rates.push(rate);
            cpu.push(spent);
            std::fs::remove_dir_all(&root).unwrap();
        }
        let name = format!("commit engine, batch {batch}");
        match goal {
            Some(goal) => report.goal(&name, median(rates), "elements/s", goal),
            None => report.figure(&name, median(rates), "elements/s"),
        }
        report.figure(&format!("{name}, CPU of an element"), median(cpu) * 1e6, "us");
    }
}

/// Commits `count` elements with never more than `batch` under way; elements and CPU seconds of one.
fn commit_all(root: &Path, batch: usize, count: usize) -> (f64, f64) {
    std::fs::create_dir_all(root).unwrap();
    let queue = root.join("incoming");
    let lock = Arc::new(SpoolLock::acquire(&root.join("lock")).unwrap());
    let journal = Arc::new(Journal::open(&root.join("journal.sqlite")).unwrap());
    let settings = CommitSettings { batch_messages: batch, ..CommitSettings::new(root, vec![queue.clone()]) };
    let engine = CommitEngine::start(lock, journal, settings).unwrap();
    let body = text(SIZE);
    let (sender, stored) = mpsc::channel();
    let (start, cpu) = (Instant::now(), own_cpu());
    let mut under_way = 0;
    for number in 0..count {
        // Two batches: one is written while the next is gathered; at batch 1 one at a time.
        if under_way == if batch == 1 { 1 } else { 2 * batch } {
            stored.recv().unwrap();
            under_way -= 1;
        }
        let sender = sender.clone();
        let done = Box::new(move |outcome: Result<::spool::Stored, _>| {
            assert!(matches!(outcome.unwrap().outcome(), Outcome::New { .. }), "a duplicate");
            sender.send(()).unwrap();
        });
        engine.submit_with(commit(&queue, &body, number), done);
        under_way += 1;
    }
    (0..under_way).for_each(|_| stored.recv().unwrap());
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), own_cpu() - cpu);
    assert_eq!(crate::queues::count(&queue), count, "elements are missing");
    (count as f64 / seconds, cpu / count as f64)
}

fn commit(queue: &Path, body: &[u8], number: usize) -> Commit {
    let id = MessageId::parse(&format!("{:08x}/{number:014x}", number / 1000)).unwrap();
    let fields = vec![
        ("body", body.to_vec()),
        ("signer", SIGNER.as_bytes().to_vec()),
        ("empaid", id.as_str().as_bytes().to_vec()),
    ];
    let digest = content_digest(&number.to_be_bytes());
    let key = Key { channel: "central".to_owned(), id, signer: SIGNER.to_owned(), digest };
    let elements = vec![NewElement { queue: queue.to_owned(), fields }];
    Commit::new(key, Disposition::Stored, elements, Facts::at(SystemTime::now()))
}
