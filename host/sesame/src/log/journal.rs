//! Log lines with their fields in the journal of systemd.
//!
//! # Protocol
//! One datagram for each line (systemd's *native journal protocol*): for each field its name, a line end, the length of the
//! value in 8 bytes, the value as it is, a line end. So no value can look like another field. What is too large for a datagram
//! goes as a sealed file in memory.
//!
//! # Fields
//! `MESSAGE` is the line as in the text format, without time and level: `journalctl` shows it by default, and without the
//! fields in it no one would see which message was rejected and why. Each field is there too, as `SESAME_` and its name in upper
//! case. `PRIORITY` is 3 for errors, 4 for warnings, 6 for info and 7 for what is finer.
//!
//! # Policy
//! Values are escaped as in the text format. A line that the journal does not take goes to standard error; where the journal
//! hangs, lines wait as [`Outlet`] says. The crate `tracing-journald` does none of it, nor does it put fields into `MESSAGE`.

use std::fmt::{self, Write as _};
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use message::text::escaped;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::outlet::{Outlet, Sink, words_of_lost};

/// Where the journal takes datagrams.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// The variable in which systemd names the stream that it gave the program (systemd.exec(5)).
pub(super) const STREAM: &str = "JOURNAL_STREAM";

/// Whether `stream`, the value of [`STREAM`], names what `file` writes to. A child that writes elsewhere inherits the variable.
pub(super) fn is_stream(stream: &str, file: impl AsFd) -> bool {
    let named = stream.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    let is: Option<(u64, u64)> = rustix::fs::fstat(file).ok().map(|facts| (facts.st_dev, facts.st_ino));
    is.is_some() && is == named
}

/// Writes events to the journal.
pub(super) struct Journal(Arc<Outlet<Datagrams>>);

impl Journal {
    /// The journal that listens at `path`.
    ///
    /// # Errors
    /// Where none does.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Datagrams::open(path).map(|datagrams| Self(Outlet::new(datagrams)))
    }
}

/// The socket of the journal.
#[derive(Debug)]
struct Datagrams {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Datagrams {
    fn open(path: &Path) -> io::Result<Self> {
        let journal = Self { socket: UnixDatagram::unbound()?, path: path.to_owned() };
        // The journal ignores an empty datagram.
        journal.socket.send_to(&[], path)?;
        Ok(journal)
    }

    /// Sends an entry; `flags` may say not to wait.
    fn send(&self, entry: &[u8], flags: SendFlags) -> io::Result<()> {
        let address = SocketAddrUnix::new(&self.path)?;
        match rustix::net::sendto(&self.socket, entry, flags | SendFlags::NOSIGNAL, &address) {
            Err(error) if is_too_large(error) => self.send_file(entry, flags),
            sent => Ok(sent.map(drop)?),
        }
    }

    /// Sends an entry that is too large for a datagram.
    fn send_file(&self, entry: &[u8], flags: SendFlags) -> io::Result<()> {
        let file = rustix::fs::memfd_create("sesame-log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = std::fs::File::from(file);
        file.write_all(entry)?;
        let file = OwnedFd::from(file);
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let files = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let address = SocketAddrUnix::new(&self.path)?;
        let nothing = [IoSlice::new(&[])];
        rustix::net::sendmsg_addr(&self.socket, &address, &nothing, &mut control, flags | SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

fn is_too_large(error: Errno) -> bool {
    matches!(error, Errno::MSGSIZE | Errno::NOBUFS)
}

impl Sink for Datagrams {
    /// What cannot be sent goes to standard error, which may block, too.
    fn offer(&self, entry: &[u8]) -> bool {
        self.send(entry, SendFlags::DONTWAIT).is_ok()
    }

    fn write(&self, entry: &[u8]) {
        if self.send(entry, SendFlags::empty()).is_err() {
            let _ = writeln!(io::stderr().lock(), "{}", message_of(entry));
        }
    }

    fn lost(&self, lines: u64) -> Vec<u8> {
        let mut entry = Vec::new();
        put(&mut entry, "MESSAGE", &words_of_lost(lines));
        put(&mut entry, "PRIORITY", priority(&Level::WARN));
        put(&mut entry, "SYSLOG_IDENTIFIER", "sesame");
        entry
    }
}

/// The first field of an entry: what people read.
fn message_of(entry: &[u8]) -> String {
    let value = entry.get("MESSAGE\n".len() + 8..).unwrap_or_default();
    let end = value.iter().position(|byte| *byte == b'\n').unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.put(&line.entry(event.metadata()));
    }
}

/// The text and the fields of an event.
#[derive(Debug, Default)]
struct Line {
    text: String,
    /// ` name=value` for each field, as in the text format.
    listed: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.text = value.to_owned();
        } else {
            let _ = write!(self.listed, " {}={value:?}", field.name());
            self.fields.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.text = value;
        } else {
            let _ = write!(self.listed, " {}={value}", field.name());
            self.fields.push((field.name(), value));
        }
    }
}

impl Line {
    /// The line as people read it.
    fn shown(&self) -> String {
        escaped(&format!("{}{}", self.text, self.listed)).into_owned()
    }

    /// The datagram.
    fn entry(&self, metadata: &Metadata<'_>) -> Vec<u8> {
        let mut entry = Vec::with_capacity(512);
        put(&mut entry, "MESSAGE", &self.shown());
        put(&mut entry, "PRIORITY", priority(metadata.level()));
        put(&mut entry, "SYSLOG_IDENTIFIER", "sesame");
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            put(&mut entry, "CODE_FILE", file);
            put(&mut entry, "CODE_LINE", &line.to_string());
        }
        for (name, value) in &self.fields {
            put(&mut entry, &name_of(name), &escaped(value));
        }
        entry
    }
}

fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// The journal's name for a field of ours; it takes upper-case letters, digits and underscores.
fn name_of(field: &str) -> String {
    let mapped = field.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    "SESAME_".chars().chain(mapped).take(64).collect()
}

fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{IoSliceMut, Read as _, Seek as _};
    use std::time::Duration;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// A journal of our own.
    struct Peer {
        folder: tempfile::TempDir,
        socket: UnixDatagram,
    }

    impl Peer {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let socket = UnixDatagram::bind(folder.path().join("socket")).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Self { folder, socket }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("socket")
        }

        /// The next datagram, or the file that came with it.
        fn next(&self) -> Vec<u8> {
            let mut bytes = vec![0; 1 << 18];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut bytes)];
            let got = rustix::net::recvmsg(&self.socket, &mut into, &mut control, RecvFlags::empty()).unwrap();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(mut files) = message {
                    let mut file = std::fs::File::from(files.next().unwrap());
                    assert!(rustix::fs::fcntl_get_seals(&file).unwrap().contains(SealFlags::WRITE | SealFlags::SHRINK));
                    let mut content = Vec::new();
                    file.rewind().unwrap();
                    file.read_to_end(&mut content).unwrap();
                    return content;
                }
            }
            bytes.truncate(got.bytes);
            bytes
        }

        /// What is logged by `speak`, as the journal reads it.
        fn hears(&self, speak: impl FnOnce()) -> BTreeMap<String, String> {
            let journal = Journal::open(&self.path()).unwrap();
            assert_eq!(self.next(), b"");
            tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), speak);
            read(&self.next())
        }
    }

    fn read(mut entry: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
            let name = String::from_utf8(entry[..end].to_vec()).unwrap();
            let length = u64::from_le_bytes(entry[end + 1..end + 9].try_into().unwrap()) as usize;
            let value = String::from_utf8(entry[end + 9..end + 9 + length].to_vec()).unwrap();
            assert_eq!(entry[end + 9 + length], b'\n');
            assert!(fields.insert(name, value).is_none());
            entry = &entry[end + 10 + length..];
        }
        fields
    }

    #[test]
    fn the_message_has_the_fields_and_each_is_apart_too() {
        let fields = Peer::new().hears(|| {
            tracing::warn!(channel = %"cpu", free_bytes = 7_u64, reason = "a b", absent = None::<&str>, "message {}", "rejected");
        });
        assert_eq!(fields["MESSAGE"], "message rejected channel=cpu free_bytes=7 reason=\"a b\"");
        let expected = [("PRIORITY", "4"), ("SYSLOG_IDENTIFIER", "sesame"), ("SESAME_CHANNEL", "cpu")];
        for (name, value) in expected.into_iter().chain([("SESAME_FREE_BYTES", "7"), ("SESAME_REASON", "a b")]) {
            assert_eq!(fields[name], value, "{fields:?}");
        }
        assert!(fields["CODE_FILE"].ends_with("journal.rs") && fields["CODE_LINE"].parse::<u32>().is_ok());
        assert_eq!(fields.len(), 8, "{fields:?}");
    }

    #[test]
    fn a_hostile_value_makes_neither_a_field_nor_a_line() {
        let hostile = "x\nPRIORITY=0\n_UID=0\nMESSAGE=forged\n\u{1b}[31m\u{202e}\0";
        let fields = Peer::new().hears(|| tracing::error!(id = hostile, signer = %hostile, "{hostile}"));
        assert_eq!(fields["PRIORITY"], "3");
        assert!(!fields.contains_key("_UID") && fields.len() == 7, "{fields:?}");
        for value in fields.values() {
            assert!(!value.chars().any(message::text::is_unsafe), "{value:?}");
        }
        assert!(fields["SESAME_SIGNER"].starts_with("x\\nPRIORITY=0\\n_UID=0"), "{fields:?}");
    }

    #[test]
    fn what_is_too_large_for_a_datagram_goes_as_a_sealed_file() {
        let large = "x".repeat(4 << 20);
        let fields = Peer::new().hears(|| tracing::info!(error = large, "large"));
        assert_eq!(fields["SESAME_ERROR"], large);
        assert_eq!(fields["PRIORITY"], "6");
    }

    #[test]
    fn a_journal_that_is_gone_stops_nothing_and_one_that_is_absent_is_an_error() {
        let peer = Peer::new();
        let journal = Journal::open(&peer.path()).unwrap();
        drop(peer);
        assert!(journal.0.sink().send(b"x", SendFlags::empty()).is_err());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), || tracing::error!("gone"));
        assert!(Journal::open(Path::new("/nowhere/socket")).is_err());
    }

    #[test]
    fn a_journal_that_hangs_holds_nothing_up_and_has_every_line_later() {
        let peer = Peer::new();
        let journal = Journal::open(&peer.path()).unwrap();
        let lines = 3000_u32;
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), || {
            for number in 0..lines {
                tracing::info!(number, "line");
            }
        });
        assert_eq!(peer.next(), b"");
        for number in 0..lines {
            assert_eq!(read(&peer.next())["SESAME_NUMBER"], number.to_string());
        }
    }

    #[test]
    fn a_stream_is_known_by_device_and_inode() {
        let (file, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let facts = rustix::fs::fstat(&file).unwrap();
        let named = format!("{}:{}", facts.st_dev, facts.st_ino);
        assert!(is_stream(&named, &file) && !is_stream(&named, &other));
        for broken in ["", "1", ":", "x:y", &format!("{named}0"), &format!("{named}:")] {
            assert!(!is_stream(broken, &file), "{broken}");
        }
    }
}
