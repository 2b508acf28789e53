//! Opening files in directories that another user can write to.
//!
//! No function here follows a symbolic link in the last part of a path. [`open_regular`] also refuses pipes and devices
//! before it opens them: opening a pipe blocks, and opening a device can have effects.
//!
//! # Owners
//! What root creates with [`open`] or [`make_directory`] belongs to the owner and group of the directory that it is in:
//! commands that root runs leave nothing in the queues of another user that this user cannot use. Where root may not
//! give a file away (a user namespace, NFS), it stays root's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use rustix::path::Arg;

/// Why a file was not opened for reading.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// It is a symbolic link, a directory, a pipe, a socket or a device.
    #[error("not a regular file")]
    NotRegular(FileType),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for NotOpened {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<NotOpened> for io::Error {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Io(error) => error,
            not_regular @ NotOpened::NotRegular(_) => Self::new(io::ErrorKind::InvalidInput, not_regular.to_string()),
        }
    }
}

/// Opens `name` in `directory`. `mode` applies where `flags` create the file, less the process's umask. The descriptor is
/// closed in child processes.
///
/// # Errors
/// `ELOOP` for a symbolic link; what `openat` returns.
pub fn open(directory: impl AsFd, name: impl Arg, flags: OFlags, mode: u32) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = name.into_c_str()?;
    let open = |flags| -> rustix::io::Result<File> {
        let opened =
            rustix::io::retry_on_intr(|| rustix::fs::openat(&directory, &*name, flags, Mode::from_raw_mode(mode)));
        Ok(opened?.into())
    };
    let owner = if flags.contains(OFlags::CREATE) { owner_for_new(&directory, &*name) } else { None };
    let Some(owner) = owner else { return Ok(open(flags)?) };
    loop {
        // Only a new file is given away.
        match open(flags | OFlags::EXCL) {
            Ok(file) => {
                give(&file, owner);
                return Ok(file);
            }
            Err(Errno::EXIST) if !flags.contains(OFlags::EXCL) => {}
            Err(error) => return Err(error.into()),
        }
        match open(flags.difference(OFlags::CREATE)) {
            // It was removed in between.
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
    }
}

/// Creates a directory, with `mode` less the process's umask; fails if it exists.
///
/// # Errors
/// What `mkdirat` and `renameat2` return.
pub fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    let Some(owner) = owner_for_new(CWD, path) else { return Ok(rustix::fs::mkdir(path, mode)?) };
    // Under its name it belongs to its owner from the first moment.
    let aside = aside(path);
    rustix::fs::mkdir(&aside, mode)?;
    if let Ok(directory) = open(CWD, &aside, OFlags::RDONLY | OFlags::DIRECTORY, 0) {
        give(&directory, owner);
    }
    let renamed = match rustix::fs::renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE) {
        // File systems without the flag: an empty directory of that name is replaced, another one is not.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::rename(&aside, path),
        other => other,
    };
    renamed.map_err(|error| {
        let _ = rustix::fs::rmdir(&aside);
        if matches!(error, Errno::NOTEMPTY | Errno::NOTDIR) { Errno::EXIST.into() } else { error.into() }
    })
}

/// A hidden name beside a new directory.
fn aside(path: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".sesame-{}-{number}.new", std::process::id()))
}

/// To whom root gives what it creates as `name`; nothing for other users, and where the directory is root's own.
fn owner_for_new(directory: impl AsFd, name: impl Arg) -> Option<(Uid, Gid)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let name = name.as_str().ok().map(Path::new)?;
    let parent = name.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let facts = rustix::fs::statat(directory, parent, AtFlags::empty()).ok()?;
    (facts.st_uid != 0).then(|| (Uid::from_raw(facts.st_uid), Gid::from_raw(facts.st_gid)))
}

fn give(file: &File, (user, group): (Uid, Gid)) {
    let _ = rustix::fs::fchown(file, Some(user), Some(group));
}

/// Opens the regular file `name` in `directory` for reading.
///
/// # Errors
/// [`NotOpened`].
pub fn open_regular(directory: impl AsFd, name: impl Arg) -> Result<File, NotOpened> {
    let name = name.into_c_str()?;
    regular(rustix::fs::statat(&directory, &*name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)?;
    let file = match open(&directory, &*name, OFlags::RDONLY | OFlags::NONBLOCK, 0) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(NotOpened::NotRegular(FileType::Symlink));
        }
        other => other?,
    };
    // Another file may have taken the name since the first look.
    regular(rustix::fs::fstat(&file)?.st_mode)?;
    Ok(file)
}

fn regular(mode: rustix::fs::RawMode) -> Result<(), NotOpened> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(()),
        other => Err(NotOpened::NotRegular(other)),
    }
}

/// The first `limit` bytes of the regular file `name`, and one more where there are more.
///
/// # Errors
/// [`NotOpened`].
pub fn read_regular(directory: impl AsFd, name: impl Arg, limit: u64) -> Result<Vec<u8>, NotOpened> {
    let mut bytes = Vec::new();
    open_regular(directory, name)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn refuses_links_directories_and_pipes_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"abc").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        for (name, kind) in [("link", FileType::Symlink), ("pipe", FileType::Fifo), (".", FileType::Directory)] {
            let refused = open_regular(CWD, at(name)).unwrap_err();
            assert!(matches!(refused, NotOpened::NotRegular(found) if found == kind), "{name}: {refused:?}");
        }
        assert!(open(CWD, at("link"), OFlags::WRONLY, 0).is_err());
        assert!(open(CWD, at("link"), OFlags::WRONLY | OFlags::CREATE, 0o600).is_err());
        assert_eq!(std::fs::read(at("file")).unwrap(), b"abc");
    }

    /// Tests run as root where CI does; elsewhere there is no one to give anything to.
    #[test]
    fn what_root_creates_belongs_to_the_owner_of_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        let root = rustix::process::geteuid().is_root();
        if root {
            std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_533)).unwrap();
        }
        let own = folder.path().metadata().unwrap();
        let at = |name: &str| folder.path().join(name);
        let owner = |name: &str| at(name).metadata().map(|facts| (facts.uid(), facts.gid())).unwrap();
        let create = OFlags::WRONLY | OFlags::CREATE;
        open(CWD, at("file"), create, 0o600).unwrap();
        open(File::open(folder.path()).unwrap(), "relative", create | OFlags::EXCL, 0o600).unwrap();
        make_directory(&at("directory"), 0o750).unwrap();
        make_directory(&at("directory/below"), 0o750).unwrap();
        for name in ["file", "relative", "directory", "directory/below"] {
            assert_eq!(owner(name), (own.uid(), own.gid()), "{name}");
        }
        for taken in ["directory", "file"] {
            assert_eq!(make_directory(&at(taken), 0o750).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{taken}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left aside");
        if root {
            // A file that was there stays whose it is.
            std::os::unix::fs::chown(at("file"), Some(0), Some(0)).unwrap();
            open(CWD, at("file"), create, 0o600).unwrap();
            assert_eq!(owner("file"), (0, 0));
        }
    }

    #[test]
    fn reads_one_byte_beyond_the_limit_at_most() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), b"abcdef").unwrap();
        let directory = File::open(folder.path()).unwrap();
        assert_eq!(read_regular(&directory, "file", 3).unwrap(), b"abcd");
        assert_eq!(read_regular(&directory, "file", 6).unwrap(), b"abcdef");
        let absent = read_regular(&directory, "absent", 6).unwrap_err();
        assert_eq!(io::Error::from(absent).kind(), io::ErrorKind::NotFound);
    }
}
