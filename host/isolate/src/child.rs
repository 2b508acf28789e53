//! The child: the hidden subcommand `open-messages`.
//!
//! It gets its end of a socket as standard input. Before the first octet comes from there, it closes every other descriptor,
//! limits itself and enters the sandbox. It ends when the parent closes the socket or ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use message::wire::{Malformed, Reader};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use smime::{Apart, OpenPolicy};
use trust::TrustStore;
use zeroize::Zeroizing;

use crate::frame::{self, Kind, Outbox};
use crate::sandbox;

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "open-messages";

/// The largest frame: what the parent sends is ours, and a trust store with its CRLs may be large.
const LARGEST: usize = 1 << 30;
/// Octets that are read at once.
const BUFFER: usize = 128 * 1024;

/// The subcommand. It says on standard error why it cannot go on.
#[must_use]
#[expect(clippy::print_stderr, reason = "the child reports its error to the parent on standard error")]
pub fn child_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    // Before anything is open that would be closed.
    close_others()?;
    // With the thread that started it, which lives as long as the parent.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // Started by a link, it would have the name of that.
    rustix::thread::set_name(c"sesame-open")?;
    // A service manager may send them to every process of the service. The parent stops first, and with it this one.
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let socket = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let abort_on = Marker::of_environment();
    // What reads files or the environment once.
    trust::prepare();
    let sandbox = sandbox::enter()?;
    let mut socket = Socket { to: Outbox::new(&socket), from: BufReader::with_capacity(BUFFER, &socket) };
    socket.to.add(Kind::Ready, [&sandbox.to_octets(), &[]])?;
    let mut child = Child { socket: RefCell::new(socket), known: Remembered::default() };
    let mut messages = Vec::new();
    loop {
        let next = child.socket.borrow_mut().read()?;
        let Some((kind, content)) = next else { return Ok(()) };
        abort_on.strike(&content);
        if kind == Kind::Open {
            let more = Reader::new(&content).flag().map_err(malformed)?;
            messages.push(content);
            if !more {
                child.open_all(&std::mem::take(&mut messages))?;
            }
        } else {
            child.known.take(kind, &content)?;
        }
    }
}

/// The parent's end is the other one.
struct Socket<'a> {
    to: Outbox<&'a File>,
    from: BufReader<&'a File>,
}

impl Socket<'_> {
    /// The next frame. What was gathered is written before it is waited for.
    fn read(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        if self.from.buffer().is_empty() {
            self.to.flush()?;
        }
        frame::read(&mut self.from, LARGEST)
    }

    /// Asks for the key of the message at this place.
    fn ask(&mut self, place: usize, asked: &[u8]) -> io::Result<()> {
        self.to.add(Kind::Ask, [&(place as u64).to_be_bytes(), asked])
    }

    /// The key that was asked for. Where the parent is gone, or does not go on with this child, the process ends.
    fn key(&mut self) -> Zeroizing<Vec<u8>> {
        match self.to.flush().and_then(|()| self.read()) {
            Ok(Some((Kind::Key, key))) => Zeroizing::new(key),
            _ => std::process::exit(0),
        }
    }
}

/// Closes what was inherited besides standard input, output and error: what this program opens is not inherited, and what
/// started it may have left something open.
#[expect(unsafe_code, reason = "closing descriptors that nothing in this process owns")]
fn close_others() -> io::Result<()> {
    use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
    let listed = std::fs::read_dir("/proc/self/fd")?;
    // Collected first: the directory has a descriptor too, which is closed after it.
    let open: Vec<RawFd> = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        if std::fs::read_link(format!("/proc/self/fd/{descriptor}")).is_ok() {
            // SAFETY: called first in `main`, with one thread: nothing owns a descriptor above 2 yet.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
    }
    Ok(())
}

/// What a parent sent to be used for several messages.
#[derive(Default)]
struct Remembered {
    trust: HashMap<u64, TrustStore>,
    certificates: HashMap<u64, Vec<u8>>,
    /// The certificates of the last message, read.
    last: Option<(Vec<u64>, Apart)>,
}

struct Child<'a> {
    socket: RefCell<Socket<'a>>,
    known: Remembered,
}

fn malformed(_: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the parent sent what is malformed")
}

/// A message, and everything that decides about it.
struct Request<'a> {
    store: u64,
    certificates: Vec<u64>,
    policy: OpenPolicy,
    at: SystemTime,
    raw: &'a [u8],
}

impl<'a> Request<'a> {
    fn read(content: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(content);
        // Whether more follow.
        reader.flag()?;
        let (store, certificates) = (reader.number()?, reader.list(Reader::number)?);
        let (policy, at, raw) = (read_policy(&mut reader)?, reader.time()?, reader.octets()?);
        reader.end()?;
        Ok(Self { store, certificates, policy, at, raw })
    }
}

impl Child<'_> {
    /// Opens messages. The keys of several are asked for together, so that they are waited for once.
    fn open_all(&mut self, contents: &[Vec<u8>]) -> io::Result<()> {
        let requests: Result<Vec<Request<'_>>, Malformed> = contents.iter().map(|it| Request::read(it)).collect();
        let requests = requests.map_err(malformed)?;
        let Self { socket, known } = self;
        if let [request] = &*requests {
            let answer = known.open(request, |asked| {
                let mut socket = socket.borrow_mut();
                socket.ask(0, asked).ok()?;
                Some(socket.key())
            })?;
            return socket.borrow_mut().to.add(Kind::Answer, [&answer, &[]]);
        }
        let mut first = Vec::new();
        for (place, request) in requests.iter().enumerate() {
            // Without the key, an encrypted message is read up to the point where the key is wanted.
            let wanted = RefCell::new(None);
            let answer = known.open(request, |asked| {
                *wanted.borrow_mut() = Some(asked.to_vec());
                None
            })?;
            let wanted = wanted.into_inner();
            if let Some(asked) = &wanted {
                socket.borrow_mut().ask(place, asked)?;
            }
            first.push((answer, wanted));
        }
        for (request, (answer, wanted)) in requests.iter().zip(first) {
            let answer = match wanted {
                None => answer,
                Some(wanted) => {
                    let key = socket.borrow_mut().key();
                    known.open(request, |asked| (asked == wanted).then(|| key.clone()))?
                }
            };
            socket.borrow_mut().to.add(Kind::Answer, [&answer, &[]])?;
        }
        Ok(())
    }
}

impl Remembered {
    fn take(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let mut reader = Reader::new(content);
        match kind {
            Kind::Trust => {
                let number = reader.number().map_err(malformed)?;
                let store = reader.octets().and_then(TrustStore::from_bytes).map_err(malformed)?;
                self.trust.insert(number, store);
            }
            Kind::Certificate => {
                let number = reader.number().map_err(malformed)?;
                self.certificates.insert(number, reader.octets().map_err(malformed)?.to_vec());
            }
            Kind::Forget => {
                let number = reader.number().map_err(malformed)?;
                self.trust.remove(&number);
                self.certificates.remove(&number);
            }
            Kind::Open | Kind::Key | Kind::Ready | Kind::Ask | Kind::Answer => return Err(malformed(Malformed)),
        }
        reader.end().map_err(malformed)
    }

    /// Opens a message. Returns the octets of the answer.
    fn open(
        &mut self,
        request: &Request<'_>,
        ask: impl Fn(&[u8]) -> Option<Zeroizing<Vec<u8>>>,
    ) -> io::Result<Vec<u8>> {
        self.read(&request.certificates).map_err(malformed)?;
        let (Some(store), Some((_, apart))) = (self.trust.get(&request.store), &self.last) else {
            return Err(malformed(Malformed));
        };
        Ok(smime::open_apart(request.raw, apart, ask, store, &request.policy, request.at))
    }

    /// Reads the certificates with these numbers, unless those of the last message were the same.
    fn read(&mut self, numbers: &[u64]) -> Result<(), Malformed> {
        if self.last.as_ref().is_some_and(|(last, _)| last == numbers) {
            return Ok(());
        }
        let ders: Option<Vec<&Vec<u8>>> = numbers.iter().map(|number| self.certificates.get(number)).collect();
        let apart = Apart::new(ders.ok_or(Malformed)?.into_iter().map(Vec::as_slice))?;
        self.last = Some((numbers.to_vec(), apart));
        Ok(())
    }
}

fn read_policy(reader: &mut Reader<'_>) -> Result<OpenPolicy, Malformed> {
    Ok(OpenPolicy {
        encryption_required: reader.flag()?,
        allow_sha1: reader.flag()?,
        max_payload: reader.count()?,
        max_age: reader.optional(Reader::duration)?,
        names: reader.list(|reader| reader.text().map(str::to_owned))?,
    })
}

/// In a build for tests: octets of a message at which the child aborts, as a bug in a parser would.
struct Marker(Option<Zeroizing<Vec<u8>>>);

/// The variable of the environment with them.
#[cfg(debug_assertions)]
pub(crate) const MARKER: &str = "SESAME_ABORT_ON";

impl Marker {
    #[cfg(debug_assertions)]
    fn of_environment() -> Self {
        Self(std::env::var(MARKER).ok().filter(|marker| !marker.is_empty()).map(|it| Zeroizing::new(it.into_bytes())))
    }

    #[cfg(not(debug_assertions))]
    fn of_environment() -> Self {
        Self(None)
    }

    fn strike(&self, content: &[u8]) {
        if let Some(marker) = &self.0
            && content.windows(marker.len()).any(|window| window == marker.as_slice())
        {
            let _ = io::stderr().write_all(b"aborted for a test");
            std::process::abort();
        }
    }
}
