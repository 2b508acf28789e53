//! Writing to a queue with fields: write under a temporary name, publish by rename, discard.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use message::locked;

use super::{DIRECTORY_ELEMENTS, ElementPath, GONE_SUFFIX, NEW_SUFFIX, Queue};
use crate::failpoint::failpoint;
use crate::{SpoolError, disk, names};

/// The insertion point: the last intermediate directory and its number of elements.
#[derive(Debug)]
pub(super) struct Insertion {
    pub(super) directory: u32,
    pub(super) used: usize,
}

/// An element that is written but not yet published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Its directory in `temporary/`.
    pub(crate) temporary: PathBuf,
    /// Its intended path.
    pub(crate) target: ElementPath,
}

impl Queue {
    /// Reserves the path of the next element.
    pub(crate) fn reserve(&self) -> io::Result<ElementPath> {
        let mut insertion = locked(&self.insertion);
        let mut current = match insertion.take() {
            Some(known) => known,
            None => self.look_up_insertion()?,
        };
        if current.used >= DIRECTORY_ELEMENTS {
            current = Insertion { directory: current.directory.saturating_add(1), used: 0 };
        }
        current.used += 1;
        let directory = format!("{:08x}", current.directory);
        *insertion = Some(current);
        Ok(ElementPath { directory, name: names::fresh_element() })
    }

    fn look_up_insertion(&self) -> io::Result<Insertion> {
        let last = disk::sorted_names(&self.path, names::is_directory)?.pop();
        let Some(last) = last else { return Ok(Insertion { directory: 0, used: 0 }) };
        let mut used = 0;
        let listed =
            disk::for_each_entry(&self.path.join(&last), |name, _| used += usize::from(names::is_element(name)));
        disk::absent_is_fine(listed)?;
        let directory = last.to_str().and_then(|text| u32::from_str_radix(text, 16).ok()).unwrap_or(0);
        Ok(Insertion { directory, used })
    }

    /// Writes an element under a temporary name. With `durable`, its files and its directory are synced, but not
    /// [`Queue::temporary`], which the caller syncs; otherwise the caller syncs the file system.
    pub(crate) fn draft(&self, fields: &[(&'static str, Vec<u8>)], durable: bool) -> io::Result<Draft> {
        let target = self.reserve()?;
        let temporary = self.temporary().join(format!("{}{NEW_SUFFIX}", names::fresh_element()));
        disk::make_directory(&temporary, self.modes.directory)?;
        let written = self.write_fields(&temporary, fields, durable);
        if let Err(error) = written {
            discard_draft(&temporary);
            return Err(error);
        }
        Ok(Draft { temporary, target })
    }

    fn write_fields(&self, temporary: &Path, fields: &[(&'static str, Vec<u8>)], durable: bool) -> io::Result<()> {
        let directory = disk::open_directory(temporary)?;
        for (name, bytes) in fields {
            let file = disk::write_new(&directory, name, bytes, self.modes.file)?;
            if durable {
                disk::sync(&file)?;
            }
        }
        failpoint!("R07")?;
        if durable { disk::sync(&directory) } else { Ok(()) }
    }

    /// Writes, syncs and removes an element of this many bytes in `temporary/`.
    pub(crate) fn probe(&self, bytes: usize) -> io::Result<()> {
        let temporary = self.temporary().join(format!("{}{NEW_SUFFIX}", names::fresh_element()));
        disk::make_directory(&temporary, self.modes.directory)?;
        let written = self.write_fields(&temporary, &[("body", vec![b'x'; bytes])], true);
        discard_draft(&temporary);
        written
    }

    /// The directory for elements being written.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.path.join("temporary")
    }

    /// Moves a draft to `target` and adds the directories that must be synced to `touched`. Returns its path, which has
    /// another name if that of `target` was taken. `None` if the draft does not exist, because it was moved before.
    pub(crate) fn publish(
        &self,
        temporary: &Path,
        target: &ElementPath,
        touched: &mut BTreeSet<PathBuf>,
    ) -> io::Result<Option<ElementPath>> {
        let mut target = target.clone();
        loop {
            let directory = self.path.join(&target.directory);
            match disk::rename_new(temporary, &self.element(&target)) {
                Ok(()) => {
                    touched.insert(directory);
                    return Ok(Some(target));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !exists(temporary)? {
                        return Ok(None);
                    }
                    // The intermediate directory is new, or a purge removed it while it was empty.
                    match disk::make_directory(&directory, self.modes.directory) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                        _ => touched.insert(self.path.clone()),
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => target.name = names::fresh_element(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes an element: hides it with one rename, then removes its files. Returns false if it was already gone.
    pub(crate) fn discard(&self, element: &ElementPath) -> Result<bool, SpoolError> {
        let path = self.element(element);
        let obsolete = self.path.join("obsolete");
        let aside = obsolete.join(format!("{}{GONE_SUFFIX}", names::fresh_element()));
        disk::absent_is_fine(
            disk::make_directory(&obsolete, self.modes.directory)
                .or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }),
        )
        .map_err(SpoolError::io("make directory", &obsolete))?;
        match disk::rename_new(&path, &aside) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(SpoolError::io("remove element", &path)(error)),
        }
        discard_draft(&aside);
        Ok(true)
    }
}

/// Whether `path` exists.
pub(crate) fn exists(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a directory that no reader sees. What cannot be removed is left to a later purge or the next start.
pub(crate) fn discard_draft(path: &Path) {
    let mut names = Vec::new();
    let _ = disk::for_each_entry(path, |name, _| names.push(PathBuf::from(String::from_utf8_lossy(name).into_owned())));
    for name in names {
        let path = path.join(name);
        if path.is_dir() {
            let _ = disk::remove_empty(&path);
        } else {
            let _ = disk::unlink(&path);
        }
    }
    let _ = disk::remove_empty(path);
}

/// Opens the directory that represents a file system in `syncfs`; the caller keeps it open.
pub(crate) fn keep_open(path: &Path) -> io::Result<File> {
    disk::open_directory(path)
}
