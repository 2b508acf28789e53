//! The first stage: collects messages, writes their elements and makes them durable.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use super::inbox::Inbox;
use super::{CommitError, Job, NewElement, Shared, SyncMethod};
use crate::failpoint::failpoint;
use crate::queue::{Draft, Queue, discard_draft};

/// Number of threads that write a batch if the whole file system is synced.
const WRITERS: usize = 2;

/// So many elements are worth a second thread, if they are not synced one by one.
const WORTH_A_THREAD: usize = 32;

/// Number of threads that write and sync each file of a batch: enough for the file system to group their syncs.
const SYNCING_WRITERS: usize = 32;

/// An element that is written to disk.
pub(super) struct WrittenElement {
    pub(super) queue: Arc<Queue>,
    pub(super) draft: Draft,
}

/// A message whose elements are written.
pub(super) struct Written {
    pub(super) job: Job,
    pub(super) elements: Vec<WrittenElement>,
}

/// Collects and writes batches and passes them to the next stage until the engine is dropped.
pub(super) fn write_batches(shared: &Shared, incoming: &Inbox, written: &SyncSender<Vec<Written>>) {
    let collector = incoming.collector();
    while let Some(jobs) = collector.next_batch(&shared.settings) {
        match write_batch(shared, &jobs) {
            Ok(elements) => {
                let batch = jobs.into_iter().zip(elements).map(|(job, elements)| Written { job, elements });
                // The next stage ends early only by a panic; every ticket is then closed.
                if written.send(batch.collect()).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(error = %error, messages = jobs.len(), "messages could not be written");
                jobs.into_iter().for_each(|job| (job.done)(Err(error.clone())));
            }
        }
    }
}

/// Writes and syncs every element of a batch. On failure all of them are removed.
fn write_batch(shared: &Shared, jobs: &[Job]) -> Result<Vec<Vec<WrittenElement>>, CommitError> {
    let mut queues: HashMap<PathBuf, Arc<Queue>> = HashMap::new();
    let mut tasks = Vec::new();
    for (job, element) in jobs.iter().enumerate().flat_map(|(n, job)| job.commit.elements.iter().map(move |e| (n, e))) {
        let unknown = || CommitError::UnknownQueue { path: element.queue.clone() };
        let queue = shared.queue(&element.queue).ok_or_else(unknown)?;
        queues.entry(element.queue.clone()).or_insert_with(|| Arc::clone(&queue));
        tasks.push(Task { job, element, queue });
    }
    let mut written = write_all(shared, &tasks);
    let failure = written.iter_mut().find_map(|slot| slot.as_mut().err().map(|error| error.clone()));
    let queues: Vec<_> = queues.into_values().collect();
    let result = match failure {
        Some(error) => Err(error),
        None if tasks.is_empty() => Ok(()),
        None => shared.syncer.sync(&queues).map_err(|(path, source)| match source.kind() {
            io::ErrorKind::NotFound => CommitError::SpoolMissing { path },
            _ => CommitError::Sync { path, source: Arc::new(source) },
        }),
    };
    let result =
        result.and_then(|()| failpoint!("R08").map_err(|error| CommitError::from_io(&shared.settings.root, error)));
    let mut elements: Vec<Vec<WrittenElement>> = jobs.iter().map(|_| Vec::new()).collect();
    for (task, draft) in tasks.into_iter().zip(written) {
        match (draft, &result, elements.get_mut(task.job)) {
            (Ok(draft), Ok(()), Some(slot)) => slot.push(WrittenElement { queue: task.queue, draft }),
            (Ok(draft), ..) => discard_draft(&draft.temporary),
            (Err(_), ..) => {}
        }
    }
    result.map(|()| elements)
}

/// One element of one message of the batch.
struct Task<'a> {
    job: usize,
    element: &'a NewElement,
    queue: Arc<Queue>,
}

/// Writes the elements, on several threads if there are enough. The results are in the order of the tasks.
fn write_all(shared: &Shared, tasks: &[Task<'_>]) -> Vec<Result<Draft, CommitError>> {
    let durable = shared.syncer.by_file();
    let write = |task: &Task<'_>| {
        task.queue
            .draft(&task.element.fields, durable)
            .map_err(|error| CommitError::from_io(&task.element.queue, error))
    };
    let (threads, enough) = match shared.settings.sync {
        SyncMethod::FileSystem => (WRITERS, WORTH_A_THREAD),
        SyncMethod::Files => (SYNCING_WRITERS, 2 * WRITERS),
    };
    if tasks.len() < enough {
        return tasks.iter().map(write).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(n) else { return done };
            let draft = write(task);
            if draft.is_err() {
                // The batch has failed; skip the rest.
                next.store(tasks.len(), Ordering::Relaxed);
            }
            done.push((n, draft));
        }
    };
    let mut found: Vec<Option<Result<Draft, CommitError>>> = tasks.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(tasks.len())).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        all.extend(helpers.into_iter().filter_map(|helper| helper.join().ok()).flatten());
        for (n, draft) in all {
            if let Some(slot) = found.get_mut(n) {
                *slot = Some(draft);
            }
        }
    });
    found.into_iter().map(|draft| draft.unwrap_or(Err(CommitError::Stopped))).collect()
}
