//! Receivers that share an index: what each decides, and what is left after crashes and outages.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use super::super::index::PATIENCE;
use super::*;
use crate::{Asked, Claim, IndexError, IndexKey, SharedIndex};
use message::acknowledgement::Verdict;

/// The rows of an index: the owner, and whether it is stored.
#[derive(Default)]
struct Rows {
    rows: HashMap<IndexKey, (String, bool)>,
    /// Calls of the receiver `a` that fail from now on; a call in `lost` is in effect and its answer is lost, once.
    away: Vec<&'static str>,
    lost: Vec<&'static str>,
    calls: Vec<&'static str>,
}

#[derive(Clone, Default)]
struct Table(Arc<Mutex<Rows>>);

/// The index as one receiver uses it.
struct Of(Table, &'static str);

impl Table {
    fn of(&self, name: &'static str) -> Option<Box<dyn SharedIndex>> {
        Some(Box::new(Of(self.clone(), name)))
    }

    fn rows(&self) -> Vec<(String, bool)> {
        let mut rows: Vec<_> = locked(&self.0).rows.values().cloned().collect();
        rows.sort();
        rows
    }

    fn fail(&self, calls: &[&'static str]) {
        locked(&self.0).away = calls.to_vec();
    }
}

impl Of {
    fn call<T>(&self, name: &'static str, act: impl FnOnce(&mut Rows) -> T) -> Result<T, IndexError> {
        let mut rows = locked(&self.0.0);
        rows.calls.push(name);
        if self.1 == "a" && rows.away.contains(&name) {
            return Err(IndexError("no server".to_owned()));
        }
        let answer = act(&mut rows);
        if let Some(at) = rows.lost.iter().position(|lost| *lost == name) {
            rows.lost.remove(at);
            return Err(IndexError("connection lost".to_owned()));
        }
        Ok(answer)
    }
}

impl SharedIndex for Of {
    fn claim(&mut self, asked: &[Asked]) -> Result<Vec<Claim>, IndexError> {
        let name = self.1;
        let one = |rows: &mut Rows, asked: &Asked| match rows.rows.get(&asked.key) {
            Some((owner, _)) if owner == name => Claim::Ours,
            Some((owner, true)) => Claim::Stored { by: owner.clone() },
            Some((owner, false)) => Claim::Claimed { by: owner.clone() },
            None if asked.claim => {
                rows.rows.insert(asked.key, (name.to_owned(), false));
                Claim::Ours
            }
            None => Claim::Free,
        };
        self.call("claim", |rows| asked.iter().map(|asked| one(rows, asked)).collect())
    }

    fn stored(&mut self, keys: &[IndexKey]) -> Result<(), IndexError> {
        let name = self.1;
        self.call("stored", |rows| {
            for key in keys {
                if let Some((owner, stored)) = rows.rows.get_mut(key) {
                    *stored |= owner == name;
                }
            }
        })
    }

    fn settle(&mut self, stored: &[IndexKey]) -> Result<u64, IndexError> {
        let name = self.1;
        self.call("settle", |rows| {
            for key in stored {
                rows.rows.entry(*key).or_insert((name.to_owned(), true)).1 = true;
            }
            let before = rows.rows.len();
            rows.rows.retain(|_, (owner, stored)| *stored || owner != name);
            (before - rows.rows.len()) as u64
        })
    }

    fn give_back(&mut self, keys: &[IndexKey]) -> Result<(), IndexError> {
        let name = self.1;
        self.call("give back", |rows| {
            rows.rows.retain(|key, (owner, stored)| !keys.contains(key) || *stored || owner != name);
        })
    }
}

fn begin(spool: &Spool, table: &Table, name: &'static str) -> CommitEngine {
    let lock = Arc::new(SpoolLock::acquire(&spool.root().join("lock")).unwrap());
    let queues = ["incoming", "deferred", "reject"].map(|queue| spool.root().join(queue)).to_vec();
    let settings = CommitSettings::new(spool.root(), queues);
    CommitEngine::start_sharing(lock, spool.journal(), settings, table.of(name)).unwrap()
}

fn outcome(engine: &CommitEngine, commit: Commit) -> Outcome {
    engine.submit(commit).wait().unwrap().outcome().clone()
}

fn is_new(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::New { .. })
}

fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_one_receiver_stored_is_a_duplicate_at_another() {
    let _turn = scenario("");
    let (a, b, table) = (Spool::new(), Spool::new(), Table::default());
    let (first, second) = (begin(&a, &table, "a"), begin(&b, &table, "b"));
    assert!(is_new(&outcome(&first, store(a.root(), "x", "one"))));
    assert_eq!(table.rows(), [("a".to_owned(), true)], "it is reported before the answer");
    assert_eq!(outcome(&second, store(b.root(), "x", "one")), Outcome::Duplicate);
    assert!(is_new(&outcome(&second, store(b.root(), "x", "other content"))), "another content is another message");
    assert_eq!(outcome(&first, store(a.root(), "x", "one")), Outcome::Duplicate, "its own journal knows it");
    assert_eq!(
        (a.bodies("incoming"), b.bodies("incoming")),
        (vec!["one".to_owned()], vec!["other content".to_owned()])
    );
    assert_eq!((a.drafts(), b.drafts()), (0, 0));
    let calls = locked(&table.0).calls.clone();
    assert_eq!(calls[..3], ["settle", "claim", "stored"], "two round trips for a batch, after the first");
}

#[test]
fn a_rejected_copy_is_recognised_across_receivers_and_never_beside_a_stored_one() {
    let _turn = scenario("");
    let (a, b, table) = (Spool::new(), Spool::new(), Table::default());
    let (first, second) = (begin(&a, &table, "a"), begin(&b, &table, "b"));
    assert!(is_new(&outcome(&first, rejected(a.root(), "x", false))));
    assert_eq!(outcome(&second, rejected(b.root(), "x", true)), Outcome::Duplicate, "a redelivery of it");
    assert!(is_new(&outcome(&second, rejected(b.root(), "x", false))), "sent once more");
    let (a, b, table) = (Spool::new(), Spool::new(), Table::default());
    drop((first, second));
    let (first, second) = (begin(&a, &table, "a"), begin(&b, &table, "b"));
    assert!(is_new(&outcome(&first, store(a.root(), "a", "x"))));
    assert_eq!(outcome(&second, rejected(b.root(), "x", true)), Outcome::Duplicate, "the first decision holds");
    assert!(b.bodies("incoming").is_empty());
}

#[test]
fn a_sender_is_told_what_the_other_receiver_decided() {
    let _turn = scenario("");
    let (a, b, table) = (Spool::new(), Spool::new(), Table::default());
    let (first, second) = (begin(&a, &table, "a"), begin(&b, &table, "b"));
    let to = Acknowledge { destination: "/queue/back".to_owned(), signer: "CN=host".to_owned(), code: None };
    let rejected = |root: &Path, id: &str, again| Commit { key: key(id, "x"), ..rejected(root, "x", again) };
    assert!(is_new(&outcome(&first, store(a.root(), "a", "x"))));
    assert!(is_new(&outcome(&first, rejected(a.root(), "b", false))));
    for id in ["a", "b"] {
        let again = Commit { acknowledge: Some(to.clone()), ..rejected(b.root(), id, true) };
        assert_eq!(outcome(&second, again), Outcome::Duplicate);
    }
    drop(second);
    let owed = b.journal().owed("central", "/queue/back", 10).unwrap();
    let verdicts: Vec<Verdict> = owed.into_iter().map(|one| one.acknowledgement.verdict).collect();
    assert_eq!(verdicts, [Verdict::Duplicate, Verdict::Rejected]);
}

#[test]
fn a_deferred_message_is_claimed_by_its_last_decision_alone() {
    let _turn = scenario("");
    let (a, b, table) = (Spool::new(), Spool::new(), Table::default());
    let (first, second) = (begin(&a, &table, "a"), begin(&b, &table, "b"));
    let waiting = |root: &Path| commit(root, "deferred", "x", "one", deferred());
    let elements = |engine: &CommitEngine, root: &Path| match outcome(engine, waiting(root)) {
        Outcome::New { elements, .. } => elements[0].clone(),
        Outcome::Duplicate => panic!("a duplicate"),
    };
    let (here, there) = (elements(&first, a.root()), elements(&second, b.root()));
    assert_eq!(table.rows(), []);
    let settled = Commit { resolves: Some(there), ..store(b.root(), "x", "one") };
    assert!(is_new(&outcome(&second, settled)));
    let settled = Commit { resolves: Some(here), ..store(a.root(), "x", "one") };
    assert_eq!(outcome(&first, settled), Outcome::Duplicate);
    assert!(a.bodies("incoming").is_empty() && a.bodies("deferred").is_empty(), "nothing waits any more");
    drop(first);
    assert_eq!(a.journal().deferred("central").unwrap().len(), 0);
}

fn deferred() -> Disposition {
    Disposition::Deferred { next: SystemTime::now(), attempt: 1 }
}

#[test]
fn a_claim_of_another_is_waited_for_and_then_given_up() {
    let _turn = scenario("");
    let (a, b, table) = (Spool::new(), Spool::new(), Table::default());
    let (first, second) = (begin(&a, &table, "a"), begin(&b, &table, "b"));
    table.fail(&["stored"]);
    let ticket = first.submit(store(a.root(), "x", "one"));
    wait_for("it is claimed", || table.rows() == [("a".to_owned(), false)]);
    let held = second.submit(store(b.root(), "x", "one"));
    assert!(is_new(&outcome(&second, store(b.root(), "y", "another"))), "others are not held up");
    let since = Instant::now();
    let error = held.wait().unwrap_err();
    assert!(matches!(&error, CommitError::Claimed { by } if by == "a"), "{error}");
    assert!(since.elapsed() > PATIENCE / 2, "{:?}", since.elapsed());
    let held = second.submit(store(b.root(), "x", "one"));
    table.fail(&[]);
    assert!(ticket.wait().is_ok());
    assert_eq!(held.wait().unwrap().outcome(), &Outcome::Duplicate);
    assert_eq!((a.bodies("incoming").len(), b.bodies("incoming")), (1, vec!["another".to_owned()]));
    assert_eq!(b.drafts(), 0);
    // What waits on this machine does not wait there for another.
    let since = Instant::now();
    locked(&table.0).rows.values_mut().filter(|row| row.0 == "a").for_each(|row| row.1 = false);
    let late = Commit { resolves: Some("deferred/00000000/6b03126398f937".to_owned()), ..store(b.root(), "x", "one") };
    assert!(matches!(second.submit(late).wait(), Err(CommitError::Claimed { .. })));
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
}

#[test]
fn while_the_index_is_away_messages_wait_and_the_end_of_the_engine_refuses_them() {
    let _turn = scenario("");
    let (spool, table) = (Spool::new(), Table::default());
    table.fail(&["settle", "claim", "stored"]);
    let engine = begin(&spool, &table, "a");
    let (done, answers) = mpsc::channel();
    engine.submit_with(store(spool.root(), "x", "one"), Box::new(move |outcome| drop(done.send(outcome))));
    wait_for("the fault is shown", || engine.index_fault() == Some("no server".to_owned()));
    assert_eq!(answers.recv_timeout(Duration::from_millis(300)).unwrap_err(), RecvTimeoutError::Timeout);
    assert!(spool.bodies("incoming").is_empty());
    table.fail(&[]);
    assert!(answers.recv_timeout(Duration::from_secs(20)).unwrap().is_ok());
    assert_eq!((engine.index_fault(), spool.bodies("incoming").len()), (None, 1));
    table.fail(&["claim"]);
    let ticket = engine.submit(store(spool.root(), "y", "two"));
    wait_for("the fault is shown", || engine.index_fault().is_some());
    drop(engine);
    assert!(matches!(ticket.wait(), Err(CommitError::Index(_))));
    assert_eq!((spool.bodies("incoming").len(), spool.drafts()), (1, 0));
}

#[test]
fn an_answer_that_is_lost_changes_nothing() {
    let _turn = scenario("");
    for lost in ["settle", "claim", "stored"] {
        let (spool, table) = (Spool::new(), Table::default());
        locked(&table.0).lost = vec![lost];
        let engine = begin(&spool, &table, "a");
        assert!(is_new(&outcome(&engine, store(spool.root(), "x", "one"))), "{lost}");
        assert_eq!((spool.bodies("incoming").len(), table.rows()), (1, vec![("a".to_owned(), true)]), "{lost}");
    }
}

#[test]
fn a_start_reports_what_was_committed_and_gives_back_what_was_only_claimed() {
    let _turn = scenario("");
    let (a, b, table) = (Spool::new(), Spool::new(), Table::default());
    table.fail(&["stored"]);
    let engine = begin(&a, &table, "a");
    let ticket = engine.submit(store(a.root(), "x", "one"));
    wait_for("it is stored here", || a.bodies("incoming").len() == 1);
    drop(engine);
    assert!(matches!(ticket.wait(), Err(CommitError::Index(_))), "it is not acknowledged");
    locked(&table.0).rows.insert(IndexKey([7; 32]), ("a".to_owned(), false));
    locked(&table.0).rows.insert(IndexKey([8; 32]), ("b".to_owned(), false));
    table.fail(&["settle"]);
    // A start at which the index is away keeps what is to be reported.
    drop(begin(&a, &table, "a"));
    table.fail(&[]);
    let engine = begin(&a, &table, "a");
    let settled = [("a".to_owned(), true), ("b".to_owned(), false)];
    wait_for("claims are settled without a message", || table.rows() == settled);
    let other = begin(&b, &table, "b");
    assert_eq!(outcome(&other, store(b.root(), "x", "one")), Outcome::Duplicate);
    assert_eq!(outcome(&engine, store(a.root(), "x", "one")), Outcome::Duplicate);
    drop(engine);
    assert_eq!(a.journal().pending().unwrap(), [], "nothing is left to report");
}

#[test]
fn a_transaction_that_failed_gives_its_claims_back() {
    let turn = scenario("");
    let (a, b, table) = (Spool::new(), Spool::new(), Table::default());
    let (first, second) = (begin(&a, &table, "a"), begin(&b, &table, "b"));
    turn.set("R09@1=err");
    assert!(first.submit(store(a.root(), "x", "one")).wait().is_err());
    turn.set("");
    assert_eq!(table.rows(), [("a".to_owned(), false)], "the journal is in doubt");
    assert!(is_new(&outcome(&first, store(a.root(), "y", "two"))));
    assert_eq!(table.rows(), [("a".to_owned(), true)], "it is settled by the next transaction");
    assert!(is_new(&outcome(&second, store(b.root(), "x", "one"))));
    assert_eq!(a.bodies("incoming"), ["two"]);
}

#[test]
fn without_an_index_a_later_start_forgets_what_was_to_be_reported() {
    let _turn = scenario("");
    let (spool, table) = (Spool::new(), Table::default());
    table.fail(&["stored"]);
    let engine = begin(&spool, &table, "a");
    let ticket = engine.submit(store(spool.root(), "x", "one"));
    wait_for("it is stored here", || spool.bodies("incoming").len() == 1);
    drop(engine);
    drop(ticket);
    drop(spool.start().unwrap());
    assert_eq!(spool.journal().pending().unwrap(), []);
}
