//! The parent's side of the conversation with one child.
//!
//! Everything that comes from the child is treated as hostile: a frame has a limit, a kind that is not expected ends the
//! conversation, and what the answer says is checked by its type ([`smime::read_answer`]). A child may ask for one key a
//! message. What a child that was taken over can still do is to lie about the message that it has.

#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use message::wire::{Malformed, Writer};
use smime::{Answer, OpenPolicy, SeenSigners};
use trust::{Credential, TrustStore};
use zeroize::Zeroizing;

use crate::frame::{self, Kind, Outbox};
use crate::sandbox::Sandbox;

/// The longest request for a key.
const LONGEST_REQUEST: usize = 32 * 1024;
/// What an answer may have beside twice the message: a refusal, numbers.
const BESIDE: usize = 64 * 1024;
/// Octets that are read at once.
const BUFFER: usize = 128 * 1024;

/// A message to be opened, and everything that decides about it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The message as it came.
    pub raw: &'a [u8],
    /// The credentials that decrypt.
    pub credentials: &'a [Arc<Credential>],
    /// Anchors, CRLs, policies.
    pub trust: &'a Arc<TrustStore>,
    /// The rules for opening.
    pub policy: &'a OpenPolicy,
    /// When validity is checked.
    pub at: SystemTime,
}

/// Why a conversation is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Over {
    /// The child has ended, or its socket failed.
    #[error("it ended")]
    Ended(#[source] io::Error),
    /// No answer in time.
    #[error("it did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It said something that no child of ours says.
    #[error("it answered what is malformed: {0}")]
    Malformed(String),
}

/// A socket whose reads and writes end at a time.
struct Timed {
    stream: UnixStream,
    until: Instant,
}

impl Timed {
    fn check(&self) -> io::Result<()> {
        if Instant::now() < self.until { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.stream.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the child knows by a number.
enum Remembered {
    Trust(Weak<TrustStore>),
    Credential(Weak<Credential>),
}

impl Remembered {
    fn is_gone(&self) -> bool {
        match self {
            Self::Trust(store) => store.strong_count() == 0,
            Self::Credential(credential) => credential.strong_count() == 0,
        }
    }
}

/// The conversation with one child.
pub(crate) struct Session {
    socket: BufReader<Timed>,
    deadline: Duration,
    told: Told,
    signers: SeenSigners,
    /// Whether a key was given, for each of the messages that were sent.
    given: Vec<bool>,
    /// Keys that were not written yet, as frames.
    keys: Zeroizing<Vec<u8>>,
}

impl Session {
    /// `deadline` is how long one message may take.
    pub(crate) fn new(stream: UnixStream, deadline: Duration) -> io::Result<Self> {
        // Each wait ends by then; `Timed` ends a child that sends an octet now and then.
        stream.set_read_timeout(Some(deadline))?;
        stream.set_write_timeout(Some(deadline))?;
        let socket = BufReader::with_capacity(BUFFER, Timed { stream, until: Instant::now() + deadline });
        let (told, signers) = (Told::default(), SeenSigners::default());
        Ok(Self { socket, deadline, told, signers, given: Vec::new(), keys: Zeroizing::default() })
    }

    /// What the child says first.
    pub(crate) fn ready(&mut self) -> Result<Sandbox, Over> {
        match self.read(BESIDE)? {
            (Kind::Ready, content) => {
                Sandbox::from_octets(&content).ok_or_else(|| Over::Malformed("its first word".to_owned()))
            }
            (kind, _) => Err(unexpected(kind)),
        }
    }

    /// Sends messages, which the child opens one after the other.
    pub(crate) fn send(&mut self, messages: &[Message<'_>]) -> Result<(), Over> {
        self.given = vec![false; messages.len()];
        let Self { socket, deadline, told, .. } = self;
        let timed = socket.get_mut();
        timed.until = Instant::now() + *deadline;
        let mut outbox = Outbox::new(timed);
        let last = messages.len().saturating_sub(1);
        let mut all = messages.iter().enumerate();
        let sent = all.try_for_each(|(place, message)| told.message(message, place < last, &mut outbox));
        sent.and_then(|()| outbox.flush()).map_err(|error| over(error, *deadline))
    }

    /// The answer about the message at this place of those that were sent; there is one about each before it.
    pub(crate) fn answer(&mut self, messages: &[Message<'_>], place: usize) -> Result<Answer, Over> {
        let Some(message) = messages.get(place) else { return Err(Over::Malformed("an answer too many".to_owned())) };
        let last = place + 1 == messages.len();
        self.socket.get_mut().until = Instant::now() + self.deadline;
        let limit = message.raw.len().saturating_mul(2).saturating_add(BESIDE);
        loop {
            if self.socket.buffer().is_empty() {
                // It may wait for them; those of several messages go together.
                let keys = std::mem::take(&mut self.keys);
                self.socket.get_mut().write_all(&keys).map_err(|error| over(error, self.deadline))?;
            }
            match self.read(limit)? {
                (Kind::Ask, content) if content.len() <= LONGEST_REQUEST => {
                    self.give_key(&content, messages, place)
                        .map_err(|_| Over::Malformed("a request for a key".to_owned()))?;
                }
                (Kind::Answer, content) if !last || self.socket.buffer().is_empty() => {
                    let given = self.given.get(place).copied().unwrap_or(false);
                    return smime::read_answer(&content, message.policy, given, &mut self.signers)
                        .map_err(|_| Over::Malformed("an answer".to_owned()));
                }
                (kind, _) => return Err(unexpected(kind)),
            }
        }
    }

    /// Gives the key that is asked for: one for each message that has no answer yet.
    fn give_key(&mut self, asked: &[u8], messages: &[Message<'_>], answered: usize) -> Result<(), Malformed> {
        let (place, asked) = asked.split_first_chunk().ok_or(Malformed)?;
        let place = usize::try_from(u64::from_be_bytes(*place)).map_err(|_| Malformed)?;
        let message = messages.get(place).filter(|_| place >= answered).ok_or(Malformed)?;
        let given = self.given.get_mut(place).filter(|given| !**given).ok_or(Malformed)?;
        *given = true;
        let key = smime::content_key(asked, message.credentials)?;
        frame::add_key(&mut self.keys, &key).map_err(|_| Malformed)
    }

    fn read(&mut self, limit: usize) -> Result<(Kind, Vec<u8>), Over> {
        let deadline = self.deadline;
        let frame = frame::read(&mut self.socket, limit).map_err(|error| over(error, deadline))?;
        frame.ok_or_else(|| Over::Ended(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// What was sent to the child, each of it once.
#[derive(Default)]
struct Told {
    known: Vec<(u64, Remembered)>,
    next: u64,
}

impl Told {
    /// All frames for a message: what the child does not need any more, what it does not know yet, and the message.
    fn message(&mut self, message: &Message<'_>, more: bool, to: &mut Outbox<impl Write>) -> io::Result<()> {
        let gone: Vec<u64> =
            self.known.iter().filter(|(_, known)| known.is_gone()).map(|(number, _)| *number).collect();
        for number in gone {
            let mut writer = Writer::default();
            writer.number(number);
            to.add(Kind::Forget, [&writer.finish(), &[]])?;
            self.known.retain(|(known, _)| *known != number);
        }
        let store = self.trust(message.trust, to)?;
        let credentials: Vec<u64> =
            message.credentials.iter().map(|credential| self.credential(credential, to)).collect::<io::Result<_>>()?;
        let mut writer = Writer::default();
        writer.flag(more).number(store).list(credentials.iter(), |writer, number| writer.number(*number));
        write_policy(message.policy, &mut writer);
        writer.time(message.at).length(message.raw);
        to.add(Kind::Open, [&writer.finish(), message.raw])
    }

    /// The number of a trust store, which is sent first if the child does not know it. A number is that of one store alone:
    /// memory that a weak pointer refers to is not used again.
    fn trust(&mut self, store: &Arc<TrustStore>, to: &mut Outbox<impl Write>) -> io::Result<u64> {
        let own = Arc::as_ptr(store);
        let same = |known: &Remembered| matches!(known, Remembered::Trust(it) if std::ptr::eq(it.as_ptr(), own));
        if let Some((number, _)) = self.known.iter().find(|(_, known)| same(known)) {
            return Ok(*number);
        }
        self.tell(Kind::Trust, &store.to_bytes(), Remembered::Trust(Arc::downgrade(store)), to)
    }

    fn credential(&mut self, credential: &Arc<Credential>, to: &mut Outbox<impl Write>) -> io::Result<u64> {
        let own = Arc::as_ptr(credential);
        let same = |known: &Remembered| matches!(known, Remembered::Credential(it) if std::ptr::eq(it.as_ptr(), own));
        if let Some((number, _)) = self.known.iter().find(|(_, known)| same(known)) {
            return Ok(*number);
        }
        let der = &credential.facts().certificate_der;
        self.tell(Kind::Certificate, der, Remembered::Credential(Arc::downgrade(credential)), to)
    }

    fn tell(&mut self, kind: Kind, octets: &[u8], known: Remembered, to: &mut Outbox<impl Write>) -> io::Result<u64> {
        let number = self.next;
        self.next += 1;
        let mut writer = Writer::default();
        writer.number(number).length(octets);
        to.add(kind, [&writer.finish(), octets])?;
        self.known.push((number, known));
        Ok(number)
    }
}

fn unexpected(kind: Kind) -> Over {
    Over::Malformed(format!("{kind:?}, or something after it"))
}

fn over(error: io::Error, deadline: Duration) -> Over {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Over::Late(deadline),
        io::ErrorKind::InvalidData => Over::Malformed(error.to_string()),
        _ => Over::Ended(error),
    }
}

fn write_policy(policy: &OpenPolicy, writer: &mut Writer) {
    let OpenPolicy { encryption_required, allow_sha1, max_payload, max_age, names } = policy;
    writer.flag(*encryption_required).flag(*allow_sha1).number(*max_payload as u64);
    writer.optional(*max_age, Writer::duration);
    writer.list(names.iter(), |writer, name| writer.text(name));
}
