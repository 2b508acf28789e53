//! The engines of the process, and the thread that advances their epochs.
//!
//! There are two, which differ only in how the memory of a new instance gets its first content. Small components have it
//! copied: an instance and a call take 45 µs, against 56 µs with a mapping, and threads do not wait for each other's
//! mappings. Large ones, such as interpreters with many megabytes of memory, have it mapped.
//!
//! There is no pooling allocator (it reserves terabytes of address space and has leaked data between instances before), no
//! async, and no fuel: an epoch deadline costs a guest less.

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::{Config, Engine, WasmBacktraceDetails};

/// Time between two ticks of the epoch: the resolution of every deadline.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest. A thread that calls one needs at least four times as much.
pub(crate) const GUEST_STACK: usize = 512 << 10;

/// From this size on a component's memory is mapped.
const LARGE: usize = 1 << 20;

/// Which of the two engines a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Small,
    Large,
}

impl Class {
    /// The class of a component. Only its size decides, so that the compiling child finds the same.
    pub(crate) fn of(component: &[u8]) -> Self {
        if component.len() < LARGE { Self::Small } else { Self::Large }
    }
}

/// An engine with the settings that every component of this class is compiled for.
pub(crate) fn engine(class: Class) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .consume_fuel(false)
        .memory_init_cow(class == Class::Large)
        .concurrency_support(false)
        .max_wasm_stack(GUEST_STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(8))
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    Engine::new(&config)
}

/// Advances the epochs every [`TICK`] until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engines: &[&Engine]) -> std::io::Result<Self> {
        let engines: Vec<_> = engines.iter().map(|engine| engine.weak()).collect();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("plugin-epoch".into()).spawn(move || {
            let (started, mut ticks) = (Instant::now(), 0);
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                // A thread that wakes late catches up; otherwise every deadline would grow with the load of the machine.
                let due = started.elapsed().as_millis() / TICK.as_millis();
                for engine in engines.iter().filter_map(|engine| engine.upgrade()) {
                    (ticks..due).for_each(|_| engine.increment_epoch());
                }
                ticks = due;
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticker_stops_when_it_is_dropped() {
        let engine = engine(Class::Small).unwrap();
        let ticker = Ticker::start(&[&engine]).unwrap();
        let weak = engine.weak();
        drop(ticker);
        drop(engine);
        assert!(weak.upgrade().is_none());
    }
}
