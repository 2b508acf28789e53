//! The receiving side of a channel: broker → open → authorise → pipeline → incoming, then ACK.
//!
//! Start with [`Receiver::run`]. It connects, subscribes and hands each delivery to [`decide`] on a blocking thread
//! (`decisions.rs`); decisions leave in the order of their deliveries, go to the commit engine and are acknowledged when
//! they are durable.
//! What cannot be stored (disk full, say) pauses the channel: the session is closed, so that the broker keeps the
//! messages, and no other is opened before a probe on this machine shows that storing works (`ready.rs`). A plugin that
//! fails for every message pauses it too, until the plugin answers for one or is replaced: what was decided before is
//! stored and acknowledged, the session is closed, and then one message at a time is tried. While a plugin that applies to
//! every message is being compiled, no session is opened, and the deliveries of an open one wait in memory,
//! unacknowledged. (UNSUBSCRIBE is no alternative: RabbitMQ answers ACKs after it with ERROR.)
//!
//! NACK is never sent: a message that is refused for good is durable in the reject queue and acknowledged.

mod acknowledger;
mod decide;
mod decisions;
mod deferred;
mod expected;
mod gaps;
mod intake;
mod lines;
pub(crate) mod positions;
mod ready;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;

use acknowledger::Acknowledger;
pub use decide::{Decision, Received, Snapshot, decide, queues, signer_field, subject_of_key};
pub(crate) use decide::{signer_key, targets};

use crate::channel::{
    ActivePipeline, Channel, Gate, Meters, NO_SESSION, OpenSpool, Opener, Tried, Unopened, log_pause,
};
use crate::config;
use crate::shutdown::Shutdown;
use message::content_digest;
use message::daily::Condition;
use plugins::Pipeline;
use smime::OpenPolicy;
use spool::journal::Journal;
use spool::{CommitError, Stored};
use transport::{AckToken, Delivery, Identity, Link, SendFailure};
use trust::SignerListsSource;

/// How long a channel pauses when nothing can be stored.
const STORAGE_PAUSE: Duration = Duration::from_secs(5);

/// A channel that receives.
#[derive(Debug)]
pub struct Receiver {
    channel: Channel,
    settings: Arc<config::Receiver>,
    link: Link,
    identity: Identity,
    lists: Arc<SignerListsSource>,
    pipeline: ActivePipeline,
    spool: Arc<OpenSpool>,
    opener: Opener,
    workers: Arc<Semaphore>,
    /// The number behind `workers`.
    threads: usize,
    tried: Mutex<deferred::Tried>,
    /// Deliveries that the broker may send beside the prefetch, as some stay with it for good.
    spare: AtomicU32,
    /// What keeps deliveries from being stored, as far as is known.
    faults: ready::Faults,
    /// A delivery looked as if the destination were a stream.
    stream_suspected: AtomicBool,
    acknowledger: Option<Arc<Acknowledger>>,
    session: gaps::Session,
    meters: Arc<Meters>,
    gate: Arc<Gate>,
    expected: expected::Expected,
}

/// The parts of a [`Receiver`].
#[derive(Debug)]
pub struct Parts {
    /// The channel.
    pub channel: Channel,
    /// Its configuration.
    pub settings: config::Receiver,
    /// The connection to the broker.
    pub link: Link,
    /// The connection for acknowledgements, if any are to be sent.
    pub acknowledgements: Option<Link>,
    /// Our credential and the trust anchors.
    pub identity: Identity,
    /// Who may send.
    pub lists: Arc<SignerListsSource>,
    /// The plugins.
    pub pipeline: Arc<Pipeline>,
    /// Queues, journal and commit engine.
    pub spool: Arc<OpenSpool>,
    /// Who opens messages.
    pub opener: Opener,
    /// Limits how many messages are processed at once.
    pub workers: Arc<Semaphore>,
    /// The number behind `workers`.
    pub threads: usize,
    /// What is counted.
    pub meters: Arc<Meters>,
    /// Whether an operator paused the channel.
    pub gate: Arc<Gate>,
}

/// Acknowledges a delivery. [`Stored`] is the proof that it is durable; nothing else may acknowledge.
///
/// ```compile_fail
/// # async fn f(token: transport::AckToken) {
/// sesame::receiver::acknowledge(token, ()).unwrap();
/// # }
/// ```
///
/// # Errors
/// [`SendFailure`] where the session is over; the broker then delivers again and the journal recognises it.
pub fn acknowledge(token: AckToken, _proof: &Stored) -> Result<(), SendFailure> {
    token.acknowledge()
}

/// Acknowledges a ping, which holds nothing that could be stored.
fn acknowledge_ping(ping: Delivery) -> Result<(), SendFailure> {
    ping.token.acknowledge()
}

/// Why a session was given up by us.
enum Ended {
    /// The broker or the network ended it.
    Closed,
    /// The broker does not let us subscribe.
    Refused,
    /// The journal cannot be read now.
    Unreadable,
    /// Nothing can be stored now.
    Storage(CommitError),
    /// Too little room is left.
    LowSpace(u64),
    /// A message does not fit, and the session cannot go on past it.
    TooLong,
    /// A plugin failed for every message.
    Paused,
    /// An operator paused the channel.
    Held,
    /// The plugin answers again, its probation is over: the next session has the full prefetch.
    ProbationOver,
    /// Messages that are too large for us take up the prefetch: a session with a larger one is wanted.
    Crowded,
    /// The destination may be a stream: the broker is asked before the next session.
    Suspect,
    /// A stop was asked for.
    Shutdown,
}

impl Receiver {
    /// A receiver from its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let pipeline = ActivePipeline::new(parts.pipeline, parts.settings.destination.clone());
        let settings = Arc::new(parts.settings);
        let acknowledger = parts.acknowledgements.map(|link| {
            Arc::new(Acknowledger {
                channel: parts.channel.clone(),
                settings: Arc::clone(&settings),
                link,
                identity: parts.identity.clone(),
                spool: Arc::clone(&parts.spool),
            })
        });
        Self {
            channel: parts.channel,
            settings,
            acknowledger,
            link: parts.link,
            identity: parts.identity,
            lists: parts.lists,
            pipeline,
            spool: parts.spool,
            opener: parts.opener,
            workers: parts.workers,
            threads: parts.threads,
            tried: Mutex::default(),
            spare: AtomicU32::new(0),
            faults: ready::Faults::default(),
            stream_suspected: AtomicBool::new(false),
            session: gaps::Session::default(),
            meters: parts.meters,
            gate: parts.gate,
            expected: expected::Expected::default(),
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

    /// Why no message is received now, if that is so.
    pub(crate) fn out_of_service(&self) -> Option<String> {
        let no_session = || (!self.session.is_open()).then(|| NO_SESSION.to_owned());
        let fault = self.gate.out_of_service().or_else(|| self.pipeline.out_of_service());
        let index = || self.spool.engine.index_fault().map(|fault| format!("shared index: {fault}"));
        fault.or_else(index).or_else(|| self.faults.why()).or_else(no_session)
    }

    /// Whether an operator paused the channel.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The configuration.
    pub(crate) fn settings(&self) -> &config::Receiver {
        &self.settings
    }

    /// What is counted.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Whether messages of this signer are expected now.
    pub(crate) fn expects(&self, signer: &str) -> bool {
        self.expected.has(signer, &self.lists.current())
    }

    /// The journal of the spool.
    pub(crate) fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.spool.journal)
    }

    /// What would be decided about a message now; nothing where that cannot be said now. Nothing is stored, and nothing is
    /// counted as received. Blocks.
    pub(crate) fn judge(&self, received: &Received<'_>) -> Option<Decision> {
        let now = Snapshot { meters: Arc::default(), ..self.snapshot() };
        self.decide_or_fail(received, &now).ok().map(|(decision, _)| decision)
    }

    /// [`decide`], with a panic turned into a rejection of the one message that caused it; messages that crash this process,
    /// or one that opens them for it, are counted. Blocks.
    fn decide_or_fail(&self, received: &Received<'_>, snapshot: &Snapshot) -> Result<Decided, NotNow> {
        let digest = content_digest(received.raw);
        let place = (&snapshot.channel, &self.spool.crashes, &*snapshot.meters);
        match self.opener.open(place, &digest, &decide::to_open(received.raw, received.at, snapshot)) {
            Ok(tried) => Ok((decide_tried(received, snapshot, tried), digest)),
            Err(Unopened::TooManyCrashes(crashes)) => {
                Ok((decide::given_up(received, snapshot, now(), crashes), digest))
            }
            Err(Unopened::NotNow) => Err(NotNow),
        }
    }

    /// New messages go through `pipeline` from now on; those that were deferred because a plugin could not answer for any are
    /// tried again.
    pub fn replace_pipeline(&self, pipeline: Arc<Pipeline>) {
        self.pipeline.replace(pipeline);
    }

    /// What a message is judged by now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let pipeline = (&*self.pipeline.load(), &self.meters);
        snapshot(&self.channel, &self.settings, &self.identity, &self.lists, pipeline)
    }

    /// Receives until a stop is asked for. Outages of broker and disk are waited out.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let retries = tokio::spawn(Arc::clone(&self).retry_deferred(shutdown.clone()));
        let gaps = tokio::spawn(Arc::clone(&self).watch_gaps(shutdown.clone()));
        let acknowledger = self.acknowledger.clone();
        let acknowledger = acknowledger.map(|one| tokio::spawn(one.run(shutdown.clone())));
        while !shutdown.asked() {
            if self.gate.is_closed() {
                self.gate.opened(&shutdown).await;
                continue;
            }
            if let Some(pause) = self.pipeline.pause() {
                log_pause(&self.channel, &pause);
                self.pipeline.wait_for_plugin(&shutdown).await;
                continue;
            }
            if self.pipeline.is_held() {
                self.pipeline.wait_for_compiler(&shutdown).await;
                continue;
            }
            let unready = tokio::select! {
                unready = self.unready() => unready,
                () = shutdown.draining() => break,
            };
            if let Some(unready) = unready {
                self.pause(&unready, STORAGE_PAUSE, &shutdown).await;
                continue;
            }
            self.faults.set(None);
            if self.without_room().end() {
                tracing::info!(channel = %self.channel, "enough room on the disk again; messages are received");
            }
            let link = tokio::select! {
                link = self.link.connect() => link,
                () = self.gate.closed() => continue,
                () = shutdown.draining() => break,
            };
            match self.serve(&link, &shutdown).await {
                Ended::Closed
                | Ended::Refused
                | Ended::Paused
                | Ended::Held
                | Ended::ProbationOver
                | Ended::Crowded
                | Ended::Suspect => {}
                Ended::Shutdown => break,
                ended => self.pause(&ended, self.faults.rest(), &shutdown).await,
            }
        }
        let _ = retries.await;
        let _ = gaps.await;
        if let Some(acknowledger) = acknowledger {
            let _ = acknowledger.await;
        }
    }

    /// The bytes that are free, if they are fewer than `min-free` and these.
    fn too_little_room(&self, beside: u64) -> Option<u64> {
        let free = spool::free_bytes(&self.settings.spool).ok()?;
        (free < self.settings.storage.min_free.saturating_add(beside)).then_some(free)
    }

    fn without_room(&self) -> Condition {
        Condition::error("too little room", &self.channel.section())
    }

    fn without_storage(&self) -> Condition {
        Condition::error("cannot store", &self.channel.section())
    }

    /// A message was stored.
    fn stored(&self) {
        if self.faults.stored() && self.without_storage().end() {
            tracing::info!(channel = %self.channel, "messages are stored again");
        }
    }

    /// Logs why nothing can be stored, and waits.
    async fn pause(&self, ended: &Ended, rest: Duration, shutdown: &Shutdown) {
        let spool = self.settings.spool.display();
        match ended {
            Ended::Storage(error) => {
                let error = message::cause::chain(error);
                self.faults.reported();
                self.faults.set(Some(format!("cannot store messages: {error}")));
                if self.without_storage().is_due(&error) {
                    tracing::error!(
                        channel = %self.channel, spool = %spool, error,
                        "cannot store messages; the broker keeps them until storing works again",
                    );
                }
            }
            Ended::LowSpace(free) => {
                self.faults.set(Some(format!("disk: less than min-free is free for {spool}")));
                if self.without_room().is_due("") {
                    tracing::error!(
                        channel = %self.channel, spool = %spool, free_bytes = free, min_free = self.settings.storage.min_free,
                        "too little room on the disk; the broker keeps the messages until there is more",
                    );
                }
            }
            Ended::Unreadable | Ended::TooLong => {}
            Ended::Closed
            | Ended::Refused
            | Ended::Paused
            | Ended::Held
            | Ended::ProbationOver
            | Ended::Crowded
            | Ended::Suspect
            | Ended::Shutdown => return,
        }
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = shutdown.draining() => {}
        }
    }
}

/// The decision about a message in flight that was opened, or on which this process panicked. Its work ends here.
fn decide_tried(received: &Received<'_>, snapshot: &Snapshot, (work, opened): Tried<'_>) -> Decision {
    let now = now();
    let decided = opened
        .and_then(|opened| catch_unwind(AssertUnwindSafe(|| decide::decide_opened(received, snapshot, now, opened))));
    drop(work);
    decided.unwrap_or_else(|_| decide::failed(received, snapshot, now))
}

/// What messages of a channel are judged by, from the current state of its sources; `meters` count them.
#[must_use]
pub fn snapshot(
    channel: &Channel,
    settings: &Arc<config::Receiver>,
    identity: &Identity,
    lists: &SignerListsSource,
    (pipeline, meters): (&Arc<Pipeline>, &Arc<Meters>),
) -> Snapshot {
    let credential = identity.credential.current();
    let policy = OpenPolicy {
        encryption_required: settings.encryption == config::Encryption::Required,
        allow_sha1: settings.trust.allow_sha1_digest,
        max_payload: usize::try_from(settings.max_payload).unwrap_or(usize::MAX),
        max_age: Some(settings.max_age),
        names: vec![credential.facts().subject.rfc4514()],
    };
    Snapshot {
        channel: channel.clone(),
        settings: Arc::clone(settings),
        trust: identity.trust.snapshot(),
        credentials: vec![credential],
        lists: lists.current(),
        pipeline: Arc::clone(pipeline),
        policy,
        held: Arc::default(),
        meters: Arc::clone(meters),
    }
}

/// A decision, and the SHA-256 of the message as it came.
type Decided = (Decision, [u8; 32]);

/// No decision can be made now: the plugins in the folder are not known or not compiled, or no process that opens messages
/// can be started.
struct NotNow;

/// The current time, for everything that a decision compares with dates.
fn now() -> SystemTime {
    SystemTime::now()
}
