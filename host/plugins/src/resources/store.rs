//! The tables and secrets of the process, read once and noticed when their files change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use message::{locked, owner_only};
use tables::{Table, TableSource};
use zeroize::Zeroizing;

use super::Surroundings;
use crate::file_facts::FileFacts;

/// A secret is at most this long, in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// How long files must be unchanged, and how long one must be gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) quiet: Duration,
    pub(crate) settle: Duration,
    pub(crate) vanished: Duration,
}

/// Whether there is a secret in a file.
///
/// # Errors
/// Why not, without its content.
pub fn check_secret(file: &Path) -> Result<(), String> {
    Store::default().secret(file).map(drop)
}

/// A table as it was read, or why it could not be.
type Read = Result<Arc<Table>, String>;

/// What is in use.
#[derive(Debug, Default)]
pub(crate) struct Store {
    tables: Mutex<BTreeMap<TableSource, (Watch, Read)>>,
    secrets: Mutex<BTreeMap<PathBuf, Watch>>,
}

/// A file, as it was when it was read and as it was seen last.
#[derive(Clone, Copy, Debug)]
struct Watch {
    read: Option<FileFacts>,
    seen: Option<FileFacts>,
    since: Instant,
}

/// What a look at the files found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The names of tables whose files changed and are complete.
    pub(crate) tables: BTreeSet<String>,
    /// The names of secrets of which the same holds.
    pub(crate) secrets: BTreeSet<String>,
    /// Whether a file may still be being written.
    pub(crate) pending: bool,
}

impl Watch {
    fn new(facts: Option<FileFacts>) -> Self {
        Self { read: facts, seen: facts, since: Instant::now() }
    }

    /// Looks at the file. `None`: it is as it was read; else whether it is complete.
    fn look(&mut self, file: &Path, pace: &Pace) -> Option<bool> {
        let now = FileFacts::of(file);
        if now != self.seen {
            (self.seen, self.since) = (now, Instant::now());
        }
        if now == self.read {
            return None;
        }
        let since = self.since.elapsed();
        Some(match now {
            None => since >= pace.vanished,
            Some(facts) => {
                since >= pace.quiet && (since >= pace.settle || facts.is_finished(SystemTime::now(), pace.settle))
            }
        })
    }
}

impl Store {
    /// The table in a file, read the first time it is asked for and after it changed.
    ///
    /// # Errors
    /// Why there is none, with file, line and remedy.
    pub(crate) fn table(&self, source: &TableSource) -> Read {
        let mut tables = locked(&self.tables);
        if let Some((_, Ok(table))) = tables.get(source) {
            return Ok(Arc::clone(table));
        }
        let facts = FileFacts::of(&source.file);
        let read = Table::load(source).map(Arc::new).map_err(|error| message::cause::chain(&error));
        tables.insert(source.clone(), (Watch::new(facts), read.clone()));
        read
    }

    /// The secret in a file, without the line end.
    ///
    /// # Errors
    /// Why there is none, without its content.
    pub(crate) fn secret(&self, file: &Path) -> Result<Zeroizing<String>, String> {
        locked(&self.secrets).insert(file.to_owned(), Watch::new(FileFacts::of(file)));
        let bytes = owner_only::read(file, MAX_SECRET).map_err(|error| message::cause::chain(&error))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| format!("{} is not UTF-8 text", file.display()))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        match text.is_empty() {
            true => Err(format!("{} is empty: write the secret into it", file.display())),
            false => Ok(Zeroizing::new(text.to_owned())),
        }
    }

    /// Looks at the files in use, and forgets the tables whose files changed: they are read again when asked for.
    pub(crate) fn look(&self, around: &Surroundings, pace: &Pace) -> Changes {
        let mut changes = Changes::default();
        let mut pending = false;
        let mut changed = |watch: &mut Watch, file: &Path| {
            let complete = watch.look(file, pace);
            pending |= complete == Some(false);
            complete == Some(true)
        };
        let mut tables = locked(&self.tables);
        for (name, source) in &around.tables {
            if tables.get_mut(source).is_some_and(|(watch, _)| changed(watch, &source.file)) {
                changes.tables.insert(name.clone());
            }
        }
        tables.retain(|source, _| !changes.tables.iter().any(|name| around.tables.get(name) == Some(source)));
        drop(tables);
        let mut secrets = locked(&self.secrets);
        for (name, file) in &around.secrets {
            if secrets.get_mut(file).is_some_and(|watch| changed(watch, file)) {
                changes.secrets.insert(name.clone());
            }
        }
        secrets.retain(|file, _| !changes.secrets.iter().any(|name| around.secrets.get(name) == Some(file)));
        changes.pending = pending;
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const AT_ONCE: Pace = Pace { quiet: Duration::ZERO, settle: Duration::ZERO, vanished: Duration::ZERO };

    #[test]
    fn a_table_is_read_once_and_again_when_its_file_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sites.csv");
        std::fs::write(&file, "key,site\na,A\n").unwrap();
        let source = TableSource { file: file.clone(), format: tables::Format::Csv, key: None };
        let around = Surroundings { tables: [("sites".to_owned(), source.clone())].into(), ..Surroundings::default() };
        let store = Store::default();
        assert_eq!(store.look(&around, &AT_ONCE), Changes::default(), "nothing is in use yet");
        let first = store.table(&source).unwrap();
        assert!(Arc::ptr_eq(&first, &store.table(&source).unwrap()));
        assert_eq!(store.look(&around, &AT_ONCE), Changes::default());
        std::fs::write(&file, "key,site\na,A\nb,B\n").unwrap();
        let slow = Pace { quiet: Duration::from_secs(60), ..AT_ONCE };
        assert_eq!(store.look(&around, &slow), Changes { pending: true, ..Changes::default() });
        assert!(Arc::ptr_eq(&first, &store.table(&source).unwrap()), "it may still be being written");
        assert_eq!(store.look(&around, &AT_ONCE).tables, ["sites".to_owned()].into());
        assert_eq!((first.len(), store.table(&source).unwrap().len()), (1, 2));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(store.look(&around, &AT_ONCE).tables, ["sites".to_owned()].into());
        assert!(store.table(&source).unwrap_err().contains("cannot read"));
    }

    #[test]
    fn a_secret_is_the_file_of_its_owner_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("salt");
        let write = |content: &[u8], mode| {
            std::fs::write(&file, content).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let store = Store::default();
        write(b" two words \r\n", 0o600);
        assert_eq!(store.secret(&file).unwrap().as_str(), " two words ");
        for (content, mode, expected) in [
            (&b"s3cret"[..], 0o640, "may be read or written by others than its owner: run chmod 600"),
            (b"\n", 0o600, "is empty: write the secret into it"),
            (b"s3cret\xff", 0o600, "is not UTF-8 text"),
        ] {
            write(content, mode);
            let said = store.secret(&file).unwrap_err();
            assert!(said.contains(expected) && !said.contains("s3cret"), "{expected:?} not in {said:?}");
        }
        std::fs::write(&file, vec![b'x'; 70_000]).unwrap();
        assert!(store.secret(&file).unwrap_err().contains("larger than"));
        let around = Surroundings { secrets: [("salt".to_owned(), file.clone())].into(), ..Surroundings::default() };
        write(b"other", 0o600);
        assert_eq!(store.look(&around, &AT_ONCE).secrets, ["salt".to_owned()].into());
    }
}
