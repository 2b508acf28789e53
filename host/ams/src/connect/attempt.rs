//! One connection: resolve, TCP, the proxy's CONNECT, TLS.

use std::sync::Arc;
use std::time::Duration;

use dial::DialError;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ConnectError, Way, proxy};
use crate::names::Endpoint;

/// Connects, over the proxy if there is one.
pub(super) async fn open(way: &Way) -> Result<TlsStream<TcpStream>, ConnectError> {
    let stream = tcp(way.proxy.as_ref().unwrap_or(&way.to), way.patience).await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set a socket option");
    }
    let late = |_| DialError::HandshakeTimeout { at: way.to.to_string(), after: way.patience };
    timeout(way.patience, secure(stream, way)).await.map_err(late)?
}

async fn secure(mut stream: TcpStream, way: &Way) -> Result<TlsStream<TcpStream>, ConnectError> {
    if let Some(proxy) = &way.proxy {
        proxy::tunnel(&mut stream, proxy, &way.to).await?;
    }
    let name = dial::server_name(way.to.host())?;
    let connector = TlsConnector::from(Arc::clone(&way.tls));
    connector.connect(name, stream).await.map_err(|error| DialError::handshake(&way.to, error).into())
}

/// Tries every address of a name.
async fn tcp(to: &Endpoint, patience: Duration) -> Result<TcpStream, DialError> {
    let (earlier, last) = dial::resolve(to.host(), to.port(), patience).await?;
    for peer in earlier {
        if let Ok(stream) = dial::tcp(peer, dial::EARLIER_ADDRESS.min(patience)).await {
            return Ok(stream);
        }
    }
    dial::tcp(last, patience).await
}
