//! Frames waiting to be written, combined into as few writes as possible.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Maximum number of pieces in one vectored write.
pub(super) const SLICES: usize = 64;
/// From this many queued bytes on, no further request is taken.
const FULL: usize = 1024 * 1024;
/// Bodies below this many bytes are copied into the shared buffer.
const COPIED_BELOW: usize = 4 * 1024;

/// A queue of bytes. Heads and small bodies share a buffer; large bodies are kept by reference.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    queued: usize,
    /// Total bytes queued and written, to determine when a frame is written.
    pub(super) total_queued: u64,
    pub(super) total_written: u64,
    unflushed: bool,
}

impl Outbox {
    /// Adds one frame.
    pub(super) fn push(&mut self, head: &[u8], body: &Bytes) {
        self.tail.put_slice(head);
        if body.len() < COPIED_BELOW {
            self.tail.put_slice(body);
        } else {
            self.pieces.push_back(self.tail.split().freeze());
            self.pieces.push_back(body.clone());
        }
        self.tail.put_u8(0);
        self.count(head.len() + body.len() + 1);
    }

    /// Adds a heart-beat.
    pub(super) fn push_heart_beat(&mut self) {
        self.tail.put_u8(b'\n');
        self.count(1);
    }

    fn count(&mut self, bytes: usize) {
        self.queued += bytes;
        self.total_queued += bytes as u64;
    }

    /// Whether further requests may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.queued < FULL
    }

    /// Whether everything is written, if not flushed.
    pub(super) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Whether there is nothing to write or to flush.
    pub(super) fn is_idle(&self) -> bool {
        self.queued == 0 && !self.unflushed
    }

    /// Fills `slices` with the next bytes to write and returns how many it filled.
    pub(super) fn slices<'o>(&'o self, slices: &mut [IoSlice<'o>; SLICES]) -> usize {
        let pieces = self.pieces.iter().map(|piece| &piece[..]).chain(std::iter::once(&self.tail[..]));
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces.filter(|piece| !piece.is_empty())) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Removes the first `written` bytes.
    pub(super) fn advance(&mut self, written: usize) {
        self.queued = self.queued.saturating_sub(written);
        self.total_written += written as u64;
        self.unflushed = true;
        let mut left = written;
        while let Some(first) = self.pieces.front_mut() {
            if left < first.len() {
                first.advance(left);
                return;
            }
            left -= first.len();
            self.pieces.pop_front();
        }
        self.tail.advance(left.min(self.tail.len()));
    }

    pub(super) fn flushed(&mut self) {
        self.unflushed = false;
    }

    /// Drops everything, after writing failed.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.tail.clear();
        self.queued = 0;
        self.unflushed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, at_most: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = outbox.slices(&mut slices);
            let joined: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).take(at_most).collect();
            outbox.advance(joined.len());
            wire.extend(joined);
        }
        wire
    }

    #[test]
    fn writes_the_same_bytes_for_every_size_of_writes() {
        for at_most in [1, 2, 4095, 4096, 4097, usize::MAX] {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for length in [0, 1, 4095, 4096, 9000, 3] {
                let body = Bytes::from(vec![b'b'; length]);
                outbox.push(b"HEAD\n\n", &body);
                expected.extend_from_slice(b"HEAD\n\n");
                expected.extend_from_slice(&body);
                expected.push(0);
            }
            outbox.push_heart_beat();
            expected.push(b'\n');
            assert_eq!(drain(&mut outbox, at_most), expected, "{at_most}");
            assert_eq!(outbox.total_queued, outbox.total_written);
        }
    }

    #[test]
    fn has_no_room_above_a_megabyte() {
        let mut outbox = Outbox::default();
        outbox.push(b"", &Bytes::from(vec![0; FULL]));
        assert!(!outbox.has_room());
        outbox.advance(2);
        assert!(outbox.has_room());
    }
}
