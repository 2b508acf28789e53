//! The sending side of a channel: outgoing → pipeline → seal → SEND, removed on RECEIPT.
//!
//! Start with [`Sender::run`]. A step has a struct of its own, which holds what the step needs: `Backlog` (the elements that may
//! be taken up), `Preparation` (lock an element, run the pipeline on it once, make the answer durable), `Supply` (batches of
//! these ahead of the window), `Sealing`, `Dispatch` (send, count receipts, one session at a time), `Proofs` (whether a
//! receipt means that a queue has the message) and `Settlement` (remove, refuse, drop). An element is removed when every
//! part of it has its RECEIPT. On any failure in between the element stays where it is and is sent again under the same id.
//!
//! # Refusals
//! A message that can never be sent (empty, too large, not sealable, found invalid by a plugin, refused by the broker
//! again and again) goes to the reject queue with the reason, durable before its element is removed; the others continue.
//! A message whose plugin cannot answer stays in outgoing and is tried again after its back-off. While nothing can be
//! sealed, for a fault of a certificate, all messages stay; see `fitness`.

mod backlog;
mod common;
mod fitness;
mod flight;
mod postponed;
mod prepare;
mod probe;
mod proof;
mod report;
mod retention;
mod sealing;
mod settle;
mod supply;
mod window;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinHandle};

use backlog::Backlog;
use common::Common;
use fitness::Fitness;
use flight::Dispatch;
use postponed::Postponed;
pub use prepare::{Part, Prepared};
use proof::Log;
pub use report::FateReport;
use report::Report;
pub(crate) use retention::OLDEST_REPEAT;
pub use retention::Retention;
pub(crate) use retention::overdue_after;
pub(crate) use sealing::{destinations, seal_policy};
pub(crate) use settle::rejection;
pub use window::{Blame, Ending, Unstored, Window};

use crate::channel::{ActivePipeline, Channel, Gate, Meters, NO_SESSION, OpenSpool};
use crate::config;
use crate::shutdown::Shutdown;
use message::cause::chain;
use message::daily::Condition;
use message::locked;
use plugins::Pipeline;
use smime::Sealing;
use spool::journal::PreparedKey;
use spool::{LockedElement, Outgoing, Removal, RetainedElements, SpoolError, Stored};
use transport::{self, Closed, Connected, Held, Identity, Link, Queues, Receipt};
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

/// A channel that sends.
#[derive(Debug)]
pub struct Sender {
    channel: Channel,
    settings: Arc<config::Sender>,
    link: Arc<Link>,
    state: Arc<OpenSpool>,
    pipeline: Arc<ActivePipeline>,
    window: Arc<Mutex<Window>>,
    wake: Arc<Notify>,
    report: Arc<Report>,
    fitness: Arc<Fitness>,
    backlog: Arc<Backlog>,
    dispatch: Dispatch,
    retention: Option<Arc<Retention>>,
    recipient: Option<Arc<RecipientSource>>,
    gate: Arc<Gate>,
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
    /// Where sent messages are kept until they are acknowledged, if the channel asks for that.
    pub retained: Option<RetainedElements>,
    /// Journal and commit engine of the state directory.
    pub state: Arc<OpenSpool>,
    /// Limits how many messages are processed at once.
    pub workers: Arc<Semaphore>,
    /// The number behind `workers`.
    pub threads: usize,
    /// What is counted.
    pub meters: Arc<Meters>,
    /// Whether an operator paused the channel.
    pub gate: Arc<Gate>,
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
    Lost(Closed),
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

/// As [`remove`], for elements that are kept until they are acknowledged.
fn keep(
    kept: &RetainedElements,
    settled: Vec<(LockedElement, PreparedKey, Settled)>,
) -> Vec<Result<Removal, SpoolError>> {
    kept.take_over(settled.into_iter().map(|(element, key, _proof)| (element, key)).collect())
}

impl Sender {
    /// A sender from its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            channel,
            settings,
            link,
            identity,
            recipient,
            pipeline,
            outgoing,
            retained,
            state,
            workers,
            threads,
            meters,
            gate,
        } = parts;
        let retention =
            retained.and_then(|elements| Retention::new(&channel, &settings, elements, &state)).map(Arc::new);
        let common = Common {
            pipeline: Arc::new(ActivePipeline::new(pipeline, settings.destination.clone())),
            window: Arc::new(Mutex::new(Window::new(settings.window as usize))),
            postponed: Arc::new(Postponed::new(settings.repetition.clone())),
            report: Arc::new(Report::new(channel.clone(), Arc::clone(&meters))),
            wake: Arc::new(Notify::new()),
            settings: Arc::new(settings),
            channel,
            state,
            retention,
        };
        let link = Arc::new(link);
        let policy = seal_policy(&common.settings);
        let sealing = Arc::new(Sealing::new(policy, identity.credential, identity.trust, recipient.clone()));
        let fitness = Arc::new(Fitness::new(common.channel.clone(), Arc::clone(&sealing)));
        let backlog = Arc::new(common.backlog(outgoing.clone()));
        let preparation = common.preparation(outgoing, &link, &sealing, meters);
        let settlement = Arc::new(common.settlement());
        let supply = common.supply((&gate, &fitness, &backlog), preparation, &settlement, threads);
        let log = Arc::new(Log { channel: common.channel.clone() });
        let dispatch = Dispatch {
            supply: Arc::new(supply),
            sealing,
            settlement,
            queues: Arc::new(Queues::new(Arc::clone(&link), log)),
            window: Arc::clone(&common.window),
            workers,
            threads,
        };
        let Common { channel, settings, state, pipeline, window, wake, report, retention, postponed: _ } = common;
        Self {
            channel,
            settings,
            link,
            state,
            pipeline,
            window,
            wake,
            report,
            fitness,
            backlog,
            dispatch,
            retention,
            recipient,
            gate,
        }
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The pipeline that new messages go through.
    #[must_use]
    pub fn pipeline(&self) -> &ActivePipeline {
        &self.pipeline
    }

    /// New messages go through `pipeline` from now on; those that waited for a plugin are tried again.
    pub fn replace_pipeline(&self, pipeline: Arc<Pipeline>) {
        self.pipeline.replace(pipeline);
        self.wake.notify_one();
    }

    /// Sends a report on each message to `listener` from now on.
    pub fn tell(&self, listener: std::sync::mpsc::Sender<FateReport>) {
        self.report.tell(listener);
    }

    /// Why no message is sent now, if that is so.
    pub(crate) fn out_of_service(&self) -> Option<String> {
        let connecting = || self.link.is_connecting().then(|| NO_SESSION.to_owned());
        let unreadable = || self.backlog.fault();
        let fault = self.fitness.fault().or_else(unreadable);
        let fault = fault.or_else(|| self.pipeline.out_of_service()).or_else(connecting);
        self.gate.out_of_service().or(fault)
    }

    /// What of its queue cannot be read; each waits for someone to repair it.
    pub(crate) fn unreadable(&self) -> Vec<String> {
        self.backlog.unreadable()
    }

    /// Whether an operator paused the channel.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The configuration.
    pub(crate) fn settings(&self) -> &config::Sender {
        &self.settings
    }

    /// What is counted.
    pub(crate) fn meters(&self) -> &Meters {
        &self.report.meters
    }

    /// Wakes the sender because something may have arrived in its queue.
    #[must_use]
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Where the queue is.
    #[must_use]
    pub fn queue(&self) -> &Path {
        self.backlog.path()
    }

    /// Sends until stopped, or until nothing is left.
    pub async fn run(self: Arc<Self>, stay: Stay, shutdown: Shutdown) -> Summary {
        let purging = self.tidy(&shutdown).await;
        let looking = self.look_at_retained(stay, &shutdown).await;
        self.pipeline.wait_for_compiler(&shutdown).await;
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
            if self.fitness.check().await.is_err() {
                if stay != Stay::Watch {
                    break;
                }
                self.fitness.wait(&shutdown).await;
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
            let ended = self.dispatch.serve(&link, stay, &shutdown).await;
            let taken = self.taken();
            if taken != before {
                before = taken;
                // A confirmation for a queue that is gone is no progress.
                if !matches!(ended, Ended::QueueGone) {
                    progress = Instant::now();
                    self.link.served().await;
                    self.refused().end();
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
                let last = match &ended {
                    Ended::Lost(reason) if reason.is_failed_request() => format!(": {}", chain(reason)),
                    _ => String::new(),
                };
                gave_up = Some(format!("the broker took nothing for {}{last}", message::duration::words(deadline)));
                break;
            }
        }
        if let Some(looking) = looking {
            looking.abort();
        }
        let _ = purging.await;
        self.summary(gave_up)
    }

    /// What is kept until it is acknowledged, if the channel asks for that.
    #[must_use]
    pub fn retention(&self) -> Option<&Arc<Retention>> {
        self.retention.as_ref()
    }

    /// The recipient, if messages are encrypted.
    #[must_use]
    pub fn recipient(&self) -> Option<&Arc<RecipientSource>> {
        self.recipient.as_ref()
    }

    /// Journal and commit engine of the state directory.
    #[must_use]
    pub fn state(&self) -> &Arc<OpenSpool> {
        &self.state
    }

    /// Sends again what is due: once, or while the sender stays.
    async fn look_at_retained(&self, stay: Stay, shutdown: &Shutdown) -> Option<AbortHandle> {
        let retention = Arc::clone(self.retention.as_ref()?);
        let settlement = Arc::clone(&self.dispatch.settlement);
        if stay == Stay::Watch {
            return Some(tokio::spawn(retention.watch(settlement, shutdown.clone())).abort_handle());
        }
        retention.look(&settlement, true).await;
        None
    }

    /// Ends what was acknowledged meanwhile.
    pub async fn conclude(&self) {
        if let Some(retention) = &self.retention {
            retention.look(&self.dispatch.settlement, false).await;
        }
    }

    /// The broker refuses what we ask for; over once it takes a message.
    fn refused(&self) -> Condition {
        Condition::error("refused by the broker", &self.channel.section())
    }

    fn report_lost(&self, reason: &Closed, broker: &str) {
        self.link.lost(reason);
        let error = chain(reason);
        match self.remedy(&error) {
            Some(remedy) if self.refused().is_due(&remedy) => {
                tracing::error!(channel = %self.channel, broker, error = remedy, "the broker refused a destination")
            }
            None if reason.is_lasting() && self.refused().is_due(&error) => {
                tracing::error!(channel = %self.channel, broker, %error, "the broker refuses our requests; all messages stay in outgoing");
            }
            Some(_) => {}
            None if reason.is_lasting() => {}
            None if reason.is_failed_request() => {
                tracing::warn!(channel = %self.channel, broker, %error, "a request to the broker failed; its messages are sent again");
            }
            None => tracing::warn!(channel = %self.channel, broker, %error, "connection to the broker lost"),
        }
    }

    /// What to do about an error of the broker that concerns one of our destinations and no message.
    fn remedy(&self, words: &str) -> Option<String> {
        let own = std::iter::once(&self.settings.destination).chain(self.settings.routes.values());
        own.into_iter().find_map(|destination| transport::remedy(destination, words))
    }

    /// Tidies the journal, and begins to purge the queue, which may hold a million elements: the first of them is sent
    /// meanwhile. Both on blocking threads.
    async fn tidy(&self, shutdown: &Shutdown) -> JoinHandle<()> {
        let (backlog, state, retention) = (Arc::clone(&self.backlog), Arc::clone(&self.state), self.retention.clone());
        let tidied = tokio::task::spawn_blocking(move || backlog.tidy(&state.journal, retention.as_deref()));
        if let Ok(Err(error)) = tidied.await {
            tracing::error!(channel = %self.channel, error = chain(&error), "cannot tidy the journal");
        }
        let (backlog, shutdown) = (Arc::clone(&self.backlog), shutdown.clone());
        tokio::task::spawn_blocking(move || backlog.purge(|| shutdown.asked()))
    }

    /// What was done so far: receipts, those of probes too, and messages rejected. It grows while the broker accepts messages.
    fn taken(&self) -> u64 {
        locked(&self.window).taken() + self.report.rejected()
    }

    fn summary(&self, gave_up: Option<String>) -> Summary {
        let (waiting, gave_up) = match self.backlog.count() {
            Ok(waiting) => (waiting as u64, gave_up),
            Err(error) => (0, gave_up.or_else(|| Some(chain(&error)))),
        };
        // Why a run without `--watch` ended.
        let fault = || self.fitness.fault().or_else(|| self.dispatch.settlement.fault());
        let gave_up = gave_up.or_else(|| fault().filter(|_| waiting > 0));
        Summary { sent: self.report.sent(), rejected: self.report.rejected(), waiting, gave_up }
    }

    /// Waits until there may be something to send; false when there is nothing and the sender is not to stay.
    async fn wait_for_work(&self, stay: Stay, shutdown: &Shutdown) -> bool {
        loop {
            if self.backlog.has_work().await {
                return true;
            }
            if stay != Stay::Watch || shutdown.asked() {
                return false;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(self.backlog.next_look()) => {}
                () = shutdown.draining() => return false,
            }
        }
    }

    /// Without `--watch`: waits for elements that the broker refused, as long as they have tries left; false when there
    /// are none. One that may go since a moment after `since` was passed over by the session that began then.
    async fn wait_for_suspects(&self, since: Instant, shutdown: &Shutdown) -> bool {
        let release = locked(&self.window).next_retry(since);
        let Some(release) = release else { return false };
        tokio::select! {
            () = tokio::time::sleep_until(release.into()) => true,
            () = shutdown.draining() => false,
        }
    }

    async fn connect(&self, stay: Stay) -> Result<Connected, String> {
        match stay {
            Stay::Watch => Ok(self.link.connect().await),
            Stay::UntilEmpty(deadline) => {
                let connected = tokio::time::timeout(deadline, self.link.connect()).await;
                connected.map_err(|_| {
                    let within = message::duration::words(deadline);
                    let failure = self.link.last_failure();
                    let why = if failure.is_empty() { failure } else { format!(": {failure}") };
                    format!("no broker could be reached within {within}{why}")
                })
            }
        }
    }
}
