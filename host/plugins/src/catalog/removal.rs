//! Uninstalling a plugin of the folder: its files are deleted and a `NAME.removed` marker (tombstone) is left.
//!
//! # On disk
//! The component is deleted first, because a marker beside a component has no effect. A crash in between leaves a plugin that is
//! missing and holds its messages; running the command again uninstalls it. The marker is written under a temporary name,
//! synced and renamed. It holds one line of text, which differs each time.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::catalog::folder::{ENDINGS, TOMBSTONE, beside};

/// Why a plugin cannot be uninstalled.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The name is not that of a file of the folder.
    #[error("{0:?} is not the name of a plugin of the folder: give NAME of NAME.wasm")]
    Name(String),
    /// A file cannot be removed.
    #[error("cannot remove {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The marker cannot be written.
    #[error("cannot write {path}, so the plugin is not uninstalled and its messages wait")]
    Tombstone {
        /// The marker.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Deletes the files of the plugin `name` (`NAME` or `NAME.wasm`) and leaves a marker. Returns the files that were there.
///
/// # Errors
/// [`RemovalError`].
pub fn remove(folder: &Path, name: &str) -> Result<Vec<PathBuf>, RemovalError> {
    let stem = stem_of(name).ok_or_else(|| RemovalError::Name(name.to_owned()))?;
    let path = folder.join(stem);
    let mut removed = Vec::new();
    let (component, others) = ENDINGS.split_first().unwrap_or((&"", &[]));
    removed.extend(remove_file(beside(&path, component))?);
    let tombstone = beside(&path, TOMBSTONE);
    write(folder, &tombstone, stem).map_err(|source| RemovalError::Tombstone { path: tombstone.clone(), source })?;
    for ending in others.iter().filter(|ending| **ending != TOMBSTONE) {
        removed.extend(remove_file(beside(&path, ending))?);
    }
    Ok(removed)
}

/// `NAME` of `NAME` or `NAME.wasm`, if that can be a file of the folder.
pub(super) fn stem_of(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".wasm").unwrap_or(name);
    (!stem.is_empty() && !stem.starts_with('.') && !stem.contains(['/', '\0', ':'])).then_some(stem)
}

fn remove_file(path: PathBuf) -> Result<Option<PathBuf>, RemovalError> {
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RemovalError::File { path, source }),
    }
}

fn write(folder: &Path, tombstone: &Path, stem: &str) -> io::Result<()> {
    let temporary = folder.join(format!(".{stem}.removed.{}", std::process::id()));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o644).open(&temporary)?;
    let now = jiff::Timestamp::now();
    writeln!(file, "{stem} was uninstalled by `sesame plugin remove` at {now}. A new {stem}.wasm installs it again.")?;
    // Readable for the user that Sesame runs as, whatever the umask.
    file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.sync_all()?;
    std::fs::rename(&temporary, tombstone)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_a_marker_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.wasm", "a.toml", "a.wasm.p7s", "a.b.wasm"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!(remove(folder.path(), "a.wasm").unwrap().len(), 3);
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.b.wasm", "a.removed"]);
        let first = std::fs::read_to_string(folder.path().join("a.removed")).unwrap();
        assert_eq!(remove(folder.path(), "a").unwrap().len(), 0);
        assert_ne!(std::fs::read_to_string(folder.path().join("a.removed")).unwrap(), first);
    }

    #[test]
    fn touches_nothing_outside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "../a", "/etc/passwd", ".hidden", "builtin:passthrough"] {
            assert!(matches!(remove(folder.path(), name), Err(RemovalError::Name(_))), "{name}");
        }
    }
}
