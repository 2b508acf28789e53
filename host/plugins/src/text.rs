//! Text from a guest, escaped for a log, a terminal or a reject file: shortened, and without control characters.

pub(super) use message::text::one_line as clean;

/// The same for a text of several lines, joined by ` | `.
pub(super) fn clean_lines(text: &str, limit: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    clean(&lines.join(" | "), limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_terminal_would_interpret() {
        assert_eq!(clean("a\u{1b}[31mb\nc\td", 100), "a\\u{1b}[31mb\\nc d");
        assert_eq!(clean("a\u{202e}b\u{61c}", 100), "a\\u{202e}b\\u{61c}");
    }

    #[test]
    fn shortens_by_characters() {
        assert_eq!(clean("äöüß", 3), "äöü…");
        assert_eq!(clean("äöü", 3), "äöü");
    }

    #[test]
    fn joins_lines() {
        assert_eq!(clean_lines("one\r\n\ntwo\n", 100), "one | two");
    }
}
