//! Deferred messages: tried again when they are due, from `open` on, with today's lists and CRLs.
//!
//! Nothing on disk is trusted as "already authorised": what is read back is `sealed`, the message as it came. With
//! `deferred-order = "signer"` only the oldest deferred message of each signer is tried, and the next one as soon as that
//! is decided.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::intake::{commit_of, log_line, log_settled};
use super::{Received, Receiver, STORAGE_PAUSE, decide_or_fail};
use crate::config::DeferredOrder;
use crate::journal::{DeferredElement, Disposition};
use crate::shutdown::Shutdown;
use crate::spool::{ElementError, ElementPath};

/// How often the deferred queue is looked at.
const LOOK: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// The largest element that is read back, in bytes.
const DEFERRED_LIMIT: u64 = 1 << 30;

impl Receiver {
    /// Tries deferred messages again as they fall due, until a stop is asked for.
    pub(super) async fn retry_deferred(self: Arc<Self>, shutdown: Shutdown) {
        while !shutdown.asked() {
            let mut progress = false;
            let receiver = Arc::clone(&self);
            let due = tokio::task::spawn_blocking(move || receiver.due()).await.unwrap_or_default();
            for element in due {
                if shutdown.asked() {
                    return;
                }
                progress |= self.retry(element).await;
            }
            if progress {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.draining() => return,
            }
        }
    }

    /// The deferred messages to be tried now.
    fn due(&self) -> Vec<DeferredElement> {
        let try_again = self.try_again.swap(false, Ordering::Relaxed);
        let mut waiting = match self.spool.journal.deferred(&self.name) {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(channel = %self.name, error = %crate::cause::chain(&error), "cannot read the journal");
                return Vec::new();
            }
        };
        if self.settings.deferred_order == DeferredOrder::Signer {
            waiting.sort_by(|a, b| (a.received, &a.element).cmp(&(b.received, &b.element)));
            let mut seen = HashSet::new();
            waiting.retain(|element| element.signer.is_empty() || seen.insert(element.signer.clone()));
        }
        let now = SystemTime::now();
        // A time that is far ahead was set while the clock was wrong.
        let far = now + self.settings.repetition.back_off_max.max(DAY);
        // No attempt was counted where it was not the message that its plugin failed for.
        let mended = |element: &DeferredElement| try_again && element.attempt == 0;
        waiting.retain(|element| element.next <= now || element.next > far || mended(element));
        waiting
    }

    /// Tries one message again; true if it left the deferred queue.
    async fn retry(self: &Arc<Self>, element: DeferredElement) -> bool {
        let receiver = Arc::clone(self);
        let Ok(permit) = Arc::clone(&self.workers).acquire_owned().await else { return false };
        let attempt = element.attempt + 1;
        let decided = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            receiver.decide_again(&element, attempt).map(|(decision, raw)| (decision, raw, element))
        });
        let Ok(Some((decision, raw, element))) = decided.await else { return false };
        if let Disposition::Deferred { next, attempt } = decision.disposition {
            let reason = decision.facts.reason.unwrap_or_default();
            tracing::warn!(channel = %self.name, id = %element.id, attempt, reason, "message still deferred");
            if let Err(error) = self.spool.journal.defer_again(&self.name, &element.element, next, attempt) {
                tracing::error!(channel = %self.name, error = %crate::cause::chain(&error), "cannot write the journal");
            }
            return false;
        }
        let line = log_line(&decision, attempt);
        let mut commit = commit_of(decision, &raw, true);
        commit.resolves = Some(element.element);
        let (sender, answer) = oneshot::channel();
        let done = Box::new(move |stored| {
            let _ = sender.send(stored);
        });
        self.spool.engine.submit_with(commit, done);
        match answer.await {
            Ok(Ok(stored)) => {
                log_settled(&self.name, &line, &stored);
                true
            }
            Ok(Err(error)) => {
                tracing::error!(channel = %self.name, error = %crate::cause::chain(&error), "cannot store a deferred message");
                tokio::time::sleep(STORAGE_PAUSE).await;
                false
            }
            Err(_) => false,
        }
    }

    fn decide_again(&self, element: &DeferredElement, attempt: u32) -> Option<(super::Decision, Vec<u8>)> {
        let raw = match self.read_sealed(&element.element) {
            Ok(Some(raw)) => raw,
            Ok(None) => {
                tracing::error!(channel = %self.name, id = %element.id, element = %element.element, "a deferred element has no `sealed`: use sesame queue purge");
                self.look_later(element);
                return None;
            }
            Err(ElementError::Gone { .. }) => {
                tracing::warn!(channel = %self.name, id = %element.id, element = %element.element, "deferred element is gone");
                let _ = self.spool.journal.forget_deferred(&self.name, &element.element);
                return None;
            }
            Err(error) => {
                let error = crate::cause::chain(&error);
                tracing::error!(channel = %self.name, id = %element.id, error, "cannot read a deferred message");
                self.look_later(element);
                return None;
            }
        };
        let id = element.id.as_str();
        let header_id = (id != crate::message::MessageId::absent().as_str()).then_some(id);
        let received = Received { raw: &raw, header_id, headers: &[], at: element.received, attempt };
        let mut snapshot = self.snapshot();
        snapshot.held = Arc::default();
        Some((decide_or_fail(&received, &snapshot), raw.clone()))
    }

    /// Puts off an element that cannot be read now, without counting an attempt.
    fn look_later(&self, element: &DeferredElement) {
        let next = SystemTime::now() + self.settings.repetition.back_off_max;
        if let Err(error) = self.spool.journal.defer_again(&self.name, &element.element, next, element.attempt) {
            tracing::error!(channel = %self.name, error = %crate::cause::chain(&error), "cannot write the journal");
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
