//! Foreign text made fit for an error message or a log line.

use message::text::one_line;

use crate::secret::Token;

/// How many characters of a foreign text are shown.
pub(crate) const SHOWN: usize = 300;

/// `text` on one line: cut at [`SHOWN`] characters, unsafe characters escaped, bytes that are not UTF-8 replaced, and
/// `[token]` in place of `secret`.
pub(crate) fn quoted(text: &[u8], secret: Option<&Token>) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    match secret {
        Some(secret) if text.contains(secret.reveal()) => one_line(&text.replace(secret.reveal(), "[token]"), SHOWN),
        _ => one_line(text, SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(quoted("a\n\x1b[31mß\u{202e} ".as_bytes(), None), "a\\n\\u{1b}[31mß\\u{202e}");
        assert_eq!(quoted(b"\xff", None), "\u{fffd}");
        assert_eq!(quoted(&[b'a'; 1_000_000], None).chars().count(), SHOWN + 1);
    }

    #[test]
    fn a_token_is_hidden_also_where_the_cut_would_leave_a_part_of_it() {
        let token = Token::new("s3cr3t-t0k3n").unwrap();
        assert_eq!(quoted(b"x-api-key: s3cr3t-t0k3n!", Some(&token)), "x-api-key: [token]!");
        let long = format!("{}s3cr3t-t0k3n", "a".repeat(SHOWN - 6));
        assert!(!quoted(long.as_bytes(), Some(&token)).contains("s3c"));
    }
}
