//! Why a channel cannot be set up.

use std::path::PathBuf;
use std::sync::Arc;

use spool::journal::JournalError;
use spool::{CommitError, CrashLimitError, SpoolError};
use transport::LinkError;
use trust::{CredentialError, ListError, RecipientError, TrustError};

/// Why a channel cannot be set up. All of these stop the program before it has done anything.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Our certificate or key.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Anchors and CRLs.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The recipient's certificate.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// A DN list.
    #[error(transparent)]
    List(#[from] ListError),
    /// The link to a broker.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A queue or spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The commit engine.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The connection to the shared index cannot be set up.
    #[error("cannot set up the connection to the shared index")]
    Index(#[source] std::io::Error),
    /// What was in flight when the process crashed last.
    #[error(transparent)]
    Crashes(#[from] CrashLimitError),
    /// Plugins of a pipeline.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Plugins(Vec<plugins::PluginError>),
    /// The folder of plugins.
    #[error(transparent)]
    PluginFolder(Arc<plugins::FolderError>),
    /// The configuration names no such broker; it is checked when it is read.
    #[error("there is no broker {0:?}")]
    NoBroker(String),
    /// The configuration has no such channel.
    #[error("unknown channel {0:?}")]
    NoChannel(String),
    /// A directory cannot be created.
    #[error("cannot make directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl SetupError {
    /// Whether another Sesame holds the queue: exit status 75.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Spool(SpoolError::AlreadyHeld { .. }))
    }
}
