//! The recorded steps of a message, oldest first.

use std::collections::{BTreeSet, HashSet};
use std::time::SystemTime;

use rusqlite::{Connection, Row, params};

use super::schema::{Kind, names, text};
use super::{Disposition, Journal, JournalError, PipelineStage, moment};
use message::{Fate, MessageId, hex};

/// One step of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time.
    pub at: SystemTime,
    /// The result.
    pub fate: Fate,
    /// The channel.
    pub channel: String,
    /// The id, which may be a part (`ID.2`) of the requested one.
    pub id: String,
    /// The signer; empty if unknown.
    pub signer: String,
    /// The broker; empty if unknown.
    pub broker: String,
    /// Hash of the pipeline; empty if none ran.
    pub pipeline: String,
    /// The stages of that pipeline, if they are remembered.
    pub stages: Vec<PipelineStage>,
    /// The routes that plugins chose for the sent messages.
    pub routes: Vec<String>,
    /// Its elements, relative to the spool.
    pub elements: Vec<String>,
    /// Its element in the outgoing queue, relative to that queue; `None` for a step of a receiver.
    pub outgoing: Option<String>,
    /// SHA-256 of the content, in hexadecimal; for a rejected message, of the message as received.
    pub digest: String,
    /// The reason, preceded by its code, and warnings.
    pub detail: Option<String>,
    /// Size of the content in bytes; 0 if unknown.
    pub payload_bytes: u64,
}

const RECEIVED: &str = "SELECT committed, disposition, id, signer, broker, pipeline, elements, digest, reason,
    payload_bytes, conflict FROM received";
const REJECTED: &str = "SELECT committed, reason, id, signer, broker, pipeline, elements, digest, detail,
    payload_bytes, times FROM rejected";
const OUTGOING: &str = "SELECT coalesce(finished, prepared), state, id, attempts, broker, pipeline, element, digest,
    reason, outputs FROM outgoing";
/// The id itself, or one that begins with it and a dot; `/` follows `.` in ASCII.
const THIS_ID: &str = "WHERE channel = ?1 AND (id = ?2 OR (id > ?2 || '.' AND id < ?2 || '/'))";

impl Journal {
    /// All steps of `id` and of its parts, oldest first.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn trace(&self, id: &MessageId) -> Result<Vec<Step>, JournalError> {
        let mut steps = self.read(|db| {
            let mut steps = Vec::new();
            for (number, channel) in names(db, Kind::Channel)? {
                for (table, make) in [
                    (RECEIVED, received as fn(&Connection, &str, &Row<'_>) -> rusqlite::Result<Step>),
                    (REJECTED, rejected),
                    (OUTGOING, outgoing),
                ] {
                    let mut statement = db.prepare_cached(&format!("{table} {THIS_ID}"))?;
                    let rows = statement.query_map(params![number, id.as_str()], |row| make(db, &channel, row))?;
                    for step in rows {
                        steps.push(step?);
                    }
                }
            }
            Ok(steps)
        })?;
        join_rejections(&mut steps);
        for step in steps.iter_mut().filter(|step| !step.pipeline.is_empty()) {
            step.stages = self.pipeline(&step.pipeline)?.unwrap_or_default();
        }
        steps.retain(|step| step.id == id.as_str() || is_part(id.as_str(), &step.id));
        steps.sort_by_key(|step| step.at);
        Ok(steps)
    }
}

/// Joins the rows of a message that a sender rejected: one for the element in the reject queue, one for that in the
/// outgoing queue, and for a message rejected in parts one that ends its attempts.
fn join_rejections(steps: &mut Vec<Step>) {
    let of_sender = |step: &Step| step.fate == Fate::Rejected && step.outgoing.is_some();
    let ends: Vec<Step> = steps.extract_if(.., |step| of_sender(step)).collect();
    for end in ends {
        let same = |step: &Step| {
            step.outgoing.is_none() && (&step.channel, &step.id, &step.digest) == (&end.channel, &end.id, &end.digest)
        };
        steps.retain(|step| !(same(step) && step.fate == Fate::Dropped && step.detail == end.detail));
        match steps.iter_mut().find(|step| same(step) && step.fate == Fate::Rejected) {
            Some(rejected) => {
                rejected.outgoing = end.outgoing;
                if rejected.pipeline.is_empty() {
                    rejected.pipeline = end.pipeline;
                }
            }
            None => steps.push(end),
        }
    }
}

/// Maximum number of ids returned for an element or a file name.
const MOST_FOUND: usize = 100;
/// Ids of rows one of whose elements ends with `?1` or `?2`, which begin with a line end and a slash.
const BY_ELEMENT: &str = "instr(char(10) || elements || char(10), ?1) OR instr(char(10) || elements || char(10), ?2)";
/// Ids of a plain file: its name or the hash of it, a dash and eight digits; `.` follows `-` in ASCII.
const BY_FILE: &str = "id > ?1 || '-' AND id < ?1 || '.' AND length(id) = length(?1) + 9";

impl Journal {
    /// Ids of messages with an element named `element`: an element of an outgoing queue, or one of another queue with
    /// or without the queue's name before it. At most 100.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn ids_of_element(&self, element: &str) -> Result<BTreeSet<String>, JournalError> {
        self.read(|db| {
            let mut found = BTreeSet::new();
            let (line, below) = (format!("\n{element}\n"), format!("/{element}\n"));
            for table in ["received", "rejected"] {
                collect(
                    db,
                    &format!("SELECT DISTINCT id FROM {table} WHERE {BY_ELEMENT}"),
                    [&line, &below],
                    &mut found,
                )?;
            }
            collect(db, "SELECT DISTINCT id FROM outgoing WHERE element = ?1", [element], &mut found)?;
            Ok(found)
        })
    }

    /// Ids that a sender generates for a plain file whose name, or the hash that replaces it, is `stem`. At most 100.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn ids_of_file(&self, stem: &str) -> Result<BTreeSet<String>, JournalError> {
        self.read(|db| {
            let mut found = BTreeSet::new();
            for table in ["received", "rejected", "outgoing"] {
                collect(db, &format!("SELECT DISTINCT id FROM {table} WHERE {BY_FILE}"), [stem], &mut found)?;
            }
            Ok(found)
        })
    }
}

fn collect(
    db: &Connection,
    query: &str,
    parameters: impl rusqlite::Params,
    found: &mut BTreeSet<String>,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(query)?;
    for id in statement.query_map(parameters, |row| row.get::<_, String>(0))? {
        if found.len() >= MOST_FOUND {
            break;
        }
        found.insert(id?);
    }
    Ok(())
}

fn is_part(whole: &str, id: &str) -> bool {
    let number = id.strip_prefix(whole).and_then(|rest| rest.strip_prefix('.'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

fn common(db: &Connection, channel: &str, row: &Row<'_>) -> rusqlite::Result<Step> {
    let elements: String = row.get(6)?;
    let digest: Vec<u8> = row.get(7)?;
    Ok(Step {
        at: moment(row.get(0)?),
        fate: Fate::Stored,
        channel: channel.to_owned(),
        id: row.get(2)?,
        signer: String::new(),
        broker: text(db, row.get(4)?)?,
        pipeline: text(db, row.get(5)?)?,
        stages: Vec::new(),
        routes: Vec::new(),
        elements: elements.lines().map(str::to_owned).collect(),
        outgoing: None,
        digest: hex(&digest),
        detail: row.get(8)?,
        payload_bytes: 0,
    })
}

fn received(db: &Connection, channel: &str, row: &Row<'_>) -> rusqlite::Result<Step> {
    let mut step = common(db, channel, row)?;
    step.fate = Disposition::fate_of(row.get(1)?);
    step.signer = text(db, row.get(3)?)?;
    step.payload_bytes = row.get::<_, i64>(9)?.unsigned_abs();
    if row.get(10)? {
        let warning = "the signer also sent other content under this id";
        step.detail = Some(step.detail.map_or_else(|| warning.to_owned(), |detail| format!("{detail}; {warning}")));
    }
    Ok(step)
}

fn rejected(db: &Connection, channel: &str, row: &Row<'_>) -> rusqlite::Result<Step> {
    let mut step = common(db, channel, row)?;
    step.fate = Fate::Rejected;
    step.signer = text(db, row.get(3)?)?;
    step.payload_bytes = row.get::<_, i64>(9)?.unsigned_abs();
    let code: String = row.get(1)?;
    let times: u32 = row.get(10)?;
    let mut detail = step.detail.take().map_or_else(|| code.clone(), |detail| format!("{code}: {detail}"));
    if times > 1 {
        detail.push_str(&format!(" ({times} times)"));
    }
    step.detail = Some(detail);
    Ok(step)
}

fn outgoing(db: &Connection, channel: &str, row: &Row<'_>) -> rusqlite::Result<Step> {
    let mut step = common(db, channel, row)?;
    step.fate = super::sender::fate_of(row.get(1)?);
    step.outgoing = step.elements.pop();
    // A later version of Sesame may have written a form that this one cannot read.
    let outputs: Option<String> = row.get(9)?;
    step.routes = super::sender::routes(outputs.as_deref().unwrap_or_default());
    let attempts: u32 = row.get(3)?;
    if attempts > 0 && step.detail.is_none() {
        step.detail = Some(format!("{attempts} failed attempts"));
    }
    Ok(step)
}

/// A received message, as its log line shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The channel.
    pub channel: String,
    pub id: String,
    /// The verified signer; empty if nothing was verified.
    pub signer: String,
    /// Its fate.
    pub fate: Fate,
    /// Its elements, relative to the spool, separated by spaces.
    pub elements: String,
    /// Why it was not stored, preceded by its code.
    pub reason: Option<String>,
}

impl Journal {
    /// The messages with any of these elements. Reads the whole journal; used at the start after a crash.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn published(&self, elements: &HashSet<&str>) -> Result<Vec<Published>, JournalError> {
        self.read(|db| {
            let mut statement = db.prepare(
                "SELECT c.text, m.id, coalesce(s.text, ''), m.disposition, m.elements, m.reason FROM
                    (SELECT channel, id, signer, disposition, elements, reason FROM received
                     UNION ALL SELECT channel, id, signer, 4, elements, reason || coalesce(': ' || detail, '') FROM rejected) m
                 JOIN name c ON c.number = m.channel LEFT JOIN name s ON s.number = m.signer",
            )?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let text: String = row.get(4)?;
                let mine: Vec<&str> = text.lines().filter(|line| elements.contains(line)).collect();
                if !mine.is_empty() {
                    found.push(Published {
                        channel: row.get(0)?,
                        id: row.get(1)?,
                        signer: row.get(2)?,
                        fate: Disposition::fate_of(row.get(3)?),
                        elements: mine.join(" "),
                        reason: row.get(5)?,
                    });
                }
            }
            Ok(found)
        })
    }
}
