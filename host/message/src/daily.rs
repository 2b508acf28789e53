//! Warnings that are said once a day: a `sesame send` that cron starts every few minutes would repeat the same ones at each
//! run, and mails would be made of them.
//!
//! Only warnings about circumstances that stay as they are go through here; errors, and whatever is about a message, are
//! always said. `sesame check` says all of them each time, and so does a daemon at its start.
//!
//! # On disk
//! `warned` in the state directory of a sender, mode 0600: lines `SECONDS DIGEST`, the time in seconds since 1970 and the
//! first 16 hexadecimal digits of the SHA-256 of the warning. A file that cannot be read or written silences nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::locked;

/// The file's name in a state directory.
const NAME: &str = "warned";
/// How long a warning is not repeated: an hour less than a day, so that a daily job says it each time.
const QUIET: Duration = Duration::from_secs(23 * 3600);

static WARNED: OnceLock<Warned> = OnceLock::new();

/// From now on [`due`] knows what was said by earlier runs with this state directory.
pub fn remember_in(state: &Path) {
    let _ = WARNED.set(Warned::open(&state.join(NAME)));
}

/// Whether a warning is to be said now. Always so in a process that called no [`remember_in`].
#[must_use]
pub fn due(warning: &str) -> bool {
    WARNED.get().is_none_or(|warned| warned.due(warning, SystemTime::now()))
}

/// Writes down what was said.
pub fn keep() {
    if let Some(warned) = WARNED.get()
        && let Err(error) = warned.keep()
    {
        tracing::debug!(file = %warned.file.display(), %error, "cannot note which warnings were said");
    }
}

/// What was said, and when.
#[derive(Debug)]
struct Warned {
    file: PathBuf,
    said: Mutex<BTreeMap<String, u64>>,
}

impl Warned {
    fn open(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let said = text.lines().filter_map(|line| {
            let (seconds, digest) = line.split_once(' ')?;
            Some((digest.to_owned(), seconds.parse().ok()?))
        });
        Self { file: file.to_owned(), said: Mutex::new(said.collect()) }
    }

    fn due(&self, warning: &str, now: SystemTime) -> bool {
        let now = seconds(now);
        let mut said = locked(&self.said);
        // A time to come is a clock that was wrong.
        said.retain(|_, at| *at <= now && now - *at < QUIET.as_secs());
        let mut digest = crate::hex(&Sha256::digest(warning.as_bytes()));
        digest.truncate(16);
        if said.contains_key(&digest) {
            return false;
        }
        said.insert(digest, now);
        true
    }

    /// Replaces the file whole; a directory that is not there yet is not made for it.
    fn keep(&self) -> io::Result<()> {
        let mut text = String::new();
        for (digest, at) in locked(&self.said).iter() {
            let _ = writeln!(text, "{at} {digest}");
        }
        let aside = self.file.with_extension(format!("{}.tmp", std::process::id()));
        let mut options = std::fs::File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        std::fs::rename(&aside, &self.file)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number * 86_400)
    }

    #[test]
    fn a_warning_is_due_once_a_day_also_across_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        let first = Warned::open(&file);
        assert!(first.due("a", day(0)) && first.due("b", day(0)));
        assert!(!first.due("a", day(0)));
        first.keep().unwrap();
        let second = Warned::open(&file);
        assert!(!second.due("a", day(0) + Duration::from_secs(22 * 3600)));
        assert!(second.due("c", day(0)), "another warning");
        assert!(second.due("a", day(1)), "a day later");
        assert!(!second.due("a", day(1)));
    }

    #[test]
    fn neither_a_broken_file_nor_a_wrong_clock_silences_anything() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        std::fs::write(&file, "nonsense\n\nx y\n99999999999999999999 a\n").unwrap();
        let warned = Warned::open(&file);
        assert!(warned.due("a", day(5)));
        assert!(warned.due("a", day(3)), "the clock was set back");
    }
}
