//! The one engine of the process, and the thread that moves its epoch on.
//!
//! No pooling allocator (it reserves terabytes of address space and has leaked between instances before), no async
//! calls, no fuel: an epoch deadline costs a guest less.

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread::JoinHandle;

use wasmtime::{Config, Engine, WasmBacktraceDetails};

use super::limits::TICK;

/// Stack of a guest. A thread that calls one needs at least four times as much.
pub const GUEST_STACK: usize = 512 << 10;

/// An engine with the settings that every component is compiled for.
pub(super) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .consume_fuel(false)
        .memory_init_cow(true)
        .concurrency_support(false)
        .max_wasm_stack(GUEST_STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(8))
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    Engine::new(&config)
}

/// Moves the epoch on every [`TICK`] until it is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let engine = engine.weak();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("plugin-epoch".into()).spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
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
        let engine = engine().unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        let weak = engine.weak();
        drop(ticker);
        drop(engine);
        assert!(weak.upgrade().is_none());
    }
}
