//! Text in log lines.

/// The text; nothing where it is empty, so that a log line leaves the field out.
#[must_use]
pub fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
