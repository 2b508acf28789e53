//! Adds elements to an outgoing queue durably, for `sesame queue add` and `sesame publish`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{ElementName, Format, HIDDEN_PREFIX, Identity, Inner, Outgoing, TEMPORARY_SUFFIX, message_id};
use crate::{SpoolError, disk, names};
use message::MessageId;

impl Outgoing {
    /// Adds an element. `wanted` is the file name in a plain directory, with a suffix if it is taken; a `dirq`
    /// generates its names.
    ///
    /// # Errors
    /// [`SpoolError::BadElementName`]; [`SpoolError::Io`].
    pub fn add(&self, wanted: Option<&str>, bytes: &[u8]) -> Result<ElementName, SpoolError> {
        self.add_message(wanted, bytes).map(|(name, _)| name)
    }

    /// As [`Outgoing::add`], and returns the message id as well: a running sender may remove the element before the
    /// caller can read it.
    ///
    /// # Errors
    /// As [`Outgoing::add`].
    pub fn add_message(&self, wanted: Option<&str>, bytes: &[u8]) -> Result<(ElementName, MessageId), SpoolError> {
        let inner = &*self.inner;
        let mut touched = BTreeSet::new();
        let mut target = match (inner.format, wanted) {
            (Format::Dirq, _) => fresh_name(inner, &mut touched)?,
            (Format::Directory, Some(wanted)) => self.name(wanted)?,
            (Format::Directory, None) => ElementName(names::fresh_element().into()),
        };
        let temporary = temporary_path(inner, &target);
        let parent = temporary.parent().unwrap_or(&inner.path).to_owned();
        let failed = |error| SpoolError::io("add element to", &inner.path)(error);
        let written = write(inner, &temporary, &parent, bytes).map_err(failed);
        let placed = written.and_then(|identity| {
            loop {
                match disk::link(&temporary, &inner.place(&target)) {
                    Ok(()) => return Ok(message_id(inner.format, &target, &identity)),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        target = next_name(inner, wanted, &mut touched)?;
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
        });
        let unlinked = disk::unlink(&temporary).map_err(failed);
        let id = placed?;
        unlinked?;
        touched.insert(parent);
        touched.extend(inner.place(&target).parent().map(Path::to_owned));
        touched
            .iter()
            .try_for_each(|path| disk::sync_directory(path).map_err(SpoolError::io("sync directory", path)))?;
        Ok((target, id))
    }
}

fn temporary_path(inner: &Inner, target: &ElementName) -> PathBuf {
    match inner.format {
        Format::Dirq => {
            let mut path = inner.place(target).into_os_string();
            path.push(TEMPORARY_SUFFIX);
            path.into()
        }
        Format::Directory => inner.path.join(format!("{HIDDEN_PREFIX}{}{TEMPORARY_SUFFIX}", names::fresh_element())),
    }
}

fn write(inner: &Inner, temporary: &Path, parent: &Path, bytes: &[u8]) -> io::Result<Identity> {
    let name = temporary.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let file = disk::write_new(disk::open_directory(parent)?, name, bytes, inner.modes.file)?;
    // The link that follows is later than this time, so that the file counts as complete even with coarse time stamps.
    file.set_modified(SystemTime::now() - Duration::from_millis(100))?;
    disk::sync(&file)?;
    Ok(Identity::of(&rustix::fs::fstat(&file)?))
}

fn next_name(inner: &Inner, wanted: Option<&str>, touched: &mut BTreeSet<PathBuf>) -> Result<ElementName, SpoolError> {
    match (inner.format, wanted) {
        (Format::Dirq, _) => fresh_name(inner, touched),
        (Format::Directory, Some(wanted)) => Ok(ElementName(format!("{wanted}-{}", names::fresh_element()).into())),
        (Format::Directory, None) => Ok(ElementName(names::fresh_element().into())),
    }
}

/// A fresh name in a `dirq`, in an existing directory. If the directory is new, the queue is added to `touched`.
pub(super) fn fresh_name(inner: &Inner, touched: &mut BTreeSet<PathBuf>) -> Result<ElementName, SpoolError> {
    let directory = names::directory_of_now();
    let path = inner.path.join(&directory);
    match disk::make_directory(&path, inner.modes.directory) {
        Ok(()) => {
            touched.insert(inner.path.clone());
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(SpoolError::io("make directory", &path)(error)),
    }
    Ok(ElementName(format!("{directory}/{}", names::fresh_element()).into()))
}
