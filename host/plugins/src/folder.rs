//! The plugin folder: every `*.wasm` in it is a stage, in the order of the names, with `NAME.toml` beside it as its
//! settings.
//!
//! # Policy
//! Whoever can write here runs code on every message, so a folder, component or side-car that others than its owner may
//! write to is refused, and so is one that belongs to neither root nor the user this program runs as. Symbolic links
//! are refused because what they lead to is decided elsewhere. Names that begin with a dot are passed over; nothing
//! else disappears: a file that cannot be read and a side-car whose component is gone are stages that cannot answer.
//!
//! `NAME.removed` is a tombstone: the stage NAME was ended on purpose, by `sesame plugin remove`. Its text is different
//! each time, so that one that was there already when a stage began says nothing about that stage. A component beside it
//! wins.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use message::files::{self, NotOpened};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};

use super::component::MAX_COMPONENT_BYTES;
use super::sidecar::SideCar;
use super::text::clean;

/// Largest side-car that is read.
const MAX_SIDE_CAR_BYTES: u64 = 1 << 20;

/// A tombstone is one line.
const MAX_TOMBSTONE_BYTES: u64 = 4 << 10;

/// The ending of a tombstone.
pub(super) const TOMBSTONE: &str = ".removed";

/// The kinds of file that say that there is, or was, a stage.
const KINDS: [&str; 3] = ["wasm", "toml", "removed"];

/// The endings of all files that belong to one stage.
pub(super) const ENDINGS: [&str; 5] = [".wasm", ".toml", ".wasm.p7s", ".toml.p7s", TOMBSTONE];

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
        /// What is wrong and how to mend it.
        reason: String,
    },
}

/// Where the component of a stage is.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Embedded in the program.
    BuiltIn(&'static [u8]),
    /// A file, read when the pipeline is loaded.
    File(PathBuf),
    /// Nowhere; why.
    Missing(String),
}

/// One stage to be loaded: where its component is and what its settings are.
#[derive(Clone, Debug)]
pub struct StageSource {
    pub(super) name: String,
    pub(super) source: Source,
    /// The settings, or all that is wrong with them.
    pub(super) side_car: Result<SideCar, String>,
    /// Of settings with mistakes what could be understood of the messages they are for.
    pub(super) understood: Option<SideCar>,
    /// The side-car's file, which need not exist; none where the configuration has the settings.
    pub(super) side_car_file: Option<PathBuf>,
    /// The side-car's bytes, where the file exists and could be read.
    pub(super) written: Option<Vec<u8>>,
    /// A stage that the operator named; a folder's stage is kept even if it cannot be loaded.
    pub(super) named: bool,
}

impl StageSource {
    /// A plugin named in a pipeline: `builtin:NAME` or the path of a component. `settings` are those of
    /// `[plugin."NAME"]`; for a file, `None` means the side-car beside it.
    #[must_use]
    pub fn named(name: &str, settings: Option<SideCar>) -> Self {
        if let Some(stock) = name.strip_prefix(super::builtin::PREFIX) {
            let names: Vec<&str> = super::builtin::names().collect();
            let missing = || Source::Missing(format!("there is no such stock plugin; there are: {}", names.join(", ")));
            let source = super::builtin::find(stock).map_or_else(missing, Source::BuiltIn);
            return Self::configured(name.to_owned(), source, settings.unwrap_or_default());
        }
        let path = PathBuf::from(name);
        let file = path.with_extension("toml");
        let (name, source) = (file_name(&path), Source::File(path));
        match settings {
            Some(settings) => Self::configured(name, source, settings),
            None => Self::with_side_car(name, source, file, true),
        }
    }

    /// With settings of the configuration.
    fn configured(name: String, source: Source, settings: SideCar) -> Self {
        let side_car = Ok(settings);
        Self { name, source, side_car, understood: None, side_car_file: None, written: None, named: true }
    }

    /// With the side-car in `file`.
    fn with_side_car(name: String, source: Source, file: PathBuf, named: bool) -> Self {
        let (side_car, written) = match read_side_car(&file) {
            Ok(None) => (Ok(SideCar::default()), None),
            Ok(Some(bytes)) => (parse_side_car(&bytes, &file), Some(bytes)),
            Err(error) => (Err(error), None),
        };
        let mistaken = written.as_deref().filter(|_| side_car.is_err());
        let text = mistaken.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let understood = text.and_then(|text| SideCar::understood(text, &file));
        Self { name, source, side_car, understood, side_car_file: Some(file), written, named }
    }

    /// What the stage is called: `builtin:NAME` or the name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the side-car switches the stage off.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.side_car.as_ref().map_or(true, |side_car| side_car.enabled)
    }
}

/// What the files of the folder's stages begin with, in order: `FOLDER/NAME`.
///
/// # Errors
/// [`FolderError`] when the folder itself cannot be used.
pub(super) fn stems(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
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

/// All stages of the folder, in order, also those that are switched off; not those that were ended.
///
/// # Errors
/// [`FolderError`] when the folder itself cannot be used; what is wrong with one file stays with its stage.
pub fn read(folder: &Path) -> Result<Vec<StageSource>, FolderError> {
    let there = |stem: &PathBuf| [".wasm", ".toml"].iter().any(|kind| beside(stem, kind).symlink_metadata().is_ok());
    Ok(stems(folder)?.into_iter().filter(there).map(|stem| stage(&stem)).collect())
}

/// Files of the folder that are meant for Sesame by their looks and are passed over, each with what to do; none where the
/// folder cannot be read.
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
        let text = format!("{} is passed over: endings are lower-case; rename it to {stem}{ending}", path.display());
        return Some(text);
    }
    let signed = path.to_str()?.strip_suffix(".p7s")?;
    let gone = !Path::new(signed).exists();
    gone.then(|| {
        format!("{} signs a file that is not there; put {signed} back or remove the signature", path.display())
    })
}

/// The file `STEM` with an ending. Not `with_extension`, which would cut a stem that holds a dot.
pub(super) fn beside(stem: &Path, ending: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The text of the tombstone of a stage, if one is there that its owner alone may write to.
pub(super) fn tombstone(stem: &Path) -> Option<String> {
    let bytes = read_file(&beside(stem, TOMBSTONE), MAX_TOMBSTONE_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The stage of the files that begin with `stem`.
pub(super) fn stage(stem: &Path) -> StageSource {
    let component = beside(stem, ".wasm");
    let source = if component.symlink_metadata().is_ok() {
        Source::File(component.clone())
    } else {
        Source::Missing("its component is gone, only the side-car is here: put it back, or remove the side-car".into())
    };
    StageSource::with_side_car(file_name(&component), source, beside(stem, ".toml"), false)
}

/// The bytes of the side-car at `path`, if there is one.
fn read_side_car(path: &Path) -> Result<Option<Vec<u8>>, String> {
    if matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    read_file(path, MAX_SIDE_CAR_BYTES).map(Some)
}

fn parse_side_car(bytes: &[u8], path: &Path) -> Result<SideCar, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    SideCar::parse(text, path).map_err(|errors| {
        let mistakes: Vec<String> = errors.mistakes().iter().map(ToString::to_string).collect();
        mistakes.join("; ")
    })
}

/// The bytes of a regular file that only its owner may write to. The checks are made on the file that is read, not on
/// its name.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
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
pub(super) fn read_component(path: &Path) -> Result<Vec<u8>, String> {
    read_file(path, MAX_COMPONENT_BYTES)
}

/// What the file system says of the folder itself. It is the same only as long as no name comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectoryFacts {
    /// Device and inode; none of a folder that cannot be looked at.
    place: Option<(u64, u64)>,
    /// When its names and its inode changed, in seconds and nanoseconds.
    changed: [(i64, u64); 2],
}

impl DirectoryFacts {
    /// Looks at a folder.
    pub(super) fn of(folder: &Path) -> Self {
        match rustix::fs::stat(folder) {
            Err(_) => Self { place: None, changed: [(0, 0); 2] },
            Ok(stat) => Self {
                place: Some((stat.st_dev, stat.st_ino)),
                changed: [(stat.st_mtime, stat.st_mtime_nsec), (stat.st_ctime, stat.st_ctime_nsec)],
            },
        }
    }

    /// Whether the last change was so long before `now` that the next one has another time, however coarse the clock.
    pub(super) fn is_older_than(&self, now: SystemTime, age: Duration) -> bool {
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
            "may be written to by others than its owner (mode {mode:o}): chmod go-w it, after checking it"
        ));
    }
    if stat.st_uid != 0 && stat.st_uid != me {
        return Err(format!("belongs to user {}, who is neither root nor this program's user: chown it", stat.st_uid));
    }
    Ok(())
}

pub(super) fn file_name(path: &Path) -> String {
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
        assert!(error.contains("may be written to by others than its owner (mode 775): chmod go-w it"), "{error}");
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
    fn a_side_car_without_its_component_stays_a_stage() {
        let folder = folder(&[("a.toml", b"")]);
        let stages = read(folder.path()).unwrap();
        assert_eq!(stages[0].name(), "a.wasm");
        assert!(matches!(&stages[0].source, Source::Missing(why) if why.contains("only the side-car is here")));
    }

    #[test]
    fn a_side_car_with_mistakes_names_the_file() {
        let folder = folder(&[("a.wasm", b"x"), ("a.toml", b"foo = 1\nmemory = true")]);
        let stages = read(folder.path()).unwrap();
        let error = stages[0].side_car.clone().unwrap_err();
        assert!(error.contains("a.toml:2: memory: ") && error.contains("a.toml:1: foo: "), "{error}");
    }

    #[test]
    fn an_unknown_stock_plugin_is_missing() {
        let stage = StageSource::named("builtin:nothing", None);
        assert!(matches!(&stage.source, Source::Missing(why) if why.contains("there are: passthrough, any-record")));
    }
}
