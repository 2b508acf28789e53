//! Directory queues with fields: incoming, reject, deferred, and the queues of routes.
//!
//! Start reading at [`Queue`]. Only the commit engine (`super::commit`) adds new elements; this module lists, reads,
//! locks, moves, removes and purges them, and has the writing steps of the engine (`draft.rs`).
//!
//! # On disk
//! The layout of Python's and Perl's `dirq`, so that existing loaders can read it:
//!
//! ```text
//! QUEUE/temporary/                14HEX.new/     an element being written; foreign purges ignore this name
//! QUEUE/obsolete/                 14HEX.gone/    an element being removed
//! QUEUE/NNNNNNNN/                 8 hexadecimal digits, counting from 00000000, 16,000 elements each
//!       14HEX/                    an element
//!          body signer empaid …   one file for each field, [0-9a-zA-Z]+
//!          locked/                while it is locked
//! ```
//!
//! A foreign `dirq` purge may run at any time. It removes empty entries `14HEX` in `temporary/` of any age; hence the
//! suffix. It removes empty intermediate directories; adding an element therefore creates them again if they vanish.
//! Elements are counted by reading directories, never by link counts, which btrfs and overlayfs do not maintain.

mod adopt;
mod draft;
mod purge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use message::files;
use rustix::fs::AtFlags;

use super::disk::{self, Modes};
use super::{SpoolError, names};

pub(crate) use draft::{Draft, discard_draft, keep_open};
pub use purge::Purged;

/// Maximum number of elements in an intermediate directory.
const DIRECTORY_ELEMENTS: usize = 16_000;

/// Name of the subdirectory that is the lock.
const LOCKED: &str = "locked";

/// Suffix of an element being written. Any name that a foreign purge does not match would do.
pub(crate) const NEW_SUFFIX: &str = ".new";

/// Suffix of an element being removed.
pub(crate) const GONE_SUFFIX: &str = ".gone";

/// The path of an element in its queue: `00000000/6b03126398f937`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ElementPath {
    directory: String,
    name: String,
}

impl ElementPath {
    /// Parses the text form; `None` if it is invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (directory, name) = text.split_once('/')?;
        let legal = names::is_directory(directory.as_bytes()) && names::is_element(name.as_bytes());
        legal.then(|| Self { directory: directory.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for ElementPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.directory, self.name)
    }
}

/// The fields of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The contents by name.
    pub fields: BTreeMap<String, Vec<u8>>,
    /// When it was last changed.
    pub modified: SystemTime,
}

/// Why an element cannot be read. Other elements are not affected.
#[derive(Debug, thiserror::Error)]
pub enum ElementError {
    /// Another process removed it.
    #[error("element {element} is gone")]
    Gone {
        /// The element.
        element: ElementPath,
    },
    /// It has no field `body`: it is incomplete or foreign.
    #[error("element {element} has no field body")]
    NoBody {
        /// The element.
        element: ElementPath,
    },
    /// Its fields together are larger than allowed.
    #[error("element {element} has more than {limit} bytes")]
    TooLarge {
        /// The element.
        element: ElementPath,
        /// The limit.
        limit: u64,
    },
    /// A field, or the element as a whole (field `*`), cannot be read.
    #[error("cannot read field {field} of element {element}")]
    Unreadable {
        /// The element.
        element: ElementPath,
        /// The field.
        field: String,
        /// The system error.
        #[source]
        source: io::Error,
    },
}

/// A queue with fields.
#[derive(Debug)]
pub struct Queue {
    path: PathBuf,
    modes: Modes,
    insertion: Mutex<Option<draft::Insertion>>,
}

impl Queue {
    /// Opens the existing queue `path`.
    ///
    /// # Errors
    /// [`SpoolError::NotAQueue`].
    pub fn open(path: &Path, modes: Modes) -> Result<Self, SpoolError> {
        if !path.is_dir() {
            return Err(SpoolError::NotAQueue { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), modes, insertion: Mutex::default() })
    }

    /// Opens the queue `path` and creates its missing directories.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn create(path: &Path, modes: Modes) -> Result<Self, SpoolError> {
        for part in ["", "temporary", "obsolete"] {
            let path = if part.is_empty() { path.to_owned() } else { path.join(part) };
            disk::make_directories(&path, modes.directory).map_err(SpoolError::io("make directory", &path))?;
        }
        Self::open(path, modes)
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of elements, including locked ones.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn count(&self) -> Result<usize, SpoolError> {
        let mut count = 0;
        for directory in self.directories()? {
            let path = self.path.join(&directory);
            let listed = disk::for_each_entry(&path, |name, _| count += usize::from(names::is_element(name)));
            disk::absent_is_fine(listed).map_err(SpoolError::io("list", &path))?;
        }
        Ok(count)
    }

    /// The elements in order, directory by directory. An unreadable intermediate directory yields an error in place of
    /// its elements; the following directories are still listed.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if the queue cannot be listed.
    pub fn elements(&self) -> Result<Elements<'_>, SpoolError> {
        Ok(Elements { queue: self, directories: self.directories()?.into_iter(), names: Vec::new().into_iter() })
    }

    /// Reads all fields of an element, at most `limit` bytes together. Needs no lock: a published element never
    /// changes.
    ///
    /// # Errors
    /// [`ElementError`].
    pub fn read(&self, element: &ElementPath, limit: u64) -> Result<Element, ElementError> {
        let path = self.element(element);
        let failed = |field: &str, source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound && !path.exists() {
                return ElementError::Gone { element: element.clone() };
            }
            ElementError::Unreadable { element: element.clone(), field: field.to_owned(), source }
        };
        let directory = disk::open_directory(&path).map_err(|error| failed("*", error))?;
        let modified = directory.metadata().and_then(|facts| facts.modified()).map_err(|error| failed("*", error))?;
        let mut names = Vec::new();
        disk::for_each_entry(&path, |name, _| {
            names.extend(
                std::str::from_utf8(name).ok().filter(|n| names::is_field(n) && *n != LOCKED).map(str::to_owned),
            );
        })
        .map_err(|error| failed("*", error))?;
        let mut fields = BTreeMap::new();
        let mut room = limit;
        for name in names {
            let bytes =
                files::read_regular(&directory, name.as_str(), room).map_err(|error| failed(&name, error.into()))?;
            let Some(rest) = room.checked_sub(bytes.len() as u64) else {
                return Err(ElementError::TooLarge { element: element.clone(), limit });
            };
            room = rest;
            fields.insert(name, bytes);
        }
        if !fields.contains_key("body") {
            return Err(ElementError::NoBody { element: element.clone() });
        }
        Ok(Element { fields, modified })
    }

    /// Locks an element as `dirq` does; `None` if another process has locked or removed it.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn lock(&self, element: &ElementPath) -> Result<Option<LockedQueueElement<'_>>, SpoolError> {
        let path = self.element(element).join(LOCKED);
        // Where it cannot be opened, the lock cannot be made, either.
        let directory = disk::open_place(&self.element(element)).ok();
        match disk::make_directory(&path, self.modes.directory) {
            Ok(()) if path.symlink_metadata().is_err() => {
                // One who had it moved it to another queue while we locked it, and our lock went with it.
                if let Some(directory) = directory {
                    let _ = rustix::fs::unlinkat(directory, LOCKED, AtFlags::REMOVEDIR);
                }
                Ok(None)
            }
            Ok(()) => Ok(Some(LockedQueueElement { queue: self, element: element.clone(), removed: false })),
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(SpoolError::io("lock", &path)(error)),
        }
    }

    /// How many elements there are, and when the first of them was written.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn depth(&self) -> Result<(usize, Option<SystemTime>), SpoolError> {
        let first = self.elements()?.next().transpose()?;
        Ok((self.count()?, first.and_then(|element| self.written(&element))))
    }

    /// When an element was written, if it is there.
    #[must_use]
    pub fn written(&self, element: &ElementPath) -> Option<SystemTime> {
        let directory = self.element(element);
        let facts = directory.join("body").symlink_metadata().or_else(|_| directory.symlink_metadata());
        facts.and_then(|facts| facts.modified()).ok()
    }

    /// The path of an element on disk.
    #[must_use]
    pub fn element(&self, element: &ElementPath) -> PathBuf {
        self.path.join(&element.directory).join(&element.name)
    }

    fn directories(&self) -> Result<Vec<PathBuf>, SpoolError> {
        let names = disk::sorted_names(&self.path, names::is_directory).map_err(SpoolError::io("list", &self.path))?;
        Ok(names.into_iter().map(PathBuf::from).collect())
    }
}

/// The elements of a queue in order; see [`Queue::elements`].
#[derive(Debug)]
pub struct Elements<'a> {
    queue: &'a Queue,
    directories: std::vec::IntoIter<PathBuf>,
    names: std::vec::IntoIter<ElementPath>,
}

impl Iterator for Elements<'_> {
    type Item = Result<ElementPath, SpoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(element) = self.names.next() {
                return Some(Ok(element));
            }
            let directory = self.directories.next()?;
            let path = self.queue.path.join(&directory);
            let directory = directory.to_string_lossy().into_owned();
            match disk::sorted_names(&path, names::is_element) {
                Ok(found) => {
                    let elements = found.into_iter().map(|name| ElementPath {
                        directory: directory.clone(),
                        name: name.to_string_lossy().into_owned(),
                    });
                    self.names = elements.collect::<Vec<_>>().into_iter();
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Some(Err(SpoolError::io("list", &path)(error))),
            }
        }
    }
}

/// An element of a queue with fields that this process has locked; dropping it unlocks the element.
#[derive(Debug)]
pub struct LockedQueueElement<'a> {
    queue: &'a Queue,
    element: ElementPath,
    removed: bool,
}

impl LockedQueueElement<'_> {
    /// Its path in the queue.
    #[must_use]
    pub fn element(&self) -> &ElementPath {
        &self.element
    }

    /// Removes the element.
    ///
    /// # Errors
    /// [`SpoolError::Io`]; the element is then unchanged or, invisible to readers, in `obsolete/`.
    pub fn remove(mut self) -> Result<(), SpoolError> {
        self.removed = self.queue.discard(&self.element)?;
        Ok(())
    }
}

impl Drop for LockedQueueElement<'_> {
    fn drop(&mut self) {
        if !self.removed {
            // If this fails, the lock is honoured for some time and then purged.
            let _ = disk::remove_empty(&self.queue.element(&self.element).join(LOCKED));
        }
    }
}
