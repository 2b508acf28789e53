//! Back to the component that served before, with its sidecar and signatures: `sesame plugin rollback`.
//!
//! # On disk
//! The kept files are copied into the plugin folder under a name that begins with a dot, loaded there as the daemon would, and
//! renamed into place only if that succeeds: signature and sidecar first, the component last. A running Sesame takes them as
//! any files that change together.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use message::{files, hex};
use rustix::fs::{CWD, OFlags};

use super::folder::{self, ENDINGS, TOMBSTONE, beside};
use super::kept::{Files, Version};
use super::removal::stem_of;
use super::{Catalog, Effort, load};
use crate::catalog::status::PluginState;
use crate::resources::Surroundings;

/// Why a plugin cannot return to its earlier component.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// The name is not that of a file of the folder.
    #[error("{0:?} is not the name of a plugin of the folder: give NAME of NAME.wasm")]
    Name(String),
    /// There is nothing to return to.
    #[error(
        "no earlier component of plugin {0} is kept: Sesame keeps the last one that served when it puts another into service"
    )]
    NoEarlier(String),
    /// What is kept cannot be used.
    #[error("cannot read what is kept of plugin {plugin}: copy a good component into the plugin folder")]
    Kept {
        /// The plugin.
        plugin: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The earlier component would not serve.
    #[error("the earlier component of plugin {plugin} would not serve, and nothing was changed: it {reason}")]
    Refused {
        /// The plugin.
        plugin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder cannot be written.
    #[error("cannot write {path}: run this as its owner")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a plugin returned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The version of the component, as its author names it.
    pub version: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The files that were put back.
    pub files: Vec<PathBuf>,
}

/// Files in the folder that are not in place yet. They are removed if they never are.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        for ending in ENDINGS {
            let _ = fs::remove_file(beside(&self.0, ending));
        }
    }
}

impl Catalog {
    /// Puts the last component of the plugin `name` that served, and that is not the one in the folder, back into the folder.
    ///
    /// # Errors
    /// [`RollbackError`]; the folder is as it was unless a file of it cannot be written.
    pub fn roll_back(&self, folder: &Path, name: &str, around: &Surroundings) -> Result<RolledBack, RollbackError> {
        let plugin = stem_of(name).ok_or_else(|| RollbackError::Name(name.to_owned()))?;
        let stem = folder.join(plugin);
        let earlier = self.earlier(plugin, &stem)?;
        let staged = Staged(folder.join(format!(".{plugin}.rollback.{}", std::process::id())));
        for (ending, bytes) in earlier.iter().filter(|(ending, _)| *ending != TOMBSTONE) {
            write(beside(&staged.0, ending), bytes)?;
        }
        let source = folder::StageSource { name: format!("{plugin}.wasm"), ..folder::stage(&staged.0) };
        let loaded = load::load(&self.plugins, &source, around, Effort::Full);
        let Some(component) = loaded.component.filter(|_| loaded.state == PluginState::Ready) else {
            let reason = loaded.reason.unwrap_or_else(|| format!("is {}", loaded.state));
            let reason = reason.replace(&*staged.0.to_string_lossy(), &stem.to_string_lossy());
            return Err(RollbackError::Refused { plugin: plugin.to_owned(), reason });
        };
        let files = put(&staged.0, &stem)?;
        sync(folder)?;
        Ok(RolledBack { version: component.description.version.clone(), sha256: hex(&component.sha256), files })
    }

    /// The files to return to. A component that had no sidecar of its own keeps that of the folder.
    fn earlier(&self, plugin: &str, stem: &Path) -> Result<Files, RollbackError> {
        let versions = match &self.kept {
            Some(kept) => {
                kept.versions(stem).map_err(|source| RollbackError::Kept { plugin: plugin.to_owned(), source })?
            }
            None => Vec::new(),
        };
        let path = beside(stem, ".wasm");
        let here = Files::read(stem).map_err(|source| RollbackError::File { path, source })?;
        let other = |version: &Version| version.files.component() != here.component();
        let mine = |version: &Version| version.files.get(TOMBSTONE) == here.get(TOMBSTONE);
        let found = versions.into_iter().find(|version| other(version) && mine(version));
        let version = found.ok_or_else(|| RollbackError::NoEarlier(plugin.to_owned()))?;
        Ok(match version.files.get(".toml") {
            Some(_) => version.files,
            None => [".toml", ".toml.p7s"]
                .iter()
                .fold(version.files, |files, ending| files.with(ending, here.get(ending).map(<[u8]>::to_vec))),
        })
    }
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<(), RollbackError> {
    let written = files::open(CWD, &path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, 0o644)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source| RollbackError::File { path, source })
}

/// Renames the staged files into place, and removes signatures that are not of them.
fn put(staged: &Path, stem: &Path) -> Result<Vec<PathBuf>, RollbackError> {
    let mut put = Vec::new();
    for ending in [".toml.p7s", ".toml", ".wasm.p7s", ".wasm"] {
        let (from, path) = (beside(staged, ending), beside(stem, ending));
        let there = from.symlink_metadata().is_ok();
        let done = if there { fs::rename(&from, &path) } else { remove(&path) };
        done.map_err(|source| RollbackError::File { path: path.clone(), source })?;
        put.extend(there.then_some(path));
    }
    Ok(put)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), RollbackError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| RollbackError::File { path: folder.to_owned(), source })
}
