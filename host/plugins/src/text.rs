//! Text from a guest, escaped for a log, a terminal or a reject file: shortened, and without control characters.

/// `text` with control characters and the marks that turn the direction of writing escaped, at most `limit` characters.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit) + 8);
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        match c {
            '\t' => out.push(' '),
            c if c.is_control() || turns_direction(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The same for a text of several lines, joined by ` | `.
pub(super) fn clean_lines(text: &str, limit: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    clean(&lines.join(" | "), limit)
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_terminal_would_interpret() {
        assert_eq!(clean("a\u{1b}[31mb\nc\td", 100), "a\\u{1b}[31mb\\nc d");
        assert_eq!(clean("a\u{202e}b", 100), "a\\u{202e}b");
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
