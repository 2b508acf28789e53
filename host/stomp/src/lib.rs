//! STOMP 1.0, 1.1 and 1.2 as a client: frames, one session with a broker, and the connector that finds a broker.
//!
//! Start at [`session`]: a sender and a receiver each hold one. It is built on [`frame`], [`decode`] and [`encode`],
//! which do no I/O, and on [`budget`], which limits the memory for deliveries. [`connector`] opens sessions (addresses,
//! TCP, TLS, back-off).
//!
//! Out of scope: S/MIME, the spool, plugins, and building a TLS configuration.
//!
//! # Guarantees
//! - A [`Receipt`] is created in one place: when a RECEIPT frame names a frame of this connection. Without it no send
//!   succeeds: an ERROR, a timeout, an end of stream and a dropped session are failures.
//! - A delivery is acknowledged only through its [`AckToken`]. The session itself acknowledges nothing, and NACK is
//!   never sent: RabbitMQ redelivers at once, forever, and ActiveMQ moves the message to its dead-letter queue.
//! - [`Destination::promise`] gives what a receipt guarantees for a destination; [`rabbitmq`] checks whether a queue
//!   exists.
//!
//! # Limits
//! Memory is bounded whatever the broker sends: by [`Limits`] for a frame in progress and by [`MemoryBudget`] for
//! deliveries. Every wait has a deadline: see [`Timing`] and [`SessionOptions`].

pub mod budget;
pub mod connector;
mod counters;
pub mod decode;
pub mod destination;
pub mod encode;
pub mod frame;
mod quote;
pub mod rabbitmq;
pub mod session;

pub use budget::{MemoryBudget, Reservation};
pub use connector::{Address, ConnectError, Connector, OwnCertificate, Timing};
pub use counters::Counters;
pub use decode::{FrameError, Limits};
pub use destination::{Destination, Form, Promise};
pub use encode::EncodeError;
pub use frame::{Command, Frame, Headers, Version};
pub use rabbitmq::QueueState;
pub use session::{
    AckMode, AckToken, Closed, Delivery, HeartBeat, Login, OpenError, PendingReceipt, ProtocolError, Receipt,
    SendFailure, SendFrame, Session, SessionError, SessionOptions, Subscribe, Subscription,
};
