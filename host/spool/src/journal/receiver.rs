//! The commit point of the receiving side: one transaction per batch.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::attempts::{clear, forget_seen};
use super::counts::{self, Counted};
use super::gaps::arrive;
use super::owed::{Acknowledge, owe};
use super::schema::{Kind, Names, known, number};
use super::{Journal, JournalError, at_most, integer, json, milliseconds, moment};
use crate::index::IndexKey;
use message::acknowledgement::Sequence;
use message::{Code, Fate, MessageId};

/// What distinguishes one received message from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The channel.
    pub channel: String,
    /// Its id; [`MessageId::absent`] if it had none.
    pub id: MessageId,
    /// The verified signer, as written in the signer list; empty if nothing was verified.
    pub signer: String,
    /// SHA-256 of the verified content; for a message that could not be opened, of the message as received.
    pub digest: [u8; 32],
}

/// The disposition of a message: its [`Fate`] with the data that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It goes to incoming or to the queues of its routes.
    Stored,
    /// It waits in the deferred queue for its next attempt.
    Deferred {
        /// When to try again.
        next: SystemTime,
        /// How many attempts it has had.
        attempt: u32,
    },
    /// A plugin dropped it: a row, no element.
    Dropped,
    /// It goes to the reject queue, unless the setting `unlisted` drops it, and does not count as seen.
    Rejected {
        /// Why.
        code: Code,
    },
}

impl Disposition {
    /// The disposition without its data.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self {
            Self::Stored => Fate::Stored,
            Self::Deferred { .. } => Fate::Deferred,
            Self::Dropped => Fate::Dropped,
            Self::Rejected { .. } => Fate::Rejected,
        }
    }

    /// The code of a rejected message.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        if let Self::Rejected { code } = self { Some(*code) } else { None }
    }

    /// The reason as displayed: `why`, preceded by the code of a rejected message.
    #[must_use]
    pub fn reason(&self, why: Option<&str>) -> Option<String> {
        match (self.code(), why) {
            (Some(code), Some(why)) => Some(code.because(why)),
            (Some(code), None) => Some(code.to_string()),
            (None, why) => why.map(str::to_owned),
        }
    }

    fn as_integer(&self) -> i64 {
        match self {
            Self::Stored => 1,
            Self::Deferred { .. } => 2,
            Self::Dropped => 3,
            Self::Rejected { .. } => 4,
        }
    }

    /// The fate for the integer in a row.
    pub(super) fn fate_of(integer: i64) -> Fate {
        match integer {
            1 => Fate::Stored,
            2 => Fate::Deferred,
            3 => Fate::Dropped,
            _ => Fate::Rejected,
        }
    }
}

/// The data of a row in addition to the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When the delivery was complete.
    pub received: SystemTime,
    /// Size of the content in bytes.
    pub payload_bytes: u64,
    /// Size of the message as received, in bytes.
    pub wire_bytes: u64,
    /// The broker it came from; may be empty.
    pub broker: String,
    /// Hash of the pipeline that ran; may be empty.
    pub pipeline: String,
    /// Why, for the operator, without personal data and without the code of a rejected message.
    pub reason: Option<String>,
    /// What it holds, if its signer is authorised and it was counted.
    pub counted: Option<Counted>,
}

impl Facts {
    /// Facts of a message received at `received`; everything else is empty.
    #[must_use]
    pub fn at(received: SystemTime) -> Self {
        Self {
            received,
            payload_bytes: 0,
            wire_bytes: 0,
            broker: String::new(),
            pipeline: String::new(),
            reason: None,
            counted: None,
        }
    }
}

/// A rename that publishes one element. Paths are relative to the spool if the queue is inside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The finished element under its temporary name.
    pub from: String,
    /// Its place in the queue.
    pub to: String,
}

/// One message of a batch.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its key.
    pub key: &'a Key,
    /// Its disposition.
    pub disposition: &'a Disposition,
    /// The rest of the row.
    pub facts: &'a Facts,
    /// Its elements.
    pub moves: &'a [Move],
    /// Whether the broker marked it as possibly delivered before.
    pub redelivered: bool,
    /// Whether the operator requested it again, which skips the duplicate check.
    pub again: bool,
    /// SHA-256 of the message as received; decides whether a redelivery was rejected before.
    pub raw_digest: Option<&'a [u8; 32]>,
    /// The deferred element this message was read from, removed when the new state is published.
    pub resolves: Option<&'a str>,
    /// Its place in what its signer sends; `None` if the signer gives none or is not authorised.
    pub sequence: Option<&'a Sequence>,
    /// The acknowledgement to its sender, written in the same transaction.
    pub acknowledge: Option<&'a Acknowledge>,
    /// What a shared index says.
    pub index: Indexed<'a>,
}

/// What a shared index says of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Indexed<'a> {
    /// Whether there is one: this receiver then sees a part of what a signer sends, and would find the rest missing.
    pub shared: bool,
    /// Its keys, to be reported once it is published.
    pub keys: &'a [IndexKey],
    /// The other receiver that decided about it: it is a duplicate.
    pub elsewhere: Option<&'a Elsewhere>,
}

/// Another receiver that decided about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its name.
    pub by: String,
    /// Whether it rejected the message, which then does not count as seen.
    pub rejected: bool,
}

/// The decision of the transaction for one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is new; its elements are to be published.
    New {
        /// Whether the same signer and id were seen before with other content.
        conflict: bool,
    },
    /// It was seen before; the elements written for it are to be deleted.
    Duplicate,
}

/// The remaining work for a batch after its commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingBatch {
    /// Its number.
    #[serde(skip)]
    pub batch: i64,
    /// Elements to publish.
    pub moves: Vec<Move>,
    /// Deferred elements to remove afterwards.
    pub removals: Vec<String>,
    /// Messages to report as stored to the shared index afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index: Vec<IndexKey>,
}

/// The answer of [`Journal::commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchResult {
    /// The batch's number; `None` if nothing has to be published or removed.
    pub batch: Option<i64>,
    /// One for each entry, in order.
    pub decisions: Vec<Decision>,
}

impl Journal {
    /// Commits a batch. When this returns, the decision about every message in it is final. The elements must be
    /// durable before the call. `finished` are earlier batches that are completely published.
    ///
    /// # Errors
    /// [`JournalError`]. The batch may then be in doubt, until a later one succeeds: see [`Journal::pending`].
    pub fn commit(&self, entries: &[Entry<'_>], finished: &[i64]) -> Result<BatchResult, JournalError> {
        self.write(|db| {
            let now = milliseconds(SystemTime::now());
            for batch in finished {
                db.prepare_cached("DELETE FROM pending WHERE batch = ?1")?.execute([batch])?;
            }
            let mut pending = PendingBatch::default();
            let mut decisions = Vec::with_capacity(entries.len());
            let mut names = Names::default();
            for entry in entries {
                let decision = decide(db, &Numbers::of(db, entry, &mut names)?, entry, now)?;
                if matches!(decision, Decision::New { .. }) {
                    pending.moves.extend_from_slice(entry.moves);
                }
                // A deferred element is removed even if its message turns out to be a duplicate.
                pending.removals.extend(entry.resolves.map(str::to_owned));
                pending.index.extend_from_slice(entry.index.keys);
                decisions.push(decision);
            }
            Ok(BatchResult { batch: note_pending(db, &pending)?, decisions })
        })
    }

    /// The batches that may not be completely published, oldest first.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn pending(&self) -> Result<Vec<PendingBatch>, JournalError> {
        self.read(|db| {
            db.prepare_cached("SELECT batch, moves FROM pending ORDER BY batch")?
                .query_map([], |row| {
                    let text: String = row.get(1)?;
                    let parsed: PendingBatch = serde_json::from_str(&text).map_err(|error| {
                        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
                    })?;
                    Ok(PendingBatch { batch: row.get(0)?, ..parsed })
                })?
                .collect()
        })
    }

    /// Deletes the rows of completely published batches.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn finish(&self, finished: &[i64]) -> Result<(), JournalError> {
        if finished.is_empty() {
            return Ok(());
        }
        self.commit(&[], finished).map(|_| ())
    }

    /// Deletes the row of `key`, whose elements were lost before they could be published.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn forget(&self, key: &Key) -> Result<(), JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, &key.channel)?;
            let signer = number(db, Kind::Signer, &key.signer)?;
            db.prepare_cached("DELETE FROM received WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest = ?4")?
                .execute(params![channel, key.id.as_str(), signer, key.digest])?;
            counts::forget_received(db, channel, key.id.as_str(), signer, &key.digest)
        })
    }

    /// When the last message of each signer came, the latest first, at most `limit`. Reads every row of the channel.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn last_of_signers(&self, channel: &str, limit: usize) -> Result<Vec<(String, SystemTime)>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT name.text, max(received.received) AS last FROM received JOIN name ON name.number = received.signer \
                 WHERE received.channel = ?1 AND name.text <> '' GROUP BY received.signer ORDER BY last DESC LIMIT ?2",
            )?
            .query_map(params![channel, at_most(limit)], |row| Ok((row.get(0)?, moment(row.get(1)?))))?
            .collect()
        })
    }

    /// When `key` was seen. For commands and tests; it must not be used to detect duplicates.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn seen(&self, key: &Key) -> Result<Option<SystemTime>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, &key.channel)? else { return Ok(None) };
            let Some(signer) = known(db, Kind::Signer, &key.signer)? else { return Ok(None) };
            db.prepare_cached(
                "SELECT committed FROM received WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest = ?4",
            )?
            .query_row(params![channel, key.id.as_str(), signer, key.digest], |row| Ok(moment(row.get(0)?)))
            .optional()
        })
    }
}

fn note_pending(db: &Connection, pending: &PendingBatch) -> rusqlite::Result<Option<i64>> {
    if pending.moves.is_empty() && pending.removals.is_empty() && pending.index.is_empty() {
        return Ok(None);
    }
    let text = json(pending)?;
    db.prepare_cached("INSERT INTO pending (moves) VALUES (?1)")?.execute([text])?;
    Ok(Some(db.last_insert_rowid()))
}

/// The numbers of the names in a row.
struct Numbers {
    channel: i64,
    signer: i64,
    broker: Option<i64>,
    pipeline: Option<i64>,
}

impl Numbers {
    fn of(db: &Connection, entry: &Entry<'_>, names: &mut Names) -> rusqlite::Result<Self> {
        Ok(Self {
            channel: names.number(db, Kind::Channel, &entry.key.channel)?,
            signer: names.number(db, Kind::Signer, &entry.key.signer)?,
            broker: names.optional(db, Kind::Broker, &entry.facts.broker)?,
            pipeline: names.optional(db, Kind::Pipeline, &entry.facts.pipeline)?,
        })
    }
}

fn decide(db: &Connection, numbers: &Numbers, entry: &Entry<'_>, now: i64) -> rusqlite::Result<Decision> {
    if let Some(raw) = entry.raw_digest {
        clear(db, numbers.channel, raw)?;
    }
    if let Some(element) = entry.resolves {
        if entry.index.elsewhere.is_some() || matches!(entry.disposition, Disposition::Rejected { .. }) {
            forget_seen(db, numbers.channel, element)?;
        }
        db.prepare_cached("DELETE FROM deferred WHERE channel = ?1 AND element = ?2")?
            .execute(params![numbers.channel, element])?;
    }
    let decision = match (entry.index.elsewhere, entry.disposition) {
        (Some(elsewhere), _) => note_elsewhere(db, numbers, entry, elsewhere, now)?,
        (None, Disposition::Rejected { .. }) if is_decided(db, numbers, entry)? => Decision::Duplicate,
        (None, Disposition::Rejected { code }) => reject(db, numbers, entry, *code, now)?,
        (None, _) => see(db, numbers, entry, now)?,
    };
    if let (Disposition::Deferred { next, attempt }, Decision::New { .. }) = (entry.disposition, &decision) {
        defer(db, numbers, entry, *next, *attempt)?;
    }
    if let Some(sequence) = entry.sequence.filter(|_| !entry.index.shared) {
        arrive(db, (numbers.channel, numbers.signer), sequence, now)?;
    }
    let decided = (&decision, entry.disposition.as_integer());
    counts::note_received(db, (numbers.channel, numbers.signer), entry, decided, now)?;
    owe(db, (numbers.channel, numbers.signer), entry, &decision, now)?;
    Ok(decision)
}

/// Notes for `trace` which receiver decided about the message. It is a duplicate, also if this receiver deferred it meanwhile.
/// A rejection has no row: what is rejected does not count as seen.
fn note_elsewhere(
    db: &Connection,
    numbers: &Numbers,
    entry: &Entry<'_>,
    elsewhere: &Elsewhere,
    now: i64,
) -> rusqlite::Result<Decision> {
    if elsewhere.rejected {
        return Ok(Decision::Duplicate);
    }
    let reason = format!("decided by the receiver {}, which shares the index", elsewhere.by);
    let row = ReceivedRow {
        disposition: Disposition::Dropped.as_integer(),
        elements: String::new(),
        reason: Some(&reason),
        conflict: false,
    };
    insert_received(db, numbers, entry, &row, "DO NOTHING", now)?;
    Ok(Decision::Duplicate)
}

/// What of a row of `received` the decision says.
struct ReceivedRow<'a> {
    disposition: i64,
    elements: String,
    reason: Option<&'a str>,
    conflict: bool,
}

/// Inserts the row of a message; `rule` is for a key that has one. Returns how many rows changed.
fn insert_received(
    db: &Connection,
    numbers: &Numbers,
    entry: &Entry<'_>,
    row: &ReceivedRow<'_>,
    rule: &str,
    now: i64,
) -> rusqlite::Result<usize> {
    let sql = format!(
        "INSERT INTO received (channel, id, signer, digest, disposition, received, committed, payload_bytes, wire_bytes,
            broker, pipeline, elements, reason, conflict)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (channel, id, signer, digest) {rule}"
    );
    db.prepare_cached(&sql)?.execute(params![
        numbers.channel,
        entry.key.id.as_str(),
        numbers.signer,
        entry.key.digest,
        row.disposition,
        milliseconds(entry.facts.received),
        now,
        integer(entry.facts.payload_bytes),
        integer(entry.facts.wire_bytes),
        numbers.broker,
        numbers.pipeline,
        row.elements,
        row.reason,
        row.conflict,
    ])
}

/// Whether the message was stored, deferred or dropped before. The first decision is final: a copy that arrives after
/// lists or plugins changed is not rejected in addition.
fn is_decided(db: &Connection, numbers: &Numbers, entry: &Entry<'_>) -> rusqlite::Result<bool> {
    let key = entry.key;
    if entry.again || (key.id == MessageId::absent() && !entry.redelivered) {
        return Ok(false);
    }
    db.prepare_cached("SELECT 1 FROM received WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest = ?4")?
        .exists(params![numbers.channel, key.id.as_str(), numbers.signer, key.digest])
}

fn see(db: &Connection, numbers: &Numbers, entry: &Entry<'_>, now: i64) -> rusqlite::Result<Decision> {
    let key = entry.key;
    let nameless = key.id == MessageId::absent();
    let conflict = !nameless
        && db
            .prepare_cached("SELECT 1 FROM received WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest <> ?4")?
            .exists(params![numbers.channel, key.id.as_str(), numbers.signer, key.digest])?;
    // An existing row is replaced on an operator's request, by a message without an id that is not a redelivery (two
    // equal ones are two messages), and by the outcome of a deferred message.
    let once_more = entry.again || (nameless && !entry.redelivered && entry.resolves.is_none());
    let rule = match (once_more, entry.resolves) {
        (true, _) => {
            "DO UPDATE SET committed = excluded.committed, disposition = excluded.disposition,
             elements = elements || char(10) || excluded.elements, pipeline = excluded.pipeline, reason = excluded.reason"
        }
        (false, Some(_)) => {
            "DO UPDATE SET committed = excluded.committed, disposition = excluded.disposition,
             elements = excluded.elements, pipeline = excluded.pipeline, reason = excluded.reason
             WHERE received.disposition = 2"
        }
        (false, None) => "DO NOTHING",
    };
    let row = ReceivedRow {
        disposition: entry.disposition.as_integer(),
        elements: elements(entry.moves),
        reason: entry.facts.reason.as_deref(),
        conflict,
    };
    let changed = insert_received(db, numbers, entry, &row, rule, now)?;
    Ok(if changed == 0 { Decision::Duplicate } else { Decision::New { conflict } })
}

fn reject(db: &Connection, numbers: &Numbers, entry: &Entry<'_>, code: Code, now: i64) -> rusqlite::Result<Decision> {
    let digest = entry.raw_digest.unwrap_or(&entry.key.digest);
    // A copy of what is in reject is one too many; a message that waited is the only one, whatever became of those before.
    let copy = entry.redelivered && !entry.again && entry.resolves.is_none();
    let rule = if copy {
        "DO NOTHING"
    } else {
        "DO UPDATE SET committed = excluded.committed, times = times + 1, detail = excluded.detail,
         elements = substr(elements || char(10) || excluded.elements, -4000)"
    };
    let sql = format!(
        "INSERT INTO rejected (channel, id, digest, reason, signer, received, committed, payload_bytes, wire_bytes,
            broker, pipeline, elements, detail, times)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 1)
         ON CONFLICT (channel, id, digest, reason) {rule}"
    );
    let changed = db.prepare_cached(&sql)?.execute(params![
        numbers.channel,
        entry.key.id.as_str(),
        digest,
        code.as_str(),
        numbers.signer,
        milliseconds(entry.facts.received),
        now,
        integer(entry.facts.payload_bytes),
        integer(entry.facts.wire_bytes),
        numbers.broker,
        numbers.pipeline,
        elements(entry.moves),
        entry.facts.reason,
    ])?;
    Ok(if changed == 0 { Decision::Duplicate } else { Decision::New { conflict: false } })
}

fn defer(
    db: &Connection,
    numbers: &Numbers,
    entry: &Entry<'_>,
    next: SystemTime,
    attempt: u32,
) -> rusqlite::Result<()> {
    for step in entry.moves {
        db.prepare_cached(
            "INSERT OR REPLACE INTO deferred (channel, element, id, signer, digest, received, next, attempt)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            numbers.channel,
            step.to,
            entry.key.id.as_str(),
            numbers.signer,
            entry.key.digest,
            milliseconds(entry.facts.received),
            milliseconds(next),
            attempt,
        ])?;
    }
    Ok(())
}

/// The elements of a row, one per line.
fn elements(moves: &[Move]) -> String {
    moves.iter().map(|step| step.to.as_str()).collect::<Vec<_>>().join("\n")
}
