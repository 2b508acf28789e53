//! Connection errors, with texts that an operator can act on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::AlertDescription;

use crate::quote::quoted;
use crate::session::OpenError;
use crate::tls;

/// Why an attempt at one address failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot resolve host name {host}")]
    NameNotFound {
        /// The name.
        host: String,
        /// The error of the resolver.
        source: io::Error,
    },
    /// Nothing listens there.
    #[error("{peer} refused the connection: no broker listens on that port")]
    Refused {
        /// The address tried.
        peer: SocketAddr,
    },
    /// The address is unreachable.
    #[error("cannot reach {peer}")]
    Unreachable {
        /// The address tried.
        peer: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// No answer to the TCP connection.
    #[error("no answer from {peer} within {} s", after.as_secs_f32())]
    NoAnswer {
        /// The address tried.
        peer: SocketAddr,
        /// The deadline.
        after: Duration,
    },
    /// The host part is not a name that a certificate can contain.
    #[error("{host:?} is not a valid TLS server name")]
    NotAServerName {
        /// The host part of the address.
        host: String,
    },
    /// The TLS handshake timed out.
    #[error("TLS handshake with {peer} not finished within {} s", after.as_secs_f32())]
    HandshakeTimeout {
        /// The address tried.
        peer: SocketAddr,
        /// The deadline.
        after: Duration,
    },
    /// The broker closed the connection during the handshake.
    #[error("{peer} closed the connection during the TLS handshake: is it a plaintext port?")]
    HandshakeClosed {
        /// The address tried.
        peer: SocketAddr,
    },
    /// The broker's answer to the TLS handshake is not TLS.
    #[error("{peer} does not speak TLS on that port; it answered {answer:?}")]
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
    /// We did not accept the broker's certificate.
    #[error("certificate of {peer} refused: {reason}")]
    CertificateRefused {
        /// The address tried.
        peer: SocketAddr,
        /// The reason and the remedy, from the verifier.
        reason: String,
    },
    /// The broker did not accept our certificate, or requires one.
    #[error("{peer} refused our certificate: {}{}", tls::alert(*alert), advised(advice.as_deref()))]
    ClientCertificateRefused {
        /// The address tried.
        peer: SocketAddr,
        /// The alert that the broker sent.
        alert: AlertDescription,
        /// The known defect of our certificate, and the remedy.
        advice: Option<String>,
    },
    /// Any other failure of TLS, such as no common version.
    #[error("TLS with {peer} failed: {}", tls::failure(error))]
    Tls {
        /// The address tried.
        peer: SocketAddr,
        /// What failed. Not a source, because rustls shows it in debug form.
        error: rustls::Error,
    },
    /// The connection failed.
    #[error("connection to {peer} failed")]
    Io {
        /// The address tried.
        peer: SocketAddr,
        /// The error of the stream.
        source: io::Error,
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
    /// The error for a failed TCP connection.
    pub(super) fn tcp(peer: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { peer },
            _ => Self::Unreachable { peer, source },
        }
    }

    /// The error for a failed TLS handshake; `answer` is the beginning of the broker's answer.
    pub(super) fn handshake(peer: SocketAddr, source: io::Error, answer: &[u8]) -> Self {
        let error = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match error {
            Some(error) => Self::tls(peer, error.clone(), answer),
            None if is_hang_up(&source) => Self::HandshakeClosed { peer },
            None => Self::Io { peer, source },
        }
    }

    /// The error for a session that was not opened. A TLS 1.3 broker refuses our certificate only after the handshake.
    pub(super) fn open(peer: SocketAddr, error: OpenError) -> Self {
        if let OpenError::Io(source) = &error
            && let Some(tls) = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return Self::tls(peer, tls.clone(), &[]);
        }
        Self::NotOpened { peer, source: error }
    }

    fn tls(peer: SocketAddr, source: rustls::Error, answer: &[u8]) -> Self {
        use rustls::Error as E;
        match source {
            E::AlertReceived(alert) if is_about_our_certificate(alert) => {
                Self::ClientCertificateRefused { peer, alert, advice: None }
            }
            E::InvalidCertificate(_) | E::NoCertificatesPresented | E::General(_) => {
                Self::CertificateRefused { peer, reason: tls::failure(&source) }
            }
            E::InvalidMessage(_) if answer.starts_with(b"HTTP") => Self::WebServer { peer },
            E::InvalidMessage(_) if !answer.is_empty() && !is_tls(answer) => {
                Self::NotTls { peer, answer: quoted(answer) }
            }
            error => Self::Tls { peer, error },
        }
    }

    /// Adds the known defect of our own certificate. A `handshake_failure` is also attributed to that defect: brokers
    /// on Erlang send no other alert for a certificate that lacks clientAuth.
    pub(super) fn advise(self, known: impl FnOnce() -> Option<String>) -> Self {
        let (peer, alert) = match self {
            Self::ClientCertificateRefused { peer, alert, .. } => (peer, alert),
            Self::Tls { peer, error: rustls::Error::AlertReceived(alert @ AlertDescription::HandshakeFailure) } => {
                (peer, alert)
            }
            other => return other,
        };
        match known() {
            None if alert == AlertDescription::HandshakeFailure => {
                Self::Tls { peer, error: rustls::Error::AlertReceived(alert) }
            }
            advice => Self::ClientCertificateRefused { peer, alert, advice },
        }
    }
}

fn advised(advice: Option<&str>) -> String {
    advice.map_or_else(String::new, |advice| format!("; {advice}"))
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe)
}

/// Whether the bytes begin a TLS record: content type 20 to 23, major version 3.
fn is_tls(answer: &[u8]) -> bool {
    matches!(answer, [20..=23, 3, ..])
}

/// Whether a server refuses a client certificate with this alert (RFC 8446, section 6.2).
fn is_about_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
    )
}
