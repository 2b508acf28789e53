//! The acknowledgement messages that are kept as they were received, and what they are about: for `sesame proof`.

use std::time::SystemTime;

use rusqlite::{OptionalExtension as _, params};

use super::dispatch::name;
use super::schema::{Kind, known};
use super::stages::exists;
use super::{Journal, JournalError, moment};
use message::MessageId;
use message::acknowledgement::Sequence;

/// One SEND of a message or of a part of it, and the acknowledgement message about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The id of the message or of its part.
    pub id: MessageId,
    /// Where to.
    pub destination: String,
    /// SHA-256 of the content of the part.
    pub digest: [u8; 32],
    /// Its number.
    pub sequence: Option<Sequence>,
    /// The number of the acknowledgement message; `None` if the receiver has not acknowledged it.
    pub proof: Option<i64>,
}

/// An acknowledgement message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptProof {
    /// When it was received and verified.
    pub at: SystemTime,
    /// The message as received.
    pub raw: Vec<u8>,
}

impl Journal {
    /// The dispatches of the message `id` of a channel and of its parts, by destination and number.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn proved(&self, channel: &str, id: &MessageId) -> Result<Vec<Proved>, JournalError> {
        self.read(|db| {
            if !exists(db, "dispatch")? {
                return Ok(Vec::new());
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            let name = name(db)?;
            db.prepare_cached(&format!(
                "SELECT d.id, s.destination, d.digest, {name}, d.sequence, d.proof
                 FROM dispatch d JOIN stream s ON s.number = d.stream
                 WHERE d.channel = ?1 AND d.id >= ?2 AND d.id < ?2 || '/' AND (d.id = ?2 OR d.id > ?2 || '.')
                 ORDER BY d.stream, d.sequence"
            ))?
            .query_map(params![channel, id.as_str()], |row| {
                let (id, name): (String, String) = (row.get(0)?, row.get(3)?);
                let sequence: i64 = row.get(4)?;
                Ok(Proved {
                    id: MessageId::from_peer(&id),
                    destination: row.get(1)?,
                    digest: row.get(2)?,
                    sequence: Sequence::new(&name, sequence.unsigned_abs()).ok(),
                    proof: row.get(5)?,
                })
            })?
            .collect()
        })
    }

    /// An acknowledgement message; `None` if it is older than the retention.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn proof(&self, number: i64) -> Result<Option<KeptProof>, JournalError> {
        self.read(|db| {
            db.prepare_cached("SELECT at, raw FROM proof WHERE number = ?1")?
                .query_row([number], |row| Ok(KeptProof { at: moment(row.get(0)?), raw: row.get(1)? }))
                .optional()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dispatch, Prepared, PreparedKey, Proof};
    use super::*;
    use message::acknowledgement::{Acknowledgement, ContentDigest, Verdict};
    use message::{Output, content_digest};

    fn id(text: &str) -> MessageId {
        MessageId::parse(text).unwrap()
    }

    #[test]
    fn every_part_has_its_acknowledgement_message_and_no_other_message_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        let dispatch = |text: &str| Dispatch {
            id: id(text),
            destination: "/queue/central".to_owned(),
            digest: content_digest(text.as_bytes()),
            sequence: None,
            open: true,
        };
        let prepared = |text: &str, dispatches| Prepared {
            key: PreparedKey { id: id(text), digest: content_digest(text.as_bytes()) },
            element: text.to_owned(),
            outputs: vec![Output::default()],
            pipeline: String::new(),
            attempts: 0,
            dispatches,
            counts: Vec::new(),
            repeated: false,
        };
        let mut rows = [
            prepared("a", vec![dispatch("a.1"), dispatch("a.2"), dispatch("a.3")]),
            prepared("ab", vec![dispatch("ab")]),
        ];
        journal.record_prepared("c", &mut rows).unwrap();
        let line = |dispatch: &Dispatch| Acknowledgement {
            id: dispatch.id.clone(),
            digest: ContentDigest(dispatch.digest),
            signer: "CN=x".to_owned(),
            verdict: Verdict::Accepted,
            code: None,
            reason: None,
            at: "2026-11-22T16:40:47Z".to_owned(),
            element: None,
            sequence: dispatch.sequence.clone(),
        };
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
        for (raw, number) in [(b"first", 0), (b"later", 1)] {
            let proof = Proof { receiver: "CN=central", raw, at };
            journal.take_acknowledgements("c", &proof, &[line(&rows[0].dispatches[number])]).unwrap();
        }
        drop(journal);
        let journal = Journal::open_to_read(&path).unwrap();
        let proved = journal.proved("c", &id("a")).unwrap();
        let sequences = |all: &[Dispatch]| all.iter().map(|one| one.sequence.clone()).collect::<Vec<_>>();
        assert_eq!(proved.iter().map(|one| one.sequence.clone()).collect::<Vec<_>>(), sequences(&rows[0].dispatches));
        assert_eq!((proved[1].id.as_str(), proved[1].digest), ("a.2", content_digest(b"a.2")));
        let raws: Vec<_> = proved.iter().map(|one| one.proof.map(|one| journal.proof(one).unwrap().unwrap())).collect();
        let kept = |raw: &[u8]| Some(KeptProof { at, raw: raw.to_vec() });
        assert_eq!(raws, [kept(b"first"), kept(b"later"), None]);
        assert_eq!(journal.proved("c", &id("ab")).unwrap().len(), 1);
        assert_eq!((journal.proved("other", &id("a")).unwrap(), journal.proof(9).unwrap()), (vec![], None));
    }

    #[test]
    fn a_journal_from_before_acknowledgements_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(Journal::open(&path).unwrap());
        let old = "DROP TABLE dispatch; DROP TABLE stream; DROP TABLE proof; DROP TABLE retained; DROP TABLE owed;";
        rusqlite::Connection::open(&path).unwrap().execute_batch(old).unwrap();
        let journal = Journal::open_to_read(&path).unwrap();
        assert_eq!(journal.proved("c", &id("a")).unwrap(), []);
        assert_eq!((journal.retained("c").unwrap().messages, journal.count_owed("c").unwrap()), (0, (0, None)));
    }
}
