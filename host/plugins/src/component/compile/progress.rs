//! How far the compilation of a component is. The child counts the functions that the compiler is done with, and writes the
//! share to standard error, in lines of its own; the parent logs it every few seconds and passes it on.

use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often the parent says how far it is, and how often the child looks.
const SAID_EVERY: Duration = Duration::from_secs(3);
const COUNTED_EVERY: Duration = Duration::from_millis(250);

/// How the child's lines about progress begin.
const PREFIX: &str = "progress ";
/// Bytes of one line that are looked at, and of all others that are kept.
const LINE: u64 = 4 << 10;
const KEPT: usize = 64 << 10;

/// What else is called with the name of a plugin and how many per cent of its functions are compiled.
static WATCH: OnceLock<fn(&str, u8)> = OnceLock::new();

/// Has `watch` called every few seconds while a component is compiled, with the name of the plugin and how many per cent of it
/// are done. For commands, whose log does not show it.
pub fn watch_compilation(watch: fn(&str, u8)) {
    let _ = WATCH.set(watch);
}

/// The parent's side: what was said of one compilation.
pub(super) struct Progress<'a> {
    plugin: &'a str,
    said: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn new(plugin: &'a str) -> Self {
        Self { plugin, said: Instant::now() }
    }

    /// Reads what the child writes to standard error until it ends: reports its progress, and returns the rest.
    pub(super) fn read(mut self, pipe: impl Read) -> io::Result<Vec<u8>> {
        let (mut pipe, mut line, mut others) = (BufReader::new(pipe), Vec::new(), Vec::new());
        while (&mut pipe).take(LINE).read_until(b'\n', &mut line)? > 0 {
            match share(&line) {
                Some(percent) => self.report(percent),
                None => others.extend(line.iter().take(KEPT.saturating_sub(others.len()))),
            }
            line.clear();
        }
        Ok(others)
    }

    fn report(&mut self, percent: u8) {
        if self.said.elapsed() < SAID_EVERY {
            return;
        }
        self.said = Instant::now();
        let plugin = self.plugin;
        tracing::info!(plugin, percent, "compilation in progress");
        if let Some(watch) = WATCH.get() {
            watch(plugin, percent);
        }
    }
}

/// The share in a line about progress.
fn share(line: &[u8]) -> Option<u8> {
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix(PREFIX)?.trim_end().parse().ok().filter(|percent| *percent <= 100)
}

/// The child's side: what the compiler is done with. It logs a line when it has translated a function, and one when it has
/// compiled it.
struct Counter(AtomicU32);

static COUNTER: Counter = Counter(AtomicU32::new(0));

impl log::Log for Counter {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() == log::Level::Debug && metadata.target().starts_with("wasmtime_internal_cranelift")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Counts what the compiler does from now on, and writes its share of so many functions to standard error until the process
/// ends.
#[expect(clippy::print_stderr, reason = "the child reports to the parent on standard error")]
pub(super) fn count(functions: u32) {
    if log::set_logger(&COUNTER).is_err() {
        return;
    }
    log::set_max_level(log::LevelFilter::Debug);
    std::thread::spawn(move || {
        let mut last = 0;
        loop {
            std::thread::sleep(COUNTED_EVERY);
            let percent = percent(COUNTER.0.load(Ordering::Relaxed), functions);
            if percent != last {
                eprintln!("{PREFIX}{percent}");
                last = percent;
            }
        }
    });
}

/// Each function takes two steps; at the end it is linked.
fn percent(steps: u32, functions: u32) -> u8 {
    let share = u64::from(steps) * 100 / (u64::from(functions) * 2).max(1);
    u8::try_from(share).unwrap_or(u8::MAX).min(99)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_progress_are_told_apart_from_errors() {
        assert_eq!(share(b"progress 37\n"), Some(37));
        for other in ["progress", "progress x", "progress 101", "progress -1", " progress 3", "cannot compile"] {
            assert_eq!(share(other.as_bytes()), None, "{other}");
        }
        let said = "progress 1\nbad type\nprogress 2\nat offset 3";
        assert_eq!(Progress::new("p").read(said.as_bytes()).unwrap(), b"bad type\nat offset 3");
    }

    #[test]
    fn a_child_that_does_not_stop_writing_fills_no_memory() {
        let endless = io::repeat(b'x').take(LINE * 100);
        assert_eq!(Progress::new("p").read(endless).unwrap().len(), KEPT);
    }

    #[test]
    fn the_share_never_says_that_it_is_done() {
        assert_eq!(
            [(0, 0), (5, 5), (10, 5), (50, 5), (1, 1000)].map(|(steps, all)| percent(steps, all)),
            [0, 50, 99, 99, 0]
        );
    }

    /// If the compiler no longer says what it does, there is no progress to report.
    #[test]
    fn the_compiler_says_what_it_is_done_with() {
        let component = crate::component::builtin::find("passthrough").unwrap();
        let functions = crate::component::surface::Surface::read(component).unwrap().functions;
        assert!(functions > 10, "{functions}");
        log::set_logger(&COUNTER).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
        let before = COUNTER.0.load(Ordering::Relaxed);
        crate::component::engine::engine().unwrap().precompile_component(component).unwrap();
        let steps = COUNTER.0.load(Ordering::Relaxed) - before;
        assert!(steps >= functions * 2, "{steps} of {functions}");
    }
}
