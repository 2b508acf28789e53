//! Base64 in lines of 64 characters, as OpenSSL writes it.

use base64_simd::{AsOut, STANDARD};

/// Characters of a line, and the bytes they encode.
const LINE: usize = 64;
const LINE_BYTES: usize = LINE / 4 * 3;
/// Lines that are encoded at once: few enough for the processor's first cache.
const LINES: usize = 96;

/// The size of this many bytes as base64 in lines.
pub(crate) fn base64_size(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4 + bytes.div_ceil(LINE_BYTES)
}

/// Appends `bytes` to `text` as base64, each line ended by LF.
pub(crate) fn append_base64(bytes: &[u8], text: &mut Vec<u8>) {
    text.reserve(base64_size(bytes.len()));
    let mut encoded = [0; LINES * LINE];
    for chunk in bytes.chunks(LINES * LINE_BYTES) {
        let (lines, rest) = STANDARD.encode(chunk, encoded.as_mut_slice().as_out()).as_chunks::<LINE>();
        for line in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        if !rest.is_empty() {
            text.extend_from_slice(rest);
            text.push(b'\n');
        }
    }
}

/// Appends bytes to a text as base64 while they are made.
#[derive(Debug)]
pub(crate) struct Base64Lines<'a> {
    text: &'a mut Vec<u8>,
    waiting: Vec<u8>,
}

impl<'a> Base64Lines<'a> {
    pub(crate) fn new(text: &'a mut Vec<u8>) -> Self {
        Self { text, waiting: Vec::with_capacity(2 * LINES * LINE_BYTES) }
    }

    /// The bytes that wait to be encoded; append to them, and call [`write_lines`](Self::write_lines).
    pub(crate) fn waiting(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Encodes what makes whole lines.
    pub(crate) fn write_lines(&mut self) {
        let (lines, rest) = self.waiting.as_chunks::<LINE_BYTES>();
        let kept = rest.len();
        append_base64(lines.as_flattened(), self.text);
        self.waiting.drain(..self.waiting.len() - kept);
    }

    /// Encodes the rest.
    pub(crate) fn finish(self) {
        append_base64(&self.waiting, self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use proptest::prelude::*;

    /// What the `base64` crate writes.
    fn reference(bytes: &[u8]) -> Vec<u8> {
        let lines = bytes.chunks(LINE_BYTES);
        lines.flat_map(|line| (base64::engine::general_purpose::STANDARD.encode(line) + "\n").into_bytes()).collect()
    }

    #[test]
    fn every_length_is_encoded_as_by_another_implementation() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|at| (at.wrapping_mul(0x9E37_79B1) >> 24) as u8).collect();
        for length in (0..400).chain(LINES * LINE_BYTES - 50..LINES * LINE_BYTES + 100).chain([bytes.len()]) {
            let mut text = b"before".to_vec();
            append_base64(&bytes[..length], &mut text);
            assert_eq!(text[6..], reference(&bytes[..length]), "{length}");
            assert_eq!(text.len() - 6, base64_size(length), "{length}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_encoded_as_a_whole(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..9)) {
            let mut text = Vec::new();
            let mut lines = Base64Lines::new(&mut text);
            for piece in &pieces {
                lines.waiting().extend_from_slice(piece);
                lines.write_lines();
            }
            lines.finish();
            prop_assert_eq!(text, reference(&pieces.concat()));
        }
    }
}
