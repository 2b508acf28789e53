//! The calls that change queues on disk, each preceded by the fail point `step`.
//!
//! Queues are changed only through these calls, apart from file times, so that a test can make each of them fail or
//! kill the process there. Directories and files get exactly the requested modes, whatever the umask is.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::sync::OnceLock;

use message::files;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};

use super::failpoint::failpoint;

/// Permissions of new files and directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes {
    /// Mode of directories; the default is 0750.
    pub directory: u32,
    /// Mode of files; the default is 0640.
    pub file: u32,
}

impl Default for Modes {
    fn default() -> Self {
        Self { directory: 0o750, file: 0o640 }
    }
}

/// Whether the process's umask removes bits from `mode`, so that they must be set after creation.
fn masked(mode: u32) -> bool {
    static UMASK: OnceLock<u32> = OnceLock::new();
    let umask = UMASK.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o777)
    });
    mode & umask != 0
}

/// Creates a directory; fails if it exists.
pub(crate) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    failpoint!("step")?;
    files::make_directory(path, mode)?;
    if masked(mode) {
        rustix::fs::chmod(path, Mode::from_raw_mode(mode))?;
    }
    Ok(())
}

/// Creates a directory and its missing parents, and syncs the parent of each new one.
///
/// # Errors
/// What `mkdir` and `fsync` return.
pub fn make_directories(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    make_directories(parent, mode)?;
    match make_directory(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(parent),
    }
}

/// Opens a directory.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Opens a directory as a place, which stays the same if it is moved.
pub(crate) fn open_place(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Writes a new file in `directory`; fails if it exists.
pub(crate) fn write_new(directory: impl AsFd, name: &str, bytes: &[u8], mode: u32) -> io::Result<File> {
    failpoint!("R05")?;
    failpoint!("step")?;
    let mut file = files::open(directory, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?;
    if masked(mode) {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    }
    failpoint!("R06")?;
    failpoint!("step")?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Syncs a file or directory to disk. It must not be called again for the same content: after a failure the kernel
/// marks the lost pages as clean, and a second call would report success.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    failpoint!("step")?;
    file.sync_all()
}

/// Syncs the entries of a directory to disk.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    failpoint!("step")?;
    open_directory(path)?.sync_all()
}

/// Syncs the file system of `directory` to disk. `directory` must have been open since before the first write: an error
/// is reported once to each descriptor that was open when it happened (Linux 5.8). As for [`sync`], it must not be called
/// again for the same content.
pub(crate) fn sync_file_system(directory: &File) -> io::Result<()> {
    failpoint!("step")?;
    failpoint!("sync")?;
    Ok(rustix::fs::syncfs(directory)?)
}

/// Renames a file or directory; fails with `AlreadyExists` if the new name is taken.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    failpoint!("step")?;
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems without the flag: the check is not atomic, but names do not repeat.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Ok(rustix::fs::rename(from, to)?)
        }
        other => Ok(other?),
    }
}

/// Creates a hard link; never follows a symbolic link.
pub(crate) fn link(from: &Path, to: &Path) -> io::Result<()> {
    failpoint!("step")?;
    Ok(rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?)
}

/// Removes a file; succeeds if it does not exist.
pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    failpoint!("step")?;
    absent_is_fine(rustix::fs::unlink(path).map_err(Into::into))
}

/// Removes an empty directory; succeeds if it does not exist.
pub(crate) fn remove_empty(path: &Path) -> io::Result<()> {
    failpoint!("step")?;
    absent_is_fine(rustix::fs::rmdir(path).map_err(Into::into))
}

/// Treats `NotFound` as success.
pub(crate) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Calls `each` for every entry of a directory except `.` and `..`, with its type if the file system reports it.
pub(crate) fn for_each_entry(path: &Path, mut each: impl FnMut(&[u8], FileType)) -> io::Result<()> {
    let directory = open_directory(path)?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, entry.file_type());
        }
    }
    Ok(())
}

/// The names in a directory that `wanted` accepts, sorted.
pub(crate) fn sorted_names(path: &Path, wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for_each_entry(path, |name, _| {
        if wanted(name) {
            names.push(OsString::from_vec(name.to_vec()));
        }
    })?;
    names.sort_unstable();
    Ok(names)
}

/// Bytes available to an unprivileged process in the file system of `path`.
///
/// # Errors
/// The error of `statvfs`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let facts = rustix::fs::statvfs(path)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn creates_files_and_directories_with_the_requested_modes() {
        let _turn = super::super::failpoint::scenario("");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make_directories(&path, 0o775).unwrap();
        write_new(open_directory(&path).unwrap(), "body", b"x", 0o664).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o775);
        assert_eq!(path.join("body").metadata().unwrap().permissions().mode() & 0o777, 0o664);
        assert!(write_new(open_directory(&path).unwrap(), "body", b"y", 0o664).is_err());
    }

    /// The child of the next test; does nothing on its own.
    #[test]
    fn child_that_may_not_write_much() {
        let Some(folder) = std::env::var_os("SESAME_TEST_LIMITED") else { return };
        let directory = open_directory(Path::new(&folder)).unwrap();
        let error = write_new(&directory, "body", &[b'x'; 100_000], 0o640).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    /// As on a disk that becomes full: the first part is written, and the next call fails.
    #[test]
    fn a_file_that_cannot_be_written_whole_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let limited = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
        let child = concat!(module_path!(), "::child_that_may_not_write_much").split_once("::").unwrap().1;
        let output = std::process::Command::new("sh")
            .args(["-c", limited, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", child])
            .env("SESAME_TEST_LIMITED", folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(std::fs::metadata(folder.path().join("body")).unwrap().len(), 4096);
    }

    #[test]
    fn never_renames_onto_an_existing_name() {
        let _turn = super::super::failpoint::scenario("");
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&b).unwrap();
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(a.exists());
    }
}
