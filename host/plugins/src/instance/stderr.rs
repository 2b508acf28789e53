//! The last few kilobytes of a guest's standard error, kept in memory: a language's runtime writes there why it stopped. The
//! lines also go to the plugin's log (`wasi`).

/// How much of the end is kept.
const KEPT: usize = 8 << 10;

/// The captured end of a guest's standard error.
#[derive(Debug, Default)]
pub(crate) struct Stderr(Vec<u8>);

impl Stderr {
    /// Why the guest stopped, in one line: from the last "panicked at" on if there is one, otherwise all that is kept.
    pub(crate) fn panic_text(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        let text = text.rfind("panicked at ").and_then(|at| text.get(at..)).unwrap_or(&text);
        let text = text.split("\nnote: run with `RUST_BACKTRACE").next().unwrap_or(text);
        let (first, rest) = text.split_once(":\n").unwrap_or((text, ""));
        let line = if rest.is_empty() { first.to_owned() } else { format!("{first}: {rest}") };
        let line = crate::text::clean_lines(&line, 1000);
        (!line.is_empty()).then_some(line)
    }

    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default());
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rust_panic_reads_as_one_line_with_its_place() {
        let mut stderr = Stderr::default();
        stderr.keep(b"something before\n\nthread '<unnamed>' (1) panicked at src/lib.rs:18:24:\nboom\nnote: run with ");
        stderr.keep(b"`RUST_BACKTRACE=1` environment variable to display a backtrace\n");
        assert_eq!(stderr.panic_text().unwrap(), "panicked at src/lib.rs:18:24: boom");
    }

    #[test]
    fn keeps_the_end() {
        let mut stderr = Stderr::default();
        assert_eq!(stderr.panic_text(), None);
        stderr.keep(&vec![b'x'; KEPT]);
        stderr.keep(b"\nthe end");
        assert!(stderr.panic_text().unwrap().len() <= 1003);
        assert_eq!(stderr.0.len(), KEPT);
        assert!(stderr.0.ends_with(b"the end"));
    }
}
