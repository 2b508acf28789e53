//! One connection: resolve, TCP, the proxy's CONNECT, TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ConnectError, Way, proxy};
use crate::names::Endpoint;

/// For the TCP connection to an address that is not the last one of its name.
const EARLIER_ADDRESS: Duration = Duration::from_secs(4);

/// Connects, over the proxy if there is one.
pub(super) async fn open(way: &Way) -> Result<TlsStream<TcpStream>, ConnectError> {
    let stream = tcp(way.proxy.as_ref().unwrap_or(&way.to), way.patience).await?;
    let late = |_| ConnectError::HandshakeTimeout { at: way.to.clone(), after: way.patience };
    timeout(way.patience, secure(stream, way)).await.map_err(late)?
}

async fn secure(mut stream: TcpStream, way: &Way) -> Result<TlsStream<TcpStream>, ConnectError> {
    if let Some(proxy) = &way.proxy {
        proxy::tunnel(&mut stream, proxy, &way.to).await?;
    }
    let host = way.to.host().to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::NotAServerName { host })?;
    let connector = TlsConnector::from(Arc::clone(&way.tls));
    connector.connect(name, stream).await.map_err(|error| ConnectError::handshake(&way.to, error))
}

/// Tries every address of a name.
async fn tcp(to: &Endpoint, patience: Duration) -> Result<TcpStream, ConnectError> {
    let peers = resolve(to, patience).await?;
    let mut left = peers.len();
    let mut failure = not_found(to, std::io::ErrorKind::NotFound.into());
    for peer in peers {
        left -= 1;
        let patience = if left == 0 { patience } else { EARLIER_ADDRESS.min(patience) };
        match timeout(patience, TcpStream::connect(peer)).await {
            Ok(Ok(stream)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set a socket option");
                }
                return Ok(stream);
            }
            Ok(Err(error)) => failure = ConnectError::tcp(peer, error),
            Err(_) => failure = ConnectError::NoAnswer { peer, after: patience },
        }
    }
    Err(failure)
}

async fn resolve(to: &Endpoint, patience: Duration) -> Result<Vec<SocketAddr>, ConnectError> {
    match timeout(patience, lookup_host((to.host(), to.port()))).await {
        Ok(found) => Ok(found.map_err(|source| not_found(to, source))?.collect()),
        Err(late) => Err(not_found(to, late.into())),
    }
}

fn not_found(to: &Endpoint, source: std::io::Error) -> ConnectError {
    ConnectError::NameNotFound { host: to.host().to_owned(), source }
}
