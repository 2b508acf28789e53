//! The metadata of a plugin's files, so that a change is noticed without reading them, and files that are still changing are
//! left alone.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::catalog::folder::{ENDINGS, beside};
use crate::file_facts::FileFacts;

/// The files of a plugin, in the order of [`ENDINGS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts([Option<FileFacts>; ENDINGS.len()]);

impl Facts {
    /// Reads the metadata of the files that begin with `stem`. If that fails, the file counts as absent.
    pub(super) fn of(stem: &Path) -> Self {
        Self(ENDINGS.map(|ending| rustix::fs::lstat(beside(stem, ending)).ok().map(FileFacts::from)))
    }

    /// Whether there is no file at all.
    pub(super) fn is_nothing(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Whether there is a component.
    pub(super) fn has_component(&self) -> bool {
        matches!(self.0, [Some(_), ..])
    }

    /// Whether there is a sidecar.
    pub(super) fn has_sidecar(&self) -> bool {
        matches!(self.0, [_, Some(_), ..])
    }

    /// Whether a file is gone that existed `before`.
    pub(super) fn lack_one_of(&self, before: &Self) -> bool {
        self.0.iter().zip(&before.0).any(|(now, before)| now.is_none() && before.is_some())
    }

    /// Whether the metadata shows that the files are complete: each was not written for this long, or was renamed, or had its
    /// mode or times set, after the last write.
    pub(super) fn are_finished(&self, now: SystemTime, settle: Duration) -> bool {
        self.0.iter().flatten().all(|facts| facts.is_finished(now, settle))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn facts(size: i64, modified: (i64, u64), changed: (i64, u64)) -> Facts {
        let mut facts = Facts::default();
        facts.0[0] = Some(FileFacts { place: (1, 1), size, modified, changed });
        facts
    }

    #[test]
    fn a_file_is_finished_when_it_is_old_or_was_renamed_after_the_last_write() {
        let now = UNIX_EPOCH + Duration::from_millis(10_500);
        let finished = |size, modified, changed| facts(size, modified, changed).are_finished(now, SECOND);
        assert!(finished(1, (9, 0), (9, 0)));
        assert!(!finished(1, (10, 0), (10, 0)), "it may be being written");
        assert!(finished(1, (10, 0), (10, 1)), "it was renamed");
        assert!(!finished(0, (10, 0), (10, 1)), "an empty file may be about to be written");
        assert!(!finished(1, (11, 0), (11, 0)), "a time in the future proves nothing");
        assert!(Facts::default().are_finished(now, SECOND));
    }
}
