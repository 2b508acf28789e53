//! The commit engine makes received messages durable, in batches.
//!
//! Start reading at [`CommitEngine`]. `inbox.rs` collects messages, `batch.rs` writes them, `publish.rs` commits and publishes
//! them.
//! After a crash `recovery.rs` publishes what was committed and removes the rest.
//!
//! # Steps
//! 1. *write*: write every field file of every element of the batch to `temporary/` of its queue, and make files,
//!    element directories and the temporary directory durable, with one `syncfs` or file by file on several threads;
//! 2. *claim*, where receivers share an index: `index.rs`;
//! 3. *commit*: one journal transaction, in which a unique key detects duplicates. It also writes one `pending` row
//!    with the pending renames, and deletes the rows of completely published batches;
//! 4. *publish*: rename each element into its queue, sync the directories renamed into, remove resolved deferred
//!    elements;
//! 5. *report*, where receivers share an index: the messages are stored;
//! 6. *answer*: create the [`Stored`] that an ACK requires.
//!
//! Two batches are in flight: while one is committed and published, the next is written. A batch closes at 64 messages,
//! at 8 MiB, 5 ms after its first message, or if nothing arrives for 0.3 ms. Patient messages alone do not begin a batch
//! within 20 ms of the last one.
//!
//! # State after a crash
//! For each element: T, its draft in `temporary/`; K, its entry in a `pending` row; V, an entry under its final name.
//!
//! | T | K | V | cause | recovery |
//! |---|---|---|---|---|
//! | – | – | – | nothing was written, or it is published, deleted from `pending` and consumed | none |
//! | + | – | – | crash before the commit, or a duplicate | remove T; the broker redelivers |
//! | – | + | – | published and consumed before the row was deleted | delete K |
//! | – | – | + | published, or created by another program | none |
//! | + | + | – | crash between commit and publish | rename T to V, delete K |
//! | + | – | + | V belongs to another program | remove T |
//! | – | + | + | published, the row not yet deleted | delete K |
//! | + | + | + | another program took the name | rename T to a fresh name, delete K |
//!
//! A resolved deferred element D is listed as a removal in the same row: if K and D both exist, D is removed. Recovery
//! may crash at any step and start over: it only renames what is still in `temporary/`, and deletes K last. A
//! half-written draft is a T without K.
//!
//! # Failures
//! - If writing or syncing fails, no message of the batch is published or answered as stored, its drafts are removed,
//!   and they are never synced again. The engine stays usable; the next batch is written to new files.
//! - If the *journal* fails, the transaction may or may not be in effect after a crash. The drafts are kept until a
//!   later transaction has settled that.
//! - If publishing fails, the messages are committed: their submitters get the error, and a redelivery is a duplicate.
//!   The engine retries before the next batch and once per second. `late.rs` then logs the messages, or the next start
//!   does.

mod batch;
mod inbox;
mod index;
mod late;
mod publish;
mod recovery;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::disk::Modes;
use super::queue::Queue;
use super::{SpoolError, SpoolLock, names};
use crate::index::{IndexError, SharedIndex};
use crate::journal::{Acknowledge, Disposition, Facts, Journal, JournalError, Key};
use inbox::Inbox;
use index::{Claims, IndexState};
use message::acknowledgement::Sequence;
use message::locked;
pub use recovery::Recovered;
pub use sync::SyncMethod;

/// Minimum and maximum size of the element of a probe, in bytes.
const PROBE_LEAST: usize = 4 << 10;
const PROBE_MOST: usize = 1 << 20;

/// An element to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewElement {
    /// The queue's directory; the queue must be open in the engine.
    pub queue: PathBuf,
    /// Its fields; names match `[0-9a-zA-Z]+`.
    pub fields: Vec<(&'static str, Vec<u8>)>,
}

/// A message and its disposition, to be made durable. A fan-out has several elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub key: Key,
    /// The disposition.
    pub disposition: Disposition,
    /// The elements to write; none for a dropped message.
    pub elements: Vec<NewElement>,
    /// The data of the journal's row.
    pub facts: Facts,
    /// Whether the broker marked it as possibly delivered before.
    pub redelivered: bool,
    /// Whether the operator requested it again, which skips the duplicate check.
    pub again: bool,
    /// SHA-256 of the message as received. A redelivery that was rejected before for the same reason is not stored
    /// twice.
    pub raw_digest: Option<[u8; 32]>,
    /// The deferred element this message was read from; it is removed once the new state is published.
    pub resolves: Option<String>,
    /// Its place in what its signer sends; `None` if the signer gives none or is not authorised.
    pub sequence: Option<Sequence>,
    /// The acknowledgement to its sender, durable with the message.
    pub acknowledge: Option<Acknowledge>,
}

impl Commit {
    /// A new message; the other fields have their defaults.
    #[must_use]
    pub fn new(key: Key, disposition: Disposition, elements: Vec<NewElement>, facts: Facts) -> Self {
        Self {
            key,
            disposition,
            elements,
            facts,
            redelivered: false,
            again: false,
            raw_digest: None,
            resolves: None,
            sequence: None,
            acknowledge: None,
        }
    }

    fn bytes(&self) -> usize {
        self.elements.iter().flat_map(|element| &element.fields).map(|(_, bytes)| bytes.len()).sum()
    }
}

/// Proof that a message is durable: on disk, in the journal, and in its queue. Only the commit engine creates it.
///
/// ```compile_fail
/// fn forge(outcome: sesame_spool::Outcome) -> sesame_spool::Stored {
///     sesame_spool::Stored { outcome }
/// }
/// ```
///
/// ```compile_fail
/// fn twice(stored: &sesame_spool::Stored) -> sesame_spool::Stored {
///     stored.clone()
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the message must be acknowledged"]
pub struct Stored {
    outcome: Outcome,
}

impl Stored {
    /// The outcome for the message.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

/// The outcome for a committed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was new.
    New {
        /// Paths of its elements, relative to the spool if inside it (`incoming/00000000/6b03126398f937`).
        elements: Vec<String>,
        /// Whether the same signer sent other content under the same id before.
        conflict: bool,
    },
    /// It was stored, deferred or dropped before, by this receiver or by one that shares its index; or rejected before for
    /// the same reason and delivered again.
    Duplicate,
}

/// Why a message is not durable; it must not be acknowledged. Except for `Invalid` and `UnknownQueue`, the receiver
/// must stop taking deliveries, log the error and retry later.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// No space left, or the quota is exhausted.
    #[error("the disk is full: no space left in {path:?}")]
    StorageFull {
        /// The queue.
        path: PathBuf,
    },
    /// The file system is mounted read-only, possibly by the kernel after an error.
    #[error("file system of {path:?} is read-only")]
    ReadOnly {
        /// The queue.
        path: PathBuf,
    },
    /// The process or the system has no file descriptor left.
    #[error("too many open files to write to {path:?}")]
    TooManyFiles {
        /// The queue.
        path: PathBuf,
    },
    /// The queue's directory is gone, or another file system is mounted over it. It is not created again, since that
    /// would hide the elements stored before.
    #[error("queue {path:?} is gone or another file system is mounted in its place")]
    SpoolMissing {
        /// The queue.
        path: PathBuf,
    },
    /// A sync failed. The files are removed, since their content may be lost.
    #[error("cannot sync files written to {path:?} to disk")]
    Sync {
        /// The queue or directory.
        path: PathBuf,
        /// The system error.
        #[source]
        source: Arc<io::Error>,
    },
    /// Any other failure to write.
    #[error("cannot write to {path:?}")]
    Io {
        /// The queue.
        path: PathBuf,
        /// The system error.
        #[source]
        source: Arc<io::Error>,
    },
    /// The journal failed.
    #[error("cannot commit to the journal")]
    Journal(#[source] Arc<JournalError>),
    /// An element was taken out of `temporary/` before it could be published.
    #[error("element {element} was removed from the temporary directory of its queue by another program")]
    Vanished {
        /// Its intended path.
        element: String,
    },
    /// A bug in Sesame: an invalid field name.
    #[error("{name:?} is not a valid field name")]
    Invalid {
        /// The name.
        name: String,
    },
    /// A bug in Sesame: the queue was never opened in the engine.
    #[error("queue {path:?} was never opened")]
    UnknownQueue {
        /// The queue.
        path: PathBuf,
    },
    /// Another receiver with the same index has claimed the message, and has not reported for a while that it stored it.
    #[error("the receiver {by:?} that shares the index has claimed the message and has not stored it")]
    Claimed {
        /// That receiver.
        by: String,
    },
    /// The shared index did not answer until the engine ended. The message is durable or not; a redelivery is recognised.
    #[error("the shared index cannot be used")]
    Index(#[source] IndexError),
    /// The engine has stopped.
    #[error("the commit engine has stopped")]
    Stopped,
}

impl CommitError {
    /// Classifies a system error by what the receiver can do about it.
    fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StorageFull { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::NotFound => Self::SpoolMissing { path },
            _ if matches!(
                rustix::io::Errno::from_io_error(&error),
                Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
            ) =>
            {
                Self::TooManyFiles { path }
            }
            _ => Self::Io { path, source: Arc::new(error) },
        }
    }

    /// Whether the journal file is damaged, so that a retry cannot help.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Journal(error) if error.is_damaged())
    }
}

/// Settings of a commit engine.
#[derive(Clone, Debug)]
pub struct CommitSettings {
    /// The spool; names of elements are relative to it.
    pub root: PathBuf,
    /// The queues it writes to; missing ones are created.
    pub queues: Vec<PathBuf>,
    /// Permissions of new files and directories.
    pub modes: Modes,
    /// How a batch is synced to disk.
    pub sync: SyncMethod,
    /// Maximum number of messages in a batch.
    pub batch_messages: usize,
    /// A batch closes at this many bytes.
    pub batch_bytes: usize,
    /// How long the first message of a batch waits for others.
    pub batch_delay: Duration,
    /// The shortest time between the beginnings of two batches of [patient](CommitEngine::submit_patiently) messages.
    pub batch_pace: Duration,
}

impl CommitSettings {
    /// The defaults for a spool and its queues.
    #[must_use]
    pub fn new(root: &Path, queues: Vec<PathBuf>) -> Self {
        Self {
            root: root.to_owned(),
            queues,
            modes: Modes::default(),
            sync: SyncMethod::default(),
            batch_messages: 64,
            batch_bytes: 8 << 20,
            batch_delay: Duration::from_millis(5),
            batch_pace: Duration::from_millis(20),
        }
    }
}

/// Called once with the outcome of a commit, on a thread of the engine; it must not block.
pub type Done = Box<dyn FnOnce(Result<Stored, CommitError>) + Send>;

/// A submitted message.
struct Job {
    commit: Commit,
    done: Done,
    /// Whether its submitter has more work without the answer.
    patient: bool,
}

/// State shared by the threads of an engine.
struct Shared {
    journal: Arc<Journal>,
    settings: CommitSettings,
    queues: Mutex<HashMap<PathBuf, Arc<Queue>>>,
    syncer: sync::Syncer,
}

impl Shared {
    fn queue(&self, path: &Path) -> Option<Arc<Queue>> {
        locked(&self.queues).get(path).cloned()
    }

    /// A path as stored in the journal.
    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.settings.root).unwrap_or(path).to_string_lossy().into_owned()
    }
}

/// Makes received messages durable. Dropping it finishes all submitted messages.
pub struct CommitEngine {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    threads: Vec<JoinHandle<()>>,
    recovered: Recovered,
    index: Option<Arc<IndexState>>,
    _lock: Arc<SpoolLock>,
}

impl CommitEngine {
    /// Runs recovery, then starts the engine. The lock is that of the spool; the engine holds it until it is dropped.
    ///
    /// # Errors
    /// [`CommitError`], from recovery, or if a queue or a thread cannot be created.
    pub fn start(lock: Arc<SpoolLock>, journal: Arc<Journal>, settings: CommitSettings) -> Result<Self, CommitError> {
        Self::start_sharing(lock, journal, settings, None)
    }

    /// As [`start`](Self::start), with an index that other receivers share.
    ///
    /// # Errors
    /// [`CommitError`], as `start`. That the index does not answer is none.
    pub fn start_sharing(
        lock: Arc<SpoolLock>,
        journal: Arc<Journal>,
        settings: CommitSettings,
        index: Option<Box<dyn SharedIndex>>,
    ) -> Result<Self, CommitError> {
        let queues = settings.queues.clone();
        let syncer = sync::Syncer::new(settings.sync);
        let shared = Arc::new(Shared { journal, settings, queues: Mutex::default(), syncer });
        recovery::refuse_missing(&shared)?;
        for queue in &queues {
            open_queue(&shared, queue)?;
        }
        let (recovered, unreported) = recovery::recover(&shared, index.is_some())?;
        let state = index.is_some().then(Arc::<IndexState>::default);
        let claims = index.zip(state.clone()).map(|(index, state)| Claims::new(index, state, unreported));
        let (inbox, threads) = start_threads(&shared, claims)?;
        Ok(Self { shared, inbox, threads, recovered, index: state, _lock: lock })
    }

    /// Whether other receivers share an index with this one.
    #[must_use]
    pub fn is_sharing(&self) -> bool {
        self.index.is_some()
    }

    /// Why the shared index does not answer now, if there is one.
    #[must_use]
    pub fn index_fault(&self) -> Option<String> {
        self.index.as_ref().and_then(|state| state.fault())
    }

    /// The result of recovery at start.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Opens another queue and creates it if it is missing.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn add_queue(&self, path: &Path) -> Result<(), CommitError> {
        open_queue(&self.shared, path)
    }

    /// A queue of this engine.
    #[must_use]
    pub fn queue(&self, path: &Path) -> Option<Arc<Queue>> {
        self.shared.queue(path)
    }

    /// Checks whether messages of `room` bytes can be stored now: writes, syncs and removes an element in each queue,
    /// and writes to the journal. Blocks, for ten seconds if another program holds the journal's lock.
    ///
    /// # Errors
    /// The error that a commit would return.
    pub fn probe(&self, room: u64) -> Result<(), CommitError> {
        let queues: Vec<_> = locked(&self.shared.queues).values().cloned().collect();
        let bytes = usize::try_from(room).unwrap_or(PROBE_MOST).clamp(PROBE_LEAST, PROBE_MOST);
        for queue in queues {
            let failed = |error| CommitError::from_io(queue.path(), error);
            if super::free_bytes(queue.path()).map_err(failed)? < room {
                return Err(CommitError::StorageFull { path: queue.path().to_owned() });
            }
            queue.probe(bytes).map_err(failed)?;
        }
        self.shared.journal.probe().map_err(|error| match error {
            JournalError::Full { path } => CommitError::StorageFull { path },
            other => CommitError::Journal(Arc::new(other)),
        })
    }

    /// Submits a message without blocking. The caller limits how much is in flight.
    pub fn submit(&self, commit: Commit) -> Ticket {
        let (sender, receiver) = mpsc::channel();
        self.submit_with(
            commit,
            Box::new(move |outcome| {
                // No one waits for the outcome: the message is redelivered and detected as a duplicate.
                let _ = sender.send(outcome);
            }),
        );
        Ticket(receiver)
    }

    /// Submits a message; `done` is called with the outcome. If `done` is dropped without a call, the engine has
    /// failed; the message is then either not stored, or a redelivery is detected as a duplicate.
    pub fn submit_with(&self, commit: Commit, done: Done) {
        self.give(Job { commit, done, patient: false });
    }

    /// As [`submit_with`](Self::submit_with), for a submitter that goes on working without the answer: the message may wait
    /// some milliseconds, so that more messages share a sync.
    pub fn submit_patiently(&self, commit: Commit, done: Done) {
        self.give(Job { commit, done, patient: true });
    }

    fn give(&self, job: Job) {
        if let Err(error) = self.admit(&job.commit) {
            return (job.done)(Err(error));
        }
        if let Some(job) = self.inbox.push(job, &self.shared.settings) {
            (job.done)(Err(CommitError::Stopped));
        }
    }

    fn admit(&self, commit: &Commit) -> Result<(), CommitError> {
        for element in &commit.elements {
            if self.shared.queue(&element.queue).is_none() {
                return Err(CommitError::UnknownQueue { path: element.queue.clone() });
            }
            if let Some((name, _)) = element.fields.iter().find(|(name, _)| !names::is_field(name)) {
                return Err(CommitError::Invalid { name: (*name).to_owned() });
            }
        }
        Ok(())
    }
}

impl Drop for CommitEngine {
    fn drop(&mut self) {
        self.inbox.close();
        if let Some(index) = &self.index {
            index.end();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has logged that, and closed its tickets.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for CommitEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitEngine").field("root", &self.shared.settings.root).finish_non_exhaustive()
    }
}

fn open_queue(shared: &Shared, path: &Path) -> Result<(), CommitError> {
    let queue = Queue::create(path, shared.settings.modes).map_err(|error| match error {
        SpoolError::Io { path, source, .. } => CommitError::from_io(&path, source),
        _ => CommitError::SpoolMissing { path: path.to_owned() },
    })?;
    shared.syncer.watch(&queue).map_err(|error| CommitError::from_io(path, error))?;
    locked(&shared.queues).insert(path.to_owned(), Arc::new(queue));
    Ok(())
}

fn start_threads(
    shared: &Arc<Shared>,
    claims: Option<Claims>,
) -> Result<(Arc<Inbox>, Vec<JoinHandle<()>>), CommitError> {
    let failed = |error| CommitError::from_io(&shared.settings.root, error);
    let inbox = Arc::new(Inbox::default());
    // One batch waits here while the previous one is committed.
    let (written, to_publish) = mpsc::sync_channel(1);
    let (spool, incoming) = (Arc::clone(shared), Arc::clone(&inbox));
    let writer = std::thread::Builder::new()
        .name("spool-write".to_owned())
        .spawn(move || batch::write_batches(&spool, &incoming, &written))
        .map_err(failed)?;
    let spool = Arc::clone(shared);
    let publisher = std::thread::Builder::new()
        .name("spool-publish".to_owned())
        .spawn(move || publish::Publisher::new(spool, claims).run(&to_publish))
        .map_err(failed)?;
    Ok((inbox, vec![writer, publisher]))
}

/// The pending outcome of a submitted message.
#[derive(Debug)]
pub struct Ticket(Receiver<Result<Stored, CommitError>>);

impl Ticket {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// [`CommitError`]; the message must not be acknowledged.
    pub fn wait(self) -> Result<Stored, CommitError> {
        self.0.recv().unwrap_or(Err(CommitError::Stopped))
    }
}
