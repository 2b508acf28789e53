//! Outgoing queues: a `dirq` without fields or a plain directory, as read by apel-ssm.
//!
//! Start reading at [`Outgoing`]: `scan` returns the names in order (`scan.rs`), `lock` locks one (`element.rs`), and
//! the [`LockedElement`] is read and finally removed (`removal.rs`). `add.rs` adds elements, `purge.rs` removes
//! left-overs. `retained.rs` keeps sent elements until they are acknowledged.
//!
//! # On disk: dirq
//! ```text
//! QUEUE/DDDDDDDD/                  8 hexadecimal digits: the minute of its creation
//!       SSSSSSSSMMMMMR             an element
//!       SSSSSSSSMMMMMR.tmp         being written; ignored until it is 24 hours old
//!       SSSSSSSSMMMMMR.lck         a lock: a hard link to the element; its time is the time of the lock
//!       …-SIZE-NANOSECONDS-INODE.aside   being removed; the name has the identity that was read
//! ```
//! Other names are ignored. A foreign lock is honoured for 600 seconds. The time of our own locks has the nanoseconds
//! 424242424, so that the owner of the queue's [`super::SpoolLock`] takes over the locks of a crashed predecessor at
//! once.
//!
//! # On disk: directory
//! Regular files of any name, sent in order of their modification time. Names with a leading dot and names that end
//! with `.tmp` are never sent. There are no lock files: the queue's [`super::SpoolLock`] is the lock.
//!
//! # Policy: when a file is complete
//! Sites copy files directly to element names, so a name alone proves nothing. A file counts as complete
//! - if its inode was changed after the last write to its content (its ctime is later than its mtime): it was linked or
//!   renamed into place by a careful writer, or got its times or mode when the copy was complete;
//! - otherwise if its content has not changed for 2 seconds, by the file's times or, if the clock was set back, by the
//!   time for which this process has watched it.
//!
//! A more direct check for open files is a lease (`F_SETLEASE`), but there is no safe call for it, and a lease kills
//! its holder with SIGIO if a writer opens the file at the wrong moment.
//!
//! # Removal
//! An element is renamed aside, its inode, size and modification time are compared with what was read, and only then is
//! it unlinked. A changed element is restored as a new one, also after a crash in between: the aside name contains the
//! values to compare.

mod add;
mod complete;
mod element;
mod purge;
mod removal;
mod retained;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::disk::Modes;
use super::{SpoolError, SpoolLock, names};
use message::{MessageId, content_digest, hex, locked};

pub use element::{Identity, LockedElement, ReadError};
pub use removal::Removal;
pub use retained::{NotRetained, RetainedElements};
pub use scan::{Foreign, ForeignKind, Scan, Waiting};

/// How long a lock that is not ours is honoured.
const FOREIGN_LOCK_AGE: Duration = Duration::from_secs(600);

/// The nanoseconds that mark a lock as ours.
const OUR_NANOSECONDS: i64 = 424_242_424;

/// Suffix of a lock.
const LOCK_SUFFIX: &str = ".lck";

/// Suffix of a file that is being written.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Suffix of an element that is being removed.
const ASIDE_SUFFIX: &str = ".aside";

/// Prefix of our own hidden files in a plain directory.
const HIDDEN_PREFIX: &str = ".sesame-";

/// The layout of an outgoing queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `dirq` QueueSimple.
    Dirq,
    /// A plain directory.
    Directory,
}

/// The name of an element: `DDDDDDDD/SSSSSSSSMMMMMR` in a `dirq`, any file name in a plain directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ElementName(OsString);

impl ElementName {
    /// The path relative to the queue.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl fmt::Display for ElementName {
    /// Shows the name on one line; control characters and bytes that are not UTF-8 are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { fmt::Write::write_char(f, c)? }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// An outgoing queue. A cheap handle.
#[derive(Clone, Debug)]
pub struct Outgoing {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    format: Format,
    modes: Modes,
    /// Set if this process owns the queue.
    lock: Option<Arc<SpoolLock>>,
    /// Elements that this process has locked.
    held: Mutex<HashSet<ElementName>>,
    /// Files that may still be being written.
    watched: Mutex<complete::Watched>,
}

impl Outgoing {
    /// Opens the existing queue `path` for listing and adding. All locks are honoured as those of other programs.
    ///
    /// # Errors
    /// [`SpoolError::NotAQueue`].
    pub fn open(path: &Path, format: Format) -> Result<Self, SpoolError> {
        Self::with(path, format, None)
    }

    /// Opens the existing queue `path` as its owner: locks that an earlier Sesame left are taken over at once.
    ///
    /// # Errors
    /// [`SpoolError::NotAQueue`].
    pub fn own(path: &Path, format: Format, lock: Arc<SpoolLock>) -> Result<Self, SpoolError> {
        Self::with(path, format, Some(lock))
    }

    fn with(path: &Path, format: Format, lock: Option<Arc<SpoolLock>>) -> Result<Self, SpoolError> {
        if !path.is_dir() {
            return Err(SpoolError::NotAQueue { path: path.to_owned() });
        }
        let inner = Inner {
            path: path.to_owned(),
            format,
            modes: Modes::default(),
            lock,
            held: Mutex::default(),
            watched: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Lists the whole queue: the waiting elements and the foreign entries.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if a directory cannot be read.
    pub fn waiting(&self) -> Result<Waiting, SpoolError> {
        scan::waiting(self.scan()?)
    }

    /// When an element was written, if it is there.
    #[must_use]
    pub fn written(&self, name: &ElementName) -> Option<SystemTime> {
        self.inner.place(name).symlink_metadata().and_then(|facts| facts.modified()).ok()
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Its layout.
    #[must_use]
    pub fn format(&self) -> Format {
        self.inner.format
    }

    /// Parses an element name that an operator typed.
    ///
    /// # Errors
    /// [`SpoolError::BadElementName`].
    pub fn name(&self, text: &str) -> Result<ElementName, SpoolError> {
        let legal = match self.inner.format {
            Format::Dirq => text.split_once('/').is_some_and(|(directory, name)| {
                names::is_directory(directory.as_bytes()) && names::is_element(name.as_bytes())
            }),
            Format::Directory => {
                !text.is_empty() && text.len() <= 255 && !text.contains('/') && !is_hidden(text.as_bytes())
            }
        };
        if legal { Ok(ElementName(text.into())) } else { Err(SpoolError::BadElementName { name: text.to_owned() }) }
    }

    /// Number of elements, including locked ones.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn count(&self) -> Result<usize, SpoolError> {
        scan::count(&self.inner)
    }

    /// The names of the elements in order: in a `dirq` by name, in a plain directory by age. A drained scan stays
    /// empty; new elements need a new one.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn scan(&self) -> Result<Scan, SpoolError> {
        Scan::new(Arc::clone(&self.inner))
    }
}

impl Inner {
    fn place(&self, name: &ElementName) -> PathBuf {
        self.path.join(&name.0)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashSet<ElementName>> {
        locked(&self.held)
    }
}

/// Whether a file of a plain directory is never sent.
fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.') || name.ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// The beginning of the message id of a plain file: its name if it is valid in an id and an SSM receiver cannot mistake
/// it for a content encoding, else the SHA-256 of the name in hexadecimal.
#[must_use]
pub fn id_stem(name: &[u8]) -> String {
    let fit = |text: &&str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let lower = text.to_ascii_lowercase();
        text.len() <= 200 && text.bytes().all(legal) && !lower.contains("base64") && !lower.contains("quoted-printable")
    };
    std::str::from_utf8(name).ok().filter(fit).map_or_else(|| hex(&content_digest(name)), str::to_owned)
}

/// The message id of an element. In a `dirq` it is the name. For a plain file it is [`id_stem`] and a hash of name,
/// inode and time, because sites reuse names.
fn message_id(format: Format, name: &ElementName, identity: &Identity) -> MessageId {
    let bytes = name.0.as_bytes();
    let text = std::str::from_utf8(bytes).ok();
    if let (Format::Dirq, Some(text)) = (format, text) {
        return MessageId::from_peer(text);
    }
    let stem = id_stem(bytes);
    let mut unique = bytes.to_vec();
    unique.push(0);
    unique.extend_from_slice(&identity.inode.to_be_bytes());
    unique.extend_from_slice(&identity.modified.to_be_bytes());
    let part = hex(content_digest(&unique).get(..4).unwrap_or_default());
    MessageId::from_peer(&format!("{stem}-{part}"))
}
