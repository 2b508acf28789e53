//! The connection of a channel to its broker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use message::{MessageId, locked};

use super::ams::{AmsLink, Examined};
use super::counts::{LinkCounters, Open};
use super::stomp::StompLink;
use super::{Bookmark, Closed, Destination, Identity, Outbound, Session, SubscribeError, Subscription};
use crate::{Broker, SecretError};
use ::stomp::MemoryBudget;

/// How long a link waits after the broker refused a request.
const PENALTY: Duration = Duration::from_secs(5);

/// Why a link cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// TLS cannot be set up with what was loaded.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// Name and passcode, or the token.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// How messages are taken from a destination.
#[derive(Debug)]
pub struct Taking {
    /// Deliveries that are not acknowledged, at most.
    pub prefetch: u32,
    /// Keeps how far the destination is received, where the broker numbers its messages.
    pub bookmark: Bookmark,
    /// Whether no other subscriber is to get messages meanwhile: `activemq.exclusive`. RabbitMQ knows it as a property of the
    /// queue, `x-single-active-consumer`.
    pub exclusive: bool,
}

/// The link to a broker: its address, our identity, and the back-off between attempts.
#[derive(Debug)]
pub struct Link {
    protocol: Protocol,
    max_message: Option<u64>,
    rest_until: Mutex<Option<Instant>>,
    counters: Arc<LinkCounters>,
    attempts: AtomicU64,
}

#[derive(Debug)]
enum Protocol {
    Stomp(Box<StompLink>),
    Ams(AmsLink),
}

/// An open session and the broker it is with.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The session.
    pub session: Session,
    /// `host:port` of the broker.
    pub broker: Arc<str>,
    /// Counts the session while it is open.
    pub(super) _counted: Option<Arc<Open>>,
}

/// What a broker says of the queue of a destination; the texts say what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAnswer {
    /// It is there.
    There,
    /// This user may not ask.
    Denied(String),
    /// It could not be asked.
    Unclear(String),
    /// It is not there, or is none that keeps messages.
    Wrong(String),
}

/// Whether messages can be received from a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It keeps a message until it is acknowledged, whatever the headers of deliveries say.
    Fit,
    /// As far as is known, it does.
    Unknown,
    /// It does not; with what is wrong and what to do.
    Unfit(String),
}

/// Room for the headers of a frame, in bytes.
const FRAME_HEADERS: usize = 4096;

/// Why `broker` would not take a message of this size; `None` if it would.
#[must_use]
pub fn too_large(broker: &Broker, message: &Outbound) -> Option<String> {
    match broker {
        Broker::Stomp(broker) => {
            let (wire, max_frame) = (message.body.len(), broker.max_frame);
            let fits = wire.saturating_add(FRAME_HEADERS) as u64 <= max_frame;
            (!fits).then(|| format!("{wire} bytes on the wire do not fit in max-frame, {max_frame}"))
        }
        Broker::Ams(broker) => {
            super::ams::too_large(usize::try_from(broker.max_message).unwrap_or(usize::MAX), message)
        }
    }
}

/// What plugins of a channel to `broker` see of its limit for the message `id`.
#[must_use]
pub fn properties(broker: &Broker, id: &MessageId) -> Vec<(String, String)> {
    limit_property(max_message(broker), id)
}

/// The limit of what AMS stores; a STOMP broker does not say its own.
fn max_message(broker: &Broker) -> Option<u64> {
    match broker {
        Broker::Stomp(_) => None,
        Broker::Ams(broker) => Some(broker.max_message),
    }
}

fn limit_property(max_message: Option<u64>, id: &MessageId) -> Vec<(String, String)> {
    let limit = max_message.map(|most| super::ams::max_wire(most, id.as_str()));
    limit.map(|limit| ("max-wire-bytes".to_owned(), limit.to_string())).into_iter().collect()
}

impl Link {
    /// A link to `broker` for `identity`.
    ///
    /// # Errors
    /// [`LinkError`] where TLS or the login cannot be set up.
    pub fn new(broker: &Broker, identity: &Identity, memory: &MemoryBudget) -> Result<Self, LinkError> {
        Self::counted(broker, identity, memory, Arc::default())
    }

    /// The same for a link whose sessions `counters` count.
    ///
    /// # Errors
    /// [`LinkError`], the same.
    pub fn counted(
        broker: &Broker,
        identity: &Identity,
        memory: &MemoryBudget,
        counters: Arc<LinkCounters>,
    ) -> Result<Self, LinkError> {
        let protocol = match broker {
            Broker::Stomp(broker) => {
                Protocol::Stomp(Box::new(StompLink::new(broker, identity, memory, counters.stomp())?))
            }
            Broker::Ams(broker) => Protocol::Ams(AmsLink::new(broker, identity, memory, Arc::clone(&counters))?),
        };
        let (max_message, rest_until) = (max_message(broker), Mutex::new(None));
        Ok(Self { protocol, max_message, rest_until, counters, attempts: AtomicU64::new(0) })
    }

    /// What plugins see of the broker's limit for the message `id`.
    #[must_use]
    pub fn properties(&self, id: &MessageId) -> Vec<(String, String)> {
        limit_property(self.max_message, id)
    }

    /// Connects, however long it takes. Dropping the future stops it.
    pub async fn connect(&self) -> Connected {
        let rest = locked(&self.rest_until).take();
        if let Some(until) = rest {
            tokio::time::sleep_until(until.into()).await;
        }
        let attempt = self.counters.attempt(&self.attempts);
        let connected = match &self.protocol {
            Protocol::Stomp(stomp) => stomp.connect().await,
            Protocol::Ams(ams) => ams.connect().await,
        };
        drop(attempt);
        Connected { _counted: Some(LinkCounters::opened(&self.counters)), ..connected }
    }

    /// Whether no session is open because the broker cannot be reached, or not yet.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.attempts.load(Ordering::Relaxed) > 0
    }

    /// A session ended, and not by us.
    pub fn lost(&self, closed: &Closed) {
        self.counters.lost(closed.is_by_us(), closed.is_silence());
    }

    /// Why no broker could be reached the last time; empty where one always was.
    #[must_use]
    pub fn last_failure(&self) -> String {
        self.counters.last_failure()
    }

    /// Tries each broker once.
    ///
    /// # Errors
    /// What went wrong with each.
    pub async fn connect_once(&self) -> Result<Connected, Vec<String>> {
        match &self.protocol {
            Protocol::Stomp(stomp) => stomp.connect_once().await,
            Protocol::Ams(ams) => ams.connect_once().await,
        }
    }

    /// Asks the broker of an open session about the queue of `destination`. With `declare` the queue may be declared by that,
    /// as sending to it would.
    pub async fn ask(&self, session: &Connected, destination: &Destination, declare: bool) -> QueueAnswer {
        match (&self.protocol, destination) {
            (Protocol::Stomp(stomp), Destination::Stomp(destination)) => stomp.ask(session, destination, declare).await,
            _ => QueueAnswer::Unclear(format!("{destination} is not a queue")),
        }
    }

    /// What AMS says of a topic or a subscription; `None` for a destination of STOMP. Changes nothing.
    pub async fn examine(&self, destination: &Destination) -> Option<Examined> {
        match &self.protocol {
            Protocol::Stomp(_) => None,
            Protocol::Ams(ams) => ams.examine(destination).await,
        }
    }

    /// The topic whose messages a subscription of AMS gets, as AMS has it; `None` for another destination, or where AMS does
    /// not say.
    pub async fn topic_of(&self, destination: &Destination) -> Option<String> {
        match (&self.protocol, destination) {
            (Protocol::Ams(ams), Destination::Subscription(subscription)) => ams.topic_of(subscription).await,
            _ => None,
        }
    }

    /// The link of a STOMP broker.
    #[must_use]
    pub fn stomp(&self) -> Option<&StompLink> {
        match &self.protocol {
            Protocol::Stomp(stomp) => Some(stomp),
            Protocol::Ams(_) => None,
        }
    }

    /// Asks the broker whether `destination` keeps messages until they are acknowledged, where it answers. `suspected`: a
    /// delivery looked as if it did not. The next connection is delayed if it does not.
    pub async fn look_at_source(&self, session: &Connected, destination: &Destination, suspected: bool) -> Source {
        let source = match (&self.protocol, destination) {
            (Protocol::Stomp(stomp), Destination::Stomp(destination)) => {
                stomp.look_at_source(session, destination, suspected).await
            }
            _ => Source::Fit,
        };
        if matches!(source, Source::Unfit(_)) {
            self.penalise();
        }
        source
    }

    /// Subscribes to `destination`.
    ///
    /// # Errors
    /// [`SubscribeError`] where the broker refuses. The next connection is delayed then.
    pub async fn subscribe(
        &self,
        session: &Connected,
        destination: &Destination,
        taking: Taking,
    ) -> Result<Subscription, SubscribeError> {
        let Taking { prefetch, bookmark, exclusive } = taking;
        let subscribed = match (&self.protocol, &session.session, destination) {
            (Protocol::Stomp(stomp), Session::Stomp(session), Destination::Stomp(destination)) => {
                stomp.subscribe(session, destination, prefetch, exclusive).await
            }
            (Protocol::Ams(ams), Session::Ams(session), Destination::Subscription(subscription)) => {
                ams.subscribe(session, subscription, prefetch, bookmark).await
            }
            _ => Err(SubscribeError(format!("{destination} is not of this broker"))),
        };
        if subscribed.is_err() {
            self.penalise();
        }
        subscribed
    }

    /// Resets the back-off: the broker took messages in the last session.
    pub async fn served(&self) {
        match &self.protocol {
            Protocol::Stomp(stomp) => stomp.served().await,
            Protocol::Ams(ams) => ams.served().await,
        }
    }

    /// Delays the next connection: the broker refused a request.
    fn penalise(&self) {
        *locked(&self.rest_until) = Some(Instant::now() + PENALTY);
    }
}
