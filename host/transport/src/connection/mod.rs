//! Connections to brokers: each question has one answer for either protocol.

mod ams;
mod bookmark;
mod closed;
mod counts;
mod delivery;
mod link;
mod proof;
mod session;
mod stomp;

use std::sync::Arc;

use trust::{CredentialSource, Trust};

use crate::destination::Destination;

pub use self::ams::{AmsClosed, AmsSession, Examined};
pub use self::stomp::{StompLink, remedy};
pub use ::stomp::Reservation;
pub use bookmark::{Bookmark, Position, PositionError, Positions};
pub use closed::{Closed, SendFailure, SubscribeError};
pub use counts::{LinkCounters, LinkCounts};
pub use delivery::{AckToken, Delivery, Subscription};

pub use link::{Connected, Link, LinkError, QueueAnswer, Source, Taking, properties, too_large};
pub use proof::{Confirmed, FirstLook, Held, Look, Notices, Proofs, Queues};
pub use session::{Outbound, PendingReceipt, Proof, Receipt, Session};

/// The header by which SSM names a message.
const ID: &str = "empa-id";
/// The id of the empty message that receivers ignore: SSM 2.0.0 to 2.1.0 kept connections open with it.
const PING: &str = "ping";
/// A header that RabbitMQ adds to what comes from a stream.
const STREAM_OFFSET: &str = "x-stream-offset";

/// Our credential, and the trust anchors that signers are checked against.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Anchors, CRLs, policies.
    pub trust: Arc<Trust>,
    /// Our certificate and key.
    pub credential: Arc<CredentialSource>,
}
