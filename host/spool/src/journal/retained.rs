//! Sent messages that are kept until all their dispatches are acknowledged.
//!
//! `due` says when to look at one again: to end it, once everything is acknowledged, or to send it once more.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::dispatch::{Answered, answered as said};
use super::schema::{Kind, known, number};
use super::sender::{PREPARED, PreparedKey, REJECTED, SENT, free_payloads};
use super::stages::exists;
use super::{Journal, JournalError, at_most, milliseconds, moment};
use message::MessageId;

/// A time that never comes.
pub(super) const NEVER: i64 = i64::MAX;
/// Values of the column `overdue`, beside 0.
pub(super) const OVERDUE: i64 = 1;
/// An operator asked to send it again.
pub(super) const ASKED: i64 = 2;
/// It is no longer waited for, and only the end of its retention is missing.
pub(super) const RELEASED: i64 = 3;

/// A retained message to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The message and its content.
    pub key: PreparedKey,
    /// Its element in the outgoing queue.
    pub element: String,
    /// How often it was sent again.
    pub repeats: u32,
    /// When it was sent first.
    pub since: SystemTime,
    /// What its receivers said.
    pub answered: Answered,
    /// Whether it is recorded as rejected, so that only the end of its retention is missing.
    pub rejected: bool,
    /// Whether an operator asked to send it again.
    pub asked: bool,
    /// Whether it is no longer waited for, so that only the end of its retention is missing.
    pub released: bool,
    /// Whether it was put back into the queue and is not sent yet.
    pub queued: bool,
}

/// How many sent messages wait for an acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// All of them.
    pub messages: u64,
    /// Those that were sent as often as allowed and wait no longer for a time.
    pub overdue: u64,
    /// When the oldest was sent.
    pub oldest: Option<SystemTime>,
}

impl Journal {
    /// Retained messages of a channel to be looked at until `now`, the longest due first, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn due(&self, channel: &str, now: SystemTime, limit: usize) -> Result<Vec<Due>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            let mut statement = db.prepare_cached(
                "SELECT id, digest, repeats, since, overdue FROM retained WHERE channel = ?1 AND due <= ?2
                 ORDER BY due LIMIT ?3",
            )?;
            let rows = statement
                .query_map(params![channel, milliseconds(now), at_most(limit)], |row| {
                    let id: String = row.get(0)?;
                    let key = PreparedKey { id: MessageId::from_peer(&id), digest: row.get(1)? };
                    Ok((key, row.get(2)?, moment(row.get(3)?), row.get::<_, i64>(4)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            rows.into_iter()
                .map(|(key, repeats, since, overdue)| {
                    let answered = said(db, channel, &key)?;
                    let (element, state) = outgoing(db, channel, &key)?;
                    let (asked, released) = (overdue == ASKED, overdue == RELEASED);
                    let (rejected, queued) = (state == REJECTED, state == PREPARED);
                    Ok(Due { key, element, repeats, since, answered, rejected, asked, released, queued })
                })
                .collect()
        })
    }

    /// When the next retained message of a channel is due, if any is.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn next_due(&self, channel: &str) -> Result<Option<SystemTime>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(None) };
            let due: Option<i64> = db
                .prepare_cached("SELECT min(due) FROM retained WHERE channel = ?1")?
                .query_row([channel], |row| row.get(0))?;
            Ok(due.filter(|due| *due != NEVER).map(moment))
        })
    }

    /// Makes a retained message one that is prepared, to be sent again under the same ids and numbers. If it was not sent
    /// by `due`, it is looked at again. Returns false, and changes nothing, where it was released meanwhile.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn repeat(&self, channel: &str, key: &PreparedKey, due: SystemTime) -> Result<bool, JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let waited_for = db
                .prepare_cached(
                    "UPDATE retained SET due = ?4, repeats = repeats + 1, overdue = 0
                     WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND overdue <> ?5",
                )?
                .execute(params![channel, key.id.as_str(), key.digest, milliseconds(due), RELEASED])?;
            if waited_for > 0 {
                set_state(db, channel, key, PREPARED)?;
            }
            Ok(waited_for > 0)
        })
    }

    /// Whether a retained message was put back into the queue and is not sent yet, nor released.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn is_queued(&self, channel: &str, key: &PreparedKey) -> Result<bool, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(false) };
            db.prepare_cached(
                "SELECT 1 FROM retained r JOIN outgoing o ON o.channel = r.channel AND o.id = r.id AND o.digest = r.digest
                 WHERE r.channel = ?1 AND r.id = ?2 AND r.digest = ?3 AND r.overdue <> ?4 AND o.state = ?5",
            )?
            .exists(params![channel, key.id.as_str(), key.digest, RELEASED, PREPARED])
        })
    }

    /// Undoes [`Journal::repeat`] for a message that could not be put back into the queue; it is looked at again at `due`.
    /// `asked`: whether an operator had asked to send it again.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn undo_repeat(
        &self,
        channel: &str,
        key: &PreparedKey,
        asked: bool,
        due: SystemTime,
    ) -> Result<(), JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            db.prepare_cached(
                "UPDATE retained SET due = ?4, repeats = max(repeats - 1, 0), overdue = ?5
                 WHERE channel = ?1 AND id = ?2 AND digest = ?3",
            )?
            .execute(params![
                channel,
                key.id.as_str(),
                key.digest,
                milliseconds(due),
                if asked { ASKED } else { 0 }
            ])?;
            set_state(db, channel, key, SENT)
        })
    }

    /// Sets when a retained message is looked at again. `asked`: whether an operator had asked to send it again when the
    /// caller read it; a request that came meanwhile stays due.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn set_due(&self, channel: &str, key: &PreparedKey, asked: bool, due: SystemTime) -> Result<(), JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            db.prepare_cached(
                "UPDATE retained SET due = ?4 WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND (overdue = ?5) = ?6",
            )?
            .execute(params![channel, key.id.as_str(), key.digest, milliseconds(due), ASKED, asked])?;
            Ok(())
        })
    }

    /// Ends retained messages: their content is gone, or durable elsewhere.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn end_retained(&self, channel: &str, keys: &[PreparedKey]) -> Result<(), JournalError> {
        self.write_unsynced(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            for key in keys {
                free_payloads(db, channel, key)?;
                db.prepare_cached("DELETE FROM retained WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
                    .execute(params![channel, key.id.as_str(), key.digest])?;
            }
            Ok(())
        })
    }

    /// How many sent messages of a channel wait for an acknowledgement.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn retained(&self, channel: &str) -> Result<Retained, JournalError> {
        self.read(|db| {
            if !exists(db, "retained")? {
                return Ok(Retained::default());
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Retained::default()) };
            db.prepare_cached(
                "SELECT count(*), coalesce(sum(overdue = ?2), 0), min(since) FROM retained
                 WHERE channel = ?1 AND overdue <> ?3",
            )?
            .query_row([channel, OVERDUE, RELEASED], |row| {
                Ok(Retained {
                    messages: row.get::<_, i64>(0)?.unsigned_abs(),
                    overdue: row.get::<_, i64>(1)?.unsigned_abs(),
                    oldest: row.get::<_, Option<i64>>(2)?.map(moment),
                })
            })
        })
    }

    /// Marks a retained message as overdue: it was sent as often as allowed. It stays retained. `asked`: whether an operator
    /// had asked to send it again when the caller read it. Returns false, and changes nothing, where that was asked for
    /// meanwhile, or it was released.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn mark_overdue(&self, channel: &str, key: &PreparedKey, asked: bool) -> Result<bool, JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let marked = db
                .prepare_cached(
                    "UPDATE retained SET due = ?4, overdue = ?5
                     WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND overdue <> ?6 AND (overdue = ?7) = ?8",
                )?
                .execute(params![channel, key.id.as_str(), key.digest, NEVER, OVERDUE, RELEASED, ASKED, asked])?;
            Ok(marked > 0)
        })
    }
}

fn set_state(db: &Connection, channel: i64, key: &PreparedKey, state: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE outgoing SET state = ?4 WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
        .execute(params![channel, key.id.as_str(), key.digest, state])?;
    Ok(())
}

/// Whether a message is retained.
pub(super) fn is_retained(db: &Connection, channel: i64, key: &PreparedKey) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM retained WHERE channel = ?1 AND id = ?2 AND digest = ?3")?.exists(params![
        channel,
        key.id.as_str(),
        key.digest
    ])
}

/// Element and state of a message.
pub(super) fn outgoing(db: &Connection, channel: i64, key: &PreparedKey) -> rusqlite::Result<(String, i64)> {
    let found = db
        .prepare_cached("SELECT element, state FROM outgoing WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
        .query_row(params![channel, key.id.as_str(), key.digest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Keeps a sent message until it is acknowledged, and makes it due after `wait`, doubled with each repeat. One that is
/// acknowledged already is due at once; whether it is.
pub(super) fn retain(
    db: &Connection,
    channel: i64,
    key: &PreparedKey,
    at: SystemTime,
    wait: Duration,
) -> rusqlite::Result<bool> {
    let (at, wait) = (milliseconds(at), i64::try_from(wait.as_millis()).unwrap_or(i64::MAX >> 16));
    db.prepare_cached(
        "INSERT INTO retained (channel, id, digest, due, repeats, since, overdue) VALUES (?1, ?2, ?3, ?4 + ?5, 0, ?4, 0)
         ON CONFLICT (channel, id, digest) DO UPDATE SET due = ?4 + ?5 * (1 << min(repeats, 16))",
    )?
    .execute(params![channel, key.id.as_str(), key.digest, at, wait])?;
    let answered = said(db, channel, key)? != Answered::No;
    if answered {
        db.prepare_cached("UPDATE retained SET due = 0 WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
            .execute(params![channel, key.id.as_str(), key.digest])?;
    }
    Ok(answered)
}

/// Makes a message due at once, since all have answered. One that is being sent again is looked at when that is done.
pub(super) fn answered(db: &Connection, channel: i64, key: &PreparedKey) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE retained SET due = 0 WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND EXISTS
            (SELECT 1 FROM outgoing o WHERE o.channel = ?1 AND o.id = ?2 AND o.digest = ?3 AND o.state = ?4)",
    )?
    .execute(params![channel, key.id.as_str(), key.digest, SENT])?;
    Ok(())
}
