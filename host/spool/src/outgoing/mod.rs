//! What waits to be sent: a `dirq` queue without fields, or a plain directory, as apel-ssm reads them.
//!
//! Start reading at [`Outgoing`]: `scan` gives the names in order (`scan.rs`), `lock` takes one (`element.rs`), the
//! [`LockedElement`] is read and in the end removed (`removal.rs`). `add.rs` puts elements in, `purge.rs` keeps house.
//!
//! # On disk: dirq
//! ```text
//! QUEUE/DDDDDDDD/                  8 hexadecimal digits: the minute it was made in
//!       SSSSSSSSMMMMMR             an element
//!       SSSSSSSSMMMMMR.tmp         being written; never touched before it is 24 hours old
//!       SSSSSSSSMMMMMR.lck         a lock: a hard link to the element; its time is the time of the lock
//!       …-SIZE-NANOSECONDS-INODE.aside   being removed; the name says what was read
//! ```
//! Other names are not ours and are left alone. A foreign lock is honoured for 600 seconds. A lock of our own carries
//! the nanoseconds 424242424, so that an owner of the queue's [`super::SpoolLock`] takes over at once what its predecessor
//! left when it crashed.
//!
//! # On disk: directory
//! Any file name; regular files only; sent in order of their modification time. Names with a leading dot and names that
//! end with `.tmp` are never sent. There are no lock files: the queue's [`super::SpoolLock`] is the lock.
//!
//! # Policy: when a file is whole
//! Sites copy files straight onto element names, so a name alone proves nothing. A file is read
//! - when its inode was changed after the last write to its content (its ctime is later than its mtime): it
//!   was linked or renamed into place, as every writer does who hides its work, or given its times or mode when the copy
//!   was complete;
//! - else when its content has not changed for 2 seconds by the file's own times, or for as long as this process has
//!   watched it, should the clock have been set back.
//!
//! An open file can be asked for more directly only with a lease (`F_SETLEASE`), for which there is no safe call; and a
//! lease kills its holder by SIGIO when a writer comes in the wrong microsecond.
//!
//! # Removal
//! Rename aside, compare inode, size and modification time with what was read, and only then unlink. What has changed is
//! restored as a new element, also after a crash in between: the aside name holds the comparison.

mod add;
mod element;
mod purge;
mod removal;
mod scan;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::disk::Modes;
use super::{SpoolError, SpoolLock, names};
use message::{MessageId, content_digest, hex, locked};

pub use element::{Identity, LockedElement, ReadError};
pub use removal::Removal;
pub use scan::{Foreign, ForeignKind, Scan, Waiting};

/// How long a lock that is not ours is honoured.
const FOREIGN_LOCK_AGE: Duration = Duration::from_secs(600);

/// The nanoseconds that mark a lock as ours.
const OUR_NANOSECONDS: i64 = 424_242_424;

/// Suffix of a lock.
const LOCK_SUFFIX: &str = ".lck";

/// Suffix of what is being written.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Suffix of what is being removed.
const ASIDE_SUFFIX: &str = ".aside";

/// What our own hidden files of a plain directory begin with.
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
    /// As the file system has it, relative to the queue.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl fmt::Display for ElementName {
    /// Fit for one line of a log: control characters and what is not UTF-8 are escaped.
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
    /// Present where this process owns the queue.
    lock: Option<Arc<SpoolLock>>,
    /// Elements that this process has locked.
    held: Mutex<HashSet<ElementName>>,
    /// Files seen while they were perhaps still being written.
    watched: Mutex<whole::Watched>,
}

impl Outgoing {
    /// Opens the queue `path`, which must be there, to list it and to add to it. Locks are honoured as those of others.
    ///
    /// # Errors
    /// [`SpoolError::NotAQueue`].
    pub fn open(path: &Path, format: Format) -> Result<Self, SpoolError> {
        Self::with(path, format, None)
    }

    /// Opens the queue `path` as its owner: locks that an earlier Sesame left are taken over at once.
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

    /// Goes through the whole queue: what waits, and what is passed over.
    ///
    /// # Errors
    /// [`SpoolError::Io`] where a directory cannot be read.
    pub fn waiting(&self) -> Result<Waiting, SpoolError> {
        scan::waiting(self.scan()?)
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

    /// The element named by a text, as an operator types it.
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

    /// How many elements wait, locked ones too.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn count(&self) -> Result<usize, SpoolError> {
        scan::count(&self.inner)
    }

    /// The names of what waits, in order: those of a `dirq` by name, those of a plain directory by age. Drained, it is
    /// over; take a new one to see what has come since.
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

/// What the message id of a plain file begins with: its name where that is fit for an id and an SSM receiver cannot mistake it
/// for a content encoding, else the SHA-256 of the name in hexadecimal.
#[must_use]
pub fn id_stem(name: &[u8]) -> String {
    let fit = |text: &&str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let lower = text.to_ascii_lowercase();
        text.len() <= 200 && text.bytes().all(legal) && !lower.contains("base64") && !lower.contains("quoted-printable")
    };
    std::str::from_utf8(name).ok().filter(fit).map_or_else(|| hex(&content_digest(name)), str::to_owned)
}

/// The message id of an element. That of a `dirq` is its name. To [`id_stem`] of a plain file's name inode
/// and time are hashed in, because sites reuse names.
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
