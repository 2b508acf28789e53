//! What commands print: lines, tables and JSON on standard output, their own failures on standard error, and the exit
//! status.
//!
//! # Exit status
//! 0: done, or stopped as asked. 1: failed while running, or something was rejected, deferred or not sent. 2: the command
//! line is wrong. 3: `check --strict` found warnings and no errors. 69: no Sesame runs. 75: another Sesame holds the
//! queue or spool. 78: the configuration is wrong.
//!
//! # Policy
//! Whatever came from outside may hold control characters, which a terminal executes. [`line()`] and [`json`] write them as
//! `\u001b`, which is harmless at a terminal and valid inside JSON; so do they with the marks that turn the direction of
//! text around, which make a name look like another. Only [`raw`] writes bytes as they are, where they were asked for.

mod parts;
mod style;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};

use message::text::escaped_json;
use message::{Finding, Severity};
pub use parts::Line;
pub use style::{Style, is_styled, styled, styled_line};

/// Done, or stopped as asked.
pub const EXIT_DONE: u8 = 0;
/// Failed while running, or something was rejected, deferred or not sent.
pub const EXIT_FAILED: u8 = 1;
/// The command line is wrong.
pub const EXIT_USAGE: u8 = 2;
/// A strict check found warnings and no errors.
pub const EXIT_WARNINGS: u8 = 3;
/// No Sesame runs that could answer.
pub const EXIT_NOT_RUNNING: u8 = 69;
/// Another Sesame holds the queue or spool.
pub const EXIT_HELD: u8 = 75;
/// The configuration is wrong.
pub const EXIT_CONFIGURATION: u8 = 78;

/// The number of the first error with which standard output could not be written; 0 for none.
static UNWRITTEN: AtomicI32 = AtomicI32::new(0);

/// Prints one line. An error ends nothing: the reader may have read enough, as `head` has; [`unwritten`] knows of others.
pub fn line(text: &str) {
    let _ = try_line(text);
}

/// Remembers that something could not be written.
fn note(written: &io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let number = error.raw_os_error().unwrap_or(-1);
        let _ = UNWRITTEN.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Why not all was written that was printed, unless its reader had read enough. A command that printed it has failed.
#[must_use]
pub fn unwritten() -> Option<io::Error> {
    note(&io::stdout().flush());
    match UNWRITTEN.load(Ordering::Relaxed) {
        0 => None,
        number => Some(io::Error::from_raw_os_error(number)),
    }
}

/// As [`line()`], where it matters whether anyone reads on.
///
/// # Errors
/// Where it cannot be written.
pub fn try_line(text: &str) -> io::Result<()> {
    let written = writeln!(io::stdout().lock(), "{}", escaped_json(text));
    note(&written);
    written
}

/// Prints one line on standard error: a command about its own failure. Errors are ignored: no one is left to read them.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints a JSON value on one line.
pub fn json(value: &serde_json::Value) {
    line(&value.to_string());
}

/// Writes bytes as they are.
///
/// # Errors
/// Where they cannot be written.
pub fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Content as lines fit for a terminal. What is not UTF-8 is written as `\xNN`.
#[must_use]
pub fn content(bytes: &[u8]) -> Vec<String> {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.split_terminator('\n').map(|line| escaped_json(line).into_owned()).collect()
}

/// A field of an element as text; what is not UTF-8 is replaced.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// A moment in UTC, as ISO 8601 with milliseconds.
#[must_use]
pub fn time(at: SystemTime) -> String {
    let moment = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A moment given in seconds since 1970, in UTC, without fractions.
#[must_use]
pub fn seconds(since_1970: u64) -> String {
    let moment = i64::try_from(since_1970).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| "never".to_owned(), |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How long ago something was, in its two largest units.
#[must_use]
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let Some(first) = units.iter().position(|(length, _)| seconds >= *length) else { return "0s".to_owned() };
    let mut rest = seconds;
    let mut words = Vec::new();
    for (length, unit) in units.iter().skip(first).take(2) {
        if rest >= *length {
            words.push(format!("{}{unit}", rest / length));
        }
        rest %= length;
    }
    words.join(" ")
}

/// The age of something that was put there at `since`.
#[must_use]
pub fn age_since(since: SystemTime) -> String {
    age(SystemTime::now().duration_since(since).unwrap_or_default())
}

/// One word for a number of things: `1 message`, `3 messages`.
#[must_use]
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A finding in one line, with what the message says, which is personal data: for the terminal of who asked, never for a log.
#[must_use]
pub fn finding(finding: &Finding) -> String {
    let word = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let value = finding.value.as_ref().map(|value| format!(" (it says {value:?})")).unwrap_or_default();
    format!("{word}: {finding}{value}")
}

/// A table for people: columns as wide as their widest cell, the last one without padding.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<(Style, String)>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| (Style::Plain, heading.to_owned())).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.styled(cells.into_iter().map(|cell| (Style::Plain, cell)));
    }

    /// Adds a row whose cells have styles.
    pub fn styled(&mut self, cells: impl IntoIterator<Item = (Style, String)>) {
        self.rows.push(cells.into_iter().map(|(style, cell)| (style, escaped_json(&cell).into_owned())).collect());
    }

    /// Prints it.
    pub fn print(&self) {
        self.lines().iter().for_each(Line::print);
    }

    /// Its lines.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, (_, cell)) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        self.rows.iter().map(|row| in_columns(row, &widths)).collect()
    }
}

fn in_columns(row: &[(Style, String)], widths: &[usize]) -> Line {
    let filled = row.iter().rposition(|(_, cell)| !cell.is_empty()).map_or(0, |last| last + 1);
    let mut line = Line::default();
    for (at, ((style, cell), width)) in row.iter().zip(widths).take(filled).enumerate() {
        line = line.and(*style, cell.clone());
        if at + 1 < filled {
            line = line.and(Style::Plain, " ".repeat(width - cell.chars().count() + 2));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn escapes_control_characters_and_direction_marks() {
        assert_eq!(escaped_json("\u{1b}[2Ja\tb\r\n\u{9b}1m\u{202e}x"), "\\u001b[2Ja\tb\\u000d\\u000a\\u009b1m\\u202ex");
        assert!(matches!(escaped_json("Zürich"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaped_json_is_still_json() {
        let value = serde_json::json!({ "error": "a\u{7f}\u{9b}\u{202e}\nb" });
        let shown = value.to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped_json(&shown)).unwrap(), value);
    }

    #[test]
    fn content_keeps_its_lines_and_shows_what_is_not_text() {
        assert_eq!(content(b"a: 1\n\xff\x00b\r\n"), ["a: 1", "\\xff\\u0000b\\u000d"]);
        assert!(content(b"").is_empty());
    }

    #[test]
    fn ages_have_their_two_largest_units() {
        for (seconds, shown) in [(0, "0s"), (61, "1m 1s"), (3600, "1h"), (90_061, "1d 1h"), (59, "59s")] {
            assert_eq!(age(Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01.500Z");
        assert_eq!(seconds(86_400), "1970-01-02T00:00:00Z");
    }

    #[test]
    fn a_finding_shows_the_value_in_the_message() {
        let shown = Finding {
            severity: Severity::Warning,
            code: "job.odd".to_owned(),
            text: "is odd".to_owned(),
            record_number: None,
            field: None,
            value: Some("7".to_owned()),
        };
        assert_eq!(finding(&shown), "warning: job.odd: is odd (it says \"7\")");
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["long".to_owned(), "\u{1b}".to_owned()]);
        table.styled(["", "x", ""].map(|cell| (Style::Bad, cell.to_owned())));
        let lines: Vec<String> = table.lines().iter().map(Line::plain).collect();
        assert_eq!(lines, ["A     B", "long  \\u001b", "      x"]);
    }
}
