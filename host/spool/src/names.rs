//! Names in directory queues.
//!
//! The name of an intermediate directory has 8 lower-case hexadecimal digits, that of an element 14; see
//! [`message::fresh`], which makes them.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use message::fresh::{directory_of_now, element as fresh_element};

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
    fn numbers_sort_as_names_do() {
        assert_eq!(element_number(b"00000000000010"), Some(16));
        assert_eq!(element_number(b"00000000000010.lck"), None);
    }
}
