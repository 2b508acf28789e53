//! Connection errors, with texts that an operator can act on.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::AlertDescription;

use crate::tls;

/// Why there is no connection. `at` is the server as the caller names it: an address, or host and port.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("cannot resolve host name {host}")]
    NameNotFound {
        /// The name.
        host: String,
        /// The error of the resolver.
        source: io::Error,
    },
    /// Nothing listens there.
    #[error("{peer} refused the connection: no server listens on that port")]
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
    #[error("no answer from {peer} within {} s: is a firewall in the way?", after.as_secs_f32())]
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
    #[error("TLS handshake with {at} not finished within {} s", after.as_secs_f32())]
    HandshakeTimeout {
        /// The server.
        at: String,
        /// The deadline.
        after: Duration,
    },
    /// The server closed the connection during the handshake.
    #[error("{at} closed the connection during the TLS handshake: is it a plaintext port?")]
    HandshakeClosed {
        /// The server.
        at: String,
    },
    /// We did not accept the server's certificate.
    #[error("certificate of {at} refused: {reason}")]
    CertificateRefused {
        /// The server.
        at: String,
        /// The reason and the remedy, from the verifier.
        reason: String,
    },
    /// The server did not accept our certificate, or requires one.
    #[error("{at} refused our certificate: {}{}", tls::alert(*alert), advised(advice.as_deref()))]
    ClientCertificateRefused {
        /// The server.
        at: String,
        /// The alert that the server sent.
        alert: AlertDescription,
        /// The known defect of our certificate, and the remedy.
        advice: Option<String>,
    },
    /// Any other failure of TLS, such as no common version.
    #[error("TLS with {at} failed: {}", tls::failure(error))]
    Tls {
        /// The server.
        at: String,
        /// What failed. Not a source, because rustls shows it in debug form.
        error: rustls::Error,
    },
    /// The connection failed.
    #[error("connection to {at} failed")]
    Io {
        /// The server.
        at: String,
        /// The error of the stream.
        source: io::Error,
    },
}

impl DialError {
    /// The error for a failed TLS handshake.
    #[must_use]
    pub fn handshake(at: impl Display, source: io::Error) -> Self {
        match tls::error_in(&source) {
            Some(error) => Self::tls(at, error.clone()),
            None if is_hang_up(&source) => Self::HandshakeClosed { at: at.to_string() },
            None => Self::Io { at: at.to_string(), source },
        }
    }

    /// The error for a failure of TLS, in the handshake or after it: with TLS 1.3 a server refuses our certificate only
    /// after the handshake.
    #[must_use]
    pub fn tls(at: impl Display, error: rustls::Error) -> Self {
        use rustls::Error as E;
        let at = at.to_string();
        match error {
            E::AlertReceived(alert) if is_about_our_certificate(alert) => {
                Self::ClientCertificateRefused { at, alert, advice: None }
            }
            E::InvalidCertificate(_) | E::NoCertificatesPresented | E::General(_) => {
                Self::CertificateRefused { at, reason: tls::failure(&error) }
            }
            error => Self::Tls { at, error },
        }
    }

    /// Adds the known defect of our own certificate. A `handshake_failure` is also attributed to that defect: brokers
    /// on Erlang send no other alert for a certificate that lacks clientAuth.
    #[must_use]
    pub fn advise(self, known: impl FnOnce() -> Option<String>) -> Self {
        let (at, alert) = match self {
            Self::ClientCertificateRefused { at, alert, .. } => (at, alert),
            Self::Tls { at, error: rustls::Error::AlertReceived(alert @ AlertDescription::HandshakeFailure) } => {
                (at, alert)
            }
            other => return other,
        };
        match known() {
            None if alert == AlertDescription::HandshakeFailure => {
                Self::Tls { at, error: rustls::Error::AlertReceived(alert) }
            }
            advice => Self::ClientCertificateRefused { at, alert, advice },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(error: rustls::Error) -> DialError {
        DialError::handshake("HOST", io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_failed_handshake_is_attributed_to_the_one_who_refused() {
        let ours = handshake(rustls::Error::AlertReceived(AlertDescription::UnknownCA)).to_string();
        assert!(ours.starts_with("HOST refused our certificate: TLS alert unknown_ca: "), "{ours}");
        let theirs = handshake(rustls::Error::NoCertificatesPresented).to_string();
        assert_eq!(theirs, "certificate of HOST refused: the server sent no certificate");
        let neither = handshake(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)).to_string();
        assert!(neither.starts_with("TLS with HOST failed: TLS alert protocol_version: "), "{neither}");
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset] {
            let closed = DialError::handshake("HOST", kind.into());
            assert!(matches!(closed, DialError::HandshakeClosed { .. }), "{closed}");
        }
        let other = DialError::handshake("HOST", io::ErrorKind::TimedOut.into());
        assert!(matches!(other, DialError::Io { .. }), "{other}");
    }

    #[test]
    fn a_known_defect_of_our_certificate_is_added_to_refusals_alone() {
        let known = || Some("host.pem lacks clientAuth".to_owned());
        for alert in [AlertDescription::BadCertificate, AlertDescription::HandshakeFailure] {
            let text = handshake(rustls::Error::AlertReceived(alert)).advise(known).to_string();
            assert!(text.starts_with("HOST refused our certificate: TLS alert "), "{text}");
            assert!(text.ends_with("; host.pem lacks clientAuth"), "{text}");
        }
        let text = handshake(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)).advise(|| None);
        assert!(matches!(text, DialError::Tls { .. }), "{text}");
        let other = handshake(rustls::Error::AlertReceived(AlertDescription::InternalError)).advise(known).to_string();
        assert!(!other.contains("clientAuth"), "{other}");
    }
}
