//! Removes sent elements, but never content that replaced them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD};

use super::element::Identity;
use super::{ASIDE_SUFFIX, ElementName, Format, HIDDEN_PREFIX, Inner, LockedElement};
use crate::failpoint::failpoint;
use crate::{SpoolError, disk, names};

/// Maximum length of a plain file's name that an aside name keeps, in bytes.
const KEPT_NAME: usize = 150;

/// The result of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The element is removed durably.
    Removed,
    /// Its content had changed since it was read; the new content is a new element with this name.
    Restored(ElementName),
    /// Another process had removed it.
    Gone,
}

impl LockedElement {
    /// Removes the element durably.
    ///
    /// # Errors
    /// [`SpoolError::Io`]; the element then still exists or is restored at the next start.
    #[cfg(test)]
    pub(crate) fn remove(self) -> Result<Removal, SpoolError> {
        Self::remove_all(vec![self]).pop().unwrap_or(Ok(Removal::Gone))
    }

    /// Removes elements durably and syncs each directory once. The results are in the order of the elements.
    pub fn remove_all(elements: Vec<Self>) -> Vec<Result<Removal, SpoolError>> {
        let mut touched = BTreeSet::new();
        let mut removals: Vec<_> = elements.iter().map(|element| element.remove_unsynced(&mut touched)).collect();
        // Unlock. A power cut from here on can restore elements without their locks: they are then sent again.
        drop(elements);
        for path in touched {
            if let Err(error) = disk::absent_is_fine(disk::sync_directory(&path)) {
                // Which removal it belongs to does not matter: the message may be sent again, as a duplicate.
                if let Some(slot) = removals.iter_mut().find(|removal| removal.is_ok()) {
                    *slot = Err(SpoolError::io("sync directory", &path)(error));
                }
            }
        }
        removals
    }

    pub(super) fn remove_unsynced(&self, touched: &mut BTreeSet<PathBuf>) -> Result<Removal, SpoolError> {
        let path = self.inner.place(&self.name);
        let aside = aside_path(&self.inner, &self.name, &self.identity);
        let failed = |error| SpoolError::io("remove element", &path)(error);
        // A scan must not mistake the aside for one of a crashed process.
        let _guard = Guard::new(&self.inner, &aside);
        match disk::rename_new(&path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removal::Gone),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left by a process that crashed while removing the same content.
                settle(&self.inner, &aside, touched)?;
                disk::rename_new(&path, &aside).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        failpoint!("S08").map_err(failed)?;
        touched.extend(path.parent().map(Path::to_owned));
        let removal = settle(&self.inner, &aside, touched)?;
        failpoint!("S09").map_err(failed)?;
        Ok(removal)
    }
}

/// Marks an aside as in use until it is dropped.
struct Guard<'a> {
    inner: &'a Inner,
    name: ElementName,
}

impl<'a> Guard<'a> {
    fn new(inner: &'a Inner, aside: &Path) -> Self {
        let name = ElementName(aside.as_os_str().to_owned());
        inner.held().insert(name.clone());
        Self { inner, name }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.inner.held().remove(&self.name);
    }
}

/// Settles an aside: unlinks it if it has the identity in its name, and restores it as a new element otherwise.
fn settle(inner: &Inner, aside: &Path, touched: &mut BTreeSet<PathBuf>) -> Result<Removal, SpoolError> {
    let failed = |error: io::Error| SpoolError::io("remove element", aside)(error);
    let found = match rustix::fs::statat(CWD, aside, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(facts) => Identity::of(&facts),
        Err(rustix::io::Errno::NOENT) => return Ok(Removal::Gone),
        Err(error) => return Err(failed(error.into())),
    };
    let (sent, name) = parse_aside(inner, aside);
    if sent == Some(found) {
        disk::unlink(aside).map_err(failed)?;
        return Ok(Removal::Removed);
    }
    restore(inner, aside, &name, touched).map(Removal::Restored)
}

/// Settles an aside of a crashed process. One that this process uses is left alone.
pub(super) fn settle_leftover(inner: &Inner, aside: &Path) -> Result<(), SpoolError> {
    let busy = inner.held().contains(&ElementName(aside.as_os_str().to_owned()));
    if inner.lock.is_none() || busy {
        return Ok(());
    }
    let mut touched = BTreeSet::new();
    touched.extend(aside.parent().map(Path::to_owned));
    settle(inner, aside, &mut touched)?;
    touched.iter().try_for_each(|path| {
        disk::absent_is_fine(disk::sync_directory(path)).map_err(SpoolError::io("sync directory", path))
    })
}

/// Gives changed content an element name, so that it is sent as a new message.
pub(super) fn restore(
    inner: &Inner,
    aside: &Path,
    name: &OsStr,
    touched: &mut BTreeSet<PathBuf>,
) -> Result<ElementName, SpoolError> {
    let mut target = match inner.format {
        Format::Dirq => super::add::fresh_name(inner, touched)?,
        Format::Directory => ElementName(name.to_owned()),
    };
    loop {
        match disk::rename_new(aside, &inner.place(&target)) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                target = match inner.format {
                    Format::Dirq => super::add::fresh_name(inner, touched)?,
                    Format::Directory => {
                        let mut other = name.to_owned();
                        other.push(format!("-{}", names::fresh_element()));
                        ElementName(other)
                    }
                };
            }
            Err(error) => return Err(SpoolError::io("restore element", aside)(error)),
        }
    }
    touched.extend(inner.place(&target).parent().map(Path::to_owned));
    Ok(target)
}

/// The path of an element while it is being removed. The name contains the identity, so that the comparison survives a
/// crash.
fn aside_path(inner: &Inner, name: &ElementName, identity: &Identity) -> PathBuf {
    let facts = format!("{}-{}-{}", identity.size, identity.modified, identity.inode);
    match inner.format {
        Format::Dirq => {
            let mut path = inner.place(name).into_os_string();
            path.push(format!("-{facts}{ASIDE_SUFFIX}"));
            path.into()
        }
        Format::Directory => {
            let bytes = name.0.as_bytes();
            let kept = if bytes.len() <= KEPT_NAME { bytes } else { &[] };
            let mut file = format!("{HIDDEN_PREFIX}{facts}-").into_bytes();
            file.extend_from_slice(kept);
            file.extend_from_slice(ASIDE_SUFFIX.as_bytes());
            inner.path.join(OsString::from_vec(file))
        }
    }
}

/// The identity and the original file name in an aside name (a fresh name if it did not fit).
fn parse_aside(inner: &Inner, aside: &Path) -> (Option<Identity>, OsString) {
    let fresh = || OsString::from(format!("restored-{}", names::fresh_element()));
    let file = aside.file_name().unwrap_or_default().as_bytes();
    let Some(stem) = file.strip_suffix(ASIDE_SUFFIX.as_bytes()) else { return (None, fresh()) };
    let stem = stem.strip_prefix(HIDDEN_PREFIX.as_bytes()).unwrap_or(stem);
    let mut parts: Vec<&[u8]> = stem.splitn(4, |byte| *byte == b'-').collect();
    let name = match inner.format {
        Format::Dirq => parts.drain(..1.min(parts.len())).next(),
        Format::Directory => parts.pop(),
    };
    let number = |n: usize| parts.get(n).and_then(|part| std::str::from_utf8(part).ok()?.parse::<i128>().ok());
    let identity = (|| {
        let size = u64::try_from(number(0)?).ok()?;
        Some(Identity { size, modified: number(1)?, inode: u64::try_from(number(2)?).ok()? })
    })();
    let name = name.filter(|name| !name.is_empty()).map(|name| OsString::from_vec(name.to_vec()));
    (identity, name.unwrap_or_else(fresh))
}
