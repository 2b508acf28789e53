//! Messages on disk: what waits to be sent, and what was received.
//!
//! Start reading at [`Outgoing`] for the sending side and at [`CommitEngine`] for the receiving side. `queue` has the
//! layout with fields, `lock` the one owner of a spool, `deaths` what becomes of a message on which the process dies, `guard` what a file system must be for all this to hold.
//! Blocking calls only; this module knows nothing of the network, of S/MIME or of plugins, and no other module writes
//! messages to the disk.
//!
//! # Proof
//! [`LockedElement`] is made only by locking an element, and nothing is read or removed without it. [`Stored`] is made
//! only by the commit engine, when the message is on the disk and in the journal, and nothing is acknowledged without it.
//! Neither can be cloned nor made outside.

pub mod commit;
mod deaths;
mod disk;
pub(crate) mod failpoint;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod in_work;
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
pub use deaths::{Deaths, DeathsError, Killer, Turns, Work};
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
    #[error("{path:?} is held by another Sesame{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
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
    #[error("{name:?} is not a name for a field")]
    BadFieldName {
        /// The name.
        name: String,
    },
    /// A name that cannot be an element of this queue.
    #[error("{name:?} is not a name for an element")]
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
