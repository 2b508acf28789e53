//! Record messages in text, JSON and XML, as the stock plugins check them.

use ::records::Finding;
use ::records::records::{self, Rules};

const NOW: i64 = 1_790_000_000;

/// Input: a message in the text format.
pub(crate) fn text(input: &[u8]) -> bool {
    verdicts(input, records::text::check)
}

/// Input: a message in JSON.
pub(crate) fn json(input: &[u8]) -> bool {
    verdicts(input, records::check_json)
}

/// Input: a message in XML.
pub(crate) fn xml(input: &[u8]) -> bool {
    verdicts(input, records::check_xml)
}

/// A check gives the same findings twice, each with a code and a text, and the strict check finds no less than the other.
fn verdicts(input: &[u8], check: impl Fn(&[u8], &Rules) -> Vec<Finding>) -> bool {
    let loose = check(input, &Rules { now: NOW, strict: false });
    let again = check(input, &Rules { now: NOW, strict: false });
    assert_eq!(format!("{loose:?}"), format!("{again:?}"));
    assert!(loose.iter().all(|finding| !finding.code.is_empty() && !finding.text.is_empty()), "{loose:?}");
    let strict = check(input, &Rules { now: NOW, strict: true });
    assert!(strict.len() >= loose.len() || strict.len() >= 100, "strict: {strict:?}; loose: {loose:?}");
    loose.is_empty()
}
