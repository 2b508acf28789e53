//! Connecting to STOMP brokers, and asking them about queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use message::cause::chain;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::link::{Connected, LinkError, QueueAnswer, Source};
use super::{Identity, STREAM_OFFSET, Session, SubscribeError, Subscription};
use crate::StompBroker;
use ::stomp::{
    AckMode, Connector, Counters, Destination, Form, HeartBeat, Limits, Login, MemoryBudget, OwnCertificate,
    QueueState, SessionOptions, Subscribe, Timing, rabbitmq,
};

/// The link to a STOMP broker.
#[derive(Debug)]
pub struct StompLink {
    connector: Mutex<Connector>,
    /// Whether this broker knows only cumulative ACKs.
    cumulative: AtomicBool,
}

fn connected(session: ::stomp::Session, connector: &Connector) -> Connected {
    let broker = connector.broker().map(ToString::to_string).unwrap_or_default().into();
    Connected { session: Session::Stomp(session), broker, _counted: None }
}

impl StompLink {
    pub(super) fn new(
        broker: &StompBroker,
        identity: &Identity,
        memory: &MemoryBudget,
        counters: Arc<Counters>,
    ) -> Result<Self, LinkError> {
        let tls = if broker.tls {
            let credential = Some(Arc::clone(&identity.credential));
            Some(trust::tls::client_config(Arc::clone(&identity.trust), credential, broker.allow_cn)?)
        } else {
            None
        };
        let options = SessionOptions { counters, ..session_options(broker, memory)? };
        let timing = Timing { attempt: broker.connect_timeout, ..Timing::default() };
        let mut connector = Connector::new(broker.hosts.clone(), tls, options).with_timing(timing);
        if broker.tls {
            let own = Arc::clone(&identity.credential);
            let faults = move || trust::tls::client_faults(&own.current(), SystemTime::now());
            connector = connector.with_own_certificate(OwnCertificate::new(faults));
        }
        Ok(Self { connector: Mutex::new(connector), cumulative: AtomicBool::new(false) })
    }

    pub(super) async fn connect(&self) -> Connected {
        let mut connector = self.connector.lock().await;
        let session = connector.connect().await;
        connected(session, &connector)
    }

    pub(super) async fn connect_once(&self) -> Result<Connected, Vec<String>> {
        let mut connector = self.connector.lock().await;
        match connector.connect_once().await {
            Ok(session) => Ok(connected(session, &connector)),
            Err(failures) => Err(failures.iter().map(|(_, error)| chain(error)).collect()),
        }
    }

    /// Asks on a second connection, since RabbitMQ closes the one on which it is asked.
    pub async fn look_at_queue(&self, session: &Connected, destination: &str) -> QueueState {
        let beside = self.connector.lock().await.to(&session.broker);
        let Some(mut beside) = beside else {
            return QueueState::Unclear { why: format!("{} is not in the list of brokers", session.broker) };
        };
        match beside.connect_beside().await {
            Ok(asked) => rabbitmq::look_at_queue(&asked, destination).await,
            Err(failures) => {
                let why: Vec<String> = failures.iter().map(|(_, error)| chain(error)).collect();
                QueueState::Unclear { why: why.join("; ") }
            }
        }
    }

    pub(super) async fn ask(&self, session: &Connected, destination: &Destination, declare: bool) -> QueueAnswer {
        // Not the destination itself where nothing is to be declared.
        let named = if declare { None } else { destination.without_declaring() };
        let named = named.unwrap_or_else(|| destination.to_string());
        let state = self.look_at_queue(session, &named).await;
        tracing::debug!(broker = %session.broker, %destination, named, ?state, "looked at a queue");
        match (&state, state.complaint(destination)) {
            (_, None) => QueueAnswer::There,
            (QueueState::Denied { .. }, Some(why)) => QueueAnswer::Denied(why),
            (QueueState::Unclear { .. }, Some(why)) => QueueAnswer::Unclear(why),
            (_, Some(why)) => QueueAnswer::Wrong(why),
        }
    }

    /// A stream of RabbitMQ keeps nothing: a subscriber gets only what comes after it subscribed, so what is sent while no
    /// session is open is never seen, and an ACK removes nothing.
    pub(super) async fn look_at_source(
        &self,
        session: &Connected,
        destination: &Destination,
        suspected: bool,
    ) -> Source {
        let server = session.session.server();
        if rabbitmq::is_activemq(server) {
            return Source::Fit;
        }
        let wanted = suspected || rabbitmq::is_rabbitmq(server) || destination.form() == Form::AmqQueue;
        let state = match destination.without_declaring().filter(|_| wanted) {
            Some(_) => self.look_at_queue(session, destination).await,
            None => QueueState::Unclear { why: "the broker cannot be asked".to_owned() },
        };
        match &state {
            QueueState::There { .. } => Source::Fit,
            QueueState::Denied { .. } | QueueState::Unclear { .. } if !suspected => Source::Unknown,
            QueueState::Denied { .. } | QueueState::Unclear { .. } => Source::Unfit(format!(
                "{destination} seems to be a RabbitMQ stream, since its messages carry {STREAM_OFFSET}; streams are not \
                 supported: a receiver gets only messages sent after it subscribed; use a classic or quorum queue"
            )),
            state => Source::Unfit(state.complaint(destination).unwrap_or_default()),
        }
    }

    /// Falls back to cumulative acknowledgement for later subscriptions where the broker knows no other.
    pub(super) async fn subscribe(
        &self,
        session: &::stomp::Session,
        destination: &Destination,
        prefetch: u32,
        exclusive: bool,
    ) -> Result<Subscription, SubscribeError> {
        let mut wanted = Subscribe::new(destination.as_str()).with_prefetch(prefetch);
        if exclusive {
            wanted.headers.push(("activemq.exclusive".to_owned(), "true".to_owned()));
        }
        if self.cumulative.load(Ordering::Relaxed) {
            wanted.mode = AckMode::Client;
        }
        match session.subscribe(&wanted).await {
            Ok(subscription) => Ok(Subscription::Stomp(subscription)),
            Err(error) => {
                if wanted.fall_back(&error) {
                    self.cumulative.store(true, Ordering::Relaxed);
                }
                let words = error.broker_text().unwrap_or_default();
                Err(SubscribeError(rabbitmq::remedy(destination, &words).unwrap_or_else(|| chain(&error))))
            }
        }
    }

    pub(super) async fn served(&self) {
        self.connector.lock().await.served();
    }
}

fn session_options(broker: &StompBroker, memory: &MemoryBudget) -> Result<SessionOptions, LinkError> {
    let login = match &broker.login {
        None => None,
        Some(login) => {
            let (name, passcode) = login.read()?;
            Some(Login { name, passcode: Zeroizing::new(passcode) })
        }
    };
    let frame = usize::try_from(broker.max_frame).unwrap_or(usize::MAX);
    Ok(SessionOptions {
        virtual_host: broker.virtual_host.clone(),
        login,
        heart_beat: HeartBeat { outgoing: broker.heart_beat, incoming: broker.heart_beat, ..HeartBeat::default() },
        connected_timeout: broker.connect_timeout,
        receipt_timeout: broker.receipt_timeout,
        limits: Limits { body: frame, ..Limits::default() },
        memory: memory.clone(),
        ..SessionOptions::default()
    })
}

/// What to do about an error of a broker that concerns `destination` and no message; `None` where it does not.
pub fn remedy(destination: &super::Destination, words: &str) -> Option<String> {
    let super::Destination::Stomp(destination) = destination else { return None };
    rabbitmq::names(words, destination).then(|| rabbitmq::remedy(destination, words)).flatten()
}
