//! Directory queues as they lie on disk, written and read without any library, for tests that move many messages.
//!
//! That `dirq` writes and reads the same is shown in `stands_for_ssm.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::harness::eventually;

/// Adds an element to a QueueSimple as `dirq` does: a temporary file, linked to its name. Gives the element's name.
///
/// Both happen within one tick of the kernel's clock. So the element may be incomplete, and waits for two seconds.
pub(crate) fn add(queue: &Path, body: &[u8]) -> String {
    add_after(queue, body, Duration::ZERO)
}

/// Adds an element as a producer does that takes this time between writing and linking, so that the element is complete.
pub(crate) fn add_after(queue: &Path, body: &[u8], pause: Duration) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{:08x}/{:08x}{:06x}", 0x6b03_0000 + number / 1000, 0x6b03_0000, number);
    let path = queue.join(&name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, body).unwrap();
    if !pause.is_zero() {
        let written = SystemTime::now() - pause;
        fs::File::options().write(true).open(&temporary).unwrap().set_modified(written).unwrap();
    }
    fs::hard_link(&temporary, &path).unwrap();
    fs::remove_file(&temporary).unwrap();
    name
}

/// What is still in an outgoing queue, locked or not.
pub(crate) fn outgoing(queue: &Path) -> Vec<PathBuf> {
    let is_element = |path: &PathBuf| path.extension().is_none() && path.is_file();
    folders(queue).iter().flat_map(|folder| entries(folder)).filter(is_element).collect()
}

/// Locks that were not removed.
pub(crate) fn locks(queue: &Path) -> Vec<PathBuf> {
    let is_lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lck");
    folders(queue).iter().flat_map(|folder| entries(folder)).filter(is_lock).collect()
}

/// An element of a queue with fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// `NNNNNNNN/SSSSSSSSMMMMMR`.
    pub(crate) name: String,
    fields: BTreeMap<String, Vec<u8>>,
}

impl Element {
    /// A field as bytes.
    #[track_caller]
    pub(crate) fn bytes(&self, field: &str) -> &[u8] {
        self.fields.get(field).unwrap_or_else(|| panic!("{} has no field {field}: {:?}", self.name, self.fields.keys()))
    }

    /// A field as text.
    #[track_caller]
    pub(crate) fn text(&self, field: &str) -> String {
        String::from_utf8_lossy(self.bytes(field)).into_owned()
    }

    /// The message id.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.text("empaid")
    }
}

/// The elements of a queue with fields, in order; none where there is no queue.
pub(crate) fn elements(queue: &Path) -> Vec<Element> {
    let folders = folders(queue);
    let paths = folders.iter().flat_map(|folder| entries(folder)).filter(|path| path.is_dir());
    paths.filter_map(|path| read(queue, &path)).collect()
}

/// Waits until a queue is empty. What moves is stored in its new queue first and removed from the old one afterwards.
pub(crate) fn becomes_empty(queue: &Path) {
    eventually(&format!("{} to be empty", queue.display()), || (count(queue) == 0).then_some(()));
}

/// How many elements a queue with fields has.
pub(crate) fn count(queue: &Path) -> usize {
    folders(queue).iter().flat_map(|folder| entries(folder)).filter(|path| path.is_dir()).count()
}

/// An element that goes away while it is read counts as not there.
fn read(queue: &Path, path: &Path) -> Option<Element> {
    let mut fields = BTreeMap::new();
    for file in entries(path).into_iter().filter(|file| file.is_file()) {
        fields.insert(file.file_name()?.to_string_lossy().into_owned(), fs::read(file).ok()?);
    }
    Some(Element { name: path.strip_prefix(queue).ok()?.to_string_lossy().into_owned(), fields })
}

/// The directories of a queue that hold elements: eight hexadecimal digits.
fn folders(queue: &Path) -> Vec<PathBuf> {
    let is_number = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    entries(queue).into_iter().filter(is_number).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}
