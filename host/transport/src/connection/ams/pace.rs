//! How many messages a pull asks for: as many as fit into memory and can be stored before the deadline.

use ams::Received;

/// Messages of one pull, at most.
const MOST: u32 = 256;
/// The most of an answer that is read where memory is plenty, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;
/// What surrounds one message in an answer, in bytes: its ids, its time, and blanks.
const AROUND: usize = 1024;

/// The most bytes of an answer to a pull that are read: a quarter of the memory for messages, but always one message of the
/// largest size.
pub(super) fn longest_answer(memory: usize, max_message: usize) -> usize {
    LONGEST_ANSWER.min(memory / 4).max(max_message.saturating_add(4 * AROUND))
}

/// What a message takes of the memory for messages, in bytes.
pub(super) fn cost(message: &Received) -> usize {
    let attributes: usize = message.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    message.data.as_ref().map_or(0, |data| data.len()) + attributes + AROUND
}

/// How many messages to ask for.
#[derive(Debug)]
pub(super) struct Pace {
    /// The most that the receiver takes at a time.
    most: u32,
    /// The most for now.
    limit: u32,
    /// What one message is expected to take of an answer, in bytes.
    size: usize,
    /// The most bytes of an answer that are read.
    answer: usize,
}

impl Pace {
    pub(super) fn new(most: u32, max_message: usize, answer: usize) -> Self {
        let most = most.clamp(1, MOST);
        Self { most, limit: most, size: max_message.saturating_add(AROUND), answer }
    }

    /// How many messages to ask for with so many bytes of memory, and what they are expected to take.
    pub(super) fn ask(&self, available: usize) -> (u32, usize) {
        let fit = u32::try_from(self.answer.min(available) / self.size).unwrap_or(u32::MAX);
        let count = fit.clamp(1, self.limit);
        (count, self.size.saturating_mul(count as usize).min(self.answer))
    }

    /// Learns from the [`cost`] of each message that came.
    pub(super) fn saw(&mut self, costs: impl IntoIterator<Item = usize>) {
        // As base64 they were a third longer.
        if let Some(largest) = costs.into_iter().map(|cost| cost / 3 * 4 + AROUND).max() {
            self.size = largest.max(self.size / 4 * 3);
        }
    }

    /// A pull of so many was too large, or took too long.
    pub(super) fn slower(&mut self, asked: u32) {
        self.limit = (asked / 2).max(1);
    }

    /// A pull of so many brought that many, all of which were stored in time.
    pub(super) fn faster(&mut self, asked: u32, got: usize) {
        if got >= asked as usize {
            self.limit = self.limit.saturating_mul(2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_asks_for_no_more_than_fits() {
        let answer = longest_answer(256 << 20, 1_000_000);
        assert_eq!(answer, 64 << 20);
        let mut pace = Pace::new(128, 1_000_000, answer);
        assert_eq!(pace.ask(usize::MAX).0, 67, "messages of max-message, as long as none was seen");
        assert_eq!(pace.ask(10_000_000).0, 9);
        assert_eq!(pace.ask(0).0, 1, "it waits for the memory of one");
        (0..12).for_each(|_| pace.saw([30_000]));
        let (count, bytes) = pace.ask(usize::MAX);
        assert_eq!(count, 128);
        assert!((128 * 30_000..128 * 60_000).contains(&bytes), "{bytes}");
        pace.saw([700_000, 10]);
        assert!(pace.ask(usize::MAX).0 < 72);
        let little = longest_answer(1 << 20, 65_536);
        assert_eq!(little, 1 << 18);
        assert!(longest_answer(1 << 20, 1_000_000) > 1_000_000);
    }

    #[test]
    fn a_pull_that_is_too_large_or_too_slow_is_halved_and_grows_again_when_full() {
        let mut pace = Pace::new(1000, 1000, 64 << 20);
        assert_eq!(pace.ask(usize::MAX).0, 256);
        for half in [128, 64, 32, 16, 8, 4, 2, 1, 1] {
            pace.slower(pace.ask(usize::MAX).0);
            assert_eq!(pace.ask(usize::MAX).0, half);
        }
        pace.faster(1, 0);
        assert_eq!(pace.ask(usize::MAX).0, 1, "an empty pull shows nothing");
        (0..20).for_each(|_| pace.faster(pace.ask(usize::MAX).0, 256));
        assert_eq!(pace.ask(usize::MAX).0, 256);
    }
}
