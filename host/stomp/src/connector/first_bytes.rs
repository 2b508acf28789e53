//! A stream that records the first bytes received, so that the error of a failed TLS handshake can show them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Maximum number of bytes recorded.
const RECORDED: usize = 64;

/// The bytes of the first read that returned any.
pub(super) type FirstBytes = Arc<OnceLock<Vec<u8>>>;

/// A TCP stream that records its first bytes.
#[derive(Debug)]
pub(super) struct RecordingStream {
    stream: TcpStream,
    first: FirstBytes,
}

impl RecordingStream {
    pub(super) fn new(stream: TcpStream) -> (Self, FirstBytes) {
        let first = FirstBytes::default();
        (Self { stream, first: Arc::clone(&first) }, first)
    }
}

impl AsyncRead for RecordingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        let received = buf.filled().get(before..).unwrap_or_default();
        if !received.is_empty() {
            self.first.get_or_init(|| received.iter().take(RECORDED).copied().collect());
        }
        result
    }
}

impl AsyncWrite for RecordingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
