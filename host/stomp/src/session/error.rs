//! Why a session did not open, why it ended and why a request on it failed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use message::duration::words;

use crate::decode::FrameError;
use crate::encode::EncodeError;
use crate::quote::quoted;
use crate::tls;

/// Why no session came about on a stream.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The broker answered CONNECT with ERROR: mostly a login it does not accept.
    #[error("broker refused the login: {message}")]
    LoginRefused {
        /// Its words, fit to be shown.
        message: String,
    },
    /// CONNECTED names a version we do not speak.
    #[error("broker chose STOMP version {version:?}; supported are 1.0, 1.1 and 1.2")]
    UnknownVersion {
        /// What it chose.
        version: String,
    },
    /// Something else than CONNECTED or ERROR came first, or no STOMP at all.
    #[error("broker broke the protocol before CONNECTED")]
    Protocol(#[from] ProtocolError),
    /// The first bytes are a TLS record.
    #[error("broker answered in TLS on a plaintext connection: is tls = true missing?")]
    AnswersTls,
    /// The first bytes are an HTTP answer.
    #[error("a web server answered, not a STOMP broker: {line}")]
    AnswersHttp {
        /// Its status line.
        line: String,
    },
    /// The stream ended before CONNECTED.
    #[error("broker closed the connection before CONNECTED")]
    EndOfStream,
    /// Nothing came.
    #[error("no CONNECTED within {}", words(*.after))]
    NotConnectedInTime {
        /// The deadline.
        after: Duration,
    },
    /// Our own CONNECT cannot be written.
    #[error("cannot write CONNECT")]
    Unsendable(#[from] EncodeError),
    /// The stream failed.
    #[error("connection failed before CONNECTED")]
    Io(#[source] io::Error),
}

/// How the broker broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Not STOMP, or beyond a limit.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that cannot come now.
    #[error("unexpected {command} frame")]
    Unexpected {
        /// Its command.
        command: crate::frame::Command,
    },
    /// A `heart-beat` header that is not two numbers.
    #[error("malformed heart-beat {value:?}")]
    MalformedHeartBeat {
        /// As it came.
        value: String,
    },
    /// A RECEIPT for a frame that is not outstanding on this connection.
    #[error("RECEIPT for {receipt:?}, which is not outstanding on this connection")]
    UnknownReceipt {
        /// The `receipt-id` header.
        receipt: String,
    },
    /// A MESSAGE that belongs to no subscription of ours.
    #[error("MESSAGE for unknown subscription {subscription:?}")]
    UnknownSubscription {
        /// The `subscription` header.
        subscription: String,
    },
    /// A MESSAGE that cannot be acknowledged.
    #[error("MESSAGE without header {header:?}")]
    NoAckId {
        /// The header that the version wants.
        header: &'static str,
    },
    /// An ack id that the version cannot carry back.
    #[error("cannot acknowledge a MESSAGE")]
    Unacknowledgeable(#[source] EncodeError),
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// We disconnected, or dropped the session.
    #[error("session closed by us")]
    ByUs,
    /// The broker closed the connection, with or without a TLS close_notify.
    #[error("broker closed the connection{}", if *mid_frame { " in the middle of a frame" } else { "" })]
    EndOfStream {
        /// A frame was incomplete; it was discarded.
        mid_frame: bool,
    },
    /// The broker sent ERROR.
    #[error("broker sent ERROR: {text}", text = error_text(message, body))]
    Error {
        /// The `message` header, fit to be shown.
        message: String,
        /// The beginning of the body, fit to be shown.
        body: String,
        /// The frame of ours it names.
        receipt_id: Option<String>,
    },
    /// Nothing came for longer than twice the agreed interval.
    #[error("no heart-beat from the broker for {}", words(*.silent_for))]
    HeartBeatMissed {
        /// How long nothing came.
        silent_for: Duration,
    },
    /// The broker broke the protocol.
    #[error("broker broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// A RECEIPT did not come.
    #[error("no RECEIPT within {}", words(*.after))]
    ReceiptTimeout {
        /// The deadline.
        after: Duration,
    },
    /// A frame came too slowly.
    #[error("a frame was still incomplete after {}", words(*.after))]
    FrameTooSlow {
        /// The deadline.
        after: Duration,
    },
    /// The broker stopped reading.
    #[error("broker read nothing for {}", words(*.after))]
    WriteStalled {
        /// The deadline.
        after: Duration,
    },
    /// The connection failed.
    #[error("connection failed")]
    Io(#[source] io::Error),
}

impl Closed {
    /// The connection failed; what TLS reports is put into words.
    pub(super) fn io(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).map(tls::failure);
        Self::Io(tls.map_or(error, io::Error::other))
    }
}

/// Message header and body of an ERROR in one line; many brokers repeat the one in the other.
pub(super) fn error_text(message: &str, body: &str) -> String {
    match (message.is_empty(), body.is_empty()) {
        (true, true) => "(no text)".to_owned(),
        (_, true) => message.to_owned(),
        (true, false) => body.to_owned(),
        (false, false) if body.starts_with(message) => body.to_owned(),
        (false, false) => format!("{message}: {body}"),
    }
}

/// What an ERROR frame says, fit to be shown: its `message` header and the beginning of its body.
pub(super) fn error_words(frame: &crate::frame::Frame) -> (String, String) {
    (quoted(frame.headers.bytes("message").unwrap_or_default()), quoted(&frame.body))
}

/// Why a request on a session failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// The broker answered this very frame with ERROR. The session is over, and this frame is the culprit.
    #[error("broker refused the frame: {message}")]
    Refused {
        /// Its words, fit to be shown.
        message: String,
    },
    /// The RECEIPT of this frame did not come. The session is over; the broker may have the message or not.
    #[error("no RECEIPT within {}", words(*.after))]
    TimedOut {
        /// The deadline.
        after: Duration,
    },
    /// The session ended before the answer. The broker may have the frame or not.
    #[error("session over")]
    Closed(#[source] Arc<Closed>),
    /// The frame cannot be written; nothing was sent and the session continues.
    #[error("cannot write the frame")]
    Unsendable(#[from] EncodeError),
}

/// The same failures by the name the sender uses.
pub type SendFailure = SessionError;

impl SessionError {
    /// What the broker said, where it said something.
    #[must_use]
    pub fn broker_text(&self) -> Option<String> {
        match self {
            Self::Refused { message } => Some(message.clone()),
            Self::Closed(closed) => match closed.as_ref() {
                Closed::Error { message, body, .. } => Some(error_text(message, body)),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_ends_a_session_is_put_into_words() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::InternalError);
        let words = message::cause::chain(&Closed::io(io::Error::other(alert)));
        assert!(words.starts_with("connection failed: TLS alert internal_error: "), "{words}");
    }
}
