//! The thread that advances the epochs of the engines, without which no deadline would end a call.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use wasmtime::Engine;

use super::TICK;

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
    use crate::component::engine::engine;

    #[test]
    fn the_ticker_stops_when_it_is_dropped() {
        let engine = engine().unwrap();
        let ticker = Ticker::start(&[&engine]).unwrap();
        let weak = engine.weak();
        drop(ticker);
        drop(engine);
        assert!(weak.upgrade().is_none());
    }
}
