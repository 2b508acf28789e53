//! "Sign this and publish it", for programs that have their own records: over STOMP or to the ARGO Messaging Service
//! (AMS), with retry, and an answer that says what happened.
//!
//! ```no_run
//! use sesame_client::{Message, Publisher, Settings, stomp};
//!
//! # async fn publish(record: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! let broker = stomp("mq.example.org", 61614)?;
//! let folder = "/etc/grid-security";
//! let (certificate, key) = (format!("{folder}/hostcert.pem"), format!("{folder}/hostkey.pem"));
//! let anchors = format!("{folder}/certificates");
//! let publisher = Publisher::new(Settings::new(broker, "/queue/global.accounting.cpu", certificate, key, anchors))?;
//! let published = publisher.publish(Message::new(record)).await?;
//! println!("{} is at {}", published.id, published.broker);
//! publisher.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Start at [`Settings`] and [`Publisher::publish`]. The messages are those of an SSM 4 sender: S/MIME (RFC 8551) in a
//! SEND frame (STOMP 1.2) with the header `empa-id`, or in a message of AMS with the attribute `empaid`.
//!
//! # The promise
//! [`Published`] means what it means to Sesame's sender before it deletes a file: the broker confirmed the message, and
//! where its receipt alone proves nothing (RabbitMQ) it was asked for the queue, too ([`transport::Proofs`]).
//! [`PublishError`] says whether to correct something ([`Failure::is_final`]) or to publish again under the same id.
//! A message may arrive twice, always under the same id; a Sesame receiver stores it once.
//!
//! # Retry
//! A message whose receipt does not come is sent again under its id, on a new connection where the old one is lost,
//! after a random pause that doubles from half a second to 30 s, until [`Settings::deadline`]. AMS says which messages it
//! never takes; STOMP has no word for that, so a message that is answered with ERROR is tried until the deadline.
//!
//! # Limits
//! Nothing is kept on disk: a message that is not [`Published`] when the program ends is the caller's to keep. Where that
//! matters, use `sesame publish` or the outgoing queue of `sesame send`. Messages in flight are kept in memory, as many
//! as the caller publishes at once.
//!
//! Not here: plugins, queues on disk, receiving. Needs a tokio runtime with timers and I/O.

mod connection;
mod error;
mod files;
mod message;
mod notes;
mod pause;
mod publisher;
mod serve;
mod settings;

pub use self::error::{Failure, PublishError, SetupError};
pub use self::message::{Message, Published};
pub use self::publisher::Publisher;
pub use self::settings::{Settings, ams, stomp};

pub use ::ams::{Endpoint, Project, Token};
pub use ::message::{InvalidMessageId, MessageId};
pub use ::stomp::Address;
pub use smime::Peer;
pub use transport::{AmsBroker, Broker, Login, StompBroker};
pub use trust::{CrlMode, TrustSettings};
