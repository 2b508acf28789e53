//! The sending side: the outputs of the pipeline, kept until every part has a receipt.
//!
//! The pipeline runs once per element. Its outputs are made durable before the first SEND, and every retry seals them;
//! an unchanged message is recorded too, as an output without a payload. No row justifies the removal of an element
//! after a restart: `sent` is for the audit trail and is written after the element was removed.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::attempts::{clear, counted};
use super::counts::{self, SentCount};
use super::dispatch::{self, Dispatch};
use super::retained;
use super::schema::{Kind, Names, known, number, text};
use super::{Journal, JournalError, json, milliseconds};
use message::{Fate, MessageId, Output};

pub(super) const PREPARED: i64 = 1;
pub(super) const SENT: i64 = 2;
pub(super) const REJECTED: i64 = 3;
const GONE: i64 = 4;

/// The fate for the state in a row.
pub(super) fn fate_of(state: i64) -> Fate {
    match state {
        PREPARED => Fate::Prepared,
        SENT => Fate::Sent,
        REJECTED => Fate::Rejected,
        _ => Fate::Gone,
    }
}

/// The message and content of an entry: an element's name may be used again for other content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreparedKey {
    /// The id of the element's message.
    pub id: MessageId,
    /// SHA-256 of the content that was read.
    pub digest: [u8; 32],
}

/// The outputs of the pipeline for an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The message and its content.
    pub key: PreparedKey,
    /// The element in the queue.
    pub element: String,
    /// In order; output `n` of several is sent as part `n` of the id.
    pub outputs: Vec<Output>,
    /// Hash of the pipeline that ran.
    pub pipeline: String,
    /// Failed attempts to send it.
    pub attempts: u32,
    /// Its SENDs, where acknowledgements are wanted.
    pub dispatches: Vec<Dispatch>,
    /// What it holds; read when it is recorded, and empty if it was not counted.
    pub counts: Vec<SentCount>,
    /// Whether it was sent before and is sent again, for an acknowledgement is missing.
    pub repeated: bool,
}

/// What the journal knows of a message that is taken up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenUp {
    /// Its prepared outputs, if it was prepared and is not finished.
    pub prepared: Option<Prepared>,
    /// Failed attempts of its pipeline.
    pub attempts: u32,
}

/// A message that was sent: every part has its receipt, and the element was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message and its content.
    pub key: PreparedKey,
    /// The broker that confirmed it.
    pub broker: String,
    /// When the last receipt arrived.
    pub at: SystemTime,
    /// What the broker said of it, such as its own id.
    pub detail: Option<String>,
    /// How long to wait for acknowledgements before it is sent again, if its content is kept for that.
    pub retain: Option<Duration>,
}

/// An output as stored in a row; `payload` is a row of the table of that name.
#[derive(Serialize, Deserialize)]
struct StoredOutput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
}

impl Journal {
    /// The prepared outputs of each of these messages; `None` for one that is not prepared or already finished.
    #[cfg(test)]
    pub(crate) fn prepared(&self, channel: &str, keys: &[PreparedKey]) -> Result<Vec<Option<Prepared>>, JournalError> {
        Ok(self.taken_up(channel, keys)?.into_iter().map(|known| known.prepared).collect())
    }

    /// What is known of each of these messages, all as of the same moment.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn taken_up(&self, channel: &str, keys: &[PreparedKey]) -> Result<Vec<TakenUp>, JournalError> {
        self.read(|db| {
            // One transaction locks the file once, and not for each statement.
            let snapshot = db.unchecked_transaction()?;
            let Some(channel) = known(&snapshot, Kind::Channel, channel)? else {
                return Ok(vec![TakenUp::default(); keys.len()]);
            };
            let look = |key: &PreparedKey| -> rusqlite::Result<TakenUp> {
                let (attempts, _) = counted(&snapshot, channel, &key.digest)?;
                Ok(TakenUp { prepared: load(&snapshot, channel, key)?, attempts })
            };
            keys.iter().map(look).collect()
        })
    }

    /// Makes the outputs of the pipeline durable, before the first SEND, numbers the dispatches, and clears the counts of
    /// attempts for these messages. One transaction for the whole batch.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn record_prepared(&self, channel: &str, batch: &mut [Prepared]) -> Result<(), JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let mut names = Names::default();
            batch.iter_mut().try_for_each(|prepared| {
                let pipeline = names.optional(db, Kind::Pipeline, &prepared.pipeline)?;
                save(db, (channel, pipeline), prepared)?;
                counts::note_sent(db, channel, &prepared.key, &prepared.counts)?;
                dispatch::number_all(db, channel, &prepared.key, &mut prepared.dispatches)?;
                clear(db, channel, &prepared.key.digest)
            })
        })
    }

    /// Records messages as sent, after their elements were removed, and deletes their outputs unless they are retained.
    /// Returns whether any that is retained is acknowledged already.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn record_sent(&self, channel: &str, batch: &[Sent]) -> Result<bool, JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let (mut names, mut answered) = (Names::default(), false);
            for sent in batch {
                let broker = names.optional(db, Kind::Broker, &sent.broker)?;
                let ended = Ended { state: SENT, at: milliseconds(sent.at), broker, reason: sent.detail.as_deref() };
                match sent.retain {
                    None => finish(db, channel, &sent.key, &ended)?,
                    Some(wait) => {
                        end(db, channel, &sent.key, &ended)?;
                        answered |= retained::retain(db, channel, &sent.key, sent.at, wait)?;
                    }
                }
            }
            Ok(answered)
        })
    }

    /// Records a message as rejected, after it was put into the reject queue.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn record_rejected(
        &self,
        channel: &str,
        element: &str,
        key: &PreparedKey,
        reason: &str,
    ) -> Result<(), JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let now = milliseconds(SystemTime::now());
            db.prepare_cached(
                "INSERT INTO outgoing (channel, id, element, digest, state, outputs, payloads, attempts, prepared)
                 VALUES (?1, ?2, ?3, ?4, 1, '[]', '', 0, ?5) ON CONFLICT (channel, id, digest) DO NOTHING",
            )?
            .execute(params![channel, key.id.as_str(), element, key.digest, now])?;
            finish(db, channel, key, &Ended { state: REJECTED, at: now, broker: None, reason: Some(reason) })
        })
    }

    /// Counts a failed attempt to send each message and returns the new counts; 0 for one that is not prepared.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn count_send_attempts(&self, channel: &str, keys: &[PreparedKey]) -> Result<Vec<u32>, JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let mut statement = db.prepare_cached(
                "UPDATE outgoing SET attempts = attempts + 1 WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND state = 1
                 RETURNING attempts",
            )?;
            keys.iter()
                .map(|key| {
                    statement
                        .query_row(params![channel, key.id.as_str(), key.digest], |row| row.get(0))
                        .optional()
                        .map(Option::unwrap_or_default)
                })
                .collect()
        })
    }

    /// The prepared messages of a channel that are not recorded as sent, with their elements. At start-up, those whose
    /// element is gone are passed to [`Journal::record_gone`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn unfinished(&self, channel: &str) -> Result<Vec<(String, PreparedKey)>, JournalError> {
        self.read(|db| {
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached("SELECT element, id, digest FROM outgoing WHERE channel = ?1 AND state = 1")?
                .query_map([channel], |row| {
                    let id: String = row.get(1)?;
                    Ok((row.get(0)?, PreparedKey { id: MessageId::from_peer(&id), digest: row.get(2)? }))
                })?
                .collect()
        })
    }

    /// Records prepared messages whose element is gone, and deletes their outputs.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn record_gone(&self, channel: &str, keys: &[PreparedKey]) -> Result<(), JournalError> {
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let now = milliseconds(SystemTime::now());
            let gone = Ended { state: GONE, at: now, broker: None, reason: None };
            keys.iter().try_for_each(|key| finish(db, channel, key, &gone))
        })
    }
}

/// The routes of a row's outputs, each once.
pub(super) fn routes(outputs: &str) -> Vec<String> {
    let outputs: Vec<StoredOutput> = serde_json::from_str(outputs).unwrap_or_default();
    let mut routes: Vec<String> = Vec::new();
    for route in outputs.into_iter().flat_map(|output| output.routes) {
        if !routes.contains(&route) {
            routes.push(route);
        }
    }
    routes
}

fn load(db: &Connection, channel: i64, key: &PreparedKey) -> rusqlite::Result<Option<Prepared>> {
    let row = db
        .prepare_cached(
            "SELECT element, outputs, pipeline, attempts FROM outgoing
             WHERE channel = ?1 AND id = ?2 AND digest = ?3 AND state = 1",
        )?
        .query_row(params![channel, key.id.as_str(), key.digest], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((element, outputs, pipeline, attempts)) = row else { return Ok(None) };
    let stored: Vec<StoredOutput> = serde_json::from_str(&outputs)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error)))?;
    let outputs = stored.into_iter().map(|output| load_output(db, output)).collect::<rusqlite::Result<_>>()?;
    let (dispatches, repeated) =
        (dispatch::load(db, channel, key, dispatch::NAME)?, retained::is_retained(db, channel, key)?);
    Ok(Some(Prepared {
        key: key.clone(),
        element,
        outputs,
        pipeline: text(db, pipeline)?,
        attempts,
        dispatches,
        counts: Vec::new(),
        repeated,
    }))
}

fn load_output(db: &Connection, stored: StoredOutput) -> rusqlite::Result<Output> {
    let payload = match stored.payload {
        None => None,
        Some(number) => Some(
            db.prepare_cached("SELECT bytes FROM payload WHERE number = ?1")?.query_row([number], |row| row.get(0))?,
        ),
    };
    Ok(Output {
        payload,
        content_type: stored.content_type,
        headers: stored.headers,
        routes: stored.routes,
        part: stored.part,
    })
}

fn save(db: &Connection, (channel, pipeline): (i64, Option<i64>), prepared: &Prepared) -> rusqlite::Result<()> {
    let mut numbers = Vec::new();
    let mut outputs = Vec::with_capacity(prepared.outputs.len());
    for output in &prepared.outputs {
        let payload = match &output.payload {
            None => None,
            Some(bytes) => {
                db.prepare_cached("INSERT INTO payload (bytes) VALUES (?1)")?.execute([bytes])?;
                numbers.push(db.last_insert_rowid().to_string());
                Some(db.last_insert_rowid())
            }
        };
        outputs.push(StoredOutput {
            payload,
            content_type: output.content_type.clone(),
            headers: output.headers.clone(),
            routes: output.routes.clone(),
            part: output.part,
        });
    }
    let outputs = json(&outputs)?;
    free_payloads(db, channel, &prepared.key)?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO outgoing (channel, id, element, digest, state, outputs, payloads, attempts, prepared,
            pipeline) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        channel,
        prepared.key.id.as_str(),
        prepared.element,
        prepared.key.digest,
        PREPARED,
        outputs,
        numbers.join(","),
        prepared.attempts,
        milliseconds(SystemTime::now()),
        pipeline,
    ])?;
    Ok(())
}

/// Deletes the payloads of a message, and their list.
pub(super) fn free_payloads(db: &Connection, channel: i64, key: &PreparedKey) -> rusqlite::Result<()> {
    let numbers: Option<String> = db
        .prepare_cached("SELECT payloads FROM outgoing WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
        .query_row(params![channel, key.id.as_str(), key.digest], |row| row.get(0))
        .optional()?;
    let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) else { return Ok(()) };
    for number in numbers.split(',').filter_map(|number| number.parse::<i64>().ok()) {
        db.prepare_cached("DELETE FROM payload WHERE number = ?1")?.execute([number])?;
    }
    db.prepare_cached("UPDATE outgoing SET payloads = '' WHERE channel = ?1 AND id = ?2 AND digest = ?3")?
        .execute(params![channel, key.id.as_str(), key.digest])?;
    Ok(())
}

/// How a message ended.
struct Ended<'a> {
    state: i64,
    at: i64,
    broker: Option<i64>,
    reason: Option<&'a str>,
}

/// Ends a message and deletes its outputs. Those of one that is retained are needed if it is sent again.
fn finish(db: &Connection, channel: i64, key: &PreparedKey, ended: &Ended<'_>) -> rusqlite::Result<()> {
    if !retained::is_retained(db, channel, key)? {
        free_payloads(db, channel, key)?;
    }
    end(db, channel, key, ended)
}

fn end(db: &Connection, channel: i64, key: &PreparedKey, ended: &Ended<'_>) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE outgoing SET state = ?4, finished = ?5, broker = ?6, reason = ?7
         WHERE channel = ?1 AND id = ?2 AND digest = ?3",
    )?
    .execute(params![channel, key.id.as_str(), key.digest, ended.state, ended.at, ended.broker, ended.reason])?;
    Ok(())
}
