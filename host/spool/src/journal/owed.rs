//! Acknowledgements that a receiver owes: written in the transaction that decides about a message, and deleted when the
//! broker confirmed the acknowledgement message with them.
//!
//! A message that is received again is acknowledged again, since its sender may have lost the first one. A deferred message
//! is acknowledged when it is decided.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::dispatch::{verdict_number, verdict_of};
use super::receiver::{Decision, Disposition, Entry};
use super::schema::{Kind, known};
use super::stages::exists;
use super::{Journal, JournalError, at_most, moment};
use message::MessageId;
use message::acknowledgement::{Acknowledgement, ContentDigest, Verdict};
use std::time::SystemTime;

/// What is to be acknowledged beside the decision, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledge {
    /// Where acknowledgements of this signer go.
    pub destination: String,
    /// The signer, as RFC 4514 writes a name.
    pub signer: String,
    /// Of a message that is rejected: the code of the first finding, or of the rejection.
    pub code: Option<String>,
}

/// An acknowledgement that is not confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its number, in the order of the decisions.
    pub number: i64,
    /// When the message was decided.
    pub at: SystemTime,
    /// What it says, with an empty [`Acknowledgement::at`].
    pub acknowledgement: Acknowledgement,
}

impl Journal {
    /// The destinations of all acknowledgements that a channel owes, in order.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn owed_destinations(&self, channel: &str) -> Result<Vec<String>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            // One search in the index for each destination, however many acknowledgements there are.
            let mut next = db.prepare_cached(
                "SELECT destination FROM owed WHERE channel = ?1 AND destination > ?2 ORDER BY destination LIMIT 1",
            )?;
            let mut found: Vec<String> = Vec::new();
            loop {
                let last = found.last().map_or("", String::as_str);
                match next.query_row(params![channel, last], |row| row.get(0)).optional()? {
                    Some(destination) => found.push(destination),
                    None => return Ok(found),
                }
            }
        })
    }

    /// The oldest acknowledgements that a channel owes to a destination, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn owed(&self, channel: &str, destination: &str, limit: usize) -> Result<Vec<Owed>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT number, at, id, digest, signer, verdict, code, reason, element, sequence FROM owed
                 WHERE channel = ?1 AND destination = ?2 ORDER BY number LIMIT ?3",
            )?
            .query_map(params![channel, destination, at_most(limit)], owed)?
            .collect()
        })
    }

    /// How many acknowledgements a channel owes, and since when the oldest of them.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn count_owed(&self, channel: &str) -> Result<(u64, Option<SystemTime>), JournalError> {
        self.read(|db| {
            // A journal that is only read may be from a time before acknowledgements.
            if !exists(db, "owed")? {
                return Ok((0, None));
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok((0, None)) };
            db.prepare_cached("SELECT count(*), min(at) FROM owed WHERE channel = ?1")?.query_row([channel], |row| {
                let count: i64 = row.get(0)?;
                Ok((count.unsigned_abs(), row.get::<_, Option<i64>>(1)?.map(moment)))
            })
        })
    }

    /// Deletes acknowledgements to a destination up to `last`: the broker confirmed them. After a crash the last ones may
    /// be sent again, which changes nothing at the sender.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn paid(&self, channel: &str, destination: &str, last: i64) -> Result<(), JournalError> {
        self.write_unsynced(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(()) };
            db.prepare_cached("DELETE FROM owed WHERE channel = ?1 AND destination = ?2 AND number <= ?3")?
                .execute(params![channel, destination, last])?;
            Ok(())
        })
    }
}

fn owed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Owed> {
    let (id, sequence): (String, Option<String>) = (row.get(2)?, row.get(9)?);
    let acknowledgement = Acknowledgement {
        id: MessageId::from_peer(&id),
        digest: ContentDigest(row.get(3)?),
        signer: row.get(4)?,
        verdict: verdict_of(row.get(5)?),
        code: row.get(6)?,
        reason: row.get(7)?,
        at: String::new(),
        element: row.get(8)?,
        sequence: sequence.and_then(|text| text.parse().ok()),
    };
    Ok(Owed { number: row.get(0)?, at: moment(row.get(1)?), acknowledgement })
}

/// Notes the acknowledgement of a decided message.
pub(super) fn owe(
    db: &Connection,
    (channel, signer): (i64, i64),
    entry: &Entry<'_>,
    decision: &Decision,
    now: i64,
) -> rusqlite::Result<()> {
    let Some(acknowledge) = entry.acknowledge else { return Ok(()) };
    let verdict = match (decision, entry.disposition) {
        (Decision::New { .. }, Disposition::Stored | Disposition::Dropped) => Verdict::Accepted,
        (Decision::New { .. }, Disposition::Rejected { .. }) => Verdict::Rejected,
        (Decision::New { .. }, Disposition::Deferred { .. }) => return Ok(()),
        (Decision::Duplicate, disposition) => match (seen(db, (channel, signer), entry)?, disposition) {
            // It waits in the deferred queue.
            (Some(2), _) => return Ok(()),
            (Some(_), _) => Verdict::Duplicate,
            // Rejected before, and delivered again.
            (None, _) => Verdict::Rejected,
        },
    };
    let rejected = verdict == Verdict::Rejected;
    let element = entry.moves.first().filter(|_| matches!(decision, Decision::New { .. })).map(|step| step.to.as_str());
    db.prepare_cached(
        "INSERT INTO owed (channel, destination, at, id, digest, signer, verdict, code, reason, element, sequence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        channel,
        acknowledge.destination,
        now,
        entry.key.id.as_str(),
        entry.key.digest,
        acknowledge.signer,
        verdict_number(verdict),
        acknowledge.code.as_ref().filter(|_| rejected),
        entry.facts.reason.as_ref().filter(|_| rejected),
        element,
        entry.sequence.map(ToString::to_string),
    ])?;
    Ok(())
}

/// The disposition with which a message counts as seen.
fn seen(db: &Connection, (channel, signer): (i64, i64), entry: &Entry<'_>) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached(
        "SELECT disposition FROM received WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest = ?4",
    )?
    .query_row(params![channel, entry.key.id.as_str(), signer, entry.key.digest], |row| row.get(0))
    .optional()
}

#[cfg(test)]
mod tests {
    use super::super::{Facts, Key, Move};
    use super::*;
    use message::acknowledgement::Sequence;
    use message::{Code, content_digest};

    const TO: &str = "/queue/acknowledgements.a";

    fn commit(journal: &Journal, text: &str, disposition: &Disposition, change: impl FnOnce(&mut Entry<'_>)) {
        let id = MessageId::parse(text).unwrap();
        let digest = content_digest(text.as_bytes());
        let key = Key { channel: "c".to_owned(), id, signer: "/CN=x".to_owned(), digest };
        let facts = Facts { reason: Some("why".to_owned()), ..Facts::at(SystemTime::now()) };
        let moves = [Move { from: "t".to_owned(), to: format!("incoming/00000000/{text}") }];
        let acknowledge =
            Acknowledge { destination: TO.to_owned(), signer: "CN=x".to_owned(), code: Some("job.end".to_owned()) };
        let sequence = Sequence::new("00c0ffee00c0ffee", 3).unwrap();
        let mut entry = Entry {
            key: &key,
            disposition,
            facts: &facts,
            moves: &moves,
            redelivered: false,
            again: false,
            raw_digest: None,
            resolves: None,
            sequence: Some(&sequence),
            acknowledge: Some(&acknowledge),
            index: crate::journal::Indexed::default(),
        };
        change(&mut entry);
        journal.commit(&[entry], &[]).unwrap();
    }

    fn all(journal: &Journal) -> Vec<(String, Verdict, Option<String>, Option<String>)> {
        let owed = journal.owed("c", TO, 100).unwrap();
        let text = |one: Acknowledgement| (one.id.as_str().to_owned(), one.verdict, one.code, one.element);
        owed.into_iter().map(|one| text(one.acknowledgement)).collect()
    }

    fn open(folder: &tempfile::TempDir) -> Journal {
        Journal::open(&folder.path().join("journal")).unwrap()
    }

    #[test]
    fn every_final_decision_is_acknowledged_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let rejected = Disposition::Rejected { code: Code::PluginInvalid };
        let waits = Disposition::Deferred { next: SystemTime::now(), attempt: 0 };
        commit(&journal, "a", &Disposition::Stored, |_| ());
        commit(&journal, "a", &Disposition::Stored, |_| ());
        commit(&journal, "a", &rejected, |_| ());
        commit(&journal, "b", &rejected, |_| ());
        commit(&journal, "b", &rejected, |entry| entry.redelivered = true);
        commit(&journal, "c", &Disposition::Dropped, |_| ());
        commit(&journal, "d", &Disposition::Stored, |entry| entry.acknowledge = None);
        commit(&journal, "e", &waits, |_| ());
        commit(&journal, "e", &Disposition::Stored, |_| ());
        let element = |text: &str| Some(format!("incoming/00000000/{text}"));
        let code = || Some("job.end".to_owned());
        let expected = [
            ("a", Verdict::Accepted, None, element("a")),
            ("a", Verdict::Duplicate, None, None),
            ("a", Verdict::Duplicate, None, None),
            ("b", Verdict::Rejected, code(), element("b")),
            ("b", Verdict::Rejected, code(), None),
            ("c", Verdict::Accepted, None, element("c")),
        ];
        assert_eq!(all(&journal), expected.map(|(id, verdict, code, at)| (id.to_owned(), verdict, code, at)));
        commit(&journal, "e", &Disposition::Stored, |entry| entry.resolves = Some("incoming/00000000/e"));
        let last = all(&journal).pop().unwrap();
        assert_eq!(last, ("e".to_owned(), Verdict::Accepted, None, element("e")), "it was decided later");
    }

    #[test]
    fn what_the_broker_confirmed_is_owed_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        for text in ["a", "b", "c"] {
            commit(&journal, text, &Disposition::Stored, |_| ());
        }
        let owed = journal.owed("c", TO, 2).unwrap();
        let (sequence, digest) = (owed[1].acknowledgement.sequence.clone(), owed[1].acknowledgement.digest);
        assert_eq!(sequence, Some(Sequence::new("00c0ffee00c0ffee", 3).unwrap()));
        assert_eq!(digest, ContentDigest(content_digest(b"b")));
        assert_eq!(journal.count_owed("c").unwrap().0, 3);
        assert_eq!(journal.owed_destinations("c").unwrap(), [TO]);
        journal.paid("c", TO, owed[1].number).unwrap();
        drop(journal);
        let journal = open(&folder);
        assert_eq!(all(&journal).len(), 1);
        journal.paid("c", "/queue/other", i64::MAX).unwrap();
        assert_eq!((journal.count_owed("c").unwrap().0, journal.count_owed("other").unwrap().0), (1, 0));
    }
}
