//! Lists elements in order, in bounded memory.
//!
//! A `dirq` is read directory by directory, and an element is kept as the number in its name. Of a plain directory the
//! oldest [`WINDOW`] files are kept; it is listed again when they are drained.

use std::collections::{BinaryHeap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType};

use super::removal::settle_leftover;
use super::{ASIDE_SUFFIX, ElementName, Format, Inner, LOCK_SUFFIX, TEMPORARY_SUFFIX, is_hidden};
use crate::{SpoolError, disk, names};

/// Maximum number of files of a plain directory kept at a time.
const WINDOW: usize = 50_000;

/// Maximum number of foreign entries in a scan, and of those among them that hold elements.
const MAX_FOREIGN: usize = 100;

/// How long a file that ends with `.tmp` may be unchanged before it is reported.
const BEING_WRITTEN: Duration = Duration::from_secs(300);

/// An entry in the queue that is not an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub name: ElementName,
    /// Its kind.
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
    /// A name with the suffix of a file being written, five minutes after the last write.
    Temporary,
    /// A directory of a `dirq` that cannot be listed, or where what a removal left cannot be settled. Its elements wait.
    Unreadable(io::ErrorKind),
    /// A name that the queue's format does not use: in a `dirq`, anything but `DDDDDDDD/SSSSSSSSMMMMMR`, its lock and
    /// its temporary file.
    Name,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ForeignKind::Unreadable(error) = self.kind {
            let name = &self.name;
            return write!(
                f,
                "{name} cannot be read ({error}), and messages in it wait; give it to the owner of the queue, for instance with \
                 `chown -R --reference=. {name}` in the queue"
            );
        }
        let (what, remedy) = match self.kind {
            ForeignKind::Link => ("a symbolic link", "put the file itself here"),
            ForeignKind::Directory => ("a directory", "move it elsewhere"),
            ForeignKind::Special => ("not a regular file", "move it elsewhere"),
            ForeignKind::Hidden => ("hidden by a leading dot", "rename it to send it, or move it elsewhere"),
            ForeignKind::Temporary => {
                ("named like a file that is being written", "rename it without .tmp to send it, or remove it")
            }
            ForeignKind::Name | ForeignKind::Unreadable(_) => (
                "not named like an element of a dirq (DDDDDDDD/SSSSSSSSMMMMMR, lower-case hexadecimal)",
                "queue it with `sesame queue add` to send it, or move it elsewhere",
            ),
        };
        write!(f, "{} is {what} and is never sent; {remedy}", self.name)
    }
}

/// The content of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Number of elements.
    pub count: usize,
    /// The first element.
    pub first: Option<ElementName>,
    /// Foreign entries, at most 200.
    pub foreign: Vec<Foreign>,
}

impl Foreign {
    /// Whether it is a directory whose elements wait until someone repairs it.
    #[must_use]
    pub fn holds_elements(&self) -> bool {
        matches!(self.kind, ForeignKind::Unreadable(_))
    }
}

/// Drains a scan.
pub(super) fn waiting(mut scan: Scan) -> Result<Waiting, SpoolError> {
    let (mut count, mut first) = (0, None);
    while let Some(name) = scan.next(|_| false)? {
        count += 1;
        first.get_or_insert(name);
    }
    Ok(Waiting { count, first, foreign: scan.foreign })
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
    /// The last file of the previous window, after which the next listing continues.
    after: Option<(i128, OsString)>,
    /// Set when there is nothing more to list.
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
            let mut strange = Vec::new();
            scan.directories = directory_numbers(&scan.inner.path, |name| strange.push(name.to_vec()))?.into();
            for name in strange.iter().filter(|name| name.first() != Some(&b'.')) {
                scan.note(ElementName(OsString::from_vec(name.clone())), ForeignKind::Name);
            }
        }
        Ok(scan)
    }

    /// The next name that `skip` does not skip; `None` when drained. Only locking shows whether the element still
    /// exists, is complete and is not locked.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if the queue cannot be read. A directory of a `dirq` that cannot be read is passed over, and is among
    /// the [foreign](Self::foreign) entries.
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

    /// The foreign entries seen so far, at most 200.
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
            let (mut strange, mut misnamed, mut asides) = (Vec::new(), Vec::new(), Vec::new());
            let listed = disk::for_each_entry(&path, |name, kind| match names::element_number(name) {
                Some(_) if is_foreign(kind) => strange.push((name.to_vec(), kind)),
                Some(number) => numbers.push(number),
                None if is_aside(name) => asides.push(path.join(OsStr::from_bytes(name))),
                None if is_transient(name) => {}
                None => misnamed.push(name.to_vec()),
            });
            if let Err(error) = disk::absent_is_fine(listed) {
                self.note(directory_name(directory), ForeignKind::Unreadable(error.kind()));
            }
            for aside in &asides {
                match settle_leftover(&self.inner, aside) {
                    Err(SpoolError::Io { source, .. }) => {
                        self.note(directory_name(directory), ForeignKind::Unreadable(source.kind()));
                    }
                    other => other?,
                }
            }
            numbers.sort_unstable();
            self.numbers = numbers.into();
            let strange = strange.into_iter().map(|(name, kind)| (name, foreign_kind(kind)));
            for (name, kind) in strange.chain(misnamed.into_iter().map(|name| (name, ForeignKind::Name))) {
                let name = format!("{directory:08x}/{}", String::from_utf8_lossy(&name));
                self.note(ElementName(name.into()), kind);
            }
        }
    }

    fn next_file(&mut self) -> Result<Option<ElementName>, SpoolError> {
        if self.files.is_empty() && !self.drained {
            self.list_files()?;
        }
        Ok(self.files.pop_front().map(|(_, name)| ElementName(name)))
    }

    /// Lists the directory once and keeps the oldest files after those of the previous window.
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
                self.note_hidden(name, || {
                    let facts = rustix::fs::statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
                    age(super::element::modified(&facts))
                });
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

    fn note_hidden(&mut self, name: &[u8], age: impl FnOnce() -> Option<Duration>) {
        let ours = name == b"." || name == b".." || name.starts_with(super::HIDDEN_PREFIX.as_bytes());
        let kind = match name.first() {
            _ if ours || is_aside(name) => return,
            Some(b'.') => ForeignKind::Hidden,
            _ if age().is_some_and(|age| age >= BEING_WRITTEN) => ForeignKind::Temporary,
            _ => return,
        };
        self.note(ElementName(OsString::from_vec(name.to_vec())), kind);
    }

    fn note(&mut self, name: ElementName, kind: ForeignKind) {
        let foreign = Foreign { name, kind };
        // What waits for someone is not hidden by what is never sent.
        let most = if foreign.holds_elements() { 2 * MAX_FOREIGN } else { MAX_FOREIGN };
        if self.foreign.len() < most && !self.foreign.contains(&foreign) {
            self.foreign.push(foreign);
        }
    }
}

/// The oldest files of a listing after a given one.
struct Window {
    oldest: BinaryHeap<(i128, OsString)>,
    after: Option<(i128, OsString)>,
    /// Whether some files did not fit.
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

fn directory_name(number: u32) -> ElementName {
    ElementName(format!("{number:08x}").into())
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
            for directory in directory_numbers(&inner.path, |_| ())? {
                // What is in a directory that cannot be read is not counted.
                let _ = add(&inner.path.join(format!("{directory:08x}")), names::is_element);
            }
        }
    }
    Ok(count)
}

/// The numbers in the names of the intermediate directories, sorted; `other` is called for every other name.
pub(super) fn directory_numbers(path: &Path, mut other: impl FnMut(&[u8])) -> Result<Vec<u32>, SpoolError> {
    let mut numbers = Vec::new();
    disk::for_each_entry(path, |name, _| {
        let text = std::str::from_utf8(name).ok().filter(|_| names::is_directory(name));
        match text.and_then(|text| u32::from_str_radix(text, 16).ok()) {
            Some(number) => numbers.push(number),
            None => other(name),
        }
    })
    .map_err(SpoolError::io("list", path))?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// Whether the name is that of an element being removed.
fn is_aside(name: &[u8]) -> bool {
    name.ends_with(ASIDE_SUFFIX.as_bytes())
}

/// Whether a file of a `dirq` is hidden, a lock, or an element that is being written.
fn is_transient(name: &[u8]) -> bool {
    let stem = [LOCK_SUFFIX, TEMPORARY_SUFFIX].iter().find_map(|suffix| name.strip_suffix(suffix.as_bytes()));
    name.first() == Some(&b'.') || stem.is_some_and(names::is_element)
}

/// The age of a time in nanoseconds since 1970.
fn age(modified: i128) -> Option<Duration> {
    let modified = Duration::from_nanos(u64::try_from(modified).ok()?);
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + modified).ok()
}

/// Whether the directory entry shows that it is not a regular file; `Unknown` is checked on opening.
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
