//! Why no connection with AMS, or with what is before it, came about, in words an operator can act on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::AlertDescription;

use crate::names::Endpoint;
use crate::tls;

/// Why there is no connection. Where a name has several addresses, this is about the last one that was tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot find the host name {host}")]
    NameNotFound {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nothing listens there.
    #[error("{peer} refused the connection: no server listens on that port")]
    Refused {
        /// The address tried.
        peer: SocketAddr,
    },
    /// No way there.
    #[error("cannot reach {peer}")]
    Unreachable {
        /// The address tried.
        peer: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// No answer to the TCP connection.
    #[error("no connection with {peer} within {} s: is a firewall between, or a proxy needed?", after.as_secs_f32())]
    NoAnswer {
        /// The address tried.
        peer: SocketAddr,
        /// The deadline.
        after: Duration,
    },
    /// The proxy does not pass us on.
    #[error("the proxy {proxy} makes no connection to {to}: {reason}")]
    Proxy {
        /// The proxy.
        proxy: Endpoint,
        /// What it should connect to.
        to: Endpoint,
        /// Its answer, fit to be shown.
        reason: String,
    },
    /// The host part cannot be a name in a certificate.
    #[error("{host:?} cannot be the name of a TLS server")]
    NotAServerName {
        /// The host part of the address.
        host: String,
    },
    /// TLS, and the proxy's answer before it, took too long.
    #[error("TLS handshake with {at} not finished within {} s", after.as_secs_f32())]
    HandshakeTimeout {
        /// The server.
        at: Endpoint,
        /// The deadline.
        after: Duration,
    },
    /// The server hung up during the handshake.
    #[error("{at} closed the connection during the TLS handshake")]
    HandshakeClosed {
        /// The server.
        at: Endpoint,
    },
    /// What the server answers is not TLS.
    #[error("{at} does not speak TLS on that port")]
    NotTls {
        /// The server.
        at: Endpoint,
    },
    /// We did not accept the server's certificate.
    #[error("certificate of {at} refused: {reason}")]
    CertificateRefused {
        /// The server.
        at: Endpoint,
        /// Why, and what to do, in the words of the verifier.
        reason: String,
    },
    /// The server did not accept our certificate, or wants one.
    #[error("{at} refused our certificate: {}", tls::alert(*alert))]
    ClientCertificateRefused {
        /// The server.
        at: Endpoint,
        /// Its word for why.
        alert: AlertDescription,
    },
    /// Any other failure of TLS, such as no common version.
    #[error("TLS with {at} failed: {}", tls::failure(error))]
    Tls {
        /// The server.
        at: Endpoint,
        /// What failed. Not a source: its own text is in rustls' debug form.
        error: rustls::Error,
    },
    /// The connection failed.
    #[error("connection to {at} failed")]
    Io {
        /// The server.
        at: Endpoint,
        /// How.
        source: io::Error,
    },
}

impl ConnectError {
    /// Whether it may pass without a change of the configuration. What is wrong with a certificate passes when
    /// certificates and revocation lists are renewed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::NotAServerName { .. })
    }

    /// Why a TCP connection did not come about.
    pub(super) fn tcp(peer: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { peer },
            _ => Self::Unreachable { peer, source },
        }
    }

    /// Why a TLS handshake failed.
    pub(super) fn handshake(at: &Endpoint, source: io::Error) -> Self {
        let at = at.clone();
        match rustls_error(&source) {
            Some(error) => Self::tls(at, error.clone()),
            None if is_hang_up(&source) => Self::HandshakeClosed { at },
            None => Self::Io { at, source },
        }
    }

    /// That the server refused our certificate, where an error of an open connection means so: with TLS 1.3 it does only
    /// after the handshake, and before it takes a request.
    pub(crate) fn late(at: &Endpoint, error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<io::Error>().and_then(rustls_error) {
                // Other alerts may come after the server took a request.
                let refused = matches!(found, rustls::Error::AlertReceived(alert) if is_about_our_certificate(*alert));
                return refused.then(|| Self::tls(at.clone(), found.clone()));
            }
            next = error.source();
        }
        None
    }

    fn tls(at: Endpoint, source: rustls::Error) -> Self {
        use rustls::Error as E;
        match source {
            E::AlertReceived(alert) if is_about_our_certificate(alert) => Self::ClientCertificateRefused { at, alert },
            E::InvalidCertificate(_) | E::NoCertificatesPresented | E::General(_) => {
                Self::CertificateRefused { at, reason: tls::failure(&source) }
            }
            E::InvalidMessage(_) => Self::NotTls { at },
            error => Self::Tls { at, error },
        }
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe)
}

/// The alerts by which a server refuses a client's certificate (RFC 8446, 6.2).
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
