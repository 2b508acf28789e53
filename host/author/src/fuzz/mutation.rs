//! Random changes of a message: of bytes, of lines, and of the values of records.

use fastrand::Rng;

/// Values that records often get wrong.
const VALUES: [&str; 20] = [
    "",
    " ",
    "-1",
    "0",
    "1e400",
    "NaN",
    "9223372036854775808",
    "18446744073709551616",
    "2026-02-30T25:61:61Z",
    "1969-12-31T23:59:59Z",
    "\0",
    "\u{feff}",
    "e\u{301}\u{fb03}",
    "null",
    "true",
    "{}",
    "[[[[",
    "<a/>",
    "&amp;",
    "%s%n",
];
/// How long a value may become, in characters.
const LONG: usize = 5_000;
/// Changes of one message at most.
const CHANGES: usize = 4;

/// Makes the changes; the same seed makes the same ones.
pub(super) struct Mutator {
    random: Rng,
    messages: Vec<Vec<u8>>,
    longest: usize,
}

impl Mutator {
    pub(super) fn new(seed: u64, messages: Vec<Vec<u8>>, longest: usize) -> Self {
        Self { random: Rng::with_seed(seed), messages, longest }
    }

    /// One of the subjects.
    pub(super) fn choose<'a, T>(&mut self, all: &'a mut [T]) -> Option<&'a mut T> {
        let at = self.random.usize(..all.len().max(1));
        all.get_mut(at)
    }

    /// A changed message, never empty and no longer than a channel takes.
    pub(super) fn mutate(&mut self, message: &[u8]) -> Vec<u8> {
        let mut changed = message.to_vec();
        for _ in 0..self.random.usize(1..=CHANGES) {
            changed = match self.random.u8(..3) {
                0 => self.bytes(changed),
                1 => self.lines(&changed),
                _ => self.value(changed),
            };
            changed.truncate(self.longest);
        }
        if changed.is_empty() { vec![self.random.u8(..)] } else { changed }
    }

    /// A range of the message.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let (one, other) = (self.random.usize(..=length), self.random.usize(..=length));
        // Most are short.
        let end = one.max(other).min(one.min(other).saturating_add(1 << self.random.u8(..12)));
        (one.min(other), end)
    }

    fn bytes(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        let (start, end) = self.range(message.len());
        match self.random.u8(..5) {
            0 => {
                if let Some(byte) = message.get_mut(start) {
                    *byte ^= 1 << self.random.u8(..8);
                }
            }
            1 => message.insert(start, self.random.u8(..)),
            2 => drop(message.drain(start..end)),
            3 => {
                let again = message.get(start..end).unwrap_or_default().to_vec();
                drop(message.splice(end..end, again));
            }
            _ => message.truncate(start),
        }
        message
    }

    fn lines(&mut self, message: &[u8]) -> Vec<u8> {
        let mut lines: Vec<&[u8]> = message.split_inclusive(|byte| *byte == b'\n').collect();
        if lines.is_empty() {
            return Vec::new();
        }
        let (at, other) = (self.random.usize(..lines.len()), self.random.usize(..lines.len()));
        match self.random.u8(..4) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(other, lines.get(at).copied().unwrap_or_default()),
            2 => lines.swap(at, other),
            _ => {
                // Goes on as another message does.
                let from = self.random.usize(..self.messages.len().max(1));
                let tail = self.messages.get(from).map(Vec::as_slice).unwrap_or_default();
                let cut = self.random.usize(..=tail.len());
                lines.truncate(at);
                lines.extend(tail.get(cut..));
            }
        }
        lines.concat()
    }

    /// Replaces what stands between two marks of a format, or a number.
    fn value(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        let mark = |byte: &u8| b" :=,;|\"'<>[]{}\n".contains(byte);
        let from = self.random.usize(..=message.len());
        let rest = message.get(from..).unwrap_or_default();
        let start = from + rest.iter().position(mark).map_or(0, |at| at + 1);
        let rest = message.get(start..).unwrap_or_default();
        let end = start + rest.iter().position(mark).unwrap_or(rest.len());
        let value = match self.random.usize(..=VALUES.len()) {
            at if at < VALUES.len() => VALUES.get(at).copied().unwrap_or_default().as_bytes().to_vec(),
            _ => vec![*self.random.choice(b"a9-. \xc3").unwrap_or(&b'a'); self.random.usize(1..LONG)],
        };
        drop(message.splice(start..end, value));
        message
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_changes_and_no_message_is_empty_or_too_long() {
        let messages = vec![b"Site: A\nCpu: 5\n%%\n".to_vec(), b"{\"a\": [1, \"b\"]}".to_vec()];
        let changed = |seed| {
            let mut mutator = Mutator::new(seed, messages.clone(), 4096);
            (0..2000).map(|n| mutator.mutate(&messages[n % 2])).collect::<Vec<_>>()
        };
        let one = changed(1);
        assert_eq!(one, changed(1));
        assert_ne!(one, changed(2));
        assert!(one.iter().all(|message| !message.is_empty() && message.len() <= 4096));
        assert!(one.iter().collect::<HashSet<_>>().len() > 1000, "most differ");
        assert!(one.iter().any(|message| message.windows(4).any(|part| part == b": -1")), "values are replaced");
    }
}
