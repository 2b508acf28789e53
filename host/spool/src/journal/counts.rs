//! How many messages and records went where, by site: for `sesame report`.
//!
//! What a message holds is counted by the caller and written beside its row, in the same transaction. Of a sent message
//! the row has one [`SentCount`] for each part; what became of it is read from `outgoing`, `dispatch` and `retained` when it
//! is asked for. Of a received message the row has the last decision.
//!
//! # Retention
//! A row that expires is added to `total` in the transaction that deletes it, so that a month stays complete. A sent message
//! expires only when it is no longer retained, and its dispatches go with it: an acknowledgement that comes later belongs to
//! no known message and changes nothing. A received message expires after its row in `received`: until then a further copy
//! is a duplicate, afterwards it is stored again and counted again.
//!
//! # Months
//! Both sides must put a message into the same month. That is the month in UTC of the time in its id, which is when it was
//! put into the queue of its sender; a part has the id of its message. An id without a plausible time counts in the month
//! in which the message was prepared or received.
//!
//! # Without a count
//! A message that has a row and no count is of format [`UNCOUNTED`]: an earlier Sesame wrote it, or counting was off.

mod totals;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use message::{Fate, MessageId, Month};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::dispatch::{self, verdict_of};
use super::receiver::{Decision, Disposition, Entry};
use super::schema::{Kind, known};
use super::sender::{PREPARED, PreparedKey, REJECTED};
use super::stages::exists;
use super::{Journal, JournalError, json, moment};
use message::acknowledgement::Verdict;
use totals::{fold, totals};

/// The format of messages that were not counted.
pub const UNCOUNTED: &str = "uncounted";
/// An id may be ahead of our clock by so much.
const AHEAD: Duration = Duration::from_secs(86_400);
/// Times in ids before 2000 are no times.
const EARLIEST: Duration = Duration::from_secs(946_684_800);

/// What a message holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The format of its records.
    #[serde(rename = "f")]
    pub format: String,
    /// How many records each site has; `None` if they cannot be read.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<Vec<(String, u64)>>,
}

/// What a part of a sent message holds, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCount {
    /// The number of the part; `None` if the message was not split.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub part: Option<usize>,
    /// Its destinations.
    #[serde(rename = "d")]
    pub destinations: Vec<String>,
    /// What it holds.
    #[serde(flatten)]
    pub counted: Counted,
}

/// What became of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Sent, and no acknowledgement is awaited; or received, and not decided yet.
    Unanswered = 1,
    /// Acknowledged; or received and accepted.
    Accepted = 2,
    /// Rejected by the receiver.
    Rejected = 3,
    /// Sent, and the acknowledgement is awaited.
    Awaited = 4,
    /// Sent as often as allowed, and not acknowledged.
    Overdue = 5,
    /// Copies of a message that was received before. They do not count as received.
    Duplicate = 6,
}

impl Outcome {
    fn of(number: i64) -> Self {
        match number {
            2 => Self::Accepted,
            3 => Self::Rejected,
            4 => Self::Awaited,
            5 => Self::Overdue,
            6 => Self::Duplicate,
            _ => Self::Unanswered,
        }
    }
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// At a sender the destination, at a receiver the signer; empty if unknown.
    pub peer: String,
    /// The name of the stream; empty if the messages have no numbers.
    pub stream: String,
    /// The site; empty if the records name none.
    pub site: String,
    /// The format.
    pub format: String,
    /// What became of them.
    pub outcome: Outcome,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Messages with records of the site.
    pub messages: u64,
    /// Records of the site.
    pub records: u64,
}

/// Which way the messages of a channel go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A sender's.
    Sent = 1,
    /// A receiver's.
    Received = 2,
}

/// Amounts by cell.
pub type Amounts = BTreeMap<Cell, Amount>;

/// Adds the records of `times` equal messages.
fn add(amounts: &mut Amounts, (peer, stream): (&str, &str), counted: &Counted, outcome: Outcome, times: u64) {
    let nothing = [(String::new(), 0)];
    let sites = counted.sites.as_deref().filter(|sites| !sites.is_empty()).unwrap_or(&nothing);
    for (site, records) in sites {
        let cell = Cell {
            peer: peer.to_owned(),
            stream: stream.to_owned(),
            site: site.clone(),
            format: counted.format.clone(),
            outcome,
        };
        let amount = amounts.entry(cell).or_default();
        amount.messages = amount.messages.saturating_add(times);
        amount.records = amount.records.saturating_add(records.saturating_mul(times));
    }
}

/// The month that a message counts in.
fn month(id: &MessageId, at: i64) -> Month {
    let at = moment(at);
    let plausible = |made: &SystemTime| *made >= UNIX_EPOCH + EARLIEST && *made <= at + AHEAD;
    Month::of(id.made().filter(plausible).unwrap_or(at))
}

fn uncounted() -> Counted {
    Counted { format: UNCOUNTED.to_owned(), sites: None }
}

impl Journal {
    /// What a channel sent or received of a month.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn amounts(&self, side: Side, channel: &str, wanted: Month) -> Result<Amounts, JournalError> {
        self.read(|db| {
            // What is folded meanwhile must not be seen twice, or not at all.
            let snapshot = db.unchecked_transaction()?;
            let mut amounts = Amounts::new();
            let Some(channel) = known(&snapshot, Kind::Channel, channel)? else { return Ok(amounts) };
            // A journal that is only read may be from a time before counting.
            let counts = exists(&snapshot, "total")?;
            if counts {
                totals(&snapshot, side, channel, wanted, &mut amounts)?;
            }
            match side {
                Side::Sent => sent(&snapshot, channel, counts, wanted, &mut amounts)?,
                Side::Received => received(&snapshot, channel, counts, wanted, &mut amounts)?,
            }
            Ok(amounts)
        })
    }
}

/// Notes what a prepared message holds.
pub(super) fn note_sent(
    db: &Connection,
    channel: i64,
    key: &PreparedKey,
    counts: &[SentCount],
) -> rusqlite::Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    db.prepare_cached("INSERT OR REPLACE INTO sent_count (channel, id, digest, counts) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![channel, key.id.as_str(), key.digest, json(&counts)?])?;
    Ok(())
}

/// A row of `outgoing` with what belongs to it.
struct SentRow {
    key: PreparedKey,
    state: i64,
    prepared: i64,
    counts: Option<Vec<SentCount>>,
    /// Whether it is overdue; `None` if it is not retained.
    retained: Option<bool>,
}

const SENT_ROW: &str = "SELECT o.id, o.digest, o.state, o.prepared, c.counts, r.overdue FROM outgoing o
    LEFT JOIN sent_count c ON c.channel = o.channel AND c.id = o.id AND c.digest = o.digest
    LEFT JOIN retained r ON r.channel = o.channel AND r.id = o.id AND r.digest = o.digest";
/// The same in a journal from before counting, and perhaps from before acknowledgements.
const OLD_SENT_ROW: &str = "SELECT id, digest, state, prepared, NULL, NULL FROM outgoing o";

fn sent_row(row: &Row<'_>) -> rusqlite::Result<SentRow> {
    let id: String = row.get(0)?;
    let counts: Option<String> = row.get(4)?;
    Ok(SentRow {
        key: PreparedKey { id: MessageId::from_peer(&id), digest: row.get(1)? },
        state: row.get(2)?,
        prepared: row.get(3)?,
        counts: counts.and_then(|text| serde_json::from_str(&text).ok()),
        retained: row.get(5)?,
    })
}

fn sent(db: &Connection, channel: i64, counts: bool, wanted: Month, amounts: &mut Amounts) -> rusqlite::Result<()> {
    let rows = if counts { SENT_ROW } else { OLD_SENT_ROW };
    let mut statement = db.prepare_cached(&format!("{rows} WHERE o.channel = ?1"))?;
    let mut rows = statement.query([channel])?;
    let name = dispatch::name(db)?;
    while let Some(row) = rows.next()? {
        let row = sent_row(row)?;
        if month(&row.key.id, row.prepared) == wanted {
            let answers = if counts { answers(db, channel, &row.key, name)? } else { Answers::new() };
            add_sent(&row, &answers, amounts);
        }
    }
    Ok(())
}

/// What is known of each dispatch, by id and destination.
type Answers = HashMap<(String, String), Answer>;

struct Answer {
    stream: String,
    verdict: Option<Verdict>,
    open: bool,
}

/// `name`: as in [`dispatch::load`].
fn answers(db: &Connection, channel: i64, key: &PreparedKey, name: &str) -> rusqlite::Result<Answers> {
    let (open, of_whole) = (dispatch::OPEN, dispatch::OF_WHOLE);
    db.prepare_cached(&format!("SELECT d.id, s.destination, {name}, d.verdict, {open} FROM dispatch d {of_whole}"))?
        .query_map(params![channel, key.id.as_str(), key.digest], |row| {
            let verdict = row.get::<_, Option<i64>>(3)?.map(verdict_of);
            Ok(((row.get(0)?, row.get(1)?), Answer { stream: row.get(2)?, verdict, open: row.get(4)? }))
        })?
        .collect()
}

/// Adds a message that was sent, by part and destination.
fn add_sent(row: &SentRow, answers: &Answers, amounts: &mut Amounts) {
    let answered = answers.values().any(|answer| answer.verdict.is_some());
    // One that is prepared may have been sent before and be sent again. One that is rejected was sent if a receiver
    // answered.
    let was_sent = row.retained.is_some() || answered || !matches!(row.state, PREPARED | REJECTED);
    if !was_sent {
        return;
    }
    let Some(counts) = &row.counts else {
        return add(amounts, ("", ""), &uncounted(), Outcome::Unanswered, 1);
    };
    for count in counts {
        let id = count.part.map_or_else(|| row.key.id.clone(), |number| row.key.id.part(number));
        for destination in &count.destinations {
            let answer = answers.get(&(id.as_str().to_owned(), destination.clone()));
            let outcome = match (answer.map(|answer| (answer.verdict, answer.open)), row.retained) {
                (Some((Some(Verdict::Rejected), _)), _) => Outcome::Rejected,
                (Some((Some(_), _)), _) => Outcome::Accepted,
                (Some((None, true)), Some(true)) => Outcome::Overdue,
                (Some((None, true)), Some(false)) => Outcome::Awaited,
                _ => Outcome::Unanswered,
            };
            let stream = answer.map_or("", |answer| &answer.stream);
            add(amounts, (destination, stream), &count.counted, outcome, 1);
        }
    }
}

/// Adds a row of `outgoing` that is about to be deleted to the totals.
pub(super) fn fold_sent(db: &Connection, channel: i64, id: &str, digest: &[u8]) -> rusqlite::Result<()> {
    let row = db
        .prepare_cached(&format!("{SENT_ROW} WHERE o.channel = ?1 AND o.id = ?2 AND o.digest = ?3"))?
        .query_row(params![channel, id, digest], sent_row)
        .optional()?;
    let Some(row) = row else { return Ok(()) };
    let mut amounts = Amounts::new();
    add_sent(&row, &answers(db, channel, &row.key, dispatch::NAME)?, &mut amounts);
    fold(db, Side::Sent, channel, month(&row.key.id, row.prepared), &amounts)?;
    db.prepare_cached("DELETE FROM sent_count WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
        .execute(params![channel, id, digest])?;
    Ok(())
}

/// Notes the decision about a message that was counted.
pub(super) fn note_received(
    db: &Connection,
    (channel, signer): (i64, i64),
    entry: &Entry<'_>,
    (decision, disposition): (&Decision, i64),
    now: i64,
) -> rusqlite::Result<()> {
    let Some(counted) = &entry.facts.counted else { return Ok(()) };
    let (id, digest) = (entry.key.id.as_str(), entry.key.digest);
    if *decision == Decision::Duplicate {
        db.prepare_cached(
            "UPDATE received_count SET duplicates = duplicates + 1
             WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest = ?4",
        )?
        .execute(params![channel, id, signer, digest])?;
        return Ok(());
    }
    // Two equal messages without an id are two messages.
    let further = entry.key.id == MessageId::absent() && !entry.redelivered && entry.resolves.is_none();
    if further {
        let before: Option<i64> = db
            .prepare_cached(
                "SELECT disposition FROM received_count WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest = ?4",
            )?
            .query_row(params![channel, id, signer, digest], |row| row.get(0))
            .optional()?;
        match before.filter(|before| *before != disposition) {
            // A row has one decision. That of a deferred message is still to come, so its row stays.
            Some(before) if Disposition::fate_of(before) == Fate::Deferred => {
                return fold_row(db, channel, &decided_row(entry, counted, disposition));
            }
            Some(_) => fold_received(db, &(channel, id.to_owned(), signer, digest.to_vec()))?,
            None => {}
        }
    }
    db.prepare_cached(
        "INSERT INTO received_count (channel, id, signer, digest, received, decided, disposition, stream, counts,
            messages, duplicates)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, 0)
         ON CONFLICT (channel, id, signer, digest) DO UPDATE
         SET disposition = excluded.disposition, decided = excluded.decided, messages = messages + ?10",
    )?
    .execute(params![
        channel,
        id,
        signer,
        digest,
        super::milliseconds(entry.facts.received),
        now,
        disposition,
        entry.sequence.map_or("", |sequence| sequence.stream()),
        json(counted)?,
        further,
    ])?;
    Ok(())
}

/// A row of `received_count`, or of `received` without one.
struct ReceivedRow {
    id: MessageId,
    signer: String,
    received: i64,
    disposition: i64,
    stream: String,
    counted: Counted,
    messages: u64,
    duplicates: u64,
}

/// The row of one message.
fn decided_row(entry: &Entry<'_>, counted: &Counted, disposition: i64) -> ReceivedRow {
    ReceivedRow {
        id: entry.key.id.clone(),
        signer: entry.key.signer.clone(),
        received: super::milliseconds(entry.facts.received),
        disposition,
        stream: entry.sequence.map_or_else(String::new, |sequence| sequence.stream().to_owned()),
        counted: counted.clone(),
        messages: 1,
        duplicates: 0,
    }
}

const RECEIVED_ROW: &str =
    "SELECT c.id, n.text, c.received, c.disposition, c.stream, c.counts, c.messages, c.duplicates
    FROM received_count c LEFT JOIN name n ON n.number = c.signer";
const ONLY_RECEIVED: &str = "SELECT o.id, n.text, o.received, o.disposition, '', NULL, 1, 0
    FROM received o LEFT JOIN name n ON n.number = o.signer";
const HAS_NO_COUNT: &str = "NOT EXISTS (SELECT 1 FROM received_count c WHERE c.channel = o.channel AND c.id = o.id
    AND c.signer = o.signer AND c.digest = o.digest)";

fn received_row(row: &Row<'_>) -> rusqlite::Result<ReceivedRow> {
    let id: String = row.get(0)?;
    let counts: Option<String> = row.get(5)?;
    let (messages, duplicates): (i64, i64) = (row.get(6)?, row.get(7)?);
    Ok(ReceivedRow {
        id: MessageId::from_peer(&id),
        signer: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
        received: row.get(2)?,
        disposition: row.get(3)?,
        stream: row.get(4)?,
        counted: counts.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_else(uncounted),
        messages: messages.unsigned_abs(),
        duplicates: duplicates.unsigned_abs(),
    })
}

fn received(db: &Connection, channel: i64, counts: bool, wanted: Month, amounts: &mut Amounts) -> rusqlite::Result<()> {
    let mut all = vec![format!("{ONLY_RECEIVED} WHERE o.channel = ?1")];
    if counts {
        all = vec![
            format!("{RECEIVED_ROW} WHERE c.channel = ?1"),
            format!("{ONLY_RECEIVED} WHERE o.channel = ?1 AND {HAS_NO_COUNT}"),
        ];
    }
    for sql in all {
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query([channel])?;
        while let Some(row) = rows.next()? {
            let row = received_row(row)?;
            if month(&row.id, row.received) == wanted {
                add_received(&row, amounts);
            }
        }
    }
    Ok(())
}

fn add_received(row: &ReceivedRow, amounts: &mut Amounts) {
    let outcome = match Disposition::fate_of(row.disposition) {
        Fate::Stored | Fate::Dropped => Outcome::Accepted,
        Fate::Deferred => Outcome::Unanswered,
        _ => Outcome::Rejected,
    };
    let from = (row.signer.as_str(), row.stream.as_str());
    add(amounts, from, &row.counted, outcome, row.messages);
    if row.duplicates > 0 {
        add(amounts, from, &row.counted, Outcome::Duplicate, row.duplicates);
    }
}

/// The key of a row of `received_count`.
pub(super) type ReceivedKey = (i64, String, i64, Vec<u8>);

/// Folds a row of `received` without a count, which is about to be deleted. One with a count is folded later.
pub(super) fn fold_uncounted(db: &Connection, key: &ReceivedKey) -> rusqlite::Result<()> {
    let (channel, id, signer, digest) = key;
    let row = db
        .prepare_cached(&format!(
            "{ONLY_RECEIVED} WHERE o.channel = ?1 AND o.id = ?2 AND o.signer = ?3 AND o.digest = ?4 AND {HAS_NO_COUNT}"
        ))?
        .query_row(params![channel, id, signer, digest], received_row)
        .optional()?;
    row.map_or(Ok(()), |row| fold_row(db, *channel, &row))
}

fn fold_row(db: &Connection, channel: i64, row: &ReceivedRow) -> rusqlite::Result<()> {
    let mut amounts = Amounts::new();
    add_received(row, &mut amounts);
    fold(db, Side::Received, channel, month(&row.id, row.received), &amounts)
}

/// Folds a row of `received_count` and deletes it.
pub(super) fn fold_received(db: &Connection, key: &ReceivedKey) -> rusqlite::Result<()> {
    let (channel, id, signer, digest) = key;
    let key = "WHERE c.channel = ?1 AND c.id = ?2 AND c.signer = ?3 AND c.digest = ?4";
    let row = db
        .prepare_cached(&format!("{RECEIVED_ROW} {key}"))?
        .query_row(params![channel, id, signer, digest], received_row)
        .optional()?;
    let Some(row) = row else { return Ok(()) };
    fold_row(db, *channel, &row)?;
    forget_received(db, *channel, id, *signer, digest)
}

/// Deletes the count of a message that no longer counts as received.
pub(super) fn forget_received(
    db: &Connection,
    channel: i64,
    id: &str,
    signer: i64,
    digest: &[u8],
) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM received_count WHERE channel = ?1 AND id = ?2 AND signer = ?3 AND digest = ?4")?
        .execute(params![channel, id, signer, digest])?;
    Ok(())
}

#[cfg(test)]
mod tests;
