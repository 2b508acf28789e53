//! What a client of either protocol does before its own handshake: resolve a name, connect over TCP, and explain what
//! fails there or in TLS.
//!
//! Start at [`resolve`] and [`tcp`]; a failure is a [`DialError`]. [`tls`] has the texts for TLS, also for a failure of
//! an open connection.
//!
//! Out of scope: proxies, the protocols, and building a TLS configuration.

mod error;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

pub use error::DialError;

/// Deadline of the TCP connection to an address that is not the last one of its name.
pub const EARLIER_ADDRESS: Duration = Duration::from_secs(4);

/// Looks up the addresses of a name: the last one, and the earlier ones in the order in which they are tried.
///
/// # Errors
/// [`DialError::NameNotFound`] if there is none, or no answer within `patience`.
pub async fn resolve(host: &str, port: u16, patience: Duration) -> Result<(Vec<SocketAddr>, SocketAddr), DialError> {
    let not_found = |source| DialError::NameNotFound { host: host.to_owned(), source };
    let found = match timeout(patience, lookup_host((host, port))).await {
        Ok(found) => found.map_err(not_found)?,
        Err(late) => return Err(not_found(late.into())),
    };
    let mut peers = Vec::new();
    for peer in found {
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let last = peers.pop().ok_or_else(|| not_found(io::Error::other("the name has no address")))?;
    Ok((peers, last))
}

/// Connects to one address.
///
/// # Errors
/// [`DialError::Refused`], [`DialError::Unreachable`], or [`DialError::NoAnswer`] after `patience`.
pub async fn tcp(peer: SocketAddr, patience: Duration) -> Result<TcpStream, DialError> {
    match timeout(patience, TcpStream::connect(peer)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(DialError::Refused { peer }),
        Ok(Err(source)) => Err(DialError::Unreachable { peer, source }),
        Err(_) => Err(DialError::NoAnswer { peer, after: patience }),
    }
}

/// The name that the server's certificate must contain.
///
/// # Errors
/// [`DialError::NotAServerName`] where no certificate can contain it.
pub fn server_name(host: &str) -> Result<ServerName<'static>, DialError> {
    ServerName::try_from(host.to_owned()).map_err(|_| DialError::NotAServerName { host: host.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn an_ip_address_is_its_own_and_only_address() {
        let (earlier, last) = resolve("127.0.0.1", 61613, PATIENCE).await.unwrap();
        assert_eq!((earlier.len(), last), (0, (Ipv4Addr::LOCALHOST, 61613).into()));
    }

    #[tokio::test]
    async fn a_name_without_an_address_and_a_port_without_a_server_are_reported() {
        let error = resolve("no-such-host.invalid", 1, PATIENCE).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot resolve host name no-such-host.invalid");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let peer = listener.local_addr().unwrap();
        drop(tcp(peer, PATIENCE).await.unwrap());
        drop(listener);
        let error = tcp(peer, PATIENCE).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{peer} refused the connection: no server listens on that port"));
    }

    #[test]
    fn a_host_that_no_certificate_can_contain_is_reported() {
        assert!(server_name("mq.example.org").is_ok() && server_name("::1").is_ok());
        let error = server_name("a..b").unwrap_err();
        assert_eq!(error.to_string(), "\"a..b\" is not a valid TLS server name");
    }
}
