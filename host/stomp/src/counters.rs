//! What is counted of all sessions with the same options.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use message::locked;

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Counters {
    failed: AtomicU64,
    last_failure: Mutex<String>,
    blocked: AtomicU64,
}

impl Counters {
    /// No broker of the list could be reached.
    pub(crate) fn count_failed(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        *locked(&self.last_failure) = why;
    }

    /// The broker read nothing for so long, though frames waited.
    pub(crate) fn count_blocked(&self, time: Duration) {
        self.blocked.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often no broker of the list could be reached.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Why no broker could be reached the last time.
    #[must_use]
    pub fn last_failure(&self) -> String {
        locked(&self.last_failure).clone()
    }

    /// For how long a broker read nothing though frames waited, as precise as deadlines are checked.
    #[must_use]
    pub fn blocked(&self) -> Duration {
        Duration::from_nanos(self.blocked.load(Ordering::Relaxed))
    }
}
