//! Receives the acknowledgements for senders: verifies each message, takes what fits what was sent, and drops the rest.
//!
//! Senders that name the same source at one broker share a listener, since each acknowledgement is delivered once. An
//! acknowledgement that does not count is acknowledged to the broker and forgotten: it is logged once and counted, and
//! changes nothing. What is no acknowledgement at all may be a record that someone misses: it goes to the reject queue of the
//! sender. What is too large to be read stays with the broker.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::channel::{Channel, Meters, OpenSpool, Opener, Unopened};
use crate::receiver::positions::ChannelPositions;
use crate::sender::{Retention, rejection};
use crate::shutdown::Shutdown;
use isolate::Message;
use message::acknowledgement::{Acknowledgement, MOST_BYTES, is_acknowledgement};
use message::cause::chain;
use message::daily::Condition;
use message::{Code, MessageId, content_digest};
use smime::{Answer, OpenPolicy, Refused};
use spool::CommitError;
use spool::journal::{Applied, JournalError, Proof};
use transport::{AckToken, Bookmark, Connected, Delivery, Destination, Identity, Link, SendFailure, Taking};
use trust::{DistinguishedName, RecipientSource};

/// Deliveries that the broker sends ahead.
const PREFETCH: u32 = 16;
/// A session that lasted so long shows that what was logged before is over.
const SETTLED: Duration = Duration::from_secs(60);
/// How long a listener waits for more when its senders have ended.
const QUIET: Duration = Duration::from_secs(1);
/// The longest that it stays then.
const LONGEST: Duration = Duration::from_secs(10);
/// How long to wait after the journal could not be written.
const REST: Duration = Duration::from_secs(5);
/// How long a DISCONNECT may take.
const DISCONNECT_GRACE: Duration = Duration::from_secs(2);

/// Whose acknowledgements count for a channel.
#[derive(Debug)]
pub(super) enum Expected {
    /// These receivers'.
    Named(Vec<DistinguishedName>),
    /// That of the receiver whose certificate messages are encrypted for.
    Recipient(Arc<RecipientSource>),
}

impl Expected {
    /// The names, a few of them where there are many.
    fn shown(&self) -> String {
        const MOST: usize = 5;
        match self {
            Self::Named(names) => {
                let mut shown: Vec<String> = names.iter().take(MOST).map(DistinguishedName::line).collect();
                if names.len() > MOST {
                    shown.push(format!("{} more", names.len() - MOST));
                }
                shown.join(", ")
            }
            Self::Recipient(source) => source.current().facts().subject.line(),
        }
    }

    fn contains(&self, signer: &DistinguishedName) -> bool {
        match self {
            Self::Named(names) => names.contains(signer),
            Self::Recipient(source) => source.current().facts().subject == *signer,
        }
    }
}

/// A channel that waits for acknowledgements.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) channel: Channel,
    pub(super) expected: Expected,
    pub(super) state: Arc<OpenSpool>,
    /// The reject queue.
    pub(super) reject: PathBuf,
    pub(super) retention: Arc<Retention>,
}

/// Receives acknowledgements from one source.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) link: Link,
    pub(super) from: Destination,
    pub(super) identity: Identity,
    /// At least one.
    pub(super) channels: Vec<Waiting>,
    opener: Opener,
    meters: Meters,
    ignored: AtomicU64,
}

/// What a delivery says is durable, or it says nothing that is to be kept. Made by [`Listener::apply`] and where something
/// is ignored.
struct Taken;

/// Why a delivery cannot be dealt with now; it comes again.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fault on our side, such as an outdated CRL.
    #[error("acknowledgements cannot be verified: {0}")]
    Unverifiable(String),
    #[error(transparent)]
    Reject(#[from] CommitError),
    #[error("Sesame failed on it; please report it with the log")]
    Panicked,
    /// No process that opens messages can be started.
    #[error("it cannot be opened now")]
    NotNow,
}

/// Why a session ended.
enum Ended {
    /// The broker or the network ended it.
    Closed,
    /// Nothing can be received, or noted, now.
    Unusable,
    /// A stop was asked for, or the senders have ended and nothing more comes.
    Asked,
}

impl Listener {
    pub(super) fn new(
        link: Link,
        from: Destination,
        identity: Identity,
        channels: Vec<Waiting>,
        opener: Opener,
    ) -> Self {
        Self { link, from, identity, channels, opener, meters: Meters::default(), ignored: AtomicU64::new(0) }
    }

    /// Receives until a stop is asked for, or until nothing more comes after `done` says that the senders have ended.
    pub(super) async fn run(self: Arc<Self>, done: watch::Receiver<bool>, shutdown: Shutdown) {
        tokio::select! {
            () = self.receive(&done, &shutdown) => {}
            () = shutdown.draining() => {}
            () = after(done.clone(), LONGEST) => {}
        }
    }

    /// Receives, session after session. A delivery that is not done when this is dropped comes again.
    async fn receive(self: &Arc<Self>, done: &watch::Receiver<bool>, shutdown: &Shutdown) {
        loop {
            let connected = self.link.connect().await;
            let begun = Instant::now();
            let ended = self.serve(&connected, done, shutdown).await;
            if begun.elapsed() >= SETTLED {
                self.failing().end();
            }
            connected.session.disconnect(DISCONNECT_GRACE).await;
            match ended {
                Ended::Asked => return,
                Ended::Closed => {
                    let reason = connected.session.closed().await;
                    self.link.lost(&reason);
                    self.warn("connection for acknowledgements lost", &chain(&reason));
                }
                Ended::Unusable => tokio::time::sleep(REST).await,
            }
        }
    }

    /// The channel under whose name the listener logs and keeps its position.
    fn first(&self) -> Option<&Waiting> {
        self.channels.first()
    }

    fn name(&self) -> &str {
        self.first().map_or("", |waiting| waiting.channel.name())
    }

    async fn serve(
        self: &Arc<Self>,
        connected: &Connected,
        done: &watch::Receiver<bool>,
        shutdown: &Shutdown,
    ) -> Ended {
        let Some(first) = self.first() else { return Ended::Asked };
        let positions = ChannelPositions::of(&first.state.journal, &first.channel);
        let bookmark = Bookmark::new(Arc::new(positions), self.name());
        let taking = Taking { prefetch: PREFETCH, bookmark, exclusive: false };
        let mut subscription = match self.link.subscribe(connected, &self.from, taking).await {
            Ok(subscription) => subscription,
            Err(error) => {
                self.warn("cannot subscribe to acknowledgements", &error.to_string());
                return Ended::Unusable;
            }
        };
        let mut first = true;
        loop {
            let delivery = tokio::select! {
                delivery = subscription.next() => delivery,
                () = shutdown.draining() => return Ended::Asked,
                () = after(done.clone(), QUIET) => return Ended::Asked,
            };
            let Some(delivery) = delivery else { return Ended::Closed };
            if let Err(error) = self.take(delivery).await {
                // Not acknowledged: it comes again.
                self.warn("cannot note acknowledgements", &chain(&error));
                return Ended::Unusable;
            }
            if std::mem::take(&mut first) {
                self.link.served().await;
                self.failing().end();
            }
        }
    }

    /// Takes one delivery, and acknowledges it to the broker once what it says is durable.
    async fn take(self: &Arc<Self>, delivery: Delivery) -> Result<(), NotTaken> {
        let id = delivery.id().map_or_else(MessageId::absent, MessageId::from_peer);
        let Delivery { body, oversized, unreadable, token, .. } = delivery;
        if let Some(bytes) = oversized {
            let detail = format!("{bytes} bytes; it stays with the broker: remove it there");
            self.ignore("it is larger than max-frame", &detail);
            return Ok(());
        }
        let taken = if body.is_empty() {
            // A ping.
            Taken
        } else {
            let listener = Arc::clone(self);
            let applied = tokio::task::spawn_blocking(move || match unreadable {
                Some(why) => listener.set_aside(&id, (Code::NotBase64, "it cannot be read", &why), &body),
                None => listener.apply(&id, &body),
            });
            applied.await.unwrap_or(Err(NotTaken::Panicked))?
        };
        if let Err(error) = confirm(token, taken) {
            tracing::debug!(channel = self.name(), %error, "ACK not sent");
        }
        Ok(())
    }

    /// Takes what an acknowledgement message says. Blocks.
    fn apply(&self, id: &MessageId, raw: &[u8]) -> Result<Taken, NotTaken> {
        let opened = match self.open(raw)? {
            Ok(opened) => opened,
            Err(refused) if refused.ours => return Err(NotTaken::Unverifiable(refused.reason)),
            Err(refused) => {
                return self.set_aside(id, (refused.code, "it is not signed as it must be", &refused.reason), raw);
            }
        };
        let signer = &opened.signer().subject;
        if !opened.content_type().is_some_and(is_acknowledgement) {
            let why = "it is a message and no acknowledgement";
            return self.set_aside(id, (Code::Misdirected, why, &signer.line()), raw);
        }
        let expecting: Vec<_> = self.channels.iter().filter(|waiting| waiting.expected.contains(signer)).collect();
        if expecting.is_empty() {
            let mut expected: Vec<String> = self.channels.iter().map(|waiting| waiting.expected.shown()).collect();
            expected.sort_unstable();
            expected.dedup();
            let signer = message::text::one_line(&signer.line(), 250);
            let detail = format!("{signer}; expected: {}", expected.join(", "));
            return Ok(self.ignore("its signer is not an expected receiver; see `receivers`", &detail));
        }
        let lines = match Acknowledgement::parse(opened.payload()) {
            Ok(lines) => lines,
            Err(error) => return Ok(self.ignore("it is malformed", &error.to_string())),
        };
        let receiver = signer.rfc4514();
        let proof = Proof { receiver: &receiver, raw, at: SystemTime::now() };
        let mut known = 0;
        for waiting in expecting {
            let applied = waiting.state.journal.take_acknowledgements(waiting.channel.name(), &proof, &lines)?;
            known += lines.len() - applied.unknown;
            self.log(waiting, &receiver, &applied);
            if applied.settled > 0 {
                waiting.retention.acknowledged();
            }
        }
        if known < lines.len() {
            self.ignore("it acknowledges messages that were not sent, or that are no longer known", &receiver);
        }
        Ok(Taken)
    }

    /// Keeps what is no acknowledgement: `from` may be a queue of others.
    fn set_aside(
        &self,
        id: &MessageId,
        (code, reason, detail): (Code, &'static str, &str),
        raw: &[u8],
    ) -> Result<Taken, NotTaken> {
        if let Some(first) = self.first() {
            let detail = message::text::one_line(detail, 500);
            let why = format!("{reason}: {detail}; it came from {}, where acknowledgements are expected", self.from);
            let commit = rejection((&first.channel, &first.reject), id, (code, &why), raw, &[]);
            let _ = first.state.engine.submit(commit).wait()?;
        }
        Ok(self.ignore(reason, detail))
    }

    fn open(&self, raw: &[u8]) -> Result<Answer, NotTaken> {
        let Some(first) = self.first() else { return Err(NotTaken::NotNow) };
        let credential = self.identity.credential.current();
        let policy = OpenPolicy {
            encryption_required: false,
            allow_sha1: false,
            max_payload: MOST_BYTES,
            max_age: None,
            names: vec![credential.facts().subject.rfc4514()],
        };
        let (credentials, trust) = ([credential], self.identity.trust.snapshot());
        let message = Message { raw, credentials: &credentials, trust: &trust, policy: &policy, at: SystemTime::now() };
        let place = (&first.channel, &first.state.crashes, &self.meters);
        match self.opener.open(place, &content_digest(raw), &message) {
            Ok((_work, opened)) => opened.map_err(|_| NotTaken::Panicked),
            Err(Unopened::TooManyCrashes(crashes)) => {
                Ok(Err(Refused { code: Code::CrashLoop, reason: crashes.to_string(), ours: false }))
            }
            Err(Unopened::NotNow) => Err(NotTaken::NotNow),
        }
    }

    fn log(&self, waiting: &Waiting, receiver: &str, applied: &Applied) {
        let channel = waiting.channel.name();
        let Applied { settled, rejected, repeated, other_content, .. } = *applied;
        if settled > 0 {
            tracing::info!(channel, receiver, messages = settled, rejected, "messages acknowledged");
        }
        if repeated > 0 {
            tracing::debug!(channel, receiver, messages = repeated, "messages acknowledged once more");
        }
        if other_content > 0 {
            self.ignore("it acknowledges other content than what was sent", receiver);
        }
    }

    /// Logs, once a day for each reason, that something that came was ignored. `detail` may be a stranger's words.
    fn ignore(&self, reason: &'static str, detail: &str) -> Taken {
        let ignored = self.ignored.fetch_add(1, Ordering::Relaxed) + 1;
        if Condition::warning("acknowledgement ignored", &self.place()).is_due(reason) {
            let detail = message::text::one_line(detail, 500);
            tracing::warn!(channel = self.name(), source = %self.from, reason, detail, ignored, "acknowledgement ignored");
        }
        Taken
    }

    fn failing(&self) -> Condition {
        Condition::warning("cannot receive acknowledgements", &self.place())
    }

    /// What conditions are about: one listener may serve several channels.
    fn place(&self) -> String {
        format!("{} {}", self.name(), self.from)
    }

    fn warn(&self, what: &str, error: &str) {
        if self.failing().is_due(&format!("{what}: {error}")) {
            tracing::warn!(channel = self.name(), source = %self.from, error, "{what}; messages stay kept until they are acknowledged");
        }
    }
}

/// Acknowledges a delivery to the broker.
fn confirm(token: AckToken, _taken: Taken) -> Result<(), SendFailure> {
    token.acknowledge()
}

/// A while after `done` is true.
async fn after(mut done: watch::Receiver<bool>, pause: Duration) {
    if done.wait_for(|done| *done).await.is_err() {
        return std::future::pending().await;
    }
    tokio::time::sleep(pause).await;
}
