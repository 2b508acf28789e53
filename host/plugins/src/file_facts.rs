//! The metadata of a file, so that a change is noticed without reading it, and a file that is still being written is left alone.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The metadata of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub(crate) place: (u64, u64),
    pub(crate) size: i64,
    /// Seconds and nanoseconds; `changed` moves with the name, the owner and the mode as well.
    pub(crate) modified: (i64, u64),
    pub(crate) changed: (i64, u64),
}

impl From<rustix::fs::Stat> for FileFacts {
    fn from(stat: rustix::fs::Stat) -> Self {
        Self {
            place: (stat.st_dev, stat.st_ino),
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl FileFacts {
    /// Reads the metadata of a file, or of the one that a link leads to. If that fails, the file counts as absent.
    pub(crate) fn of(file: &Path) -> Option<Self> {
        rustix::fs::stat(file).ok().map(Self::from)
    }

    /// Whether the metadata shows that the file is complete: it was not written for this long, or was renamed, or had its mode or
    /// times set, after the last write.
    pub(crate) fn is_finished(&self, now: SystemTime, settle: Duration) -> bool {
        let old = || now.duration_since(moment(self.modified)?).ok().map(|age| age >= settle);
        (self.size > 0 && self.changed > self.modified) || old() == Some(true)
    }
}

fn moment((seconds, nanoseconds): (i64, u64)) -> Option<SystemTime> {
    let since_1970 = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
    UNIX_EPOCH.checked_add(since_1970)
}
