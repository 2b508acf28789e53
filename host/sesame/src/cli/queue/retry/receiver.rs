//! Decides again about a receiver's reject elements.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::anyhow;

use super::super::super::explain::receiver_snapshot;
use super::super::{Queue, field, modes};
use super::{LARGEST, Retried, locked_elsewhere};
use crate::channel::{JOURNAL, OpenSpool};
use crate::config::Config;
use crate::receiver::{Decision, Received, Snapshot, decide, queues};
use crate::service::Shared;
use message::{Fate, MessageId, content_digest};
use spool::journal::{Journal, Key};
use spool::{Commit, ElementPath, LockedQueueElement, Outcome};

/// Decides about messages of one channel as its receiver would.
pub(super) struct Judge {
    shared: Shared,
    snapshot: Snapshot,
}

/// Who puts a decision into effect.
pub(super) enum Desk {
    /// This process holds the spool.
    Ours(Arc<OpenSpool>),
    /// Another Sesame holds it; the message is handed over to it.
    HandOver(Box<HandOver>),
}

/// The queue and the journal of a spool that another Sesame holds.
pub(super) struct HandOver {
    journal: Journal,
    deferred: Queue,
    holder: String,
}

/// A message read back from an element.
struct ReadBack {
    sealed: Vec<u8>,
    id: MessageId,
    at: SystemTime,
}

impl Judge {
    /// Loads everything that the receiver's decision depends on. Needs neither the spool's lock nor a broker.
    ///
    /// # Errors
    /// Errors with which the receiver itself would not start.
    pub(super) fn new(config: &Config, channel: &str) -> anyhow::Result<Self> {
        let shared = Shared::start(config)?;
        let snapshot = receiver_snapshot(config, channel, &shared)?;
        Ok(Self { shared, snapshot })
    }

    /// Takes the spool, or finds out who holds it.
    ///
    /// # Errors
    /// A spool or journal that cannot be used.
    pub(super) fn desk(&self) -> anyhow::Result<Desk> {
        let settings = &self.snapshot.settings;
        match self.shared.registry.spool(&settings.spool, &queues(settings), &settings.storage) {
            Ok(spool) => Ok(Desk::Ours(spool)),
            Err(error) if error.is_held() => Ok(Desk::HandOver(Box::new(HandOver {
                journal: Journal::open(&settings.spool.join(JOURNAL))?,
                deferred: Queue::create(&settings.spool.join("deferred"), modes(&settings.storage))?,
                holder: error.to_string(),
            }))),
            Err(error) => Err(error.into()),
        }
    }

    /// Decides again about a reject element and puts the decision into effect, unless it would be rejected again.
    ///
    /// # Errors
    /// What cannot be read or written; the element is then in one of its two queues.
    pub(super) fn retry(
        &self,
        desk: &Desk,
        queue: &Queue,
        element: &ElementPath,
        again: bool,
    ) -> anyhow::Result<Retried> {
        let Some(read) = read_back(queue, element) else { return Ok(no_sealed()) };
        let Some(locked) = queue.lock(element)? else { return Ok(locked_elsewhere()) };
        let decision = self.decide(&read);
        if decision.disposition.fate() == Fate::Rejected {
            let reason = decision.reason().unwrap_or_default();
            return Ok(Retried::Kept(format!("it would be rejected again: {reason}")));
        }
        match desk {
            Desk::Ours(spool) => commit(spool, locked, decision, &read, again),
            Desk::HandOver(desk) => desk.take(locked, &decision.key, read.at, again),
        }
    }

    /// Writes the row that a deferred element lacks.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub(super) fn note(&self, journal: &Journal, queue: &Queue, element: &ElementPath) -> anyhow::Result<Retried> {
        let Some(read) = read_back(queue, element) else { return Ok(no_sealed()) };
        let decision = self.decide(&read);
        journal.defer_element(&decision.key, &format!("deferred/{element}"), read.at, SystemTime::now())?;
        Ok(Retried::Done("is due now; the journal did not know it".to_owned()))
    }

    fn decide(&self, read: &ReadBack) -> Decision {
        let header_id = (read.id != MessageId::absent()).then(|| read.id.as_str());
        let received = Received { raw: &read.sealed, header_id, headers: &[], at: read.at, attempt: 1 };
        decide(&received, &self.snapshot, SystemTime::now())
    }
}

impl HandOver {
    /// Hands a message over to the Sesame that holds the spool; the parent module explains the order of the steps.
    fn take(&self, element: LockedQueueElement<'_>, key: &Key, at: SystemTime, again: bool) -> anyhow::Result<Retried> {
        if !again && self.journal.seen(key)?.is_some() {
            return Ok(stored_before());
        }
        let place = self.deferred.adopt(element)?;
        if again {
            self.journal.forget(key)?;
        }
        let name = format!("deferred/{place}");
        self.journal.defer_element(key, &name, at, SystemTime::now())?;
        Ok(Retried::Done(format!("is {name} now and due; {}, which decides about it", self.holder)))
    }
}

fn no_sealed() -> Retried {
    Retried::Kept("it has no field `sealed`, the message as received, to decide about".to_owned())
}

fn stored_before() -> Retried {
    Retried::Kept(
        "the journal knows it as stored, deferred or dropped already; --again stores it again, purge removes it"
            .to_owned(),
    )
}

/// The message as received, the id of its element, and when it was received, which is when the field was written.
fn read_back(queue: &Queue, element: &ElementPath) -> Option<ReadBack> {
    let path: PathBuf = queue.element(element).join("sealed");
    let at = path.symlink_metadata().and_then(|facts| facts.modified()).ok()?;
    let sealed = field(queue, element, "sealed", LARGEST)?;
    let id = field(queue, element, "empaid", 1024).unwrap_or_default();
    let id = String::from_utf8_lossy(&id).trim().to_owned();
    Some(ReadBack { sealed, id: if id.is_empty() { MessageId::absent() } else { MessageId::from_peer(&id) }, at })
}

/// Commits a decision and removes the element it was read from.
fn commit(
    spool: &OpenSpool,
    locked: LockedQueueElement<'_>,
    decision: Decision,
    read: &ReadBack,
    again: bool,
) -> anyhow::Result<Retried> {
    let fate = decision.disposition.fate();
    let reason = decision.reason();
    let stored = spool.engine.submit(Commit {
        key: decision.key,
        disposition: decision.disposition,
        elements: decision.elements,
        facts: decision.facts,
        // A message without an id that was stored in the meantime is the same message.
        redelivered: true,
        again,
        raw_digest: Some(content_digest(&read.sealed)),
        resolves: None,
        sequence: decision.sequence,
        acknowledge: None,
    });
    let stored = stored.wait().map_err(|error| anyhow!(message::cause::chain(&error)))?;
    let Outcome::New { elements, .. } = stored.outcome() else { return Ok(stored_before()) };
    locked.remove()?;
    let places = (!elements.is_empty()).then(|| elements.join(" "));
    let facts: Vec<String> = places.into_iter().chain(reason).collect();
    Ok(Retried::Done(format!("is {fate}: {}", facts.join(": "))))
}
