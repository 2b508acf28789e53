//! Files with a passcode or a token, which only their owner may read.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The most that is read of a file, in bytes.
const MOST: u64 = 4096;

/// Why a passcode or a token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read {}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than the owner may read the file.
    #[error("{} may be read by others than its owner: run chmod 600", .0.display())]
    Exposed(PathBuf),
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

/// The first 4 KiB of such a file.
pub(super) struct SecretFile<'a> {
    file: &'a Path,
    text: Zeroizing<String>,
}

impl<'a> SecretFile<'a> {
    pub(super) fn read(file: &'a Path) -> Result<Self, SecretError> {
        let unreadable = |source| SecretError::Unreadable { file: file.to_owned(), source };
        let open = File::open(file).map_err(unreadable)?;
        if open.metadata().map_err(unreadable)?.mode() & 0o077 != 0 {
            return Err(SecretError::Exposed(file.to_owned()));
        }
        let mut text = Zeroizing::new(String::new());
        open.take(MOST).read_to_string(&mut text).map_err(unreadable)?;
        Ok(Self { file, text })
    }

    /// A line, from 1, without the white space at its end; `what` names it.
    pub(super) fn line(&self, what: &'static str, number: usize) -> Result<&str, SecretError> {
        let line = self.text.lines().nth(number.saturating_sub(1)).map(str::trim_end);
        let missing = || SecretError::Missing { file: self.file.to_owned(), line: what, number };
        line.filter(|line| !line.is_empty()).ok_or_else(missing)
    }
}
