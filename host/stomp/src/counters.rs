//! What is counted of all sessions with the same options.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Counters {
    failed: AtomicU64,
    blocked: AtomicU64,
}

impl Counters {
    /// No broker of the list could be reached.
    pub(crate) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
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

    /// For how long a broker read nothing though frames waited, as precise as deadlines are checked.
    #[must_use]
    pub fn blocked(&self) -> Duration {
        Duration::from_nanos(self.blocked.load(Ordering::Relaxed))
    }
}
