//! What stands between a client and a broker: it cuts connections, lets them stand still, loses what one side says, or is slow.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "most are for tests/endurance")]
pub(crate) enum Fate {
    /// Nothing.
    Whole,
    /// After so many bytes to the broker, or from it, both ends see an end, or a reset.
    Cut { upwards: bool, after: usize, reset: bool },
    /// After so many bytes to the broker, nothing passes in either direction, and neither end sees an end.
    Hole { after: usize },
    /// The same, but the broker sees an end.
    HalfOpen { after: usize },
    /// After so many bytes to the broker, or from it, what is said in that direction is lost; after that time both see an end.
    Deaf { upwards: bool, after: usize, lasts: Duration },
    /// For that time from its beginning, each byte passes by itself, after a pause.
    Slow { pause: Duration, lasts: Duration },
}

impl Fate {
    /// How many bytes pass in a direction before it is struck.
    fn room(self, up: bool) -> Option<usize> {
        match self {
            Self::Cut { upwards, after, .. } | Self::Deaf { upwards, after, .. } if upwards == up => Some(after),
            Self::Hole { after } | Self::HalfOpen { after } if up => Some(after),
            _ => None,
        }
    }
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

    /// How many of them a fault struck.
    pub(crate) fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// The next connection has this fate.
    #[allow(dead_code, reason = "for tests/endurance")]
    pub(crate) fn strike_next(&self, fate: Fate) {
        *self.shared.next.lock().unwrap() = Some(fate);
    }
}

/// A connection that is joined.
#[derive(Debug)]
struct Joined {
    fate: Fate,
    begun: Instant,
    /// Nothing passes any more, in either direction.
    lost: AtomicBool,
    /// Neither direction ends in order.
    resets: AtomicBool,
}

/// Joins a client with the broker.
fn join(client: TcpStream, fate: Fate, shared: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect(&shared.broker) else { return };
    let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (lost, resets) = (AtomicBool::new(false), AtomicBool::new(false));
    let joined = Arc::new(Joined { fate, begun: Instant::now(), lost, resets });
    if matches!(fate, Fate::Slow { .. }) {
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        shared.struck.fetch_add(1, Ordering::SeqCst);
    }
    for (from, to, up) in [(client, server, true), (from_server, to_client, false)] {
        let (shared, joined) = (Arc::clone(shared), Arc::clone(&joined));
        std::thread::spawn(move || copy(from, to, up, &joined, &shared));
    }
}

/// Copies one direction until a side ends or the fault strikes.
fn copy(mut from: TcpStream, mut to: TcpStream, up: bool, joined: &Joined, shared: &Shared) {
    let mut left = joined.fate.room(up).unwrap_or(usize::MAX);
    let mut buffer = [0; 8192];
    while left > 0 {
        let wanted = buffer.len().min(left);
        let Ok(length @ 1..) = from.read(&mut buffer[..wanted]) else { break };
        if !joined.lost.load(Ordering::SeqCst) && joined.pass(&mut to, &buffer[..length]).is_err() {
            break;
        }
        left -= length;
    }
    if left == 0 {
        strike(&mut from, &to, joined, shared);
    } else if !up && joined.lost.load(Ordering::SeqCst) {
        // The client sees no end of the broker.
        return;
    }
    for stream in [&from, &to] {
        if joined.resets.load(Ordering::SeqCst) {
            // To close with a linger time of zero is to reset. What reads in the other direction must end first.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
            drop(stream.shutdown(Shutdown::Read));
        } else {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

/// What happens when so many bytes have passed; what comes after them is lost until it returns.
fn strike(from: &mut TcpStream, to: &TcpStream, joined: &Joined, shared: &Shared) {
    let mut lasts = Duration::MAX;
    match joined.fate {
        Fate::Whole | Fate::Slow { .. } => {}
        Fate::Cut { reset, .. } => {
            joined.resets.store(reset, Ordering::SeqCst);
            lasts = Duration::ZERO;
        }
        Fate::Hole { .. } => joined.lost.store(true, Ordering::SeqCst),
        Fate::HalfOpen { .. } => {
            joined.lost.store(true, Ordering::SeqCst);
            drop(to.shutdown(Shutdown::Both));
        }
        Fate::Deaf { lasts: time, .. } => lasts = time,
    }
    shared.struck.fetch_add(1, Ordering::SeqCst);
    let begun = Instant::now();
    let mut buffer = [0; 8192];
    while let Some(rest) = lasts.checked_sub(begun.elapsed()).filter(|rest| !rest.is_zero()) {
        from.set_read_timeout((lasts != Duration::MAX).then_some(rest)).unwrap();
        match from.read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => break,
        }
    }
}

impl Joined {
    /// Passes bytes on, one by one while the connection is slow.
    fn pass(&self, to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        let Fate::Slow { pause, lasts } = self.fate else { return to.write_all(bytes) };
        let mut rest = bytes;
        while let Some((first, others)) = rest.split_first().filter(|_| self.begun.elapsed() < lasts) {
            std::thread::sleep(pause);
            to.write_all(&[*first])?;
            rest = others;
        }
        to.write_all(rest)
    }
}
