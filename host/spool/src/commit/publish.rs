//! The second stage: claims a written batch in the shared index if there is one, commits it to the journal, publishes it and
//! answers.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::batch::Written;
use super::index::{Claims, LOOK, PATIENCE, Ruling};
use super::{CommitError, Job, Outcome, Shared, Stored, late};
use crate::failpoint::failpoint;
use crate::index::IndexKey;
use crate::journal::{BatchResult, Decision, Elsewhere, Entry, Indexed, JournalError, Move, PendingBatch, Published};
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
    /// Drafts and keys of failed transactions. Until a later transaction succeeds, these transactions may be in effect after
    /// a crash.
    in_doubt: (Vec<PathBuf>, Vec<IndexKey>),
    /// The shared index, if there is one.
    claims: Option<Claims>,
    /// Messages that another receiver may be storing, with the last moment to wait until.
    held: Vec<(Written, Instant)>,
}

/// A written message and what the shared index decided about it.
pub(super) struct Ruled {
    written: Written,
    index: Vec<IndexKey>,
    elsewhere: Option<Elsewhere>,
}

impl From<Written> for Ruled {
    fn from(written: Written) -> Self {
        Self { written, index: Vec::new(), elsewhere: None }
    }
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>, claims: Option<Claims>) -> Self {
        Self { shared, finished: Vec::new(), stuck: Vec::new(), in_doubt: Default::default(), claims, held: Vec::new() }
    }

    /// Runs until the first stage ends.
    pub(super) fn run(mut self, batches: &Receiver<Vec<Written>>) {
        loop {
            match batches.recv_timeout(self.rest()) {
                Ok(batch) => {
                    self.publish_stuck();
                    self.look_at_held();
                    let until = Instant::now() + PATIENCE;
                    self.claim(batch.into_iter().map(|written| (written, until)).collect());
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.publish_stuck();
                    self.look_at_held();
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.publish_stuck();
        // Their submitters get no answer, and the broker delivers them again.
        self.held.drain(..).for_each(|(written, _)| refuse(written, CommitError::Stopped));
        if let Err(error) = self.shared.journal.finish(&self.finished) {
            tracing::warn!(error = %error, "last batch stays marked as unpublished until the next start");
        }
    }

    /// How long nothing has to be done without another batch.
    fn rest(&self) -> Duration {
        match (self.held.is_empty(), self.stuck.is_empty()) {
            (false, _) => LOOK,
            (true, false) => RETRY,
            // An earlier run may have claims to settle, although nothing is received.
            (true, true) if self.claims.as_ref().is_some_and(Claims::is_unsettled) => LOOK,
            (true, true) => Duration::from_secs(3600),
        }
    }

    /// Asks the shared index again about messages that another receiver claimed.
    fn look_at_held(&mut self) {
        if let Some(claims) = &mut self.claims
            && let Ok(finished) = claims.settle()
        {
            self.finished.extend(finished);
        }
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.claim(held);
        }
    }

    /// Claims messages and commits those that no other receiver has; each waits for another receiver until its time is over.
    fn claim(&mut self, messages: Vec<(Written, Instant)>) {
        let Some(claims) = &mut self.claims else {
            return self.commit(messages.into_iter().map(|(written, _)| written.into()).collect());
        };
        let ruled = claims.settle().and_then(|finished| {
            self.finished.extend(finished);
            claims.rule(messages.iter().map(|(written, _)| &written.job.commit))
        });
        let rulings = match ruled {
            Ok(rulings) => rulings,
            Err(error) => {
                messages.into_iter().for_each(|(written, _)| refuse(written, error.clone()));
                return;
            }
        };
        let mut batch = Vec::with_capacity(messages.len());
        for ((written, until), ruling) in messages.into_iter().zip(rulings) {
            match ruling {
                Ruling::Ours(index) => batch.push(Ruled { index, ..written.into() }),
                Ruling::Elsewhere(by) => batch.push(Ruled { elsewhere: Some(by), ..written.into() }),
                // What waited on this machine waits there again: its submitter knows for how long.
                Ruling::Held(by) if written.job.commit.resolves.is_some() || Instant::now() >= until => {
                    refuse(written, CommitError::Claimed { by });
                }
                Ruling::Held(_) => self.held.push((written, until)),
            }
        }
        if !batch.is_empty() {
            self.commit(batch);
        }
    }

    pub(super) fn commit(&mut self, batch: Vec<Ruled>) {
        let moves: Vec<Vec<Move>> = batch.iter().map(|ruled| self.moves(&ruled.written)).collect();
        match self.record(&batch, &moves) {
            Err(error) => {
                tracing::error!(error = %error, messages = batch.len(), "messages could not be committed");
                for Ruled { written, index, .. } in batch {
                    self.in_doubt.0.extend(written.elements.into_iter().map(|element| element.draft.temporary));
                    self.in_doubt.1.extend(index);
                    (written.job.done)(Err(error.clone()));
                }
            }
            Ok(result) => {
                self.finished.clear();
                self.settle_in_doubt();
                let (batch, keys) = batch.into_iter().map(|ruled| (ruled.written, ruled.index)).unzip();
                self.publish(batch, keys, &moves, &result);
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

    fn record(&self, batch: &[Ruled], moves: &[Vec<Move>]) -> Result<BatchResult, CommitError> {
        let failed = |error| CommitError::from_io(self.shared.journal.path(), error);
        failpoint!("R09").map_err(failed)?;
        let entries: Vec<Entry<'_>> = batch.iter().zip(moves).map(|(ruled, moves)| self.entry(ruled, moves)).collect();
        self.shared.journal.commit(&entries, &self.finished).map_err(|error| match error {
            JournalError::Full { path } => CommitError::StorageFull { path },
            other => CommitError::Journal(Arc::new(other)),
        })
    }

    fn entry<'a>(&self, ruled: &'a Ruled, moves: &'a [Move]) -> Entry<'a> {
        let commit = &ruled.written.job.commit;
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
            index: Indexed { shared: self.claims.is_some(), keys: &ruled.index, elsewhere: ruled.elsewhere.as_ref() },
        }
    }

    /// Removes drafts of earlier failed transactions, and gives back what they claimed, after one has succeeded: each is now
    /// either in the journal or lost.
    fn settle_in_doubt(&mut self) {
        let (drafts, keys) = std::mem::take(&mut self.in_doubt);
        if drafts.is_empty() && keys.is_empty() {
            return;
        }
        // Otherwise it is in the journal, or that is unknown: recovery publishes or removes it.
        let Ok(pending) = self.shared.journal.pending() else { return };
        let moves: HashSet<&str> =
            pending.iter().flat_map(|batch| &batch.moves).map(|step| step.from.as_str()).collect();
        for draft in drafts.iter().filter(|draft| !moves.contains(self.shared.relative(draft).as_str())) {
            discard_draft(draft);
        }
        let kept: HashSet<IndexKey> = pending.iter().flat_map(|batch| batch.index.iter().copied()).collect();
        if let Some(claims) = &mut self.claims {
            claims.give_back(&keys.into_iter().filter(|key| !kept.contains(key)).collect::<Vec<_>>());
        }
    }

    fn publish(&mut self, batch: Vec<Written>, keys: Vec<Vec<IndexKey>>, moves: &[Vec<Move>], result: &BatchResult) {
        let mut pending = PendingBatch { batch: result.batch.unwrap_or_default(), ..PendingBatch::default() };
        pending.index = keys.concat();
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
            Ok(places) => self.answer(batch, keys, result, &places),
            Err(error) => {
                tracing::error!(error = %error, messages = batch.len(), "committed messages are not yet published");
                // Committed, they are this receiver's to publish. A report that fails is made by the next start.
                let _ = self.report(&pending.index);
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

    /// Reports committed messages to the shared index.
    fn report(&mut self, keys: &[IndexKey]) -> Result<(), CommitError> {
        self.claims.as_mut().map_or(Ok(()), |claims| claims.report(keys))
    }

    /// Reports a published batch, and answers for its messages.
    fn answer(&mut self, batch: Vec<Written>, keys: Vec<Vec<IndexKey>>, result: &BatchResult, places: &[Place]) {
        let mut places = places.iter();
        let (mut outcomes, mut stored) = (Vec::with_capacity(batch.len()), Vec::new());
        for ((written, keys), decision) in batch.iter().zip(keys).zip(&result.decisions) {
            let outcome = match decision {
                Decision::New { conflict } => {
                    let places = places.by_ref().take(written.elements.len());
                    names(places).map(|elements| Outcome::New { elements, conflict: *conflict })
                }
                Decision::Duplicate => Ok(Outcome::Duplicate),
            };
            match outcome {
                Ok(_) => stored.extend(keys),
                Err(_) => self.forget(&written.job, &keys),
            }
            outcomes.push(outcome);
        }
        let reported = self.report(&stored);
        if reported.is_ok() {
            self.finished.extend(result.batch);
        } else {
            // They are stored, and the next start reports it. Their submitters may be gone.
            late::log(&late::lines(&batch, &result.decisions, &self.shared));
        }
        for (written, outcome) in batch.into_iter().zip(outcomes) {
            (written.job.done)(reported.clone().and(outcome).map(|outcome| Stored { outcome }));
        }
    }

    /// Deletes the row of a message whose draft another program removed, so that its redelivery is not a duplicate.
    fn forget(&mut self, job: &Job, keys: &[IndexKey]) {
        if let Err(error) = self.shared.journal.forget(&job.commit.key) {
            tracing::error!(error = %error, id = %job.commit.key.id, "lost message stays marked as seen");
            return;
        }
        if let Some(claims) = &mut self.claims {
            claims.give_back(keys);
        }
    }

    pub(super) fn publish_stuck(&mut self) {
        for (pending, lines) in std::mem::take(&mut self.stuck) {
            match finish(&self.shared, &pending) {
                Ok(_) => {
                    tracing::info!(elements = pending.moves.len(), "committed messages published");
                    late::log(&lines);
                    if self.report(&pending.index).is_ok() {
                        self.finished.push(pending.batch);
                    }
                }
                Err(CommitError::Sync { .. }) => late::log(&lines),
                Err(_) => self.stuck.push((pending, lines)),
            }
        }
    }
}

/// Gives up a message that is not committed.
fn refuse(written: Written, error: CommitError) {
    written.elements.iter().for_each(|element| discard_draft(&element.draft.temporary));
    (written.job.done)(Err(error));
}

/// The result of publishing an element.
#[derive(Debug)]
pub(super) enum Place {
    /// It has this name.
    Published(String),
    /// Its draft is missing: it was published before, or removed.
    Vanished(String),
}

/// The names of the elements of a message.
fn names<'a>(places: impl Iterator<Item = &'a Place>) -> Result<Vec<String>, CommitError> {
    // All are read, since those of the next message follow.
    let places: Vec<&Place> = places.collect();
    let name = |place: &Place| match place {
        Place::Published(name) => Ok(name.clone()),
        Place::Vanished(element) => Err(CommitError::Vanished { element: element.clone() }),
    };
    places.into_iter().map(name).collect()
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
