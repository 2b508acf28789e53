//! Why a session is over, and why a request on it failed.

use std::sync::Arc;

use super::{AmsClosed, Destination};
use ::stomp::{EncodeError, FrameError, ProtocolError};
use message::Code;

/// Why a session is over.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Closed {
    /// A STOMP session.
    #[error(transparent)]
    Stomp(Arc<::stomp::Closed>),
    /// Requests to AMS.
    #[error(transparent)]
    Ams(AmsClosed),
}

impl Closed {
    /// Whether we ended it.
    #[must_use]
    pub fn is_by_us(&self) -> bool {
        match self {
            Self::Stomp(closed) => matches!(**closed, ::stomp::Closed::ByUs),
            Self::Ams(closed) => matches!(closed, AmsClosed::ByUs),
        }
    }

    /// Whether no heart-beat came.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Stomp(closed) if matches!(**closed, ::stomp::Closed::HeartBeatMissed { .. }))
    }

    /// Whether a message in flight may be why it is over.
    #[must_use]
    pub fn may_be_by_a_message(&self) -> bool {
        match self {
            Self::Stomp(_) => !self.is_by_us(),
            Self::Ams(closed) => closed.may_be_by_a_message(),
        }
    }

    /// Whether it is a request that failed, and not a connection that broke.
    #[must_use]
    pub fn is_failed_request(&self) -> bool {
        matches!(self, Self::Ams(AmsClosed::Failed(_)))
    }

    /// Whether it does not pass by itself: someone must act before the broker takes anything.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Stomp(_) => false,
            Self::Ams(closed) => closed.is_lasting(),
        }
    }

    /// Whether the broker may have a message that it did not confirm.
    #[must_use]
    pub fn may_have_been_taken(&self) -> bool {
        match self {
            Self::Stomp(_) | Self::Ams(AmsClosed::ByUs) => true,
            Self::Ams(AmsClosed::Failed(error)) => error.may_have_been_taken(),
        }
    }

    /// Whether the broker said that something of ours is wrong, rather than that the connection broke.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Stomp(closed) => matches!(**closed, ::stomp::Closed::Error { .. }),
            Self::Ams(_) => false,
        }
    }

    /// Whether a message came that is larger than we take, and the session could not go on past it.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        let Self::Stomp(closed) = self else { return false };
        matches!(
            **closed,
            ::stomp::Closed::Protocol(ProtocolError::Frame(
                FrameError::BodyTooLong { .. } | FrameError::HeadersTooLong { .. } | FrameError::HeaderTooLong { .. }
            ))
        )
    }
}

/// Why a message was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum SendFailure {
    /// The broker refused this very message.
    #[error("the broker refused the message: {words}")]
    Refused {
        /// What it said, fit to be shown.
        words: String,
    },
    /// The message cannot be written in the protocol; nothing was sent.
    #[error(transparent)]
    Unsendable(EncodeError),
    /// The receipt did not come in time, or the session ended before it. The broker may have the message or not.
    #[error(transparent)]
    Unanswered(::stomp::SendFailure),
    /// The session ended before the answer. The broker may have the message or not.
    #[error("session over")]
    Over,
    /// The broker refuses this very message, and always will.
    #[error("{words}")]
    Rejected {
        /// The code.
        code: Code,
        /// Why, and what to do.
        words: String,
    },
    /// The broker takes nothing for this destination now.
    #[error("{words}")]
    Destination {
        /// The destination.
        destination: Destination,
        /// Why, and what to do.
        words: String,
    },
    /// The broker could not store this message, which may be its own fault or the message's.
    #[error("{words}")]
    NotStored {
        /// What it said.
        words: String,
        /// The size that it stores, in bytes.
        size: usize,
        /// The largest size that it should store, in bytes.
        limit: usize,
    },
}

impl From<::stomp::SendFailure> for SendFailure {
    fn from(failure: ::stomp::SendFailure) -> Self {
        match failure {
            ::stomp::SendFailure::Refused { message } => Self::Refused { words: message },
            ::stomp::SendFailure::Unsendable(error) => Self::Unsendable(error),
            unanswered => Self::Unanswered(unanswered),
        }
    }
}

/// Why a broker does not let us subscribe, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SubscribeError(pub(super) String);
