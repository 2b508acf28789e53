//! The second stage: commits a written batch to the journal, publishes it and answers.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::batch::Written;
use super::{CommitError, Job, Outcome, Shared, Stored, late};
use crate::failpoint::failpoint;
use crate::journal::{BatchResult, Decision, Entry, JournalError, Move, PendingBatch, Published};
use crate::queue::{ElementPath, Queue, discard_draft};
use crate::{SpoolError, disk};

/// Interval between attempts to publish a committed batch.
const RETRY: Duration = Duration::from_secs(1);

/// Commits and publishes batches one after the other.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    /// Completely published batches; the next transaction deletes their rows.
    finished: Vec<i64>,
    /// Committed batches that could not be published yet, with their log lines.
    stuck: Vec<(PendingBatch, Vec<Published>)>,
    /// Drafts of failed transactions. Until a later transaction succeeds, these transactions may be in effect after a
    /// crash.
    in_doubt: Vec<PathBuf>,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, finished: Vec::new(), stuck: Vec::new(), in_doubt: Vec::new() }
    }

    /// Runs until the first stage ends.
    pub(super) fn run(mut self, batches: &Receiver<Vec<Written>>) {
        loop {
            let wait = if self.stuck.is_empty() { Duration::from_secs(3600) } else { RETRY };
            match batches.recv_timeout(wait) {
                Ok(batch) => {
                    self.publish_stuck();
                    self.commit(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.publish_stuck(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.publish_stuck();
        if let Err(error) = self.shared.journal.finish(&self.finished) {
            tracing::warn!(error = %error, "last batch stays marked as unpublished until the next start");
        }
    }

    pub(super) fn commit(&mut self, batch: Vec<Written>) {
        let moves: Vec<Vec<Move>> = batch.iter().map(|written| self.moves(written)).collect();
        match self.record(&batch, &moves) {
            Err(error) => {
                tracing::error!(error = %error, messages = batch.len(), "messages could not be committed");
                for written in batch {
                    self.in_doubt.extend(written.elements.into_iter().map(|element| element.draft.temporary));
                    (written.job.done)(Err(error.clone()));
                }
            }
            Ok(result) => {
                self.finished.clear();
                self.settle_in_doubt();
                self.publish(batch, &moves, &result);
            }
        }
    }

    fn moves(&self, written: &Written) -> Vec<Move> {
        let shared = &self.shared;
        let step = |queue: &Queue, temporary: &Path, target: &ElementPath| Move {
            from: shared.relative(temporary),
            to: shared.relative(&queue.element(target)),
        };
        let elements = written.elements.iter();
        elements.map(|element| step(&element.queue, &element.draft.temporary, &element.draft.target)).collect()
    }

    fn record(&self, batch: &[Written], moves: &[Vec<Move>]) -> Result<BatchResult, CommitError> {
        let failed = |error| CommitError::from_io(self.shared.journal.path(), error);
        failpoint!("R09").map_err(failed)?;
        let entries: Vec<Entry<'_>> =
            batch.iter().zip(moves).map(|(written, moves)| entry(&written.job, moves)).collect();
        self.shared.journal.commit(&entries, &self.finished).map_err(|error| match error {
            JournalError::Full { path } => CommitError::StorageFull { path },
            other => CommitError::Journal(Arc::new(other)),
        })
    }

    /// Removes drafts of earlier failed transactions after one has succeeded: each is now either in the journal or
    /// lost.
    fn settle_in_doubt(&mut self) {
        for draft in std::mem::take(&mut self.in_doubt) {
            // Otherwise it is in the journal, or that is unknown: recovery publishes or removes it.
            if let Ok(false) = self.shared.journal.is_pending(&self.shared.relative(&draft)) {
                discard_draft(&draft);
            }
        }
    }

    fn publish(&mut self, batch: Vec<Written>, moves: &[Vec<Move>], result: &BatchResult) {
        let mut pending = PendingBatch { batch: result.batch.unwrap_or_default(), ..PendingBatch::default() };
        for ((written, moves), decision) in batch.iter().zip(moves).zip(&result.decisions) {
            if matches!(decision, Decision::New { .. }) {
                pending.moves.extend_from_slice(moves);
            } else {
                written.elements.iter().for_each(|element| discard_draft(&element.draft.temporary));
            }
            pending.removals.extend(written.job.commit.resolves.clone());
        }
        let finished = failpoint!("R10")
            .map_err(|error| CommitError::from_io(&self.shared.settings.root, error))
            .and_then(|()| finish(&self.shared, &pending));
        match finished {
            Ok(places) => {
                self.finished.extend(result.batch);
                self.answer(batch, &result.decisions, &places);
            }
            Err(error) => {
                tracing::error!(error = %error, messages = batch.len(), "committed messages are not yet published");
                let lines = late::lines(&batch, &result.decisions, &self.shared);
                // After a failed sync of a directory the row stays for the next start, since a second sync proves
                // nothing. Every element is already in place.
                if matches!(error, CommitError::Sync { .. }) {
                    late::log(&lines);
                } else {
                    self.stuck.push((pending, lines));
                }
                batch.into_iter().for_each(|written| (written.job.done)(Err(error.clone())));
            }
        }
    }

    fn answer(&self, batch: Vec<Written>, decisions: &[Decision], places: &[Place]) {
        let mut places = places.iter();
        for (written, decision) in batch.into_iter().zip(decisions) {
            let Decision::New { conflict } = decision else {
                (written.job.done)(Ok(Stored { outcome: Outcome::Duplicate }));
                continue;
            };
            let mine: Vec<&Place> = places.by_ref().take(written.elements.len()).collect();
            if let Some(Place::Vanished(element)) = mine.iter().find(|place| matches!(place, Place::Vanished(_))) {
                self.forget(&written.job);
                (written.job.done)(Err(CommitError::Vanished { element: element.clone() }));
                continue;
            }
            let elements = mine.into_iter().map(|place| place.name().to_owned()).collect();
            (written.job.done)(Ok(Stored { outcome: Outcome::New { elements, conflict: *conflict } }));
        }
    }

    /// Deletes the row of a message whose draft another program removed, so that its redelivery is not a duplicate.
    fn forget(&self, job: &Job) {
        if let Err(error) = self.shared.journal.forget(&job.commit.key) {
            tracing::error!(error = %error, id = %job.commit.key.id, "lost message stays marked as seen");
        }
    }

    pub(super) fn publish_stuck(&mut self) {
        for (pending, lines) in std::mem::take(&mut self.stuck) {
            match finish(&self.shared, &pending) {
                Ok(_) => {
                    tracing::info!(elements = pending.moves.len(), "committed messages published");
                    late::log(&lines);
                    self.finished.push(pending.batch);
                }
                Err(CommitError::Sync { .. }) => late::log(&lines),
                Err(_) => self.stuck.push((pending, lines)),
            }
        }
    }
}

fn entry<'a>(job: &'a Job, moves: &'a [Move]) -> Entry<'a> {
    let commit = &job.commit;
    Entry {
        key: &commit.key,
        disposition: &commit.disposition,
        facts: &commit.facts,
        moves,
        redelivered: commit.redelivered,
        again: commit.again,
        raw_digest: commit.raw_digest.as_ref(),
        resolves: commit.resolves.as_deref(),
        sequence: commit.sequence.as_ref(),
        acknowledge: commit.acknowledge.as_ref(),
    }
}

/// The result of publishing an element.
#[derive(Debug)]
pub(super) enum Place {
    /// It has this name.
    Published(String),
    /// Its draft is missing: it was published before, or removed.
    Vanished(String),
}

impl Place {
    fn name(&self) -> &str {
        match self {
            Self::Published(name) | Self::Vanished(name) => name,
        }
    }
}

/// Performs the remaining steps of a committed batch: the renames, the syncs, and the removal of resolved deferred
/// elements. It may be repeated for the same batch, also by a later process.
pub(super) fn finish(shared: &Shared, pending: &PendingBatch) -> Result<Vec<Place>, CommitError> {
    let mut touched = BTreeSet::new();
    let mut places = Vec::with_capacity(pending.moves.len());
    for step in &pending.moves {
        let (queue, target) = locate(shared, &step.to)?;
        let temporary = shared.settings.root.join(&step.from);
        let failed = |error| CommitError::from_io(queue.path(), error);
        failpoint!("R11").map_err(failed)?;
        let place = match queue.publish(&temporary, &target, &mut touched).map_err(failed)? {
            Some(target) => Place::Published(shared.relative(&queue.element(&target))),
            None => {
                // It may have been renamed by a process that crashed before the sync.
                touched.insert(queue.path().to_owned());
                touched.extend(queue.element(&target).parent().map(Path::to_owned));
                Place::Vanished(step.to.clone())
            }
        };
        places.push(place);
    }
    failpoint!("R12").map_err(|error| CommitError::from_io(&shared.settings.root, error))?;
    sync_all(&touched)?;
    remove_resolved(shared, &pending.removals)?;
    failpoint!("R13").map_err(|error| CommitError::from_io(&shared.settings.root, error))?;
    Ok(places)
}

fn sync_all(directories: &BTreeSet<PathBuf>) -> Result<(), CommitError> {
    for path in directories {
        disk::absent_is_fine(disk::sync_directory(path))
            .map_err(|source| CommitError::Sync { path: path.clone(), source: Arc::new(source) })?;
    }
    Ok(())
}

fn remove_resolved(shared: &Shared, removals: &[String]) -> Result<(), CommitError> {
    let mut touched = BTreeSet::new();
    for element in removals {
        let (queue, path) = locate(shared, element)?;
        queue.discard(&path).map_err(|error| match error {
            SpoolError::Io { path, source, .. } => CommitError::from_io(&path, source),
            _ => CommitError::SpoolMissing { path: queue.path().to_owned() },
        })?;
        touched.extend(queue.element(&path).parent().map(Path::to_owned));
    }
    sync_all(&touched)
}

/// The queue and the element path for a name in the journal.
fn locate(shared: &Shared, name: &str) -> Result<(Arc<Queue>, ElementPath), CommitError> {
    let path = shared.settings.root.join(name);
    let mut parts = name.rsplitn(3, '/');
    let (element, directory) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let target = ElementPath::parse(&format!("{directory}/{element}"));
    let root = path.parent().and_then(Path::parent).map(Path::to_owned);
    let (Some(target), Some(root)) = (target, root) else {
        return Err(CommitError::from_io(
            &path,
            io::Error::new(io::ErrorKind::InvalidData, "not the name of an element"),
        ));
    };
    if let Some(queue) = shared.queue(&root) {
        return Ok((queue, target));
    }
    // The queue is no longer configured; its committed elements are still published.
    match Queue::open(&root, shared.settings.modes) {
        Ok(queue) => Ok((Arc::new(queue), target)),
        Err(_) => Err(CommitError::SpoolMissing { path: root }),
    }
}
