//! Deferred messages: tried again when they are due, from `open` on, with today's lists and CRLs.
//!
//! Nothing on disk is trusted as "already authorised": what is read back is `sealed`, the message as it came. With
//! `deferred-order = "signer"` only the oldest deferred message of each signer is tried, and the next one as soon as that
//! is decided. If that one fails and it is not known whether the plugin works at all, the plugin is called with messages
//! that wait behind it, and the answers are discarded. Otherwise a signer's first message after a start could wait for ever
//! without a counted attempt.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use message::daily::Condition;
use message::locked;
use tokio::sync::oneshot;

use super::intake::commit_of;
use super::lines::{log_line, log_settled};
use super::{Decided, Received, Receiver, STORAGE_PAUSE};
use crate::channel::{reread_anchors, reread_lists};
use crate::config::DeferredOrder;
use crate::shutdown::Shutdown;
use plugins::Pipeline;
use spool::journal::{DeferredElement, Disposition, LastChange};
use spool::{CommitError, ElementError, ElementPath, Stored};

/// How often the deferred queue is checked, and how often while it is empty.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_WHILE_EMPTY: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(86_400);
/// The largest element that is read back, in bytes.
const DEFERRED_LIMIT: u64 = 1 << 30;
/// How many messages behind a failed one are tried to find out whether the plugin works at all.
const PROBES: usize = 8;

/// The elements already tried with the current plugins while these worked. A replaced or recovered plugin makes an element due
/// once; after that the element waits for its back-off, as the reason may be another, such as an outdated CRL.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pipeline: Weak<Pipeline>,
    elements: HashSet<String>,
}

impl Tried {
    /// Starts over with other plugins, and while it is not known whether they work; forgets what no longer waits.
    fn look_at(&mut self, pipeline: &Arc<Pipeline>, waiting: &[DeferredElement]) {
        if pipeline.is_doubtful() || self.pipeline.as_ptr() != Arc::as_ptr(pipeline) {
            *self = Self { pipeline: Arc::downgrade(pipeline), elements: HashSet::new() };
        }
        if !self.elements.is_empty() {
            let waiting: HashSet<&str> = waiting.iter().map(|element| element.element.as_str()).collect();
            self.elements.retain(|element| waiting.contains(element.as_str()));
        }
    }
}

impl Receiver {
    /// Tries deferred messages again as they fall due, until a stop is asked for.
    pub(super) async fn retry_deferred(self: Arc<Self>, shutdown: Shutdown) {
        // The journal when it had no deferred messages. As long as it is the same there is nothing to look for.
        let mut without = None;
        while !shutdown.asked() {
            let mut progress = false;
            let journal = self.spool.journal.last_change();
            let unchanged = journal.is_some() && journal == without;
            let due = if unchanged { Vec::new() } else { self.look(journal, &mut without).await };
            for element in due {
                if shutdown.asked() {
                    return;
                }
                if self.gate.is_closed() || self.pipeline.pause().is_some() || self.pipeline.is_held() {
                    break;
                }
                progress |= self.retry(element).await;
            }
            if progress {
                continue;
            }
            let look = if without.is_some() { LOOK_WHILE_EMPTY } else { LOOK };
            tokio::select! {
                () = tokio::time::sleep(message::beat::until_next(look)) => {}
                () = shutdown.draining() => return,
            }
        }
    }

    /// The messages to be tried now; notes in `without` whether the journal, which was last changed then, has any that wait.
    async fn look(
        self: &Arc<Self>,
        journal: Option<LastChange>,
        without: &mut Option<LastChange>,
    ) -> Vec<DeferredElement> {
        let receiver = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            let waiting = receiver.waiting();
            (waiting.as_ref().is_some_and(Vec::is_empty), receiver.due(waiting.unwrap_or_default()))
        });
        let (none, due) = looked.await.unwrap_or_default();
        *without = journal.filter(|_| none);
        due
    }

    /// All deferred messages; `None` if the journal cannot be read.
    fn waiting(&self) -> Option<Vec<DeferredElement>> {
        let waiting = self.spool.journal.deferred(self.channel.name()).inspect_err(|error| {
            tracing::error!(channel = %self.channel, error = %message::cause::chain(error), "cannot read the journal");
        });
        waiting.ok()
    }

    /// Those of the deferred messages that are to be tried now. One with a verified signer and no counted attempt waits for a
    /// plugin: it is due once as soon as the plugins are replaced or answer again.
    fn due(&self, mut waiting: Vec<DeferredElement>) -> Vec<DeferredElement> {
        if waiting.is_empty() && self.still_deferred().end() {
            tracing::info!(channel = %self.channel, "no messages are deferred any more");
        }
        let pipeline = self.pipeline.load_full();
        let mut tried = self.tried();
        tried.look_at(&pipeline, &waiting);
        if self.settings.deferred_order == DeferredOrder::Signer {
            waiting.sort_by(|a, b| (a.received, &a.element).cmp(&(b.received, &b.element)));
            let mut seen = HashSet::new();
            waiting.retain(|element| element.signer.is_empty() || seen.insert(element.signer.clone()));
        }
        let now = SystemTime::now();
        // A time that is far ahead was set while the clock was wrong.
        let far = now + self.settings.repetition.back_off_max.max(DAY);
        let well = !pipeline.is_doubtful();
        let waits = |element: &DeferredElement| element.attempt == 0 && !element.signer.is_empty();
        let freed = |element: &DeferredElement| well && waits(element) && !tried.elements.contains(&element.element);
        waiting.retain(|element| freed(element) || element.next <= now || element.next > far);
        waiting
    }

    fn tried(&self) -> std::sync::MutexGuard<'_, Tried> {
        locked(&self.tried)
    }

    /// Tries one message again; true if it left the deferred queue.
    async fn retry(self: &Arc<Self>, element: DeferredElement) -> bool {
        let receiver = Arc::clone(self);
        let Ok(permit) = Arc::clone(&self.workers).acquire_owned().await else { return false };
        let name = element.element.clone();
        let attempt = element.attempt + 1;
        let well = !self.pipeline.load().is_doubtful();
        let decided = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut decided = receiver.decide_again(&element, attempt);
            let refused = |decided: &Decided| matches!(decided.0.disposition, Disposition::Rejected { .. });
            if element.attempt == 0 && decided.as_ref().is_some_and(refused) {
                // An operator who hands a message over may have changed a list a moment ago.
                receiver.reread();
                decided = receiver.decide_again(&element, attempt);
            }
            receiver.probe_others(&element);
            decided.map(|decided| (decided, element))
        });
        let decided = decided.await;
        // A failure while the plugins do not work is no try, even if they have answered for another message since.
        if well && !self.pipeline.load().is_doubtful() {
            self.tried().elements.insert(name);
        }
        let Ok(Some(((decision, raw_digest), element))) = decided else { return false };
        if decision.paused {
            return false;
        }
        if let Disposition::Deferred { next, attempt } = decision.disposition {
            let reason = decision.facts.reason.unwrap_or_default();
            self.log_still_deferred(&element, attempt, &reason);
            let (journal, channel) = (&self.spool.journal, self.channel.name());
            // Nothing in it was trusted when it came.
            let arrived = match &decision.sequence {
                Some(sequence) if element.signer.is_empty() => journal.arrived(channel, &decision.key.signer, sequence),
                _ => Ok(()),
            };
            let deferred = journal.defer_again(channel, &element.element, next, attempt);
            if let Err(error) = arrived.and(deferred) {
                tracing::error!(channel = %self.channel, error = %message::cause::chain(&error), "cannot write the journal");
            }
            return false;
        }
        let line = log_line(&decision, attempt, None, Vec::new());
        let mut commit = commit_of(decision, raw_digest, true);
        commit.resolves = Some(element.element.clone());
        let waiting = element;
        let (sender, answer) = oneshot::channel();
        let (channel, meters) = (self.channel.clone(), Arc::clone(&self.meters));
        let done = Box::new(move |stored: Result<Stored, CommitError>| {
            if let Ok(stored) = &stored {
                log_settled((&channel, &meters), &line, stored);
            }
            let _ = sender.send(stored.map(drop));
        });
        self.spool.engine.submit_with(commit, done);
        match answer.await {
            Ok(Ok(())) => true,
            Ok(Err(error @ CommitError::Claimed { .. })) => {
                self.log_still_deferred(&waiting, waiting.attempt, &error.to_string());
                self.look_after(&waiting, self.pause_for(&waiting));
                false
            }
            Ok(Err(error)) => {
                tracing::error!(channel = %self.channel, error = %message::cause::chain(&error), "cannot store a deferred message");
                tokio::time::sleep(STORAGE_PAUSE).await;
                false
            }
            Err(_) => false,
        }
    }

    /// Re-reads what decides on a signer.
    fn reread(&self) {
        reread_anchors(&self.settings.trust, &self.identity.trust);
        reread_lists(&self.lists);
    }

    fn still_deferred(&self) -> Condition {
        Condition::warning("still deferred", &self.channel.section())
    }

    /// One line for a message whose attempt was counted, and one for all that wait for the same plugin.
    fn log_still_deferred(&self, element: &DeferredElement, attempt: u32, reason: &str) {
        if attempt > element.attempt {
            tracing::warn!(channel = %self.channel, id = %element.id, attempt, reason, "message still deferred");
        } else if self.still_deferred().is_due(reason) {
            let messages = self.waiting().unwrap_or_default().len();
            tracing::warn!(channel = %self.channel, messages, reason, "messages still deferred");
        }
    }

    fn decide_again(&self, element: &DeferredElement, attempt: u32) -> Option<Decided> {
        let raw = match self.read_sealed(&element.element) {
            Ok(Some(raw)) => raw,
            Ok(None) => {
                tracing::error!(channel = %self.channel, id = %element.id, element = %element.element, "a deferred element has no `sealed`: use sesame queue purge");
                self.look_later(element);
                return None;
            }
            Err(ElementError::Gone { .. }) => {
                tracing::warn!(channel = %self.channel, id = %element.id, element = %element.element, "deferred element is gone");
                let _ = self.spool.journal.forget_deferred(self.channel.name(), &element.element);
                return None;
            }
            Err(error) => {
                let error = message::cause::chain(&error);
                tracing::error!(channel = %self.channel, id = %element.id, error, "cannot read a deferred message");
                self.look_later(element);
                return None;
            }
        };
        let id = element.id.as_str();
        let header_id = (id != message::MessageId::absent().as_str()).then_some(id);
        if !self.pipeline.current().ensure() {
            return None;
        }
        let received = Received { raw: &raw, header_id, headers: &[], at: element.received, attempt };
        let mut snapshot = self.snapshot();
        snapshot.held = Arc::default();
        self.decide_or_fail(&received, &snapshot).ok()
    }

    /// Calls the plugins with messages that wait behind `failed` until one call succeeds, or the breaker opens. The answers
    /// have no effect.
    fn probe_others(&self, failed: &DeferredElement) {
        let pipeline = self.pipeline.load();
        let undecided = || pipeline.is_doubtful() && !pipeline.is_on_probation();
        if self.settings.deferred_order != DeferredOrder::Signer || !undecided() {
            return;
        }
        let behind = self.waiting().unwrap_or_default().into_iter().filter(|other| other.element != failed.element);
        for other in behind.filter(|other| other.signer == failed.signer).take(PROBES) {
            if !undecided() {
                return;
            }
            let _ = self.decide_again(&other, other.attempt + 1);
        }
    }

    /// Postpones an element that cannot be read now, without counting an attempt.
    fn look_later(&self, element: &DeferredElement) {
        self.look_after(element, self.settings.repetition.back_off_max);
    }

    /// How long an element waits for another receiver: as long as it has waited so far.
    fn pause_for(&self, element: &DeferredElement) -> Duration {
        let repetition = &self.settings.repetition;
        let waited = SystemTime::now().duration_since(element.received).unwrap_or_default();
        waited.clamp(repetition.back_off_min, repetition.back_off_max)
    }

    /// Postpones an element without counting an attempt.
    fn look_after(&self, element: &DeferredElement, pause: Duration) {
        let next = SystemTime::now() + pause;
        if let Err(error) = self.spool.journal.defer_again(self.channel.name(), &element.element, next, element.attempt)
        {
            tracing::error!(channel = %self.channel, error = %message::cause::chain(&error), "cannot write the journal");
        }
    }

    /// The message as it came, of an element that the journal names `deferred/DIRECTORY/NAME`.
    fn read_sealed(&self, element: &str) -> Result<Option<Vec<u8>>, ElementError> {
        let path = self.settings.spool.join("deferred");
        let place = element.strip_prefix("deferred/").and_then(ElementPath::parse);
        let (Some(queue), Some(place)) = (self.spool.engine.queue(&path), place) else { return Ok(None) };
        let mut fields = queue.read(&place, DEFERRED_LIMIT)?.fields;
        Ok(fields.remove("sealed"))
    }
}
