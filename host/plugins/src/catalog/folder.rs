//! The plugin folder: every `*.wasm` in it is a plugin, in the order of the names, with `NAME.toml` beside it as its settings
//! (the sidecar).
//!
//! # Policy
//! Anyone who can write here runs code on every message. Therefore a folder, component or sidecar is refused if users other
//! than its owner may write to it, or if it belongs to neither root nor the user of this process. Symbolic links are refused
//! because others may control their target. Names that begin with a dot are ignored. No other file is skipped: a file that
//! cannot be read, or a sidecar whose component is gone, is a plugin that cannot answer.
//!
//! `NAME.removed` marks a plugin that `sesame plugin remove` uninstalled (a tombstone). Its text differs each time, so that a
//! marker that is older than a plugin does not apply to it. A component beside the marker takes precedence.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use message::files::{self, NotOpened};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};

use crate::catalog::sidecar::Sidecar;
use crate::component::MAX_COMPONENT_BYTES;
use crate::text::clean;

/// Largest sidecar that is read.
const MAX_SIDECAR_BYTES: u64 = 1 << 20;

/// A marker is one line.
const MAX_TOMBSTONE_BYTES: u64 = 4 << 10;

/// The ending of a marker.
pub(crate) const TOMBSTONE: &str = ".removed";

/// The kinds of file by which a plugin, present or removed, is found.
const KINDS: [&str; 3] = ["wasm", "toml", "removed"];

/// The endings of all files that belong to one plugin.
pub(crate) const ENDINGS: [&str; 5] = [".wasm", ".toml", ".wasm.p7s", ".toml.p7s", TOMBSTONE];

/// Why the whole folder is refused.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be opened or listed.
    #[error("cannot read the plugin folder {path}")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may change it.
    #[error("the plugin folder {path} {reason}")]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong and how to fix it.
        reason: String,
    },
}

/// Where the component of a plugin is.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Embedded in the program.
    BuiltIn(&'static [u8]),
    /// A file, read when the plugin is loaded.
    File(PathBuf),
    /// It does not exist; what to do.
    Missing(String),
}

/// One plugin to be loaded: where its component is and what its settings are.
#[derive(Clone, Debug)]
pub struct StageSource {
    pub(crate) name: String,
    pub(crate) source: Source,
    /// The settings, or all that is wrong with them.
    pub(crate) sidecar: Result<Sidecar, String>,
    /// The filter keys that are valid, if the settings have mistakes.
    pub(crate) understood: Option<Sidecar>,
    /// The sidecar's file, which need not exist; none where the configuration has the settings.
    pub(crate) sidecar_file: Option<PathBuf>,
    /// The sidecar's bytes, where the file exists and could be read.
    pub(crate) written: Option<Vec<u8>>,
    /// The text of the `NAME.removed` marker, if there is one.
    pub(crate) tombstone: Option<String>,
    /// Whether the operator named the plugin; one of the folder stays in the pipeline even if it cannot be loaded.
    pub(crate) named: bool,
}

impl StageSource {
    /// A plugin named in a pipeline: `builtin:NAME` or the path of a component. `settings` are those of
    /// `[plugin."NAME"]`; for a file, `None` means the sidecar beside it.
    #[must_use]
    pub fn named(name: &str, settings: Option<Sidecar>) -> Self {
        if let Some(stock) = name.strip_prefix(crate::component::builtin::PREFIX) {
            let names: Vec<&str> = crate::component::builtin::names().collect();
            let missing = || Source::Missing(format!("no such stock plugin (stock plugins: {})", names.join(", ")));
            let source = crate::component::builtin::find(stock).map_or_else(missing, Source::BuiltIn);
            return Self::configured(name.to_owned(), source, settings.unwrap_or_default());
        }
        let path = PathBuf::from(name);
        let file = path.with_extension("toml");
        let (name, source) = (file_name(&path), Source::File(path));
        match settings {
            Some(settings) => Self::configured(name, source, settings),
            None => Self::with_sidecar(name, source, file, true),
        }
    }

    /// With settings of the configuration.
    fn configured(name: String, source: Source, settings: Sidecar) -> Self {
        let sidecar = Ok(settings);
        Self {
            name,
            source,
            sidecar,
            understood: None,
            sidecar_file: None,
            written: None,
            tombstone: None,
            named: true,
        }
    }

    /// With the sidecar in `file`.
    fn with_sidecar(name: String, source: Source, file: PathBuf, named: bool) -> Self {
        let (sidecar, written) = match read_sidecar(&file) {
            Ok(None) => (Ok(Sidecar::default()), None),
            Ok(Some(bytes)) => (parse_sidecar(&bytes, &file), Some(bytes)),
            Err(error) => (Err(error), None),
        };
        let mistaken = written.as_deref().filter(|_| sidecar.is_err());
        let text = mistaken.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let understood = text.and_then(|text| Sidecar::understood(text, &file));
        Self { name, source, sidecar, understood, sidecar_file: Some(file), written, tombstone: None, named }
    }

    /// `builtin:NAME` or the name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the sidecar leaves the plugin enabled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.sidecar.as_ref().map_or(true, |sidecar| sidecar.enabled)
    }

    /// What to do if the component does not exist; none if it does.
    pub(crate) fn missing(&self) -> Option<String> {
        match &self.source {
            Source::Missing(remedy) => Some(remedy.clone()),
            Source::File(path) if path.symlink_metadata().is_err() => {
                Some(format!("put {} back or remove the plugin from the pipeline", path.display()))
            }
            Source::File(_) | Source::BuiltIn(_) => None,
        }
    }
}

fn is_gone(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// The paths of the folder's plugins without their endings, in order: `FOLDER/NAME`.
///
/// # Errors
/// [`FolderError`] when the folder itself cannot be used.
pub(crate) fn stems(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let unreadable = |source: io::Error| FolderError::Unreadable { path: folder.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(folder, flags, Mode::empty()).map_err(|e| unreadable(e.into()))?;
    let stat = rustix::fs::fstat(&handle).map_err(|e| unreadable(e.into()))?;
    check_owner(&stat).map_err(|reason| FolderError::Unsafe { path: folder.to_owned(), reason })?;
    let mut stems = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let kind = path.extension().is_some_and(|extension| KINDS.iter().any(|kind| extension == *kind));
        if kind && !hidden {
            stems.insert(path.with_extension(""));
        }
    }
    Ok(stems.into_iter().collect())
}

/// All plugins of the folder, in order: disabled ones included, uninstalled ones not.
///
/// # Errors
/// [`FolderError`] when the folder itself cannot be used. A mistake in one file is kept with its plugin.
pub fn read(folder: &Path) -> Result<Vec<StageSource>, FolderError> {
    let there = |stem: &PathBuf| [".wasm", ".toml"].iter().any(|kind| beside(stem, kind).symlink_metadata().is_ok());
    Ok(stems(folder)?.into_iter().filter(there).map(|stem| stage(&stem)).collect())
}

/// Files of the folder that seem to be meant for Sesame and are ignored, each with what to do; none if the folder cannot be
/// read.
#[must_use]
pub fn passed_over(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<String> = entries.filter_map(|entry| passed_over_name(&entry.ok()?.path())).collect();
    found.sort();
    found
}

fn passed_over_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    if name.starts_with('.') {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let ending = ENDINGS.iter().filter(|ending| lower.ends_with(**ending)).max_by_key(|ending| ending.len())?;
    if !name.ends_with(ending) {
        let (stem, _) = name.split_at(name.len() - ending.len());
        let text = format!("{} is ignored because endings are lower-case: rename it to {stem}{ending}", path.display());
        return Some(text);
    }
    let signed = path.to_str()?.strip_suffix(".p7s")?;
    let gone = !Path::new(signed).exists();
    gone.then(|| {
        format!(
            "{} is the signature of a file that does not exist: put {signed} back or remove the signature",
            path.display()
        )
    })
}

/// The file `STEM` with an ending. Not `with_extension`, which would cut a stem that contains a dot.
pub(crate) fn beside(stem: &Path, ending: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The text of the marker of a plugin, if there is one that only its owner may write to.
pub(crate) fn tombstone(stem: &Path) -> Option<String> {
    let bytes = read_file(&beside(stem, TOMBSTONE), MAX_TOMBSTONE_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The plugin of the files that begin with `stem`.
pub(crate) fn stage(stem: &Path) -> StageSource {
    let component = beside(stem, ".wasm");
    let there = component.symlink_metadata().is_ok();
    let source = if there { Source::File(component.clone()) } else { Source::Missing(back_or_ended(stem)) };
    let source = StageSource::with_sidecar(file_name(&component), source, beside(stem, ".toml"), false);
    StageSource { tombstone: tombstone(stem), ..source }
}

/// What to do about a plugin of the folder whose component is gone.
pub(crate) fn back_or_ended(stem: &Path) -> String {
    let name = stem.file_name().map(|name| clean(&name.to_string_lossy(), 200)).unwrap_or_default();
    format!("put {} back or uninstall the plugin with `sesame plugin remove {name}`", beside(stem, ".wasm").display())
}

/// The bytes of the sidecar at `path`, if there is one.
fn read_sidecar(path: &Path) -> Result<Option<Vec<u8>>, String> {
    if is_gone(path) {
        return Ok(None);
    }
    read_file(path, MAX_SIDECAR_BYTES).map(Some)
}

fn parse_sidecar(bytes: &[u8], path: &Path) -> Result<Sidecar, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    Sidecar::parse(text, path).map_err(|errors| {
        let mistakes: Vec<String> = errors.mistakes().iter().map(ToString::to_string).collect();
        mistakes.join("; ")
    })
}

/// The bytes of a regular file that only its owner may write to. The checks apply to the open file, not to its name.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let file = files::open_regular(CWD, path).map_err(|error| match error {
        NotOpened::NotRegular(FileType::Symlink) => format!("{shown} is a symbolic link: put the file itself here"),
        NotOpened::NotRegular(_) => format!("{shown} is not a regular file"),
        NotOpened::Io(error) => format!("cannot read {shown}: {error}"),
    })?;
    let stat = rustix::fs::fstat(&file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    check_owner(&stat).map_err(|reason| format!("{shown} {reason}"))?;
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("{shown} is larger than {} MB", limit >> 20));
    }
    Ok(bytes)
}

/// The bytes of a component.
pub(crate) fn read_component(path: &Path) -> Result<Vec<u8>, String> {
    read_file(path, MAX_COMPONENT_BYTES)
}

/// The metadata of the folder itself. It stays the same only while no name is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryFacts {
    /// Device and inode; none if the folder cannot be read.
    place: Option<(u64, u64)>,
    /// When its names and its inode changed, in seconds and nanoseconds.
    changed: [(i64, u64); 2],
}

impl DirectoryFacts {
    /// Reads the metadata of a folder.
    pub(crate) fn of(folder: &Path) -> Self {
        match rustix::fs::stat(folder) {
            Err(_) => Self { place: None, changed: [(0, 0); 2] },
            Ok(stat) => Self {
                place: Some((stat.st_dev, stat.st_ino)),
                changed: [(stat.st_mtime, stat.st_mtime_nsec), (stat.st_ctime, stat.st_ctime_nsec)],
            },
        }
    }

    /// Whether the last change is at least `age` old at `now`, so that the next one gets another time even from a coarse clock.
    pub(crate) fn is_older_than(&self, now: SystemTime, age: Duration) -> bool {
        let old = |(seconds, nanoseconds): &(i64, u64)| {
            let since = Duration::new(u64::try_from(*seconds).ok()?, u32::try_from(*nanoseconds).ok()?);
            Some(now.duration_since(UNIX_EPOCH.checked_add(since)?).ok()? >= age)
        };
        self.changed.iter().all(|time| old(time) == Some(true))
    }
}

fn check_owner(stat: &Stat) -> Result<(), String> {
    let me = rustix::process::geteuid().as_raw();
    if stat.st_mode & 0o022 != 0 {
        let mode = stat.st_mode & 0o7777;
        return Err(format!(
            "is writable by users other than its owner (mode {mode:o}): check it, then run chmod go-w on it"
        ));
    }
    if stat.st_uid != 0 && stat.st_uid != me {
        return Err(format!(
            "belongs to user {}, which is neither root nor the user of this process: chown it",
            stat.st_uid
        ));
    }
    Ok(())
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| clean(&name.to_string_lossy(), 200))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        folder
    }

    #[test]
    fn stages_come_in_the_order_of_their_names() {
        let folder = folder(&[
            ("20-b.wasm", b"x"),
            ("10-a.1.wasm", b"x"),
            ("10-a.1.toml", b"enabled = false"),
            (".hidden.wasm", b"x"),
            ("notes.txt", b"x"),
        ]);
        let stages = read(folder.path()).unwrap();
        let names: Vec<&str> = stages.iter().map(StageSource::name).collect();
        assert_eq!(names, ["10-a.1.wasm", "20-b.wasm"]);
        assert!(!stages[0].is_enabled() && stages[1].is_enabled());
    }

    #[test]
    fn refuses_a_folder_that_others_may_write_to() {
        let folder = folder(&[]);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o775)).unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is writable by users other than its owner (mode 775): check it"), "{error}");
    }

    #[test]
    fn refuses_files_that_others_may_write_to_links_and_pipes() {
        let folder = folder(&[("a.wasm", b"x"), ("b.toml", b"")]);
        let path = folder.path().join("a.wasm");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read_component(&path).unwrap_err().contains("(mode 666)"));
        let link = folder.path().join("l.wasm");
        symlink(folder.path().join("b.toml"), &link).unwrap();
        assert!(read_component(&link).unwrap_err().contains("is a symbolic link"));
        assert!(read_component(folder.path()).unwrap_err().contains("is not a regular file"));
    }

    #[test]
    fn a_sidecar_without_its_component_stays_a_plugin() {
        let folder = folder(&[("a.toml", b"")]);
        let stages = read(folder.path()).unwrap();
        assert_eq!(stages[0].name(), "a.wasm");
        assert!(stages[0].missing().unwrap().contains("a.wasm back or uninstall the plugin"));
    }

    #[test]
    fn a_sidecar_with_mistakes_names_the_file() {
        let folder = folder(&[("a.wasm", b"x"), ("a.toml", b"foo = 1\nmemory = true")]);
        let stages = read(folder.path()).unwrap();
        let error = stages[0].sidecar.clone().unwrap_err();
        assert!(error.contains("a.toml:2: memory: ") && error.contains("a.toml:1: foo: "), "{error}");
    }

    #[test]
    fn an_unknown_stock_plugin_is_missing() {
        let stage = StageSource::named("builtin:nothing", None);
        assert!(
            matches!(&stage.source, Source::Missing(why) if why.contains("(stock plugins: passthrough, any-record"))
        );
    }
}
