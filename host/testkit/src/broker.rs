//! A STOMP broker on the loopback interface, for `sesame demo` and for our own tests.
//!
//! It keeps messages in memory, and keeps each until it is acknowledged: what was delivered on a connection that ended
//! comes again with `redelivered:true`. It speaks 1.0 to 1.2, with receipts, heart-beats, the three acknowledgement modes
//! and `prefetch-count`, and plain or over TLS. Start with [`Broker::start`]; [`Script`] makes it misbehave on purpose.
//!
//! It has no durable store, no topics (each destination is a queue), no transactions beyond ignoring their frames, and no
//! access control but one optional login. It is no broker to run in production, and listens on 127.0.0.1 only.

mod connection;
mod queues;
mod script;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use message::locked;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::queues::Counters;
pub use self::script::Script;

use self::connection::Connection;
use self::queues::Queues;
pub use stomp::frame::Headers;

/// A running broker; dropped, it stops and forgets its messages.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    queues: Mutex<Queues>,
    script: Mutex<Script>,
    /// Increases to drop every connection.
    cut: watch::Sender<u64>,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        locked(&self.queues)
    }

    fn script(&self) -> Script {
        locked(&self.script).clone()
    }
}

impl Broker {
    /// Listens on a free port of 127.0.0.1, over TLS where a configuration is given.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        Self::start_with(tls, Script::default()).await
    }

    /// The same, misbehaving by `script` from the first connection on.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start_with(tls: Option<Arc<rustls::ServerConfig>>, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { queues: Mutex::default(), script: Mutex::new(script), cut: watch::Sender::new(0) });
        let listening = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how it misbehaves from now on.
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut locked(&self.shared.script));
    }

    /// Puts a message into a queue, as if a client had sent it.
    pub fn put(&self, destination: &str, headers: Headers, body: impl Into<Bytes>) {
        self.shared.queues().add(destination, headers, body.into());
    }

    /// How many messages of a queue are not acknowledged yet, delivered or not.
    #[must_use]
    pub fn depth(&self, destination: &str) -> usize {
        self.shared.queues().depth(destination)
    }

    /// How many messages of a queue are delivered and not acknowledged.
    #[must_use]
    pub fn in_flight(&self, destination: &str) -> usize {
        self.shared.queues().in_flight(destination)
    }

    /// The messages of a queue that wait for delivery: their headers as sent, and bodies.
    #[must_use]
    pub fn waiting(&self, destination: &str) -> Vec<(Headers, Bytes)> {
        self.shared.queues().waiting(destination)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.queues().counters
    }

    /// Drops every connection without a word, as a broker that is killed does; messages are kept.
    pub fn drop_connections(&self) {
        self.shared.cut.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.listening.abort();
        self.drop_connections();
    }
}

async fn accept(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, shared: Arc<Shared>) {
    loop {
        // The listener fails when file descriptors run out; there is nothing better than to try again.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        tokio::spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut cut = shared.cut.subscribe();
    let _ = cut.borrow_and_update();
    let served = async {
        match tls {
            None => Connection::serve(stream, Arc::clone(&shared)).await,
            Some(config) => match tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                Ok(stream) => Connection::serve(stream, Arc::clone(&shared)).await,
                Err(error) => tracing::debug!(%error, "demo broker: TLS handshake failed"),
            },
        }
    };
    tokio::select! {
        () = served => {}
        _ = cut.changed() => {}
    }
}

#[cfg(test)]
mod tests;
