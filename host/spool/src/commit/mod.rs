//! The commit engine: received messages become durable, many at a time.
//!
//! Start reading at [`CommitEngine`]. `batch.rs` collects messages and writes them, `publish.rs` commits and publishes,
//! `recovery.rs` finishes after a crash what was committed and sweeps what was not.
//!
//! # Steps
//! 1. *write*: every field file of every element of the batch, in `temporary/` of its queue, then make them durable:
//!    files, their directory and the temporary directory, by one `syncfs` or file by file on several threads;
//! 2. *commit*: one journal transaction. Duplicates are decided in it by a unique key. It also writes one `pending` row
//!    that lists the renames to come, and removes that of the batches that are wholly published;
//! 3. *publish*: rename each element into its queue, sync the directories renamed into, remove the deferred elements that
//!    were resolved;
//! 4. *answer*: only now a [`Stored`] exists, which an ACK needs.
//!
//! Two batches are in flight: while one is committed and published, the next is written. A batch closes at 64 messages,
//! 8 MiB, 5 ms after its first message, or when nothing more comes for a moment.
//!
//! # What a crash can leave
//! For each element: T, its draft in `temporary/`; K, its place in a `pending` row; V, something under its final name.
//!
//! | T | K | V | how it came about | recovery |
//! |---|---|---|---|---|
//! | – | – | – | nothing was written, or it is published, forgotten in `pending` and consumed | nothing |
//! | + | – | – | crash before the commit, or a duplicate lost | remove T; the broker delivers again |
//! | – | + | – | published and consumed before the row went | forget K |
//! | – | – | + | published, or put there by another program | nothing |
//! | + | + | – | crash between commit and publish | rename T to V, forget K |
//! | + | – | + | V belongs to another program | remove T |
//! | – | + | + | published, the row not yet gone | forget K |
//! | + | + | + | another program took the name | rename T to a fresh name, forget K |
//!
//! A deferred element D that was resolved is listed as a removal in the same row: where K and D both exist, D is
//! removed; where D is gone, nothing. Recovery may crash at any step and start over: it only renames what is still in
//! `temporary/`, and forgets K last. A half-written draft of several field files is a T without K.
//!
//! # Policy on failures
//! When writing or syncing fails, nothing of the batch is published or answered as stored, its drafts are removed, and no
//! sync is tried again on them. The engine stays usable; the next batch is written to new files. When the *journal*
//! fails, the transaction may or may not come back after a crash, so the drafts are kept until a later transaction has
//! settled it. When publishing fails, the messages are committed: the engine tries to publish them before the next batch
//! and once a second, their submitters get the error, and the redelivery is a duplicate. Their lines in
//! the log come from `late.rs` then, or from the next start.

mod batch;
mod late;
mod publish;
mod recovery;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::disk::Modes;
use super::queue::Queue;
use super::{SpoolError, SpoolLock, names};
use crate::journal::{Disposition, Facts, Journal, JournalError, Key};
use message::locked;
pub use recovery::Recovered;
pub use sync::SyncMethod;

/// How large the element of a probe is, in bytes.
const PROBE_LEAST: usize = 4 << 10;
const PROBE_MOST: usize = 1 << 20;

/// An element to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewElement {
    /// The queue's directory, one of those the engine knows.
    pub queue: PathBuf,
    /// Its fields; names as `[0-9a-zA-Z]+`.
    pub fields: Vec<(&'static str, Vec<u8>)>,
}

/// A message with its decision, to be made durable. A fan-out has several elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub key: Key,
    /// What becomes of it.
    pub disposition: Disposition,
    /// What is written; nothing where it was dropped.
    pub elements: Vec<NewElement>,
    /// What the journal's row holds.
    pub facts: Facts,
    /// The broker said it may have been delivered before.
    pub redelivered: bool,
    /// The operator asked for it again: no duplicate check.
    pub again: bool,
    /// SHA-256 of the message as it came. A redelivery that was rejected before for the same reason is not stored twice.
    pub raw_digest: Option<[u8; 32]>,
    /// The element of a deferred queue this message was read from; it is removed once the new state is published.
    pub resolves: Option<String>,
}

impl Commit {
    /// A message to be stored, as new; the other fields are set by name.
    #[must_use]
    pub fn new(key: Key, disposition: Disposition, elements: Vec<NewElement>, facts: Facts) -> Self {
        Self { key, disposition, elements, facts, redelivered: false, again: false, raw_digest: None, resolves: None }
    }

    fn bytes(&self) -> usize {
        self.elements.iter().flat_map(|element| &element.fields).map(|(_, bytes)| bytes.len()).sum()
    }
}

/// Proof that a message is durable: on the disk, in the journal, and in its queue. Made only by the commit engine.
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
#[must_use = "an ACK is due for it"]
pub struct Stored {
    outcome: Outcome,
}

impl Stored {
    /// What became of the message.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

/// What became of a committed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was new.
    New {
        /// Where its elements are: relative to the spool if inside it (`incoming/00000000/6b03126398f937`).
        elements: Vec<String>,
        /// The same signer sent other content under the same id before.
        conflict: bool,
    },
    /// It was stored, deferred or dropped before; or rejected before for the same reason and delivered again.
    Duplicate,
}

/// Why a message is not durable. Every one of them means: do not ACK. All but `Invalid` and `UnknownQueue` mean: stop
/// taking deliveries, say so, and try again later.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// No room, or the quota is used up.
    #[error("the disk is full: no room left in {path:?}")]
    StorageFull {
        /// The queue.
        path: PathBuf,
    },
    /// Mounted read-only, perhaps by the kernel after an error.
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
    /// The queue's directory is gone, or another file system is mounted in its place. It is not created again: what was
    /// stored before would be hidden.
    #[error("queue {path:?} is gone or another file system is mounted in its place")]
    SpoolMissing {
        /// The queue.
        path: PathBuf,
    },
    /// What was written could not be forced to the disk; it was dropped and is never trusted.
    #[error("cannot sync what was written to {path:?} to disk")]
    Sync {
        /// The queue or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// Any other failure to write.
    #[error("cannot write to {path:?}")]
    Io {
        /// The queue.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The journal failed.
    #[error("cannot commit to the journal")]
    Journal(#[source] Arc<JournalError>),
    /// An element was taken out of `temporary/` before it could be published.
    #[error("element {element} was removed from the temporary directory of its queue by another program")]
    Vanished {
        /// Where it would have gone.
        element: String,
    },
    /// Our own mistake: a field name that cannot be.
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
    /// The engine has stopped.
    #[error("the commit engine has stopped")]
    Stopped,
}

impl CommitError {
    /// Sorts an error of the operating system by what the receiver can do about it.
    fn sort(path: &Path, error: io::Error) -> Self {
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

    /// Whether the journal file itself is damaged, so that trying again cannot help.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Journal(error) if error.is_damaged())
    }
}

/// How an engine works.
#[derive(Clone, Debug)]
pub struct CommitSettings {
    /// The spool: names of elements are relative to it.
    pub root: PathBuf,
    /// The queues it may write to; made where missing.
    pub queues: Vec<PathBuf>,
    /// Permissions of what it writes.
    pub modes: Modes,
    /// How a batch is forced to the disk.
    pub sync: SyncMethod,
    /// Messages in a batch at most.
    pub batch_messages: usize,
    /// Bytes in a batch at most; a larger message is a batch of its own.
    pub batch_bytes: usize,
    /// How long the first message of a batch waits for others at most.
    pub batch_delay: Duration,
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
        }
    }
}

/// Called once with the outcome of a commit, on a thread of the engine: it must not block.
pub type Done = Box<dyn FnOnce(Result<Stored, CommitError>) + Send>;

/// A submitted message.
struct Job {
    commit: Commit,
    done: Done,
}

/// What the threads of an engine share.
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

    /// The name of a path as the journal keeps it.
    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.settings.root).unwrap_or(path).to_string_lossy().into_owned()
    }
}

/// Makes received messages durable. Dropping it finishes what was submitted.
pub struct CommitEngine {
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    recovered: Recovered,
    _lock: Arc<SpoolLock>,
}

impl CommitEngine {
    /// Finishes what an earlier process left, then starts. The lock is that of the spool and is held for the engine's life.
    ///
    /// # Errors
    /// [`CommitError`], from recovery; [`CommitError::Io`] where a queue or a thread cannot be made.
    pub fn start(lock: Arc<SpoolLock>, journal: Arc<Journal>, settings: CommitSettings) -> Result<Self, CommitError> {
        let queues = settings.queues.clone();
        let syncer = sync::Syncer::new(settings.sync);
        let shared = Arc::new(Shared { journal, settings, queues: Mutex::default(), syncer });
        recovery::refuse_missing(&shared)?;
        for queue in &queues {
            open_queue(&shared, queue)?;
        }
        let recovered = recovery::recover(&shared)?;
        let (jobs, threads) = start_threads(&shared)?;
        Ok(Self { shared, jobs: Some(jobs), threads, recovered, _lock: lock })
    }

    /// What recovery did at start.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Opens one more queue, made where it is missing.
    ///
    /// # Errors
    /// [`CommitError::Io`].
    pub fn add_queue(&self, path: &Path) -> Result<(), CommitError> {
        open_queue(&self.shared, path)
    }

    /// A queue of this engine.
    #[must_use]
    pub fn queue(&self, path: &Path) -> Option<Arc<Queue>> {
        self.shared.queue(path)
    }

    /// Whether messages that take `room` bytes on the disk could be stored now: in each queue an element is written, synced
    /// and removed, and the journal is written to. Blocks, for ten seconds where another program holds the journal's lock.
    ///
    /// # Errors
    /// What a commit would meet.
    pub fn probe(&self, room: u64) -> Result<(), CommitError> {
        let queues: Vec<_> = locked(&self.shared.queues).values().cloned().collect();
        let bytes = usize::try_from(room).unwrap_or(PROBE_MOST).clamp(PROBE_LEAST, PROBE_MOST);
        for queue in queues {
            let failed = |error| CommitError::sort(queue.path(), error);
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

    /// Submits a message; never blocks. The caller limits how much is submitted and not yet answered.
    pub fn submit(&self, commit: Commit) -> Ticket {
        let (sender, receiver) = mpsc::channel();
        self.submit_with(
            commit,
            Box::new(move |outcome| {
                // No one waits for it any more: then it is delivered again and found to be a duplicate.
                let _ = sender.send(outcome);
            }),
        );
        Ticket(receiver)
    }

    /// Submits a message and has `done` called with the outcome. A `done` that is dropped uncalled means that the engine
    /// died; the message is then as if it had never been submitted, or is found to be a duplicate.
    pub fn submit_with(&self, commit: Commit, done: Done) {
        if let Err(error) = self.admit(&commit) {
            return done(Err(error));
        }
        let Some(jobs) = &self.jobs else { return done(Err(CommitError::Stopped)) };
        if let Err(mpsc::SendError(job)) = jobs.send(Job { commit, done }) {
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
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has logged it; its submitters see their tickets closed.
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
        SpoolError::Io { path, source, .. } => CommitError::sort(&path, source),
        _ => CommitError::SpoolMissing { path: path.to_owned() },
    })?;
    shared.syncer.watch(&queue).map_err(|error| CommitError::sort(path, error))?;
    locked(&shared.queues).insert(path.to_owned(), Arc::new(queue));
    Ok(())
}

fn start_threads(shared: &Arc<Shared>) -> Result<(Sender<Job>, Vec<JoinHandle<()>>), CommitError> {
    let failed = |error| CommitError::sort(&shared.settings.root, error);
    let (jobs, incoming) = mpsc::channel();
    // One batch waits here while the one before it is committed.
    let (written, to_publish) = mpsc::sync_channel(1);
    let spool = Arc::clone(shared);
    let writer = std::thread::Builder::new()
        .name("spool-write".to_owned())
        .spawn(move || batch::write_batches(&spool, &incoming, &written))
        .map_err(failed)?;
    let spool = Arc::clone(shared);
    let publisher = std::thread::Builder::new()
        .name("spool-publish".to_owned())
        .spawn(move || publish::Publisher::new(spool).run(&to_publish))
        .map_err(failed)?;
    Ok((jobs, vec![writer, publisher]))
}

/// A submitted message whose outcome is awaited.
#[derive(Debug)]
pub struct Ticket(Receiver<Result<Stored, CommitError>>);

impl Ticket {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// [`CommitError`]: the message is not to be acknowledged.
    pub fn wait(self) -> Result<Stored, CommitError> {
        self.0.recv().unwrap_or(Err(CommitError::Stopped))
    }
}
