//! Sending on a session.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::ams::{AmsSession, Published};
use super::{Closed, Destination, ID, PING, SendFailure};
use ::stomp::{Promise, SendFrame, rabbitmq};

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Where to.
    pub destination: Destination,
    /// The message's id.
    pub id: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The sealed message.
    pub body: Bytes,
}

/// The proof that a broker confirmed a message. What that means for a destination is a [`Proof`].
#[derive(Debug)]
pub enum Receipt {
    /// A RECEIPT frame.
    Stomp(::stomp::Receipt),
    /// The id that AMS gave a message.
    Ams {
        /// The message's id.
        message: String,
        /// AMS's id.
        id: ::ams::MessageId,
    },
}

impl Receipt {
    /// The message's id, and the id under which AMS stored it, fit to be shown.
    #[must_use]
    pub fn stored_as(&self) -> Option<(&str, String)> {
        match self {
            Self::Stomp(_) => None,
            Self::Ams { message, id } => Some((message, id.to_string())),
        }
    }
}

/// What proves that the broker keeps a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The receipt, or the configuration allows that it proves nothing.
    Receipt,
    /// The broker must be asked for the queue before the first message and after receipts; without an answer nothing is
    /// sent.
    Queue,
    /// The same; without an answer a receipt counts, for sending declares the queue.
    QueueOrReceipt,
}

/// An open session. Clones are the same session.
#[derive(Clone, Debug)]
pub enum Session {
    /// With a STOMP broker.
    Stomp(::stomp::Session),
    /// With AMS.
    Ams(AmsSession),
}

impl Session {
    /// Name and version of the broker as it says, fit to be shown.
    #[must_use]
    pub fn server(&self) -> &str {
        match self {
            Self::Stomp(session) => session.server(),
            Self::Ams(_) => "AMS",
        }
    }

    /// The protocol, and the broker as it calls itself, fit to be shown.
    #[must_use]
    pub fn peer(&self) -> String {
        match self {
            Self::Stomp(session) if session.server().is_empty() => format!("STOMP {}", session.version()),
            Self::Stomp(session) => format!("STOMP {}, {}", session.version(), session.server()),
            Self::Ams(session) => match session.version() {
                Some(version) => format!("AMS {version}"),
                None => "AMS of an unknown version".to_owned(),
            },
        }
    }

    /// What proves that a message for `destination` is kept.
    #[must_use]
    pub fn proof(&self, destination: &Destination) -> Proof {
        match (self, destination) {
            (Self::Stomp(session), Destination::Stomp(destination)) => proof(destination, session.server()),
            _ => Proof::Receipt,
        }
    }

    /// Queues a message; the answer comes by the [`PendingReceipt`]. Cancel-safe: dropped while it waits, nothing is sent.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn send(&self, message: Outbound) -> Result<PendingReceipt, SendFailure> {
        let session = match self {
            Self::Stomp(session) => session,
            Self::Ams(session) => return Ok(PendingReceipt::Ams(session.send(message).await?)),
        };
        let Outbound { destination, id, headers, body } = message;
        let mut all = vec![(ID.to_owned(), id)];
        all.extend(headers);
        let frame = SendFrame { destination: destination.to_string(), headers: all, body };
        Ok(PendingReceipt::Stomp(session.send(frame).await?))
    }

    /// Whether an empty message shows that the broker takes messages. AMS says of each message what became of it, and
    /// receivers of SSM reject an empty one that comes from AMS.
    #[must_use]
    pub fn takes_probes(&self) -> bool {
        matches!(self, Self::Stomp(_))
    }

    /// Finds out whether the broker takes anything for `destination`, by an empty message that every receiver ignores.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn probe(&self, destination: Destination) -> Result<PendingReceipt, SendFailure> {
        let (id, headers, body) = (PING.to_owned(), Vec::new(), Bytes::new());
        self.send(Outbound { destination, id, headers, body }).await
    }

    /// Why the broker would not take a message of this size; `None` if it would.
    #[must_use]
    pub fn too_large(&self, message: &Outbound) -> Option<String> {
        match self {
            // The limit of a frame is the broker's own affair, and sealing has ours.
            Self::Stomp(_) => None,
            Self::Ams(session) => session.too_large(message),
        }
    }

    /// Waits until the session is over and says why.
    pub async fn closed(&self) -> Closed {
        match self {
            Self::Stomp(session) => Closed::Stomp(session.closed().await),
            Self::Ams(session) => Closed::Ams(session.closed().await),
        }
    }

    /// Ends the session once everything given so far is confirmed, or after `grace`.
    pub async fn disconnect(&self, grace: Duration) -> bool {
        match self {
            Self::Stomp(session) => session.disconnect(grace).await,
            Self::Ams(session) => session.disconnect(grace).await,
        }
    }
}

fn proof(destination: &::stomp::Destination, server: &str) -> Proof {
    match (destination.promise(), rabbitmq::is_rabbitmq(server)) {
        (Promise::Held, true) => Proof::QueueOrReceipt,
        (Promise::HeldIfProved, _) if !rabbitmq::is_activemq(server) => Proof::Queue,
        _ => Proof::Receipt,
    }
}

/// The answer to one message, still to come.
#[derive(Debug)]
#[must_use = "only its receipt says that the broker has a message"]
pub enum PendingReceipt {
    /// A RECEIPT frame.
    Stomp(::stomp::PendingReceipt),
    /// An id.
    Ams(Published),
}

impl Future for PendingReceipt {
    type Output = Result<Receipt, SendFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Stomp(pending) => {
                Pin::new(pending).poll(context).map(|answer| answer.map(Receipt::Stomp).map_err(SendFailure::from))
            }
            Self::Ams(pending) => Pin::new(pending).poll(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_that_a_message_is_kept_depends_on_the_broker() {
        let on = |server: &str| {
            ["/queue/a", "/amq/queue/a", "/topic/a", "/exchange/a"]
                .map(|text| proof(&::stomp::Destination::parse(text), server))
        };
        let (receipt, queue) = (Proof::Receipt, Proof::Queue);
        assert_eq!(on("RabbitMQ/3.10.8"), [Proof::QueueOrReceipt, queue, receipt, receipt]);
        assert_eq!(on("ActiveMQ/5.17.2"), [receipt; 4]);
        assert_eq!(on(""), [receipt, queue, receipt, receipt], "RabbitMQ may hide its name");
    }
}
