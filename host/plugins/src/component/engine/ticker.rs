//! The thread that advances the epochs of the engines, without which no deadline would end a call.
//!
//! It sleeps while nothing is called: a daemon without messages is not woken a hundred times a second for nothing. A deadline
//! is counted from the epoch at the beginning of a call, so it does not matter how long the epoch stood still before.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use message::locked;
use wasmtime::{Engine, EngineWeak};

use super::TICK;

/// How long it goes on after the last call, so that a plugin that is called often pays for no waking.
const REST: Duration = Duration::from_secs(1);

/// Advances the epochs every [`TICK`] while something is called, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    calls: Arc<Calls>,
    thread: Option<JoinHandle<()>>,
}

/// The calls that are in progress.
#[derive(Debug, Default)]
struct Calls {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// The thread waits for a call.
    asleep: bool,
    over: bool,
}

/// A call, or several with one instance: until it is dropped the epochs advance.
#[derive(Debug)]
pub(crate) struct Ticking(Arc<Calls>);

impl Ticker {
    pub(crate) fn start(engines: &[&Engine]) -> std::io::Result<Self> {
        let engines: Vec<_> = engines.iter().map(|engine| engine.weak()).collect();
        let calls = Arc::<Calls>::default();
        let thread = std::thread::Builder::new().name("plugin-epoch".into());
        let thread = thread.spawn({
            let calls = Arc::clone(&calls);
            move || while calls.wait() && calls.advance(&engines) {}
        })?;
        Ok(Self { calls, thread: Some(thread) })
    }

    /// Has the epochs advance until the answer is dropped.
    pub(crate) fn run(&self) -> Ticking {
        let mut state = locked(&self.calls.state);
        state.running += 1;
        if state.asleep {
            state.asleep = false;
            self.calls.changed.notify_all();
        }
        Ticking(Arc::clone(&self.calls))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        locked(&self.0.state).running -= 1;
    }
}

impl Calls {
    /// Waits for a call; false at the end.
    fn wait(&self) -> bool {
        let mut state = locked(&self.state);
        while state.running == 0 && !state.over {
            state.asleep = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        !state.over
    }

    /// Advances the epochs until nothing has been called for a while; false at the end.
    fn advance(&self, engines: &[EngineWeak]) -> bool {
        let (started, mut ticks, mut called) = (Instant::now(), 0, Instant::now());
        while called.elapsed() < REST {
            let state = self.tick();
            if state.over {
                return false;
            }
            if state.running > 0 {
                called = Instant::now();
            }
            drop(state);
            // A thread that wakes late catches up; otherwise every deadline would grow with the load of the machine.
            let due = started.elapsed().as_millis() / TICK.as_millis();
            for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                (ticks..due).for_each(|_| engine.increment_epoch());
            }
            ticks = due;
        }
        true
    }

    /// The state after a tick, or at the end.
    fn tick(&self) -> MutexGuard<'_, State> {
        let state = locked(&self.state);
        if state.over {
            return state;
        }
        self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        locked(&self.calls.state).over = true;
        self.calls.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::engine::engine;

    #[test]
    fn the_ticker_stops_when_it_is_dropped() {
        let engine = engine().unwrap();
        for called in [false, true] {
            let ticker = Ticker::start(&[&engine]).unwrap();
            let _call = called.then(|| ticker.run());
            drop(ticker);
        }
        let weak = engine.weak();
        drop(engine);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn it_sleeps_while_nothing_is_called_and_wakes_for_the_next_call() {
        let engine = engine().unwrap();
        let ticker = Ticker::start(&[&engine]).unwrap();
        let asleep = || locked(&ticker.calls.state).asleep;
        let until_asleep = || {
            let begun = Instant::now();
            while !asleep() {
                assert!(begun.elapsed() < Duration::from_secs(60), "it does not sleep");
                std::thread::sleep(TICK);
            }
        };
        for _ in 0..2 {
            until_asleep();
            let (one, other) = (ticker.run(), ticker.run());
            drop(one);
            std::thread::sleep(REST + 10 * TICK);
            assert!(!asleep(), "it sleeps during a call");
            drop(other);
        }
    }
}
