//! An HTTP proxy passes the TLS connection on (RFC 9110, 9.3.6).

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ConnectError;
use crate::names::Endpoint;
use crate::quote::quoted;

/// The longest head of an answer that is read, in bytes.
const HEAD: usize = 8192;

/// Asks the proxy at the other end of `stream` for a connection to `to`.
pub(super) async fn tunnel(stream: &mut TcpStream, proxy: &Endpoint, to: &Endpoint) -> Result<(), ConnectError> {
    let refused = |reason: String| ConnectError::Proxy { proxy: proxy.clone(), to: to.clone(), reason };
    let broken = |error: std::io::Error| refused(message::cause::chain(&error));
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD {
            return Err(refused("its answer is too long".to_owned()));
        }
        // Byte by byte: what follows belongs to TLS.
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(refused("it closed the connection".to_owned()));
            }
            Err(error) => return Err(broken(error)),
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    match line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..)) {
        Some([b'2', ..]) => Ok(()),
        Some(status) => Err(refused(format!("it answered {}", quoted(status, None)))),
        None => Err(refused(format!("its answer is not HTTP: {}", quoted(line, None)))),
    }
}
