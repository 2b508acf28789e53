//! Gaps that an operator dismissed: they no longer count as missing. A message of one that comes later is taken as any
//! other.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Gap, Omitted, Stream, of_channel, watching};
use crate::journal::schema::{Kind, known};
use crate::journal::stages::exists;
use crate::journal::{Journal, JournalError, at_most, integer, milliseconds, moment};
use message::acknowledgement::Sequence;

/// A gap that was dismissed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissed {
    /// The signer, as in the key of its messages.
    pub signer: String,
    /// The name of the stream.
    pub stream: String,
    /// First and last number; `None` of gaps that were only counted.
    pub range: Option<(u64, u64)>,
    /// How many messages.
    pub messages: u64,
    /// Since when they were missing.
    pub since: SystemTime,
    /// When it was dismissed.
    pub at: SystemTime,
}

/// What a receiver knows about a number of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Its message is missing since then.
    Missing(SystemTime),
    /// Its message was missing, and the gap was dismissed then. It may have come later.
    Dismissed(SystemTime),
    /// Its message came. The journal does not know which it is.
    Came,
    /// No message with it or a later number has come.
    NotYet,
    /// The stream is watched from a later number on.
    Before,
}

impl Journal {
    /// Dismisses these gaps and messages that are only counted. Returns what was dismissed: a gap that has changed
    /// meanwhile is not.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn dismiss_gaps(
        &self,
        channel: &str,
        gaps: &[Gap],
        omitted: &[Omitted],
    ) -> Result<Vec<Dismissed>, JournalError> {
        self.write(|db| {
            let at = SystemTime::now();
            let mut done = Vec::new();
            for (stream, gap) in of_channel(db, channel, gaps)? {
                if stream.dismiss(db, gap)? {
                    let Gap { signer, stream: name, first, last, since } = gap.clone();
                    let (range, messages) = (Some((first, last)), gap.messages());
                    let dismissed = Dismissed { signer, stream: name, range, messages, since, at };
                    stream.note_dismissed(db, &dismissed)?;
                    done.push(dismissed);
                }
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(done) };
            for one in omitted {
                let Some(signer) = known(db, Kind::Signer, &one.signer)? else { continue };
                let stream = Stream { channel, signer, name: &one.stream };
                if stream.dismiss_omitted(db, one.messages)? {
                    let Omitted { signer, stream: name, messages, since } = one.clone();
                    let dismissed = Dismissed { signer, stream: name, range: None, messages, since, at };
                    stream.note_dismissed(db, &dismissed)?;
                    done.push(dismissed);
                }
            }
            Ok(done)
        })
    }

    /// Dismissed gaps of a channel that were not logged, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn unlogged_dismissals(&self, channel: &str, limit: usize) -> Result<Vec<Dismissed>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT n.text, g.stream, g.first, g.last, g.messages, g.since, g.at FROM dismissed_gap g
                 JOIN name n ON n.number = g.signer WHERE g.channel = ?1 AND NOT g.logged LIMIT ?2",
            )?
            .query_map(params![channel, at_most(limit)], |row| {
                let (first, last): (i64, i64) = (row.get(2)?, row.get(3)?);
                Ok(Dismissed {
                    signer: row.get(0)?,
                    stream: row.get(1)?,
                    range: (first > 0).then(|| (first.unsigned_abs(), last.unsigned_abs())),
                    messages: row.get::<_, i64>(4)?.unsigned_abs(),
                    since: moment(row.get(5)?),
                    at: moment(row.get(6)?),
                })
            })?
            .collect()
        })
    }

    /// Notes that these were logged.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn dismissals_logged(&self, channel: &str, dismissed: &[Dismissed]) -> Result<(), JournalError> {
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(()) };
            for one in dismissed {
                let Some(signer) = known(db, Kind::Signer, &one.signer)? else { continue };
                let first = one.range.map_or(0, |(first, _)| integer(first));
                db.prepare_cached(
                    "UPDATE dismissed_gap SET logged = 1
                     WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND first = ?4 AND at = ?5",
                )?
                .execute(params![channel, signer, one.stream, first, milliseconds(one.at)])?;
            }
            Ok(())
        })
    }

    /// What the receiver of a channel knows about a number, for each signer with a stream of this name.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn whereabouts(&self, channel: &str, sequence: &Sequence) -> Result<Vec<(String, Whereabouts)>, JournalError> {
        self.read(|db| {
            let Some(channel) = watching(db, channel)? else { return Ok(Vec::new()) };
            let streams = db
                .prepare_cached(
                    "SELECT w.signer, n.text, w.first, w.last FROM watched w JOIN name n ON n.number = w.signer
                     WHERE w.channel = ?1 AND w.stream = ?2",
                )?
                .query_map(params![channel, sequence.stream()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect::<rusqlite::Result<Vec<(i64, String, i64, i64)>>>()?;
            let number = integer(sequence.number());
            let look = |(signer, text, first, last)| {
                let stream = Stream { channel, signer, name: sequence.stream() };
                let place = match stream.gap_of(db, number)? {
                    Some(range) => Whereabouts::Missing(moment(range.since)),
                    None if number < first => Whereabouts::Before,
                    None if number > last => Whereabouts::NotYet,
                    None => dismissed_at(db, &stream, number)?.map_or(Whereabouts::Came, Whereabouts::Dismissed),
                };
                Ok((text, place))
            };
            streams.into_iter().map(look).collect()
        })
    }
}

impl Stream<'_> {
    /// Removes a gap that is still as it was read; whether it was.
    fn dismiss(&self, db: &Connection, gap: &Gap) -> rusqlite::Result<bool> {
        let (first, last) = (integer(gap.first), integer(gap.last));
        let reported: Option<Option<i64>> = db
            .prepare_cached(
                "DELETE FROM gap WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND first = ?4 AND last = ?5
                 RETURNING reported_first",
            )?
            .query_row(params![self.channel, self.signer, self.name, first, last], |row| row.get(0))
            .optional()?;
        if let Some(Some(reported)) = reported {
            // What else is left of the gap that was reported is closed on its own: not all of that gap will have come.
            db.prepare_cached(
                "UPDATE gap SET reported_first = first, reported_last = last
                 WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND reported_first = ?4",
            )?
            .execute(params![self.channel, self.signer, self.name, reported])?;
        }
        Ok(reported.is_some())
    }

    /// Forgets messages that are only counted, if there are still so many; whether there are.
    fn dismiss_omitted(&self, db: &Connection, messages: u64) -> rusqlite::Result<bool> {
        let changed = db
            .prepare_cached(
                "UPDATE watched SET omitted = 0, omitted_reported = 0
                 WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND omitted = ?4",
            )?
            .execute(params![self.channel, self.signer, self.name, integer(messages)])?;
        Ok(changed > 0)
    }

    fn note_dismissed(&self, db: &Connection, dismissed: &Dismissed) -> rusqlite::Result<()> {
        let (first, last) = dismissed.range.map_or((0, 0), |(first, last)| (integer(first), integer(last)));
        db.prepare_cached(
            "INSERT OR REPLACE INTO dismissed_gap (channel, signer, stream, first, last, messages, since, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            self.channel,
            self.signer,
            self.name,
            first,
            last,
            integer(dismissed.messages),
            milliseconds(dismissed.since),
            milliseconds(dismissed.at)
        ])?;
        Ok(())
    }
}

/// Whether a gap with this first number was dismissed.
pub(super) fn holds(db: &Connection, stream: &Stream<'_>, first: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM dismissed_gap WHERE channel = ?1 AND signer = ?2 AND stream = ?3 AND first = ?4")?
        .exists(params![stream.channel, stream.signer, stream.name, first])
}

/// When the gap with a number was dismissed.
fn dismissed_at(db: &Connection, stream: &Stream<'_>, number: i64) -> rusqlite::Result<Option<SystemTime>> {
    if !exists(db, "dismissed_gap")? {
        return Ok(None);
    }
    db.prepare_cached(
        "SELECT max(at) FROM dismissed_gap WHERE channel = ?1 AND signer = ?2 AND stream = ?3
         AND first > 0 AND ?4 BETWEEN first AND last",
    )?
    .query_row(params![stream.channel, stream.signer, stream.name, number], |row| row.get::<_, Option<i64>>(0))
    .map(|at| at.map(moment))
}
