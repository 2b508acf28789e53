//! Connection errors, with texts that an operator can act on.

use std::io;
use std::net::SocketAddr;

use dial::{DialError, tls};
use rustls::Error::InvalidMessage;

use crate::quote::quoted;
use crate::session::OpenError;

/// Why an attempt at one address failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection over TCP and TLS.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The broker's answer to the TLS handshake is not TLS.
    #[error("{peer} does not speak TLS on that port; it answered \"{answer}\"")]
    NotTls {
        /// The address tried.
        peer: SocketAddr,
        /// The first bytes of its answer, escaped.
        answer: String,
    },
    /// A web server answers at the address.
    #[error("a web server answers at {peer}, not a STOMP broker")]
    WebServer {
        /// The address tried.
        peer: SocketAddr,
    },
    /// TCP and TLS connected, but the session was not opened.
    #[error("cannot open a session with {peer}")]
    NotOpened {
        /// The address tried.
        peer: SocketAddr,
        /// The reason.
        source: OpenError,
    },
}

impl ConnectError {
    /// The error for a failed TLS handshake; `answer` is the beginning of the broker's answer.
    pub(super) fn handshake(peer: SocketAddr, source: io::Error, answer: &[u8]) -> Self {
        match tls::error_in(&source) {
            Some(InvalidMessage(_)) if answer.starts_with(b"HTTP") => Self::WebServer { peer },
            Some(InvalidMessage(_)) if !answer.is_empty() && !is_tls(answer) => {
                Self::NotTls { peer, answer: quoted(answer) }
            }
            _ => DialError::handshake(peer, source).into(),
        }
    }

    /// The error for a session that was not opened. A TLS 1.3 broker refuses our certificate only after the handshake.
    pub(super) fn open(peer: SocketAddr, error: OpenError) -> Self {
        if let OpenError::Io(source) = &error
            && let Some(tls) = tls::error_in(source)
        {
            return DialError::tls(peer, tls.clone()).into();
        }
        Self::NotOpened { peer, source: error }
    }

    /// Adds the known defect of our own certificate, where the broker refused it.
    pub(super) fn advise(self, known: impl FnOnce() -> Option<String>) -> Self {
        match self {
            Self::Dial(error) => error.advise(known).into(),
            other => other,
        }
    }
}

/// Whether the bytes begin a TLS record: content type 20 to 23, major version 3.
fn is_tls(answer: &[u8]) -> bool {
    matches!(answer, [20..=23, 3, ..])
}
