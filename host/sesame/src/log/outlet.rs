//! Where lines of the log go out, without making a message wait for the program that reads them.
//!
//! A line is written at once where that does not block. Where it would, because a pipe is full or the journal hangs, it waits
//! in memory, and a thread writes what waits, in order. What does not fit into [`MOST`] bytes is lost, and counted in a line
//! of its own once someone reads again.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use message::locked;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use tracing_subscriber::fmt::MakeWriter;

/// The most that waits, in bytes.
const MOST: usize = 8 << 20;
/// A pipe that is ready takes this much at once: `PIPE_BUF` of Linux.
const AT_ONCE: usize = 4096;
/// How long the end of the program waits for what is not written.
const AT_THE_END: Duration = Duration::from_secs(2);

/// What lines are written to.
pub(super) trait Sink: Send + Sync + 'static {
    /// Writes a line unless that would block. Returns whether it is done, be it that the line cannot be written at all.
    fn offer(&self, line: &[u8]) -> bool;
    /// Writes a line, however long that takes.
    fn write(&self, line: &[u8]);
    /// A line that says how many were lost.
    fn lost(&self, lines: u64) -> Vec<u8>;
}

/// Lines on their way to a sink.
pub(super) struct Outlet<S> {
    sink: S,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
    /// A thread writes them.
    busy: bool,
}

/// How many threads write lines that waited.
static WRITERS: Mutex<usize> = Mutex::new(0);
/// One of them is done.
static DONE: Condvar = Condvar::new();

impl<S: Sink> Outlet<S> {
    pub(super) fn new(sink: S) -> Arc<Self> {
        Arc::new(Self { sink, waiting: Mutex::default() })
    }

    /// Where the lines go.
    #[cfg(test)]
    pub(super) fn sink(&self) -> &S {
        &self.sink
    }

    /// Writes a line now or later. Never blocks.
    pub(super) fn put(self: &Arc<Self>, line: &[u8]) {
        let mut waiting = locked(&self.waiting);
        if !waiting.busy && self.sink.offer(line) {
            return;
        }
        if waiting.bytes + line.len() > MOST {
            waiting.lost += 1;
        } else {
            waiting.bytes += line.len();
            waiting.lines.push_back(line.to_vec());
        }
        if !waiting.busy {
            waiting.busy = self.begin();
        }
    }

    /// Starts the thread; without one, the next line tries again.
    fn begin(self: &Arc<Self>) -> bool {
        let outlet = Arc::clone(self);
        *locked(&WRITERS) += 1;
        let begun = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            outlet.drain();
            one_is_done();
        });
        if begun.is_err() {
            one_is_done();
        }
        begun.is_ok()
    }

    fn drain(&self) {
        loop {
            let mut waiting = locked(&self.waiting);
            let line = match waiting.lines.pop_front() {
                Some(line) => {
                    waiting.bytes -= line.len();
                    line
                }
                None if waiting.lost > 0 => self.sink.lost(std::mem::take(&mut waiting.lost)),
                None => {
                    waiting.busy = false;
                    return;
                }
            };
            drop(waiting);
            self.sink.write(&line);
        }
    }
}

fn one_is_done() {
    *locked(&WRITERS) -= 1;
    DONE.notify_all();
}

/// Waits for lines that are not written, for a moment: the program ends.
pub(super) fn finish() {
    let writers = WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    drop(DONE.wait_timeout_while(writers, AT_THE_END, |writers| *writers > 0));
}

/// Says how many lines are missing here.
pub(super) fn words_of_lost(lines: u64) -> String {
    format!("{lines} lines of the log are missing here: they were not read in time")
}

/// Standard error.
pub(super) struct Stderr {
    /// Whether each line is a JSON object.
    json: bool,
    /// Whether it is a file, which is always ready.
    file: bool,
}

impl Stderr {
    pub(super) fn new(json: bool) -> Self {
        let facts = rustix::fs::fstat(io::stderr());
        let file = facts.is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile);
        Self { json, file }
    }

    /// Whether a line can be written now without waiting for anyone.
    fn takes(&self, line: &[u8]) -> bool {
        let out = io::stderr();
        let mut ready = [PollFd::new(&out, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        self.file || line.len() <= AT_ONCE && poll(&mut ready, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

impl Sink for Stderr {
    fn offer(&self, line: &[u8]) -> bool {
        let is_ready = self.takes(line);
        if is_ready {
            self.write(line);
        }
        is_ready
    }

    fn write(&self, line: &[u8]) {
        let _ = io::stderr().lock().write_all(line);
    }

    fn lost(&self, lines: u64) -> Vec<u8> {
        let words = words_of_lost(lines);
        let line = if self.json {
            serde_json::json!({ "level": "WARN", "message": words }).to_string()
        } else {
            format!("WARN {words}")
        };
        (line + "\n").into_bytes()
    }
}

impl<'w, S: Sink> MakeWriter<'w> for To<S> {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Writes each line to an outlet.
pub(super) struct To<S>(pub(super) Arc<Outlet<S>>);

impl<S: Sink> io::Write for To<S> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead as _, BufReader};
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    use super::*;

    /// A pipe in place of standard error.
    struct Pipe(File);

    impl Sink for Pipe {
        fn offer(&self, line: &[u8]) -> bool {
            let mut ready = [PollFd::new(&self.0, PollFlags::OUT)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let is_ready = poll(&mut ready, Some(&now)).unwrap() > 0;
            if is_ready {
                self.write(line);
            }
            is_ready
        }

        fn write(&self, line: &[u8]) {
            (&self.0).write_all(line).unwrap();
        }

        fn lost(&self, lines: u64) -> Vec<u8> {
            (words_of_lost(lines) + "\n").into_bytes()
        }
    }

    #[test]
    fn one_who_does_not_read_holds_nothing_up_and_sees_what_is_missing() {
        let (read, write) = io::pipe().unwrap();
        let outlet = Outlet::new(Pipe(OwnedFd::from(write).into()));
        let line = |number: u64| format!("{number:0999}\n").into_bytes();
        let (lines, begun) = (20_000_u64, Instant::now());
        (0..lines).for_each(|number| outlet.put(&line(number)));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(locked(&outlet.waiting).bytes <= MOST);

        let mut read = BufReader::new(read).lines().map(Result::unwrap);
        let mut next = 0;
        let lost: u64 = loop {
            let text = read.next().unwrap();
            match text.split_once(" lines of the log are missing here") {
                Some((lost, _)) => break lost.parse().unwrap(),
                None => assert_eq!(text.parse::<u64>().unwrap(), next),
            }
            next += 1;
        };
        assert_eq!(next + lost, lines);
        finish();
        outlet.put(&line(7));
        assert_eq!(read.next().unwrap().parse::<u64>().unwrap(), 7, "it is written at once again");
    }
}
