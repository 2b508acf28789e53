//! Messages on disk: those that wait to be sent, and those that were received.
//!
//! Start at [`Outgoing`] for the sending side and at [`CommitEngine`] for the receiving side.
//!
//! | module | contents |
//! |---|---|
//! | `outgoing` | queues of messages to send: a `dirq` without fields, or a plain directory |
//! | `queue` | queues with fields: incoming, reject, deferred |
//! | [`commit`] | received messages become durable, many at a time |
//! | [`journal`] | the SQLite file of what was received, sent and deferred |
//! | `crashes`, `in_flight` | the crash limit of a message |
//! | `lock` | the one owner of a spool |
//! | `guard` | what a file system must provide |
//! | `disk`, `failpoint` | every call that changes the disk, and how tests make it fail |
//!
//! Not here: the network, S/MIME, plugins, tokio. All calls block. No other crate writes messages to disk.
//!
//! # Proof
//! A [`LockedElement`] is made only by locking an element, and nothing is read or removed without it. A [`Stored`] is made
//! only by the commit engine, when the message is on disk and in the journal, and nothing is acknowledged without it.
//! Neither can be cloned or made elsewhere.
//!
//! # On disk
//! `outgoing` and `queue` have the layouts of the queues, [`journal`] that of the SQLite file, `in_flight` that of the file
//! `in-work`, `lock` that of the lock file.
//!
//! # Limits
//! 16,000 elements in one directory of a queue; a batch closes at 64 messages or 8 MiB. Callers limit the size of what they
//! read.

pub mod commit;
mod crashes;
mod disk;
pub(crate) mod failpoint;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod in_flight;
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
pub use crashes::{CrashLimit, CrashLimitError, TooManyCrashes, Turns, Work};
pub use disk::{Modes, free_bytes};
pub use guard::{SpoolWarning, inspect};
pub use lock::SpoolLock;
pub use outgoing::{
    ElementName, Foreign, ForeignKind, Format, Identity, LockedElement, Outgoing, ReadError, Removal, Scan, Waiting,
    id_stem,
};
pub use queue::{Element, ElementError, ElementPath, Elements, LockedQueueElement, Purged, Queue};

/// What can go wrong with a spool as a whole. Errors that meet one element are [`ReadError`] and [`ElementError`], those
/// that meet a commit [`CommitError`].
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another Sesame works on it.
    #[error("{path:?} is in use by another Sesame{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyHeld {
        /// The lock file.
        path: PathBuf,
        /// Its holder, if it said so.
        pid: Option<u32>,
    },
    /// There is no queue where one should be.
    #[error(
        "{path:?} is not a queue: make it with mode 0750 for the user Sesame runs as, or correct the configuration"
    )]
    NotAQueue {
        /// The place.
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
    /// The operating system refused.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl SpoolError {
    /// Makes the error of an action out of that of the operating system.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
