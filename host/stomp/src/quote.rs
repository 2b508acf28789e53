//! Text of a peer, escaped for an error message or a log line.

use message::text::escaped;

/// Maximum number of bytes shown of a peer's text.
pub(crate) const SHOWN: usize = 4096;

/// `text` on one line: cut at [`SHOWN`] bytes, unsafe characters escaped, bytes that are not UTF-8 replaced.
pub(crate) fn quoted(text: &[u8]) -> String {
    let cut = text.get(..SHOWN);
    let shown = String::from_utf8_lossy(cut.unwrap_or(text));
    let mut line = escaped(shown.trim()).into_owned();
    if cut.is_some_and(|cut| cut.len() < text.len()) {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_control_characters_and_keeps_the_rest() {
        assert_eq!(quoted("a\n\x1b[31mß\u{202e}\0 ".as_bytes()), "a\\n\\u{1b}[31mß\\u{202e}\\u{0}");
        assert_eq!(quoted("\u{61c}a\u{2066}".as_bytes()), "\\u{61c}a\\u{2066}");
        assert_eq!(quoted(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn cuts_a_long_text() {
        assert_eq!(quoted(&[b'a'; SHOWN]).len(), SHOWN);
        assert_eq!(quoted(&[b'a'; 100_000_000]).len(), SHOWN + '…'.len_utf8());
    }
}
