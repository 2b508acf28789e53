//! A session with a broker.
//!
//! [`Session::open`] performs the handshake on any stream and starts a task (`task.rs`) that owns the stream;
//! [`Session`] is a cheap handle to that task. The logic of the task is in `core.rs`, without I/O.
//!
//! # Sending
//! [`Session::send`] queues a frame, waiting while the queue is full, and returns a [`PendingReceipt`]. Any number of
//! them may be outstanding; each is answered by its own RECEIPT, in any order, or fails when the session ends.
//!
//! # Receiving
//! A [`Subscription`] yields [`Delivery`]s. Before the session reads the body of a MESSAGE, it reserves memory from the
//! budget that all sessions share. While the budget is exhausted it does not read, and missing heart-beats of the
//! broker do not count. A delivery is acknowledged through its [`AckToken`].
//!
//! # End
//! A session ends once, for one reason ([`Closed`]); the connector opens a new one. After a failed write the session
//! goes on reading for a second, since brokers send ERROR and close while this side is still writing.
//!
//! Brokers refuse an ACK after UNSUBSCRIBE, so none is sent. To stop without redeliveries, stop taking deliveries,
//! acknowledge those that are processed, and [`disconnect`](Session::disconnect).

mod clock;
mod core;
mod delivery;
mod error;
mod handshake;
mod options;
mod outbox;
mod receipts;
mod subscriptions;
mod task;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub use self::delivery::{AckToken, Delivery, Subscription};
pub use self::error::{Closed, OpenError, ProtocolError, SendFailure, SessionError};
pub use self::options::{AckMode, HeartBeat, Login, SendFrame, SessionOptions, Subscribe};
pub use self::receipts::Receipt;

use self::core::{Core, Parts, Request};
use self::handshake::{Connected, shake_hands};
use self::receipts::receipt_id;
use self::subscriptions::Entry;
use self::task::{Intake, Task};
use crate::encode::{EncodeError, encode_head};
use crate::frame::{Command, Version};

/// Maximum number of requests that wait for the session's task.
const QUEUED_REQUESTS: usize = 64;
/// Headers that a caller must not add, in addition to those that the session sets.
const RESERVED: [&str; 2] = ["content-length", "transaction"];

/// A handle to a session. Clones refer to the same session; dropping the last one closes the connection.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    closed: watch::Receiver<Option<Arc<Closed>>>,
}

#[derive(Debug)]
struct Shared {
    version: Version,
    server: String,
    /// A random prefix of receipt ids, so that no receipt of another connection matches.
    epoch: Arc<str>,
    next: AtomicU64,
}

impl Session {
    /// Performs the handshake on `stream` and starts the session's task.
    ///
    /// # Errors
    /// [`OpenError`] if the broker does not answer with CONNECTED in time.
    pub async fn open<S>(mut stream: S, options: SessionOptions) -> Result<Self, OpenError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let after = options.connected_timeout;
        let connected = timeout(after, shake_hands(&mut stream, &options))
            .await
            .map_err(|_| OpenError::NotConnectedInTime { after })??;
        Ok(Self::start(stream, connected, options))
    }

    fn start<S>(stream: S, connected: Connected, options: SessionOptions) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Connected { version, heart_beat, server, decoder, input } = connected;
        let epoch: Arc<str> = format!("{:012x}", fastrand::u64(..1 << 48)).into();
        let (requests, request_queue) = mpsc::channel(QUEUED_REQUESTS);
        let (acks, ack_queue) = mpsc::unbounded_channel();
        let (ended, closed) = watch::channel(None);
        let (reader, writer) = tokio::io::split(stream);
        let memory = options.memory.clone();
        let (own_closed, own_epoch) = (closed.clone(), Arc::clone(&epoch));
        let parts = Parts { version, epoch: own_epoch, heart_beat, options, acks, closed: own_closed };
        let task = Task {
            reader,
            writer,
            input,
            decoder,
            core: Core::new(parts),
            memory,
            requests: request_queue,
            acks: ack_queue,
            closed: ended,
            intake: Intake::default(),
        };
        tokio::spawn(task.run());
        let shared = Arc::new(Shared { version, server, epoch, next: AtomicU64::new(1) });
        Self { shared, requests, closed }
    }

    /// The agreed version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.shared.version
    }

    /// The `server` header of CONNECTED, escaped; empty if there is none.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// Queues a message, waiting while the queue is full. The [`PendingReceipt`] resolves to the answer.
    ///
    /// Cancel-safe: if the future is dropped while it waits, nothing is sent.
    ///
    /// # Errors
    /// [`SessionError::Unsendable`] for headers that cannot be written, [`SessionError::Closed`] if the session has
    /// ended.
    pub async fn send(&self, frame: SendFrame) -> Result<PendingReceipt, SendFailure> {
        let receipt = self.number();
        let id = receipt_id(&self.shared.epoch, receipt);
        let length = frame.body.len().to_string();
        let own = [
            ("destination", frame.destination.as_str()),
            ("content-length", &length),
            ("persistent", "true"),
            ("receipt", &id),
        ];
        let head = self.head(Command::Send, &own, &frame.headers)?;
        let (reply, answer) = oneshot::channel();
        self.request(Request::Send { head, body: frame.body, receipt, reply }).await?;
        Ok(PendingReceipt { answer, closed: self.closed.clone() })
    }

    /// Subscribes and waits until the broker has accepted the subscription (its RECEIPT, or a first MESSAGE).
    ///
    /// # Errors
    /// [`SessionError`]; a refusal ends the session. [`Subscribe::fall_back`] decides whether to retry with the other
    /// acknowledgement mode.
    pub async fn subscribe(&self, subscribe: &Subscribe) -> Result<Subscription, SessionError> {
        let (number, receipt) = (self.number(), self.number());
        // STOMP 1.0 has only auto and client, and a broker may treat an unknown mode as auto.
        let mode = if self.shared.version == Version::V1_0 { AckMode::Client } else { subscribe.mode };
        let head = self.subscribe_head(subscribe, mode, number, receipt)?;
        let (sender, deliveries) = mpsc::unbounded_channel();
        let (accepted, answer) = oneshot::channel();
        let entry = Entry {
            destination: subscribe.destination.clone(),
            mode,
            deliveries: sender,
            accepted: Some(accepted),
            next_sequence: 0,
            prefix: subscriptions::Prefix::default(),
            ending: false,
        };
        self.request(Request::Subscribe { head, receipt, number, entry }).await?;
        answer.await.unwrap_or_else(|_| Err(self.over()))?;
        Ok(Subscription { number, deliveries, session: self.clone() })
    }

    fn subscribe_head(
        &self,
        subscribe: &Subscribe,
        mode: AckMode,
        number: u64,
        receipt: u64,
    ) -> Result<Bytes, EncodeError> {
        let (prefetch_count, prefetch_size) = subscribe.prefetch_counts();
        let own = [
            ("id", number.to_string().as_str()),
            ("destination", &subscribe.destination),
            ("ack", mode.as_str()),
            ("prefetch-count", &prefetch_count),
            ("activemq.prefetchSize", &prefetch_size),
            ("consumer-window-size", &subscribe.window_bytes.to_string()),
            ("receipt", &receipt_id(&self.shared.epoch, receipt)),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let own = own.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.head(Command::Subscribe, &own, &subscribe.headers)
    }

    /// Ends a subscription and waits for the broker's RECEIPT. Earlier deliveries can still be taken, but their tokens
    /// no longer acknowledge anything: the broker keeps the messages.
    ///
    /// # Errors
    /// [`SessionError`]
    pub async fn unsubscribe(&self, subscription: &Subscription) -> Result<(), SessionError> {
        let (number, receipt) = (subscription.number, self.number());
        let id = receipt_id(&self.shared.epoch, receipt);
        let head = self.head(Command::Unsubscribe, &[("id", &number.to_string()), ("receipt", &id)], &[])?;
        let (reply, answer) = oneshot::channel();
        self.request(Request::Unsubscribe { head, receipt, number, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(self.over()))
    }

    /// Sends all queued frames, every ACK given so far and DISCONNECT, and waits up to `grace` for its RECEIPT. The
    /// connection is closed in any case.
    ///
    /// `true` means that the broker has processed everything before the DISCONNECT; `false` that it may have missed
    /// ACKs and may redeliver those messages.
    pub async fn disconnect(&self, grace: Duration) -> bool {
        let receipt = self.number();
        let id = receipt_id(&self.shared.epoch, receipt);
        let Ok(head) = self.head(Command::Disconnect, &[("receipt", &id)], &[]) else {
            return false;
        };
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.request(Request::Disconnect { head, receipt, grace, reply }).await.is_ok() && answer.await.is_ok()
        };
        timeout(grace, exchange).await.unwrap_or(false)
    }

    /// Waits for the end of the session and returns the reason.
    pub async fn closed(&self) -> Arc<Closed> {
        let mut closed = self.closed.clone();
        let _ = closed.wait_for(Option::is_some).await;
        reason(&closed)
    }

    /// Why the session ended; `None` while it is open.
    #[must_use]
    pub fn ended(&self) -> Option<Arc<Closed>> {
        self.closed.borrow().clone()
    }

    fn number(&self) -> u64 {
        self.shared.next.fetch_add(1, Ordering::Relaxed)
    }

    fn over(&self) -> SessionError {
        SessionError::Closed(reason(&self.closed))
    }

    async fn request(&self, request: Request) -> Result<(), SessionError> {
        self.requests.send(request).await.map_err(|_| self.over())
    }

    fn head(&self, command: Command, own: &[(&str, &str)], more: &[(String, String)]) -> Result<Bytes, EncodeError> {
        let taken = |name: &str| RESERVED.contains(&name) || own.iter().any(|(own, _)| *own == name);
        if let Some((name, _)) = more.iter().find(|(name, _)| taken(name)) {
            return Err(EncodeError::Reserved { header: name.clone() });
        }
        let own = own.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let more = more.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut head = BytesMut::with_capacity(256);
        encode_head(&mut head, Some(self.shared.version), command, own.chain(more))?;
        Ok(head.freeze())
    }
}

/// The pending answer to one SEND.
#[derive(Debug)]
#[must_use = "only a RECEIPT confirms that the broker has the message"]
pub struct PendingReceipt {
    answer: oneshot::Receiver<Result<Receipt, SendFailure>>,
    closed: watch::Receiver<Option<Arc<Closed>>>,
}

impl Future for PendingReceipt {
    type Output = Result<Receipt, SendFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let closed = self.closed.clone();
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(SendFailure::Closed(reason(&closed)))))
    }
}

/// Why a session ended. If its task vanished without a reason (the runtime was shut down), this side closed it.
fn reason(closed: &watch::Receiver<Option<Arc<Closed>>>) -> Arc<Closed> {
    closed.borrow().clone().unwrap_or_else(|| Arc::new(Closed::ByUs))
}

#[cfg(test)]
mod tests;
