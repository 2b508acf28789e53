//! STOMP 1.0, 1.1 and 1.2 as a client: frames, one session with a broker, and the connector that keeps finding a broker.
//!
//! Read [`session`] first: it is what the sender and the receiver hold. Below it are [`frame`], [`decode`] and [`encode`]
//! (no I/O), beside it [`budget`] (memory for deliveries), above it [`connector`] (addresses, TCP, TLS, back-off).
//!
//! This module knows nothing of S/MIME, of the spool or of plugins, and nothing of how a TLS configuration is made.
//!
//! # Promises
//! - [`Receipt`] is made in one place, when a RECEIPT frame names a frame of this very connection. Without it no send
//!   succeeds: an ERROR, a time-out, an end of stream and a dropped session are failures.
//! - A delivery is acknowledged only through its [`AckToken`]; nothing is ever acknowledged by the session itself, and
//!   NACK is never sent (RabbitMQ redelivers at once for ever, ActiveMQ moves the message to its dead-letter queue).
//! - A RECEIPT is what the broker says. What it is worth for a destination is said by [`Destination::promise`]; whether a
//!   queue is there is asked by [`rabbitmq`].
//! - Whatever the broker sends, memory is bounded: by [`Limits`] for a frame in work and by [`MemoryBudget`] for
//!   deliveries.

pub mod budget;
pub mod connector;
pub mod decode;
pub mod destination;
pub mod encode;
pub mod frame;
mod quote;
pub mod rabbitmq;
pub mod session;

pub use budget::{MemoryBudget, Reservation};
pub use connector::{Address, ConnectError, Connector, OwnCertificate, Timing};
pub use decode::{FrameError, Limits};
pub use destination::{Destination, Form, Promise};
pub use encode::EncodeError;
pub use frame::{Command, Frame, Headers, Version};
pub use rabbitmq::QueueState;
pub use session::{
    AckMode, AckToken, Closed, Delivery, HeartBeat, Login, OpenError, PendingReceipt, ProtocolError, Receipt,
    SendFailure, SendFrame, Session, SessionError, SessionOptions, Subscribe, Subscription,
};
