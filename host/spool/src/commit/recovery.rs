//! Recovery at start, under the spool's lock: publishes committed elements and removes uncommitted ones.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use message::locked;

use super::publish::{Place, finish};
use super::{CommitError, Shared};
use crate::failpoint::failpoint;
use crate::journal::PendingBatch;

/// The result of recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Number of committed elements that were not yet in their queue.
    pub published: usize,
    /// Number of removed elements that were not committed; their messages are redelivered.
    pub swept: usize,
}

/// Refuses to start if a queue with committed, unpublished elements is missing. Creating it again would lose them, and
/// usually it is a mount that is missing.
pub(super) fn refuse_missing(shared: &Shared) -> Result<(), CommitError> {
    for pending in read_pending(shared)? {
        for step in &pending.moves {
            let queue: PathBuf =
                shared.settings.root.join(&step.to).parent().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
            if !queue.is_dir() {
                return Err(CommitError::SpoolMissing { path: queue });
            }
        }
    }
    Ok(())
}

/// Brings the spool to a state without drafts and pending rows. It may crash at any point and start over. Where receivers
/// share an index, also returns what is published and not reported there; these rows stay.
pub(super) fn recover(shared: &Shared, reports: bool) -> Result<(Recovered, Vec<PendingBatch>), CommitError> {
    let mut recovered = Recovered::default();
    let pending = read_pending(shared)?;
    for batch in &pending {
        failpoint!("R18").map_err(|error| CommitError::from_io(&shared.settings.root, error))?;
        let places = finish(shared, batch)?;
        super::late::log_recovered(shared, batch, &places);
        recovered.published += places.iter().filter(|place| matches!(place, Place::Published(_))).count();
    }
    let (unreported, finished): (Vec<_>, Vec<_>) =
        pending.into_iter().partition(|batch| reports && !batch.index.is_empty());
    let finished: Vec<i64> = finished.iter().map(|batch| batch.batch).collect();
    shared.journal.finish(&finished).map_err(|error| CommitError::Journal(Arc::new(error)))?;
    recovered.swept = sweep(shared)?;
    Ok((recovered, unreported))
}

fn read_pending(shared: &Shared) -> Result<Vec<PendingBatch>, CommitError> {
    shared.journal.pending().map_err(|error| CommitError::Journal(Arc::new(error)))
}

/// Removes every draft that no pending row names.
fn sweep(shared: &Shared) -> Result<usize, CommitError> {
    let pending = read_pending(shared)?;
    let kept: HashSet<PathBuf> =
        pending.iter().flat_map(|batch| &batch.moves).map(|step| shared.settings.root.join(&step.from)).collect();
    let queues: Vec<_> = locked(&shared.queues).values().cloned().collect();
    let mut swept = 0;
    for queue in queues {
        let temporary = queue.temporary();
        swept += queue
            .sweep(|name| kept.contains(&temporary.join(name)))
            .map_err(|error| CommitError::from_io(queue.path(), error))?;
    }
    Ok(swept)
}
