//! The file of pins: which digest a tag had when it was first pulled.
//!
//! # On disk
//! A line for each tag, `NAME DIGEST`; `#` begins a comment. Users may edit it: a line that is removed is pinned again at the
//! next pull. It is replaced as a whole.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::RegistryError;

/// More is no file of pins.
const LARGEST: u64 = 1 << 20;
const HEAD: &str = "# Digests that tags had when they were first pulled. A line that is removed is pinned again.\n";

/// The pins of a file.
#[derive(Debug)]
pub struct Pins {
    file: PathBuf,
    pins: BTreeMap<String, String>,
}

impl Pins {
    /// Reads the file, which need not exist.
    ///
    /// # Errors
    /// It cannot be read, or a line is no pin.
    pub fn read(file: &Path) -> Result<Self, RegistryError> {
        let unreadable = |error: io::Error| RegistryError::File { verb: "read", path: file.to_owned(), source: error };
        let read = message::files::read_regular(rustix::fs::CWD, file, LARGEST).map_err(io::Error::from);
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unreadable(error)),
        };
        let text = String::from_utf8(bytes).map_err(|_| unreadable(io::ErrorKind::InvalidData.into()))?;
        let mut pins = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pin =
                line.split_once(char::is_whitespace).map(|(name, digest)| (name.to_owned(), digest.trim().to_owned()));
            let (name, digest) =
                pin.filter(|(_, digest)| is_digest(digest)).ok_or_else(|| RegistryError::Unusable {
                    path: file.to_owned(),
                    reason: format!("line {number} is no pin: write NAME sha256:DIGEST, or remove the line"),
                })?;
            pins.insert(name, digest);
        }
        Ok(Self { file: file.to_owned(), pins })
    }

    /// The digest that the tag is pinned to.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&str> {
        self.pins.get(name).map(String::as_str)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Pins a tag, and replaces the file where that changes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn pin(&mut self, name: &str, digest: &str) -> Result<(), RegistryError> {
        if self.of(name) == Some(digest) {
            return Ok(());
        }
        self.pins.insert(name.to_owned(), digest.to_owned());
        self.write().map_err(|source| RegistryError::File { verb: "write", path: self.file.clone(), source })
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(HEAD.as_bytes())?;
        for (name, digest) in &self.pins {
            writeln!(file, "{name} {digest}")?;
        }
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(&self.file)?;
        std::fs::File::open(folder)?.sync_all()
    }
}

/// Whether a text is the digest of content.
pub(crate) fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:");
    digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_its_digest_until_the_line_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registry-pins");
        let digest = format!("sha256:{}", "a".repeat(64));
        let mut pins = Pins::read(&file).unwrap();
        assert_eq!(pins.of("r/a:1"), None);
        pins.pin("r/a:1", &digest).unwrap();
        pins.pin("r/b:1", &digest).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.ends_with(&format!("r/a:1 {digest}\nr/b:1 {digest}\n")), "{text}");
        assert_eq!(Pins::read(&file).unwrap().of("r/b:1"), Some(digest.as_str()));
        std::fs::write(&file, format!("# mine\n\nr/b:1\t{digest}\n")).unwrap();
        let pins = Pins::read(&file).unwrap();
        assert_eq!((pins.of("r/a:1"), pins.of("r/b:1")), (None, Some(digest.as_str())));
        std::fs::write(&file, "r/b:1 sha256:abc\n").unwrap();
        let error = Pins::read(&file).unwrap_err().to_string();
        assert!(error.contains("registry-pins: line 1 is no pin"), "{error}");
    }
}
