//! Sent elements that are kept until their receiver has acknowledged them.
//!
//! A kept element was moved from the queue to a directory on the same file system, in one step: no crash in between loses
//! it. Its name there is a hash of the message's id and content, so that nothing needs to be listed. To send it again, it is
//! linked into the queue under its old name, and so has its old id.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD};

use super::element::{Identity, LockedElement};
use super::removal::restore;
use super::{Outgoing, Removal, message_id};
use crate::failpoint::failpoint;
use crate::journal::PreparedKey;
use crate::{SpoolError, disk};
use message::{content_digest, files, hex};

/// The directory of kept elements of one queue.
#[derive(Clone, Debug)]
pub struct RetainedElements {
    path: PathBuf,
    queue: Outgoing,
}

/// Where an element was in the queue, and where it is kept.
struct Move {
    queued: PathBuf,
    kept: PathBuf,
}

/// Why a kept element cannot be sent again.
#[derive(Debug, thiserror::Error)]
pub enum NotRetained {
    /// It is not there any more.
    #[error("its content is no longer in {0:?}")]
    Gone(PathBuf),
    /// It was changed after it was sent.
    #[error("its content in {0:?} was changed after it was sent")]
    Changed(PathBuf),
    /// Another element has its name.
    #[error("another element has its name in the queue")]
    Taken,
    /// A system call failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl RetainedElements {
    /// The kept elements of `queue` in the directory `path`, which is created, and checks that elements can be kept there.
    ///
    /// # Errors
    /// [`SpoolError::Io`], among others if the directory is on another file system than the queue.
    pub fn open(path: &Path, queue: &Outgoing) -> Result<Self, SpoolError> {
        let modes = queue.inner.modes;
        disk::make_directories(path, modes.directory).map_err(SpoolError::io("create directory", path))?;
        let store = Self { path: path.to_owned(), queue: queue.clone() };
        store.try_link().map_err(SpoolError::io("link files of the queue into directory", path))?;
        Ok(store)
    }

    /// The kept elements of `queue` in a directory that is there, or that has none.
    #[must_use]
    pub fn at(path: &Path, queue: &Outgoing) -> Self {
        Self { path: path.to_owned(), queue: queue.clone() }
    }

    /// Links a hidden file of the queue into the directory, and removes both. The name is always the same, so that what a
    /// crash leaves is removed by the next try.
    fn try_link(&self) -> io::Result<()> {
        let name = format!("{}link{}", super::HIDDEN_PREFIX, super::TEMPORARY_SUFFIX);
        let (in_queue, kept) = (self.queue.path().join(&name), self.path.join(&name));
        disk::unlink(&in_queue)?;
        disk::unlink(&kept)?;
        let directory = disk::open_directory(self.queue.path())?;
        disk::write_new(&directory, &name, b"", self.queue.inner.modes.file)?;
        let linked = disk::link(&in_queue, &kept);
        disk::unlink(&in_queue).and(disk::unlink(&kept)).and(linked)
    }

    /// Where the element of a message is kept.
    #[must_use]
    pub fn place(&self, key: &PreparedKey) -> PathBuf {
        let mut name = key.id.as_str().as_bytes().to_vec();
        name.push(0);
        name.extend_from_slice(&key.digest);
        let name = hex(&content_digest(&name));
        self.path.join(name.get(..32).unwrap_or(&name))
    }

    /// Moves sent elements from the queue to where they are kept, durably. The results are in the order of the elements. One
    /// whose content was replaced while it was sent is not kept: the new content stays in the queue.
    pub fn take_over(&self, elements: Vec<(LockedElement, PreparedKey)>) -> Vec<Result<Removal, SpoolError>> {
        let mut touched = BTreeSet::new();
        let places: Vec<Move> = elements
            .iter()
            .map(|(element, key)| Move { queued: self.queue.inner.place(element.name()), kept: self.place(key) })
            .collect();
        let mut taken: Vec<_> = elements
            .iter()
            .zip(&places)
            .map(|((element, _), step)| self.take_unsynced(element, step, &mut touched))
            .collect();
        drop(elements);
        // The whole file system: a producer may not have synced the content.
        let synced = disk::open_directory(&self.path).and_then(|directory| disk::sync_file_system(&directory));
        if let Err(error) = synced {
            let kind = error.kind();
            for (taken, Move { queued, kept }) in taken.iter_mut().zip(&places) {
                if matches!(taken, Ok(Removal::Removed)) {
                    // Sent again, unless that fails too: then the next start finds it where it is kept.
                    let _ = disk::rename_new(kept, queued);
                    *taken = Err(SpoolError::io("sync directory", &self.path)(kind.into()));
                }
            }
        }
        taken
    }

    fn take_unsynced(
        &self,
        element: &LockedElement,
        Move { queued: from, kept: to }: &Move,
        touched: &mut BTreeSet<PathBuf>,
    ) -> Result<Removal, SpoolError> {
        let failed = |error| SpoolError::io("keep element", from)(error);
        match disk::rename_new(from, to) {
            // Not the directory that is missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound && from.symlink_metadata().is_err() => {
                return Ok(Removal::Gone);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if identity(to).map_err(failed)? == element.identity() {
                    // Sent again.
                    return element.remove_unsynced(touched);
                }
                disk::unlink(to).and_then(|()| disk::rename_new(from, to)).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        match failpoint!("S08").and_then(|()| identity(to)) {
            Ok(found) if found == element.identity() => Ok(Removal::Removed),
            // Another file took the name while the message was sent.
            Ok(_) => {
                restore(&self.queue.inner, to, from.file_name().unwrap_or_default(), touched).map(Removal::Restored)
            }
            Err(error) => {
                let _ = disk::rename_new(to, from);
                Err(failed(error))
            }
        }
    }

    /// Whether the element of a message is kept, after a crash. Another content that was moved in the place of what was sent
    /// is given back to the queue.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub fn recover(&self, key: &PreparedKey) -> Result<bool, SpoolError> {
        match self.read(key, u64::MAX - 1) {
            Ok(_) => Ok(true),
            Err(NotRetained::Changed(kept)) => {
                let mut touched = BTreeSet::from([self.path.clone()]);
                let name = format!("restored-{}", crate::names::fresh_element());
                restore(&self.queue.inner, &kept, name.as_ref(), &mut touched)?;
                let synced =
                    |path: &PathBuf| disk::sync_directory(path).map_err(SpoolError::io("sync directory", path));
                touched.iter().try_for_each(synced).map(|()| false)
            }
            Err(NotRetained::Gone(_) | NotRetained::Taken) => Ok(false),
            Err(NotRetained::Spool(error)) => Err(error),
        }
    }

    /// Reads a kept element of at most `limit` bytes.
    ///
    /// # Errors
    /// [`NotRetained`].
    pub fn read(&self, key: &PreparedKey, limit: u64) -> Result<Vec<u8>, NotRetained> {
        let path = self.place(key);
        let content = match files::read_regular(CWD, &path, limit).map_err(io::Error::from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NotRetained::Gone(path)),
            other => other.map_err(SpoolError::io("read", &path))?,
        };
        if content_digest(&content) == key.digest { Ok(content) } else { Err(NotRetained::Changed(path)) }
    }

    /// Puts a kept element back into the queue under the name `element`. It stays kept.
    ///
    /// # Errors
    /// [`NotRetained`]; the queue is then as it was.
    pub fn give_back(&self, key: &PreparedKey, element: &str, limit: u64) -> Result<(), NotRetained> {
        self.read(key, limit)?;
        let (from, name) = (self.place(key), self.queue.name(element)?);
        let kept = identity(&from).map_err(SpoolError::io("read", &from))?;
        if message_id(self.queue.format(), &name, &kept) != key.id {
            return Err(NotRetained::Changed(from));
        }
        let to = self.queue.inner.place(&name);
        let failed = |error| SpoolError::io("put element back", &to)(error);
        let parent = to.parent().unwrap_or_else(|| self.queue.path());
        disk::make_directories(parent, self.queue.inner.modes.directory).map_err(failed)?;
        match disk::link(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if identity(&to).map_err(failed)? == kept {
                    Ok(())
                } else {
                    Err(NotRetained::Taken)
                }
            }
            other => Ok(other.and_then(|()| disk::sync_directory(parent)).map_err(failed)?),
        }
    }

    /// Whether the element of a message is kept.
    #[must_use]
    pub fn holds(&self, key: &PreparedKey) -> bool {
        self.place(key).symlink_metadata().is_ok()
    }

    /// Removes kept elements, durably.
    ///
    /// # Errors
    /// The first [`SpoolError::Io`]; some of them may still be there then.
    pub fn remove(&self, keys: &[PreparedKey]) -> Result<(), SpoolError> {
        let places: BTreeSet<PathBuf> = keys.iter().map(|key| self.place(key)).collect();
        places.iter().try_for_each(|place| disk::unlink(place).map_err(SpoolError::io("remove", place)))?;
        disk::sync_directory(&self.path).map_err(SpoolError::io("sync directory", &self.path))
    }
}

/// What identifies a file.
fn identity(path: &Path) -> io::Result<Identity> {
    Ok(Identity::of(&rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpoolLock;
    use crate::outgoing::Format;
    use std::sync::Arc;

    struct Site {
        folder: tempfile::TempDir,
        queue: Outgoing,
        store: RetainedElements,
        _turn: crate::failpoint::Scenario,
    }

    fn site(format: Format) -> Site {
        let _turn = crate::failpoint::scenario("");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outgoing");
        std::fs::create_dir(&path).unwrap();
        let lock = Arc::new(SpoolLock::acquire(&folder.path().join("lock")).unwrap());
        let queue = Outgoing::own(&path, format, lock).unwrap();
        let store = RetainedElements::open(&folder.path().join("state/retained"), &queue).unwrap();
        Site { folder, queue, store, _turn }
    }

    /// A locked element and its key.
    fn lock(site: &Site) -> (LockedElement, PreparedKey) {
        let name = site.queue.scan().unwrap().next(|_| false).unwrap().unwrap();
        let element = site.queue.lock(&name).unwrap().unwrap();
        let content = element.read(100).unwrap();
        let key = PreparedKey { id: element.message_id(), digest: content_digest(&content) };
        (element, key)
    }

    fn kept_and_removed(site: &Site) -> (PreparedKey, String) {
        let (element, key) = lock(site);
        let name = element.name().to_string();
        assert_eq!(take_over(site, element, &key).unwrap(), Removal::Removed);
        assert_eq!(site.queue.count().unwrap(), 0);
        (key, name)
    }

    fn take_over(site: &Site, element: LockedElement, key: &PreparedKey) -> Result<Removal, SpoolError> {
        site.store.take_over(vec![(element, key.clone())]).remove(0)
    }

    #[test]
    fn an_element_that_is_put_back_has_its_old_id_in_both_layouts() {
        for format in [Format::Dirq, Format::Directory] {
            let site = site(format);
            site.queue.add(None, b"a: 1\n").unwrap();
            let (key, name) = kept_and_removed(&site);
            // `dirq` removes directories that are empty.
            if format == Format::Dirq {
                let _ = std::fs::remove_dir(site.queue.path().join(name.split('/').next().unwrap()));
            }
            site.store.give_back(&key, &name, 100).unwrap();
            site.store.give_back(&key, &name, 100).unwrap();
            let (element, again) = lock(&site);
            assert_eq!((again, element.name().to_string()), (key.clone(), name));
            assert_eq!(take_over(&site, element, &key).unwrap(), Removal::Removed, "it is kept already");
            assert_eq!((site.queue.count().unwrap(), site.store.recover(&key).unwrap()), (0, true));
            assert_eq!(site.store.read(&key, 100).unwrap(), b"a: 1\n");
            site.store.remove(std::slice::from_ref(&key)).unwrap();
            assert!(!site.store.holds(&key));
            assert!(matches!(site.store.read(&key, 100), Err(NotRetained::Gone(_))));
        }
    }

    #[test]
    fn what_is_not_the_content_that_was_sent_is_not_sent_again() {
        let site = site(Format::Dirq);
        site.queue.add(None, b"a: 1\n").unwrap();
        let (key, name) = kept_and_removed(&site);
        let other = site.queue.path().join(&name);
        std::fs::write(&other, b"b: 2\n").unwrap();
        assert!(matches!(site.store.give_back(&key, &name, 100), Err(NotRetained::Taken)));
        assert_eq!(std::fs::read(&other).unwrap(), b"b: 2\n");
        std::fs::remove_file(&other).unwrap();
        std::fs::write(site.store.place(&key), b"c: 3\n").unwrap();
        assert!(matches!(site.store.give_back(&key, &name, 100), Err(NotRetained::Changed(_))));
        std::fs::remove_file(site.store.place(&key)).unwrap();
        assert!(matches!(site.store.give_back(&key, &name, 100), Err(NotRetained::Gone(_))));
        assert_eq!(site.queue.count().unwrap(), 0);
    }

    #[test]
    fn only_the_file_that_was_sent_is_kept() {
        let site = site(Format::Directory);
        let path = site.queue.path().join("record");
        site.queue.add(Some("record"), b"a: 1\n").unwrap();
        let (element, key) = lock(&site);
        std::fs::write(site.queue.path().join(".other.tmp"), b"b: 2\n").unwrap();
        std::fs::rename(site.queue.path().join(".other.tmp"), &path).unwrap();
        let Removal::Restored(name) = take_over(&site, element, &key).unwrap() else { panic!("it was kept") };
        assert!(!site.store.holds(&key) && !site.store.recover(&key).unwrap());
        assert_eq!(std::fs::read(site.queue.path().join(name.to_string())).unwrap(), b"b: 2\n");
        let (element, key) = lock(&site);
        std::fs::write(site.store.place(&key), b"left over").unwrap();
        assert_eq!(take_over(&site, element, &key).unwrap(), Removal::Removed);
        assert_eq!(site.store.read(&key, 100).unwrap(), b"b: 2\n");
    }

    #[test]
    fn one_that_another_removed_is_gone() {
        let site = site(Format::Dirq);
        site.queue.add(None, b"a: 1\n").unwrap();
        let (element, key) = lock(&site);
        std::fs::remove_file(site.queue.path().join(element.name().to_string())).unwrap();
        assert_eq!(take_over(&site, element, &key).unwrap(), Removal::Gone);
        assert!(!site.store.holds(&key));
    }

    #[test]
    fn content_that_a_crash_left_in_the_place_of_another_goes_back_to_the_queue() {
        for format in [Format::Dirq, Format::Directory] {
            let site = site(format);
            site.queue.add(None, b"a: 1\n").unwrap();
            let (key, _) = kept_and_removed(&site);
            assert!(site.store.recover(&key).unwrap());
            std::fs::write(site.store.place(&key), b"b: 2\n").unwrap();
            assert!(!site.store.recover(&key).unwrap());
            assert_eq!((site.queue.count().unwrap(), site.store.holds(&key)), (1, false));
            let name = site.queue.scan().unwrap().next(|_| false).unwrap().unwrap();
            assert_eq!(std::fs::read(site.queue.path().join(name.to_string())).unwrap(), b"b: 2\n");
        }
    }

    #[test]
    fn an_element_that_cannot_be_moved_stays_in_the_queue() {
        let site = site(Format::Dirq);
        site.queue.add(None, b"a: 1\n").unwrap();
        let (element, key) = lock(&site);
        std::fs::remove_dir(site.folder.path().join("state/retained")).unwrap();
        let error = take_over(&site, element, &key).unwrap_err();
        assert!(error.to_string().contains("cannot keep element"), "{error}");
        assert_eq!((site.queue.count().unwrap(), site.store.holds(&key)), (1, false));
    }

    #[test]
    fn a_directory_where_nothing_can_be_kept_is_refused_by_name() {
        let site = site(Format::Dirq);
        // Another file system than that of temporary folders.
        let elsewhere = Path::new("/dev/shm").join(format!("sesame-{}", std::process::id()));
        let same = |path: &Path| rustix::fs::stat(path).unwrap().st_dev;
        assert_ne!(same(Path::new("/dev/shm")), same(site.folder.path()), "the test needs two file systems");
        let error = RetainedElements::open(&elsewhere, &site.queue).unwrap_err();
        std::fs::remove_dir(&elsewhere).unwrap();
        assert!(error.to_string().contains("cannot link files of the queue into directory"), "{error}");
        assert_eq!(site.queue.path().read_dir().unwrap().count(), 0, "a file was left in the queue");
    }
}
