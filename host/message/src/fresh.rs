//! Fresh names as SSM and `dirq` make them: of elements in a queue, and so of messages.
//!
//! The name of an intermediate directory has 8 lower-case hexadecimal digits: seconds, rounded down to a minute. That of an
//! element has 14: seconds (8), microseconds (5) and one digit that distinguishes writers in the same microsecond. Element
//! names never repeat in one process, even if the clock is set back: the time in a name always increases.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MICROSECONDS: u64 = 1_000_000;

/// A fresh element name.
#[must_use]
pub fn element() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    static DIGIT: OnceLock<u8> = OnceLock::new();
    let age = since_1970();
    let now = age.as_secs().saturating_mul(MICROSECONDS).saturating_add(u64::from(age.subsec_micros()));
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    let time = if now > last { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 };
    let digit = DIGIT.get_or_init(|| fastrand::u8(0..16));
    format!("{:08x}{:05x}{digit:x}", (time / MICROSECONDS) & 0xffff_ffff, time % MICROSECONDS)
}

/// The current intermediate directory of a QueueSimple, which has one directory for every 60 seconds.
#[must_use]
pub fn directory_of_now() -> String {
    let now = since_1970().as_secs();
    format!("{:08x}", (now - now % 60) & 0xffff_ffff)
}

/// Zero before 1970.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_returns_a_name_twice() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..5000).map(|_| element()).collect::<Vec<_>>())).collect();
        let mut names: Vec<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 20_000);
    }
}
