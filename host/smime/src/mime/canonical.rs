//! The canonical form of text for signing: CRLF line ends (RFC 8551, section 3.1.1).

/// Bytes of text that are converted at once: few enough for the processor's first cache.
const BLOCK: usize = 4096;
/// Bytes that are copied and searched for a line end together.
const STEP: usize = 16;

/// Calls `take` with the canonical form of `text`, block after block. A CR before an LF stays as it is.
pub(crate) fn canonical(text: &[u8], mut take: impl FnMut(&[u8])) {
    // The first byte is the last one of the block before.
    let mut block = [0; 1 + 2 * BLOCK];
    for piece in text.chunks(BLOCK) {
        let end = convert(piece, &mut block);
        take(block.get(1..end).unwrap_or_default());
        block[0] = piece.last().copied().unwrap_or_default();
    }
}

/// Writes the canonical form of `piece` into `block`, after its first byte; returns where it ends.
///
/// Copies without knowing where the line ends, and writes the next bytes over what it copied too much: with short lines,
/// finding each end before copying the line takes twice as long.
fn convert(piece: &[u8], block: &mut [u8; 1 + 2 * BLOCK]) -> usize {
    let (mut from, mut to) = (0, 1);
    while let Some(step) = piece.get(from..).and_then(|rest| rest.first_chunk::<STEP>())
        && let Some(target) = block.get_mut(to..).and_then(|rest| rest.first_chunk_mut::<STEP>())
    {
        *target = *step;
        match line_end(step) {
            None => (from, to) = (from + STEP, to + STEP),
            Some(at) => {
                to = end_line(block, to + at);
                from += at + 1;
            }
        }
    }
    for &byte in piece.get(from..).unwrap_or_default() {
        if byte == b'\n' {
            to = end_line(block, to);
        } else {
            put(block, to, &[byte]);
            to += 1;
        }
    }
    to
}

/// Ends the line before `at`; returns where the next one begins.
fn end_line(block: &mut [u8], at: usize) -> usize {
    let end: &[u8] = if block.get(at - 1) == Some(&b'\r') { b"\n" } else { b"\r\n" };
    put(block, at, end);
    at + end.len()
}

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = block.get_mut(at..at + bytes.len()) {
        target.copy_from_slice(bytes);
    }
}

/// The place of the first LF.
fn line_end(step: &[u8; STEP]) -> Option<usize> {
    const EACH: u128 = u128::MAX / 0xFF;
    const LOW: u128 = EACH * 0x7F;
    // An LF becomes 0, whose highest bit alone stays 0: the addition sets it in every other byte, and carries into none.
    let other = u128::from_le_bytes(*step) ^ (EACH * 0x0A);
    let ends = !(((other & LOW) + LOW) | other | LOW);
    (ends != 0).then(|| ends.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encoding::to_crlf;
    use super::*;

    /// The canonical form, made byte by byte.
    fn reference(text: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        for &byte in text {
            if byte == b'\n' && whole.last() != Some(&b'\r') {
                whole.push(b'\r');
            }
            whole.push(byte);
        }
        whole
    }

    #[test]
    fn line_ends_become_crlf_once() {
        assert_eq!(to_crlf(b"a\nb\r\n\nc\rd"), b"a\r\nb\r\n\r\nc\rd");
        assert_eq!(to_crlf(b""), b"");
        assert_eq!(to_crlf(b"\n\n\r\n"), b"\r\n\r\n\r\n");
    }

    #[test]
    fn line_ends_at_the_edge_of_a_block_are_converted_once() {
        for around in BLOCK - 70..BLOCK + 70 {
            for end in ["\n", "\r\n", "\r", "\n\n", "\r\r\n", "\n\r\n"] {
                let text = ["x".repeat(around), end.to_owned(), "y".repeat(70)].concat().into_bytes();
                assert_eq!(to_crlf(&text), reference(&text), "{around} {end:?}");
            }
        }
        let ends = vec![b'\n'; 3 * BLOCK + 1];
        assert_eq!(to_crlf(&ends), reference(&ends));
    }

    proptest! {
        #[test]
        fn any_bytes_are_converted_as_byte_by_byte(text in "[a\n\r]{0,400}", filler in 0_usize..9000) {
            let text = ["-".repeat(filler), text].concat().into_bytes();
            prop_assert_eq!(to_crlf(&text), reference(&text));
        }
    }
}
