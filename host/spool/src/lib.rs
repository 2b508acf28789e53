//! Messages on disk: those waiting to be sent, and those received.
//!
//! Start at [`Outgoing`] for the sending side and at [`CommitEngine`] for the receiving side.
//!
//! | module | contents |
//! |---|---|
//! | `outgoing` | queues of messages to send: a `dirq` without fields, or a plain directory |
//! | `queue` | queues with fields: incoming, reject, deferred |
//! | [`commit`] | the commit engine, which makes received messages durable |
//! | `index` | what an index that several receivers share does for the commit engine |
//! | [`journal`] | the SQLite file with all received, sent and deferred messages |
//! | `crashes`, `in_flight` | the crash limit of a message |
//! | `lock` | exclusive ownership of a spool |
//! | `guard` | checks of the file system |
//! | `disk`, `failpoint` | the calls that change queues, and fault injection for tests |
//!
//! The network, S/MIME, plugins and tokio are out of scope. All calls block. No other crate writes messages to disk.
//!
//! # Proof types
//! A [`LockedElement`] is created only by locking an element, and is required to read or remove it. A [`Stored`] is
//! created only by the commit engine, when the message is on disk and in the journal, and is required to acknowledge
//! it. Neither can be cloned or created elsewhere.
//!
//! # On disk
//! `outgoing` and `queue` describe the layouts of the queues, [`journal`] that of the SQLite file, `in_flight` that of
//! the file `in-work`, `lock` that of the lock file.
//!
//! # Limits
//! 16,000 elements in one directory of a queue; a batch closes at 64 messages or 8 MiB. Callers limit the size of what
//! they read.

pub mod commit;
#[cfg(test)]
mod convergence;
mod crashes;
mod disk;
pub(crate) mod failpoint;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod in_flight;
mod index;
pub mod journal;
mod lock;
mod names;
mod outgoing;
mod queue;

use std::io;
use std::path::{Path, PathBuf};

pub use commit::{
    Commit, CommitEngine, CommitError, CommitSettings, Done, NewElement, Outcome, Recovered, Stored, SyncMethod, Ticket,
};
pub use crashes::{CrashLimit, CrashLimitError, NoSuspect, TooManyCrashes, Turns, Work};
pub use disk::{Modes, free_bytes, make_directories};
pub use failpoint::kill_point;
pub use guard::{SpoolWarning, inspect};
pub use index::{Asked, Claim, IndexError, IndexKey, SharedIndex};
pub use lock::SpoolLock;
pub use outgoing::{
    ElementName, Foreign, ForeignKind, Format, Identity, LockedElement, NotRetained, Outgoing, ReadError, Removal,
    RetainedElements, Scan, Waiting, id_stem,
};
pub use queue::{Element, ElementError, ElementPath, Elements, LockedQueueElement, Purged, Queue};

/// An error of a whole spool. Errors of single elements are [`ReadError`] and [`ElementError`], those of a commit
/// [`CommitError`].
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another Sesame uses it.
    #[error("{path:?} is in use by another Sesame{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyHeld {
        /// The lock file.
        path: PathBuf,
        /// The process id of its holder, if known.
        pid: Option<u32>,
    },
    /// The lock file, or the directory it is to be in, belongs to another user.
    #[error(
        "cannot open lock file {path:?}: its directory and what is in it must belong to the user Sesame runs as; if a \
         command was run as another user there, change the owner with `chown -R`"
    )]
    LockNotOurs {
        /// The lock file.
        path: PathBuf,
        /// The system error.
        #[source]
        source: io::Error,
    },
    /// The directory of a queue does not exist.
    #[error("{path:?} is not a queue: create it with mode 0750 for the user Sesame runs as, or fix the configuration")]
    NotAQueue {
        /// The path.
        path: PathBuf,
    },
    /// A field name outside `[0-9a-zA-Z]+`.
    #[error("{name:?} is not a valid field name")]
    BadFieldName {
        /// The name.
        name: String,
    },
    /// A name that cannot be an element of this queue.
    #[error("{name:?} is not a valid element name")]
    BadElementName {
        /// The name.
        name: String,
    },
    /// A system call failed.
    #[error("cannot {action} {path:?}")]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system error.
        #[source]
        source: io::Error,
    },
}

impl SpoolError {
    /// Returns a function that wraps the system error of an action.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
