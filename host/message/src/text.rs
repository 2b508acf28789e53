//! Text in log lines.

/// The value of a log field; absent, so that the field is left out, where there is nothing to say.
#[must_use]
pub fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
