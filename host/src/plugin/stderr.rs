//! Where a guest's standard error goes: into memory, the last few kilobytes of it, because that is where a language's
//! run-time writes why it gave up. Writing never fails and never blocks, so a guest is not stopped for being talkative.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// How much of the end is kept.
const KEPT: usize = 8 << 10;

/// How much a guest may write at once.
const CHUNK: usize = 64 << 10;

/// The captured end of a guest's standard error. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stderr(Arc<Mutex<Vec<u8>>>);

impl Stderr {
    /// Why the guest gave up, in one line: from the last "panicked at" on where there is one, else all that is kept.
    pub(super) fn panic_text(&self) -> Option<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.rfind("panicked at ").and_then(|at| text.get(at..)).unwrap_or(&text);
        let text = text.split("\nnote: run with `RUST_BACKTRACE").next().unwrap_or(text);
        let (first, rest) = text.split_once(":\n").unwrap_or((text, ""));
        let line = if rest.is_empty() { first.to_owned() } else { format!("{first}: {rest}") };
        let line = super::text::clean_lines(&line, 1000);
        (!line.is_empty()).then_some(line)
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rust_panic_reads_as_one_line_with_its_place() {
        let stderr = Stderr::default();
        stderr.keep(b"something before\n\nthread '<unnamed>' (1) panicked at src/lib.rs:18:24:\nboom\nnote: run with ");
        stderr.keep(b"`RUST_BACKTRACE=1` environment variable to display a backtrace\n");
        assert_eq!(stderr.panic_text().unwrap(), "panicked at src/lib.rs:18:24: boom");
    }

    #[test]
    fn keeps_the_end() {
        let stderr = Stderr::default();
        assert_eq!(stderr.panic_text(), None);
        stderr.keep(&vec![b'x'; KEPT]);
        stderr.keep(b"\nthe end");
        assert!(stderr.panic_text().unwrap().len() <= 1003);
        assert_eq!(stderr.0.lock().unwrap().len(), KEPT);
        assert!(stderr.0.lock().unwrap().ends_with(b"the end"));
    }
}
