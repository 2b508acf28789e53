//! Deletes expired rows, a few at a time. The tables have no index on times, so each call walks a part of the primary
//! key.

use std::time::SystemTime;

use message::locked;
use rusqlite::{Connection, params};

use super::counts::{ReceivedKey, fold_received, fold_sent, fold_uncounted};
use super::{Journal, JournalError, at_most, milliseconds};

/// Messages that one call adds to the totals at most, of each table: one may have hundreds of sites, and nothing is
/// committed meanwhile.
const FOLDS: usize = 50;

/// The position of the walk in each table: the last key seen.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    received: Option<ReceivedKey>,
    rejected: Option<(i64, String, Vec<u8>, String)>,
    outgoing: Option<(i64, String, Vec<u8>)>,
    received_count: Option<ReceivedKey>,
}

/// The result of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Rows looked at.
    pub seen: usize,
    /// Rows deleted.
    pub deleted: usize,
    /// Whether the walk reached the end of every table; the next call begins again.
    pub round: bool,
}

impl Journal {
    /// Reads up to `step` rows of each table and deletes those committed before `before`, at most 50 that are added to the
    /// totals. Called regularly with a small step (500), so that it never delays a commit. Deferred, prepared and retained
    /// messages stay.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn expire(&self, before: SystemTime, step: usize) -> Result<Expired, JournalError> {
        let before = milliseconds(before);
        let mut cursors = locked(&self.cursors);
        let mut expired = Expired { round: true, ..Expired::default() };
        self.write(|db| {
            expire_received(db, &mut cursors, before, step, &mut expired)?;
            expire_received_counts(db, &mut cursors, before, step, &mut expired)?;
            expire_rejected(db, &mut cursors, before, step, &mut expired)?;
            expire_outgoing(db, &mut cursors, before, step, &mut expired)?;
            db.prepare_cached("DELETE FROM attempt WHERE last < ?1")?.execute([before])?;
            expire_oldest(db, before, step)?;
            super::gaps::expire(db, before)?;
            Ok(())
        })?;
        Ok(expired)
    }
}

/// Notes that these rows of a table were looked at, and where its walk goes on.
fn note<K>(cursor: &mut Option<K>, rows: Vec<(K, bool)>, (ended, deleted): (bool, usize), expired: &mut Expired) {
    expired.seen += rows.len();
    expired.deleted += deleted;
    expired.round &= ended;
    *cursor = if ended { None } else { rows.into_iter().next_back().map(|(key, _)| key) };
}

/// Leaves what follows the last of [`FOLDS`] old rows to the next call; whether the walk reached the end of its table.
fn only_some<K>(rows: &mut Vec<(K, bool)>, step: usize) -> bool {
    let ended = rows.len() < step;
    let last = rows.iter().enumerate().filter(|(_, (_, old))| *old).nth(FOLDS - 1).map(|(place, _)| place + 1);
    match last.filter(|&last| last < rows.len()) {
        Some(last) => {
            rows.truncate(last);
            false
        }
        None => ended,
    }
}

/// The next rows of a table with this key, in its order, each with whether it has expired; whether they are its last.
/// `columns`: the key and the condition; `?5` is the time before which a row has expired.
fn next_received(
    db: &Connection,
    columns: &str,
    cursor: &mut Option<ReceivedKey>,
    (before, step): (i64, usize),
) -> rusqlite::Result<(Vec<(ReceivedKey, bool)>, bool)> {
    let (channel, id, signer, digest) = cursor.take().unwrap_or((i64::MIN, String::new(), 0, Vec::new()));
    let mut rows = db
        .prepare_cached(&format!(
            "SELECT {columns} WHERE (channel, id, signer, digest) > (?1, ?2, ?3, ?4)
             ORDER BY channel, id, signer, digest LIMIT ?6"
        ))?
        .query_map(params![channel, id, signer, digest, before, at_most(step)], |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?), row.get(4)?))
        })?
        .collect::<rusqlite::Result<Vec<(ReceivedKey, bool)>>>()?;
    let ended = only_some(&mut rows, step);
    Ok((rows, ended))
}

fn expire_received(
    db: &Connection,
    cursors: &mut Cursors,
    before: i64,
    step: usize,
    expired: &mut Expired,
) -> rusqlite::Result<()> {
    const COLUMNS: &str = "channel, id, signer, digest, committed < ?5 AND disposition <> 2 FROM received";
    let (rows, ended) = next_received(db, COLUMNS, &mut cursors.received, (before, step))?;
    let mut deleted = 0;
    for (key @ (channel, id, signer, digest), _) in rows.iter().filter(|(_, old)| *old) {
        fold_uncounted(db, key)?;
        deleted += db
            .prepare_cached("DELETE FROM received WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest = ?4")?
            .execute(params![channel, id, signer, digest])?;
    }
    note(&mut cursors.received, rows, (ended, deleted), expired);
    Ok(())
}

/// Folds the counts of messages that are not in `received`, or not any more, into the totals.
fn expire_received_counts(
    db: &Connection,
    cursors: &mut Cursors,
    before: i64,
    step: usize,
    expired: &mut Expired,
) -> rusqlite::Result<()> {
    const COLUMNS: &str = "channel, id, signer, digest, decided < ?5 AND NOT EXISTS (SELECT 1 FROM received r
        WHERE r.channel = c.channel AND r.id = c.id AND r.signer = c.signer AND r.digest = c.digest)
        FROM received_count c";
    let (rows, ended) = next_received(db, COLUMNS, &mut cursors.received_count, (before, step))?;
    let mut deleted = 0;
    for (key, _) in rows.iter().filter(|(_, old)| *old) {
        fold_received(db, key)?;
        deleted += 1;
    }
    note(&mut cursors.received_count, rows, (ended, deleted), expired);
    Ok(())
}

fn expire_rejected(
    db: &Connection,
    cursors: &mut Cursors,
    before: i64,
    step: usize,
    expired: &mut Expired,
) -> rusqlite::Result<()> {
    let start = (i64::MIN, String::new(), Vec::new(), String::new());
    let (channel, id, digest, reason) = cursors.rejected.take().unwrap_or(start);
    let mut statement = db.prepare_cached(
        "SELECT channel, id, digest, reason, committed < ?5 FROM rejected
         WHERE (channel, id, digest, reason) > (?1, ?2, ?3, ?4) ORDER BY channel, id, digest, reason LIMIT ?6",
    )?;
    let rows = statement
        .query_map(params![channel, id, digest, reason, before, at_most(step)], |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?), row.get::<_, bool>(4)?))
        })?
        .collect::<rusqlite::Result<Vec<((i64, String, Vec<u8>, String), bool)>>>()?;
    let mut deleted = 0;
    for ((channel, id, digest, reason), _) in rows.iter().filter(|(_, old)| *old) {
        deleted += db
            .prepare_cached("DELETE FROM rejected WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND reason = ?4")?
            .execute(params![channel, id, digest, reason])?;
    }
    let ended = rows.len() < step;
    note(&mut cursors.rejected, rows, (ended, deleted), expired);
    Ok(())
}

fn expire_outgoing(
    db: &Connection,
    cursors: &mut Cursors,
    before: i64,
    step: usize,
    expired: &mut Expired,
) -> rusqlite::Result<()> {
    let (channel, id, digest) = cursors.outgoing.take().unwrap_or((i64::MIN, String::new(), Vec::new()));
    let mut statement = db.prepare_cached(
        "SELECT channel, id, digest, coalesce(finished, prepared) < ?4 AND state <> 1 AND NOT EXISTS
            (SELECT 1 FROM retained r WHERE r.channel = o.channel AND r.id = o.id AND r.digest = o.digest)
         FROM outgoing o WHERE (channel, id, digest) > (?1, ?2, ?3) ORDER BY channel, id, digest LIMIT ?5",
    )?;
    let mut rows = statement
        .query_map(params![channel, id, digest, before, at_most(step)], |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get::<_, bool>(3)?))
        })?
        .collect::<rusqlite::Result<Vec<((i64, String, Vec<u8>), bool)>>>()?;
    let ended = only_some(&mut rows, step);
    let mut deleted = 0;
    for ((channel, id, digest), _) in rows.iter().filter(|(_, old)| *old) {
        fold_sent(db, *channel, id, digest)?;
        deleted += db
            .prepare_cached("DELETE FROM outgoing WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
            .execute(params![channel, id, digest])?;
        super::dispatch::forget(db, *channel, id, digest)?;
        super::released::forget(db, *channel, id, digest)?;
    }
    note(&mut cursors.outgoing, rows, (ended, deleted), expired);
    Ok(())
}

/// Deletes the oldest acknowledgement messages, and acknowledgements that no broker took in all that time. Both are
/// numbered as they came.
fn expire_oldest(db: &Connection, before: i64, step: usize) -> rusqlite::Result<()> {
    for table in ["proof", "owed"] {
        let sql = format!(
            "DELETE FROM {table} WHERE at < ?1 AND number IN (SELECT number FROM {table} ORDER BY number LIMIT ?2)"
        );
        db.prepare_cached(&sql)?.execute(params![before, at_most(step)])?;
    }
    Ok(())
}
