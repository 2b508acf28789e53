//! Purging an outgoing queue.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::element::is_stale;
use super::scan::directory_numbers;
use super::{ElementName, Format, HIDDEN_PREFIX, Inner, LOCK_SUFFIX, Outgoing, TEMPORARY_SUFFIX};
use crate::failpoint::failpoint;
use crate::{Purged, SpoolError, disk, names};

/// Age at which a temporary file is certainly no longer being written. `dirq` uses 5 minutes, which loses files of slow
/// producers.
const TEMPORARY_AGE: Duration = Duration::from_secs(24 * 3600);

impl Outgoing {
    /// Removes temporary files older than 24 hours, stale locks without an element, and empty intermediate directories
    /// except the last. Never touches an element, or a lock that this process holds; elements may be locked, sent and
    /// removed meanwhile. Ends before the next intermediate directory if it is to `stop`.
    ///
    /// # Errors
    /// [`SpoolError::Io`]; all that can be purged is.
    pub fn purge(&self, stop: impl Fn() -> bool) -> Result<Purged, SpoolError> {
        let inner = &*self.inner;
        let mut purged = Purged::default();
        if inner.format == Format::Directory {
            purge_files(inner, &inner.path, &mut purged)?;
            return Ok(purged);
        }
        let mut directories = directory_numbers(&inner.path, |_| ())?;
        let mut failed = None;
        for directory in &directories {
            if stop() {
                return failed.map_or(Ok(purged), Err);
            }
            let purging = purge_files(inner, &inner.path.join(format!("{directory:08x}")), &mut purged);
            failed = failed.or(purging.err());
        }
        directories.pop();
        for directory in directories {
            let path = inner.path.join(format!("{directory:08x}"));
            match disk::remove_empty(&path) {
                Ok(()) => purged.directories += 1,
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(error) => failed = failed.or(Some(SpoolError::io("remove directory", &path)(error))),
            }
        }
        failed.map_or(Ok(purged), Err)
    }
}

fn purge_files(inner: &Inner, directory: &Path, purged: &mut Purged) -> Result<(), SpoolError> {
    let wanted = |name: &[u8]| match inner.format {
        Format::Dirq => is_volatile(name),
        // Temporary files of other programs in a plain directory are left alone.
        Format::Directory => name.starts_with(HIDDEN_PREFIX.as_bytes()) && name.ends_with(TEMPORARY_SUFFIX.as_bytes()),
    };
    let found = match disk::sorted_names(directory, wanted) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(SpoolError::io("list", directory))?,
    };
    for name in found {
        let path = directory.join(&name);
        let failed = |error| SpoolError::io("purge", &path)(error);
        failpoint!("S12").map_err(failed)?;
        if let Some(element) = name.as_bytes().strip_suffix(LOCK_SUFFIX.as_bytes()) {
            let element = directory.join(OsStr::from_bytes(element));
            purged.locks += usize::from(purge_lock(inner, &element, &path).map_err(failed)?);
        } else if older(&path) {
            disk::unlink(&path).map_err(failed)?;
            purged.leftovers += 1;
        }
    }
    Ok(())
}

/// Removes a lock if it is stale and has no element. Returns whether it did.
fn purge_lock(inner: &Inner, element: &Path, lock: &Path) -> io::Result<bool> {
    // Our own locks count as stale. An element enters `held` before its lock is made, and leaves it after the lock is gone.
    let held = inner.held();
    let name = element.strip_prefix(&inner.path).map(|name| ElementName(name.as_os_str().to_owned()));
    let orphan = element.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if !orphan || name.is_ok_and(|name| held.contains(&name)) || !is_stale(inner, lock)? {
        return Ok(false);
    }
    disk::unlink(lock)?;
    Ok(true)
}

/// Whether the name is that of a lock or temporary file of a `dirq`: an element name with one of the two suffixes.
fn is_volatile(name: &[u8]) -> bool {
    let stem = name.strip_suffix(LOCK_SUFFIX.as_bytes()).or_else(|| name.strip_suffix(TEMPORARY_SUFFIX.as_bytes()));
    stem.is_some_and(names::is_element)
}

fn older(path: &Path) -> bool {
    let modified = path.symlink_metadata().and_then(|facts| facts.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age >= TEMPORARY_AGE))
}
