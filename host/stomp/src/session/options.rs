//! Options of a session and of its requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::budget::MemoryBudget;
use crate::counters::Counters;
use crate::decode::Limits;

/// Options of a session, the same for every connection of a channel. Clones share memory budget and counters.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The `host` header of CONNECT.
    pub virtual_host: String,
    /// User name and password, for brokers that require them with or without a client certificate.
    pub login: Option<Login>,
    /// Heart-beats in both directions.
    pub heart_beat: HeartBeat,
    /// Deadline for CONNECTED.
    pub connected_timeout: Duration,
    /// Deadline for a RECEIPT, from the time its frame is written.
    pub receipt_timeout: Duration,
    /// How long an incomplete frame may arrive at less than a kilobyte per second.
    pub frame_deadline: Duration,
    /// Limits on what the broker may send.
    pub limits: Limits,
    /// Memory for deliveries, shared with other sessions.
    pub memory: MemoryBudget,
    /// What is counted, shared by clones.
    pub counters: Arc<Counters>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            virtual_host: "/".to_owned(),
            login: None,
            heart_beat: HeartBeat::default(),
            connected_timeout: Duration::from_secs(15),
            receipt_timeout: Duration::from_secs(60),
            frame_deadline: Duration::from_secs(120),
            limits: Limits::default(),
            memory: MemoryBudget::default(),
            counters: Arc::default(),
        }
    }
}

/// A user name and a password. The password is wiped on drop; `Debug` shows neither.
#[derive(Clone)]
pub struct Login {
    /// The `login` header.
    pub name: String,
    /// The `passcode` header.
    pub passcode: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(not shown)")
    }
}

/// The heart-beats offered. The longer interval of both sides applies in each direction, none if either side offers 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartBeat {
    /// The interval at which this side can send; zero for none.
    pub outgoing: Duration,
    /// The interval at which this side wants to receive; zero for none.
    pub incoming: Duration,
    /// Added to twice the incoming interval before the session ends.
    pub grace: Duration,
    /// The shortest interval honoured, whatever was negotiated.
    pub shortest: Duration,
}

impl Default for HeartBeat {
    /// 10 s both ways, 1 s of grace, never below 500 ms.
    fn default() -> Self {
        Self {
            outgoing: Duration::from_secs(10),
            incoming: Duration::from_secs(10),
            grace: Duration::from_secs(1),
            shortest: Duration::from_millis(500),
        }
    }
}

/// A message to send. The session adds `content-length`, `persistent:true` and `receipt`.
#[derive(Clone, Debug)]
pub struct SendFrame {
    /// The destination.
    pub destination: String,
    /// Further headers, such as `empa-id`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// How deliveries of a subscription are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// One by one.
    ClientIndividual,
    /// Cumulatively: an ACK covers all earlier deliveries, so that only the contiguous acknowledged part is sent.
    Client,
}

impl AckMode {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ClientIndividual => "client-individual",
            Self::Client => "client",
        }
    }
}

/// A subscription request.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// The destination.
    pub destination: String,
    /// Maximum number of unacknowledged deliveries (`prefetch-count`, `activemq.prefetchSize`); `None` for no
    /// deliveries at all.
    pub prefetch: Option<u32>,
    /// The same limit in bytes, for brokers that count bytes (`consumer-window-size`, Artemis).
    pub window_bytes: u64,
    /// The requested mode. STOMP 1.0 has only `client`.
    pub mode: AckMode,
    /// Further headers, such as `selector`.
    pub headers: Vec<(String, String)>,
}

impl Subscribe {
    /// A subscription to `destination` with individual acknowledgement and a prefetch of 128 deliveries and 16 MiB.
    #[must_use]
    pub fn new(destination: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            prefetch: Some(128),
            window_bytes: 16 * 1024 * 1024,
            mode: AckMode::ClientIndividual,
            headers: Vec::new(),
        }
    }

    /// This request with another prefetch.
    #[must_use]
    pub fn with_prefetch(mut self, prefetch: u32) -> Self {
        self.prefetch = Some(prefetch);
        self
    }

    /// A subscription with a stream offset and no prefetch, which RabbitMQ refuses for every queue that is not a
    /// stream; see [`rabbitmq`](crate::rabbitmq).
    #[must_use]
    pub(crate) fn to_be_refused(destination: impl Into<String>) -> Self {
        Self {
            prefetch: None,
            window_bytes: 0,
            headers: vec![("x-stream-offset".to_owned(), "next".to_owned())],
            ..Self::new(destination)
        }
    }

    /// The prefetch headers for RabbitMQ and for ActiveMQ. For RabbitMQ, 0 means unlimited and -1 none.
    pub(super) fn prefetch_counts(&self) -> (String, String) {
        match self.prefetch {
            Some(count) => (count.to_string(), count.to_string()),
            None => ("-1".to_owned(), "0".to_owned()),
        }
    }

    /// Changes to [`AckMode::Client`] if `error` shows that the broker does not support the individual mode. Returns
    /// whether the mode changed: the subscription can then be retried on a new session.
    pub fn fall_back(&mut self, error: &super::SessionError) -> bool {
        let text = error.broker_text().unwrap_or_default().to_ascii_lowercase();
        let about_mode = text.contains("client-individual")
            || text.contains("ack mode")
            || text.contains("ack-mode")
            || text.contains("acknowledge mode")
            || text.contains("acknowledgement mode");
        let changes = about_mode && self.mode == AckMode::ClientIndividual;
        if changes {
            self.mode = AckMode::Client;
        }
        changes
    }
}
