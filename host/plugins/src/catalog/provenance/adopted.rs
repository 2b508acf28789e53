//! The record of accepted files: they stay accepted after the signer's certificate has expired.
//!
//! # On disk
//! One line for each adopted file: its SHA-256 in hexadecimal, a space, and the time of adoption in seconds since 1970. A file
//! that is adopted again a day or more later gets another line, because the same bytes may have been signed again with a
//! certificate that was not valid before. Lines are only appended, each with one write and a sync; a line that a crash cut
//! short is ignored. The file belongs to Sesame alone, mode 0600: anyone who writes to it can make an expired signature
//! valid again, though never a false one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::catalog::folder::read_file;
use message::{files, hex};
use rustix::fs::{CWD, OFlags};

/// Some forty thousand lines; Sesame writes no larger file.
const MAX_BYTES: u64 = 4 << 20;

/// In seconds.
const DAY: u64 = 86_400;

/// The file.
pub(super) struct Adopted<'a> {
    file: &'a Path,
}

impl<'a> Adopted<'a> {
    pub(super) fn new(file: &'a Path) -> Self {
        Self { file }
    }

    pub(super) fn file(&self) -> &Path {
        self.file
    }

    /// When a file of this hash was adopted, in seconds since 1970, the newest first.
    pub(super) fn times(&self, hash: &[u8; 32]) -> Vec<u64> {
        let hash = hex(hash);
        let time = |line: &str| line.split_once(' ').filter(|(known, _)| *known == hash)?.1.parse().ok();
        let mut times: Vec<u64> = self.text().lines().filter_map(time).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times
    }

    /// Records durably that it is adopted now, unless that was recorded within a day.
    pub(super) fn record(&self, hash: &[u8; 32], now: SystemTime) -> io::Result<()> {
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.times(hash).first().is_some_and(|last| seconds.saturating_sub(*last) < DAY) {
            return Ok(());
        }
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let mut file = files::open(CWD, self.file, flags, 0o600)?;
        // The line before may have been cut short.
        let text = self.text();
        let start = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        file.write_all(format!("{start}{} {seconds}\n", hex(hash)).as_bytes())?;
        file.sync_all()?;
        File::open(folder)?.sync_all()
    }

    /// Empty if the file does not exist or others may write to it.
    fn text(&self) -> String {
        if self.file.symlink_metadata().is_err() {
            return String::new();
        }
        match read_file(self.file, MAX_BYTES) {
            Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(error, "cannot read the record of adopted plugin files");
                String::new()
            }
        }
    }
}
