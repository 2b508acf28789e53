//! What is wrong with a configuration: every mistake at once, each with its place, its key and the remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake, printed as `FILE:LINE: KEY: what is wrong; what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The configuration file.
    pub file: PathBuf,
    /// From 1; absent where the file as a whole, or a default that it does not mention, is at fault.
    pub line: Option<usize>,
    /// The whole key, such as `send.cpu.window`; empty for a mistake of the TOML syntax.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Mistake {
    /// One of the file as a whole.
    pub fn of_file(file: &Path, complaint: Complaint) -> Self {
        let Complaint { problem, remedy } = complaint;
        Self { file: file.to_owned(), line: None, key: String::new(), problem, remedy }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}; {}", self.problem, self.remedy)
    }
}

/// All mistakes of one configuration, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Mistake>);

impl ConfigErrors {
    /// Sorts `mistakes` by their place.
    pub fn new(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|a, b| {
            let last_if_absent = |m: &Mistake| m.line.unwrap_or(usize::MAX);
            last_if_absent(a).cmp(&last_if_absent(b)).then_with(|| a.key.cmp(&b.key))
        });
        mistakes.dedup();
        Self(mistakes)
    }

    /// The mistakes, in the order of the file.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    /// One line for each mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What is wrong with a value and what to do, before its place is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    pub problem: String,
    pub remedy: String,
}

/// Shorthand for a [`Complaint`].
pub fn complain(problem: impl Into<String>, remedy: impl Into<String>) -> Complaint {
    Complaint { problem: problem.into(), remedy: remedy.into() }
}

/// The one of `known` nearest to `word`, if it is near enough to be what was meant.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| (edits(&word.to_lowercase().replace('_', "-"), candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance: insertions, deletions and replacements of one character.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((y, above), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(x != *y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest_key_and_nothing_far_off() {
        let known = ["destination", "queue", "window", "max-payload"];
        assert_eq!(nearest("destinaton", known), Some("destination"));
        assert_eq!(nearest("max_payload", known), Some("max-payload"));
        assert_eq!(nearest("Window", known), Some("window"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
