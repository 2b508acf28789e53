//! The token, which must be seen by AMS alone.

use std::fmt;

use bytes::Bytes;
use hyper::header::HeaderValue;
use zeroize::Zeroizing;

/// A token of AMS. Its memory is cleared when the last copy is dropped; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

/// A text that cannot be a token. It is not shown, since it may be one with a typing error.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is empty or has a character that cannot be sent: only visible ASCII characters can")]
pub struct InvalidToken;

impl Token {
    /// The text as a token. White space around it, such as the line end of a file, is left out.
    ///
    /// # Errors
    /// [`InvalidToken`] where it is empty or has a character other than the visible ones of ASCII.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        let cleared = Bytes::from_owner(Zeroizing::new(text.as_bytes().to_vec()));
        let mut value = HeaderValue::from_maybe_shared(cleared).map_err(|_| InvalidToken)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The value of `x-api-key`, marked as sensitive.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The token itself, to be looked for in foreign text.
    pub(crate) fn reveal(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new(" s3cr3t\n").unwrap();
        assert_eq!(token.reveal(), "s3cr3t");
        assert_eq!(format!("{token:?}"), "Token([hidden])");
        assert!(token.header().is_sensitive());
        assert_eq!(format!("{:?}", token.header()), "Sensitive");
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_refused_without_showing_it() {
        for bad in ["", " \n", "a b", "a\nb", "tökén", "a\0"] {
            let said = Token::new(bad).unwrap_err().to_string();
            assert_eq!(
                said,
                "the token is empty or has a character that cannot be sent: only visible ASCII characters can"
            );
        }
    }
}
