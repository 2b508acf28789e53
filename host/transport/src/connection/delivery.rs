//! Receiving on a session.

use bytes::Bytes;

use super::ams::{Ack, Pulled};
use super::{ID, PING, SendFailure};
use ::stomp::Reservation;

/// The header by which RabbitMQ says how often a quorum queue delivered a message before (3.10.8: absent the first time).
/// Nothing verifies it.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// A subscription. After it is dropped, what still comes for it stays with the broker.
#[derive(Debug)]
pub enum Subscription {
    /// To a destination of STOMP.
    Stomp(::stomp::Subscription),
    /// To a subscription of AMS.
    Ams(Pulled),
}

impl Subscription {
    /// The next delivery; `None` when the session is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        match self {
            Self::Stomp(subscription) => subscription.next().await.map(Delivery::from),
            Self::Ams(pulled) => pulled.next().await,
        }
    }
}

/// A message from a broker. It holds its share of the memory budget until it is dropped.
#[derive(Debug)]
#[must_use = "a delivery that is dropped comes again after the session"]
pub struct Delivery {
    /// The headers as they came, fit for plugins; nothing in them was verified.
    pub headers: Vec<(String, String)>,
    /// The body; bytes of any kind.
    pub body: Bytes,
    /// The length of a body that is over the limit and was not read, in bytes; `body` is empty then. Such a delivery is not to
    /// be acknowledged: the broker has the only copy.
    pub oversized: Option<u64>,
    /// Why nothing can be read in it; `body` is what came instead. It will not get better.
    pub unreadable: Option<String>,
    /// The id that the broker gave it.
    pub broker_id: Option<String>,
    /// Whether the broker says that it delivered this message before: a hint.
    pub redelivered: bool,
    /// What acknowledges it.
    pub token: AckToken,
    /// Its share of the memory budget.
    pub memory: Option<Reservation>,
}

impl Delivery {
    /// The message's id in the headers, which nothing verifies.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.header(ID)
    }

    /// A header, the first of that name.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it looks as if it came from a stream, of which an ACK removes nothing. A sender may write this header too.
    #[must_use]
    pub fn may_be_from_a_stream(&self) -> bool {
        self.header(super::STREAM_OFFSET).is_some()
    }

    /// How often the broker says that it delivered this message before, as it says it.
    #[must_use]
    pub fn delivered(&self) -> Option<&str> {
        self.header(DELIVERY_COUNT)
    }

    /// Whether it is the empty message by which old receivers kept their connection open. One with a body is a message like
    /// any other.
    #[must_use]
    pub fn is_ping(&self) -> bool {
        self.id() == Some(PING) && self.body.is_empty() && self.unreadable.is_none()
    }
}

impl From<::stomp::Delivery> for Delivery {
    fn from(delivery: ::stomp::Delivery) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            redelivered: delivery.redelivered(),
            headers: delivery.headers.iter().map(|(name, value)| (text(name), text(value))).collect(),
            body: delivery.body,
            oversized: delivery.oversized,
            unreadable: None,
            broker_id: None,
            token: AckToken::Stomp(delivery.token),
            memory: delivery.memory,
        }
    }
}

/// The right to acknowledge one delivery, once. Dropped unused, the message stays with the broker.
#[derive(Debug)]
#[must_use = "a delivery is acknowledged only through its token"]
pub enum AckToken {
    /// By an ACK frame.
    Stomp(::stomp::AckToken),
    /// With the others of its pull.
    Ams(Ack),
}

impl AckToken {
    /// Acknowledges on the session that delivered. Does not block.
    ///
    /// # Errors
    /// [`SendFailure::Unanswered`] if that session is over; the broker will deliver the message again.
    pub fn acknowledge(self) -> Result<(), SendFailure> {
        match self {
            Self::Stomp(token) => token.acknowledge().map_err(SendFailure::from),
            Self::Ams(ack) => ack.settle(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::stomp::session::{Session, SessionOptions, Subscribe};
    use testkit::broker::{Broker, Headers};
    use tokio::net::TcpStream;

    use super::*;

    /// SSM drops every message labelled as a ping.
    #[tokio::test]
    async fn only_an_empty_message_is_a_ping() {
        let broker = Broker::start(None).await.unwrap();
        for (id, body, ping) in [
            ("ping", "", true),
            ("ping", "x", false),
            ("ping", "\n", false),
            ("PING", "", false),
            ("ping ", "", false),
            ("6b031234/6b03126398f937", "", false),
        ] {
            broker.put("/queue/a", Headers::new().with(ID, id), body);
            let stream = TcpStream::connect(broker.address()).await.unwrap();
            let session = Session::open(stream, SessionOptions::default()).await.unwrap();
            let mut subscription = Subscription::Stomp(session.subscribe(&Subscribe::new("/queue/a")).await.unwrap());
            let delivery = tokio::time::timeout(Duration::from_secs(5), subscription.next()).await.unwrap().unwrap();
            assert_eq!((delivery.id(), delivery.is_ping()), (Some(id), ping), "{body:?}");
            delivery.token.acknowledge().unwrap();
            session.disconnect(Duration::from_secs(5)).await;
        }
    }
}
