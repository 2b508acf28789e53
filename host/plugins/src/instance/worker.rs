//! The threads that call plugins in shadow: one for each, started with its first call, of the lowest priority.
//!
//! # Limits
//! The messages of all calls of the process have at most 64 MiB.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use message::locked;

/// Bytes of the messages of all calls.
const BYTES: usize = 64 << 20;
/// A thread that calls a guest needs four times the stack of one.
const STACK: usize = 4 << 20;
/// The lowest priority.
const NICE: i32 = 19;

type Call = Box<dyn FnOnce() + Send>;

/// A thread, and what waits for it.
#[derive(Default)]
pub(crate) struct Worker {
    calls: Mutex<Option<SyncSender<Call>>>,
}

/// The bytes that the messages of a process may still have.
#[derive(Debug, Default)]
pub(crate) struct ByteBudget {
    bytes: Arc<AtomicUsize>,
}

/// The bytes of a message.
pub(crate) struct Held {
    bytes: Arc<AtomicUsize>,
    count: usize,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.count, Ordering::Relaxed);
    }
}

impl ByteBudget {
    /// Room for a message of this many bytes, if there is any.
    pub(crate) fn hold(&self, count: usize) -> Option<Held> {
        let held = Held { bytes: Arc::clone(&self.bytes), count };
        let before = self.bytes.fetch_add(count, Ordering::Relaxed);
        (before.saturating_add(count) <= BYTES).then_some(held)
    }
}

impl Worker {
    /// Has the worker do this later; false if `waiting` others wait, or there can be no thread.
    pub(crate) fn submit(&self, call: Call, waiting: usize) -> bool {
        let mut calls = locked(&self.calls);
        if calls.is_none() {
            *calls = started(waiting);
        }
        calls.as_ref().is_some_and(|calls| calls.try_send(call).is_ok())
    }
}

fn started(waiting: usize) -> Option<SyncSender<Call>> {
    let (sender, receiver) = sync_channel(waiting);
    let thread = std::thread::Builder::new().name("shadow".to_owned()).stack_size(STACK);
    thread.spawn(move || work(&receiver)).ok()?;
    Some(sender)
}

fn work(calls: &Receiver<Call>) {
    // On Linux the priority is that of the calling thread alone.
    let _ = rustix::process::setpriority_process(None, NICE);
    while let Ok(call) = calls.recv() {
        call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn what_waits_is_bounded_in_number() {
        let worker = Worker::default();
        let (free, blocked) = channel::<()>();
        assert!(worker.submit(Box::new(move || blocked.recv().unwrap_or_default()), 4));
        let taken = (0..100).filter(|_| worker.submit(Box::new(|| {}), 4)).count();
        assert!((3..=4).contains(&taken), "{taken}");
        drop(free);
    }

    #[test]
    fn what_waits_is_bounded_in_size() {
        let budget = ByteBudget::default();
        let held = budget.hold(BYTES).unwrap();
        assert!(budget.hold(1).is_none());
        drop(held);
        assert!(budget.hold(BYTES + 1).is_none());
        assert!(budget.hold(BYTES).is_some(), "what was refused holds nothing");
    }

    #[test]
    fn the_thread_has_the_lowest_priority_and_no_other_has() {
        let (say, said) = channel();
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        Worker::default().submit(Box::new(move || say.send(priority()).unwrap()), 1);
        assert_eq!((said.recv().unwrap(), priority()), (NICE, before));
    }
}
