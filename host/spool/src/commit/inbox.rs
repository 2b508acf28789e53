//! Where submitted messages wait until the next batch begins.
//!
//! A batch that begins later has more messages, and so fewer syncs for each. A *patient* message, whose submitter has more
//! work without its answer, waits until the [pace](CommitSettings::batch_pace) of batches allows the next one. Any other
//! begins a batch as soon as nothing further arrives.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use message::locked;

use super::{CommitSettings, Job};

/// A batch closes early if nothing arrives for this long.
const IDLE: Duration = Duration::from_micros(300);

/// The messages that wait, in order.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    /// The thread that collects batches has to look.
    look: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// How many of them are not patient.
    impatient: usize,
    /// When the last batch began.
    began: Option<Instant>,
    closed: bool,
}

/// Closes an inbox when it is dropped, and gives up what is in it.
pub(super) struct Collector<'a>(&'a Inbox);

impl Inbox {
    /// Adds a message, or gives it back because the inbox is closed.
    pub(super) fn push(&self, job: Job, settings: &CommitSettings) -> Option<Job> {
        let mut waiting = locked(&self.waiting);
        if waiting.closed {
            return Some(job);
        }
        waiting.bytes = waiting.bytes.saturating_add(job.commit.bytes());
        waiting.impatient += usize::from(!job.patient);
        let look = waiting.jobs.is_empty() || !job.patient;
        waiting.jobs.push_back(job);
        let look = look || waiting.is_full(settings);
        drop(waiting);
        if look {
            self.look.notify_one();
        }
        None
    }

    /// Takes no more messages; those that wait are still collected.
    pub(super) fn close(&self) {
        locked(&self.waiting).closed = true;
        self.look.notify_one();
    }

    /// The one that collects.
    pub(super) fn collector(&self) -> Collector<'_> {
        Collector(self)
    }
}

impl Collector<'_> {
    /// Waits for the next batch; `None` if the inbox is closed and empty.
    pub(super) fn next_batch(&self, settings: &CommitSettings) -> Option<Vec<Job>> {
        let mut waiting = locked(&self.0.waiting);
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.0.look.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let mut waiting = self.gather(waiting, settings);
        waiting.began = Some(Instant::now());
        Some(waiting.take(settings))
    }

    /// Waits for the messages that belong into the same batch as the first.
    fn gather<'w>(&self, mut waiting: MutexGuard<'w, Waiting>, settings: &CommitSettings) -> MutexGuard<'w, Waiting> {
        let latest = Instant::now() + settings.batch_delay;
        while !waiting.closed && !waiting.is_full(settings) {
            let now = Instant::now();
            let pace = waiting.began.map_or(now, |began| began + settings.batch_pace);
            let is_patient = waiting.impatient == 0 && pace > now;
            let until = if is_patient { pace } else { latest.min(now + IDLE) };
            let before = waiting.jobs.len();
            let rest = until.saturating_duration_since(now);
            waiting = self.0.look.wait_timeout(waiting, rest).unwrap_or_else(PoisonError::into_inner).0;
            if waiting.jobs.len() == before && Instant::now() >= until || !is_patient && Instant::now() >= latest {
                break;
            }
        }
        waiting
    }
}

impl Drop for Collector<'_> {
    fn drop(&mut self) {
        let mut waiting = locked(&self.0.waiting);
        waiting.closed = true;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        drop(jobs);
    }
}

impl Waiting {
    fn is_full(&self, settings: &CommitSettings) -> bool {
        self.jobs.len() >= settings.batch_messages || self.bytes >= settings.batch_bytes
    }

    /// Takes the messages of one batch.
    fn take(&mut self, settings: &CommitSettings) -> Vec<Job> {
        let mut batch = Vec::with_capacity(self.jobs.len().min(settings.batch_messages));
        let mut bytes = 0_usize;
        while batch.is_empty() || batch.len() < settings.batch_messages && bytes < settings.batch_bytes {
            let Some(job) = self.jobs.pop_front() else { break };
            bytes = bytes.saturating_add(job.commit.bytes());
            self.impatient -= usize::from(!job.patient);
            batch.push(job);
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::SystemTime;

    use message::{MessageId, content_digest};

    use super::*;
    use crate::commit::Commit;
    use crate::journal::{Disposition, Facts, Key};

    const HOUR: Duration = Duration::from_secs(3600);

    fn paced(batch_pace: Duration) -> CommitSettings {
        CommitSettings { batch_pace, batch_messages: 3, ..CommitSettings::new(Path::new("spool"), Vec::new()) }
    }

    fn job(patient: bool) -> Job {
        let key = Key {
            channel: "central".to_owned(),
            id: MessageId::absent(),
            signer: String::new(),
            digest: content_digest(b"x"),
        };
        let commit = Commit::new(key, Disposition::Dropped, Vec::new(), Facts::at(SystemTime::now()));
        Job { commit, done: Box::new(|_| {}), patient }
    }

    /// An inbox whose last batch began just now.
    fn begun(settings: &CommitSettings) -> Inbox {
        let inbox = Inbox::default();
        assert!(inbox.push(job(true), settings).is_none());
        let collector = Collector(&inbox);
        assert_eq!(collector.next_batch(settings).unwrap().len(), 1, "the first batch waits for nothing");
        std::mem::forget(collector);
        inbox
    }

    #[test]
    fn patient_messages_wait_for_the_pace_of_batches() {
        let settings = paced(Duration::from_millis(300));
        let since = Instant::now();
        let inbox = begun(&settings);
        for _ in 0..2 {
            assert!(inbox.push(job(true), &settings).is_none());
        }
        assert_eq!(inbox.collector().next_batch(&settings).unwrap().len(), 2);
        assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
    }

    #[test]
    fn any_other_begins_a_batch_with_all_that_wait() {
        let settings = paced(HOUR);
        let inbox = begun(&settings);
        std::thread::scope(|scope| {
            let batch = scope.spawn(|| inbox.collector().next_batch(&settings).unwrap().len());
            assert!(inbox.push(job(true), &settings).is_none());
            assert!(inbox.push(job(false), &settings).is_none());
            assert_eq!(batch.join().unwrap(), 2);
        });
    }

    #[test]
    fn a_full_batch_and_a_closed_inbox_do_not_wait() {
        let settings = paced(HOUR);
        let inbox = begun(&settings);
        for _ in 0..4 {
            assert!(inbox.push(job(true), &settings).is_none());
        }
        let collector = inbox.collector();
        assert_eq!(collector.next_batch(&settings).unwrap().len(), 3);
        inbox.close();
        assert_eq!(collector.next_batch(&settings).unwrap().len(), 1);
        assert!(collector.next_batch(&settings).is_none());
        assert!(inbox.push(job(true), &settings).is_some());
    }

    #[test]
    fn what_waits_is_given_up_when_no_one_collects() {
        let settings = paced(HOUR);
        let inbox = Inbox::default();
        let (done, answers) = mpsc::channel::<()>();
        let waiting = Job {
            done: Box::new(move |_| {
                let _ = done.send(());
            }),
            ..job(true)
        };
        assert!(inbox.push(waiting, &settings).is_none());
        drop(inbox.collector());
        assert!(answers.recv().is_err(), "its answer is closed");
        assert!(inbox.push(job(true), &settings).is_some());
    }
}
