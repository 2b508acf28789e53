//! Names in directory queues.
//!
//! The name of an intermediate directory has 8 lower-case hexadecimal digits, that of an element 14: seconds (8),
//! microseconds (5) and one digit that distinguishes writers in the same microsecond. Names never repeat in one
//! process, even if the clock is set back: the time in a name always increases.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const MICROSECONDS: u64 = 1_000_000;

/// Whether `name` is that of an intermediate directory.
pub fn is_directory(name: &[u8]) -> bool {
    name.len() == 8 && name.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `name` is that of an element.
pub(crate) fn is_element(name: &[u8]) -> bool {
    name.len() == 14 && name.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `name` is that of a field.
pub(crate) fn is_field(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The number in an element name. Numbers sort as names do.
pub fn element_number(name: &[u8]) -> Option<u64> {
    if !is_element(name) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(name).ok()?, 16).ok()
}

/// Seconds since 1970, 0 before.
pub(crate) fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// A fresh element name.
pub(crate) fn fresh_element() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    static DIGIT: std::sync::OnceLock<u8> = std::sync::OnceLock::new();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs().saturating_mul(MICROSECONDS).saturating_add(u64::from(age.subsec_micros())));
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    let time = if now > last { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 };
    let digit = DIGIT.get_or_init(|| fastrand::u8(0..16));
    format!("{:08x}{:05x}{digit:x}", (time / MICROSECONDS) & 0xffff_ffff, time % MICROSECONDS)
}

/// The current intermediate directory of a QueueSimple, which has one directory for every 60 seconds.
pub(crate) fn directory_of_now() -> String {
    let now = seconds_now();
    format!("{:08x}", (now - now % 60) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_its_own_names_and_no_others() {
        assert!(is_element(fresh_element().as_bytes()));
        assert!(is_directory(directory_of_now().as_bytes()));
        for bad in ["", "6b03126398f93", "6b03126398f937.tmp", "6B03126398F937", "6b03126398f93g"] {
            assert!(!is_element(bad.as_bytes()), "{bad}");
        }
        assert!(is_field("empaid") && !is_field("") && !is_field("a.b") && !is_field("a/b"));
    }

    #[test]
    fn never_returns_a_name_twice() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..5000).map(|_| fresh_element()).collect::<Vec<_>>())).collect();
        let mut names: Vec<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 20_000);
    }

    #[test]
    fn numbers_sort_as_names_do() {
        assert_eq!(element_number(b"00000000000010"), Some(16));
        assert_eq!(element_number(b"00000000000010.lck"), None);
    }
}
