//! What is on the disk: queues, journals, room. Looking takes time, so it is done on a thread apart, at most one look at a
//! time, and a scrape shows what the last look found.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use crate::channel::{Channel, JOURNAL, Meters, Registry};
use crate::config::Config;
use message::{Direction, locked};
use spool::journal::{Journal, JournalError, Retained};
use spool::{Modes, Outgoing, Queue, SpoolError};

/// The shortest time between the ends and beginnings of two looks.
const REST: Duration = Duration::from_secs(1);
/// The rest after a look, in times of what it took: looking takes at most a hundredth of a processor.
const SHARE: u32 = 100;
/// The longest rest: a disk that was slow once is looked at again soon.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// The longest wait for a look.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often to check whether it is done.
const POLL: Duration = Duration::from_millis(50);

/// A queue and what is in it.
#[derive(Debug)]
pub(super) struct Depth {
    pub(super) channel: Channel,
    pub(super) queue: String,
    pub(super) messages: u64,
    pub(super) oldest: Option<SystemTime>,
}

/// What the journal of a channel says.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) channel: Channel,
    pub(super) retained: Retained,
    pub(super) owed: u64,
    pub(super) missing: u64,
}

/// A state directory or spool.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) journal: u64,
    pub(super) free: Option<u64>,
    pub(super) min_free: u64,
}

/// What one look found. What could not be read is not there.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: SystemTime,
    pub(super) queues: Vec<Depth>,
    pub(super) records: Vec<Record>,
    pub(super) places: Vec<Place>,
}

/// Looks when asked, but not more often than it can afford.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    last: Mutex<Option<Arc<Sample>>>,
    wanted: Notify,
}

impl Sampler {
    /// What the last look found, and wishes for another.
    pub(super) fn last(&self) -> Option<Arc<Sample>> {
        self.wanted.notify_one();
        locked(&self.last).clone()
    }

    /// Wishes for a look that begins after this call, and waits for it, but not for long.
    pub(super) async fn look(&self) {
        let asked = SystemTime::now();
        let deadline = Instant::now() + PATIENCE;
        while self.last().is_none_or(|last| last.at < asked) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Looks whenever someone wished for it. `target` says at what.
    pub(super) async fn run(self: Arc<Self>, target: impl Fn() -> Option<Target>) {
        loop {
            self.wanted.notified().await;
            let began = Instant::now();
            if let Some(target) = target() {
                let sampler = Arc::clone(&self);
                let look = move || *locked(&sampler.last) = Some(Arc::new(target.look()));
                let _ = tokio::task::spawn_blocking(look).await;
            }
            tokio::time::sleep(rest(began.elapsed())).await;
        }
    }
}

/// The rest after a look that took so long.
fn rest(took: Duration) -> Duration {
    took.saturating_mul(SHARE).clamp(REST, LONGEST_REST)
}

/// What is looked at.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) config: Arc<Config>,
    pub(super) channels: Vec<Channel>,
    pub(super) registry: Arc<Registry>,
}

impl Target {
    fn look(&self) -> Sample {
        let mut sample = Sample { at: SystemTime::now(), queues: Vec::new(), records: Vec::new(), places: Vec::new() };
        for channel in &self.channels {
            let meters = self.registry.meters(channel);
            match channel.direction() {
                Direction::Outbound => self.sender(channel, &mut sample),
                Direction::Inbound => self.receiver(channel, &mut sample),
            };
            let Some(directory) = super::super::directory(&self.config, channel) else { continue };
            match record(channel, &directory.join(JOURNAL), &meters) {
                Ok(record) => sample.records.push(record),
                Err(error) => {
                    tracing::debug!(%channel, error = message::cause::chain(&error), "cannot read the journal for metrics");
                }
            }
        }
        sample
    }

    fn sender(&self, channel: &Channel, sample: &mut Sample) {
        let Some(settings) = self.config.senders.get(channel.name()) else { return };
        let outgoing = Outgoing::open(&settings.queue, settings.format).and_then(|queue| {
            let waiting = queue.waiting()?;
            Ok((waiting.count, waiting.first.and_then(|name| queue.written(&name))))
        });
        sample.add(channel, "outgoing", outgoing);
        sample.add(channel, "reject", depth(&settings.reject));
        sample.place(&settings.state, settings.storage.min_free);
    }

    fn receiver(&self, channel: &Channel, sample: &mut Sample) {
        let Some(settings) = self.config.receivers.get(channel.name()) else { return };
        for path in crate::receiver::queues(settings) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            sample.add(channel, &name, depth(&path));
        }
        sample.place(&settings.spool, settings.storage.min_free);
    }
}

impl Sample {
    fn add(&mut self, channel: &Channel, queue: &str, found: Result<(usize, Option<SystemTime>), SpoolError>) {
        // A queue that does not exist yet is made with its first message.
        if let Ok((messages, oldest)) = found {
            let (channel, queue) = (channel.clone(), queue.to_owned());
            self.queues.push(Depth { channel, queue, messages: messages as u64, oldest });
        }
    }

    fn place(&mut self, directory: &Path, min_free: u64) {
        if self.places.iter().any(|place| place.directory == directory) {
            return;
        }
        let size = |end: &str| directory.join(format!("{JOURNAL}{end}")).metadata().map_or(0, |facts| facts.len());
        let (journal, free) = (size("") + size("-wal"), spool::free_bytes(directory).ok());
        self.places.push(Place { directory: directory.to_owned(), journal, free, min_free });
    }
}

fn depth(path: &Path) -> Result<(usize, Option<SystemTime>), SpoolError> {
    Queue::open(path, Modes::default())?.depth()
}

/// Reads a journal beside the program that writes it, without making it wait. The first time, the signers of earlier
/// messages are counted as heard.
fn record(channel: &Channel, path: &Path, meters: &Meters) -> Result<Record, JournalError> {
    let journal = Journal::open_to_read(path)?;
    let name = channel.name();
    if channel.direction() == Direction::Outbound {
        let retained = journal.retained(name)?;
        return Ok(Record { channel: channel.clone(), retained, owed: 0, missing: 0 });
    }
    if meters.recalls() {
        for (signer, at) in journal.last_of_signers(name, crate::channel::MOST_SIGNERS)? {
            meters.heard(crate::receiver::subject_of_key(&signer), at);
        }
        meters.recalled();
    }
    let gaps: u64 = journal.gaps(name)?.iter().map(spool::journal::Gap::messages).sum();
    let omitted: u64 = journal.omitted(name)?.iter().map(|stream| stream.messages).sum();
    let (owed, _) = journal.count_owed(name)?;
    Ok(Record { channel: channel.clone(), retained: Retained::default(), owed, missing: gaps + omitted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_takes_a_hundredth_of_the_time_and_is_never_given_up() {
        let rests = [0, 5, 20, 500, 6000].map(|took| rest(Duration::from_millis(took)).as_millis());
        assert_eq!(rests, [1000, 1000, 2000, 50_000, 60_000]);
    }
}
