//! One attempt at one broker: resolve its name, connect, perform the TLS and the STOMP handshake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dial::DialError;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::first_bytes::RecordingStream;
use super::{Address, ConnectError, Timing};
use crate::session::{Session, SessionOptions};

/// The system closes a connection after this long without an acknowledgement by the peer, of data or of keepalive
/// probes.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// What is read from the socket at once, in bytes. TLS alone asks the system for 4 KiB at a time.
const READ_AHEAD: usize = 64 * 1024;

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
    let resolved = dial::resolve(&broker.host, broker.port, timing.attempt).await;
    let (earlier, last) = resolved.map_err(|error| vec![error.into()])?;
    let short = timing.address.min(timing.attempt);
    let mut errors = Vec::new();
    for (peer, patience) in earlier.into_iter().map(|peer| (peer, short)).chain([(last, timing.attempt)]) {
        match attempt(peer, patience, broker, tls, options, timing).await {
            Ok(session) => return Ok(session),
            Err(error) => errors.push(error),
        }
    }
    Err(errors)
}

async fn attempt(
    peer: SocketAddr,
    patience: Duration,
    broker: &Address,
    tls: Option<&Arc<rustls::ClientConfig>>,
    options: &SessionOptions,
    timing: &Timing,
) -> Result<Session, ConnectError> {
    let stream = dial::tcp(peer, patience).await?;
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
) -> Result<tokio_rustls::client::TlsStream<BufReader<RecordingStream>>, ConnectError> {
    let name = dial::server_name(&broker.host)?;
    let (stream, first) = RecordingStream::new(stream);
    let stream = BufReader::with_capacity(READ_AHEAD, stream);
    timeout(timing.attempt, TlsConnector::from(Arc::clone(config)).connect(name, stream))
        .await
        .map_err(|_| DialError::HandshakeTimeout { at: peer.to_string(), after: timing.attempt })?
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
