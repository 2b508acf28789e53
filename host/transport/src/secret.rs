//! Files with a passcode or a token, which only their owner may read.

use std::path::{Path, PathBuf};

use message::owner_only::{self, OwnerOnlyError};
use zeroize::Zeroizing;

/// The most that such a file may have, in bytes.
const MOST: u64 = 4096;

/// Why a passcode or a token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] OwnerOnlyError),
    /// It is not text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotUtf8(PathBuf),
    /// The line is not there.
    #[error("{} has no {line} on line {number}", .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// `login`, `passcode` or `token`.
        line: &'static str,
        /// From 1.
        number: usize,
    },
    /// The first line cannot be a token.
    #[error("the first line of {} is not a token of AMS: it has characters that no header may have", .0.display())]
    NoToken(PathBuf),
}

/// The text of such a file.
pub(super) struct SecretFile<'a> {
    file: &'a Path,
    bytes: Zeroizing<Vec<u8>>,
}

impl<'a> SecretFile<'a> {
    pub(super) fn read(file: &'a Path) -> Result<Self, SecretError> {
        Ok(Self { file, bytes: owner_only::read(file, MOST)? })
    }

    /// A line, from 1, without the white space at its end; `what` names it.
    pub(super) fn line(&self, what: &'static str, number: usize) -> Result<&str, SecretError> {
        let text = std::str::from_utf8(&self.bytes).map_err(|_| SecretError::NotUtf8(self.file.to_owned()))?;
        let line = text.lines().nth(number.saturating_sub(1)).map(str::trim_end);
        let missing = || SecretError::Missing { file: self.file.to_owned(), line: what, number };
        line.filter(|line| !line.is_empty()).ok_or_else(missing)
    }
}
