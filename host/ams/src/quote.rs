//! Text of a server, escaped for an error message or a log line, without the token.

use crate::secret::Token;

/// Maximum number of characters shown of a server's text.
const SHOWN: usize = 300;

/// `text` as [`message::text::quoted`] shows it, with `[token]` in place of `secret`.
pub(crate) fn quoted(text: &[u8], secret: Option<&Token>) -> String {
    let hidden = secret.map(|secret| String::from_utf8_lossy(text).replace(secret.reveal(), "[token]"));
    message::text::quoted(hidden.as_deref().map_or(text, str::as_bytes), SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_hidden_also_where_the_cut_would_leave_a_part_of_it() {
        let token = Token::new("s3cr3t-t0k3n").unwrap();
        assert_eq!(quoted(b"x-api-key: s3cr3t-t0k3n!", Some(&token)), "x-api-key: [token]!");
        let long = format!("{}s3cr3t-t0k3n", "a".repeat(SHOWN - 6));
        assert!(!quoted(long.as_bytes(), Some(&token)).contains("s3c"));
    }
}
