//! The token that lets an operator act through the listener.
//!
//! It is the first line of a file that only its owner may read. An operator who has it may pause channels and have rejected messages
//! tried again. A comparison takes as long for a wrong token as for the right one.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use message::locked;
use message::owner_only::{self, OwnerOnlyError};
use subtle::ConstantTimeEq as _;

/// The least number of bytes of a token: what cannot be guessed.
const LEAST: usize = 16;
/// The largest number of bytes of a token.
const MOST: usize = 1024;
/// The largest file with a token, in bytes.
const MOST_OF_FILE: u64 = 4096;

/// How often refused tokens are logged.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] OwnerOnlyError),
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
        let bytes = owner_only::read(file, MOST_OF_FILE)?;
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
            let read = read(b"0123456789abcdef", mode);
            assert!(matches!(read, Err(TokenError::File(OwnerOnlyError::Exposed(_)))), "{mode:o}");
        }
        for content in [&b""[..], b"0123456789abcde\n0", b"0123456789 abcdef", b"0123456789abcde\xff", &[b'a'; 1025]] {
            assert!(matches!(read(content, 0o600), Err(TokenError::NoToken(_))), "{content:?}");
        }
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
