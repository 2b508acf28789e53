//! Why a publisher cannot be set up, and why a message is not published.

use std::fmt;
use std::time::Duration;

use ::ams::{InvalidEndpoint, InvalidName};
use message::MessageId;
use message::duration::words;
use transport::{LinkError, UnfitDestination};
use trust::{CredentialError, RecipientError, TrustError};

/// Why a publisher cannot be set up with its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address of a STOMP broker, in words.
    #[error("{0}")]
    Address(String),
    /// The address of AMS.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// The project of AMS.
    #[error(transparent)]
    Project(#[from] InvalidName),
    /// Nothing can be sent to the destination.
    #[error("destination {0}")]
    Destination(#[from] UnfitDestination),
    /// A certificate or a key.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The trust anchors.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The recipient's certificate.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// TLS, or the file with a token or a passcode.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// What kept a message from being published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The content: blank, not UTF-8 for an SSM receiver, or its media type.
    Content,
    /// The message is larger than the settings or the broker take.
    TooLarge,
    /// Our certificate or the recipient's: expired, revoked, a key that cannot be used. The file is read again by the
    /// next [`publish`](crate::Publisher::publish).
    Certificate,
    /// The broker refuses the message (AMS: 400), the destination (403, 404) or us (401) for good.
    Refused,
    /// No confirmation before the deadline.
    NotConfirmed,
    /// The publisher was closed.
    Closed,
}

impl Failure {
    /// Whether the same message fails again until someone corrects what the reason says.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::NotConfirmed | Self::Closed)
    }
}

/// Why a message is not published. Its text says what to do, on one line.
///
/// To publish it again under the same id is safe with a Sesame receiver, also where it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishError {
    /// The message's id, the caller's own or the one that was made.
    pub id: MessageId,
    /// What kept it.
    pub failure: Failure,
    /// Why, fit to be shown: of the last attempt where there were several.
    pub reason: String,
    /// How often it was sent.
    pub attempts: u32,
    /// The broker may have it, from one of the attempts.
    pub may_have_arrived: bool,
    /// The deadline.
    pub deadline: Duration,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, reason, .. } = self;
        match self.failure {
            Failure::NotConfirmed => write!(f, "message {id} not confirmed within {}: {reason}", words(self.deadline))?,
            Failure::Closed => write!(f, "message {id} not published: {reason}")?,
            _ => write!(f, "message {id} refused: {reason}")?,
        }
        match (self.may_have_arrived, self.failure.is_final()) {
            (true, _) => f.write_str("; it may have arrived all the same"),
            (false, false) => f.write_str("; it did not arrive"),
            (false, true) => Ok(()),
        }
    }
}

impl std::error::Error for PublishError {}
