//! The status file: what a running Sesame reports of its plugins, for `sesame plugin list` to read.
//!
//! # On disk
//! `plugins.json` beside the journal of a spool or state directory, mode 0640, written aside and renamed within two seconds of
//! a change, and every twenty seconds without one. It holds names, hashes, counters and the faults of plugins; nothing of any
//! message. It needs no sync: a reader checks its age, and a lost file is written again.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use message::files;
use rustix::fs::{CWD, OFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use plugins::ChannelReport;

/// The name of the file.
const FILE: &str = "plugins.json";
/// The largest file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// What a process reports of the channels of one spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// When, in milliseconds since 1970.
    pub written: u64,
    /// Whether the process is still running.
    pub running: bool,
    /// Its id.
    pub process: u32,
    /// The channels.
    pub channels: Vec<ChannelReport>,
}

impl Status {
    /// The status now.
    pub(super) fn now(running: bool, channels: Vec<ChannelReport>) -> Self {
        let written = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = u64::try_from(written.as_millis()).unwrap_or(u64::MAX);
        Self { written, running, process: std::process::id(), channels }
    }

    /// How old it is.
    #[must_use]
    pub fn age(&self) -> Duration {
        let written = UNIX_EPOCH + Duration::from_millis(self.written);
        SystemTime::now().duration_since(written).unwrap_or_default()
    }

    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        write_json(directory, FILE, 0o640, self)
    }

    /// Which file there is: another one has another inode or another time.
    pub(super) fn file(directory: &Path) -> Option<(u64, SystemTime)> {
        let facts = directory.join(FILE).symlink_metadata().ok()?;
        Some((facts.ino(), facts.modified().ok()?))
    }

    /// The last report of the channels of a spool; none if there is no file.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub fn read(directory: &Path) -> io::Result<Option<Self>> {
        read_json(&directory.join(FILE))
    }
}

/// Writes a file aside and renames it.
pub(super) fn write_json(directory: &Path, name: &str, mode: u32, value: &impl Serialize) -> io::Result<()> {
    let aside = directory.join(format!(".{name}.new"));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    files::open(CWD, &aside, flags, mode)?.write_all(&serde_json::to_vec(value)?)?;
    std::fs::rename(&aside, directory.join(name))
}

/// Reads such a file; none if there is none.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_slice(&bytes)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Status::read(folder.path()).unwrap().is_none());
        let report = ChannelReport { channel: "central".to_owned(), ..ChannelReport::default() };
        let status = Status::now(true, vec![report]);
        status.write(folder.path()).unwrap();
        assert_eq!(Status::read(folder.path()).unwrap(), Some(status.clone()));
        assert!(status.age() < Duration::from_secs(60));
        let mode = folder.path().join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
