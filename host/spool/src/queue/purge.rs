//! Purging a queue with fields.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::draft::discard_draft;
use super::{GONE_SUFFIX, LOCKED, NEW_SUFFIX, Queue};
use crate::{SpoolError, disk, names};

/// The result of a purge: numbers of removed entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Empty intermediate directories.
    pub directories: usize,
    /// Left-overs of interrupted writes and removals.
    pub leftovers: usize,
    /// Stale locks.
    pub locks: usize,
}

impl Queue {
    /// Removes empty intermediate directories (except the last), left-overs of removals older than `left_over`, and
    /// locks older than `locked`. Never touches elements or drafts: only recovery removes drafts, since the commit
    /// engine may still publish them.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn purge(&self, left_over: Duration, locked: Duration) -> Result<Purged, SpoolError> {
        let mut purged = Purged::default();
        let mut directories = self.directories()?;
        let last = directories.pop();
        for directory in &directories {
            let path = self.path.join(directory);
            match disk::remove_empty(&path) {
                Ok(()) => purged.directories += 1,
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(error) => return Err(SpoolError::io("remove directory", &path)(error)),
            }
        }
        purged.leftovers = self.purge_obsolete(left_over)?;
        for directory in directories.iter().chain(&last) {
            purged.locks += self.purge_locks(directory, locked)?;
        }
        Ok(purged)
    }

    fn purge_obsolete(&self, age: Duration) -> Result<usize, SpoolError> {
        let path = self.path.join("obsolete");
        let leftovers = match disk::sorted_names(&path, |name| name.ends_with(GONE_SUFFIX.as_bytes())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(SpoolError::io("list", &path))?,
        };
        let mut count = 0;
        for name in leftovers {
            let path = path.join(name);
            if older(&path, age) {
                discard_draft(&path);
                count += 1;
            }
        }
        Ok(count)
    }

    fn purge_locks(&self, directory: &Path, age: Duration) -> Result<usize, SpoolError> {
        let path = self.path.join(directory);
        let elements = match disk::sorted_names(&path, names::is_element) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(SpoolError::io("list", &path))?,
        };
        let mut count = 0;
        for element in elements {
            let lock = path.join(element).join(LOCKED);
            if older(&lock, age) && disk::remove_empty(&lock).is_ok() {
                count += 1;
            }
        }
        Ok(count)
    }

    /// Removes every draft whose name `keep` does not accept, and returns their number. For recovery, under the spool's
    /// lock.
    pub(crate) fn sweep(&self, keep: impl Fn(&str) -> bool) -> io::Result<usize> {
        let path = self.temporary();
        let mut count = 0;
        for name in disk::sorted_names(&path, |name| name.ends_with(NEW_SUFFIX.as_bytes()))? {
            if !keep(&name.to_string_lossy()) {
                discard_draft(&path.join(&name));
                count += 1;
            }
        }
        Ok(count)
    }
}

fn older(path: &Path, age: Duration) -> bool {
    let modified = path.symlink_metadata().and_then(|facts| facts.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|since| since >= age))
}
