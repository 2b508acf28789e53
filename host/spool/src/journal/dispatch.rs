//! What a sender sent, numbered, and what its receivers said of it.
//!
//! A *stream* is what one channel sends to one destination; its name is random, so that a sender with a new journal, or one
//! from a backup, begins a new stream. A *dispatch* is one SEND of a prepared message: a part of it to one destination.
//! Both are written in the transaction that makes a message prepared, so that every attempt has the same number.
//!
//! `retained.rs` has the messages that are kept until all their dispatches are acknowledged.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::schema::{Kind, known};
use super::sender::PreparedKey;
use super::stages::exists;
use super::{Journal, JournalError, milliseconds, retained};
use message::acknowledgement::{Acknowledgement, ContentDigest, Sequence, Verdict};
use message::{MessageId, hex};

/// One SEND of a prepared message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The id of the message or of its part.
    pub id: MessageId,
    /// Where to.
    pub destination: String,
    /// SHA-256 of the content of the part.
    pub digest: [u8; 32],
    /// Its number; `None` until it is recorded.
    pub sequence: Option<Sequence>,
    /// Before it is recorded: whether its acknowledgement is required. Then whether an answer is still awaited, so that a
    /// repeat of the message sends it again.
    pub open: bool,
}

/// An acknowledgement message whose signature was verified.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// Its signer, as RFC 4514 writes a name.
    pub receiver: &'a str,
    /// The message as received.
    pub raw: &'a [u8],
    /// When it was received.
    pub at: SystemTime,
}

/// What became of the lines of an acknowledgement message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Messages that are acknowledged now.
    pub settled: usize,
    /// Those of them that the receiver rejected.
    pub rejected: usize,
    /// Acknowledged before.
    pub repeated: usize,
    /// Of a message that is not known, or not any more.
    pub unknown: usize,
    /// Of another content than what was sent.
    pub other_content: usize,
}

/// What the receivers said of a message as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Not all have answered.
    No,
    /// All have every part of it.
    Delivered,
    /// At least one rejected a part of it, for this reason.
    Rejected(String),
}

/// What a receiver said of one dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Where it went.
    pub destination: String,
    /// The id of the message or of its part.
    pub id: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Code and reason of a rejected one.
    pub reason: Option<String>,
    /// When the receiver decided, as it says.
    pub at: String,
    /// The receiver, as RFC 4514 writes a name.
    pub receiver: String,
    /// The element there.
    pub element: Option<String>,
}

impl Journal {
    /// The streams of a channel whose receiver has acknowledged something: their destinations.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn acknowledging(&self, channel: &str) -> Result<Vec<String>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached("SELECT destination FROM stream WHERE channel = ?1 AND acknowledged IS NOT NULL")?
                .query_map([channel], |row| row.get(0))?
                .collect()
        })
    }

    /// Forgets that a receiver acknowledges, after it has been silent for too long.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn forget_acknowledging(&self, channel: &str) -> Result<(), JournalError> {
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(()) };
            db.prepare_cached("UPDATE stream SET acknowledged = NULL WHERE channel = ?1")?.execute([channel])?;
            Ok(())
        })
    }

    /// Forgets dispatches of a message that are not sent any more, unless they were answered: the configuration no longer has
    /// their destination. Returns those that were answered.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn withdraw(&self, channel: &str, dispatches: &[Dispatch]) -> Result<Vec<Dispatch>, JournalError> {
        self.write(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            let mut answered = Vec::new();
            for one in dispatches {
                let forgotten = db
                    .prepare_cached(
                        "DELETE FROM dispatch WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND verdict IS NULL
                     AND stream = (SELECT number FROM stream WHERE channel = ?1 AND destination = ?4)",
                    )?
                    .execute(params![channel, one.id.as_str(), one.digest, one.destination])?;
                if forgotten == 0 {
                    answered.push(one.clone());
                }
            }
            Ok(answered)
        })
    }

    /// Takes the lines of an acknowledgement message that are about messages of a channel. Those of messages that it did not
    /// send, or of other content, change nothing. When this returns, what was taken is durable.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn take_acknowledgements(
        &self,
        channel: &str,
        proof: &Proof<'_>,
        lines: &[Acknowledgement],
    ) -> Result<Applied, JournalError> {
        self.write(|db| {
            let mut applied = Applied::default();
            match known(db, Kind::Channel, channel)? {
                None => applied.unknown = lines.len(),
                Some(channel) => {
                    let mut batch =
                        Batch { channel, proof, number: None, streams: HashMap::new(), noted: HashSet::new() };
                    for line in lines {
                        batch.take(db, line, &mut applied)?;
                    }
                }
            }
            Ok(applied)
        })
    }

    /// What receivers said of message `id` of a channel and of its parts.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn acknowledgements(&self, channel: &str, id: &MessageId) -> Result<Vec<Acknowledged>, JournalError> {
        self.read(|db| {
            if !exists(db, "dispatch")? {
                return Ok(Vec::new());
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT s.destination, d.id, d.verdict, d.code, d.reason, d.decided, p.receiver, d.element
                 FROM dispatch d JOIN stream s ON s.number = d.stream JOIN proof p ON p.number = d.proof
                 WHERE d.channel = ?1 AND d.id >= ?2 AND d.id < ?2 || '/' AND (d.id = ?2 OR d.id > ?2 || '.')
                 ORDER BY s.number, d.sequence",
            )?
            .query_map(params![channel, id.as_str()], |row| {
                let code: Option<String> = row.get(3)?;
                let reason: Option<String> = row.get(4)?;
                let reason = match (code, reason) {
                    (Some(code), Some(reason)) => Some(format!("{code}: {reason}")),
                    (code, reason) => code.or(reason),
                };
                Ok(Acknowledged {
                    destination: row.get(0)?,
                    id: row.get(1)?,
                    verdict: verdict_of(row.get(2)?),
                    reason,
                    at: row.get(5)?,
                    receiver: row.get(6)?,
                    element: row.get(7)?,
                })
            })?
            .collect()
        })
    }
}

/// The verdict of a number in a row.
pub(super) fn verdict_of(integer: i64) -> Verdict {
    match integer {
        1 => Verdict::Accepted,
        2 => Verdict::Duplicate,
        _ => Verdict::Rejected,
    }
}

/// The number of a verdict in a row.
pub(super) fn verdict_number(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Accepted => 1,
        Verdict::Duplicate => 2,
        Verdict::Rejected => 3,
    }
}

/// Numbers the dispatches of a prepared message that have no number yet.
pub(super) fn number_all(
    db: &Connection,
    channel: i64,
    key: &PreparedKey,
    dispatches: &mut [Dispatch],
) -> rusqlite::Result<()> {
    for dispatch in dispatches.iter_mut().filter(|dispatch| dispatch.sequence.is_none()) {
        let (stream, name, sequence) = next_number(db, channel, &dispatch.destination)?;
        db.prepare_cached(
            "INSERT OR REPLACE INTO dispatch (channel, id, digest, stream, sequence, whole, whole_digest, required)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            channel,
            dispatch.id.as_str(),
            dispatch.digest,
            stream,
            sequence,
            key.id.as_str(),
            key.digest,
            dispatch.open,
        ])?;
        dispatch.sequence = Sequence::new(&name, sequence.unsigned_abs()).ok();
    }
    Ok(())
}

/// The next number of the stream to a destination, which begins with this if there is none.
fn next_number(db: &Connection, channel: i64, destination: &str) -> rusqlite::Result<(i64, String, i64)> {
    let next = || {
        db.prepare_cached(
            "UPDATE stream SET last = last + 1 WHERE channel = ?1 AND destination = ?2 RETURNING number, name, last",
        )?
        .query_row(params![channel, destination], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()
    };
    if let Some(found) = next()? {
        return Ok(found);
    }
    let random: Vec<u8> = db.query_row("SELECT randomblob(8)", [], |row| row.get(0))?;
    db.prepare_cached("INSERT INTO stream (channel, destination, name, last) VALUES (?1, ?2, ?3, 0)")?
        .execute(params![channel, destination, hex(&random)])?;
    next().and_then(|found| found.ok_or(rusqlite::Error::QueryReturnedNoRows))
}

/// The name under which a dispatch `d` of a stream `s` was numbered: a stream of a copied journal has another name now.
pub(super) const NAME: &str = "coalesce((SELECT f.name FROM former_stream f
    WHERE f.stream = s.number AND f.last >= d.sequence ORDER BY f.last LIMIT 1), s.name)";

/// [`NAME`] in this journal. One that is only read may be from a time before streams got other names.
pub(super) fn name(db: &Connection) -> rusqlite::Result<&'static str> {
    Ok(if exists(db, "former_stream")? { NAME } else { "s.name" })
}

/// The dispatches of a prepared message, with their numbers. `name`: [`NAME`], or what [`name`] says.
pub(super) fn load(db: &Connection, channel: i64, key: &PreparedKey, name: &str) -> rusqlite::Result<Vec<Dispatch>> {
    db.prepare_cached(&format!(
        "SELECT d.id, s.destination, d.digest, {name}, d.sequence, {OPEN} FROM dispatch d {OF_WHOLE}"
    ))?
    .query_map(params![channel, key.id.as_str(), key.digest], |row| {
        let (id, name): (String, String) = (row.get(0)?, row.get(3)?);
        let sequence: i64 = row.get(4)?;
        Ok(Dispatch {
            id: MessageId::from_peer(&id),
            destination: row.get(1)?,
            digest: row.get(2)?,
            sequence: Sequence::new(&name, sequence.unsigned_abs()).ok(),
            open: row.get(5)?,
        })
    })?
    .collect()
}

/// Whether an answer to a dispatch is awaited: one that is required, or that its receiver will give, as it gave others.
pub(super) const OPEN: &str = "(d.verdict IS NULL AND (s.acknowledged IS NOT NULL OR d.required))";

/// The dispatches of the message `?2` of the channel `?1` with content `?3`: its own id and those of its parts.
/// Parts follow their message in the primary key: `/` follows `.` in ASCII.
pub(super) const OF_WHOLE: &str = "JOIN stream s ON s.number = d.stream
    WHERE d.channel = ?1 AND d.id >= ?2 AND d.id < ?2 || '/' AND d.whole = ?2 AND d.whole_digest = ?3";
/// The same without the streams.
const WHOLE: &str = "WHERE channel = ?1 AND id >= ?2 AND id < ?2 || '/' AND whole = ?2 AND whole_digest = ?3";

/// Deletes the dispatches of a message whose row is deleted.
pub(super) fn forget(db: &Connection, channel: i64, id: &str, digest: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached(&format!("DELETE FROM dispatch {WHOLE}"))?.execute(params![channel, id, digest])?;
    Ok(())
}

/// Requires the acknowledgements of a message that are missing.
pub(super) fn require(db: &Connection, channel: i64, key: &PreparedKey) -> rusqlite::Result<()> {
    db.prepare_cached(&format!("UPDATE dispatch SET required = 1 {WHOLE} AND verdict IS NULL"))?.execute(params![
        channel,
        key.id.as_str(),
        key.digest
    ])?;
    Ok(())
}

pub(super) fn answered(db: &Connection, channel: i64, key: &PreparedKey) -> rusqlite::Result<Answered> {
    let mut statement =
        db.prepare_cached(&format!("SELECT d.verdict, d.code, d.reason, d.id, {OPEN} FROM dispatch d {OF_WHOLE}"))?;
    let mut rows = statement.query(params![channel, key.id.as_str(), key.digest])?;
    let (mut any, mut open, mut rejected) = (false, false, None);
    while let Some(row) = rows.next()? {
        any = true;
        match row.get::<_, Option<i64>>(0)?.map(verdict_of) {
            None => open |= row.get::<_, bool>(4)?,
            Some(Verdict::Rejected) => {
                let code: Option<String> = row.get(1)?;
                let reason: Option<String> = row.get(2)?;
                let reason = reason.or(code).unwrap_or_else(|| "the receiver gives no reason".to_owned());
                let id: String = row.get(3)?;
                let reason = if id == key.id.as_str() { reason } else { format!("part {id}: {reason}") };
                rejected = rejected.or(Some(reason));
            }
            Some(Verdict::Accepted | Verdict::Duplicate) => {}
        }
    }
    Ok(match rejected {
        _ if open || !any => Answered::No,
        Some(reason) => Answered::Rejected(reason),
        None => Answered::Delivered,
    })
}

/// A dispatch that a line names.
struct Named {
    digest: [u8; 32],
    verdict: Option<Verdict>,
    /// Its message.
    whole: PreparedKey,
}

/// The dispatch that a line names.
fn find(
    db: &Connection,
    (channel, stream): (i64, i64),
    line: &Acknowledgement,
    sequence: &Sequence,
) -> rusqlite::Result<Option<Named>> {
    let number = i64::try_from(sequence.number()).unwrap_or(0);
    db.prepare_cached(
        "SELECT digest, verdict, whole, whole_digest FROM dispatch
         WHERE channel = ?1 AND id = ?2 AND stream = ?3 AND sequence = ?4",
    )?
    .query_row(params![channel, line.id.as_str(), stream, number], |row| {
        let whole: String = row.get(2)?;
        let whole = PreparedKey { id: MessageId::from_peer(&whole), digest: row.get(3)? };
        Ok(Named { digest: row.get(0)?, verdict: row.get::<_, Option<i64>>(1)?.map(verdict_of), whole })
    })
    .optional()
}

/// An acknowledgement message whose lines are taken.
struct Batch<'a> {
    channel: i64,
    proof: &'a Proof<'a>,
    /// The message in the table `proof`, once a line of it counts.
    number: Option<i64>,
    /// Numbers of streams, by name; `None` of those that are not of the channel.
    streams: HashMap<&'a str, Option<i64>>,
    /// Streams of which it is noted that their receiver acknowledges.
    noted: HashSet<i64>,
}

impl<'a> Batch<'a> {
    /// The stream of a line.
    fn stream(&mut self, db: &Connection, sequence: &'a Sequence) -> rusqlite::Result<Option<i64>> {
        if let Some(known) = self.streams.get(sequence.stream()) {
            return Ok(*known);
        }
        let found = db
            .prepare_cached(
                "SELECT number FROM stream WHERE name = ?1 AND channel = ?2 UNION ALL
                 SELECT s.number FROM former_stream f JOIN stream s ON s.number = f.stream
                 WHERE f.name = ?1 AND s.channel = ?2",
            )?
            .query_row(params![sequence.stream(), self.channel], |row| row.get(0))
            .optional()?;
        self.streams.insert(sequence.stream(), found);
        Ok(found)
    }

    /// Notes that the receiver of a stream acknowledges, once for the batch.
    fn acknowledges(&mut self, db: &Connection, stream: i64) -> rusqlite::Result<()> {
        if self.noted.insert(stream) {
            db.prepare_cached("UPDATE stream SET acknowledged = ?2 WHERE number = ?1 AND acknowledged IS NULL")?
                .execute(params![stream, milliseconds(self.proof.at)])?;
        }
        Ok(())
    }

    fn take(&mut self, db: &Connection, line: &'a Acknowledgement, applied: &mut Applied) -> rusqlite::Result<()> {
        let channel = self.channel;
        let stream = match &line.sequence {
            Some(sequence) => self.stream(db, sequence)?.map(|stream| (stream, sequence)),
            None => None,
        };
        let Some((stream, sequence)) = stream else {
            applied.unknown += 1;
            return Ok(());
        };
        let found = find(db, (channel, stream), line, sequence)?;
        let Some(Named { digest, verdict, whole: key }) = found else {
            applied.unknown += 1;
            return Ok(());
        };
        if ContentDigest(digest) != line.digest {
            applied.other_content += 1;
            return Ok(());
        }
        // A receiver that took a message in the end has it, whatever it said before.
        let corrected = verdict == Some(Verdict::Rejected) && line.verdict != Verdict::Rejected;
        if verdict.is_some() && !corrected {
            applied.repeated += 1;
            return Ok(());
        }
        let proof_number =
            match self.number {
                Some(number) => number,
                None => {
                    db.prepare_cached("INSERT INTO proof (at, receiver, raw) VALUES (?1, ?2, ?3)")?
                        .execute(params![milliseconds(self.proof.at), self.proof.receiver, self.proof.raw])?;
                    *self.number.insert(db.last_insert_rowid())
                }
            };
        db.prepare_cached(
            "UPDATE dispatch SET verdict = ?5, code = ?6, reason = ?7, decided = ?8, element = ?9, proof = ?10
             WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND stream = ?4",
        )?
        .execute(params![
            channel,
            line.id.as_str(),
            digest,
            stream,
            verdict_number(line.verdict),
            line.code,
            line.reason,
            line.at,
            line.element,
            proof_number,
        ])?;
        self.acknowledges(db, stream)?;
        applied.settled += 1;
        applied.rejected += usize::from(line.verdict == Verdict::Rejected);
        if answered(db, channel, &key)? != Answered::No {
            retained::answered(db, channel, &key)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Prepared, Retained, Sent};
    use super::*;
    use message::{Fate, Output, content_digest};

    const TO: &str = "/queue/central";
    const OTHER: &str = "/queue/other";

    fn open(folder: &tempfile::TempDir) -> Journal {
        Journal::open(&folder.path().join("journal")).unwrap()
    }

    fn key(text: &str) -> PreparedKey {
        PreparedKey { id: MessageId::parse(text).unwrap(), digest: content_digest(text.as_bytes()) }
    }

    fn dispatch(id: &str, content: &str, destination: &str) -> Dispatch {
        let id = MessageId::parse(id).unwrap();
        Dispatch {
            id,
            destination: destination.to_owned(),
            digest: content_digest(content.as_bytes()),
            sequence: None,
            open: true,
        }
    }

    /// Prepares a message and returns its dispatches with their numbers.
    fn prepare(journal: &Journal, text: &str, dispatches: Vec<Dispatch>) -> Vec<Dispatch> {
        let mut row = [Prepared {
            key: key(text),
            element: format!("e/{text}"),
            outputs: vec![Output { payload: Some(b"x".to_vec()), ..Output::default() }],
            pipeline: String::new(),
            attempts: 0,
            dispatches,
            counts: Vec::new(),
            repeated: false,
        }];
        journal.record_prepared("c", &mut row).unwrap();
        row[0].dispatches.clone()
    }

    fn one(journal: &Journal, text: &str) -> Dispatch {
        prepare(journal, text, vec![dispatch(text, text, TO)]).remove(0)
    }

    fn send(journal: &Journal, text: &str, wait: Duration) -> bool {
        let (broker, at) = ("mq:1".to_owned(), SystemTime::now());
        let sent = Sent { key: key(text), broker, at, detail: None, retain: Some(wait) };
        journal.record_sent("c", &[sent]).unwrap()
    }

    fn line(dispatch: &Dispatch, verdict: Verdict) -> Acknowledgement {
        Acknowledgement {
            id: dispatch.id.clone(),
            digest: ContentDigest(dispatch.digest),
            signer: "CN=x".to_owned(),
            verdict,
            code: (verdict == Verdict::Rejected).then(|| "job.end".to_owned()),
            reason: None,
            at: "2026-11-22T16:40:47Z".to_owned(),
            element: None,
            sequence: dispatch.sequence.clone(),
        }
    }

    fn tell(journal: &Journal, lines: &[Acknowledgement]) -> Applied {
        let proof = Proof { receiver: "CN=central", raw: b"sealed", at: SystemTime::now() };
        journal.take_acknowledgements("c", &proof, lines).unwrap()
    }

    fn said_of(journal: &Journal, text: &str) -> Answered {
        journal.read(|db| answered(db, known(db, Kind::Channel, "c")?.unwrap(), &key(text))).unwrap()
    }

    const LATER: Duration = Duration::from_secs(3600);
    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn what_is_sent_to_a_destination_is_numbered_without_a_gap_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let numbers = |sent: &[Dispatch]| -> Vec<u64> {
            sent.iter().map(|one| one.sequence.as_ref().unwrap().number()).collect()
        };
        let first = prepare(&journal, "a", vec![dispatch("a.1", "1", TO), dispatch("a.2", "2", TO)]);
        let second = prepare(&journal, "b", vec![dispatch("b", "b", OTHER), dispatch("b", "b", TO)]);
        assert_eq!((numbers(&first), numbers(&second)), (vec![1, 2], vec![1, 3]));
        assert_ne!(second[0].sequence.as_ref().unwrap().stream(), second[1].sequence.as_ref().unwrap().stream());
        drop(journal);
        let journal = open(&folder);
        let again = journal.prepared("c", &[key("a")]).unwrap().remove(0).unwrap();
        assert_eq!(again.dispatches, first, "a retry has the same numbers");
        assert_eq!(numbers(&[one(&journal, "c")]), [4]);
    }

    #[test]
    fn a_journal_from_a_backup_numbers_in_a_new_stream_and_knows_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let names = |sent: &Dispatch| (sent.sequence.clone().unwrap(), sent.open);
        let first = one(&open(&folder), "a");
        let path = folder.path().join("journal");
        let restore = || {
            std::fs::copy(&path, folder.path().join("backup")).unwrap();
            std::fs::rename(folder.path().join("backup"), &path).unwrap();
            open(&folder)
        };
        let journal = open(&folder);
        let same = one(&journal, "b");
        assert_eq!(names(&same).0.stream(), names(&first).0.stream(), "it is the same file");
        drop(journal);
        drop(restore());
        let journal = restore();
        let after = one(&journal, "c");
        assert_ne!(names(&after).0.stream(), names(&first).0.stream());
        assert_eq!(names(&after).0.number(), 3, "its numbers go on");
        let again = journal.prepared("c", &[key("a"), key("b"), key("c")]).unwrap();
        let again: Vec<_> = again.into_iter().map(|row| names(&row.unwrap().dispatches[0])).collect();
        assert_eq!(again, [names(&first), names(&same), names(&after)]);
        for sent in [&first, &same, &after] {
            assert_eq!(tell(&journal, &[line(sent, Verdict::Accepted)]).settled, 1);
        }
    }

    #[test]
    fn a_sent_message_is_retained_until_every_part_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let parts = prepare(&journal, "a", vec![dispatch("a.1", "1", TO), dispatch("a.2", "2", OTHER)]);
        send(&journal, "a", LATER);
        assert_eq!(journal.retained("c").unwrap().messages, 1);
        assert_eq!(journal.acknowledging("c").unwrap(), [""; 0]);
        assert_eq!(tell(&journal, &[line(&parts[0], Verdict::Accepted)]).settled, 1);
        assert_eq!(journal.due("c", SystemTime::now(), 10).unwrap(), []);
        assert_eq!(tell(&journal, &[line(&parts[1], Verdict::Duplicate)]).settled, 1);
        let due = journal.due("c", SystemTime::now(), 10).unwrap();
        assert_eq!((due[0].key.clone(), due[0].element.as_str()), (key("a"), "e/a"));
        assert_eq!(due[0].answered, Answered::Delivered);
        assert_eq!(journal.acknowledging("c").unwrap(), [TO, OTHER]);
        journal.end_retained("c", &[key("a")]).unwrap();
        assert_eq!(journal.retained("c").unwrap(), Retained::default());
        let payloads: i64 =
            journal.read(|db| db.query_row("SELECT count(*) FROM payload", [], |row| row.get(0))).unwrap();
        assert_eq!(payloads, 0);
        let said = journal.acknowledgements("c", &MessageId::parse("a").unwrap()).unwrap();
        assert_eq!((said.len(), said[0].receiver.as_str(), said[1].id.as_str()), (2, "CN=central", "a.2"));
    }

    #[test]
    fn an_answer_before_the_message_is_recorded_as_sent_counts() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let sent = one(&journal, "a");
        tell(&journal, &[line(&sent, Verdict::Rejected)]);
        assert!(send(&journal, "a", LATER), "the sender was not told");
        let due = journal.due("c", SystemTime::now(), 10).unwrap();
        assert_eq!(due[0].answered, Answered::Rejected("job.end".to_owned()));
    }

    #[test]
    fn what_does_not_fit_a_sent_message_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let sent = one(&journal, "a");
        let right = line(&sent, Verdict::Accepted);
        let other = |number| Some(Sequence::new(sent.sequence.as_ref().unwrap().stream(), number).unwrap());
        let lines = [
            Acknowledgement { digest: ContentDigest([0; 32]), ..right.clone() },
            Acknowledgement { id: MessageId::parse("b").unwrap(), ..right.clone() },
            Acknowledgement { sequence: other(2), ..right.clone() },
            Acknowledgement { sequence: Some(Sequence::new("00c0ffee00c0ffee", 1).unwrap()), ..right.clone() },
            Acknowledgement { sequence: None, ..right.clone() },
        ];
        assert_eq!(tell(&journal, &lines), Applied { other_content: 1, unknown: 4, ..Applied::default() });
        assert_eq!(said_of(&journal, "a"), Answered::No);
        let proofs = || journal.read(|db| db.query_row("SELECT count(*) FROM proof", [], |row| row.get::<_, i64>(0)));
        assert_eq!(proofs().unwrap(), 0, "a proof of nothing is not kept");
        let twice = [right.clone(), Acknowledgement { verdict: Verdict::Rejected, ..right }];
        assert_eq!(tell(&journal, &twice), Applied { settled: 1, repeated: 1, ..Applied::default() });
        assert_eq!(said_of(&journal, "a"), Answered::Delivered, "what was taken stays taken");
        assert_eq!(proofs().unwrap(), 1);
    }

    #[test]
    fn a_silent_message_is_sent_again_and_then_overdue() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let sent = one(&journal, "a");
        send(&journal, "a", AT_ONCE);
        assert!(journal.next_due("c").unwrap().is_some());
        let due = journal.due("c", SystemTime::now(), 10).unwrap().remove(0);
        assert_eq!((due.repeats, due.answered), (0, Answered::No));
        journal.repeat("c", &key("a"), SystemTime::now() + LATER).unwrap();
        assert_eq!(journal.due("c", SystemTime::now(), 10).unwrap(), []);
        let again = journal.prepared("c", &[key("a")]).unwrap().remove(0).unwrap();
        assert_eq!((again.dispatches, again.outputs[0].payload.as_deref()), (vec![sent], Some(b"x".as_slice())));
        send(&journal, "a", AT_ONCE);
        let due = journal.due("c", SystemTime::now(), 10).unwrap().remove(0);
        assert_eq!(due.repeats, 1);
        journal.repeat("c", &key("a"), SystemTime::now() + LATER).unwrap();
        send(&journal, "a", LATER);
        let next = journal.next_due("c").unwrap().unwrap().duration_since(SystemTime::now()).unwrap();
        assert!(next > 3 * LATER && next <= 4 * LATER, "the time doubles: {next:?}");
        journal.mark_overdue("c", &key("a"), false).unwrap();
        assert_eq!((journal.next_due("c").unwrap(), journal.retained("c").unwrap().overdue), (None, 1));
    }

    #[test]
    fn an_answer_while_a_message_is_sent_again_ends_it_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let sent = one(&journal, "a");
        send(&journal, "a", AT_ONCE);
        journal.repeat("c", &key("a"), SystemTime::now() + LATER).unwrap();
        tell(&journal, &[line(&sent, Verdict::Duplicate)]);
        assert_eq!(journal.due("c", SystemTime::now(), 10).unwrap(), [], "its element is in the queue");
        send(&journal, "a", LATER);
        assert_eq!(journal.due("c", SystemTime::now(), 10).unwrap()[0].answered, Answered::Delivered);
    }

    #[test]
    fn a_message_that_is_not_retained_is_acknowledged_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let sent = one(&journal, "a");
        let plain = Sent { key: key("a"), broker: String::new(), at: SystemTime::now(), detail: None, retain: None };
        journal.record_sent("c", &[plain]).unwrap();
        assert_eq!(tell(&journal, &[line(&sent, Verdict::Accepted)]).settled, 1);
        assert_eq!(journal.acknowledging("c").unwrap(), [TO]);
        assert_eq!(journal.trace(&sent.id).unwrap()[0].fate, Fate::Sent);
        journal.forget_acknowledging("c").unwrap();
        assert_eq!(journal.acknowledging("c").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_retained_never_expires_and_the_rest_does_with_its_proofs() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let (kept, done) = (one(&journal, "a"), one(&journal, "b"));
        send(&journal, "a", LATER);
        send(&journal, "b", LATER);
        tell(&journal, &[line(&done, Verdict::Accepted)]);
        journal.end_retained("c", &[key("b")]).unwrap();
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table}");
            journal.read(|db| db.query_row(&sql, [], |row| row.get::<_, i64>(0))).unwrap()
        };
        assert_eq!((count("dispatch"), count("proof")), (2, 1));
        journal.expire(SystemTime::UNIX_EPOCH, 100).unwrap();
        assert_eq!((count("dispatch"), count("proof")), (2, 1), "nothing is old enough");
        assert_eq!(journal.expire(SystemTime::now() + LATER, 100).unwrap().deleted, 1);
        assert_eq!((count("outgoing"), count("dispatch"), count("proof")), (1, 1, 0));
        assert_eq!(tell(&journal, &[line(&kept, Verdict::Accepted)]).settled, 1);
    }

    #[test]
    fn no_query_about_one_message_walks_through_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let plan = |sql: &str| -> Vec<String> {
            let sql = format!("EXPLAIN QUERY PLAN {sql}");
            journal.read(|db| db.prepare(&sql)?.query_map((1, "a", [0_u8; 32]), |row| row.get(3))?.collect()).unwrap()
        };
        let of_whole = plan(&format!("SELECT d.id, {OPEN} FROM dispatch d {OF_WHOLE}"));
        assert!(of_whole.iter().any(|step| step.contains("PRIMARY KEY (channel=? AND id>? AND id<?)")), "{of_whole:?}");
        let due = plan("SELECT id, ?2, ?3 FROM retained WHERE channel = ?1 AND due <= 5 ORDER BY due LIMIT 9");
        assert!(due.iter().all(|step| step.contains("retained_due") && !step.contains("SCAN")), "{due:?}");
    }

    #[test]
    fn a_statement_is_compiled_once_whatever_is_bound_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let compiled_again = journal.read(|db| {
            let mut statement = db.prepare(&format!("SELECT d.id, {OPEN} FROM dispatch d {OF_WHOLE}"))?;
            for id in ["a", "b", "c"] {
                statement.query((1, id, [0_u8; 32]))?.next()?;
            }
            Ok(statement.get_status(rusqlite::StatementStatus::RePrepare))
        });
        assert_eq!(compiled_again.unwrap(), 0);
    }

    #[test]
    fn where_a_receiver_never_answered_it_is_not_waited_for_unless_required() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let optional = |to: &str| Dispatch { open: false, ..dispatch("a", "a", to) };
        let sent = prepare(&journal, "a", vec![optional(TO), optional(OTHER)]);
        send(&journal, "a", LATER);
        tell(&journal, &[line(&sent[0], Verdict::Accepted)]);
        assert_eq!(said_of(&journal, "a"), Answered::Delivered);
        let required = prepare(&journal, "b", vec![dispatch("b", "b", TO), dispatch("b", "b", OTHER)]);
        send(&journal, "b", LATER);
        tell(&journal, &[line(&required[0], Verdict::Accepted)]);
        assert_eq!(said_of(&journal, "b"), Answered::No);
        journal.repeat("c", &key("b"), SystemTime::now() + LATER).unwrap();
        let again = journal.prepared("c", &[key("b")]).unwrap().remove(0).unwrap();
        let open: Vec<bool> = again.dispatches.iter().map(|one| one.open).collect();
        assert_eq!((again.repeated, open), (true, vec![false, true]), "it goes again only where it is open");
    }

    #[test]
    fn what_is_retained_can_be_sent_again_whatever_was_recorded_of_it_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let _ = one(&journal, "a");
        send(&journal, "a", AT_ONCE);
        // As a sender does that asks for no acknowledgements any more.
        let plain = Sent { key: key("a"), broker: String::new(), at: SystemTime::now(), detail: None, retain: None };
        let ends: [&dyn Fn(); 3] = [
            &|| assert!(!journal.record_sent("c", std::slice::from_ref(&plain)).unwrap()),
            &|| journal.record_gone("c", &[key("a")]).unwrap(),
            &|| journal.record_rejected("c", "e/a", &key("a"), "why").unwrap(),
        ];
        for end in ends {
            journal.repeat("c", &key("a"), SystemTime::now()).unwrap();
            assert!(journal.due("c", SystemTime::now(), 10).unwrap()[0].queued);
            end();
            journal.repeat("c", &key("a"), SystemTime::now()).unwrap();
            let again = journal.prepared("c", &[key("a")]).unwrap().remove(0).unwrap();
            assert_eq!(again.outputs[0].payload.as_deref(), Some(b"x".as_slice()));
        }
        journal.end_retained("c", &[key("a")]).unwrap();
        let payloads = journal.read(|db| db.query_row("SELECT count(*) FROM payload", [], |row| row.get::<_, i64>(0)));
        assert_eq!(payloads.unwrap(), 0);
    }

    #[test]
    fn a_message_is_numbered_again_for_a_destination_that_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let sent = prepare(&journal, "a", vec![dispatch("a", "a", TO), dispatch("a", "a", OTHER)]);
        send(&journal, "a", AT_ONCE);
        tell(&journal, &[line(&sent[1], Verdict::Accepted)]);
        journal.repeat("c", &key("a"), SystemTime::now()).unwrap();
        let mut row = journal.prepared("c", &[key("a")]).unwrap();
        let mut row = [row.remove(0).unwrap()];
        journal.withdraw("c", &row[0].dispatches).unwrap();
        row[0].dispatches = vec![dispatch("a", "a", "/queue/new")];
        journal.record_prepared("c", &mut row).unwrap();
        let again = journal.prepared("c", &[key("a")]).unwrap().remove(0).unwrap();
        let open: Vec<_> = again.dispatches.iter().map(|one| (one.destination.as_str(), one.open)).collect();
        assert_eq!((again.repeated, open), (true, vec![(OTHER, false), ("/queue/new", true)]));
        assert_eq!(again.outputs[0].payload.as_deref(), Some(b"x".as_slice()));
        assert_eq!(tell(&journal, &[line(&sent[0], Verdict::Accepted)]).unknown, 1, "it was withdrawn");
        send(&journal, "a", LATER);
        assert_eq!(said_of(&journal, "a"), Answered::No);
        tell(&journal, &[line(&again.dispatches[1], Verdict::Duplicate)]);
        assert_eq!(said_of(&journal, "a"), Answered::Delivered);
    }

    #[test]
    fn a_clock_that_is_set_by_a_day_delays_a_repeat_by_no_more_and_an_answer_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let (day, now) = (24 * LATER, SystemTime::now());
        let sent = one(&journal, "a");
        let at = |at: SystemTime| {
            let retain = Some(LATER);
            let sent = Sent { key: key("a"), broker: String::new(), at, detail: None, retain };
            journal.record_sent("c", &[sent]).unwrap()
        };
        let due = |at: SystemTime| journal.due("c", at, 10).unwrap().len();
        // It was a day ahead when the message was sent.
        at(now + day);
        assert_eq!((due(now + day), due(now + day + LATER)), (0, 1));
        journal.repeat("c", &key("a"), now + LATER).unwrap();
        at(now);
        assert_eq!((due(now + LATER), due(now + 2 * LATER)), (0, 1), "it counts from the last time it was sent");
        tell(&journal, &[line(&sent, Verdict::Accepted)]);
        assert_eq!(due(now - day), 1);
    }

    #[test]
    fn a_repeat_that_cannot_be_made_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let _ = one(&journal, "a");
        send(&journal, "a", AT_ONCE);
        journal.repeat("c", &key("a"), SystemTime::now() + LATER).unwrap();
        journal.undo_repeat("c", &key("a"), false, SystemTime::now()).unwrap();
        let due = journal.due("c", SystemTime::now(), 10).unwrap().remove(0);
        assert_eq!((due.repeats, due.rejected, due.queued), (0, false, false));
        assert_eq!(journal.prepared("c", &[key("a")]).unwrap(), [None], "it is sent, and not prepared");
        journal.record_rejected("c", "e/a", &key("a"), "why").unwrap();
        assert!(journal.due("c", SystemTime::now(), 10).unwrap()[0].rejected);
    }
}
