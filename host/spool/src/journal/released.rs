//! What an operator asks about retained messages: to list them, to send them again now, or to wait for them no longer.
//!
//! Commands write their requests beside a running Sesame, which finds them at its next look. Each request is one
//! transaction that checks the state of the message, so that no message is released while it goes out again.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::dispatch::{Answered, Dispatch, answered, load, name, require};
use super::retained::{ASKED, NEVER, OVERDUE, RELEASED, outgoing};
use super::schema::{Kind, known};
use super::sender::{PREPARED, PreparedKey, SENT};
use super::stages::exists;
use super::{Journal, JournalError, at_most, milliseconds, moment};
use message::MessageId;
use message::acknowledgement::Sequence;

/// Where a retained message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptState {
    /// It waits for an acknowledgement.
    Waiting,
    /// It was sent as often as allowed.
    Overdue,
    /// It is sent again.
    Repeating,
    /// Its receiver has it, and what is kept of it is about to be removed.
    Acknowledged,
    /// Its receiver rejected it, and it is about to be moved to the reject queue.
    Rejected,
    /// It was released, and what is kept of it is about to be removed.
    Released,
}

impl KeptState {
    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Overdue => "overdue",
            Self::Repeating => "repeating",
            Self::Acknowledged => "acknowledged",
            Self::Rejected => "rejected",
            Self::Released => "released",
        }
    }
}

/// A retained message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The message and its content.
    pub key: PreparedKey,
    /// Its element in the outgoing queue.
    pub element: String,
    /// When it was sent first.
    pub since: SystemTime,
    /// How often it was sent again.
    pub repeats: u32,
    /// Where it is on its way.
    pub state: KeptState,
    /// When it is sent again, if it waits for that.
    pub next: Option<SystemTime>,
    /// Its SENDs, open where an answer is awaited.
    pub dispatches: Vec<Dispatch>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is noted.
    Noted,
    /// The message is not retained.
    NotKept,
    /// The message is in this state, in which that is not possible.
    Not(KeptState),
}

/// A message that was given up before it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// When.
    pub at: SystemTime,
    /// Why.
    pub why: String,
}

/// A row of `retained`.
type KeptRow = (PreparedKey, i64, u32, i64, i64);

const COLUMNS: &str = "SELECT id, digest, since, repeats, due, overdue FROM retained";

impl Journal {
    /// Retained messages of a channel in the order of their ids, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn kept(&self, channel: &str, after: Option<&PreparedKey>, limit: usize) -> Result<Vec<Kept>, JournalError> {
        let (id, digest) = after.map_or(("", [].as_slice()), |key| (key.id.as_str(), key.digest.as_slice()));
        self.read(|db| {
            let Some(channel) = retaining(db, channel)? else { return Ok(Vec::new()) };
            let rows = db
                .prepare_cached(&format!(
                    "{COLUMNS} WHERE channel = ?1 AND (id, digest) > (?2, ?3) ORDER BY id, digest LIMIT ?4"
                ))?
                .query_map(params![channel, id, digest, at_most(limit)], kept_row)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            rows.into_iter().map(|row| kept(db, channel, row)).collect()
        })
    }

    /// The retained messages of a channel with this id.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn kept_of(&self, channel: &str, id: &MessageId) -> Result<Vec<Kept>, JournalError> {
        self.read(|db| {
            let Some(channel) = retaining(db, channel)? else { return Ok(Vec::new()) };
            let rows = db
                .prepare_cached(&format!("{COLUMNS} WHERE channel = ?1 AND id = ?2"))?
                .query_map(params![channel, id.as_str()], kept_row)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            rows.into_iter().map(|row| kept(db, channel, row)).collect()
        })
    }

    /// Asks to send retained messages again now. Their repeats count from the beginning. The results are in the order of
    /// the keys.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn ask_repeat(&self, channel: &str, keys: &[PreparedKey]) -> Result<Vec<Asked>, JournalError> {
        self.write(|db| keys.iter().map(|key| ask_repeat(db, channel, key)).collect())
    }

    /// Gives retained messages up, and notes why. What is kept of them can then be removed, and their retention be
    /// [ended](Self::end_retained); a Sesame that finds them does so. The results are in the order of the keys.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn release(&self, channel: &str, keys: &[PreparedKey], why: &str) -> Result<Vec<Asked>, JournalError> {
        self.write(|db| keys.iter().map(|key| release(db, channel, key, why)).collect())
    }

    /// When and why messages with this id were given up.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn released(&self, channel: &str, id: &MessageId) -> Result<Vec<Released>, JournalError> {
        self.read(|db| {
            if !exists(db, "released")? {
                return Ok(Vec::new());
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached("SELECT at, why FROM released WHERE channel = ?1 AND id = ?2 ORDER BY at")?
                .query_map(params![channel, id.as_str()], |row| {
                    Ok(Released { at: moment(row.get(0)?), why: row.get(1)? })
                })?
                .collect()
        })
    }

    /// How many messages of a channel were given up within the journal's retention, and when the first of them was.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn count_released(&self, channel: &str) -> Result<(u64, Option<SystemTime>), JournalError> {
        self.read(|db| {
            if !exists(db, "released")? {
                return Ok((0, None));
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok((0, None)) };
            db.prepare_cached("SELECT count(*), min(at) FROM released WHERE channel = ?1")?
                .query_row([channel], |row| {
                    Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, Option<i64>>(1)?.map(moment)))
                })
        })
    }

    /// Makes what is kept due as if `wait` had been the time before the first repeat when it was sent; how many messages
    /// that changed. If the message that is due last is due at that time, nothing is looked at.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn apply_wait(&self, channel: &str, wait: Duration) -> Result<usize, JournalError> {
        const DUE: &str = "o.finished + ?2 * (1 << min(r.repeats, 16))";
        const WAITING: &str = "r.channel = ?1 AND r.due > 0 AND r.due < ?3 AND r.overdue = 0";
        const SENT_ROW: &str = "o.channel = r.channel AND o.id = r.id AND o.digest = r.digest AND o.state = ?4";
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX >> 16);
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(0) };
            let values = params![channel, wait, NEVER, SENT];
            let last: Option<bool> = db
                .prepare_cached(&format!(
                    "SELECT r.due <> {DUE} FROM retained r JOIN outgoing o ON {SENT_ROW}
                     WHERE {WAITING} ORDER BY r.due DESC LIMIT 1"
                ))?
                .query_row(values, |row| row.get(0))
                .optional()?;
            if last != Some(true) {
                return Ok(0);
            }
            db.prepare_cached(&format!(
                "UPDATE retained AS r SET due = {DUE} FROM outgoing o WHERE {SENT_ROW} AND {WAITING} AND r.due <> {DUE}"
            ))?
            .execute(values)
        })
    }

    /// The messages of senders with this number: channel, id of the whole message, and id of the part.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn ids_of_sequence(&self, sequence: &Sequence) -> Result<Vec<(String, String)>, JournalError> {
        self.read(|db| {
            if !exists(db, "dispatch")? {
                return Ok(Vec::new());
            }
            db.prepare_cached(&of_sequence(db)?)?
                .query_map(params![sequence.stream(), super::integer(sequence.number())], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?
                .collect()
        })
    }
}

/// The dispatches of the stream that is or was named `?1` with number `?2`. The stream comes first, so that only dispatches
/// of its channel are looked at.
pub(super) fn of_sequence(db: &Connection) -> rusqlite::Result<String> {
    let former = match exists(db, "former_stream")? {
        true => "UNION SELECT stream FROM former_stream WHERE name = ?1",
        false => "",
    };
    let name = name(db)?;
    Ok(format!(
        "SELECT n.text, d.whole FROM stream s
         CROSS JOIN dispatch d ON d.channel = s.channel AND d.stream = s.number
         JOIN name n ON n.number = s.channel
         WHERE s.number IN (SELECT number FROM stream WHERE name = ?1 {former}) AND d.sequence = ?2 AND {name} = ?1"
    ))
}

fn ask_repeat(db: &Connection, channel: &str, key: &PreparedKey) -> rusqlite::Result<Asked> {
    let Some((channel, state)) = state_of(db, channel, key)? else { return Ok(Asked::NotKept) };
    if !matches!(state, KeptState::Waiting | KeptState::Overdue) {
        return Ok(Asked::Not(state));
    }
    // Its receiver may no longer be taken for one that acknowledges, now or before it is sent. Who asks wants to know.
    require(db, channel, key)?;
    db.prepare_cached(
        "UPDATE retained SET due = ?4, repeats = 0, overdue = ?5 WHERE channel = ?1 AND id = ?2 AND digest = ?3",
    )?
    .execute(params![channel, key.id.as_str(), key.digest, milliseconds(SystemTime::now()), ASKED])?;
    Ok(Asked::Noted)
}

fn release(db: &Connection, channel: &str, key: &PreparedKey, why: &str) -> rusqlite::Result<Asked> {
    let Some((channel, state)) = state_of(db, channel, key)? else { return Ok(Asked::NotKept) };
    match state {
        KeptState::Rejected => return Ok(Asked::Not(state)),
        // It is in the queue; a request for that alone can be taken back.
        KeptState::Repeating if outgoing(db, channel, key)?.1 == PREPARED => return Ok(Asked::Not(state)),
        _ => {}
    }
    let now = milliseconds(SystemTime::now());
    if state != KeptState::Acknowledged {
        db.prepare_cached(
            "INSERT OR REPLACE INTO released (channel, id, digest, at, why) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![channel, key.id.as_str(), key.digest, now, why])?;
    }
    db.prepare_cached("UPDATE retained SET due = ?4, overdue = ?5 WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
        .execute(params![channel, key.id.as_str(), key.digest, now, RELEASED])?;
    Ok(Asked::Noted)
}

/// The number of a channel. A journal that is only read may be from a time before messages were retained.
fn retaining(db: &Connection, channel: &str) -> rusqlite::Result<Option<i64>> {
    if exists(db, "retained")? { known(db, Kind::Channel, channel) } else { Ok(None) }
}

fn kept_row(row: &Row<'_>) -> rusqlite::Result<KeptRow> {
    let id: String = row.get(0)?;
    let key = PreparedKey { id: MessageId::from_peer(&id), digest: row.get(1)? };
    Ok((key, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn kept(db: &Connection, channel: i64, (key, since, repeats, due, overdue): KeptRow) -> rusqlite::Result<Kept> {
    let (element, sent) = outgoing(db, channel, &key)?;
    let state = state(db, channel, &key, (overdue, sent, due))?;
    let next = (state == KeptState::Waiting && due != NEVER).then(|| moment(due));
    let dispatches = load(db, channel, &key, name(db)?)?;
    Ok(Kept { key, element, since: moment(since), repeats, state, next, dispatches })
}

/// The channel and the state of a retained message.
fn state_of(db: &Connection, channel: &str, key: &PreparedKey) -> rusqlite::Result<Option<(i64, KeptState)>> {
    let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(None) };
    let row: Option<(i64, i64)> = db
        .prepare_cached("SELECT overdue, due FROM retained WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
        .query_row(params![channel, key.id.as_str(), key.digest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((overdue, due)) = row else { return Ok(None) };
    let sent = outgoing(db, channel, key)?.1;
    Ok(Some((channel, state(db, channel, key, (overdue, sent, due))?)))
}

/// What is acknowledged is due since 1970.
fn state(
    db: &Connection,
    channel: i64,
    key: &PreparedKey,
    (overdue, sent, due): (i64, i64, i64),
) -> rusqlite::Result<KeptState> {
    if overdue == RELEASED {
        return Ok(KeptState::Released);
    }
    if sent == PREPARED {
        return Ok(KeptState::Repeating);
    }
    Ok(match answered(db, channel, key)? {
        // Otherwise its content is not what was sent, so that it cannot be moved.
        Answered::Rejected(_) if due != NEVER => KeptState::Rejected,
        Answered::Delivered if due == 0 => KeptState::Acknowledged,
        _ if overdue == ASKED => KeptState::Repeating,
        _ if overdue == OVERDUE => KeptState::Overdue,
        _ => KeptState::Waiting,
    })
}

/// Forgets that a message was given up, whose row is deleted.
pub(super) fn forget(db: &Connection, channel: i64, id: &str, digest: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM released WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
        .execute(params![channel, id, digest])?;
    Ok(())
}

#[cfg(test)]
mod tests;
