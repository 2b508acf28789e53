//! The folder of compiled components.
//!
//! # On disk
//! One file for each component, `SHA256-ENGINE.cwasm`: the digest of the component, and a digest of everything about the
//! engine that compiled code depends on, its version included. It holds the SHA-256 of the compiled
//! code, 32 bytes, and the compiled code. Files are written under a temporary name, synced and renamed; a file that is
//! incomplete, foreign or open to others is ignored and replaced. The modification time shows the day of last use; a file
//! that was not used for ninety days is removed when the folder is opened. While a component is compiled, a file of its name
//! with the ending `.lock` is locked, so that another process waits instead of compiling it too.
//!
//! # Trust
//! What is in the folder is run as native code, so a process loads only what its own user has written. Root stores what it
//! has compiled in the folder of another user, such as that of the service, and loads nothing from there.

use std::fs::{DirBuilder, File};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags};
use rustix::process::{Gid, Uid};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

use super::artefact::Artefact;
use message::{files, hex};

/// Larger than the code of any 64 MB component.
const MAX_ARTEFACT_BYTES: u64 = 1 << 30;

/// The endings of our files: compiled code, and what a crash left behind.
const ENDINGS: [&str; 3] = [".cwasm", ".lock", ".tmp"];

/// A file that was not used for this long is removed.
const UNUSED: Duration = Duration::from_secs(90 * 86_400);
/// How often use is recorded.
const NOTED: Duration = Duration::from_secs(86_400);

/// Why the cache folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be created, opened, read or written.
    #[error("cannot use the plugin cache {path}")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It belongs to another user.
    #[error(
        "the plugin cache {path} belongs to user {owner}, not to the user of this process: remove it or configure another"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
    },
    /// Other users may read or write it.
    #[error(
        "the plugin cache {path} is open to other users (mode {mode:o}): check its content, then run chmod 700 on it"
    )]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// The folder, checked and held open.
pub(super) struct Cache {
    path: PathBuf,
    folder: File,
    /// User and group it belongs to, if that is another user and we are root: nothing is loaded from it.
    for_another: Option<(u32, u32)>,
}

/// What keeps other processes from compiling the same component; released when it is dropped.
pub(super) struct Turn<'a> {
    cache: &'a Cache,
    name: String,
    _locked: File,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&self.cache.folder, &self.name, AtFlags::empty());
    }
}

impl Cache {
    /// Opens the folder, creates it if needed, and checks that no other user has access.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        if !path.exists() {
            let unusable = |source| CacheError::Unusable { path: path.to_owned(), source };
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        }
        let cache = Self::there(path)?;
        cache.evict(|name, unused| ENDINGS.iter().any(|ending| name.ends_with(ending)) && unused() > UNUSED);
        Ok(cache)
    }

    /// The same for a folder that must exist.
    pub(super) fn there(path: &Path) -> Result<Self, CacheError> {
        let unusable = |source| CacheError::Unusable { path: path.to_owned(), source };
        let folder = files::open(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY, 0).map_err(unusable)?;
        let stat = rustix::fs::fstat(&folder).map_err(|e| unusable(e.into()))?;
        let us = rustix::process::geteuid();
        let for_another = (stat.st_uid != us.as_raw()).then_some((stat.st_uid, stat.st_gid));
        if for_another.is_some() && !us.is_root() {
            return Err(CacheError::Foreign { path: path.to_owned(), owner: stat.st_uid });
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(CacheError::Open { path: path.to_owned(), mode: stat.st_mode & 0o7777 });
        }
        Ok(Self { path: path.to_owned(), folder, for_another })
    }

    /// Whether it belongs to another user, so that nothing is loaded from it.
    pub(super) fn is_for_another(&self) -> bool {
        self.for_another.is_some()
    }

    /// Waits until no other process compiles this component. None if the folder cannot be written.
    pub(super) fn turn(&self, engine: &Engine, sha256: &[u8; 32]) -> Option<Turn<'_>> {
        let name = format!("{}.lock", file_name(engine, sha256));
        let locked = files::open(&self.folder, &name, OFlags::RDWR | OFlags::CREATE, 0o600).ok()?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&locked, FlockOperation::LockExclusive)).ok()?;
        Some(Turn { cache: self, name, _locked: locked })
    }

    /// Whether there is a file for this component that may be loaded.
    pub(super) fn has(&self, engine: &Engine, sha256: &[u8; 32]) -> bool {
        !self.is_for_another()
            && rustix::fs::statat(&self.folder, file_name(engine, sha256), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The compiled form of a component for this engine, if an intact one is here.
    pub(super) fn find(&self, engine: &Engine, sha256: &[u8; 32]) -> Option<Artefact> {
        let file = files::open_regular(&self.folder, file_name(engine, sha256)).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
        if !ours || self.is_for_another() {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).ok()?);
        (&file).take(MAX_ARTEFACT_BYTES).read_to_end(&mut bytes).ok()?;
        if age(stat.st_mtime) > NOTED {
            let _ = file.set_modified(SystemTime::now());
        }
        let (digest, code) = bytes.split_at_checked(32)?;
        (Sha256::digest(code).as_slice() == digest).then(|| Artefact::from_cache(code.to_vec()))
    }

    /// Stores the compiled form of a component, and removes those of other engines.
    pub(super) fn keep(&self, engine: &Engine, sha256: &[u8; 32], artefact: &Artefact) -> Result<(), CacheError> {
        let unusable = |source| CacheError::Unusable { path: self.path.clone(), source };
        let name = file_name(engine, sha256);
        // Files of earlier versions.
        let component = hex(sha256);
        self.evict(|name, _| name.starts_with(&component) && name.ends_with(".cwasm"));
        self.write(&name, artefact.bytes()).map_err(unusable)
    }

    fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let temporary = format!("{}.{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut file = files::open(&self.folder, &temporary, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, 0o600)?;
        let given = self.for_another.map_or(Ok(()), |(user, group)| {
            rustix::fs::fchown(&file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group))).map_err(io::Error::from)
        });
        let written = given.and_then(|()| file.write_all(&Sha256::digest(code))).and_then(|()| file.write_all(code));
        let renamed = written.and_then(|()| file.sync_all()).and_then(|()| {
            rustix::fs::renameat(&self.folder, &temporary, &self.folder, name)?;
            Ok(rustix::fs::fsync(&self.folder)?)
        });
        renamed.inspect_err(|_| {
            let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        })
    }

    /// Removes the files that `goes` selects, by their name and how long they were not used. Failures are ignored.
    fn evict(&self, goes: impl Fn(&str, &dyn Fn() -> Duration) -> bool) {
        let Ok(entries) = rustix::fs::Dir::read_from(&self.folder) else { return };
        for entry in entries.flatten() {
            let stat = || rustix::fs::statat(&self.folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            let unused = || stat().map_or(Duration::ZERO, |stat| age(stat.st_mtime));
            if entry.file_name().to_str().is_ok_and(|name| goes(name, &unused)) {
                let _ = rustix::fs::unlinkat(&self.folder, entry.file_name(), AtFlags::empty());
            }
        }
    }
}

/// How long ago a time in seconds since 1970 was.
fn age(modified: i64) -> Duration {
    let then = u64::try_from(modified).map_or(SystemTime::UNIX_EPOCH, |seconds| {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
    });
    SystemTime::now().duration_since(then).unwrap_or_default()
}

fn file_name(engine: &Engine, sha256: &[u8; 32]) -> String {
    let mut hasher = Fingerprint(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let engine = hex(hasher.0.finalize().get(..8).unwrap_or_default());
    format!("{}-{engine}.cwasm", hex(sha256))
}

/// A hasher that is the same in every build of the standard library.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
