//! The thread that calls plugins in shadow: one for a process, started with the first call, of the lowest priority.
//!
//! # Limits
//! At most 64 calls wait, and the messages of all that wait have at most 64 MiB.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use message::locked;

/// Calls that wait.
const CALLS: usize = 64;
/// Bytes of their messages.
const BYTES: usize = 64 << 20;
/// A thread that calls a guest needs four times the stack of one.
const STACK: usize = 4 << 20;
/// The lowest priority.
const NICE: i32 = 19;

type Call = Box<dyn FnOnce() + Send>;

/// The thread, and what waits for it.
#[derive(Default)]
pub(crate) struct Worker {
    calls: Mutex<Option<SyncSender<Call>>>,
    bytes: Arc<AtomicUsize>,
}

/// The bytes of a message that waits.
pub(crate) struct Held {
    bytes: Arc<AtomicUsize>,
    count: usize,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.count, Ordering::Relaxed);
    }
}

impl Worker {
    /// Room for a message of this many bytes, if there is any.
    pub(crate) fn hold(&self, count: usize) -> Option<Held> {
        let held = Held { bytes: Arc::clone(&self.bytes), count };
        let before = self.bytes.fetch_add(count, Ordering::Relaxed);
        (before.saturating_add(count) <= BYTES).then_some(held)
    }

    /// Has the worker do this later; false if too much waits, or there can be no thread.
    pub(crate) fn submit(&self, call: Call) -> bool {
        let mut calls = locked(&self.calls);
        if calls.is_none() {
            *calls = started();
        }
        calls.as_ref().is_some_and(|calls| calls.try_send(call).is_ok())
    }
}

fn started() -> Option<SyncSender<Call>> {
    let (sender, receiver) = sync_channel(CALLS);
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
    fn what_waits_is_bounded_in_number_and_size() {
        let worker = Worker::default();
        let (free, blocked) = channel::<()>();
        assert!(worker.submit(Box::new(move || blocked.recv().unwrap_or_default())));
        let taken = (0..10 * CALLS).filter(|_| worker.submit(Box::new(|| {}))).count();
        assert!((CALLS - 1..=CALLS).contains(&taken), "{taken}");
        drop(free);
        let held = worker.hold(BYTES).unwrap();
        assert!(worker.hold(1).is_none());
        drop(held);
        assert!(worker.hold(BYTES + 1).is_none());
        assert!(worker.hold(BYTES).is_some(), "what was refused holds nothing");
    }

    #[test]
    fn the_thread_has_the_lowest_priority_and_no_other_has() {
        let (say, said) = channel();
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        Worker::default().submit(Box::new(move || say.send(priority()).unwrap()));
        assert_eq!((said.recv().unwrap(), priority()), (NICE, before));
    }
}
