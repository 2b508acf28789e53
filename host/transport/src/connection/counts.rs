//! What is counted of the sessions of a link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The sessions of a link so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Sessions that are open.
    pub open: u64,
    /// Sessions that were opened.
    pub opened: u64,
    /// Attempts in which no host could be reached.
    pub failed: u64,
    /// Sessions that ended, and not by us.
    pub lost: u64,
    /// Those of them that ended because no heart-beat came.
    pub silent: u64,
    /// Time in which the broker read nothing though frames waited.
    pub blocked: Duration,
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(super) struct Counts {
    attempts: AtomicU64,
    open: AtomicU64,
    opened: AtomicU64,
    lost: AtomicU64,
    silent: AtomicU64,
}

/// A session that is open, until the last copy of it is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Counts>);

/// An attempt to connect that is going on.
pub(super) struct Attempt(Arc<Counts>);

impl Counts {
    /// An attempt begins.
    pub(super) fn attempt(counts: &Arc<Self>) -> Attempt {
        counts.attempts.fetch_add(1, Ordering::Relaxed);
        Attempt(Arc::clone(counts))
    }

    /// A session was opened.
    pub(super) fn opened(counts: &Arc<Self>) -> Arc<Open> {
        counts.opened.fetch_add(1, Ordering::Relaxed);
        counts.open.fetch_add(1, Ordering::Relaxed);
        Arc::new(Open(Arc::clone(counts)))
    }

    pub(super) fn lost(&self, by_us: bool, silence: bool) {
        self.lost.fetch_add(u64::from(!by_us), Ordering::Relaxed);
        self.silent.fetch_add(u64::from(silence), Ordering::Relaxed);
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.attempts.load(Ordering::Relaxed) > 0
    }

    pub(super) fn now(&self) -> LinkCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LinkCounts {
            open: of(&self.open),
            opened: of(&self.opened),
            lost: of(&self.lost),
            silent: of(&self.silent),
            ..LinkCounts::default()
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.attempts.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_open_until_its_last_copy_is_dropped() {
        let counts = Arc::<Counts>::default();
        let attempt = Counts::attempt(&counts);
        assert!(counts.is_connecting());
        drop(attempt);
        assert!(!counts.is_connecting());
        let first = Counts::opened(&counts);
        let copy = Arc::clone(&first);
        drop(first);
        assert_eq!(counts.now(), LinkCounts { open: 1, opened: 1, ..LinkCounts::default() });
        drop(copy);
        counts.lost(false, true);
        counts.lost(true, false);
        assert_eq!(counts.now(), LinkCounts { opened: 1, lost: 1, silent: 1, ..LinkCounts::default() });
    }
}
