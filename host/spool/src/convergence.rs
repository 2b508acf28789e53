//! A sender and a receiver that acknowledges, killed between any two of their durable changes: both sides end knowing the
//! same.
//!
//! The steps are those of `sesame`'s `sender` and `receiver`, in their order; the broker is a directory of files. It loses
//! one message that it confirmed and one acknowledgement.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use message::acknowledgement::{Acknowledgement, Sequence};
use message::{Code, MessageId, Output, content_digest};

use crate::failpoint::{failpoint, scenario};
use crate::journal::{
    Acknowledge, Answered, Dispatch, Disposition, Due, Facts, Journal, Key, Prepared, PreparedKey, Proof, Sent,
};
use crate::{
    Commit, CommitEngine, CommitSettings, Format, Modes, NewElement, Outgoing, Queue, RetainedElements, SpoolLock,
};

type Done<T = ()> = Result<T, Box<dyn Error>>;

/// Contents of messages, and what becomes of them.
const ACCEPTED: &str = "accepted";
const REJECTED: &str = "rejected";
/// The broker loses it the first time.
const LOST: &str = "lost";
/// The broker loses its first acknowledgement.
const UNHEARD: &str = "unheard";
/// Its acknowledgement comes when it is overdue.
const LATE: &str = "late";
const MESSAGES: [&str; 5] = [ACCEPTED, REJECTED, LOST, UNHEARD, LATE];

const TO: &str = "/queue/records";
const BACK: &str = "/queue/acknowledgements";
const AT_ONCE: Duration = Duration::ZERO;

/// The queue `name` of the broker.
fn wire(root: &Path, name: &str) -> PathBuf {
    root.join("broker").join(name)
}

/// A SEND with its RECEIPT; the broker loses the first message with one of these contents.
fn send(root: &Path, queue: &str, text: &str, loses: &str) -> Done {
    failpoint!("step")?;
    let noted = wire(root, "lost").join(loses);
    if text.contains(loses) && !noted.exists() {
        fs::write(noted, "")?;
    } else {
        let file = wire(root, queue).join(crate::names::fresh_element());
        fs::write(file.with_extension("tmp"), text)?;
        fs::rename(file.with_extension("tmp"), file)?;
    }
    Ok(failpoint!("step")?)
}

/// What waits at the broker, in order.
fn deliveries(root: &Path, queue: &str) -> Done<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(wire(root, queue))? {
        let path = entry?.path();
        if path.extension().is_none() {
            found.insert(path.clone(), fs::read_to_string(path)?);
        }
    }
    Ok(found)
}

/// An ACK.
fn acknowledge(delivery: &Path) -> Done {
    failpoint!("step")?;
    fs::remove_file(delivery)?;
    Ok(failpoint!("step")?)
}

struct Sender {
    root: PathBuf,
    queue: Outgoing,
    kept: RetainedElements,
    journal: Arc<Journal>,
    engine: CommitEngine,
}

impl Sender {
    fn start(root: &Path) -> Done<Self> {
        let state = root.join("state");
        let lock = Arc::new(SpoolLock::acquire(&state.join("lock"))?);
        let journal = Arc::new(Journal::open(&state.join("journal"))?);
        let engine = CommitEngine::start(
            Arc::clone(&lock),
            Arc::clone(&journal),
            CommitSettings::new(&state, vec![state.join("reject")]),
        )?;
        let queue = Outgoing::own(&root.join("out"), Format::Dirq, lock)?;
        let kept = RetainedElements::open(&state.join("retained"), &queue)?;
        let sender = Self { root: root.to_owned(), queue, kept, journal, engine };
        sender.tidy()?;
        Ok(sender)
    }

    fn tidy(&self) -> Done {
        self.queue.purge(|| false)?;
        let mut gone = self.journal.unfinished("c")?;
        gone.retain(|(element, _)| !self.queue.path().join(element).exists());
        let (mut kept, mut lost) = (Vec::new(), Vec::new());
        for (_, key) in gone {
            if self.kept.recover(&key)? { kept.push(key) } else { lost.push(key) }
        }
        let kept: Vec<Sent> = kept.into_iter().map(sent).collect();
        self.journal.record_sent("c", &kept)?;
        Ok(self.journal.record_gone("c", &lost)?)
    }

    fn send_all(&self) -> Done {
        let mut scan = self.queue.scan()?;
        let mut names = Vec::new();
        while let Some(name) = scan.next(|_| false)? {
            names.push(name);
        }
        let mut done = Vec::new();
        for name in names {
            let Some(element) = self.queue.lock(&name)? else { continue };
            let content = element.read(1000)?;
            let key = PreparedKey { id: element.message_id(), digest: content_digest(&content) };
            let row = match self.journal.prepared("c", std::slice::from_ref(&key))?.remove(0) {
                Some(row) => row,
                None => self.prepare(&key, &name.to_string())?,
            };
            let dispatch = &row.dispatches[0];
            let sequence = dispatch.sequence.as_ref().ok_or("it has no number")?;
            let body = row.outputs[0].payload.clone().ok_or("its content is gone")?;
            let text = format!("{}\n{sequence}\n{}", dispatch.id, String::from_utf8(body)?);
            send(&self.root, "records", &text, LOST)?;
            done.push((element, key));
        }
        let keys: Vec<_> = done.iter().map(|(_, key): &(_, PreparedKey)| key.clone()).collect();
        self.kept.take_over(done).into_iter().collect::<Result<Vec<_>, _>>()?;
        self.journal.record_sent("c", &keys.into_iter().map(sent).collect::<Vec<_>>())?;
        Ok(())
    }

    fn prepare(&self, key: &PreparedKey, element: &str) -> Done<Prepared> {
        let content = self.queue.path().join(element);
        let payload = Some(fs::read(content)?);
        let digest = content_digest(payload.as_deref().unwrap_or_default());
        let dispatch = Dispatch { id: key.id.clone(), destination: TO.to_owned(), digest, sequence: None, open: true };
        let mut row = [Prepared {
            key: key.clone(),
            element: element.to_owned(),
            outputs: vec![Output { payload, ..Output::default() }],
            pipeline: String::new(),
            attempts: 0,
            counts: Vec::new(),
            dispatches: vec![dispatch],
            repeated: false,
        }];
        self.journal.record_prepared("c", &mut row)?;
        let [row] = row;
        Ok(row)
    }

    fn listen(&self) -> Done {
        let overdue = self.journal.retained("c")?.overdue > 0;
        for (file, text) in deliveries(&self.root, "acknowledgements")? {
            if text.contains(LATE) && !overdue {
                continue;
            }
            let proof = Proof { receiver: "CN=central", raw: text.as_bytes(), at: SystemTime::now() };
            self.journal.take_acknowledgements("c", &proof, &Acknowledgement::parse(text.as_bytes())?)?;
            acknowledge(&file)?;
        }
        Ok(())
    }

    fn look(&self) -> Done {
        let (mut delivered, mut rest) = (Vec::new(), Vec::new());
        for due in self.journal.due("c", SystemTime::now(), 100)? {
            match &due.answered {
                _ if due.rejected => delivered.push(due.key),
                Answered::Delivered | Answered::Rejected(_) if due.queued => {}
                Answered::Delivered => delivered.push(due.key),
                Answered::Rejected(why) => {
                    self.reject(&due, why)?;
                    self.end(std::slice::from_ref(&due.key))?;
                }
                Answered::No => rest.push(due),
            }
        }
        self.end(&delivered)?;
        for due in rest {
            if due.queued {
                self.kept.give_back(&due.key, &due.element, 1000)?;
            } else if due.repeats >= 2 {
                self.journal.mark_overdue("c", &due.key, due.asked)?;
            } else {
                self.journal.repeat("c", &due.key, SystemTime::now())?;
                self.kept.give_back(&due.key, &due.element, 1000)?;
            }
        }
        Ok(())
    }

    fn reject(&self, due: &Due, why: &str) -> Done {
        let body = self.kept.read(&due.key, 1000)?;
        let queue = self.root.join("state/reject");
        let key =
            Key { channel: "c".to_owned(), id: due.key.id.clone(), signer: String::new(), digest: due.key.digest };
        let facts = Facts { reason: Some(why.to_owned()), ..Facts::at(SystemTime::now()) };
        let element = NewElement { queue, fields: vec![("body", body)] };
        let disposition = Disposition::Rejected { code: Code::ReceiverRejected };
        let mut commit = Commit::new(key, disposition, vec![element], facts);
        commit.redelivered = true;
        commit.raw_digest = Some(due.key.digest);
        let _ = self.engine.submit(commit).wait()?;
        Ok(self.journal.record_rejected("c", &due.element, &due.key, why)?)
    }

    fn end(&self, keys: &[PreparedKey]) -> Done {
        self.kept.remove(keys)?;
        Ok(self.journal.end_retained("c", keys)?)
    }
}

fn sent(key: PreparedKey) -> Sent {
    Sent { key, broker: "mq".to_owned(), at: SystemTime::now(), detail: None, retain: Some(AT_ONCE) }
}

struct Receiver {
    root: PathBuf,
    journal: Arc<Journal>,
    engine: CommitEngine,
}

impl Receiver {
    fn start(root: &Path) -> Done<Self> {
        let spool = root.join("spool");
        let lock = Arc::new(SpoolLock::acquire(&spool.join("lock"))?);
        let journal = Arc::new(Journal::open(&spool.join("journal"))?);
        let queues = ["incoming", "reject"].map(|name| spool.join(name)).to_vec();
        let engine = CommitEngine::start(lock, Arc::clone(&journal), CommitSettings::new(&spool, queues))?;
        Ok(Self { root: root.to_owned(), journal, engine })
    }

    fn take_all(&self) -> Done {
        for (file, text) in deliveries(&self.root, "records")? {
            let mut lines = text.splitn(3, '\n');
            let mut line = || lines.next().unwrap_or_default().to_owned();
            let (id, sequence, body) = (MessageId::parse(&line())?, line().parse::<Sequence>()?, line());
            let rejected = body == REJECTED;
            let disposition =
                if rejected { Disposition::Rejected { code: Code::PluginInvalid } } else { Disposition::Stored };
            let digest = content_digest(body.as_bytes());
            let key = Key { channel: "r".to_owned(), id, signer: "CN=site".to_owned(), digest };
            let queue = self.root.join("spool").join(if rejected { "reject" } else { "incoming" });
            // The content is the code, so that a late acknowledgement is known by it.
            let facts = Facts { reason: Some("why".to_owned()), ..Facts::at(SystemTime::now()) };
            let element = NewElement { queue, fields: vec![("body", body.clone().into_bytes())] };
            let mut commit = Commit::new(key, disposition, vec![element], facts);
            commit.raw_digest = Some(digest);
            commit.redelivered = true;
            commit.sequence = Some(sequence);
            commit.acknowledge =
                Some(Acknowledge { destination: BACK.to_owned(), signer: body, code: Some("job.end".to_owned()) });
            // One by one, so that the steps are the same each time.
            let _ = self.engine.submit(commit).wait()?;
            acknowledge(&file)?;
        }
        Ok(())
    }

    /// One acknowledgement to a message, so that the broker can lose or delay one alone.
    fn acknowledge_all(&self) -> Done {
        for destination in self.journal.owed_destinations("r")? {
            for owed in self.journal.owed("r", &destination, 100)? {
                let line = Acknowledgement { at: "2026-11-22T16:40:47Z".to_owned(), ..owed.acknowledgement };
                send(&self.root, "acknowledgements", &Acknowledgement::lines(&[line]), UNHEARD)?;
                self.journal.paid("r", &destination, owed.number)?;
            }
        }
        Ok(())
    }
}

/// Starts both sides and lets them work until nothing is left to do; whether that was reached.
fn work(root: &Path) -> Done<bool> {
    let (sender, receiver) = (Sender::start(root)?, Receiver::start(root)?);
    for _ in 0..12 {
        sender.send_all()?;
        receiver.take_all()?;
        receiver.acknowledge_all()?;
        sender.listen()?;
        sender.look()?;
        for (journal, step) in [(&sender.journal, 3), (&receiver.journal, 3)] {
            // Nothing is so old.
            journal.expire(SystemTime::UNIX_EPOCH, step)?;
        }
        let quiet = sender.queue.count()? == 0
            && sender.journal.retained("c")?.messages == 0
            && receiver.journal.count_owed("r")?.0 == 0
            && deliveries(root, "records")?.is_empty()
            && deliveries(root, "acknowledgements")?.is_empty();
        if quiet {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A folder with everything that both sides need, and the messages.
fn site() -> tempfile::TempDir {
    // In memory: there are hundreds of them, and no power fails here.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = folder.path();
    for name in ["records", "acknowledgements", "lost"] {
        fs::create_dir_all(wire(root, name)).unwrap();
    }
    let elements = MESSAGES.iter().enumerate().map(|(number, content)| (format!("6b0312000000{number}a"), *content));
    // What a program left half-written, long ago.
    for (name, content) in elements.chain([("6b03120000009a.tmp".to_owned(), "half")]) {
        add(root, &name, content);
    }
    fs::create_dir(root.join("state")).unwrap();
    fs::create_dir(root.join("spool")).unwrap();
    folder
}

fn bodies(queue: &Path) -> Vec<String> {
    let queue = Queue::open(queue, Modes::default()).unwrap();
    let body = |path: &_| queue.read(path, 1 << 20).unwrap().fields["body"].clone();
    let mut bodies: Vec<String> =
        queue.elements().unwrap().map(|path| String::from_utf8(body(&path.unwrap())).unwrap()).collect();
    bodies.sort();
    bodies
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn count(root: &Path, file: &str, sql: &str) -> i64 {
    let db = rusqlite::Connection::open(root.join(file)).unwrap();
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Both sides know the same: nothing lost, torn, twice, unexpected or left over.
fn check(root: &Path, context: &str) {
    assert!(work(root).unwrap_or_else(|error| panic!("{context}: {error}")), "{context}: they do not come to an end");
    let stored = bodies(&root.join("spool/incoming"));
    assert_eq!(stored, [ACCEPTED, LATE, LOST, UNHEARD], "{context}");
    assert_eq!(bodies(&root.join("spool/reject")), [REJECTED], "{context}");
    assert_eq!(bodies(&root.join("state/reject")), [REJECTED], "{context}");
    let left = [root.join("out"), root.join("state/retained"), root.join("state/reject/temporary")];
    assert_eq!(
        left.iter().flat_map(|folder| files(folder)).collect::<Vec<_>>(),
        [""; 0].map(PathBuf::from),
        "{context}"
    );
    let journal = Journal::open(&root.join("state/journal")).unwrap();
    assert_eq!(journal.unfinished("c").unwrap(), [], "{context}");
    let mut verdicts = BTreeSet::new();
    for (number, content) in MESSAGES.iter().enumerate() {
        let id = MessageId::parse(&format!("6b031200/6b0312000000{number}a")).unwrap();
        let said = journal.acknowledgements("c", &id).unwrap();
        assert_eq!(said.len(), 1, "{context}: {content} has {said:?}");
        verdicts.insert((*content == REJECTED, said[0].verdict == message::acknowledgement::Verdict::Rejected));
    }
    assert_eq!(verdicts, BTreeSet::from([(false, false), (true, true)]), "{context}");
    drop(journal);
    let sender = |sql| count(root, "state/journal", sql);
    assert_eq!(sender("SELECT count(*) FROM payload"), 0, "{context}: payloads are left");
    assert_eq!(sender("SELECT count(*) FROM outgoing WHERE state IN (2, 3)"), 5, "{context}");
    // A verdict is taken once: there are no more proofs than verdicts.
    assert_eq!(sender("SELECT count(*) FROM proof"), 5, "{context}");
    assert_eq!(sender("SELECT count(DISTINCT proof) FROM dispatch"), 5, "{context}");
    let receiver = |sql| count(root, "spool/journal", sql);
    assert_eq!(receiver("SELECT (SELECT count(*) FROM gap) + (SELECT count(*) FROM owed)"), 0, "{context}");
    assert_eq!(receiver("SELECT count(*) FROM watched WHERE last = 5"), 1, "{context}");
}

/// A copy of a folder, put in its place: what a backup restores.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

fn add(root: &Path, name: &str, content: &str) {
    let element = root.join("out/6b031200").join(name);
    fs::create_dir_all(element.parent().unwrap()).unwrap();
    fs::write(&element, content).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
    fs::File::options().write(true).open(element).unwrap().set_modified(long_ago).unwrap();
}

#[test]
fn a_receiver_from_a_backup_misses_what_its_sender_no_longer_has() {
    let _turn = scenario("");
    let folder = site();
    let root = folder.path();
    assert!(work(root).unwrap());
    copy(&root.join("spool"), &root.join("backup"));
    for (name, content) in [("6b03120000010a", "x"), ("6b03120000011a", "y")] {
        add(root, name, content);
    }
    assert!(work(root).unwrap());
    copy(&root.join("backup"), &root.join("spool"));
    add(root, "6b03120000012a", "z");
    assert!(work(root).unwrap());
    let journal = Journal::open(&root.join("spool/journal")).unwrap();
    let gaps: Vec<_> = journal.gaps("r").unwrap().iter().map(|gap| (gap.first, gap.last)).collect();
    assert_eq!(gaps, [(6, 7)]);
    assert_eq!(bodies(&root.join("spool/incoming")), [ACCEPTED, LATE, LOST, UNHEARD, "z"]);
}

#[test]
fn a_sender_from_a_backup_closes_no_gap_and_is_watched_in_a_new_stream() {
    let _turn = scenario("");
    let folder = site();
    let root = folder.path();
    assert!(work(root).unwrap());
    copy(&root.join("state"), &root.join("backup"));
    // Two messages, of which the broker loses the first.
    for (name, content) in [("6b03120000010a", "x"), ("6b03120000011a", "y")] {
        add(root, name, content);
    }
    Sender::start(root).unwrap().send_all().unwrap();
    let lost = deliveries(root, "records").unwrap().into_iter().find(|(_, text)| text.ends_with("\nx"));
    fs::remove_file(lost.unwrap().0).unwrap();
    let receiver = Receiver::start(root).unwrap();
    receiver.take_all().unwrap();
    drop(receiver);
    copy(&root.join("backup"), &root.join("state"));
    // Other content under the numbers that they had, and one that the receiver has.
    for (name, content) in [("6b03120000012a", "u"), ("6b03120000013a", "v"), ("6b03120000011a", "y")] {
        add(root, name, content);
    }
    assert!(work(root).unwrap());
    let journal = Journal::open(&root.join("spool/journal")).unwrap();
    let gaps: Vec<_> = journal.gaps("r").unwrap().iter().map(|gap| (gap.first, gap.last)).collect();
    assert_eq!(gaps, [(6, 6)], "the lost message came under no other number");
    assert_eq!(bodies(&root.join("spool/incoming")), [ACCEPTED, LATE, LOST, "u", UNHEARD, "v", "y"]);
    assert_eq!(count(root, "spool/journal", "SELECT count(*) FROM watched"), 2);
}

const POINTS: [&str; 8] = ["step", "transaction", "committed", "S01", "S08", "S09", "S12", "R09"];

/// The child of the tests; does nothing on its own. A process of its own, for the points are shared by all tests of one.
#[test]
fn child_of_the_tests() {
    let Some(root) = std::env::var_os("SESAME_TEST_BOTH_SIDES") else { return };
    let turn = scenario("");
    let done = work(Path::new(&root)).unwrap_or(false);
    for point in POINTS {
        println!("reached {point} {} {done}", turn.hits(point));
    }
}

/// Runs both sides with this action at a point; what the child printed, or `None` if it was killed.
fn run_struck(root: &Path, point: &str) -> Option<String> {
    let child = concat!(module_path!(), "::child_of_the_tests").split_once("::").unwrap().1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", child])
        .env("SESAME_TEST_BOTH_SIDES", root)
        .env("SESAME_FAILPOINTS", point)
        .output()
        .unwrap();
    let killed = output.status.signal().is_some();
    assert!(killed || output.status.success(), "{point}: {}", String::from_utf8_lossy(&output.stderr));
    (!killed).then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn both_sides_know_the_same_after_a_failure_or_a_crash_at_any_step() {
    let folder = site();
    let text = run_struck(folder.path(), "").unwrap();
    let mut strikes = Vec::new();
    for point in POINTS {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("reached {point} "))).unwrap();
        let hits: u64 = line.strip_suffix(" true").unwrap().parse().unwrap();
        assert!(hits > 0, "{point} is not reached");
        strikes.extend((1..=hits).flat_map(|hit| ["err", "abort"].map(|action| (point, hit, action))));
    }
    let _turn = scenario("");
    check(folder.path(), "without a fault");
    let (next, missed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let strike = || {
        while let Some((point, hit, action)) = strikes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (folder, strike) = (site(), format!("{point}@{hit}={action}"));
            let killed = run_struck(folder.path(), &strike).is_none();
            missed.fetch_add(usize::from(killed != (*action == "abort")), Ordering::Relaxed);
            check(folder.path(), &strike);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(strike))));
    // A process that is held up may need a step less.
    let missed = missed.into_inner();
    assert!(missed <= strikes.len() / 50, "{missed} of {} points were not reached", strikes.len());
}
