//! Checks on this machine whether a delivery could be stored, before a session asks the broker for one.
//!
//! A queue with a delivery limit (RabbitMQ: quorum queues, 20 by default since 4.0) counts each delivery that ends without
//! an ACK, a lost session too, and deletes the message at the limit. So a lasting fault must not use up one delivery per
//! back-off. Before each session the spool and the journal are written to, and after one that failed there must be
//! room for all that it had in flight. What the probe cannot see makes the pauses between sessions double, up to 5 min.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use message::locked;

use super::{Ended, Receiver, STORAGE_PAUSE};

/// Messages named in warnings, per session.
pub(super) const WARNINGS: usize = 20;
/// The first count that is logged as a warning, and the step after which it is logged again.
const FIRST_WARNING: u32 = 10;
const WARNING_STEP: u32 = 5;
/// Messages with a warning that are remembered.
const REMEMBERED: usize = 1000;
/// The longest pause between sessions that cannot store though the probe could.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// What the files and directories of one message take on a disk beside its content, in bytes.
const OVERHEAD: u64 = 24 << 10;

/// What is known of the faults that keep deliveries from being stored.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Sessions in a row that failed and stored nothing.
    failed: AtomicU32,
    /// What the last failed session had in flight, in bytes on the disk.
    room: AtomicU64,
    /// A fault was reported since a message was stored.
    reported: AtomicBool,
    /// Why nothing can be stored now.
    why: Mutex<Option<String>>,
    /// The highest count that was logged for a message, by its id.
    warned: Mutex<HashMap<String, u32>>,
}

impl Faults {
    /// A message was stored. Returns whether a fault was reported before.
    pub(super) fn stored(&self) -> bool {
        self.failed.store(0, Ordering::Relaxed);
        self.reported.load(Ordering::Relaxed) && self.reported.swap(false, Ordering::Relaxed)
    }

    /// Nothing can be stored, which is reported.
    pub(super) fn reported(&self) {
        self.reported.store(true, Ordering::Relaxed);
    }

    /// Nothing can be stored for this reason; none: a probe was stored.
    pub(super) fn set(&self, why: Option<String>) {
        *locked(&self.why) = why;
    }

    /// Why nothing can be stored now.
    pub(super) fn why(&self) -> Option<String> {
        locked(&self.why).clone()
    }

    /// A session failed, perhaps for lack of room: the next one needs this much.
    pub(super) fn needs(&self, room: u64) {
        self.room.store(room, Ordering::Relaxed);
    }

    /// How long to wait after one more session that failed.
    pub(super) fn rest(&self) -> Duration {
        let before = self.failed.fetch_add(1, Ordering::Relaxed).min(16);
        STORAGE_PAUSE.saturating_mul(1 << before).min(LONGEST_REST)
    }

    /// Whether this step was not logged for the message yet.
    pub(super) fn is_first_warning(&self, id: &str, step: u32) -> bool {
        let mut warned = locked(&self.warned);
        if warned.get(id).is_some_and(|said| *said >= step) {
            return false;
        }
        if warned.len() >= REMEMBERED {
            warned.clear();
        }
        warned.insert(id.to_owned(), step);
        true
    }
}

/// Room on the disk for so many messages of so many bytes in all: their content, once more for the message as it came, and
/// what files take beside it.
pub(super) fn room_for(messages: u64, bytes: u64) -> u64 {
    bytes.saturating_mul(2).saturating_add(messages.saturating_mul(OVERHEAD))
}

/// The step that a delivery count has reached, from 10 on in fives.
pub(super) fn deliveries_to_warn_of(header: Option<&str>) -> Option<u32> {
    let count: u32 = header?.parse().ok()?;
    (count >= FIRST_WARNING).then_some(count - count % WARNING_STEP)
}

impl Receiver {
    /// Why nothing could be stored now; `None` where a probe of all queues and of the journal was written and synced.
    pub(super) async fn unready(self: &Arc<Self>) -> Option<Ended> {
        let receiver = Arc::clone(self);
        let probe = tokio::task::spawn_blocking(move || receiver.probe());
        probe.await.unwrap_or(None)
    }

    fn probe(&self) -> Option<Ended> {
        let room = self.faults.room.load(Ordering::Relaxed);
        if let Some(free) = self.too_little_room(room) {
            // A disk that never has so much room must not stop the channel for good: after some pauses `min-free` alone decides.
            if self.too_little_room(0).is_none() {
                self.faults.needs(room / 2);
            }
            return Some(Ended::LowSpace(free));
        }
        if let Err(error) = self.spool.engine.probe(room) {
            return Some(Ended::Storage(error));
        }
        self.faults.needs(0);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_warned_of_from_ten_on_once_in_each_step_of_five() {
        let step = |text: &str| deliveries_to_warn_of(Some(text));
        assert_eq!(
            (step("1"), step("9"), step("-1"), step("x"), deliveries_to_warn_of(None)),
            (None, None, None, None, None)
        );
        assert_eq!(
            (step("10"), step("14"), step("15"), step("4294967295")),
            (Some(10), Some(10), Some(15), Some(u32::MAX))
        );
        let faults = Faults::default();
        let said: Vec<u32> = (0..=21)
            .filter(|count| step(&count.to_string()).is_some_and(|step| faults.is_first_warning("a", step)))
            .collect();
        assert_eq!(said, [10, 15, 20]);
        assert!(faults.is_first_warning("b", 10));
        (0..5000).for_each(|n| assert!(faults.is_first_warning(&format!("m{n}"), 10)));
        assert!(faults.warned.lock().unwrap().len() <= REMEMBERED);
    }

    #[test]
    fn pauses_between_failed_sessions_double_until_a_message_is_stored() {
        let faults = Faults::default();
        let rests: Vec<u64> = (0..8).map(|_| faults.rest().as_secs()).collect();
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 300, 300]);
        faults.stored();
        assert_eq!(faults.rest(), STORAGE_PAUSE);
    }
}
