//! Locking and reading one element.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FileType, Stat, Timespec, Timestamps, UTIME_NOW};

use super::{
    ElementName, FOREIGN_LOCK_AGE, ForeignKind, Format, Inner, LOCK_SUFFIX, OUR_NANOSECONDS, Outgoing, message_id,
};
use crate::failpoint::failpoint;
use crate::{SpoolError, disk, names};
use message::files::{self, NotOpened};
use message::{MessageId, locked};

/// Identifies the file that was read, to detect a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its inode.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its modification time in nanoseconds since 1970.
    pub modified: i128,
}

impl Identity {
    pub(super) fn of(facts: &Stat) -> Self {
        Self { inode: facts.st_ino, size: u64::try_from(facts.st_size).unwrap_or(0), modified: modified(facts) }
    }
}

/// The modification time in nanoseconds since 1970.
pub(super) fn modified(facts: &Stat) -> i128 {
    i128::from(facts.st_mtime) * 1_000_000_000 + i128::from(facts.st_mtime_nsec)
}

fn changed(facts: &Stat) -> i128 {
    i128::from(facts.st_ctime) * 1_000_000_000 + i128::from(facts.st_ctime_nsec)
}

/// Why an element cannot be locked or read. `Changed` means to retry later; the others remain until an operator acts.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is empty.
    #[error("element {element} is empty")]
    Empty {
        /// The element.
        element: ElementName,
    },
    /// It is larger than allowed; nothing was read.
    #[error("element {element} has {size} bytes, more than {limit}")]
    TooLarge {
        /// The element.
        element: ElementName,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A symbolic link, a directory, a FIFO or a device has the name of an element.
    #[error("element {element} is not a regular file")]
    NotRegular {
        /// The element.
        element: ElementName,
        /// Its kind.
        kind: ForeignKind,
    },
    /// It cannot be read.
    #[error("cannot read element {element}")]
    Unreadable {
        /// The element.
        element: ElementName,
        /// The system error.
        #[source]
        source: io::Error,
    },
    /// It cannot be locked: the directory is not writable, or the kernel forbids links to files of other users.
    #[error("cannot lock element {element}: the queue and its files must belong to the user Sesame runs as")]
    NotLockable {
        /// The element.
        element: ElementName,
        /// The system error.
        #[source]
        source: io::Error,
    },
    /// It was changed since it was locked.
    #[error("element {element} is being changed")]
    Changed {
        /// The element.
        element: ElementName,
    },
}

/// Proof that this process has locked an element; dropping it unlocks the element. Only [`Outgoing::lock`] creates it.
///
/// ```compile_fail
/// fn twice(locked: &sesame_spool::LockedElement) -> sesame_spool::LockedElement {
///     locked.clone()
/// }
/// ```
#[derive(Debug)]
#[must_use = "dropping it unlocks the element"]
pub struct LockedElement {
    pub(super) inner: Arc<Inner>,
    pub(super) name: ElementName,
    pub(super) identity: Identity,
    file: File,
}

impl Outgoing {
    /// Locks an element. `None` if it is gone, locked by another process, or may still be being written.
    ///
    /// # Errors
    /// [`ReadError`] if the element cannot be sent as it is.
    pub fn lock(&self, name: &ElementName) -> Result<Option<LockedElement>, ReadError> {
        let inner = &self.inner;
        if inner.held().contains(name) {
            return Ok(None);
        }
        let Some(file) = open(inner, name)? else { return Ok(None) };
        let facts = stat(&file, name)?;
        let complete = {
            let mut watched = locked(&inner.watched);
            watched.is_complete(name, &Identity::of(&facts), changed(&facts))
        };
        // Two threads of this process may get here at once; only one inserts it.
        if !complete || !inner.held().insert(name.clone()) {
            return Ok(None);
        }
        let locked = match inner.format {
            Format::Dirq => take_lock(inner, name, &file),
            Format::Directory => Ok(Some(facts)),
        };
        let Ok(Some(facts)) = locked else {
            inner.held().remove(name);
            return locked.map(|_| None);
        };
        let element =
            LockedElement { inner: Arc::clone(inner), name: name.clone(), identity: Identity::of(&facts), file };
        failpoint!("S01").map_err(|source| ReadError::Unreadable { element: name.clone(), source })?;
        Ok(Some(element))
    }

    /// Whether [`Outgoing::lock`] skipped the element because it may still be being written. If it is not, it can be
    /// locked within two seconds. A sender that drains a queue and exits waits for such elements.
    #[must_use]
    pub fn is_settling(&self, name: &ElementName) -> bool {
        locked(&self.inner.watched).contains(name)
    }

    /// Whether this process holds the element's lock.
    #[must_use]
    pub fn holds(&self, name: &ElementName) -> bool {
        self.inner.held().contains(name)
    }
}

impl LockedElement {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ElementName {
        &self.name
    }

    /// Its size in bytes when it was locked.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.identity.size
    }

    /// When it was put into the queue: its content was written last then.
    #[must_use]
    pub fn queued(&self) -> SystemTime {
        let nanoseconds = u64::try_from(self.identity.modified).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)
    }

    /// The identity that its removal is compared with.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The id of its message, the same on every attempt.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        message_id(self.inner.format, &self.name, &self.identity)
    }

    /// Reads the content, at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, limit: u64) -> Result<Vec<u8>, ReadError> {
        let element = || self.name.clone();
        let unreadable = |source| ReadError::Unreadable { element: element(), source };
        let size = self.identity.size;
        if size > limit {
            return Err(ReadError::TooLarge { element: element(), size, limit });
        }
        if self.has_changed()? {
            return Err(ReadError::Changed { element: element() });
        }
        if size == 0 {
            return Err(ReadError::Empty { element: element() });
        }
        let mut bytes =
            vec![0; usize::try_from(size).map_err(|_| ReadError::TooLarge { element: element(), size, limit })?];
        match self.file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadError::Changed { element: element() });
            }
            other => other.map_err(unreadable)?,
        }
        if self.has_changed()? { Err(ReadError::Changed { element: element() }) } else { Ok(bytes) }
    }

    fn has_changed(&self) -> Result<bool, ReadError> {
        Ok(Identity::of(&stat(&self.file, &self.name)?) != self.identity)
    }
}

impl Drop for LockedElement {
    fn drop(&mut self) {
        if self.inner.format == Format::Dirq {
            // If this fails, the next owner of the queue takes over the lock.
            let _ = disk::unlink(&lock_path(&self.inner.place(&self.name)));
        }
        self.inner.held().remove(&self.name);
    }
}

/// The lock file of the element at `path`.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(LOCK_SUFFIX);
    text.into()
}

fn stat(file: &File, name: &ElementName) -> Result<Stat, ReadError> {
    rustix::fs::fstat(file).map_err(|error| ReadError::Unreadable { element: name.clone(), source: error.into() })
}

/// Opens an element for reading if it is a regular file; `None` if it is gone.
fn open(inner: &Inner, name: &ElementName) -> Result<Option<File>, ReadError> {
    let kind = match files::open_regular(CWD, inner.place(name)) {
        Ok(file) => return Ok(Some(file)),
        Err(NotOpened::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(NotOpened::Io(source)) => return Err(ReadError::Unreadable { element: name.clone(), source }),
        Err(NotOpened::NotRegular(FileType::Symlink)) => ForeignKind::Link,
        Err(NotOpened::NotRegular(FileType::Directory)) => ForeignKind::Directory,
        Err(NotOpened::NotRegular(_)) => ForeignKind::Special,
    };
    Err(ReadError::NotRegular { element: name.clone(), kind })
}

/// Creates the hard link that is the lock, and marks it as ours by its time. Returns the element as it is then; `None` if
/// another process has the lock.
fn take_lock(inner: &Inner, name: &ElementName, file: &File) -> Result<Option<Stat>, ReadError> {
    let path = inner.place(name);
    let lock = lock_path(&path);
    let not_lockable = |source| ReadError::NotLockable { element: name.clone(), source };
    // The mark is set before the lock, which is the same inode: a crash between the two leaves a marked element, never
    // a lock of ours that looks like another program's. If there is a lock already, its time is not changed.
    let absent = matches!(lock.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound);
    let marked = if absent { mark_time(file) } else { None };
    if !link_lock(inner, &path, &lock).map_err(not_lockable)? {
        return Ok(None);
    }
    let mut facts = stat(file, name)?;
    // Another process may have had the lock in between.
    if marked != Some(modified(&facts)) {
        mark_time(file);
        facts = stat(file, name)?;
    }
    // Another process may have removed or replaced the element before the link was created.
    let inode = |path: &Path| rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map(|facts| facts.st_ino);
    if inode(&path) == Ok(facts.st_ino) && inode(&lock) == Ok(facts.st_ino) {
        return Ok(Some(facts));
    }
    disk::unlink(&lock).map_err(not_lockable)?;
    Ok(None)
}

fn link_lock(inner: &Inner, path: &Path, lock: &Path) -> io::Result<bool> {
    for _ in 0..2 {
        match disk::link(path, lock) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) if is_stale(inner, lock)? => disk::unlink(lock)?,
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}

/// Whether a lock may be taken over: one of ours that a crashed process left, if this process owns the queue; or one of
/// another program that is too old to be honoured.
pub(super) fn is_stale(inner: &Inner, lock: &Path) -> io::Result<bool> {
    let facts = match rustix::fs::statat(CWD, lock, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(facts) => facts,
        Err(rustix::io::Errno::NOENT) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let ours = inner.lock.is_some() && i64::try_from(facts.st_mtime_nsec) == Ok(OUR_NANOSECONDS);
    let age = names::seconds_now().saturating_sub(u64::try_from(facts.st_mtime).unwrap_or(0));
    Ok(ours || age >= FOREIGN_LOCK_AGE.as_secs())
}

/// Sets the time of the lock, from which others compute its age, including our mark. If the file belongs to another
/// user, the mark cannot be set, but possibly the current time; the lock then counts as another program's. Returns the mark
/// in nanoseconds since 1970, if it was set.
fn mark_time(file: &File) -> Option<i128> {
    // One second ago, so that the mark is never in the future.
    let seconds = i64::try_from(names::seconds_now()).unwrap_or(0).saturating_sub(1);
    let time = Timespec { tv_sec: seconds, tv_nsec: OUR_NANOSECONDS };
    if rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time }).is_err() {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let _ = rustix::fs::futimens(file, &Timestamps { last_access: now, last_modification: now });
        return None;
    }
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(OUR_NANOSECONDS))
}

impl From<ReadError> for SpoolError {
    /// For commands, which show an error and continue.
    fn from(error: ReadError) -> Self {
        let (element, source) = match error {
            ReadError::Unreadable { element, source } | ReadError::NotLockable { element, source } => (element, source),
            ReadError::Empty { ref element }
            | ReadError::TooLarge { ref element, .. }
            | ReadError::NotRegular { ref element, .. }
            | ReadError::Changed { ref element } => (element.clone(), io::Error::other(error.to_string())),
        };
        Self::Io { action: "read element", path: element.as_os_str().into(), source }
    }
}
