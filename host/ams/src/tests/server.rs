//! A server of HTTP/1.1 that says what a script wants, well formed or not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use message::locked;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::Endpoint;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// All before the body, lower case.
    pub(super) head: String,
    pub(super) body: String,
    /// Which connection, from 0.
    pub(super) connection: usize,
}

impl Seen {
    /// Method and path.
    pub(super) fn line(&self) -> &str {
        self.head.split(" http/1.1").next().unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// What is sent, and what comes after it.
#[derive(Clone)]
pub(super) struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Clone)]
enum Then {
    Next,
    Close,
    Hang,
    Repeat,
}

impl Reply {
    pub(super) fn new(status: u16, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        Self { bytes: [head.as_bytes(), body.as_bytes()].concat(), then: Then::Next }
    }

    pub(super) fn ok(body: &str) -> Self {
        Self::new(200, body)
    }

    /// `bytes`, and then the end of the connection.
    pub(super) fn cut(bytes: &str) -> Self {
        Self { bytes: bytes.into(), then: Then::Close }
    }

    /// `bytes`, and nothing any more.
    pub(super) fn hang(bytes: &str) -> Self {
        Self { bytes: bytes.into(), then: Then::Hang }
    }

    /// `head`, and then bytes without end.
    pub(super) fn flood(head: &str) -> Self {
        Self { bytes: head.into(), then: Then::Repeat }
    }
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

/// A listening server. It ends when it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (noted, script) = (Arc::clone(&seen), Arc::<Script>::from(Box::new(script) as Box<Script>));
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let stream = listener.accept().await.unwrap().0;
                tokio::spawn(serve(stream, tls.clone(), connection, Arc::clone(&script), Arc::clone(&noted)));
            }
        });
        Self { address, seen, task }
    }

    /// Another listener at `address`, with the task that serves it.
    pub(super) fn at(address: SocketAddr, task: JoinHandle<()>) -> Self {
        Self { address, seen: Arc::default(), task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.address.to_string().parse().unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        locked(&self.seen).clone()
    }

    pub(super) fn count(&self) -> usize {
        locked(&self.seen).len()
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    connection: usize,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    match tls {
        None => talk(stream, connection, &*script, &seen).await,
        Some(tls) => {
            let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
            talk(stream, connection, &*script, &seen).await;
        }
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    script: &Script,
    seen: &Mutex<Vec<Seen>>,
) {
    while let Some(request) = read(&mut stream, connection).await {
        let number = {
            let mut seen = locked(seen);
            seen.push(request.clone());
            seen.len() - 1
        };
        let Reply { bytes, then } = script(number, &request);
        let _ = stream.write_all(&bytes).await;
        let _ = stream.flush().await;
        match then {
            Then::Next => {}
            Then::Close => {
                let _ = stream.shutdown().await;
                return;
            }
            Then::Hang => std::future::pending().await,
            Then::Repeat => while stream.write_all(&[b' '; 16384]).await.is_ok() {},
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), connection: usize) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let mut seen = Seen { head, body: String::new(), connection };
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    seen.body = String::from_utf8(body).unwrap();
    Some(seen)
}
