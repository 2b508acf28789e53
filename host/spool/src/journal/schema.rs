//! The tables and their version.
//!
//! Channel, signer, broker and pipeline are small integers in the rows; `name` holds their text. Times are milliseconds
//! since 1970. A later version migrates here, step by step, inside one transaction.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::JournalError;

/// The format written by this program.
pub(super) const VERSION: i64 = 1;

/// Marks the file as a Sesame journal ("SSME").
const APPLICATION_ID: i64 = 0x5353_4d45;

const TABLES: &str = "
CREATE TABLE name (
    number INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,              -- 0 channel, 1 signer, 2 broker, 3 pipeline
    text TEXT NOT NULL,
    UNIQUE (kind, text)
);
-- One row for each message that counts as seen. disposition: 1 stored, 2 deferred, 3 dropped.
CREATE TABLE received (
    channel INTEGER NOT NULL, id TEXT NOT NULL, signer INTEGER NOT NULL, digest BLOB NOT NULL,
    disposition INTEGER NOT NULL,
    received INTEGER NOT NULL, committed INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL, wire_bytes INTEGER NOT NULL,
    broker INTEGER, pipeline INTEGER,
    elements TEXT NOT NULL,             -- paths, one a line
    reason TEXT,
    conflict INTEGER NOT NULL,          -- same signer and id were seen with other content
    PRIMARY KEY (channel, id, signer, digest)
) WITHOUT ROWID;
-- Rejected messages: recorded, but not seen. The digest is that of the message as received.
CREATE TABLE rejected (
    channel INTEGER NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL, reason TEXT NOT NULL,
    signer INTEGER,
    received INTEGER NOT NULL, committed INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL, wire_bytes INTEGER NOT NULL,
    broker INTEGER, pipeline INTEGER,
    elements TEXT NOT NULL,
    detail TEXT,
    times INTEGER NOT NULL,
    PRIMARY KEY (channel, id, digest, reason)
) WITHOUT ROWID;
-- Batches whose elements may not all be in their queues yet.
CREATE TABLE pending (batch INTEGER PRIMARY KEY AUTOINCREMENT, moves TEXT NOT NULL);
CREATE TABLE deferred (
    channel INTEGER NOT NULL, element TEXT NOT NULL,
    id TEXT NOT NULL, signer INTEGER NOT NULL, digest BLOB NOT NULL,
    received INTEGER NOT NULL, next INTEGER NOT NULL, attempt INTEGER NOT NULL,
    PRIMARY KEY (channel, element)
) WITHOUT ROWID;
-- Inbound attempts, by the digest of the message as received.
CREATE TABLE attempt (
    channel INTEGER NOT NULL, digest BLOB NOT NULL,
    count INTEGER NOT NULL, deaths INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (channel, digest)
) WITHOUT ROWID;
-- Outgoing messages. state: 1 prepared, 2 sent, 3 rejected, 4 gone.
CREATE TABLE outgoing (
    channel INTEGER NOT NULL, element TEXT NOT NULL, digest BLOB NOT NULL,
    id TEXT NOT NULL, state INTEGER NOT NULL,
    outputs TEXT NOT NULL,              -- JSON
    payloads TEXT NOT NULL,             -- rows of `payload`, comma separated
    attempts INTEGER NOT NULL,
    prepared INTEGER NOT NULL, finished INTEGER,
    broker INTEGER, pipeline INTEGER,
    reason TEXT,
    PRIMARY KEY (channel, id, digest)
) WITHOUT ROWID;
CREATE TABLE payload (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
";

/// Tables that only add information. They are created if missing and need no version of their own: a Sesame that does
/// not know them ignores them.
const ADDED: &str = "
-- The plugins of the folder that are stages of a channel. filter, tombstone: text that only the plugins crate reads.
CREATE TABLE IF NOT EXISTS stage (
    channel INTEGER NOT NULL, name TEXT NOT NULL, filter TEXT, tombstone TEXT,
    PRIMARY KEY (channel, name)
) WITHOUT ROWID;
-- The stages of a pipeline, as JSON. number: that of its hash in `name`.
CREATE TABLE IF NOT EXISTS pipeline (number INTEGER PRIMARY KEY, stages TEXT NOT NULL);
-- How far a channel is in a source that numbers its messages. next: one beyond the last that is durable with all before it.
CREATE TABLE IF NOT EXISTS position (
    channel INTEGER NOT NULL, source TEXT NOT NULL,
    next INTEGER, delivered INTEGER NOT NULL, missing INTEGER NOT NULL,
    PRIMARY KEY (channel, source)
) WITHOUT ROWID;
-- Acknowledgements that a receiver owes. verdict: 1 accepted, 2 duplicate, 3 rejected.
CREATE TABLE IF NOT EXISTS owed (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    channel INTEGER NOT NULL, destination TEXT NOT NULL, at INTEGER NOT NULL,
    id TEXT NOT NULL, digest BLOB NOT NULL, signer TEXT NOT NULL,
    verdict INTEGER NOT NULL, code TEXT, reason TEXT, element TEXT, sequence TEXT
);
-- What a channel sends to a destination. last: the number of the last message; acknowledged: when its receiver first did.
CREATE TABLE IF NOT EXISTS stream (
    number INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL, destination TEXT NOT NULL, name TEXT NOT NULL UNIQUE,
    last INTEGER NOT NULL, acknowledged INTEGER,
    UNIQUE (channel, destination)
);
-- Earlier names of streams. last: the highest number that was given under the name.
CREATE TABLE IF NOT EXISTS former_stream (
    stream INTEGER NOT NULL, last INTEGER NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (stream, last)
) WITHOUT ROWID;
-- Which file the journal is, as the file system has it: one row. A copy is another file.
CREATE TABLE IF NOT EXISTS origin (file TEXT NOT NULL);
-- What a shared index knows this journal by.
CREATE TABLE IF NOT EXISTS instance (name TEXT NOT NULL);
-- One SEND of a prepared message, and what its receiver said. verdict: as in `owed`; decided: as the receiver writes it.
CREATE TABLE IF NOT EXISTS dispatch (
    channel INTEGER NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL, stream INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    whole TEXT NOT NULL, whole_digest BLOB NOT NULL,     -- the row of `outgoing`
    required INTEGER NOT NULL,
    verdict INTEGER, code TEXT, reason TEXT, decided TEXT, element TEXT, proof INTEGER,
    PRIMARY KEY (channel, id, digest, stream)
) WITHOUT ROWID;
-- Acknowledgement messages as received.
CREATE TABLE IF NOT EXISTS proof (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, receiver TEXT NOT NULL, raw BLOB NOT NULL);
-- Sent messages that are kept until they are acknowledged. due: when to look at one again. overdue: 1 sent as often as
-- allowed, 2 to be sent again since an operator asked for it, 3 no longer waited for.
CREATE TABLE IF NOT EXISTS retained (
    channel INTEGER NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL,
    due INTEGER NOT NULL, repeats INTEGER NOT NULL, since INTEGER NOT NULL, overdue INTEGER NOT NULL,
    PRIMARY KEY (channel, id, digest)
) WITHOUT ROWID;
-- Sent messages that were given up before they were acknowledged.
CREATE TABLE IF NOT EXISTS released (
    channel INTEGER NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL, at INTEGER NOT NULL, why TEXT NOT NULL,
    PRIMARY KEY (channel, id, digest)
) WITHOUT ROWID;
-- A stream of numbered messages that a receiver gets. first, last: the lowest and highest number that counts; seen: when its
-- last message came; omitted: messages missing in gaps that found no room in `gap`.
CREATE TABLE IF NOT EXISTS watched (
    channel INTEGER NOT NULL, signer INTEGER NOT NULL, stream TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, seen INTEGER NOT NULL,
    omitted INTEGER NOT NULL DEFAULT 0, omitted_at INTEGER NOT NULL DEFAULT 0,
    omitted_reported INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, signer, stream)
) WITHOUT ROWID;
-- Numbers of a stream that are missing. since: when a later one came. reported: the gap that was logged, of which this is
-- left.
CREATE TABLE IF NOT EXISTS gap (
    channel INTEGER NOT NULL, signer INTEGER NOT NULL, stream TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, since INTEGER NOT NULL,
    reported_first INTEGER, reported_last INTEGER,
    PRIMARY KEY (channel, signer, stream, first)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gap_unreported ON gap (channel, since) WHERE reported_first IS NULL;
-- Gaps that were logged and closed, until that is logged too.
CREATE TABLE IF NOT EXISTS closed_gap (
    channel INTEGER NOT NULL, signer INTEGER NOT NULL, stream TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, since INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (channel, signer, stream, first)
) WITHOUT ROWID;
-- Gaps that an operator dismissed. first, last: 0 of messages that were only counted.
CREATE TABLE IF NOT EXISTS dismissed_gap (
    channel INTEGER NOT NULL, signer INTEGER NOT NULL, stream TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, messages INTEGER NOT NULL, since INTEGER NOT NULL,
    at INTEGER NOT NULL, logged INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, signer, stream, first, at)
) WITHOUT ROWID;
-- What a prepared message holds, as JSON: records by site for each part.
CREATE TABLE IF NOT EXISTS sent_count (
    channel INTEGER NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL, counts TEXT NOT NULL,
    PRIMARY KEY (channel, id, digest)
) WITHOUT ROWID;
-- What a received message holds, as JSON, and the last decision about it. disposition: as in `received`, and 4 rejected.
CREATE TABLE IF NOT EXISTS received_count (
    channel INTEGER NOT NULL, id TEXT NOT NULL, signer INTEGER NOT NULL, digest BLOB NOT NULL,
    received INTEGER NOT NULL, decided INTEGER NOT NULL, disposition INTEGER NOT NULL,
    stream TEXT NOT NULL, counts TEXT NOT NULL, messages INTEGER NOT NULL, duplicates INTEGER NOT NULL,
    PRIMARY KEY (channel, id, signer, digest)
) WITHOUT ROWID;
-- What deleted rows had, by month (202610). side: 1 sent, 2 received. peer: destination or signer.
-- outcome: 1 unanswered, 2 accepted, 3 rejected, 4 awaited, 5 overdue, 6 duplicate.
CREATE TABLE IF NOT EXISTS total (
    side INTEGER NOT NULL, channel INTEGER NOT NULL, month INTEGER NOT NULL,
    peer TEXT NOT NULL, stream TEXT NOT NULL, site TEXT NOT NULL, format TEXT NOT NULL, outcome INTEGER NOT NULL,
    messages INTEGER NOT NULL, records INTEGER NOT NULL,
    PRIMARY KEY (side, channel, month, peer, stream, site, format, outcome)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS retained_due ON retained (channel, due);
CREATE INDEX IF NOT EXISTS owed_to ON owed (channel, destination);
";

/// Brings an open database to the current format.
pub(super) fn prepare(path: &Path, db: &Connection) -> Result<(), JournalError> {
    let failed = |error| JournalError::new(path, error);
    // A damaged file fails here at the latest, before anything is written to it.
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if version > VERSION {
        return Err(JournalError::TooNew { path: path.to_owned(), found: version, known: VERSION });
    }
    db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).map_err(failed)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    db.pragma_update(None, "wal_autocheckpoint", 4000).map_err(failed)?;
    db.pragma_update(None, "journal_size_limit", 64 << 20).map_err(failed)?;
    if version == VERSION {
        verify(path, db)?;
        return db.execute_batch(ADDED).map_err(failed);
    }
    let create = || {
        let transaction = db.unchecked_transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(ADDED)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()
    };
    create().map_err(failed)
}

/// Checks that an open database is a journal this program can read.
pub(super) fn verify(path: &Path, db: &Connection) -> Result<(), JournalError> {
    let failed = |error| JournalError::new(path, error);
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let ours: i64 = db.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    if ours != APPLICATION_ID {
        let finding = "not a journal of Sesame".to_owned();
        return Err(JournalError::Inconsistent { path: path.to_owned(), finding });
    }
    if found == VERSION {
        return Ok(());
    }
    Err(JournalError::TooNew { path: path.to_owned(), found, known: VERSION })
}

/// Names that were looked up in the same transaction, with their numbers: most messages of a batch have the same.
#[derive(Default)]
pub(super) struct Names {
    by_kind: [HashMap<String, i64>; 4],
}

impl Names {
    /// As [`number`].
    pub(super) fn number(&mut self, db: &Connection, kind: Kind, text: &str) -> rusqlite::Result<i64> {
        let Some(found) = self.by_kind.get_mut(kind as usize) else { return number(db, kind, text) };
        if let Some(known) = found.get(text) {
            return Ok(*known);
        }
        let number = number(db, kind, text)?;
        found.insert(text.to_owned(), number);
        Ok(number)
    }

    /// As [`number`](Self::number), but `None` for an empty text.
    pub(super) fn optional(&mut self, db: &Connection, kind: Kind, text: &str) -> rusqlite::Result<Option<i64>> {
        if text.is_empty() { Ok(None) } else { self.number(db, kind, text).map(Some) }
    }
}

/// The kind of a text in the table `name`.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Channel = 0,
    Signer = 1,
    Broker = 2,
    Pipeline = 3,
}

/// The number of a name, which is added if it is new.
pub(super) fn number(db: &Connection, kind: Kind, text: &str) -> rusqlite::Result<i64> {
    if let Some(number) = known(db, kind, text)? {
        return Ok(number);
    }
    db.prepare_cached("INSERT INTO name (kind, text) VALUES (?1, ?2)")?.execute((kind as i64, text))?;
    Ok(db.last_insert_rowid())
}

/// The number of a name, if it has one.
pub(super) fn known(db: &Connection, kind: Kind, text: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT number FROM name WHERE kind = ?1 AND text = ?2")?
        .query_row((kind as i64, text), |row| row.get(0))
        .optional()
}

/// Every name of a kind with its number.
pub(super) fn names(db: &Connection, kind: Kind) -> rusqlite::Result<Vec<(i64, String)>> {
    db.prepare_cached("SELECT number, text FROM name WHERE kind = ?1 ORDER BY number")?
        .query_map([kind as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The text of a number.
pub(super) fn text(db: &Connection, number: Option<i64>) -> rusqlite::Result<String> {
    let Some(number) = number else { return Ok(String::new()) };
    let text: Option<String> = db
        .prepare_cached("SELECT text FROM name WHERE number = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()?;
    Ok(text.unwrap_or_default())
}
