//! The messages that are in flight, recorded so that a crash can be attributed to them.
//!
//! A plugin or a library can crash the whole process, and the broker then redelivers the same message. Before the work
//! on a message, its digest is appended to a small file; after the work, a second line marks the end. Every message
//! without an end at the next start was in flight during a crash: [`super::CrashLimit`] counts it.
//!
//! # On disk
//! Lines `+CHANNEL DIGEST` and `-CHANNEL DIGEST`, never synced: the file must survive a crash of the process, not of
//! the machine, since a power cut does not count against a message. Other lines are ignored. The file is truncated when
//! no message is in flight and it has grown to 64 KiB; truncating it every time would cost more than the two lines.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::SpoolError;
use message::{files, hex, locked};
use rustix::fs::{CWD, OFlags};

/// Size at which the file is truncated when no message is in flight.
const CUT_BYTES: u64 = 64 << 10;
/// Size at which the file is rewritten although messages are in flight.
const MAX_BYTES: u64 = 1 << 20;

/// A message that was in flight when the previous process crashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Interrupted {
    pub(super) channel: String,
    /// SHA-256 of the message as received, or of the element's content.
    pub(super) digest: [u8; 32],
}

/// The file of a spool's messages in flight. A cheap handle; the caller holds the spool's lock.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    bytes: u64,
    /// Number of unfinished messages for each line: two copies of a message may be in flight at once.
    open: HashMap<String, usize>,
    /// Set when no more lines are written.
    stopped: bool,
}

impl InFlight {
    /// Opens the file `path` and returns the messages left in it.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Interrupted>), SpoolError> {
        let failed = |error| SpoolError::io("open", path)(error);
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
        let mut file = files::open(CWD, path, flags, 0o600).map_err(failed)?;
        let mut bytes = Vec::new();
        (&mut file).take(4 * MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let interrupted = parse(&String::from_utf8_lossy(&bytes));
        file.set_len(0).map_err(failed)?;
        let inner = Inner { file, bytes: 0, open: HashMap::new(), stopped: false };
        Ok((Self { inner: Arc::new(Mutex::new(inner)) }, interrupted))
    }

    /// A channel's name as written in the file.
    pub(super) fn name(channel: &str) -> String {
        channel.replace(['\n', ' '], "_")
    }

    /// Empties the file and writes no more lines, because the program stops on request.
    ///
    /// # Errors
    /// The error of `ftruncate`.
    pub(super) fn stop(&self) -> io::Result<()> {
        let mut inner = locked(&self.inner);
        inner.stopped = true;
        inner.file.set_len(0)
    }

    /// Notes that work on a message begins; it ends when the mark is dropped.
    ///
    /// # Errors
    /// The error of the write. The message may still be processed.
    pub(super) fn begin(&self, channel: &str, digest: &[u8; 32]) -> io::Result<InFlightMark> {
        let line = format!("{} {}", Self::name(channel), hex(digest));
        self.note('+', &line)?;
        Ok(InFlightMark { work: self.clone(), line })
    }

    fn note(&self, sign: char, line: &str) -> io::Result<()> {
        let mut inner = locked(&self.inner);
        if inner.stopped {
            return Ok(());
        }
        let count = inner.open.entry(line.to_owned()).or_default();
        *count = if sign == '+' { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            inner.open.remove(line);
        }
        let limit = if inner.open.is_empty() { CUT_BYTES } else { MAX_BYTES };
        if inner.bytes > limit {
            inner.file.set_len(0)?;
            let lines: String = inner.open.keys().map(|line| format!("+{line}\n")).collect();
            inner.bytes = lines.len() as u64;
            return inner.file.write_all(lines.as_bytes());
        }
        let text = format!("{sign}{line}\n");
        inner.bytes += text.len() as u64;
        inner.file.write_all(text.as_bytes())
    }
}

/// Marks work on a message, until it is dropped.
#[derive(Debug)]
#[must_use = "the work ends when it is dropped"]
pub(super) struct InFlightMark {
    work: InFlight,
    line: String,
}

impl Drop for InFlightMark {
    fn drop(&mut self) {
        // If this fails, the message may be counted as in flight during the next crash.
        let _ = self.work.note('-', &self.line);
    }
}

fn parse(text: &str) -> Vec<Interrupted> {
    let mut open: Vec<&str> = Vec::new();
    // A last line without a line end was being written during the crash; it counts too.
    for line in text.lines() {
        if let Some(begun) = line.strip_prefix('+') {
            open.push(begun);
        } else if let Some(place) = line.strip_prefix('-').and_then(|done| open.iter().position(|line| *line == done)) {
            open.remove(place);
        }
    }
    // Copies of a message that were in flight together count as one crash.
    open.sort_unstable();
    open.dedup();
    open.into_iter().filter_map(interrupted).collect()
}

fn interrupted(line: &str) -> Option<Interrupted> {
    let (channel, digits) = line.split_once(' ')?;
    let bytes: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|n| digits.get(n..n + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()?;
    Some(Interrupted { channel: channel.to_owned(), digest: bytes.try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_messages_in_flight_and_no_finished_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-work");
        let (work, before) = InFlight::open(&path).unwrap();
        assert!(before.is_empty());
        let done = work.begin("central", &[1; 32]).unwrap();
        std::mem::forget(work.begin("central", &[2; 32]).unwrap());
        let twice = work.begin("central", &[2; 32]).unwrap();
        drop(done);
        drop(twice);
        let (work, interrupted) = InFlight::open(&path).unwrap();
        assert_eq!(interrupted, [Interrupted { channel: "central".to_owned(), digest: [2; 32] }]);
        drop(work.begin("central", &[3; 32]).unwrap());
        assert!(InFlight::open(&path).unwrap().1.is_empty());
        assert_eq!(path.metadata().unwrap().len(), 0);
    }

    #[test]
    fn two_copies_of_a_message_count_as_one_crash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-work");
        let (work, _) = InFlight::open(&path).unwrap();
        for digest in [[1; 32], [2; 32], [1; 32]] {
            std::mem::forget(work.begin("central", &digest).unwrap());
        }
        assert_eq!(InFlight::open(&path).unwrap().1.len(), 2);
    }

    #[test]
    fn stays_small_and_ignores_other_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-work");
        let (work, _) = InFlight::open(&path).unwrap();
        for limit in [CUT_BYTES, MAX_BYTES] {
            for _ in 0..10_000 {
                drop(work.begin("c", &[7; 32]).unwrap());
            }
            assert!(path.metadata().unwrap().len() <= limit + 200);
            std::mem::forget(work.begin("c", &[9; 32]).unwrap());
        }
        assert_eq!(InFlight::open(&path).unwrap().1.len(), 1);
        for text in ["", "noise", "+c zz\n", "+c 00\n-x", "+\n", "\u{e9}\n+"] {
            assert!(parse(text).is_empty(), "{text:?}");
        }
    }
}
