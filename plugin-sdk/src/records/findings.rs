//! Collects what a check finds, within bounds: a message of a million bad records must not make a million findings.

use crate::{Finding, Severity};

/// The findings of one message, in the order they were made.
///
/// Beyond [`Findings::LIMIT`] they are counted only. Whether there was an error is never lost: the last finding, which
/// gives the count, is an error if any finding that was left out was one.
#[derive(Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    errors_left_out: usize,
    others_left_out: usize,
}

impl Findings {
    /// How many findings are kept.
    pub const LIMIT: usize = 100;
    /// How many bytes of a value, or of a field's name, are quoted.
    pub const QUOTED: usize = 200;

    /// No finding yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what `make` makes, which is not called for a finding that is only counted.
    pub fn add(&mut self, severity: Severity, make: impl FnOnce() -> Finding) {
        if self.has_room(severity) {
            self.keep(Finding { severity, ..make() });
        }
    }

    /// Whether another finding is kept; otherwise it is counted. Apart from [`Findings::add`], of which there is one
    /// for each place that calls it.
    #[inline(never)]
    fn has_room(&mut self, severity: Severity) -> bool {
        let left_out = match severity {
            _ if self.kept.len() < Self::LIMIT => return true,
            Severity::Error => &mut self.errors_left_out,
            _ => &mut self.others_left_out,
        };
        *left_out += 1;
        false
    }

    #[inline(never)]
    fn keep(&mut self, finding: Finding) {
        self.kept.push(finding);
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.add(finding.severity, || finding);
    }

    /// Whether any finding so far makes the message invalid.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.errors_left_out > 0 || self.kept.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// All that was kept, and one finding for all that was not.
    #[must_use]
    pub fn finish(mut self) -> Vec<Finding> {
        let left_out = self.errors_left_out + self.others_left_out;
        if left_out > 0 {
            let text = format!("{left_out} more findings are not listed; fix those above first");
            self.kept.push(match self.errors_left_out {
                0 => Finding::warning("message.more-findings", text),
                _ => Finding::error("message.more-findings", text),
            });
        }
        self.kept
    }
}

/// The beginning of `text`, as much of it as a finding quotes.
#[must_use]
pub(crate) fn quoted(text: &str) -> &str {
    if text.len() <= Findings::QUOTED {
        return text;
    }
    let end = text.floor_char_boundary(Findings::QUOTED);
    text.get(..end).unwrap_or_default()
}

/// The words with `between` between them. What `join` does, in a tenth of its code.
#[must_use]
pub(crate) fn listed(words: &[&str], between: &str) -> String {
    let mut list = String::new();
    for (at, word) in words.iter().enumerate() {
        list.push_str(if at > 0 { between } else { "" });
        list.push_str(word);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_beyond_the_limit_still_counts() {
        let mut findings = Findings::new();
        for _ in 0..Findings::LIMIT {
            findings.add(Severity::Warning, || Finding::warning("test.small", "is small"));
        }
        assert!(!findings.any_error());
        findings.add(Severity::Error, || unreachable!("made though it is not kept"));
        assert!(findings.any_error());
        let listed = findings.finish();
        assert_eq!(listed.len(), Findings::LIMIT + 1);
        let last = listed.last().expect("there is one");
        assert_eq!((last.severity, last.code.as_str()), (Severity::Error, "message.more-findings"));
        assert!(last.text.starts_with("1 more"));
    }

    #[test]
    fn a_quotation_ends_between_characters() {
        let long = "é".repeat(Findings::QUOTED);
        assert_eq!(quoted(&long).len(), Findings::QUOTED);
        let odd = format!("x{long}");
        assert_eq!(quoted(&odd).len(), Findings::QUOTED - 1);
    }
}
