//! Deliveries and their acknowledgement.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::error::{Closed, SessionError};
use super::{Session, reason};
use crate::budget::Reservation;
use crate::frame::Headers;

/// One MESSAGE frame. It keeps its memory reserved until it is dropped.
#[derive(Debug)]
#[must_use = "a dropped delivery is redelivered after the session"]
pub struct Delivery {
    /// The headers as received, unverified.
    pub headers: Headers,
    /// The body: arbitrary bytes.
    pub body: Bytes,
    /// The length in bytes of a body over the limit, which was skipped; `body` is then empty. Do not acknowledge such a
    /// delivery: the broker has the only copy.
    pub oversized: Option<u64>,
    /// Acknowledges the delivery.
    pub token: AckToken,
    /// The memory reserved for it.
    pub memory: Option<Reservation>,
}

impl Delivery {
    /// Whether the broker marks the message as redelivered. Only a hint: brokers also mark messages that they never
    /// sent.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.headers.text("redelivered") == Some("true")
    }

    /// The `destination` header, for logs only: the `subscription` header decides to which subscription a delivery
    /// belongs.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.headers.text("destination").unwrap_or_default()
    }
}

/// Permits one acknowledgement of one delivery. If it is dropped unused, the broker keeps the message.
#[derive(Debug)]
#[must_use = "a delivery is acknowledged only through its token"]
pub struct AckToken {
    pub(super) ack: Ack,
    pub(super) acks: mpsc::UnboundedSender<Ack>,
    pub(super) closed: watch::Receiver<Option<Arc<Closed>>>,
}

impl AckToken {
    /// Queues an ACK on the session that delivered the message. Does not block.
    ///
    /// # Errors
    /// [`SessionError::Closed`] if that session has ended; the broker redelivers the message.
    pub fn acknowledge(self) -> Result<(), SessionError> {
        if let Some(closed) = self.closed.borrow().clone() {
            return Err(SessionError::Closed(closed));
        }
        self.acks.send(self.ack).map_err(|_| SessionError::Closed(reason(&self.closed)))
    }
}

/// An acknowledgement for the session's task.
#[derive(Debug)]
pub(super) struct Ack {
    /// Number of the subscription.
    pub(super) subscription: u64,
    /// Position of the delivery in its subscription.
    pub(super) sequence: u64,
    /// The broker's id of the delivery.
    pub(super) id: Bytes,
}

/// A subscription. If it is dropped, further deliveries are discarded unacknowledged.
#[derive(Debug)]
pub struct Subscription {
    pub(super) number: u64,
    pub(super) deliveries: mpsc::UnboundedReceiver<Delivery>,
    pub(super) session: Session,
}

impl Subscription {
    /// The next delivery. `None` if the session has ended (the broker redelivers what was not taken), or if all
    /// deliveries are taken after [`Session::unsubscribe`].
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        let mut closed = self.session.closed.clone();
        tokio::select! {
            biased;
            _ = closed.wait_for(Option::is_some) => None,
            delivery = self.deliveries.recv() => delivery,
        }
    }

    /// Number of deliveries that wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.deliveries.len()
    }
}
