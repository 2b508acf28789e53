//! Durable counts: attempts at inbound messages, crashes while one was in flight, and when a deferred one is due.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::schema::{Kind, known, number, text};
use super::{Journal, JournalError, Key, milliseconds, moment};
use message::MessageId;

/// A message in the deferred queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferredElement {
    /// Its element, relative to the spool.
    pub element: String,
    pub id: MessageId,
    pub signer: String,
    /// SHA-256 of its content.
    pub digest: [u8; 32],
    /// When it was first received.
    pub received: SystemTime,
    /// When to try again.
    pub next: SystemTime,
    /// How many attempts it has had.
    pub attempt: u32,
}

const DEFERRED: &str = "SELECT element, id, signer, digest, received, next, attempt FROM deferred";

impl Journal {
    /// Counts an attempt at each message, by the digest of the message as received, and returns the new counts. The
    /// commit that names the digest clears the count.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn count_attempts(&self, channel: &str, digests: &[[u8; 32]]) -> Result<Vec<u32>, JournalError> {
        self.write(|db| digests.iter().map(|digest| count(db, channel, digest, 1, 0).map(|(all, _)| all)).collect())
    }

    /// Counts a crash of the process while the message was in flight and returns how many there were.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn count_crash(&self, channel: &str, digest: &[u8; 32]) -> Result<u32, JournalError> {
        self.write(|db| count(db, channel, digest, 0, 1).map(|(_, crashes)| crashes))
    }

    /// The messages that were in flight when the process crashed: channel, digest and number of crashes.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn crashes(&self) -> Result<Vec<(String, [u8; 32], u32)>, JournalError> {
        self.read(|db| {
            db.prepare_cached("SELECT channel, digest, deaths FROM attempt WHERE deaths > 0")?
                .query_map([], |row| Ok((text(db, row.get(0)?)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })
    }

    /// Clears the crashes of a message that was processed alone without one.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn clear_crashes(&self, channel: &str, digest: &[u8; 32]) -> Result<(), JournalError> {
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(()) };
            db.prepare_cached("UPDATE attempt SET deaths = 0 WHERE channel = ?1 AND digest = ?2")?
                .execute(params![channel, digest])?;
            Ok(())
        })
    }

    /// Attempts and crashes counted so far.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn attempts(&self, channel: &str, digest: &[u8; 32]) -> Result<(u32, u32), JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok((0, 0)) };
            counted(db, channel, digest)
        })
    }

    /// Clears the attempts at a message that no longer fails.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn clear_attempts(&self, channel: &str, digest: &[u8; 32]) -> Result<(), JournalError> {
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(()) };
            clear(db, channel, digest)
        })
    }

    /// The deferred messages of a channel, in the order in which they are due.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn deferred(&self, channel: &str) -> Result<Vec<DeferredElement>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            let sql = format!("{DEFERRED} WHERE channel = ?1 ORDER BY next, element");
            db.prepare_cached(&sql)?.query_map([channel], |row| deferred_of(db, row))?.collect()
        })
    }

    /// Sets when a deferred message is tried next, without touching its element.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn defer_again(
        &self,
        channel: &str,
        element: &str,
        next: SystemTime,
        attempt: u32,
    ) -> Result<(), JournalError> {
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(()) };
            db.prepare_cached("UPDATE deferred SET next = ?3, attempt = ?4 WHERE channel = ?1 AND element = ?2")?
                .execute(params![channel, element, milliseconds(next), attempt])?;
            Ok(())
        })
    }

    /// Records an element that an operator put into the deferred queue, to be tried at `next`. This does not make the
    /// message count as seen: a copy that arrives before the decision may be stored instead.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn defer_element(
        &self,
        key: &Key,
        element: &str,
        received: SystemTime,
        next: SystemTime,
    ) -> Result<(), JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, &key.channel)?;
            let signer = number(db, Kind::Signer, &key.signer)?;
            let (received, next) = (milliseconds(received), milliseconds(next));
            db.prepare_cached(
                "INSERT OR REPLACE INTO deferred (channel, element, id, signer, digest, received, next, attempt)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)",
            )?
            .execute(params![channel, element, key.id.as_str(), signer, key.digest, received, next])?;
            Ok(())
        })
    }

    /// Deletes a deferred message whose element is gone or was purged. It no longer counts as seen.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn forget_deferred(&self, channel: &str, element: &str) -> Result<(), JournalError> {
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(()) };
            forget_seen(db, channel, element)?;
            db.prepare_cached("DELETE FROM deferred WHERE channel = ?1 AND element = ?2")?
                .execute(params![channel, element])?;
            Ok(())
        })
    }

    /// Whether a message of this signer waits in the deferred queue of the channel.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn has_deferred(&self, channel: &str, signer: &str) -> Result<bool, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(false) };
            let Some(signer) = known(db, Kind::Signer, signer)? else { return Ok(false) };
            db.prepare_cached("SELECT 1 FROM deferred WHERE channel = ?1 AND signer = ?2")?.exists([channel, signer])
        })
    }
}

/// Attempts and crashes of a message.
pub(super) fn counted(db: &Connection, channel: i64, digest: &[u8; 32]) -> rusqlite::Result<(u32, u32)> {
    db.prepare_cached("SELECT count, deaths FROM attempt WHERE channel = ?1 AND digest = ?2")?
        .query_row(params![channel, digest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map(Option::unwrap_or_default)
}

/// Clears the counts of a message, whose decision becomes durable with this transaction.
pub(super) fn clear(db: &Connection, channel: i64, digest: &[u8; 32]) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM attempt WHERE channel = ?1 AND digest = ?2")?.execute(params![channel, digest])?;
    Ok(())
}

/// Makes the message of a deferred element no longer count as seen. It is looked up by the element, because its key was
/// made when it was opened, and a message that is rejected unopened has another key.
pub(super) fn forget_seen(db: &Connection, channel: i64, element: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM received_count WHERE disposition = 2 AND (channel, id, signer, digest) IN
         (SELECT channel, id, signer, digest FROM deferred WHERE channel = ?1 AND element = ?2)",
    )?
    .execute(params![channel, element])?;
    db.prepare_cached(
        "DELETE FROM received WHERE disposition = 2 AND (channel, id, signer, digest) IN
         (SELECT channel, id, signer, digest FROM deferred WHERE channel = ?1 AND element = ?2)",
    )?
    .execute(params![channel, element])?;
    Ok(())
}

fn count(db: &Connection, channel: &str, digest: &[u8; 32], tries: u32, crashes: u32) -> rusqlite::Result<(u32, u32)> {
    let channel = number(db, Kind::Channel, channel)?;
    db.prepare_cached(
        "INSERT INTO attempt (channel, digest, count, deaths, last) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (channel, digest) DO UPDATE
         SET count = count + excluded.count, deaths = deaths + excluded.deaths, last = excluded.last
         RETURNING count, deaths",
    )?
    .query_row(params![channel, digest, tries, crashes, milliseconds(SystemTime::now())], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

fn deferred_of(db: &Connection, row: &Row<'_>) -> rusqlite::Result<DeferredElement> {
    let id: String = row.get(1)?;
    Ok(DeferredElement {
        element: row.get(0)?,
        id: MessageId::from_peer(&id),
        signer: text(db, row.get(2)?)?,
        digest: row.get(3)?,
        received: moment(row.get(4)?),
        next: moment(row.get(5)?),
        attempt: row.get(6)?,
    })
}
