//! The ARGO Messaging Service behind the same questions that STOMP brokers answer.
//!
//! AMS has no connection that could break: a session here is a series of requests, and it ends with the first one that
//! says something about AMS or our access to it rather than about a message.

mod examine;
mod pace;
mod progress;
mod publisher;
mod puller;
mod window;

use std::sync::Arc;
use std::time::Duration;

use ams::{Client, Endpoint, Fault, Publication, Settings, Timing, TokenSource};
use message::cause::chain;
use stomp::MemoryBudget;
use tokio::sync::{Mutex, mpsc, watch};

use super::counts::LinkCounters;
use super::link::{Connected, LinkError};
use super::{Bookmark, Destination, Identity, Outbound, Session, SubscribeError, Subscription};
use crate::AmsBroker;
pub use examine::Examined;
use pace::Pace;
use progress::Progress;
pub(super) use publisher::Published;
use publisher::{Pending, Request};
pub(super) use puller::{Ack, Pulled};

/// The longest first pause after a failed round; it doubles from one to the next.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The shortest pause.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// What to do about a message that is too large.
const SPLITTER: &str = "builtin:split-records splits messages";
/// Room for the attributes that plugins add to a message, in bytes.
const ATTRIBUTES: usize = 1024;
/// The longest number at the end of the id of a part.
const PART: &str = ".000000000";
/// The time in which AMS wants acknowledgements where it does not say another.
const DEADLINE: Duration = Duration::from_secs(10);
/// The attribute by which SSM names a message.
const EMPAID: &str = "empaid";

/// The link to a project of AMS.
#[derive(Debug)]
pub(crate) struct AmsLink {
    client: Client,
    broker: Arc<str>,
    /// The longest stored text of a message, in bytes.
    max_message: usize,
    /// The memory for messages that are received.
    memory: MemoryBudget,
    /// The most bytes of an answer to a pull that are read.
    longest_answer: usize,
    /// Rounds and sessions in a row that were of no use.
    failures: Arc<Mutex<u32>>,
    counters: Arc<LinkCounters>,
}

/// Why a session with AMS is over.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AmsClosed {
    /// We ended it.
    #[error("session closed by us")]
    ByUs,
    /// A request failed.
    #[error(transparent)]
    Failed(Arc<ams::Error>),
}

impl AmsClosed {
    /// Whether a message may have caused it: the connection broke, or no answer came. Of an error that AMS or a load
    /// balancer answers, it is known whether it concerns a message.
    pub(super) fn may_be_by_a_message(&self) -> bool {
        matches!(self, Self::Failed(error) if error.may_have_been_taken()
            && error.is_transient() && !matches!(error.fault(), Fault::Backend { .. } | Fault::Unavailable { .. }))
    }

    /// Whether it does not pass by itself.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self, Self::Failed(error) if !error.is_transient())
    }
}

/// A series of requests to AMS.
#[derive(Clone, Debug)]
pub struct AmsSession {
    client: Client,
    /// The release of AMS, if it says so.
    version: Option<Arc<str>>,
    max_message: usize,
    requests: mpsc::Sender<Request>,
    /// How many messages have no answer yet, and how many subscriptions are open.
    pending: Arc<watch::Sender<usize>>,
    closing: Arc<watch::Sender<Option<AmsClosed>>>,
}

impl AmsLink {
    pub(super) fn new(
        broker: &AmsBroker,
        identity: &Identity,
        memory: &MemoryBudget,
        counters: Arc<LinkCounters>,
    ) -> Result<Self, LinkError> {
        let trust = || Arc::clone(&identity.trust);
        let tls = trust::tls::client_config(trust(), None, broker.allow_cn)?;
        let token = match &broker.token_file {
            Some(file) => TokenSource::Fixed(AmsBroker::read_token(file)?),
            None => {
                let own = Some(Arc::clone(&identity.credential));
                let tls = trust::tls::client_config(trust(), own, broker.allow_cn)?;
                let otherwise = broker.token_otherwise.clone();
                TokenSource::X509 { service: broker.authentication.clone(), tls, otherwise }
            }
        };
        let mut settings = Settings::new(broker.host.clone(), broker.project.clone(), tls, token);
        settings.proxy.clone_from(&broker.proxy);
        settings.timing = Timing {
            connect: broker.connect_timeout,
            answer: broker.receipt_timeout,
            whole: broker.receipt_timeout.saturating_mul(3),
            ..Timing::default()
        };
        let max_message = usize::try_from(broker.max_message).unwrap_or(usize::MAX);
        let longest_answer = pace::longest_answer(memory.total(), max_message);
        settings.limits.pull = longest_answer;
        let broker = place(&broker.host, broker.project.as_str());
        Ok(Self {
            client: Client::new(settings),
            broker,
            max_message,
            memory: memory.clone(),
            longest_answer,
            failures: Arc::default(),
            counters,
        })
    }

    /// Waits until AMS answers. Each session counts as one of no use until [`served`](Self::served).
    pub(super) async fn connect(&self) -> Connected {
        let mut failures = self.failures.lock().await;
        loop {
            if *failures > 0 {
                tokio::time::sleep(pause(*failures)).await;
            }
            *failures = failures.saturating_add(1);
            match self.connect_once().await {
                Ok(connected) => return connected,
                Err(errors) => {
                    self.counters.failed();
                    for error in errors {
                        tracing::warn!(broker = %self.broker, %error, "cannot connect");
                    }
                }
            }
        }
    }

    pub(super) async fn connect_once(&self) -> Result<Connected, Vec<String>> {
        let version = match self.client.version().await {
            Ok(version) => Some(version),
            // The version is only shown. Its status says too that AMS is there.
            Err(error) if !error.is_transient() && self.client.status().await.is_ok() => None,
            Err(error) => return Err(vec![chain(&error)]),
        };
        tracing::info!(broker = %self.broker, version, "connected");
        let session = AmsSession::start(self.client.clone(), version.as_deref(), self.max_message);
        Ok(Connected { session: Session::Ams(session), broker: Arc::clone(&self.broker), _counted: None })
    }

    pub(super) async fn subscribe(
        &self,
        session: &AmsSession,
        subscription: &ams::Subscription,
        prefetch: u32,
        bookmark: Bookmark,
    ) -> Result<Subscription, SubscribeError> {
        let state = self.client.subscription(subscription).await;
        let deadline = match state {
            Ok(state) if state.is_push => {
                return Err(SubscribeError(format!(
                    "AMS pushes the messages of subscription {subscription} to another program: use a subscription of its own"
                )));
            }
            Ok(state) => state.ack_deadline,
            // A user who may only pull may lack the right to look.
            Err(error) if matches!(error.fault(), Fault::Forbidden { .. }) => DEADLINE,
            Err(error) => return Err(SubscribeError(chain(&error))),
        };
        let parts = puller::Parts {
            subscription: subscription.clone(),
            pace: Pace::new(prefetch, self.max_message, self.longest_answer),
            memory: self.memory.clone(),
            deadline: if deadline.is_zero() { DEADLINE } else { deadline },
            progress: Progress::load(bookmark, &self.broker, subscription.as_str()).await,
            failures: Arc::clone(&self.failures),
            _pending: Pending::new(&session.pending),
        };
        Ok(Subscription::Ams(puller::start(session, parts)))
    }

    pub(super) async fn examine(&self, destination: &Destination) -> Option<Examined> {
        examine::examine(&self.client, destination).await
    }

    pub(super) async fn topic_of(&self, subscription: &::ams::Subscription) -> Option<String> {
        Some(self.client.subscription(subscription).await.ok()?.topic)
    }

    pub(super) async fn served(&self) {
        *self.failures.lock().await = 0;
    }
}

fn place(host: &Endpoint, project: &str) -> Arc<str> {
    format!("{host}/{project}").into()
}

/// A random pause after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    doubled.mul_f64(fastrand::f64()).max(SHORTEST_PAUSE)
}

impl AmsSession {
    fn start(client: Client, version: Option<&str>, max_message: usize) -> Self {
        let (closing, _) = watch::channel(None);
        let closing = Arc::new(closing);
        let requests = publisher::start(client.clone(), max_message, Arc::clone(&closing));
        let pending = Arc::new(watch::Sender::new(0));
        Self { client, version: version.map(Into::into), max_message, requests, pending, closing }
    }

    /// The release of AMS, if it says so, fit to be shown.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Why a message cannot be stored by AMS; `None` if it can.
    pub(super) fn too_large(&self, message: &Outbound) -> Option<String> {
        too_large(self.max_message, message)
    }

    pub(super) async fn send(&self, message: Outbound) -> Result<Published, super::SendFailure> {
        let Destination::Topic(topic) = &message.destination else { return Err(super::SendFailure::Over) };
        let pending = Pending::new(&self.pending);
        let (request, answer) = Request::new(topic.clone(), publication(&message), pending);
        self.requests.send(request).await.map_err(|_| super::SendFailure::Over)?;
        Ok(answer)
    }

    pub(super) async fn closed(&self) -> AmsClosed {
        let mut closed = self.closing.subscribe();
        let reason = closed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or(AmsClosed::ByUs)
    }

    /// Ends the session once every message given so far has its answer and what is durable is acknowledged, or after `grace`:
    /// false then, and requests in flight are given up. What they did is found out by the next session.
    pub(super) async fn disconnect(&self, grace: Duration) -> bool {
        let (mut pending, mut over) = (self.pending.subscribe(), self.closing.subscribe());
        let answered = async {
            tokio::select! {
                biased;
                _ = pending.wait_for(|count| *count == 0) => true,
                _ = over.wait_for(Option::is_some) => false,
            }
        };
        let answered = tokio::time::timeout(grace, answered).await.unwrap_or(false);
        close(&self.closing, AmsClosed::ByUs);
        answered
    }
}

/// Why a message is longer than what AMS stores; `None` if it is not.
pub(super) fn too_large(max_message: usize, message: &Outbound) -> Option<String> {
    let ams::TooLarge { size, max } = publication(message).check(max_message).err()?;
    Some(format!("AMS would store up to {size} bytes for it, more than max-message, {max}; {SPLITTER}"))
}

/// The longest sealed message with this id, or a part of it, that AMS stores, in bytes.
pub(crate) fn max_wire(max_message: u64, id: &str) -> usize {
    let around = ams::stored_size(&Publication::new(&format!("{id}{PART}"), Vec::new())) + ATTRIBUTES;
    let base64 = usize::try_from(max_message).unwrap_or(usize::MAX).saturating_sub(around);
    base64 / 4 * 3
}

fn close(closing: &watch::Sender<Option<AmsClosed>>, reason: AmsClosed) {
    closing.send_if_modified(|known| {
        let first = known.is_none();
        if first {
            *known = Some(reason);
        }
        first
    });
}

fn publication(message: &Outbound) -> Publication {
    let mut publication = Publication::new(&message.id, message.body.clone());
    for (name, value) in &message.headers {
        if name != EMPAID {
            publication.attributes.insert(name.clone(), value.clone());
        }
    }
    publication
}
