//! Bytes eight at a time. Reading spends its time in going through text, and under a host that can interrupt a guest every
//! turn of a loop is paid for.

/// One in every byte.
const EACH: u64 = u64::from_le_bytes([1; 8]);
/// The highest bit of every byte.
const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

/// The length of a beginning of `bytes` that is printable ASCII without any of `stops`; at most seven bytes too short.
#[inline]
pub(crate) fn plain<const STOPS: usize>(bytes: &[u8], stops: [u8; STOPS]) -> usize {
    let mut length = 0;
    for chunk in bytes.as_chunks().0 {
        let word = u64::from_le_bytes(*chunk);
        // A byte has its highest bit set if it had it, or if it is too small to take a space from.
        let mut found = (word.wrapping_sub(EACH * u64::from(b' ')) & !word) | word;
        for stop in stops {
            let other = word ^ (EACH * u64::from(stop));
            found |= other.wrapping_sub(EACH) & !other;
        }
        if found & HIGH != 0 {
            break;
        }
        length += chunk.len();
    }
    length
}

/// `one == other`. A guest's own way of comparing goes byte by byte.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let (Some(one_end), Some(other_end)) = (one.last_chunk(), other.last_chunk()) else {
        return one.iter().zip(other).all(|(one, other)| one == other);
    };
    // What does not fill a word before the end is in the last one.
    u64::from_le_bytes(*one_end) == u64::from_le_bytes(*other_end)
        && one
            .as_chunks()
            .0
            .iter()
            .zip(other.as_chunks().0)
            .all(|(&one, &other)| u64::from_le_bytes(one) == u64::from_le_bytes(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_when_no_byte_differs() {
        let text = "abcdefghijklmnopqrstuvwxyz";
        for length in 0..=text.len() {
            let whole = &text[..length];
            assert!(same(whole, whole));
            assert!(!same(whole, &text[..length.saturating_sub(1)]) || length == 0);
            for at in 0..length {
                let mut other = whole.to_owned();
                other.replace_range(at..=at, "-");
                assert!(!same(whole, &other) && !same(&other, whole), "{at} of {length}");
            }
        }
    }

    #[test]
    fn a_byte_that_stops_is_never_passed() {
        for at in 0..24 {
            for byte in 0..=u8::MAX {
                let mut text = [b'a'; 24];
                text[at] = byte;
                let is_plain = (b' '..0x80).contains(&byte) && byte != b'<' && byte != b'&';
                assert_eq!(plain(&text, [b'<', b'&']), if is_plain { 24 } else { at / 8 * 8 }, "{byte} at {at}");
            }
        }
        assert_eq!((plain(b"1234567", []), plain(b"12345678", []), plain(b"", [b'1'])), (0, 8, 0));
    }
}
