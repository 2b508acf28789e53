//! Warnings that are logged once a day. Cron starts `sesame send` every few minutes and mails what it prints; each run would
//! repeat the same warnings.
//!
//! Only warnings about lasting conditions are limited here. Errors, and everything about a message, are always logged.
//! `sesame check` shows every warning each time, and a daemon logs them at its start.
//!
//! # On disk
//! `warned` in the state directory of a sender, mode 0600: lines `SECONDS DIGEST`, the time in seconds since 1970 and the
//! first 16 hexadecimal digits of the SHA-256 of the warning. If the file cannot be read or written, every warning is logged.

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
/// How long a warning is not repeated. An hour less than a day, so that a daily job logs it each time.
const QUIET: Duration = Duration::from_secs(23 * 3600);

static WARNED: OnceLock<Warned> = OnceLock::new();

/// Makes [`due`] take account of earlier runs with this state directory.
pub fn remember_in(state: &Path) {
    let _ = WARNED.set(Warned::open(&state.join(NAME)));
}

/// Whether a warning is to be logged now. Always true before [`remember_in`].
#[must_use]
pub fn due(warning: &str) -> bool {
    WARNED.get().is_none_or(|warned| warned.due(warning, SystemTime::now()))
}

/// Saves which warnings were logged, for the next run.
pub fn keep() {
    if let Some(warned) = WARNED.get()
        && let Err(error) = warned.keep()
    {
        tracing::debug!(file = %warned.file.display(), %error, "cannot save which warnings were logged");
    }
}

/// The warnings that were logged, and when.
#[derive(Debug)]
struct Warned {
    file: PathBuf,
    logged: Mutex<BTreeMap<String, u64>>,
}

impl Warned {
    fn open(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let logged = text.lines().filter_map(|line| {
            let (seconds, digest) = line.split_once(' ')?;
            Some((digest.to_owned(), seconds.parse().ok()?))
        });
        Self { file: file.to_owned(), logged: Mutex::new(logged.collect()) }
    }

    fn due(&self, warning: &str, now: SystemTime) -> bool {
        let now = seconds(now);
        let mut logged = locked(&self.logged);
        // A time in the future was noted while the clock was wrong.
        logged.retain(|_, at| *at <= now && now - *at < QUIET.as_secs());
        let mut digest = crate::hex(&Sha256::digest(warning.as_bytes()));
        digest.truncate(16);
        if logged.contains_key(&digest) {
            return false;
        }
        logged.insert(digest, now);
        true
    }

    /// Replaces the whole file. The directory is not created for it.
    fn keep(&self) -> io::Result<()> {
        let mut text = String::new();
        for (digest, at) in locked(&self.logged).iter() {
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
