//! Tests of the commit engine: decisions, batches, every state a crash can leave, every step failed or killed.

mod index;
mod late;
mod states;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::SystemTime;

use super::*;
use crate::ElementPath;
use crate::failpoint::{Scenario, scenario};
use message::{MessageId, content_digest};

/// A spool in a temporary directory.
struct Spool {
    folder: tempfile::TempDir,
}

impl Spool {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn journal(&self) -> Arc<Journal> {
        Arc::new(Journal::open(&self.root().join("journal")).unwrap())
    }

    fn start(&self) -> Result<CommitEngine, CommitError> {
        start(self.root())
    }

    fn bodies(&self, queue: &str) -> Vec<String> {
        bodies(self.root(), queue)
    }

    fn drafts(&self) -> usize {
        drafts(self.root())
    }
}

fn start(root: &Path) -> Result<CommitEngine, CommitError> {
    let lock = Arc::new(SpoolLock::acquire(&root.join("lock")).unwrap());
    let journal = Arc::new(Journal::open(&root.join("journal")).map_err(|e| CommitError::Journal(Arc::new(e)))?);
    let queues = ["incoming", "deferred", "reject"].map(|name| root.join(name)).to_vec();
    CommitEngine::start(lock, journal, CommitSettings::new(root, queues))
}

/// The bodies in a queue, sorted; panics at an incomplete element.
fn bodies(root: &Path, queue: &str) -> Vec<String> {
    let queue = Queue::open(&root.join(queue), Modes::default()).unwrap();
    let mut bodies: Vec<String> = queue
        .elements()
        .unwrap()
        .map(|element| {
            let fields = queue.read(&element.unwrap(), 1 << 20).unwrap().fields;
            assert_eq!(fields.keys().collect::<Vec<_>>(), ["body", "empaid", "signer"]);
            String::from_utf8(fields["body"].clone()).unwrap()
        })
        .collect();
    bodies.sort();
    bodies
}

fn drafts(root: &Path) -> usize {
    ["incoming", "deferred", "reject"]
        .iter()
        .map(|queue| std::fs::read_dir(root.join(queue).join("temporary")).map_or(0, Iterator::count))
        .sum()
}

fn key(id: &str, content: &str) -> Key {
    Key {
        channel: "central".to_owned(),
        id: MessageId::parse(id).unwrap(),
        signer: "/C=UK/O=X/CN=host".to_owned(),
        digest: content_digest(content.as_bytes()),
    }
}

fn element(root: &Path, queue: &str, body: &str) -> NewElement {
    let fields = vec![
        ("body", body.as_bytes().to_vec()),
        ("signer", b"/C=UK/O=X/CN=host".to_vec()),
        ("empaid", b"some id".to_vec()),
    ];
    NewElement { queue: root.join(queue), fields }
}

fn commit(root: &Path, queue: &str, id: &str, body: &str, disposition: Disposition) -> Commit {
    let elements = vec![element(root, queue, body)];
    Commit::new(key(id, body), disposition, elements, Facts::at(SystemTime::now()))
}

fn store(root: &Path, id: &str, body: &str) -> Commit {
    commit(root, "incoming", id, body, Disposition::Stored)
}

fn elements_of(stored: &Stored) -> Vec<String> {
    match stored.outcome() {
        Outcome::New { elements, .. } => elements.clone(),
        Outcome::Duplicate => panic!("a duplicate"),
    }
}

fn rejected(root: &Path, body: &str, redelivered: bool) -> Commit {
    let disposition = Disposition::Rejected { code: message::Code::Unlisted };
    Commit { redelivered, raw_digest: Some(content_digest(b"raw")), ..commit(root, "reject", "a", body, disposition) }
}

#[test]
fn a_message_is_stored_with_all_its_fields_and_its_path_returned() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let stored = engine.submit(store(spool.root(), "a", "one")).wait().unwrap();
    let [name] = &elements_of(&stored)[..] else { panic!() };
    assert!(name.starts_with("incoming/00000000/"), "{name}");
    assert!(spool.root().join(name).join("body").is_file());
    assert_eq!(spool.bodies("incoming"), ["one"]);
    assert_eq!(spool.drafts(), 0);
}

#[test]
fn no_name_of_a_file_comes_from_an_id() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let long = "n".repeat(255);
    for id in ["../../escaped", "..", "/escaped", "incoming/../../escaped", &long, "ping"] {
        let stored = engine.submit(store(spool.root(), id, id)).wait().unwrap();
        let [name] = &elements_of(&stored)[..] else { panic!("{id}") };
        let (queue, element) = name.split_once('/').unwrap();
        assert_eq!(queue, "incoming");
        assert!(element.len() == 8 + 1 + 14 && element.bytes().all(|b| b == b'/' || b.is_ascii_hexdigit()), "{name}");
    }
    assert_eq!(spool.bodies("incoming").len(), 6);
    let mut beside: Vec<_> = std::fs::read_dir(spool.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    beside.retain(|name| !name.to_string_lossy().starts_with("journal"));
    beside.sort();
    assert_eq!(beside, ["deferred", "incoming", "lock", "reject"]);
    assert!(!spool.root().with_file_name("escaped").exists());
}

#[test]
fn a_replay_of_a_day_and_of_a_month_ago_is_a_duplicate() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let days = |count: u64| SystemTime::now() - std::time::Duration::from_secs(count * 86_400);
    for (id, age) in [("second", 0), ("day", 1), ("month", 29)] {
        let first = Commit { facts: Facts::at(days(age)), ..store(spool.root(), id, "x") };
        assert!(matches!(engine.submit(first).wait().unwrap().outcome(), Outcome::New { .. }), "{id}");
        let replay = store(spool.root(), id, "x");
        assert_eq!(engine.submit(replay).wait().unwrap().outcome(), &Outcome::Duplicate, "{id}");
    }
    assert_eq!(spool.bodies("incoming").len(), 3);
}

#[test]
fn two_concurrent_copies_are_stored_once() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let tickets: Vec<Ticket> =
        (0..200).map(|n| engine.submit(store(spool.root(), &format!("{}", n % 50), "x"))).collect();
    let outcomes: Vec<Stored> = tickets.into_iter().map(|ticket| ticket.wait().unwrap()).collect();
    let new = outcomes.iter().filter(|stored| matches!(stored.outcome(), Outcome::New { .. })).count();
    assert_eq!((new, spool.bodies("incoming").len(), spool.drafts()), (50, 50, 0));
}

#[test]
fn other_content_under_the_same_id_is_stored_and_flagged() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let conflict = |stored: Stored| matches!(stored.outcome(), Outcome::New { conflict: true, .. });
    assert!(!conflict(engine.submit(store(spool.root(), "a", "one")).wait().unwrap()));
    assert!(conflict(engine.submit(store(spool.root(), "a", "two")).wait().unwrap()));
    assert_eq!(spool.bodies("incoming"), ["one", "two"]);
}

#[test]
fn a_message_without_an_id_is_a_duplicate_only_when_redelivered() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    for (redelivered, expected) in [(false, 1), (false, 2), (true, 2)] {
        let commit = Commit { redelivered, ..store(spool.root(), "noid", "same") };
        let _ = engine.submit(commit).wait().unwrap();
        assert_eq!(spool.bodies("incoming").len(), expected);
    }
}

#[test]
fn an_operator_can_store_a_message_again() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let _ = engine.submit(store(spool.root(), "a", "one")).wait().unwrap();
    let again = Commit { again: true, ..store(spool.root(), "a", "one") };
    assert!(matches!(engine.submit(again).wait().unwrap().outcome(), Outcome::New { .. }));
    assert_eq!(spool.bodies("incoming").len(), 2);
}

#[test]
fn a_fan_out_is_stored_completely() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let mut commit = store(spool.root(), "a", "one");
    commit.elements.push(element(spool.root(), "deferred", "two"));
    assert_eq!(elements_of(&engine.submit(commit).wait().unwrap()).len(), 2);
    assert_eq!((spool.bodies("incoming"), spool.bodies("deferred")), (vec!["one".into()], vec!["two".into()]));
}

#[test]
fn a_rejected_message_is_not_seen_but_its_redelivery_is_not_stored_twice() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let _ = engine.submit(rejected(spool.root(), "x", false)).wait().unwrap();
    assert_eq!(engine.submit(rejected(spool.root(), "x", true)).wait().unwrap().outcome(), &Outcome::Duplicate);
    assert_eq!(spool.bodies("reject").len(), 1);
    let _ = engine.submit(rejected(spool.root(), "x", false)).wait().unwrap();
    assert_eq!(spool.bodies("reject").len(), 2);
    // Authorised now: new.
    let stored = engine.submit(store(spool.root(), "a", "x")).wait().unwrap();
    assert!(matches!(stored.outcome(), Outcome::New { .. }));
}

#[test]
fn a_dropped_message_is_seen_and_leaves_no_element() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let dropped = Commit::new(key("a", "x"), Disposition::Dropped, Vec::new(), Facts::at(SystemTime::now()));
    assert_eq!(elements_of(&engine.submit(dropped).wait().unwrap()), Vec::<String>::new());
    assert_eq!(engine.submit(store(spool.root(), "a", "x")).wait().unwrap().outcome(), &Outcome::Duplicate);
    assert!(spool.bodies("incoming").is_empty());
}

fn deferred() -> Disposition {
    Disposition::Deferred { next: SystemTime::now(), attempt: 1 }
}

#[test]
fn a_deferred_message_becomes_stored_and_leaves_the_deferred_queue() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let waiting = engine.submit(commit(spool.root(), "deferred", "a", "x", deferred())).wait().unwrap();
    let journal = &engine.shared.journal;
    let [row] = &journal.deferred("central").unwrap()[..] else { panic!() };
    assert_eq!(vec![row.element.clone()], elements_of(&waiting));
    assert!(journal.has_deferred("central", "/C=UK/O=X/CN=host").unwrap());
    // Redelivered meanwhile: a duplicate.
    assert_eq!(engine.submit(store(spool.root(), "a", "x")).wait().unwrap().outcome(), &Outcome::Duplicate);
    let stored = Commit { resolves: Some(row.element.clone()), ..store(spool.root(), "a", "x") };
    assert!(matches!(engine.submit(stored).wait().unwrap().outcome(), Outcome::New { .. }));
    assert_eq!((spool.bodies("incoming").len(), spool.bodies("deferred").len()), (1, 0));
    assert!(journal.deferred("central").unwrap().is_empty());
    assert_eq!(engine.submit(store(spool.root(), "a", "x")).wait().unwrap().outcome(), &Outcome::Duplicate);
}

#[test]
fn a_deferred_message_that_is_finally_rejected_is_not_seen() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let waiting = engine.submit(commit(spool.root(), "deferred", "a", "x", deferred())).wait().unwrap();
    let refused = Commit { resolves: elements_of(&waiting).pop(), ..rejected(spool.root(), "x", false) };
    let _ = engine.submit(refused).wait().unwrap();
    assert_eq!((spool.bodies("reject").len(), spool.bodies("deferred").len()), (1, 0));
    let stored = engine.submit(store(spool.root(), "a", "x")).wait().unwrap();
    assert!(matches!(stored.outcome(), Outcome::New { .. }));
}

/// An operator takes a message out of reject to have it decided again; if the decision is the same, it goes back.
#[test]
fn a_message_that_was_rejected_before_is_kept_when_it_is_rejected_again() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let _ = engine.submit(rejected(spool.root(), "x", false)).wait().unwrap();
    assert_eq!(engine.submit(rejected(spool.root(), "x", true)).wait().unwrap().outcome(), &Outcome::Duplicate);
    let waiting = engine.submit(commit(spool.root(), "deferred", "a", "x", deferred())).wait().unwrap();
    let refused = Commit { resolves: elements_of(&waiting).pop(), ..rejected(spool.root(), "x", true) };
    let refused = engine.submit(refused).wait().unwrap();
    assert!(matches!(refused.outcome(), Outcome::New { .. }));
    assert_eq!((spool.bodies("reject").len(), spool.bodies("deferred").len()), (2, 0));
}

#[test]
fn invalid_submissions_fail_at_once() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let mut bad = store(spool.root(), "a", "x");
    bad.elements[0].fields.push(("../body", Vec::new()));
    assert!(matches!(engine.submit(bad).wait().unwrap_err(), CommitError::Invalid { .. }));
    let mut bad = store(spool.root(), "a", "x");
    bad.elements[0].queue = spool.root().join("elsewhere");
    assert!(matches!(engine.submit(bad).wait().unwrap_err(), CommitError::UnknownQueue { .. }));
}

#[test]
fn a_removed_queue_is_reported_and_not_created_again() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    std::fs::rename(spool.root().join("incoming"), spool.root().join("away")).unwrap();
    let error = engine.submit(store(spool.root(), "a", "x")).wait().unwrap_err();
    assert!(matches!(error, CommitError::SpoolMissing { .. }), "{error}");
    assert!(!spool.root().join("incoming").exists());
    std::fs::rename(spool.root().join("away"), spool.root().join("incoming")).unwrap();
    let _ = engine.submit(store(spool.root(), "a", "x")).wait().unwrap();
}

#[test]
fn a_name_taken_by_another_program_is_not_overwritten() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let queue = engine.queue(&spool.root().join("incoming")).unwrap();
    let draft = queue.draft(&element(spool.root(), "incoming", "ours").fields, false).unwrap();
    std::fs::create_dir_all(queue.element(&draft.target)).unwrap();
    let place = queue.publish(&draft.temporary, &draft.target, &mut BTreeSet::new()).unwrap().unwrap();
    assert_ne!(place, draft.target);
    assert!(queue.element(&place).join("body").is_file());
}

const STEPS: [&str; 3] = ["fan-out", "deferred", "resolved"];

/// The script of the step tests: a fan-out, a deferred message and its resolution. Calls `report` for each that is
/// answered as stored and would be acknowledged.
fn script(root: &Path, mut report: impl FnMut(&'static str)) {
    let Ok(engine) = start(root) else { return };
    let mut fan_out = store(root, "a", "one");
    fan_out.elements.push(element(root, "incoming", "two"));
    if engine.submit(fan_out).wait().is_ok() {
        report(STEPS[0]);
    }
    let Ok(waiting) = engine.submit(commit(root, "deferred", "b", "three", deferred())).wait() else { return };
    report(STEPS[1]);
    let Outcome::New { elements, .. } = waiting.outcome() else { return };
    let stored = Commit { resolves: elements.first().cloned(), ..store(root, "b", "three") };
    if engine.submit(stored).wait().is_ok() {
        report(STEPS[2]);
    }
}

/// Checks the state after a fault at any step, followed by recovery and redelivery.
fn check_after_fault(root: &Path, reported: &[&str], context: &str) {
    drop(start(root).unwrap_or_else(|error| panic!("{context}: {error}")));
    let incoming = bodies(root, "incoming");
    if reported.contains(&"fan-out") {
        assert!(incoming.contains(&"one".to_owned()) && incoming.contains(&"two".to_owned()), "{context}");
    }
    if reported.contains(&"resolved") {
        assert!(incoming.contains(&"three".to_owned()), "{context}");
    }
    // A message is in exactly one queue once it is reported, and never in both.
    let places = incoming.iter().filter(|body| *body == "three").count() + bodies(root, "deferred").len();
    assert!(places <= 1 && (places == 1 || !reported.contains(&"deferred")), "{context}: {places}");
    assert_eq!(drafts(root), 0, "{context}");
    // Redelivered, as the broker does with unacknowledged messages.
    let engine = start(root).unwrap();
    let mut fan_out = store(root, "a", "one");
    fan_out.elements.push(element(root, "incoming", "two"));
    let _ = engine.submit(fan_out).wait().unwrap();
    let resolves = engine.shared.journal.deferred("central").unwrap().pop().map(|row| row.element);
    let _ = engine.submit(Commit { resolves, ..store(root, "b", "three") }).wait().unwrap();
    drop(engine);
    assert_eq!(bodies(root, "incoming"), ["one", "three", "two"], "{context}");
    assert!(bodies(root, "deferred").is_empty(), "{context}");
}

fn count_steps(turn: &Scenario) -> u64 {
    let spool = Spool::new();
    turn.set("");
    let mut reported = Vec::new();
    script(spool.root(), |step| reported.push(step));
    assert_eq!(reported, STEPS);
    turn.hits("step")
}

#[test]
fn a_failure_at_any_step_neither_loses_nor_duplicates_messages() {
    let turn = scenario("");
    let steps = count_steps(&turn);
    assert!(steps > 50, "{steps}");
    for step in 1..=steps {
        let spool = Spool::new();
        turn.set(&format!("step@{step}=err"));
        let mut reported = Vec::new();
        script(spool.root(), |step| reported.push(step));
        turn.set("");
        check_after_fault(spool.root(), &reported, &format!("step {step} of {steps} failed"));
    }
}

/// The child of the crash tests; does nothing on its own.
#[test]
fn child_of_the_crash_tests() {
    let Some(root) = std::env::var_os("SESAME_TEST_SPOOL") else { return };
    script(Path::new(&root), |reported| println!("reported {reported}"));
}

/// Runs the script in a child that crashes at a point; returns its reports, or `None` if it did not crash.
fn run_killed(root: &Path, points: &str) -> Option<Vec<&'static str>> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            concat!(module_path!(), "::child_of_the_crash_tests").split_once("::").unwrap().1,
        ])
        .env("SESAME_TEST_SPOOL", root)
        .env("SESAME_FAILPOINTS", points)
        .output()
        .unwrap();
    if output.status.success() {
        return None;
    }
    assert!(output.status.signal().is_some(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(STEPS.into_iter().filter(|step| text.contains(&format!("reported {step}"))).collect())
}

#[test]
fn a_crash_at_any_named_point_neither_loses_nor_duplicates_messages() {
    let _turn = scenario("");
    for point in ["R05", "R06", "R07", "R08", "R09", "R10", "R11", "R12", "R13"] {
        for hit in 1..=3 {
            let spool = Spool::new();
            let reported = run_killed(spool.root(), &format!("{point}@{hit}=abort"));
            let reported = reported.unwrap_or_else(|| panic!("{point}@{hit} was not reached"));
            check_after_fault(spool.root(), &reported, &format!("killed at {point}, time {hit}"));
        }
    }
}

#[test]
fn a_crash_during_recovery_is_recovered_from() {
    let _turn = scenario("");
    for points in ["R18@1=abort", "R11@1=abort", "R12@1=abort", "R13@1=abort"] {
        let spool = Spool::new();
        let reported = run_killed(spool.root(), "R10@2=abort").unwrap();
        assert_eq!(reported, ["fan-out"]);
        for _ in 0..5 {
            assert!(run_killed(spool.root(), points).is_some(), "{points}");
        }
        check_after_fault(spool.root(), &reported, points);
    }
}

#[test]
fn a_crash_at_any_step_neither_loses_nor_duplicates_messages() {
    let turn = scenario("");
    let steps = count_steps(&turn);
    let next = std::sync::atomic::AtomicU64::new(1);
    let work = || {
        loop {
            let step = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if step > steps {
                break;
            }
            let spool = Spool::new();
            if let Some(reported) = run_killed(spool.root(), &format!("step@{step}=abort")) {
                check_after_fault(spool.root(), &reported, &format!("killed at step {step} of {steps}"));
            }
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
}

#[test]
fn the_engine_continues_after_a_failed_batch() {
    let turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    for (n, point) in ["R06", "R08", "R09", "R10", "R12"].iter().enumerate() {
        let id = format!("m{n}");
        turn.set(&format!("{point}@1=err"));
        let error = engine.submit(store(spool.root(), &id, &id)).wait();
        assert!(error.is_err(), "{point}");
        let _ = engine.submit(store(spool.root(), &id, &id)).wait().unwrap();
        assert_eq!(spool.bodies("incoming").len(), n + 1, "{point}");
    }
    turn.set("");
    drop(engine);
    drop(spool.start().unwrap());
    assert_eq!((spool.bodies("incoming").len(), spool.drafts()), (5, 0));
}

/// After a failure the kernel marks the lost pages as clean, and a second sync would report success.
#[test]
fn a_sync_that_failed_is_not_tried_again() {
    let turn = scenario("sync@1=err");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let error = engine.submit(store(spool.root(), "a", "one")).wait().unwrap_err();
    assert!(matches!(error, CommitError::Sync { .. }), "{error}");
    assert_eq!((turn.hits("sync"), spool.drafts(), spool.bodies("incoming").len()), (1, 0, 0));
    let _ = engine.submit(store(spool.root(), "a", "one")).wait().unwrap();
    assert_eq!((turn.hits("sync"), spool.bodies("incoming").len()), (2, 1));
}

#[test]
fn drafts_of_a_failed_transaction_are_kept_until_a_later_one_settles_it() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let other = rusqlite::Connection::open(spool.root().join("journal")).unwrap();
    other.execute_batch("ALTER TABLE pending RENAME TO away").unwrap();
    let error = engine.submit(store(spool.root(), "a", "one")).wait().unwrap_err();
    assert!(matches!(error, CommitError::Journal(_)) && !error.is_damage(), "{error}");
    assert_eq!((spool.drafts(), spool.bodies("incoming").len()), (1, 0));
    other.execute_batch("ALTER TABLE away RENAME TO pending").unwrap();
    let _ = engine.submit(store(spool.root(), "a", "one")).wait().unwrap();
    assert_eq!((spool.drafts(), spool.bodies("incoming").len()), (0, 1));
}

#[test]
fn a_concurrent_purge_does_no_harm() {
    let _turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    let queue = spool.root().join("incoming");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // As a dirq purge: remove empty directories, including the last one.
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = std::fs::remove_dir(queue.join("00000000"));
            }
        });
        for n in 0..100 {
            let name = elements_of(&engine.submit(store(spool.root(), &format!("p{n}"), "x")).wait().unwrap()).pop();
            std::fs::remove_dir_all(spool.root().join(name.unwrap())).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn element_names_are_parsed() {
    assert!(ElementPath::parse("00000000/6b03126398f937").is_some());
    assert!(ElementPath::parse("00000000/6b03126398f937.new").is_none());
}

#[test]
fn a_probe_returns_the_error_of_a_commit_and_leaves_nothing() {
    let turn = scenario("");
    let spool = Spool::new();
    let engine = spool.start().unwrap();
    engine.probe(0).unwrap();
    assert!(matches!(engine.probe(1 << 60), Err(CommitError::StorageFull { .. })));
    for point in ["R05", "R06", "R07"] {
        turn.set(&format!("{point}=err"));
        assert!(engine.probe(0).is_err(), "{point}");
    }
    turn.set("");
    engine.probe(10_000).unwrap();
    assert_eq!((spool.drafts(), bodies(spool.root(), "incoming").len()), (0, 0));
    assert_eq!(elements_of(&engine.submit(store(spool.root(), "a", "one")).wait().unwrap()).len(), 1);
    let other = rusqlite::Connection::open(spool.root().join("journal")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(engine.probe(0), Err(CommitError::Journal(_))), "the journal is locked");
    other.execute_batch("ROLLBACK").unwrap();
    engine.probe(0).unwrap();
    std::fs::remove_dir_all(spool.root().join("deferred")).unwrap();
    assert!(matches!(engine.probe(0), Err(CommitError::SpoolMissing { .. })));
}
