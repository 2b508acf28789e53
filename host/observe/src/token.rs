//! The token that lets an operator act through the listener.
//!
//! It is the first line of a file that only its owner may read. An operator who has it may pause channels and have rejected messages
//! tried again. A comparison takes as long for a wrong token as for the right one.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use message::locked;
use rustix::fs::{Mode, OFlags};
use subtle::ConstantTimeEq as _;

/// The least number of bytes of a token: what cannot be guessed.
const LEAST: usize = 16;
/// The largest number of bytes of a token.
const MOST: usize = 1024;

/// How often refused tokens are logged.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read {}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("{} may be read or written by others than its owner: run chmod 600", .0.display())]
    Exposed(PathBuf),
    /// The first line is too short, too long, or not visible ASCII.
    #[error(
        "the first line of {} is no token: it must have {LEAST} to {MOST} visible ASCII characters and no space; make one \
         with `openssl rand -hex 32`",
        .0.display()
    )]
    NoToken(PathBuf),
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<[u8]>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Reads the token of a file.
    ///
    /// # Errors
    /// [`TokenError`], naming the file.
    pub fn read(file: &Path) -> Result<Self, TokenError> {
        let unreadable = |source| TokenError::Unreadable { file: file.to_owned(), source };
        let open = open(file).map_err(unreadable)?;
        let facts = open.metadata().map_err(unreadable)?;
        if !facts.is_file() {
            return Err(unreadable(io::Error::other("it is not a file")));
        }
        if facts.mode() & 0o077 != 0 {
            return Err(TokenError::Exposed(file.to_owned()));
        }
        let mut bytes = Vec::new();
        open.take(MOST as u64 + 2).read_to_end(&mut bytes).map_err(unreadable)?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
        if !(LEAST..=MOST).contains(&line.len()) || !line.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::NoToken(file.to_owned()));
        }
        Ok(Self(line.into()))
    }

    /// Whether `given` is this token.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

/// Opens a file, and does not wait for one who writes into it where it is a pipe.
fn open(file: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(file, flags, Mode::empty())?))
}

/// Requests with a wrong token that were not logged yet, and when one was.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<(Option<Instant>, u64)>);

impl Refusals {
    /// How many to log now, this one included; none where a line was written a moment ago.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let mut state = locked(&self.0);
        state.1 += 1;
        if state.0.is_some_and(|last| now.saturating_duration_since(last) < LOG_AGAIN) {
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(content: &[u8], mode: u32) -> Result<Token, TokenError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        Token::read(&file)
    }

    #[test]
    fn is_the_first_line_of_a_file_of_its_owner() {
        let token = read(b"0123456789abcdef \r\nmore", 0o600).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdeg", b"0123456789abcdef0", b"\0"] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert!(read(b"0123456789abcdef", 0o400).is_ok());
    }

    #[test]
    fn a_file_of_others_and_a_weak_token_are_refused() {
        for mode in [0o640, 0o604, 0o620, 0o644] {
            assert!(matches!(read(b"0123456789abcdef", mode), Err(TokenError::Exposed(_))), "{mode:o}");
        }
        for content in [&b""[..], b"0123456789abcde\n0", b"0123456789 abcdef", b"0123456789abcde\xff", &[b'a'; 1025]] {
            assert!(matches!(read(content, 0o600), Err(TokenError::NoToken(_))), "{content:?}");
        }
        assert!(matches!(Token::read(Path::new("/")), Err(TokenError::Unreadable { .. })));
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let error = Token::read(&pipe).unwrap_err();
        assert!(message::cause::chain(&error).ends_with("it is not a file"), "it is not waited for: {error}");
        let error = Token::read(Path::new("/nowhere/token")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
    }

    #[test]
    fn refused_tokens_are_logged_once_a_minute_with_their_number() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let due = |seconds| refusals.due(start + Duration::from_secs(seconds));
        assert_eq!([due(0), due(1), due(59), due(60), due(61)], [Some(1), None, None, Some(3), None]);
    }
}
