//! What a receiver misses: the numbers of the messages that came, by channel, signer and stream, and those that did not.
//!
//! Every decision about a verified and authorised message notes its number in the same transaction, whatever was decided.
//! In the usual case that is one statement: the number follows the last one.
//!
//! # Policy
//! A stream is watched from the first number that came. Lower numbers were lost, or sent before the receiver listened, or
//! taken by another: the receiver does not know which, and a false alarm about them could never end.
//!
//! A signer can make numbers up, and may take a bounded room: [`MOST_GAPS`] gaps a stream, [`MOST_STREAMS`] streams for each
//! channel and signer. Further gaps are only counted, as *omitted*. A further stream replaces the one that was silent for
//! the longest, first among those without gaps.

mod dismissed;

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::schema::{Kind, known, number};
use super::stages::exists;
use super::{Journal, JournalError, at_most, integer, milliseconds, moment};
use message::acknowledgement::Sequence;

pub use dismissed::{Dismissed, Whereabouts};

/// The most gaps of a stream that are noted.
const MOST_GAPS: i64 = 256;
/// The most streams of a signer that are watched in one channel.
const MOST_STREAMS: i64 = 64;

/// Consecutive numbers of a stream that did not come, though a later one did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The signer, as in the key of its messages.
    pub signer: String,
    /// The name of the stream.
    pub stream: String,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// When a later number came.
    pub since: SystemTime,
}

impl Gap {
    /// How many messages are missing.
    #[must_use]
    pub fn messages(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// A stream with more gaps than are noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Omitted {
    /// The signer, as in the key of its messages.
    pub signer: String,
    /// The name of the stream.
    pub stream: String,
    /// How many messages are missing beside those in noted gaps. Those that came late are still counted.
    pub messages: u64,
    /// When the latest of them was counted.
    pub since: SystemTime,
}

impl Journal {
    /// Notes that a message came which is not decided yet, because it was deferred before its signer was known. May be lost
    /// in a crash, until it is noted again.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn arrived(&self, channel: &str, signer: &str, sequence: &Sequence) -> Result<(), JournalError> {
        self.write_unsynced(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let signer = number(db, Kind::Signer, signer)?;
            arrive(db, (channel, signer), sequence, milliseconds(SystemTime::now()))
        })
    }

    /// The gaps of a channel, by signer and stream.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn gaps(&self, channel: &str) -> Result<Vec<Gap>, JournalError> {
        self.read(|db| {
            let Some(channel) = watching(db, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT n.text, g.stream, g.first, g.last, g.since FROM gap g JOIN name n ON n.number = g.signer
                 WHERE g.channel = ?1 ORDER BY n.text, g.stream, g.first",
            )?
            .query_map([channel], gap)?
            .collect()
        })
    }

    /// The streams of a channel with more gaps than are noted, by signer.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn omitted(&self, channel: &str) -> Result<Vec<Omitted>, JournalError> {
        self.read(|db| {
            let Some(channel) = watching(db, channel)? else { return Ok(Vec::new()) };
            omitted(db, channel, "")
        })
    }

    /// Gaps of a channel since `before` or longer that were not reported, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn unreported_gaps(&self, channel: &str, before: SystemTime, limit: usize) -> Result<Vec<Gap>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT n.text, g.stream, g.first, g.last, g.since FROM gap g JOIN name n ON n.number = g.signer
                 WHERE g.channel = ?1 AND g.since <= ?2 AND g.reported_first IS NULL ORDER BY g.since LIMIT ?3",
            )?
            .query_map(params![channel, milliseconds(before), at_most(limit)], gap)?
            .collect()
        })
    }

    /// Notes that gaps were reported. One that was closed meanwhile is then among the [closed](Self::closed_gaps).
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn gaps_reported(&self, channel: &str, gaps: &[Gap]) -> Result<(), JournalError> {
        self.write(|db| {
            let now = milliseconds(SystemTime::now());
            for (stream, gap) in of_channel(db, channel, gaps)? {
                let (first, last) = (integer(gap.first), integer(gap.last));
                let rest = db
                    .prepare_cached(
                        "UPDATE gap SET reported_first = ?4, reported_last = ?5 WHERE channel = ?1 AND signer = ?2
                         AND stream = ?3 AND first BETWEEN ?4 AND ?5 AND reported_first IS NULL",
                    )?
                    .execute(params![stream.channel, stream.signer, stream.name, first, last])?;
                if rest == 0 && !dismissed::holds(db, &stream, first)? {
                    stream.note_closed(db, (first, last, milliseconds(gap.since)), now)?;
                }
            }
            Ok(())
        })
    }

    /// Reported gaps of a channel all of whose messages have come since, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn closed_gaps(&self, channel: &str, limit: usize) -> Result<Vec<Gap>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT n.text, g.stream, g.first, g.last, g.since FROM closed_gap g JOIN name n ON n.number = g.signer
                 WHERE g.channel = ?1 LIMIT ?2",
            )?
            .query_map(params![channel, at_most(limit)], gap)?
            .collect()
        })
    }

    /// Forgets closed gaps: that they are closed was reported.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn forget_closed_gaps(&self, channel: &str, gaps: &[Gap]) -> Result<(), JournalError> {
        self.write(|db| {
            for (stream, gap) in of_channel(db, channel, gaps)? {
                db.prepare_cached(
                    "DELETE FROM closed_gap WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND first = ?4",
                )?
                .execute(params![stream.channel, stream.signer, stream.name, integer(gap.first)])?;
            }
            Ok(())
        })
    }

    /// The streams of a channel of which it was not reported that they have more gaps than are noted.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn unreported_omitted(&self, channel: &str) -> Result<Vec<Omitted>, JournalError> {
        self.read(|db| match known(db, Kind::Channel, channel)? {
            Some(channel) => omitted(db, channel, "AND NOT w.omitted_reported"),
            None => Ok(Vec::new()),
        })
    }

    /// Notes that this was reported.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn omitted_reported(&self, channel: &str, streams: &[Omitted]) -> Result<(), JournalError> {
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(()) };
            for one in streams {
                let Some(signer) = known(db, Kind::Signer, &one.signer)? else { continue };
                db.prepare_cached(
                    "UPDATE watched SET omitted_reported = 1 WHERE channel = ?1 AND signer = ?2 AND stream = ?3",
                )?
                .execute(params![channel, signer, one.stream])?;
            }
            Ok(())
        })
    }
}

/// The number of a channel. A journal that is only read may be from a time before streams were watched.
fn watching(db: &Connection, channel: &str) -> rusqlite::Result<Option<i64>> {
    if exists(db, "gap")? { known(db, Kind::Channel, channel) } else { Ok(None) }
}

fn gap(row: &Row<'_>) -> rusqlite::Result<Gap> {
    Ok(Gap {
        signer: row.get(0)?,
        stream: row.get(1)?,
        first: row.get::<_, i64>(2)?.unsigned_abs(),
        last: row.get::<_, i64>(3)?.unsigned_abs(),
        since: moment(row.get(4)?),
    })
}

fn omitted(db: &Connection, channel: i64, which: &str) -> rusqlite::Result<Vec<Omitted>> {
    let sql = format!(
        "SELECT n.text, w.stream, w.omitted, w.omitted_at FROM watched w JOIN name n ON n.number = w.signer
         WHERE w.channel = ?1 AND w.omitted > 0 {which} ORDER BY n.text, w.stream"
    );
    db.prepare_cached(&sql)?
        .query_map([channel], |row| {
            Ok(Omitted {
                signer: row.get(0)?,
                stream: row.get(1)?,
                messages: row.get::<_, i64>(2)?.unsigned_abs(),
                since: moment(row.get(3)?),
            })
        })?
        .collect()
}

/// Gaps of a channel with the keys of their streams.
fn of_channel<'a>(db: &Connection, channel: &str, gaps: &'a [Gap]) -> rusqlite::Result<Vec<(Stream<'a>, &'a Gap)>> {
    let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
    let mut found = Vec::with_capacity(gaps.len());
    for gap in gaps {
        if let Some(signer) = known(db, Kind::Signer, &gap.signer)? {
            found.push((Stream { channel, signer, name: &gap.stream }, gap));
        }
    }
    Ok(found)
}

/// Notes that a message of a channel and signer came.
pub(super) fn arrive(
    db: &Connection,
    (channel, signer): (i64, i64),
    sequence: &Sequence,
    now: i64,
) -> rusqlite::Result<()> {
    let stream = Stream { channel, signer, name: sequence.stream() };
    // No sender gives a number that its own journal cannot hold.
    let number = integer(sequence.number());
    let in_order = db
        .prepare_cached(
            "UPDATE watched SET last = ?4, seen = ?5 WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND last = ?4 - 1",
        )?
        .execute(params![channel, signer, stream.name, number, now])?;
    if in_order > 0 {
        return Ok(());
    }
    match stream.bounds(db)? {
        None => stream.begin(db, number, now),
        Some((_, last)) if number > last => {
            stream.saw(db, number, now)?;
            stream.open(db, &Range { first: last + 1, last: number - 1, since: now, reported: None }, now)
        }
        Some((first, last)) => {
            stream.saw(db, last, now)?;
            if number < first { Ok(()) } else { stream.late(db, number, now) }
        }
    }
}

/// The key of a stream.
struct Stream<'a> {
    channel: i64,
    signer: i64,
    name: &'a str,
}

/// A row of `gap`.
struct Range {
    first: i64,
    last: i64,
    since: i64,
    /// First and last number of the gap that was reported, of which this is the rest.
    reported: Option<(i64, i64)>,
}

impl Range {
    fn messages(&self) -> i64 {
        (self.last - self.first).saturating_add(1)
    }
}

impl Stream<'_> {
    /// First and last number.
    fn bounds(&self, db: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
        db.prepare_cached("SELECT first, last FROM watched WHERE channel = ?1 AND signer = ?2 AND stream = ?3")?
            .query_row(params![self.channel, self.signer, self.name], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    fn saw(&self, db: &Connection, last: i64, now: i64) -> rusqlite::Result<()> {
        db.prepare_cached(
            "UPDATE watched SET last = ?4, seen = ?5 WHERE channel = ?1 AND signer = ?2 AND stream = ?3",
        )?
        .execute(params![self.channel, self.signer, self.name, last, now])?;
        Ok(())
    }

    /// Watches the stream from `number` on.
    fn begin(&self, db: &Connection, number: i64, now: i64) -> rusqlite::Result<()> {
        let streams: i64 = db
            .prepare_cached("SELECT count(*) FROM watched WHERE channel = ?1 AND signer = ?2")?
            .query_row(params![self.channel, self.signer], |row| row.get(0))?;
        if streams >= MOST_STREAMS {
            self.make_room(db)?;
        }
        db.prepare_cached(
            "INSERT INTO watched (channel, signer, stream, first, last, seen) VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
        )?
        .execute(params![self.channel, self.signer, self.name, number, now])?;
        Ok(())
    }

    /// Forgets the stream of this signer that is the least worth: without gaps if there is one, silent for the longest.
    fn make_room(&self, db: &Connection) -> rusqlite::Result<()> {
        let least: String = db
            .prepare_cached(
                "SELECT stream FROM watched w WHERE channel = ?1 AND signer = ?2 ORDER BY omitted > 0 OR EXISTS (SELECT 1
                 FROM gap g WHERE g.channel = w.channel AND g.signer = w.signer AND g.stream = w.stream), seen LIMIT 1",
            )?
            .query_row(params![self.channel, self.signer], |row| row.get(0))?;
        for table in ["gap", "watched"] {
            db.prepare_cached(&format!("DELETE FROM {table} WHERE channel = ?1 AND signer = ?2 AND stream = ?3"))?
                .execute(params![self.channel, self.signer, least])?;
        }
        Ok(())
    }

    /// Notes a gap, or counts it if there are too many.
    fn open(&self, db: &Connection, range: &Range, now: i64) -> rusqlite::Result<()> {
        let gaps: i64 = db
            .prepare_cached("SELECT count(*) FROM gap WHERE channel = ?1 AND signer = ?2 AND stream = ?3")?
            .query_row(params![self.channel, self.signer, self.name], |row| row.get(0))?;
        if gaps >= MOST_GAPS {
            db.prepare_cached(
                "UPDATE watched SET omitted = min(omitted, ?5) + ?4, omitted_at = ?6
                 WHERE channel = ?1 AND signer = ?2 AND stream = ?3",
            )?
            .execute(params![
                self.channel,
                self.signer,
                self.name,
                range.messages(),
                i64::MAX - range.messages(),
                now
            ])?;
            return Ok(());
        }
        db.prepare_cached(
            "INSERT OR REPLACE INTO gap (channel, signer, stream, first, last, since, reported_first, reported_last)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            self.channel,
            self.signer,
            self.name,
            range.first,
            range.last,
            range.since,
            range.reported.map(|(first, _)| first),
            range.reported.map(|(_, last)| last),
        ])?;
        Ok(())
    }

    /// Takes a number that came out of the gap it was missing in. Of a gap that falls in two, the longer part keeps its
    /// room.
    fn late(&self, db: &Connection, number: i64, now: i64) -> rusqlite::Result<()> {
        let Some(range) = self.gap_of(db, number)? else { return Ok(()) };
        db.prepare_cached("DELETE FROM gap WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND first = ?4")?
            .execute(params![self.channel, self.signer, self.name, range.first])?;
        let below = Range { last: number - 1, ..range };
        let above = Range { first: number + 1, ..range };
        let mut parts = [below, above];
        parts.sort_by_key(|part| std::cmp::Reverse(part.messages()));
        for part in parts.iter().filter(|part| part.messages() > 0) {
            self.open(db, part, now)?;
        }
        match range.reported {
            Some((first, last)) if !self.has_rest(db, first)? => self.note_closed(db, (first, last, range.since), now),
            _ => Ok(()),
        }
    }

    fn gap_of(&self, db: &Connection, number: i64) -> rusqlite::Result<Option<Range>> {
        let range = db
            .prepare_cached(
                "SELECT first, last, since, reported_first, reported_last FROM gap
                 WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND first <= ?4 ORDER BY first DESC LIMIT 1",
            )?
            .query_row(params![self.channel, self.signer, self.name, number], |row| {
                let reported = row.get::<_, Option<i64>>(3)?.zip(row.get(4)?);
                Ok(Range { first: row.get(0)?, last: row.get(1)?, since: row.get(2)?, reported })
            })
            .optional()?;
        Ok(range.filter(|range| number <= range.last))
    }

    /// Whether anything is left of the gap that was reported with this first number.
    fn has_rest(&self, db: &Connection, first: i64) -> rusqlite::Result<bool> {
        db.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM gap WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND reported_first = ?4)",
        )?
        .query_row(params![self.channel, self.signer, self.name, first], |row| row.get(0))
    }

    fn note_closed(&self, db: &Connection, (first, last, since): (i64, i64, i64), now: i64) -> rusqlite::Result<()> {
        db.prepare_cached(
            "INSERT OR REPLACE INTO closed_gap (channel, signer, stream, first, last, since, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![self.channel, self.signer, self.name, first, last, since, now])?;
        Ok(())
    }
}

/// Forgets streams that were silent, and gaps that were open, since before `before`.
pub(super) fn expire(db: &Connection, before: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM watched WHERE seen < ?1",
        "UPDATE watched SET omitted = 0, omitted_reported = 0 WHERE omitted > 0 AND omitted_at < ?1",
        "DELETE FROM gap WHERE since < ?1",
        "DELETE FROM closed_gap WHERE at < ?1",
        "DELETE FROM dismissed_gap WHERE at < ?1",
    ] {
        db.prepare_cached(sql)?.execute([before])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
