//! Opening files in directories that another user can write to.
//!
//! No function here follows a symbolic link in the last part of a path. [`open_regular`] also refuses pipes and devices
//! before it opens them: opening a pipe blocks, and opening a device can have effects.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
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
    let file = rustix::io::retry_on_intr(|| rustix::fs::openat(&directory, &*name, flags, Mode::from_raw_mode(mode)))?;
    Ok(file.into())
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
    use rustix::fs::CWD;

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
