//! Sent messages that are kept until their receivers have acknowledged them.
//!
//! A message is kept where the configuration requires acknowledgements, or the receiver of its destination has sent one
//! before. When it is due, it is either ended, for all have answered, or put back into the queue and sent again under the
//! same ids and numbers. After the last repeat it is overdue: it stays kept, and an error in the log says so.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::settle::Settlement;
use super::{Part, Settled};
use crate::channel::{Channel, OpenSpool};
use crate::config::{self, Mode};
use crate::shutdown::Shutdown;
use message::cause::chain;
use message::daily::Condition;
use message::{duration, locked};
use spool::journal::{Answered, Due, JournalError, PreparedKey, Sent};
use spool::{LockedElement, NotRetained, Removal, RetainedElements, SpoolError};

/// How often a message is sent again at most.
const REPEATS: u32 = 5;
/// Messages that are looked at together.
const BATCH: usize = 100;
/// The longest pause between two looks. Commands write what they ask for into the journal and do not say so.
const LOOK: Duration = Duration::from_secs(5);
/// Batches that are looked at before other work gets its turn.
const LOOKS: usize = 50;
/// How long a message rests that could not be dealt with.
const REST: Duration = Duration::from_secs(600);
/// A message that was sent first so long ago is not sent again: its receiver may have forgotten it by then, and would store
/// it a second time. Receivers remember for 90 days unless they are set otherwise.
pub(crate) const OLDEST_REPEAT: Duration = Duration::from_secs(80 * 86_400);

/// How long after a message was sent it is overdue, if no acknowledgement comes: it has been sent again as often as allowed.
pub(crate) fn overdue_after(repeat_after: Duration) -> Duration {
    repeat_after.saturating_mul((2 << REPEATS) - 1).min(OLDEST_REPEAT)
}

/// The sent messages of a channel that are kept.
#[derive(Debug)]
pub struct Retention {
    channel: Channel,
    mode: Mode,
    repeat_after: Duration,
    max_payload: u64,
    elements: RetainedElements,
    state: Arc<OpenSpool>,
    /// Destinations whose receivers have acknowledged something.
    acknowledging: Mutex<HashSet<String>>,
    news: Notify,
    /// A failure was reported during this look.
    failed: AtomicBool,
}

impl Retention {
    /// What a channel keeps, in `elements`; `None` where it does not say how. With the mode `off` it keeps nothing more,
    /// and deals with what it kept before.
    pub(super) fn new(
        channel: &Channel,
        settings: &config::Sender,
        elements: RetainedElements,
        state: &Arc<OpenSpool>,
    ) -> Option<Self> {
        let awaited = settings.acknowledgements.as_ref()?;
        Some(Self {
            channel: channel.clone(),
            mode: awaited.mode,
            repeat_after: awaited.repeat_after,
            max_payload: settings.max_payload,
            elements,
            state: Arc::clone(state),
            acknowledging: Mutex::default(),
            news: Notify::new(),
            failed: AtomicBool::new(false),
        })
    }

    /// Whether the channel requires acknowledgements.
    pub(super) fn requires(&self) -> bool {
        self.mode == Mode::Required
    }

    /// Whether messages are numbered.
    pub(super) fn numbers(&self) -> bool {
        self.mode != Mode::Off
    }

    /// Whether a message with these parts is kept after it was sent.
    pub(super) fn keeps(&self, parts: &[Part]) -> bool {
        let numbered = parts.iter().any(|part| part.sequence.is_some());
        numbered
            && self.numbers()
            && (self.requires() || {
                let known = locked(&self.acknowledging);
                parts.iter().any(|part| known.contains(&*part.destination))
            })
    }

    /// How long a message waits for its acknowledgements the first time.
    pub(super) fn wait(&self) -> Duration {
        self.repeat_after
    }

    /// Moves elements from the queue to where they are kept. The results are in the order of the elements.
    pub(super) fn keep(&self, settled: Vec<(LockedElement, PreparedKey, Settled)>) -> Vec<Result<Removal, SpoolError>> {
        super::keep(&self.elements, settled)
    }

    /// At start-up: a message that was kept and not yet recorded as sent, and one that was about to be sent again. Returns
    /// the others. Blocks.
    pub(super) fn tidy(&self, gone: Vec<PreparedKey>) -> Result<Vec<PreparedKey>, JournalError> {
        let (kept, gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(|key| self.recovered(key));
        let at = SystemTime::now();
        let sent = |key| Sent { key, broker: String::new(), at, detail: None, retain: Some(self.repeat_after) };
        let kept: Vec<Sent> = kept.into_iter().map(sent).collect();
        self.state.journal.record_sent(self.channel.name(), &kept)?;
        let moved = self.state.journal.apply_wait(self.channel.name(), self.repeat_after)?;
        if moved > 0 {
            let after = duration::words(self.repeat_after);
            tracing::info!(channel = %self.channel, messages = moved, "repeat-after was changed to {after}: it applies to what is kept");
        }
        self.look_who_acknowledges()?;
        Ok(gone)
    }

    fn recovered(&self, key: &PreparedKey) -> bool {
        self.elements.recover(key).unwrap_or_else(|error| {
            self.report("cannot read a message that is kept", &chain(&error));
            true
        })
    }

    fn look_who_acknowledges(&self) -> Result<(), JournalError> {
        let found = self.state.journal.acknowledging(self.channel.name())?;
        *locked(&self.acknowledging) = found.into_iter().collect();
        Ok(())
    }

    /// Acknowledgements came. Blocks.
    pub(crate) fn acknowledged(&self) {
        if let Err(error) = self.look_who_acknowledges() {
            self.report("cannot read the journal", &chain(&error));
        }
        self.news.notify_one();
    }

    /// Messages were sent and are kept; `answered`: some of them are acknowledged already. A look in between is only needed
    /// where a message is due before the next one.
    pub(super) fn kept(&self, answered: bool) {
        if answered || self.repeat_after < LOOK {
            self.news.notify_one();
        }
    }

    /// Looks at what is due, until a stop is asked for.
    pub(super) async fn watch(self: Arc<Self>, settlement: Arc<Settlement>, shutdown: Shutdown) {
        while !shutdown.asked() {
            let more = self.look(&settlement, true).await;
            let pause = if more { Duration::ZERO } else { self.pause().await };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.news.notified() => {}
                () = shutdown.draining() => return,
            }
        }
    }

    /// How long until the next message is due.
    async fn pause(self: &Arc<Self>) -> Duration {
        let retention = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            retention.state.journal.next_due(retention.channel.name()).ok().flatten()
        });
        let next = read.await.ok().flatten();
        let until = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default();
        let look = message::beat::until_next(LOOK);
        next.map_or(look, |at| until(at).max(Duration::from_millis(50)).min(look))
    }

    /// Ends what is acknowledged and, if `repeats`, sends again what is silent; whether more may be due.
    pub(super) async fn look(self: &Arc<Self>, settlement: &Settlement, repeats: bool) -> bool {
        for _ in 0..LOOKS {
            let retention = Arc::clone(self);
            let found = tokio::task::spawn_blocking(move || {
                // What is acknowledged is due since 1970.
                let until = if repeats { SystemTime::now() } else { SystemTime::UNIX_EPOCH };
                retention.state.journal.due(retention.channel.name(), until, BATCH)
            });
            let due = match found.await {
                Ok(Ok(due)) => due,
                Ok(Err(error)) => {
                    self.report("cannot read the journal", &chain(&error));
                    return false;
                }
                Err(_) => return false,
            };
            let (some, more) = (!due.is_empty(), due.len() == BATCH);
            self.failed.store(false, Ordering::Relaxed);
            let (mut delivered, mut silent, mut queued) = (Vec::new(), Vec::new(), Vec::new());
            for due in due {
                match &due.answered {
                    // Given up; or in the reject queue: stopped between the two last steps.
                    _ if due.released || due.rejected => delivered.push(due),
                    // Ended when it was sent again, for it is in the queue.
                    Answered::Delivered | Answered::Rejected(_) if due.queued => queued.push(due),
                    Answered::Delivered => delivered.push(due),
                    Answered::Rejected(reason) => {
                        let reason = reason.clone();
                        self.reject(settlement, due, &reason).await;
                    }
                    Answered::No => silent.push(due),
                }
            }
            let retention = Arc::clone(self);
            let handled = tokio::task::spawn_blocking(move || {
                retention.rest(&queued)?;
                retention.handle(&delivered, &silent)
            });
            match handled.await {
                Ok(Ok(repeated)) if repeated > 0 => settlement.wake.notify_one(),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    self.report("cannot write the journal", &chain(&error));
                    return false;
                }
                Err(_) => return false,
            }
            if some && !self.failed.load(Ordering::Relaxed) {
                self.failing().end();
            }
            if !more {
                return false;
            }
        }
        true
    }

    /// Ends those that were delivered and repeats or gives up those that were not; how many are sent again. Blocks.
    fn handle(&self, delivered: &[Due], silent: &[Due]) -> Result<usize, JournalError> {
        let keys: Vec<PreparedKey> = delivered.iter().map(|due| due.key.clone()).collect();
        if !keys.is_empty() && !self.end(&keys)? {
            self.rest(delivered)?;
        }
        let mut repeated = 0;
        for due in silent {
            repeated += usize::from(self.repeat(due)?);
        }
        Ok(repeated)
    }

    /// Removes what is kept of messages, and notes that. Returns false where that is not possible now: it is tried again
    /// when the messages are looked at next.
    fn end(&self, keys: &[PreparedKey]) -> Result<bool, JournalError> {
        if let Err(error) = self.elements.remove(keys) {
            self.report("cannot remove acknowledged messages", &chain(&error));
            return Ok(false);
        }
        self.state.journal.end_retained(self.channel.name(), keys).map(|()| true)
    }

    /// Looks at messages again after a while.
    fn rest(&self, all: &[Due]) -> Result<(), JournalError> {
        let later = SystemTime::now() + REST;
        all.iter().try_for_each(|due| self.state.journal.set_due(self.channel.name(), &due.key, due.asked, later))
    }

    /// Puts a message that was not acknowledged back into the queue; whether it is there.
    fn repeat(&self, due: &Due) -> Result<bool, JournalError> {
        let (journal, channel) = (&self.state.journal, self.channel.name());
        let (id, now) = (&due.key.id, SystemTime::now());
        let age = now.duration_since(due.since).unwrap_or_default();
        let since = duration::words(Duration::from_secs(age.as_secs()));
        if due.queued {
            // It may have been sent since it was read, and be given up, so that it must not go out again.
            if !journal.is_queued(channel, &due.key)? {
                return Ok(false);
            }
            // Not sent since it was put back: the broker is away. Someone may have removed it from the queue meanwhile.
            let back = self.elements.give_back(&due.key, &due.element, self.max_payload);
            if let Err(error) = &back {
                self.report("cannot send a message again that was not acknowledged", &chain(error));
            }
            return self.rest(std::slice::from_ref(due)).map(|()| back.is_ok());
        }
        if !due.asked && (due.repeats >= REPEATS || age > OLDEST_REPEAT) {
            tracing::error!(
                channel, %id, element = due.element, repeats = due.repeats,
                "message not acknowledged within {since}; it is not sent again and stays in the state directory: ask the \
                 receiver's operators; then `sesame queue repeat` sends it again, or `sesame queue release` gives it up",
            );
            // One that an operator asks to send again meanwhile is still waited for.
            if journal.mark_overdue(channel, &due.key, due.asked)? {
                self.doubt()?;
            }
            return Ok(false);
        }
        // In this order, a crash in between leaves a message that is kept and not in the queue, which `tidy` recognises.
        if !journal.repeat(channel, &due.key, now + self.repeat_after.saturating_mul(2 << due.repeats.min(16)))? {
            return Ok(false);
        }
        let rest = now + REST;
        match self.elements.give_back(&due.key, &due.element, self.max_payload) {
            Ok(()) => {
                match due.asked {
                    true => tracing::info!(channel, %id, element = due.element, "message is sent again, as asked for"),
                    false => tracing::warn!(
                        channel, %id, element = due.element, repeat = due.repeats + 1,
                        "message not acknowledged within {since}; it is sent again",
                    ),
                }
                Ok(true)
            }
            Err(NotRetained::Gone(path)) => {
                journal.undo_repeat(channel, &due.key, false, rest)?;
                self.lost(&due.key, &due.element, &path)?;
                Ok(false)
            }
            Err(error @ NotRetained::Changed(_)) => {
                journal.undo_repeat(channel, &due.key, false, rest)?;
                tracing::error!(
                    channel, %id, element = due.element, %error,
                    "message not acknowledged, and it cannot be sent again: put its content back and run `sesame queue \
                     repeat`, or give it up with `sesame queue release`",
                );
                journal.mark_overdue(channel, &due.key, false).map(|_| false)
            }
            Err(error @ (NotRetained::Taken | NotRetained::Spool(_))) => {
                journal.undo_repeat(channel, &due.key, due.asked, rest)?;
                self.report("cannot send a message again that was not acknowledged", &chain(&error));
                Ok(false)
            }
        }
    }

    /// What was kept of a message was removed: it is given up, so that this is logged once. Blocks.
    fn lost(&self, key: &PreparedKey, element: &str, path: &Path) -> Result<(), JournalError> {
        let (journal, channel) = (&self.state.journal, self.channel.name());
        tracing::error!(
            channel, id = %key.id, element, path = %path.display(),
            "message not acknowledged, and its content was removed from the state directory: it cannot be sent again and is \
             no longer waited for; if the receiver lacks it, queue its records again",
        );
        journal.release(channel, std::slice::from_ref(key), "its content was removed from the state directory")?;
        self.give_up(key)
    }

    /// Ends a message that is no longer waited for.
    fn give_up(&self, key: &PreparedKey) -> Result<(), JournalError> {
        match self.end(std::slice::from_ref(key))? {
            true => Ok(()),
            false => self.state.journal.set_due(self.channel.name(), key, false, SystemTime::now() + REST),
        }
    }

    /// A message that is kept ended in another way: what is kept of it is removed. Blocks.
    pub(super) fn forget(&self, key: &PreparedKey) {
        if self.elements.holds(key)
            && let Err(error) = self.give_up(key)
        {
            self.report("cannot write the journal", &chain(&error));
        }
    }

    /// A receiver that has fallen silent is taken for one that does not acknowledge, unless acknowledgements are required.
    fn doubt(&self) -> Result<(), JournalError> {
        if self.mode == Mode::Optional && !locked(&self.acknowledging).is_empty() {
            self.state.journal.forget_acknowledging(self.channel.name())?;
            self.look_who_acknowledges()?;
            tracing::warn!(
                channel = %self.channel,
                "the receiver no longer acknowledges: messages are not kept until it does again",
            );
        }
        Ok(())
    }

    /// Moves a message that its receiver rejected to the reject queue. Where that is not possible now, it is tried again.
    async fn reject(self: &Arc<Self>, settlement: &Settlement, due: Due, reason: &str) {
        let (retention, key) = (Arc::clone(self), due.key.clone());
        let read = tokio::task::spawn_blocking(move || retention.elements.read(&key, u64::MAX - 1));
        let content = match read.await {
            Ok(Ok(content)) => Some(content),
            Ok(Err(error)) => {
                let (id, changed) = (&due.key.id, matches!(error, NotRetained::Changed(_)));
                let gone = matches!(error, NotRetained::Gone(_));
                let error = chain(&error);
                tracing::error!(
                    channel = %self.channel, %id, element = due.element, reason, error,
                    "the receiver rejected a message, and its content cannot be read: queue its records again once the reason \
                     is repaired",
                );
                if changed {
                    // Once: `sesame queue repeat` or `release` goes on.
                    let retention = Arc::clone(self);
                    let marked = tokio::task::spawn_blocking(move || {
                        retention.state.journal.mark_overdue(retention.channel.name(), &due.key, due.asked)
                    });
                    if let Ok(Err(error)) = marked.await {
                        self.report("cannot write the journal", &chain(&error));
                    }
                    return;
                }
                gone.then(Vec::new)
            }
            Err(_) => None,
        };
        let moved = match content {
            Some(content) => settlement.refuse_retained(&due, content, reason).await,
            None => false,
        };
        let retention = Arc::clone(self);
        let ended = tokio::task::spawn_blocking(move || {
            let due = std::slice::from_ref(&due);
            if moved { retention.handle(due, &[]).map(drop) } else { retention.rest(due) }
        });
        if let Ok(Err(error)) = ended.await {
            self.report("cannot write the journal", &chain(&error));
        }
    }

    fn failing(&self) -> Condition {
        Condition::error("kept messages", &self.channel.section())
    }

    /// Logs a failure, and an unchanged one again only after messages were dealt with.
    fn report(&self, what: &str, error: &str) {
        self.failed.store(true, Ordering::Relaxed);
        if self.failing().is_due(&format!("{what}: {error}")) {
            tracing::error!(channel = %self.channel, error, "{what}");
        }
    }
}
