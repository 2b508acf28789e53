//! Text from outside made safe for a log, a terminal or a reject file.
//!
//! A terminal acts on control characters, and marks of direction make one name look like another. Whatever a peer, a plugin
//! or a file says is escaped with the functions here before it is shown: [`escaped`] for text, [`escaped_json`] for what may
//! hold JSON, [`one_line`] for a text that may be long, [`quoted`] for bytes. They decide by [`is_unsafe`], and by nothing else.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character acts on what shows it: a control character (C0, DEL, C1), the line and the paragraph separator, and
/// the marks that change the direction of text (Unicode's `Bidi_Control`).
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    let directs = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The text on one line, with `\n` and `\u{1b}` in place of unsafe characters.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, is_unsafe, |c, out| out.extend(c.escape_default()))
}

/// The text on one line, with `\u001b` in place of unsafe characters, which is also valid inside a string of JSON. A tab stays:
/// in JSON it is escaped already, and in a line it does no harm.
#[must_use]
pub fn escaped_json(text: &str) -> Cow<'_, str> {
    replaced(
        text,
        |c| is_unsafe(c) && c != '\t',
        |c, out| {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        },
    )
}

/// The first `limit` characters of the text, as [`escaped`] writes them, with a space for each tab and `…` where more follows.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let end = text.char_indices().nth(limit).map(|(at, _)| at);
    let shown = end.and_then(|end| text.get(..end)).unwrap_or(text);
    let mut line = escaped(&shown.replace('\t', " ")).into_owned();
    if end.is_some() {
        line.push('…');
    }
    line
}

/// As [`one_line`], of bytes: white space at both ends is left out, and what is not UTF-8 is replaced.
#[must_use]
pub fn quoted(bytes: &[u8], limit: usize) -> String {
    let bytes = bytes.trim_ascii();
    // No character is longer than four bytes: however long the text is, only its beginning is decoded.
    let beginning = limit.saturating_add(1).saturating_mul(4);
    let text = String::from_utf8_lossy(bytes.get(..beginning).unwrap_or(bytes));
    one_line(text.trim(), limit)
}

/// The text; nothing where it is empty, so that a log line leaves the field out.
#[must_use]
pub fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn replaced(text: &str, is_unsafe: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = text.find(&is_unsafe) else { return Cow::Borrowed(text) };
    let (safe, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(safe);
    for c in rest.chars() {
        if is_unsafe(c) { escape(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control characters, separators and marks of direction, by their numbers in Unicode.
    fn listed() -> Vec<char> {
        let controls = (0..=0x1f).chain(0x7f..=0x9f);
        let separators = [0x2028, 0x2029];
        let directions =
            [0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069];
        controls.chain(separators).chain(directions).map(|number| char::from_u32(number).unwrap()).collect()
    }

    #[test]
    fn every_control_character_and_direction_mark_is_unsafe_and_nothing_else() {
        let mut found: Vec<char> = ('\0'..=char::MAX).filter(|c| is_unsafe(*c)).collect();
        let mut listed = listed();
        found.sort_unstable();
        listed.sort_unstable();
        assert_eq!(found, listed);
        assert_eq!(listed.len(), 79);
    }

    #[test]
    fn no_unsafe_character_is_left_in_any_form() {
        for c in listed() {
            let text = format!("a{c}b");
            for shown in [escaped(&text).into_owned(), one_line(&text, 9)] {
                assert!(shown.starts_with('a') && shown.ends_with('b') && shown.len() > 2, "{shown:?}");
                assert!(!shown.chars().any(is_unsafe), "{shown:?}");
            }
            let json = format!("a\\u{:04x}b", u32::from(c));
            assert_eq!(escaped_json(&text), if c == '\t' { "a\tb" } else { json.as_str() });
        }
    }

    #[test]
    fn text_without_them_is_borrowed() {
        for text in ["", "Zürich, 東京, \u{5e9}\u{5dc}\u{5d5}\u{5dd} 🦀", "a\u{200d}b"] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text));
            assert!(matches!(escaped_json(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn bytes_are_trimmed_decoded_escaped_and_cut_by_characters() {
        assert_eq!(quoted("\n a\n\x1b[31mß\u{202e}\0 ".as_bytes(), 99), "a\\n\\u{1b}[31mß\\u{202e}\\u{0}");
        assert_eq!(quoted(b"a\xffb", 99), "a\u{fffd}b");
        assert_eq!(quoted("äöüß".as_bytes(), 3), "äöü…");
        assert_eq!(quoted("🦀🦀🦀".as_bytes(), 3), "🦀🦀🦀");
        assert_eq!(quoted("🦀🦀🦀🦀🦀".as_bytes(), 3), "🦀🦀🦀…");
        assert_eq!(quoted(&[b' '; 1000], 3), "");
        assert_eq!(quoted(&[b'a'; 100_000_000], 3), "aaa…");
    }

    #[test]
    fn one_line_is_cut_by_characters() {
        assert_eq!(one_line("äöüß", 3), "äöü…");
        assert_eq!(one_line("äöü", 3), "äöü");
        assert_eq!(one_line("a\tb\nc\u{1b}[31m", 100), "a b\\nc\\u{1b}[31m");
        assert_eq!(one_line("a\n\n", 2), "a\\n…");
        assert_eq!(one_line("a", 0), "…");
        assert_eq!(one_line("", 0), "");
    }
}
