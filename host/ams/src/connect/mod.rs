//! Connections for the pool of the HTTP client: one server, always over TLS, over a proxy where the settings name one.

mod attempt;
mod error;
mod proxy;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::names::Endpoint;

pub use self::error::ConnectError;

/// The way to a server.
#[derive(Clone)]
pub(crate) struct Way {
    /// The server.
    pub(crate) to: Endpoint,
    /// The proxy to go over.
    pub(crate) proxy: Option<Endpoint>,
    /// Verifies the server's certificate.
    pub(crate) tls: Arc<rustls::ClientConfig>,
    /// For the TCP connection, and again for the proxy's answer and the TLS handshake together.
    pub(crate) patience: Duration,
}

/// Opens connections to one server, whatever the URL says.
#[derive(Clone)]
pub(crate) struct Connector(pub(crate) Arc<Way>);

/// Why the pool got no connection. The HTTP client keeps it as a source, from which it can only be cloned.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct NoConnection(pub(crate) Arc<ConnectError>);

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = Arc::clone(&self.0);
        Box::pin(async move {
            let opened = attempt::open(&way).await;
            opened.map(|stream| Stream(TokioIo::new(stream))).map_err(|error| NoConnection(Arc::new(error)))
        })
    }
}

/// A connection as the HTTP client takes it.
pub(crate) struct Stream(TokioIo<TlsStream<TcpStream>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
