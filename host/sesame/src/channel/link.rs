//! The connection of a channel to its broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use message::locked;
use tokio::sync::Mutex as AsyncMutex;
use zeroize::Zeroizing;

use super::{Identity, SetupError};
use crate::config;
use stomp::{
    Address, Connector, HeartBeat, Limits, Login, MemoryBudget, OwnCertificate, QueueState, Session, SessionOptions,
    Timing, rabbitmq,
};

/// How long a link waits after the broker refused a request.
const PENALTY: Duration = Duration::from_secs(5);

/// The link to a broker: its address, our identity, and the back-off between attempts.
#[derive(Debug)]
pub struct Link {
    connector: AsyncMutex<Connector>,
    cumulative: AtomicBool,
    rest_until: Mutex<Option<Instant>>,
}

/// An open session and the broker it is with.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The session.
    pub session: Session,
    /// `host:port` of the broker.
    pub broker: Arc<str>,
}

fn broker_name(connector: &Connector) -> Arc<str> {
    connector.broker().map(ToString::to_string).unwrap_or_default().into()
}

impl Link {
    /// A link to `broker` for `identity`.
    ///
    /// # Errors
    /// [`SetupError`] where TLS or the login cannot be set up.
    pub fn new(broker: &config::Broker, identity: &Identity, memory: &MemoryBudget) -> Result<Self, SetupError> {
        let tls = if broker.tls {
            let credential = Some(Arc::clone(&identity.credential));
            Some(trust::tls::client_config(Arc::clone(&identity.trust), credential, broker.allow_cn)?)
        } else {
            None
        };
        let options = session_options(broker, memory)?;
        let timing = Timing { attempt: broker.connect_timeout, ..Timing::default() };
        let mut connector = Connector::new(broker.hosts.clone(), tls, options).with_timing(timing);
        if broker.tls {
            let own = Arc::clone(&identity.credential);
            let faults = move || trust::tls::client_faults(&own.current(), SystemTime::now());
            connector = connector.with_own_certificate(OwnCertificate::new(faults));
        }
        Ok(Self {
            connector: AsyncMutex::new(connector),
            cumulative: AtomicBool::new(false),
            rest_until: Mutex::new(None),
        })
    }

    /// Connects, however long it takes. Dropping the future stops it.
    pub async fn connect(&self) -> Connected {
        let rest = locked(&self.rest_until).take();
        if let Some(until) = rest {
            tokio::time::sleep_until(until.into()).await;
        }
        let mut connector = self.connector.lock().await;
        let session = connector.connect().await;
        Connected { session, broker: broker_name(&connector) }
    }

    /// Tries each broker once.
    ///
    /// # Errors
    /// What went wrong with each.
    pub async fn connect_once(&self) -> Result<Connected, Vec<(Address, stomp::ConnectError)>> {
        let mut connector = self.connector.lock().await;
        let session = connector.connect_once().await?;
        Ok(Connected { session, broker: broker_name(&connector) })
    }

    /// Asks the broker of an open session about the queue of `destination`. Uses a second connection, since RabbitMQ closes the
    /// one on which it is asked.
    pub async fn look_at_queue(&self, session: &Connected, destination: &str) -> QueueState {
        let beside = self.connector.lock().await.to(&session.broker);
        let Some(mut beside) = beside else {
            return QueueState::Unclear { why: format!("{} is not in the list of brokers", session.broker) };
        };
        match beside.connect_beside().await {
            Ok(asked) => rabbitmq::look_at_queue(&asked, destination).await,
            Err(failures) => {
                let why: Vec<String> = failures.iter().map(|(_, error)| message::cause::chain(error)).collect();
                QueueState::Unclear { why: why.join("; ") }
            }
        }
    }

    /// Resets the back-off: the broker took messages in the last session.
    pub async fn served(&self) {
        self.connector.lock().await.served();
    }

    /// Delays the next connection: the broker refused a request.
    pub fn penalise(&self) {
        *locked(&self.rest_until) = Some(Instant::now() + PENALTY);
    }

    /// Whether this broker knows only cumulative ACKs.
    #[must_use]
    pub fn cumulative_acks(&self) -> bool {
        self.cumulative.load(Ordering::Relaxed)
    }

    /// Makes later subscriptions ask for cumulative ACKs.
    pub fn use_cumulative_acks(&self) {
        self.cumulative.store(true, Ordering::Relaxed);
    }
}

fn session_options(broker: &config::Broker, memory: &MemoryBudget) -> Result<SessionOptions, SetupError> {
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
