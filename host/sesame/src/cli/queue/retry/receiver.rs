//! Decides again about a receiver's reject elements.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::anyhow;

use super::super::super::explain::receiver_snapshot;
use crate::channel::{JOURNAL, OpenSpool};
use crate::config::Config;
use crate::receiver::{Decision, Snapshot, decide, queues};
use crate::retry::{HandOver, ReadBack, Retried};
use crate::service::Shared;
use message::{Fate, content_digest};
use spool::journal::Journal;
use spool::{Commit, ElementPath, LockedQueueElement, Outcome, Queue};

/// Decides about messages of one channel as its receiver would.
pub(super) struct Judge {
    shared: Shared,
    snapshot: Snapshot,
    index: Option<index::Settings>,
}

/// Who puts a decision into effect.
pub(super) enum Desk {
    /// This process holds the spool.
    Ours(Arc<OpenSpool>),
    /// Another Sesame holds it; the message is handed over to it.
    HandOver(Box<HandOver>),
}

impl Judge {
    /// Loads everything that the receiver's decision depends on. Needs neither the spool's lock nor a broker.
    ///
    /// # Errors
    /// Errors with which the receiver itself would not start.
    pub(super) fn new(config: &Config, channel: &str) -> anyhow::Result<Self> {
        let shared = Shared::start(config)?;
        let snapshot = receiver_snapshot(config, channel, &shared)?;
        let index = shared.registry.index(config)?;
        Ok(Self { shared, snapshot, index })
    }

    /// Takes the spool, or finds out who holds it.
    ///
    /// # Errors
    /// A spool or journal that cannot be used.
    pub(super) fn desk(&self) -> anyhow::Result<Desk> {
        let settings = &self.snapshot.settings;
        match self.shared.registry.spool(&settings.spool, &queues(settings), &settings.storage, self.index.clone()) {
            Ok(spool) => Ok(Desk::Ours(spool)),
            Err(error) if error.is_held() => Ok(Desk::HandOver(Box::new(HandOver {
                journal: Arc::new(Journal::open(&settings.spool.join(JOURNAL))?),
                deferred: Queue::create(&settings.spool.join("deferred"), settings.storage.modes())?,
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
        let Some(read) = ReadBack::of(queue, element) else { return Ok(Retried::no_sealed()) };
        let Some(locked) = queue.lock(element)? else { return Ok(Retried::locked_elsewhere()) };
        let decision = self.decide(&read);
        if decision.disposition.fate() == Fate::Rejected {
            return Ok(Retried::rejected_again(&decision));
        }
        match desk {
            Desk::Ours(spool) => commit(spool, locked, decision, &read, again),
            Desk::HandOver(desk) => Ok(desk.take(locked, &decision.key, read.at, again)?),
        }
    }

    /// Writes the row that a deferred element lacks.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub(super) fn note(&self, journal: &Journal, queue: &Queue, element: &ElementPath) -> anyhow::Result<Retried> {
        let Some(read) = ReadBack::of(queue, element) else { return Ok(Retried::no_sealed()) };
        let decision = self.decide(&read);
        journal.defer_element(&decision.key, &format!("deferred/{element}"), read.at, SystemTime::now())?;
        Ok(Retried::Done("is due now; the journal did not know it".to_owned()))
    }

    fn decide(&self, read: &ReadBack) -> Decision {
        decide(&read.received(), &self.snapshot, SystemTime::now())
    }
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
    let Outcome::New { elements, .. } = stored.outcome() else { return Ok(Retried::stored_before()) };
    locked.remove()?;
    let places = (!elements.is_empty()).then(|| elements.join(" "));
    let facts: Vec<String> = places.into_iter().chain(reason).collect();
    Ok(Retried::Done(format!("is {fate}: {}", facts.join(": "))))
}
