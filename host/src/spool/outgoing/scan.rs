//! Listing what waits, in order and in bounded memory.
//!
//! A `dirq` is read directory by directory, an element being kept as the number its name stands for. Of a plain directory
//! the oldest [`WINDOW`] files are kept, and it is listed again when they are drained.

use std::collections::{BinaryHeap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};

use super::removal::settle_leftover;
use super::{ASIDE_SUFFIX, ElementName, Format, Inner, is_hidden};
use crate::spool::{SpoolError, disk, names};

/// How many files of a plain directory are kept in order at a time.
const WINDOW: usize = 50_000;

/// How many foreign entries a scan tells of.
const MAX_FOREIGN: usize = 100;

/// Something in the queue that is not an element and never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub name: ElementName,
    /// What it is.
    pub kind: ForeignKind,
}

/// Why an entry is not an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForeignKind {
    /// A symbolic link.
    Link,
    /// A directory.
    Directory,
    /// A FIFO, socket or device.
    Special,
    /// A name with a leading dot.
    Hidden,
}

/// The names of a queue in order; see [`super::Outgoing::scan`].
#[derive(Debug)]
pub struct Scan {
    inner: Arc<Inner>,
    /// Intermediate directories not yet read (`dirq`).
    directories: VecDeque<u32>,
    /// The directory being read (`dirq`).
    directory: u32,
    /// Elements of it, sorted (`dirq`).
    numbers: VecDeque<u64>,
    /// Files in order (directory).
    files: VecDeque<(i128, OsString)>,
    /// Where a listing did not fit: the last file of the window before, to continue after.
    after: Option<(i128, OsString)>,
    /// There is nothing more to list.
    drained: bool,
    foreign: Vec<Foreign>,
}

impl Scan {
    pub(super) fn new(inner: Arc<Inner>) -> Result<Self, SpoolError> {
        let mut scan = Self {
            inner,
            directories: VecDeque::new(),
            directory: 0,
            numbers: VecDeque::new(),
            files: VecDeque::new(),
            after: None,
            drained: false,
            foreign: Vec::new(),
        };
        if scan.inner.format == Format::Dirq {
            scan.directories = directory_numbers(&scan.inner.path)?.into();
        }
        Ok(scan)
    }

    /// The next name that `skip` does not skip; `None` when drained. Whether the element is still there, whole and free
    /// shows when it is locked.
    ///
    /// # Errors
    /// [`SpoolError::Io`] where a directory cannot be read; the next call goes on after it.
    pub fn next(&mut self, skip: impl Fn(&ElementName) -> bool) -> Result<Option<ElementName>, SpoolError> {
        loop {
            let name = match self.inner.format {
                Format::Dirq => self.next_of_dirq()?,
                Format::Directory => self.next_file()?,
            };
            match name {
                Some(name) if skip(&name) => {}
                other => return Ok(other),
            }
        }
    }

    /// What was seen so far that is not an element; the first 100.
    #[must_use]
    pub fn foreign(&self) -> &[Foreign] {
        &self.foreign
    }

    fn next_of_dirq(&mut self) -> Result<Option<ElementName>, SpoolError> {
        loop {
            if let Some(number) = self.numbers.pop_front() {
                return Ok(Some(ElementName(format!("{:08x}/{number:014x}", self.directory).into())));
            }
            let Some(directory) = self.directories.pop_front() else { return Ok(None) };
            self.directory = directory;
            let path = self.inner.path.join(format!("{directory:08x}"));
            let mut numbers = Vec::new();
            let (mut strange, mut asides) = (Vec::new(), Vec::new());
            let listed = disk::for_each_entry(&path, |name, kind| match names::element_number(name) {
                Some(_) if is_foreign(kind) => strange.push((name.to_vec(), kind)),
                Some(number) => numbers.push(number),
                None if is_aside(name) => asides.push(path.join(OsStr::from_bytes(name))),
                None => {}
            });
            disk::absent_is_fine(listed).map_err(SpoolError::io("list", &path))?;
            asides.iter().try_for_each(|aside| settle_leftover(&self.inner, aside))?;
            numbers.sort_unstable();
            self.numbers = numbers.into();
            for (name, kind) in strange {
                let name = format!("{directory:08x}/{}", String::from_utf8_lossy(&name));
                self.note(ElementName(name.into()), foreign_kind(kind));
            }
        }
    }

    fn next_file(&mut self) -> Result<Option<ElementName>, SpoolError> {
        if self.files.is_empty() && !self.drained {
            self.list_files()?;
        }
        Ok(self.files.pop_front().map(|(_, name)| ElementName(name)))
    }

    /// Lists the directory once and keeps the oldest files that come after those of the window before.
    fn list_files(&mut self) -> Result<(), SpoolError> {
        let path = self.inner.path.clone();
        let failed = |error: io::Error| SpoolError::io("list", &path)(error);
        let directory = disk::open_directory(&path).map_err(failed)?;
        let mut window = Window { oldest: BinaryHeap::new(), after: self.after.take(), overflow: false };
        let mut asides = Vec::new();
        let entries = rustix::fs::Dir::read_from(&directory).map_err(|error| failed(error.into()))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let name = entry.file_name().to_bytes();
            if is_hidden(name) {
                if is_aside(name) {
                    asides.push(path.join(OsStr::from_bytes(name)));
                }
                self.note_hidden(name);
                continue;
            }
            let Ok(facts) = rustix::fs::statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let kind = FileType::from_raw_mode(facts.st_mode);
            if kind == FileType::RegularFile {
                window.offer(super::element::modified(&facts), name);
            } else {
                self.note(ElementName(OsString::from_vec(name.to_vec())), foreign_kind(kind));
            }
        }
        self.files = window.oldest.into_sorted_vec().into();
        self.after = self.files.back().cloned();
        self.drained = !window.overflow;
        asides.iter().try_for_each(|aside| settle_leftover(&self.inner, aside))
    }

    fn note_hidden(&mut self, name: &[u8]) {
        let ours = name == b"." || name == b".." || name.starts_with(super::HIDDEN_PREFIX.as_bytes());
        if name.first() == Some(&b'.') && !ours {
            self.note(ElementName(OsString::from_vec(name.to_vec())), ForeignKind::Hidden);
        }
    }

    fn note(&mut self, name: ElementName, kind: ForeignKind) {
        let foreign = Foreign { name, kind };
        if self.foreign.len() < MAX_FOREIGN && !self.foreign.contains(&foreign) {
            self.foreign.push(foreign);
        }
    }
}

/// The oldest files of a listing that come after a given one.
struct Window {
    oldest: BinaryHeap<(i128, OsString)>,
    after: Option<(i128, OsString)>,
    /// Some did not fit.
    overflow: bool,
}

impl Window {
    fn offer(&mut self, modified: i128, name: &[u8]) {
        let this = (modified, OsStr::from_bytes(name));
        let before = |other: &(i128, OsString)| this <= (other.0, other.1.as_os_str());
        if self.after.as_ref().is_some_and(before) {
            return;
        }
        if self.oldest.len() < WINDOW {
            self.oldest.push((modified, this.1.to_owned()));
            return;
        }
        self.overflow = true;
        if let Some(mut youngest) = self.oldest.peek_mut().filter(|youngest| before(youngest)) {
            *youngest = (modified, this.1.to_owned());
        }
    }
}

pub(super) fn count(inner: &Inner) -> Result<usize, SpoolError> {
    let mut count = 0;
    let mut add = |path: &Path, wanted: fn(&[u8]) -> bool| {
        let listed = disk::for_each_entry(path, |name, kind| {
            count += usize::from(wanted(name) && !is_foreign(kind));
        });
        disk::absent_is_fine(listed).map_err(SpoolError::io("list", path))
    };
    match inner.format {
        Format::Directory => add(&inner.path, |name| !is_hidden(name))?,
        Format::Dirq => {
            for directory in directory_numbers(&inner.path)? {
                add(&inner.path.join(format!("{directory:08x}")), names::is_element)?;
            }
        }
    }
    Ok(count)
}

/// The intermediate directories, sorted, as the numbers their names stand for.
pub(super) fn directory_numbers(path: &Path) -> Result<Vec<u32>, SpoolError> {
    let mut numbers = Vec::new();
    disk::for_each_entry(path, |name, _| {
        let text = std::str::from_utf8(name).ok().filter(|_| names::is_directory(name));
        numbers.extend(text.and_then(|text| u32::from_str_radix(text, 16).ok()));
    })
    .map_err(SpoolError::io("list", path))?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// Whether a removal was under way.
fn is_aside(name: &[u8]) -> bool {
    name.ends_with(ASIDE_SUFFIX.as_bytes())
}

/// Whether the directory itself tells that an entry is no regular file; `Unknown` shows later.
fn is_foreign(kind: FileType) -> bool {
    !matches!(kind, FileType::RegularFile | FileType::Unknown)
}

fn foreign_kind(kind: FileType) -> ForeignKind {
    match kind {
        FileType::Symlink => ForeignKind::Link,
        FileType::Directory => ForeignKind::Directory,
        _ => ForeignKind::Special,
    }
}
