//! Files with a secret, which only their owner may read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// Why such a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnerOnlyError {
    /// The file cannot be read.
    #[error("cannot read {}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("{} may be read or written by others than its owner: run chmod 600", .0.display())]
    Exposed(PathBuf),
    /// The file is too large.
    #[error("{} is larger than {limit} bytes: it is not the file of a secret", .file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Bytes.
        limit: u64,
    },
}

/// Reads such a file. Its memory is cleared when it is dropped. A pipe is not waited for.
///
/// # Errors
/// [`OwnerOnlyError`], naming the file.
pub fn read(file: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, OwnerOnlyError> {
    let unreadable = |source| OwnerOnlyError::Unreadable { file: file.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(file, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let opened = File::from(opened);
    let facts = opened.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    if facts.mode() & 0o077 != 0 {
        return Err(OwnerOnlyError::Exposed(file.to_owned()));
    }
    // With room for everything, no copy is left behind by growing.
    let room = usize::try_from(facts.len().min(limit)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    opened.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(OwnerOnlyError::TooLarge { file: file.to_owned(), limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn reads_a_file_of_its_owner_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let read_with = |mode: u32, limit| {
            std::fs::write(&file, b"0123456789").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            read(&file, limit)
        };
        assert_eq!(read_with(0o600, 10).unwrap().as_slice(), b"0123456789");
        assert_eq!(read_with(0o400, 100).unwrap().as_slice(), b"0123456789");
        for mode in [0o640, 0o604, 0o620, 0o601] {
            assert!(matches!(read_with(mode, 10), Err(OwnerOnlyError::Exposed(_))), "{mode:o}");
        }
        assert!(matches!(read_with(0o600, 9), Err(OwnerOnlyError::TooLarge { limit: 9, .. })));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        for file in [pipe.as_path(), folder.path()] {
            let said = crate::cause::chain(&read(file, 10).unwrap_err());
            assert!(said.ends_with("it is not a file"), "{said}");
        }
        let said = crate::cause::chain(&read(Path::new("/nowhere/secret"), 10).unwrap_err());
        assert!(said.contains("/nowhere/secret: No such file"), "{said}");
    }
}
