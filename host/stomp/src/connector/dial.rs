//! One attempt at one broker: resolve its name, connect, perform the TLS and the STOMP handshake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::first_bytes::RecordingStream;
use super::{Address, ConnectError, Timing};
use crate::session::{Session, SessionOptions};

/// The system closes a connection after this long without an acknowledgement by the peer, of data or of keepalive
/// probes.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// Tries every address of `broker`.
///
/// # Errors
/// One for each address that failed.
pub(super) async fn open(
    broker: &Address,
    tls: Option<&Arc<rustls::ClientConfig>>,
    options: &SessionOptions,
    timing: &Timing,
) -> Result<Session, Vec<ConnectError>> {
    let peers = resolve(broker, timing).await.map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut left = peers.len();
    for peer in peers {
        left -= 1;
        let patience = if left == 0 { timing.attempt } else { timing.address.min(timing.attempt) };
        match attempt(peer, patience, broker, tls, options, timing).await {
            Ok(session) => return Ok(session),
            Err(error) => errors.push(error),
        }
    }
    Err(errors)
}

async fn resolve(broker: &Address, timing: &Timing) -> Result<Vec<SocketAddr>, ConnectError> {
    let not_found = |source| ConnectError::NameNotFound { host: broker.host.clone(), source };
    let found = match timeout(timing.attempt, lookup_host((broker.host.as_str(), broker.port))).await {
        Ok(found) => found.map_err(not_found)?,
        Err(late) => return Err(not_found(late.into())),
    };
    let mut peers = Vec::new();
    for peer in found {
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    match peers.is_empty() {
        true => Err(not_found(std::io::ErrorKind::NotFound.into())),
        false => Ok(peers),
    }
}

async fn attempt(
    peer: SocketAddr,
    patience: Duration,
    broker: &Address,
    tls: Option<&Arc<rustls::ClientConfig>>,
    options: &SessionOptions,
    timing: &Timing,
) -> Result<Session, ConnectError> {
    let stream = timeout(patience, TcpStream::connect(peer))
        .await
        .map_err(|_| ConnectError::NoAnswer { peer, after: patience })?
        .map_err(|error| ConnectError::tcp(peer, error))?;
    tune(&stream);
    let opened = match tls {
        None => Session::open(stream, options.clone()).await,
        Some(config) => {
            let stream = secure(stream, peer, broker, config, timing).await?;
            Session::open(stream, options.clone()).await
        }
    };
    opened.map_err(|error| ConnectError::open(peer, error))
}

async fn secure(
    stream: TcpStream,
    peer: SocketAddr,
    broker: &Address,
    config: &Arc<rustls::ClientConfig>,
    timing: &Timing,
) -> Result<tokio_rustls::client::TlsStream<RecordingStream>, ConnectError> {
    let name = ServerName::try_from(broker.host.clone())
        .map_err(|_| ConnectError::NotAServerName { host: broker.host.clone() })?;
    let (stream, first) = RecordingStream::new(stream);
    timeout(timing.attempt, TlsConnector::from(Arc::clone(config)).connect(name, stream))
        .await
        .map_err(|_| ConnectError::HandshakeTimeout { peer, after: timing.attempt })?
        .map_err(|error| ConnectError::handshake(peer, error, first.get().map(Vec::as_slice).unwrap_or_default()))
}

/// Sends small frames at once, and detects a vanished peer even without heart-beats. Options that the system does not
/// support are skipped.
fn tune(stream: &TcpStream) {
    use rustix::net::sockopt;
    let dead_after = u32::try_from(DEAD_AFTER.as_millis()).unwrap_or(u32::MAX);
    let results = [
        stream.set_nodelay(true).map_err(|error| error.to_string()),
        sockopt::set_tcp_user_timeout(stream, dead_after).map_err(|error| error.to_string()),
        sockopt::set_socket_keepalive(stream, true).map_err(|error| error.to_string()),
        sockopt::set_tcp_keepidle(stream, DEAD_AFTER / 2).map_err(|error| error.to_string()),
        sockopt::set_tcp_keepintvl(stream, DEAD_AFTER / 6).map_err(|error| error.to_string()),
        sockopt::set_tcp_keepcnt(stream, 3).map_err(|error| error.to_string()),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(error, "cannot set a socket option");
    }
}
