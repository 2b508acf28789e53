//! The journal: the receiver's commit point, the sender's prepared outputs, and the audit trail of every message.
//!
//! Start reading at [`Journal`]. [`Journal::commit`] is the commit point of the receiving side: a unique key detects
//! duplicates inside its transaction, never a query beforehand. `sender.rs` is the sending side; `trace.rs` reads all
//! steps of a message; `owed.rs` has the acknowledgements that a receiver owes, `gaps.rs` what it misses, `dispatch.rs` the
//! acknowledgements that a sender waits for, `retained.rs` what it keeps meanwhile, `released.rs` what an operator asks
//! about that, `proofs.rs` those acknowledgements as received; `counts.rs` how many records of which site; `origin.rs`
//! notices a copied journal; `stages.rs` remembers plugins, `positions.rs` how far a source was received; `schema.rs` has
//! the tables. The journal does not access queues: it treats
//! elements as text.
//!
//! # On disk
//! One SQLite database, mode 0600 (signers and reasons are personal data), WAL, `synchronous=FULL`: a transaction that
//! was answered survives a power cut. One transaction for each batch. `sqlite3 FILE 'select * from received'` reads it.
//! A damaged file is reported with its name and the remedy; the journal never repairs or removes it.
//!
//! # Policy
//! Stored, deferred and dropped messages count as seen. Rejected ones do not: a signer that is authorised later may
//! send the same message again. `received` has no second index, because each index costs more than the row itself;
//! expired rows are found by walking the primary key in small steps.

mod attempts;
mod counts;
mod dispatch;
mod gaps;
mod origin;
mod owed;
mod positions;
mod proofs;
mod receiver;
mod released;
mod retained;
mod retention;
mod schema;
mod sender;
mod stages;
#[cfg(test)]
mod tests;
mod trace;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::failpoint::failpoint;
use message::{files, locked};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{CWD, OFlags};

pub use attempts::DeferredElement;
pub use counts::{Amount, Amounts, Cell, Counted, Outcome, SentCount, Side, UNCOUNTED};
pub use dispatch::{Acknowledged, Answered, Applied, Dispatch, Proof};
pub use gaps::{Dismissed, Gap, Omitted, Whereabouts};
pub use message::Output;
pub use owed::{Acknowledge, Owed};
pub use positions::Position;
pub use proofs::{KeptProof, Proved};
pub use receiver::{BatchResult, Decision, Disposition, Elsewhere, Entry, Facts, Indexed, Key, Move, PendingBatch};
pub use released::{Asked, Kept, KeptState, Released};
pub use retained::{Due, Retained};
pub use retention::Expired;
pub use sender::{Prepared, PreparedKey, Sent, TakenUp};
pub use stages::{PipelineStage, StageRow};
pub use trace::{Published, Step};

/// How long a statement waits for another connection, such as that of `sesame trace`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Times of files are as exact as this, with a wide margin.
const SETTLED: Duration = Duration::from_secs(1);

/// A journal up to this size is checked completely when it is opened.
const QUICK_CHECK_BYTES: u64 = 32 << 20;

/// An error of the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file is not a database or its pages contradict each other.
    #[error(
        "journal {path:?} is damaged: stop Sesame, move the file aside with its -wal and -shm files, and start again; \
         a message redelivered from before that moment is then stored a second time"
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// The consistency check of the file found something.
    #[error(
        "journal {path:?} is damaged ({finding}): stop Sesame, move the file aside with its -wal and -shm files, and \
         start again; a message redelivered from before that moment is then stored a second time"
    )]
    Inconsistent {
        /// The journal.
        path: PathBuf,
        /// The first finding of the check.
        finding: String,
    },
    /// Written by a later Sesame.
    #[error("journal {path:?} has format {found}, this Sesame supports {known}: use the newer Sesame that wrote it")]
    TooNew {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format of this Sesame.
        known: i64,
    },
    /// The disk is full.
    #[error("no space left on the disk for journal {path:?}")]
    Full {
        /// The journal.
        path: PathBuf,
    },
    /// The file cannot be created or opened.
    #[error("cannot open journal {path:?}")]
    Open {
        /// The journal.
        path: PathBuf,
        /// The system error.
        #[source]
        source: std::io::Error,
    },
    /// Any other failure of the database.
    #[error("cannot use journal {path:?}")]
    Database {
        /// The journal.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
}

impl JournalError {
    fn new(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path, source },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            _ => Self::Database { path, source },
        }
    }

    /// Whether the file itself is damaged, so that another attempt cannot help.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Inconsistent { .. })
    }
}

/// The state of a journal; see [`Journal::last_change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastChange {
    inode: u64,
    size: u64,
    at: SystemTime,
}

/// The journal of one spool or of one outgoing queue. The process that writes it holds the lock of that spool.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    connection: Mutex<Connection>,
    cursors: Mutex<retention::Cursors>,
}

impl Journal {
    /// Opens the journal `path` for reading and writing, and creates it if it is missing.
    ///
    /// # Errors
    /// [`JournalError`]; a damaged file is left as it is.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        make_private(path).map_err(|source| JournalError::Open { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(path, flags).map_err(|error| JournalError::new(path, error))?;
        schema::prepare(path, &connection)?;
        let size = path.metadata().map_or(0, |facts| facts.len());
        let journal = Self { path: path.to_owned(), connection: Mutex::new(connection), cursors: Mutex::default() };
        if size <= QUICK_CHECK_BYTES {
            journal.check()?;
        }
        journal.notice_copy()?;
        Ok(journal)
    }

    /// Opens an existing journal read-only, also while a daemon uses it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open_to_read(path: &Path) -> Result<Self, JournalError> {
        let missing = |source| JournalError::Open { path: path.to_owned(), source };
        path.metadata().map_err(missing)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(path, flags).map_err(|error| JournalError::new(path, error))?;
        connection.pragma_update(None, "query_only", true).map_err(|error| JournalError::new(path, error))?;
        schema::verify(path, &connection)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), cursors: Mutex::default() })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which transaction is the last, as far as the file system shows it: each one, of any process, changes the log of
    /// transactions. `None` where that cannot be known, as for a transaction of this very moment, whose time the next could
    /// have too.
    #[must_use]
    pub fn last_change(&self) -> Option<LastChange> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let facts = Path::new(&log).symlink_metadata().ok()?;
        let at = facts.modified().ok()?;
        let settled = SystemTime::now().duration_since(at).is_ok_and(|age| age > SETTLED);
        settled.then(|| LastChange { inode: facts.ino(), size: facts.len(), at })
    }

    /// Checks the whole file, for `sesame check` and, if the file is small, at start-up.
    ///
    /// # Errors
    /// [`JournalError::Inconsistent`] with the first finding.
    pub fn check(&self) -> Result<(), JournalError> {
        let finding: String = self.read(|db| db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
        if finding == "ok" {
            return Ok(());
        }
        Err(JournalError::Inconsistent { path: self.path.clone(), finding })
    }

    /// Checks that the journal can be written now, by writing and syncing one page. Its content does not change.
    ///
    /// # Errors
    /// [`JournalError`]; if another program holds the write lock, after ten seconds.
    pub fn probe(&self) -> Result<(), JournalError> {
        self.write(|db| {
            let format: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            db.pragma_update(None, "user_version", format)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        locked(&self.connection)
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        query(&self.lock()).map_err(|error| JournalError::new(&self.path, error))
    }

    /// Runs `change` in one transaction, which is durable when this returns.
    fn write<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let mut connection = self.lock();
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let value = change(&transaction)?;
            commit(transaction)?;
            Ok(value)
        };
        run(&mut connection).map_err(|error| JournalError::new(&self.path, error))
    }

    /// Runs `change` in one transaction, which is durable with the next one of [`write`](Self::write): they share a log
    /// that is synced in order.
    fn write_unsynced<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let connection = self.lock();
        let run = || {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            let transaction = connection.unchecked_transaction()?;
            let value = change(&transaction)?;
            commit(transaction)?;
            Ok(value)
        };
        let written = run();
        let synced = connection.pragma_update(None, "synchronous", "FULL");
        written.and_then(|value| synced.map(|()| value)).map_err(|error| JournalError::new(&self.path, error))
    }
}

fn commit(transaction: rusqlite::Transaction<'_>) -> rusqlite::Result<()> {
    let failed = |error: std::io::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    failpoint!("transaction").map_err(failed)?;
    transaction.commit()?;
    failpoint!("committed").map_err(failed)
}

/// Creates the file with mode 0600 before SQLite opens it. SQLite gives its -wal and -shm files the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let file = files::open(CWD, path, OFlags::RDWR | OFlags::CREATE, 0o600)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    if file.metadata()?.len() == 0 {
        file.sync_all()?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Otherwise SQLite compiles a statement again whenever a bound value changes that its plan might depend on.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Milliseconds since 1970; 0 before.
fn milliseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|age| i64::try_from(age.as_millis()).ok()).unwrap_or(0)
}

/// The time at this number of milliseconds since 1970.
fn moment(milliseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// At most so many rows.
fn at_most(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// A value as a column has it that only this program reads.
fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A size as SQLite keeps it.
fn integer(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
