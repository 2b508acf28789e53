//! Exclusive ownership of a spool or an outgoing queue.
//!
//! The lock is `flock` on a file that is never removed. The process id in it is only informative: the kernel releases
//! the lock when its holder exits, so that a left-over file never prevents a start.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use message::files;
use rustix::fs::{CWD, FlockOperation, OFlags};

use super::SpoolError;

/// Proof that this process owns a spool. Dropping it releases the spool.
#[derive(Debug)]
pub struct SpoolLock {
    path: PathBuf,
    file: File,
}

impl SpoolLock {
    /// Locks the file `path`, and creates it with mode 0600 if it is missing.
    ///
    /// # Errors
    /// [`SpoolError::AlreadyHeld`] with the process id of the holder; [`SpoolError::Io`].
    pub fn acquire(path: &Path) -> Result<Self, SpoolError> {
        // Never through a symbolic link, whose target would be truncated.
        let mut file =
            files::open(CWD, path, OFlags::RDWR | OFlags::CREATE, 0o600).map_err(|error| not_opened(path, error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(SpoolError::AlreadyHeld { path: path.to_owned(), pid: holder(&mut file) });
            }
            Err(error) => return Err(SpoolError::io("lock", path)(error.into())),
        }
        note_pid(&mut file).map_err(SpoolError::io("write lock file", path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpoolLock {
    fn drop(&mut self) {
        // Best effort: closing the file releases the lock. Unlocking also releases it if a child process that is being
        // started still has the descriptor.
        let _ = self.file.set_len(0);
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn not_opened(path: &Path, source: io::Error) -> SpoolError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => SpoolError::LockNotOurs { path: path.to_owned(), source },
        _ => SpoolError::io("open lock file", path)(source),
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn note_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_gets_the_process_id_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = SpoolLock::acquire(&path).unwrap();
        match SpoolLock::acquire(&path).unwrap_err() {
            SpoolError::AlreadyHeld { pid, .. } => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other}"),
        }
        drop(first);
        SpoolLock::acquire(&path).unwrap();
    }

    #[test]
    fn a_file_of_another_user_is_an_error_with_what_to_do() {
        let path = Path::new("/var/spool/apel/outgoing.state/lock");
        let error = not_opened(path, io::ErrorKind::PermissionDenied.into());
        assert!(error.to_string().contains("change the owner with `chown -R`"), "{error}");
        assert!(matches!(not_opened(path, io::ErrorKind::ReadOnlyFilesystem.into()), SpoolError::Io { .. }));
    }

    #[test]
    fn a_left_over_file_with_a_foreign_pid_does_not_prevent_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, "1\n").unwrap();
        SpoolLock::acquire(&path).unwrap();
    }
}
