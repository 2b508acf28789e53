//! The files of the repository, as the tests here read them.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold nothing of ours.
const FOREIGN: [&str; 6] = ["target", ".git", ".cargo", "node_modules", "__pycache__", "book"];

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The files below `start`, relative to the root, in order; a file stands for itself. Nothing where it does not exist.
pub(crate) fn files(start: &str) -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.join(start)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            open.extend(entries.filter(|path| !FOREIGN.contains(&name(path).as_str())));
        } else if path.is_file() {
            found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// The files below `start` whose names end in `.ending`.
pub(crate) fn files_ending(start: &str, ending: &str) -> Vec<String> {
    files(start).into_iter().filter(|file| Path::new(file).extension().is_some_and(|found| found == ending)).collect()
}

/// The text of a file, by its name from the root; nothing where it is not UTF-8.
pub(crate) fn text(file: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(file)).unwrap()).ok()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
