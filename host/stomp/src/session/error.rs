//! Errors: a session is not opened, a session ends, a request fails.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dial::tls;
use message::duration::words;

use crate::decode::FrameError;
use crate::encode::EncodeError;
use crate::quote::quoted;

/// Why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The broker answered CONNECT with ERROR, usually because it does not accept the login.
    #[error("broker refused the login: {message}")]
    LoginRefused {
        /// The broker's text, escaped.
        message: String,
    },
    /// CONNECTED names an unsupported version.
    #[error("broker chose STOMP version {version:?}; supported are 1.0, 1.1 and 1.2")]
    UnknownVersion {
        /// The chosen version.
        version: String,
    },
    /// The first frame is neither CONNECTED nor ERROR, or the input is not STOMP.
    #[error("broker violated the protocol before CONNECTED")]
    Protocol(#[from] ProtocolError),
    /// The first bytes are a TLS record.
    #[error("broker answered in TLS on a plaintext connection: is tls = true missing?")]
    AnswersTls,
    /// The first bytes are an HTTP response.
    #[error("a web server answered, not a STOMP broker: {line}")]
    AnswersHttp {
        /// Its status line.
        line: String,
    },
    /// The stream ended before CONNECTED.
    #[error("broker closed the connection before CONNECTED")]
    EndOfStream,
    /// CONNECTED did not arrive in time.
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

/// How the broker violated the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The input is not STOMP or exceeds a limit.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that is not allowed at this point.
    #[error("unexpected {command} frame")]
    Unexpected {
        /// Its command.
        command: crate::frame::Command,
    },
    /// A `heart-beat` header that is not two numbers.
    #[error("malformed heart-beat {value:?}")]
    MalformedHeartBeat {
        /// The header as received.
        value: String,
    },
    /// A RECEIPT for a frame that is not outstanding on this connection.
    #[error("RECEIPT for {receipt:?}, which is not outstanding on this connection")]
    UnknownReceipt {
        /// The `receipt-id` header.
        receipt: String,
    },
    /// A MESSAGE that belongs to no subscription.
    #[error("MESSAGE for unknown subscription {subscription:?}")]
    UnknownSubscription {
        /// The `subscription` header.
        subscription: String,
    },
    /// A MESSAGE that cannot be acknowledged.
    #[error("MESSAGE without header {header:?}")]
    NoAckId {
        /// The header that the version requires.
        header: &'static str,
    },
    /// An ack id that the version cannot express in an ACK.
    #[error("cannot acknowledge a MESSAGE")]
    Unacknowledgeable(#[source] EncodeError),
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// This side disconnected or dropped the session.
    #[error("session closed by this side")]
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
        /// The `message` header, escaped.
        message: String,
        /// The beginning of the body, escaped.
        body: String,
        /// The `receipt-id` header: the frame that the ERROR answers.
        receipt_id: Option<String>,
    },
    /// Nothing was received for longer than twice the agreed interval.
    #[error("no heart-beat from the broker for {}", words(*.silent_for))]
    HeartBeatMissed {
        /// How long nothing was received.
        silent_for: Duration,
    },
    /// The broker violated the protocol.
    #[error("broker violated the protocol")]
    Protocol(#[from] ProtocolError),
    /// A RECEIPT did not arrive in time.
    #[error("no RECEIPT within {}", words(*.after))]
    ReceiptTimeout {
        /// The deadline.
        after: Duration,
    },
    /// A frame arrived too slowly.
    #[error("frame incomplete after {}", words(*.after))]
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
    /// Wraps an error of the connection; a TLS error gets its text from [`tls::failure`].
    pub(super) fn io(error: io::Error) -> Self {
        let tls = tls::error_in(&error).map(tls::failure);
        Self::Io(tls.map_or(error, io::Error::other))
    }
}

/// The `message` header and the body of an ERROR in one line, without the header if the body repeats it.
pub(super) fn error_text(message: &str, body: &str) -> String {
    match (message.is_empty(), body.is_empty()) {
        (true, true) => "(no text)".to_owned(),
        (_, true) => message.to_owned(),
        (true, false) => body.to_owned(),
        (false, false) if body.starts_with(message) => body.to_owned(),
        (false, false) => format!("{message}: {body}"),
    }
}

/// The `message` header and the beginning of the body of an ERROR frame, escaped.
pub(super) fn error_words(frame: &crate::frame::Frame) -> (String, String) {
    (quoted(frame.headers.bytes("message").unwrap_or_default()), quoted(&frame.body))
}

/// Why a request on a session failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// The broker answered this frame with ERROR, and the session ended.
    #[error("broker refused the frame: {message}")]
    Refused {
        /// The broker's text, escaped.
        message: String,
    },
    /// The RECEIPT of this frame did not arrive in time, and the session ended. The broker may or may not have the
    /// frame.
    #[error("no RECEIPT within {}", words(*.after))]
    TimedOut {
        /// The deadline.
        after: Duration,
    },
    /// The session ended before the answer. The broker may or may not have the frame.
    #[error("session ended")]
    Closed(#[source] Arc<Closed>),
    /// The frame cannot be written; nothing was sent, and the session continues.
    #[error("cannot write the frame")]
    Unsendable(#[from] EncodeError),
}

/// Why a SEND failed.
pub type SendFailure = SessionError;

impl SessionError {
    /// The text of the broker's ERROR, if there was one.
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
    fn an_alert_that_ends_a_session_is_explained() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::InternalError);
        let words = message::cause::chain(&Closed::io(io::Error::other(alert)));
        assert!(words.starts_with("connection failed: TLS alert internal_error: "), "{words}");
    }
}
