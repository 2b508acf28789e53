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

#[cfg(test)]
mod tests {
    use super::*;

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
