//! A folder of a test's own, removed when the test is over and kept when it failed.

use std::path::{Path, PathBuf};

use super::child::reaper;

/// A folder that lives as long as the value.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new folder whose name begins with `name`.
    pub(crate) fn new(name: &str) -> Self {
        Self::within(&top(), name)
    }

    /// A new folder in this one, for a test on a file system of its own.
    pub(crate) fn within(top: &Path, name: &str) -> Self {
        Self { path: make(top, name) }
    }

    /// A folder for what is shared by the whole run: it is removed when the run ends.
    pub(crate) fn for_the_run(name: &str) -> PathBuf {
        let path = make(&top(), name);
        if !kept() {
            reaper::remove_at_the_end(&path);
        }
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in this folder and says where it is.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).unwrap();
        }
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for inspection: {}", self.path.display());
        } else if !kept() {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

fn top() -> PathBuf {
    std::env::var_os("SESAME_TEST_FOLDER").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

fn make(top: &Path, name: &str) -> PathBuf {
    std::fs::create_dir_all(top).unwrap();
    let made = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(top).unwrap();
    made.keep()
}

/// `SESAME_TEST_KEEP` keeps every folder.
fn kept() -> bool {
    std::env::var_os("SESAME_TEST_KEEP").is_some()
}
