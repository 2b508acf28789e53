//! What is counted of the sessions with a broker, by all links to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::stomp::Counters;

/// The sessions with a broker so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Links that are about to open a session, some of them perhaps for long.
    pub connecting: u64,
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

/// The counters themselves. The links to a broker may share them, and they may outlast each link.
#[derive(Debug, Default)]
pub struct LinkCounters {
    connecting: AtomicU64,
    open: AtomicU64,
    opened: AtomicU64,
    lost: AtomicU64,
    silent: AtomicU64,
    failed: AtomicU64,
    stomp: Arc<Counters>,
}

/// A session that is open, until the last copy of it is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<LinkCounters>);

/// An attempt to connect that is going on.
pub(super) struct Attempt<'a> {
    shared: &'a LinkCounters,
    own: &'a AtomicU64,
}

impl LinkCounters {
    /// An attempt begins, of the link whose attempts `own` counts.
    pub(super) fn attempt<'a>(&'a self, own: &'a AtomicU64) -> Attempt<'a> {
        self.connecting.fetch_add(1, Ordering::Relaxed);
        own.fetch_add(1, Ordering::Relaxed);
        Attempt { shared: self, own }
    }

    /// A session was opened.
    pub(super) fn opened(counters: &Arc<Self>) -> Arc<Open> {
        counters.opened.fetch_add(1, Ordering::Relaxed);
        counters.open.fetch_add(1, Ordering::Relaxed);
        Arc::new(Open(Arc::clone(counters)))
    }

    pub(super) fn lost(&self, by_us: bool, silence: bool) {
        self.lost.fetch_add(u64::from(!by_us), Ordering::Relaxed);
        self.silent.fetch_add(u64::from(silence), Ordering::Relaxed);
    }

    /// No host of a broker that is not spoken to in STOMP could be reached.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// What the sessions in STOMP count.
    pub(super) fn stomp(&self) -> Arc<Counters> {
        Arc::clone(&self.stomp)
    }

    /// What was counted so far.
    #[must_use]
    pub fn now(&self) -> LinkCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LinkCounts {
            connecting: of(&self.connecting),
            open: of(&self.open),
            opened: of(&self.opened),
            failed: of(&self.failed) + self.stomp.failed(),
            lost: of(&self.lost),
            silent: of(&self.silent),
            blocked: self.stomp.blocked(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.shared.connecting.fetch_sub(1, Ordering::Relaxed);
        self.own.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_open_until_its_last_copy_is_dropped() {
        let counters = Arc::<LinkCounters>::default();
        let first = LinkCounters::opened(&counters);
        let copy = Arc::clone(&first);
        drop(first);
        assert_eq!(counters.now(), LinkCounts { open: 1, opened: 1, ..LinkCounts::default() });
        drop(copy);
        counters.lost(false, true);
        counters.lost(true, false);
        counters.failed();
        assert_eq!(counters.now(), LinkCounts { opened: 1, failed: 1, lost: 1, silent: 1, ..LinkCounts::default() });
    }

    #[test]
    fn a_link_connects_by_itself_and_counts_for_its_broker() {
        let (counters, first, second) = (LinkCounters::default(), AtomicU64::new(0), AtomicU64::new(0));
        let attempt = counters.attempt(&first);
        let other = counters.attempt(&second);
        assert_eq!((counters.now().connecting, first.load(Ordering::Relaxed)), (2, 1));
        drop(other);
        assert_eq!((counters.now().connecting, second.load(Ordering::Relaxed)), (1, 0));
        drop(attempt);
        assert_eq!(counters.now(), LinkCounts::default());
    }
}
