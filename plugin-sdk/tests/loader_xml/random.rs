//! Chance that is the same on every run.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is small")
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }

    /// `text` with one change in its characters, some `snippet` among them.
    pub fn garble(&mut self, text: &str, snippets: &[&str]) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let at = self.below(chars.len() + 1);
        let length = self.below(6);
        match self.below(4) {
            0 => drop(chars.drain(at..(at + length).min(chars.len()))),
            1 => {
                let copy: Vec<char> = chars[at..(at + length).min(chars.len())].to_vec();
                let to = self.below(chars.len() + 1);
                chars.splice(to..to, copy);
            }
            2 => {
                let end = (at + 1).min(chars.len());
                chars.splice(at..end, self.pick(snippets).chars());
            }
            _ => drop(chars.splice(at..at, self.pick(snippets).chars())),
        }
        chars.into_iter().collect()
    }
}
