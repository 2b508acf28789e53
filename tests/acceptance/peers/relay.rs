//! What stands between a client and a broker, and cuts connections.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing.
    Whole,
    /// After so many bytes to the broker, or from it, both ends see an end, or a reset.
    Cut { upwards: bool, after: usize, reset: bool },
}

/// Listens on a port of its own and takes each connection on to the broker, as long as the run lasts.
#[derive(Debug)]
pub(crate) struct Relay {
    address: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: String,
    /// The fate of the next connection, where it is not that of every one.
    next: Mutex<Option<Fate>>,
    connections: AtomicUsize,
    struck: AtomicUsize,
}

impl Relay {
    /// At this address, to the broker at that; every connection has this fate.
    pub(crate) fn at(address: Ipv4Addr, broker: &str, every: Fate) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (connections, struck) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { broker: broker.to_owned(), next: Mutex::new(None), connections, struck });
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                all.connections.fetch_add(1, Ordering::SeqCst);
                let fate = all.next.lock().unwrap().take().unwrap_or(every);
                join(client, fate, &all);
            }
        });
        Self { address, shared }
    }

    /// `127.0.0.2:PORT`, for example.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of them were cut.
    pub(crate) fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// The next connection has this fate.
    #[allow(dead_code, reason = "for tests/endurance")]
    pub(crate) fn strike_next(&self, fate: Fate) {
        *self.shared.next.lock().unwrap() = Some(fate);
    }
}

/// Joins a client with the broker.
fn join(client: TcpStream, fate: Fate, shared: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect(&shared.broker) else { return };
    let limit = |up: bool| match fate {
        Fate::Cut { upwards, after, reset } if upwards == up => Some((after, reset)),
        _ => None,
    };
    let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let reset = Arc::new(AtomicBool::new(false));
    for (from, to, limit) in [(client, server, limit(true)), (from_server, to_client, limit(false))] {
        let (shared, reset) = (Arc::clone(shared), Arc::clone(&reset));
        std::thread::spawn(move || copy(from, to, limit, &reset, &shared));
    }
}

/// Copies until one side ends or the limit is reached, then ends both. Once `resets` is set, neither direction ends in order.
fn copy(mut from: TcpStream, mut to: TcpStream, limit: Option<(usize, bool)>, resets: &AtomicBool, shared: &Shared) {
    let (mut left, reset) = limit.unwrap_or((usize::MAX, false));
    let mut buffer = [0; 8192];
    while left > 0 {
        let wanted = buffer.len().min(left);
        let Ok(length @ 1..) = from.read(&mut buffer[..wanted]) else { break };
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
        left -= length;
    }
    if left == 0 {
        resets.store(reset, Ordering::SeqCst);
        shared.struck.fetch_add(1, Ordering::SeqCst);
    }
    for stream in [&from, &to] {
        if resets.load(Ordering::SeqCst) {
            // To close with a linger time of zero is to reset. What reads in the other direction must end first.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
            drop(stream.shutdown(Shutdown::Read));
        } else {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}
