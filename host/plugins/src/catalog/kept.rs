//! The last good files of each plugin: those that serve, and those that served before them. `sesame plugin rollback` puts the
//! earlier ones back, and after a restart the last good ones serve while the files of the folder are broken.
//!
//! # On disk
//! `last-good/NAME-HASH/current` and `.../earlier` in the cache, where HASH is that of the path without ending, each with the
//! files of the plugin under their own names and `SHA256SUMS`, in the form of sha256sum. A version is written aside, synced and
//! renamed; what a crash leaves has the last good version as `current` or, without one, as `earlier`.
//!
//! # Policy
//! - A version is a component; the sidecar and the signatures beside it are those with which it served last.
//! - Files are used only if their hashes are those of the list, and then they are loaded as any others: signatures are checked.
//! - Versions of a plugin that was uninstalled since are not used: the marker `NAME.removed` is then another one.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use message::{files, hex};
use rustix::fs::{CWD, FlockOperation, OFlags};
use sha2::{Digest as _, Sha256};

use super::folder::{self, ENDINGS, beside};
use crate::component::MAX_COMPONENT_BYTES;

/// The folder in the cache.
const FOLDER: &str = "last-good";
const CURRENT: &str = "current";
const EARLIER: &str = "earlier";
const SUMS: &str = "SHA256SUMS";
/// The list has a line for each ending.
const MAX_SUMS: u64 = 8 << 10;
/// Bytes of a hash in the name of a folder.
const SHORT: usize = 8;

/// The folder with the last good files.
#[derive(Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
}

/// The files of a plugin: endings and contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(Vec<(&'static str, Vec<u8>)>);

/// A version that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Its files without their endings.
    pub(crate) stem: PathBuf,
    pub(crate) files: Files,
}

impl Files {
    /// The files that begin with `stem`.
    pub(crate) fn read(stem: &Path) -> io::Result<Self> {
        let mut all = Vec::new();
        for ending in ENDINGS {
            let path = beside(stem, ending);
            match read(&path, MAX_COMPONENT_BYTES) {
                Ok(bytes) => all.push((ending, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(all))
    }

    pub(crate) fn get(&self, ending: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == ending).map(|(_, bytes)| bytes.as_slice())
    }

    /// With another file in the place of that of this ending.
    pub(crate) fn with(mut self, ending: &'static str, bytes: Option<Vec<u8>>) -> Self {
        self.0.retain(|(known, _)| *known != ending);
        self.0.extend(bytes.map(|bytes| (ending, bytes)));
        self
    }

    /// The hash of the component.
    pub(crate) fn component(&self) -> Option<[u8; 32]> {
        self.get(".wasm").map(|bytes| Sha256::digest(bytes).into())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.0.iter().map(|(ending, bytes)| (*ending, bytes.as_slice()))
    }

    /// The lines of the list of hashes.
    fn sums(&self, name: &str) -> String {
        let line = |(ending, bytes): (&str, &[u8])| format!("{}  {name}{ending}\n", hex(&Sha256::digest(bytes)));
        self.iter().map(line).collect()
    }
}

impl Kept {
    /// In this cache.
    pub(crate) fn new(cache: &Path) -> Self {
        Self { folder: cache.join(FOLDER) }
    }

    fn of(&self, stem: &Path) -> PathBuf {
        let hash = hex(&Sha256::digest(stem.as_os_str().as_encoded_bytes()));
        let short = hash.get(..2 * SHORT).unwrap_or_default();
        self.folder.join(format!("{}-{short}", name(stem)))
    }

    /// Keeps these files as those that serve now. Those of another component that served before become the earlier ones.
    pub(crate) fn record(&self, stem: &Path, files: &Files) -> io::Result<()> {
        let own = self.of(stem);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&own)?;
        let _turn = self.lock()?;
        let current = own.join(CURRENT);
        let before = Self::version(&current, stem).ok().flatten();
        if before.as_ref().is_some_and(|version| version.files == *files) {
            return Ok(());
        }
        let aside = own.join("new");
        remove(&aside)?;
        fs::DirBuilder::new().mode(0o700).create(&aside)?;
        let name = name(stem);
        for (ending, bytes) in files.iter() {
            write(&beside(&aside.join(&name), ending), bytes)?;
        }
        write(&aside.join(SUMS), files.sums(&name).as_bytes())?;
        fs::File::open(&aside)?.sync_all()?;
        match before {
            Some(version) if version.files.component() != files.component() => {
                remove(&own.join(EARLIER))?;
                fs::rename(&current, own.join(EARLIER))?;
            }
            _ => remove(&current)?,
        }
        fs::rename(&aside, &current)?;
        fs::File::open(&own)?.sync_all()
    }

    /// Deletes what is kept of a plugin.
    pub(crate) fn forget(&self, stem: &Path) -> io::Result<()> {
        remove(&self.of(stem))
    }

    fn lock(&self) -> io::Result<fs::File> {
        let lock = files::open(CWD, self.folder.join(".lock"), OFlags::RDWR | OFlags::CREATE, 0o600)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
        Ok(lock)
    }

    /// What is kept of a plugin, the last that served first.
    ///
    /// # Errors
    /// A version cannot be read, or its files are not those that were kept.
    pub(crate) fn versions(&self, stem: &Path) -> io::Result<Vec<Version>> {
        let own = self.of(stem);
        let mut versions = Vec::new();
        for place in [CURRENT, EARLIER] {
            versions.extend(Self::version(&own.join(place), stem)?);
        }
        Ok(versions)
    }

    /// The last version that served, if the plugin was not uninstalled since and nothing is wrong with its files.
    pub(crate) fn last(&self, stem: &Path) -> Option<Version> {
        let last = self.versions(stem).ok()?.into_iter().next()?;
        (last.files.get(folder::TOMBSTONE) == Files::read(stem).ok()?.get(folder::TOMBSTONE)).then_some(last)
    }

    fn version(place: &Path, stem: &Path) -> io::Result<Option<Version>> {
        let name = name(stem);
        let sums = match read(&place.join(SUMS), MAX_SUMS) {
            Ok(sums) => sums,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let stem = place.join(&name);
        let files = Files::read(&stem)?;
        if files.sums(&name).as_bytes() != sums || files.component().is_none() {
            let text = format!("the files in {} are not those that were kept", place.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Some(Version { stem, files }))
    }
}

fn name(stem: &Path) -> String {
    stem.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The bytes of a regular file of this size at most.
fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let file = files::open_regular(CWD, path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{} is too large", path.display())));
    }
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = files::open(CWD, path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, 0o600)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(component: &str, sidecar: &str) -> Files {
        Files::default().with(".wasm", Some(component.into())).with(".toml", Some(sidecar.into()))
    }

    #[test]
    fn keeps_what_serves_and_one_component_before_it() {
        let cache = tempfile::tempdir().unwrap();
        let (kept, stem) = (Kept::new(cache.path()), cache.path().join("plugins/a.b"));
        let components =
            || -> Vec<Files> { kept.versions(&stem).unwrap().into_iter().map(|version| version.files).collect() };
        assert_eq!(components(), []);
        for (component, sidecar) in [("1", ""), ("2", ""), ("2", "x"), ("3", ""), ("3", "y")] {
            kept.record(&stem, &files(component, sidecar)).unwrap();
        }
        assert_eq!(components(), [files("3", "y"), files("2", "x")]);
        assert_eq!(kept.versions(&cache.path().join("other/a.b")).unwrap(), [], "another folder");
        let left = fs::read_dir(kept.of(&stem)).unwrap().count();
        assert_eq!(left, 2, "nothing else stays");
    }

    #[test]
    fn what_was_changed_is_not_used() {
        let cache = tempfile::tempdir().unwrap();
        let (kept, stem) = (Kept::new(cache.path()), cache.path().join("plugins/a"));
        kept.record(&stem, &files("1", "")).unwrap();
        let version = kept.versions(&stem).unwrap().remove(0);
        fs::write(beside(&version.stem, ".wasm"), "2").unwrap();
        let error = kept.versions(&stem).unwrap_err().to_string();
        assert!(error.ends_with("/current are not those that were kept"), "{error}");
        kept.record(&stem, &files("3", "")).unwrap();
        assert_eq!(kept.versions(&stem).unwrap()[0].files, files("3", ""));
    }

    #[test]
    fn what_was_uninstalled_since_is_not_the_last() {
        let cache = tempfile::tempdir().unwrap();
        let (kept, stem) = (Kept::new(cache.path()), cache.path().join("a"));
        kept.record(&stem, &files("1", "")).unwrap();
        assert!(kept.last(&stem).is_some());
        fs::write(beside(&stem, ".removed"), "now").unwrap();
        assert!(kept.last(&stem).is_none());
    }
}
