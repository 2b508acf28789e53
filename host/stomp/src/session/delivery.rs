//! Messages as they are handed over, and what acknowledges them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::error::{Closed, SessionError};
use super::{Session, reason};
use crate::budget::Reservation;
use crate::frame::Headers;

/// One MESSAGE frame. It holds its share of the memory budget until it is dropped.
#[derive(Debug)]
#[must_use = "a delivery that is dropped comes again after the session"]
pub struct Delivery {
    /// The headers as they came; nothing in them was verified.
    pub headers: Headers,
    /// The body; bytes of any kind.
    pub body: Bytes,
    /// The length of a body that is over the limit and was not read, in bytes; `body` is empty then. Such a delivery is not to
    /// be acknowledged: the broker has the only copy.
    pub oversized: Option<u64>,
    /// What acknowledges it.
    pub token: AckToken,
    /// Its share of the memory budget.
    pub memory: Option<Reservation>,
}

impl Delivery {
    /// Whether the broker says that it delivered this message before. A hint: brokers also set it on messages that never
    /// left them.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.headers.text("redelivered") == Some("true")
    }

    /// The destination the broker names, for logs; which subscription a delivery belongs to is decided without it.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.headers.text("destination").unwrap_or_default()
    }
}

/// The right to acknowledge one delivery, once. Dropped unused, the message stays with the broker.
#[derive(Debug)]
#[must_use = "a delivery is acknowledged only through its token"]
pub struct AckToken {
    pub(super) ack: Ack,
    pub(super) acks: mpsc::UnboundedSender<Ack>,
    pub(super) closed: watch::Receiver<Option<Arc<Closed>>>,
}

impl AckToken {
    /// Acknowledges on the session that delivered, whichever sessions there are by now. Does not block.
    ///
    /// # Errors
    /// [`SessionError::Closed`] if that session is over; the broker will deliver the message again.
    pub fn acknowledge(self) -> Result<(), SessionError> {
        if let Some(closed) = self.closed.borrow().clone() {
            return Err(SessionError::Closed(closed));
        }
        self.acks.send(self.ack).map_err(|_| SessionError::Closed(reason(&self.closed)))
    }
}

/// An acknowledgement on its way to the session's task.
#[derive(Debug)]
pub(super) struct Ack {
    /// Number of the subscription.
    pub(super) subscription: u64,
    /// Place of the delivery in its subscription.
    pub(super) sequence: u64,
    /// What the broker calls it.
    pub(super) id: Bytes,
}

/// A subscription. Dropped, what still comes for it is discarded unacknowledged.
#[derive(Debug)]
pub struct Subscription {
    pub(super) number: u64,
    pub(super) deliveries: mpsc::UnboundedReceiver<Delivery>,
    pub(super) session: Session,
}

impl Subscription {
    /// The next delivery; `None` when the session is over (then what was not handed over yet is left to the broker, which
    /// delivers it again) or after [`Session::unsubscribe`] when all is handed over.
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

    /// How many deliveries wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.deliveries.len()
    }
}
