//! A broker that answers what a test wants, for answers that no real broker gives.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::relay::{Fate, Relay};

/// Listens on a port of its own and plays the same part to everybody who connects, as long as the run lasts.
#[derive(Debug)]
pub(crate) struct Scripted {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Scripted {
    /// Plays `part` to every connection, each on its own thread.
    pub(crate) fn playing(part: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, part) = (Arc::clone(&connections), Arc::new(part));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let part = Arc::clone(&part);
                std::thread::spawn(move || part(Peer { reader: BufReader::new(stream) }));
            }
        });
        Self { port, connections }
    }

    /// A broker that answers the connection with these bytes and then waits.
    pub(crate) fn answering(bytes: &'static [u8]) -> Self {
        Self::playing(move |mut peer| {
            peer.frame();
            peer.say(bytes);
            peer.wait_for_the_end();
        })
    }

    /// `localhost:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Who connected.
#[derive(Debug)]
pub(crate) struct Peer {
    reader: BufReader<TcpStream>,
}

impl Peer {
    /// Reads one frame without looking at lengths; empty at the end of the stream.
    pub(crate) fn frame(&mut self) -> String {
        let mut bytes = Vec::new();
        drop(self.reader.read_until(0, &mut bytes));
        String::from_utf8_lossy(&bytes).trim_start_matches('\n').to_owned()
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.reader.get_mut().write_all(bytes.as_ref()));
    }

    pub(crate) fn wait_for_the_end(&mut self) {
        drop(self.reader.read_to_end(&mut Vec::new()));
    }
}

/// The value of a header of a frame.
pub(crate) fn header<'a>(frame: &'a str, name: &str) -> Option<&'a str> {
    let lines = frame.split("\n\n").next()?.lines().skip(1);
    lines.filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The address of a port on which no one listens.
pub(crate) fn unreachable_broker() -> String {
    format!("localhost:{}", crate::harness::ports::free())
}

/// Stands at 127.0.0.2 between a client and a broker, and cuts each connection after so many bytes from the client.
pub(crate) fn relay(broker: &str, cut_after: Option<usize>) -> Relay {
    let fate = cut_after.map_or(Fate::Whole, |after| Fate::Cut { upwards: true, after, reset: false });
    Relay::at(Ipv4Addr::new(127, 0, 0, 2), broker, fate)
}
