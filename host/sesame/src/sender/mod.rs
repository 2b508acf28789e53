//! The sending side of a channel: outgoing → pipeline → seal → SEND, removed on RECEIPT.
//!
//! Start with [`Sender::run`]. While a broker is connected, `prepare` locks elements, runs the pipeline on them once and
//! makes its answer durable; `flight` seals, sends and counts receipts; an element is removed when every part of it has
//! its RECEIPT. On any failure in between the element stays where it is and is sent again under the same id.
//!
//! # Refusals
//! A message that can never be sent (empty, too large, not sealable, found invalid by a plugin, refused by the broker
//! again and again) goes to the reject queue with the reason, durable before its element is removed; the others continue.
//! A message whose plugin cannot answer stays in outgoing and is tried again after its back-off. While nothing can be
//! sealed, for a fault of a certificate, all messages stay; see `fitness`.

mod fitness;
mod flight;
mod prepare;
mod probe;
mod proof;
mod put_off;
mod refuse;
mod sealing;
mod supply;
mod window;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};

pub use prepare::{Part, Prepared};
pub use proof::Held;
use put_off::{PutOff, WaitsFor};
pub(crate) use sealing::{Seal, destinations};
pub use window::{Blame, Ending, Window};

use crate::channel::{Channel, Connected, Identity, Link, OpenSpool, Waits, wait_for_compiler};
use crate::config;
use crate::shutdown::Shutdown;
use message::{Fate, MessageId, locked};
use plugins::{Current, Pipeline};
use smime::SealError;
use spool::{LockedElement, Outgoing, Removal, SpoolError, Stored};
use stomp::{Closed, Receipt, rabbitmq};
use trust::RecipientSource;

/// How long a DISCONNECT may take.
const DISCONNECT_GRACE: Duration = Duration::from_secs(2);

/// How long a sender stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Until nothing is left that can be sent now, or no broker could be reached for this long.
    UntilEmpty(Duration),
    /// Until stopped.
    Watch,
}

/// What a sender did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages with all receipts.
    pub sent: u64,
    /// Messages in the reject queue.
    pub rejected: u64,
    /// Messages that are still in outgoing, tried and postponed.
    pub waiting: u64,
    /// Why it stopped before the end.
    pub gave_up: Option<String>,
}

impl Summary {
    /// Whether nothing is left to do for the operator.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.rejected == 0 && self.waiting == 0 && self.gave_up.is_none()
    }
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FateReport {
    /// The channel.
    pub channel: Channel,
    /// The element.
    pub element: String,
    /// The message's id, where it is known.
    pub id: Option<String>,
    /// Its fate.
    pub fate: Fate,
    /// Why, where it was not sent.
    pub reason: Option<String>,
}

/// A channel that sends.
#[derive(Debug)]
pub struct Sender {
    channel: Channel,
    settings: Arc<config::Sender>,
    link: Link,
    identity: Identity,
    recipient: Option<Arc<RecipientSource>>,
    pipeline: ArcSwap<Pipeline>,
    current: Current,
    waits: Waits,
    outgoing: Outgoing,
    state: Arc<OpenSpool>,
    workers: Arc<Semaphore>,
    threads: usize,
    window: Mutex<Window>,
    put_off: Mutex<PutOff>,
    wake: Arc<Notify>,
    /// Why nothing can be sealed now.
    unfit: Mutex<Option<fitness::Unfit>>,
    fates: Mutex<Option<std::sync::mpsc::Sender<FateReport>>>,
    /// A file was seen that may still be incomplete.
    settling: AtomicBool,
    sent: AtomicU64,
    rejected: AtomicU64,
    /// Destinations for which the warning that their queue may be deleted unnoticed was logged.
    unproved: Mutex<HashSet<String>>,
}

/// The parts of a [`Sender`].
#[derive(Debug)]
pub struct Parts {
    /// The channel.
    pub channel: Channel,
    /// Its configuration.
    pub settings: config::Sender,
    /// The connection to the broker.
    pub link: Link,
    /// Our credential and the trust anchors.
    pub identity: Identity,
    /// The recipient.
    pub recipient: Option<Arc<RecipientSource>>,
    /// The plugins.
    pub pipeline: Arc<Pipeline>,
    /// The queue.
    pub outgoing: Outgoing,
    /// Journal and commit engine of the state directory.
    pub state: Arc<OpenSpool>,
    /// Limits how many messages are processed at once.
    pub workers: Arc<Semaphore>,
    /// The number behind `workers`.
    pub threads: usize,
}

/// Why an element may be removed.
#[derive(Debug)]
pub enum Settled {
    /// The broker has every part of it, and a queue there holds it.
    Sent(Vec<Receipt>, Held),
    /// It is durable in the reject queue.
    Refused(Stored),
    /// A plugin dropped it on purpose; the journal says so.
    Dropped(Stored),
}

/// Why a session of a sender is over.
enum Ended {
    /// We ended it: nothing is left to send, or a stop was asked for.
    ByUs,
    /// The broker or the network ended it.
    Lost(Arc<Closed>),
    /// A queue no longer exists, which only a new session can detect.
    QueueGone,
}

/// Removes elements from outgoing. [`Settled`] is the proof that each is durable elsewhere; nothing else may remove.
///
/// ```compile_fail
/// # fn f(element: spool::LockedElement) {
/// let _ = sesame::sender::remove(vec![(element, ())]);
/// # }
/// ```
#[must_use]
pub fn remove(settled: Vec<(LockedElement, Settled)>) -> Vec<Result<Removal, SpoolError>> {
    LockedElement::remove_all(settled.into_iter().map(|(element, _proof)| element).collect())
}

impl Sender {
    /// A sender from its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let window = Window::new(parts.settings.window as usize);
        Self {
            channel: parts.channel,
            settings: Arc::new(parts.settings),
            link: parts.link,
            identity: parts.identity,
            recipient: parts.recipient,
            pipeline: ArcSwap::new(parts.pipeline),
            current: Current::default(),
            waits: Waits::default(),
            outgoing: parts.outgoing,
            state: parts.state,
            workers: parts.workers,
            threads: parts.threads,
            window: Mutex::new(window),
            put_off: Mutex::default(),
            wake: Arc::new(Notify::new()),
            unfit: Mutex::default(),
            fates: Mutex::default(),
            settling: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            unproved: Mutex::default(),
        }
    }

    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.channel.name()
    }

    /// The pipeline that new messages go through.
    #[must_use]
    pub fn pipeline(&self) -> Arc<Pipeline> {
        self.pipeline.load_full()
    }

    /// New messages go through `pipeline` from now on. Those that waited because a plugin could not answer for any message
    /// are tried again.
    pub fn adopt(&self, pipeline: Arc<Pipeline>) {
        self.pipeline.store(pipeline);
        locked(&self.put_off).replace(Instant::now());
        self.wake.notify_one();
    }

    /// What ensures that the pipeline includes every plugin in the folder.
    #[must_use]
    pub fn current(&self) -> &Current {
        &self.current
    }

    /// Waits until no plugin has to be compiled that applies to every message; what is queued stays where it is.
    async fn wait_for_plugins(&self, shutdown: &Shutdown) {
        wait_for_compiler(&self.pipeline, &self.settings.destination, shutdown).await;
    }

    /// Sends a report on each message to `fates` from now on.
    pub fn tell(&self, fates: std::sync::mpsc::Sender<FateReport>) {
        *locked(&self.fates) = Some(fates);
    }

    fn fate(&self, element: &str, id: Option<&MessageId>, fate: Fate, reason: Option<&str>) {
        if let Some(fates) = &*locked(&self.fates) {
            // The listener may be gone.
            let _ = fates.send(FateReport {
                channel: self.channel.clone(),
                element: element.to_owned(),
                id: id.map(ToString::to_string),
                fate,
                reason: reason.map(str::to_owned),
            });
        }
    }

    /// Wakes the sender because something may have arrived in its queue.
    #[must_use]
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Sends until stopped, or until nothing is left.
    pub async fn run(self: Arc<Self>, stay: Stay, shutdown: Shutdown) -> Summary {
        self.tidy().await;
        self.wait_for_plugins(&shutdown).await;
        let mut gave_up = None;
        let (mut before, mut progress) = (self.taken(), Instant::now());
        while !shutdown.asked() {
            let began = Instant::now();
            if !self.wait_for_work(stay, &shutdown).await {
                if stay == Stay::Watch || !self.wait_for_suspects(began, &shutdown).await {
                    break;
                }
                continue;
            }
            if self.fitness().await.is_err() {
                if stay != Stay::Watch {
                    break;
                }
                self.wait_to_be_fit(&shutdown).await;
                continue;
            }
            let link = tokio::select! {
                link = self.connect(stay) => match link {
                    Ok(link) => link,
                    Err(why) => {
                        gave_up = Some(why);
                        break;
                    }
                },
                () = shutdown.draining() => break,
            };
            let ended = self.serve(&link, stay, &shutdown).await;
            let taken = self.taken();
            if taken != before {
                before = taken;
                // A confirmation for a queue that is gone is no progress.
                if !matches!(ended, Ended::QueueGone) {
                    progress = Instant::now();
                    self.link.served().await;
                }
            }
            match &ended {
                Ended::Lost(reason) => self.report_lost(reason, &link.broker),
                Ended::QueueGone => drop(link.session.disconnect(DISCONNECT_GRACE).await),
                Ended::ByUs => {
                    link.session.disconnect(DISCONNECT_GRACE).await;
                    if stay != Stay::Watch && !self.wait_for_suspects(began, &shutdown).await {
                        break;
                    }
                    continue;
                }
            }
            if let Stay::UntilEmpty(deadline) = stay
                && progress.elapsed() >= deadline
            {
                gave_up = Some(format!("the broker took nothing for {}", message::duration::words(deadline)));
                break;
            }
        }
        self.summary(gave_up)
    }

    fn report_lost(&self, reason: &Closed, broker: &str) {
        let error = message::cause::chain(reason);
        match self.remedy(&error) {
            Some(remedy) => {
                tracing::error!(channel = %self.channel, broker, error = remedy, "the broker refused a destination")
            }
            None => tracing::warn!(channel = %self.channel, broker, %error, "connection to the broker lost"),
        }
    }

    /// What to do about an error of the broker that concerns one of our destinations and no message.
    fn remedy(&self, words: &str) -> Option<String> {
        let own = std::iter::once(&self.settings.destination).chain(self.settings.routes.values());
        own.filter(|destination| rabbitmq::names(words, destination)).find_map(|one| rabbitmq::remedy(one, words))
    }

    /// At start-up: closes journal rows of messages whose element is gone, and removes files left behind by processes that
    /// crashed while they wrote or removed.
    async fn tidy(self: &Arc<Self>) {
        let sender = Arc::clone(self);
        let tidied = tokio::task::spawn_blocking(move || {
            if let Err(error) = sender.outgoing.purge() {
                tracing::warn!(channel = %sender.channel, error = message::cause::chain(&error), "cannot remove left-over files from the queue");
            }
            let journal = &sender.state.journal;
            let mut gone = journal.unfinished(sender.channel.name())?;
            let missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
            gone.retain(|(element, _)| sender.queue().join(element).symlink_metadata().is_err_and(|e| missing(&e)));
            let gone: Vec<_> = gone.into_iter().map(|(_, key)| key).collect();
            if gone.is_empty() { Ok(()) } else { journal.record_gone(sender.channel.name(), &gone) }
        });
        if let Ok(Err(error)) = tidied.await {
            tracing::error!(channel = %self.channel, error = message::cause::chain(&error), "cannot tidy the journal");
        }
    }

    /// What was done so far: receipts, those of probes too, and messages rejected. It grows while the broker accepts messages.
    fn taken(&self) -> u64 {
        locked(&self.window).taken() + self.rejected.load(Ordering::Relaxed)
    }

    fn summary(&self, gave_up: Option<String>) -> Summary {
        let (waiting, gave_up) = match self.outgoing.count() {
            Ok(waiting) => (waiting as u64, gave_up),
            Err(error) => (0, gave_up.or_else(|| Some(message::cause::chain(&error)))),
        };
        // Why a run without `--watch` ended.
        let gave_up = gave_up.or_else(|| self.unfit().filter(|_| waiting > 0));
        Summary {
            sent: self.sent.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            waiting,
            gave_up,
        }
    }

    /// Waits until there may be something to send; false when there is nothing and the sender is not to stay.
    async fn wait_for_work(&self, stay: Stay, shutdown: &Shutdown) -> bool {
        loop {
            if self.has_work().await {
                return true;
            }
            if stay != Stay::Watch || shutdown.asked() {
                return false;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(self.next_look()) => {}
                () = shutdown.draining() => return false,
            }
        }
    }

    /// Without `--watch`: waits for elements that the broker refused, as long as their trial is not over; false when
    /// there are none. One that may go since a moment after `since` was passed over by the session that began then.
    async fn wait_for_suspects(&self, since: Instant, shutdown: &Shutdown) -> bool {
        let release = locked(&self.window).trial_goes_on(since);
        let Some(release) = release else { return false };
        tokio::select! {
            () = tokio::time::sleep_until(release.into()) => true,
            () = shutdown.draining() => false,
        }
    }

    /// Where the queue is.
    #[must_use]
    pub fn queue(&self) -> &std::path::Path {
        self.outgoing.path()
    }

    /// How long until the queue is scanned without a wake-up: the poll interval, or until an element that was put off
    /// or held back may go.
    fn next_look(&self) -> Duration {
        let now = Instant::now();
        let put_off = locked(&self.put_off).next(now);
        let held = locked(&self.window).next_release(now);
        let due = [put_off, held].into_iter().flatten().filter(|until| *until > now).min();
        due.map_or(self.settings.poll, |until| (until - now).min(self.settings.poll))
    }

    async fn has_work(&self) -> bool {
        let outgoing = self.outgoing.clone();
        let skip = self.skipped();
        let looked =
            tokio::task::spawn_blocking(move || outgoing.scan()?.next(|name| skip.contains(&name.to_string())));
        match looked.await {
            Ok(Ok(found)) => found.is_some(),
            Ok(Err(error)) => {
                tracing::error!(channel = %self.channel, error = %message::cause::chain(&error), "cannot read the outgoing queue");
                false
            }
            Err(_) => false,
        }
    }

    async fn connect(&self, stay: Stay) -> Result<Connected, String> {
        match stay {
            Stay::Watch => Ok(self.link.connect().await),
            Stay::UntilEmpty(deadline) => tokio::time::timeout(deadline, self.link.connect())
                .await
                .map_err(|_| format!("no broker could be reached within {}", message::duration::words(deadline))),
        }
    }

    /// Names that are not to be taken up now: postponed by a plugin, or held back because the broker refused them.
    fn skipped(&self) -> std::collections::HashSet<String> {
        let now = Instant::now();
        let mut skipped: std::collections::HashSet<String> =
            locked(&self.put_off).waiting(now).map(str::to_owned).collect();
        skipped.extend(locked(&self.window).held(now).map(str::to_owned));
        skipped
    }

    /// Postpones an element after failed attempt number `attempt`, 0 where none was counted; it stays in outgoing.
    fn postpone_element(&self, element: &str, attempt: u32, after: Option<Duration>, waits_for: WaitsFor) {
        let pause = crate::channel::back_off(&self.settings.repetition, attempt).max(after.unwrap_or_default());
        let now = Instant::now();
        locked(&self.put_off).put(element, now, now + pause, waits_for);
    }

    fn first_taken_up(&self, element: &str) -> SystemTime {
        locked(&self.put_off).first_taken_up(element)
    }

    fn sealing(&self) -> Result<Seal, SealError> {
        Seal::new(&self.settings, &self.identity, self.recipient.as_ref().map(|source| source.current()))
    }
}
