//! Conditions that last, such as a certificate near its end or a broker that does not answer: an unchanged one is logged once
//! a day, not at each look.
//!
//! A [`Condition`] is what is wrong, and of what. It is due for the log when it is new, when its text changes, when a day has
//! passed, and when it comes again after it [ended](Condition::end). What happens to a message is no condition: it is always
//! logged. `sesame check` shows every condition each time.
//!
//! # Over runs
//! Cron starts `sesame send` every few minutes and mails what it prints. [`remember_in`] makes warnings count that an earlier
//! run logged. Errors count within a run alone: a run that fails says why. A daemon remembers nothing over runs, so that it
//! logs everything once when it starts.
//!
//! # On disk
//! `warned` in the state directory of a sender, mode 0600, written aside and renamed: lines `SECONDS CONDITION TEXT`, the time
//! in seconds since 1970, and the first 16 hexadecimal digits of the SHA-256 of the condition and of its text. If the file
//! cannot be read or written, warnings are logged more often. So they are where two processes write it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, OFlags};
use sha2::{Digest as _, Sha256};

use crate::{files, locked};

/// The file's name in a state directory.
const NAME: &str = "warned";
/// How long a condition is not repeated. An hour less than a day, so that a daily job logs it each time.
const QUIET: Duration = Duration::from_secs(23 * 3600);
/// Texts that are remembered; a peer may say another one each time.
const MOST: usize = 4096;
/// The largest file that is read.
const MOST_BYTES: u64 = 1 << 20;

static LOGGED: Mutex<Logged> = Mutex::new(Logged::new());

/// Makes warnings count that earlier runs with this state directory logged.
pub fn remember_in(state: &Path) {
    locked(&LOGGED).remember(state.join(NAME));
}

/// Saves which warnings were logged, for the next run.
pub fn keep() {
    let kept = locked(&LOGGED).keep();
    if let Err(error) = kept {
        tracing::debug!(%error, "cannot save which warnings were logged");
    }
}

/// What is wrong, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    key: Key,
    over_runs: bool,
}

/// The beginning of a SHA-256.
type Key = [u8; 8];

impl Condition {
    /// A condition that is logged as a warning. `about`: the file, broker or channel.
    #[must_use]
    pub fn warning(what: &str, about: &str) -> Self {
        Self { key: key(&[what, about]), over_runs: true }
    }

    /// A condition that is logged as an error.
    #[must_use]
    pub fn error(what: &str, about: &str) -> Self {
        Self { over_runs: false, ..Self::warning(what, about) }
    }

    /// Whether the condition is to be logged now, with this text; what changes all the time is left out of it. One condition
    /// may have several texts at a time.
    #[must_use]
    pub fn is_due(self, text: &str) -> bool {
        locked(&LOGGED).is_due(self, text, SystemTime::now())
    }

    /// The condition is over. Returns whether it was logged and not yet known to be over, so that its end may be logged.
    pub fn end(self) -> bool {
        locked(&LOGGED).end(self)
    }
}

/// What was logged, and when.
#[derive(Debug)]
struct Logged {
    file: Option<PathBuf>,
    texts: BTreeMap<(Key, Key), Time>,
    /// What ended since the file was read.
    ended: BTreeSet<Key>,
}

#[derive(Clone, Copy, Debug)]
struct Time {
    seconds: u64,
    over_runs: bool,
}

impl Logged {
    const fn new() -> Self {
        Self { file: None, texts: BTreeMap::new(), ended: BTreeSet::new() }
    }

    fn remember(&mut self, file: PathBuf) {
        for (texts, seconds) in read(&file) {
            self.texts.entry(texts).or_insert(Time { seconds, over_runs: true });
        }
        self.file = Some(file);
    }

    fn is_due(&mut self, condition: Condition, text: &str, now: SystemTime) -> bool {
        let now = seconds(now);
        // A time in the future was noted while the clock was wrong.
        self.texts.retain(|_, at| at.seconds <= now && now - at.seconds < QUIET.as_secs());
        let entry = (condition.key, key(&[text]));
        if self.texts.contains_key(&entry) {
            return false;
        }
        if self.texts.len() >= MOST
            && let Some(oldest) = self.texts.iter().min_by_key(|(_, at)| at.seconds).map(|(entry, _)| *entry)
        {
            self.texts.remove(&oldest);
        }
        self.texts.insert(entry, Time { seconds: now, over_runs: condition.over_runs });
        true
    }

    fn end(&mut self, condition: Condition) -> bool {
        let before = self.texts.len();
        self.texts.retain(|(key, _), _| *key != condition.key);
        let ended = self.texts.len() < before;
        if ended && condition.over_runs && self.file.is_some() {
            self.ended.insert(condition.key);
        }
        ended
    }

    /// Replaces the whole file, with what other runs wrote meanwhile. The directory is not created for it.
    fn keep(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut all = read(file);
        all.retain(|(key, _), _| !self.ended.contains(key));
        all.extend(self.texts.iter().filter(|(_, at)| at.over_runs).map(|(entry, at)| (*entry, at.seconds)));
        let mut text = String::new();
        for ((condition, said), at) in &all {
            let _ = writeln!(text, "{at} {} {}", crate::hex(condition), crate::hex(said));
        }
        let aside = file.with_extension(format!("{}.tmp", std::process::id()));
        let written = write(&aside, &text).and_then(|()| std::fs::rename(&aside, file));
        if written.is_err() {
            let _ = std::fs::remove_file(&aside);
        }
        written
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    io::Write::write_all(&mut files::open(CWD, file, flags, 0o600)?, text.as_bytes())
}

/// What a file says; nothing where it cannot be read.
fn read(file: &Path) -> BTreeMap<(Key, Key), u64> {
    let bytes = files::read_regular(CWD, file, MOST_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let entry = |line: &str| {
        let (at, keys) = line.split_once(' ')?;
        let (condition, said) = keys.split_once(' ')?;
        Some(((digits(condition)?, digits(said)?), at.parse().ok()?))
    };
    text.lines().filter_map(entry).take(MOST).collect()
}

/// A key as its hexadecimal digits say.
fn digits(text: &str) -> Option<Key> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().map(u64::to_be_bytes)
}

fn key(parts: &[&str]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    key
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number * 3600)
    }

    fn run(file: &Path) -> Logged {
        let mut logged = Logged::new();
        logged.remember(file.to_owned());
        logged
    }

    #[test]
    fn a_condition_is_due_when_it_is_new_or_changed_or_a_day_has_passed() {
        let mut logged = Logged::new();
        let (one, other) = (Condition::warning("expires", "a.pem"), Condition::warning("expires", "b.pem"));
        assert!(logged.is_due(one, "on Monday", hour(0)) && logged.is_due(other, "on Monday", hour(0)));
        assert!(!logged.is_due(one, "on Monday", hour(22)));
        assert!(logged.is_due(one, "on Tuesday", hour(22)), "its text changed");
        assert!(logged.is_due(one, "on Monday", hour(23)), "a day has passed");
        assert!(!logged.is_due(one, "on Tuesday", hour(24)) && !logged.is_due(one, "on Monday", hour(24)));
    }

    #[test]
    fn a_condition_that_ended_is_due_again() {
        let mut logged = Logged::new();
        let (one, other) = (Condition::warning("away", "a"), Condition::error("away", "b"));
        assert!(!logged.end(one), "it was never logged");
        assert!(logged.is_due(one, "refused", hour(0)) && logged.is_due(one, "timeout", hour(0)));
        assert!(logged.is_due(other, "refused", hour(0)));
        assert!(logged.end(one) && !logged.end(one), "its end is logged once");
        assert!(logged.is_due(one, "refused", hour(1)) && !logged.is_due(other, "refused", hour(1)));
    }

    #[test]
    fn later_runs_know_warnings_and_not_errors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        let (warning, error) = (Condition::warning("w", ""), Condition::error("e", ""));
        let mut first = run(&file);
        assert!(first.is_due(warning, "text", hour(0)) && first.is_due(error, "text", hour(0)));
        assert!(!first.is_due(error, "text", hour(1)));
        first.keep().unwrap();
        let mut second = run(&file);
        assert!(!second.is_due(warning, "text", hour(1)) && second.is_due(error, "text", hour(1)));
        assert!(second.end(warning));
        second.keep().unwrap();
        assert!(run(&file).is_due(warning, "text", hour(2)), "it ended in the run before");
        assert!(second.is_due(warning, "text", hour(2)));
        second.keep().unwrap();
        assert!(!run(&file).is_due(warning, "text", hour(3)), "and was logged again");
    }

    #[test]
    fn what_two_runs_log_at_once_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        let (mut one, mut other) = (run(&file), run(&file));
        let (a, b) = (Condition::warning("a", ""), Condition::warning("b", ""));
        assert!(one.is_due(a, "text", hour(0)) && other.is_due(b, "text", hour(0)));
        one.keep().unwrap();
        other.keep().unwrap();
        let mut third = run(&file);
        assert!(!third.is_due(a, "text", hour(1)) && !third.is_due(b, "text", hour(1)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_file_that_is_broken_or_cannot_be_written_and_a_wrong_clock_silence_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        let condition = Condition::warning("a", "");
        for broken in ["nonsense\n\nx y z\n", "99999999999999999999 0000000000000000 0000000000000000\n", "1 ä ö\n"] {
            std::fs::write(&file, broken).unwrap();
            let mut logged = run(&file);
            assert!(logged.is_due(condition, "text", hour(50)));
            assert!(logged.is_due(condition, "text", hour(3)), "the clock was set back");
            logged.keep().unwrap();
        }
        let mut logged = run(&folder.path().join("none").join(NAME));
        assert!(logged.is_due(condition, "text", hour(0)));
        assert!(logged.keep().is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(run(&link).is_due(condition, "text", hour(3)), "no link is followed");
        let mut full = run(Path::new("/dev/full"));
        assert!(full.is_due(condition, "text", hour(0)));
    }

    #[test]
    fn texts_without_end_take_a_bounded_memory() {
        let mut logged = Logged::new();
        let condition = Condition::warning("a", "");
        for number in 0..(MOST as u64 + 10) {
            let now = hour(0) + Duration::from_secs(number);
            assert!(logged.is_due(condition, &number.to_string(), now));
        }
        assert_eq!(logged.texts.len(), MOST);
        let after = hour(0) + Duration::from_secs(5000);
        assert!(logged.is_due(condition, "0", after), "the oldest was forgotten");
        assert!(!logged.is_due(condition, "4000", after));
    }
}
