//! Text that the signature of a message does not cover: headers outside the signed part, text before, between and after
//! the parts, and the base64 text of the signature.
//!
//! # In an envelope with AES-CBC
//! Such an envelope can be changed without its key. Anyone who puts blocks of it, or of another copy, where any text is
//! accepted, and sees which messages are still opened, learns what these blocks decrypt to: whether their padding is
//! right, if they come last (Vaudenay 2002), or whether there is a line end in them, if they are in a header. So this text
//! has a [fixed](Uncovered::Fixed) form there, which a block of random octets has with a probability below 2^-30. A block
//! that comes from elsewhere makes two such blocks, itself and the one after it.
//!
//! | place | fixed form |
//! |---|---|
//! | headers | `MIME-Version: 1.0`, `Content-Type`, `Content-Transfer-Encoding`, `Content-Disposition`; no comments |
//! | parameters of the content type | `boundary`, `protocol`, `micalg`, `smime-type`, `name` |
//! | names in them | letters, digits, `-`, `.` and `_`, fewer than a block has octets |
//! | before the first part | white space and [`PREAMBLE`], which OpenSSL and Python's cryptography write |
//! | after the last part | white space |
//! | a signature or signed message | base64 without other characters; not binary |
//!
//! What the decoded signature contains beside it, such as other certificates, is in base64, whose 64 digits and white
//! space a random block has with a probability of about 2^-30, and its lengths fix how much of it there is.

use super::media::{self, Media};
use super::{Entity, MimeError, encoding, short};

/// The text before the first part that OpenSSL writes, and with it SSM, Python's cryptography and Sesame.
pub(crate) const PREAMBLE: &str = "This is an S/MIME signed message";
/// A name is shorter than a block of AES, so that none lies in it as a whole.
const SHORTER_THAN_A_BLOCK: usize = 15;

/// How text that the signature does not cover may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uncovered {
    /// As MIME allows it.
    Any,
    /// In the fixed form only, for a message from an envelope whose cipher is not authenticated.
    Fixed,
}

impl Uncovered {
    /// How many characters that are not base64 a signature may contain.
    pub(super) fn strays(self) -> usize {
        match self {
            Self::Any => encoding::STRAYS_IN_CMS,
            Self::Fixed => 0,
        }
    }

    /// Checks the headers of a message or of a signature.
    pub(super) fn check_headers(self, entity: &Entity<'_>) -> Result<(), MimeError> {
        if self == Self::Any {
            return Ok(());
        }
        for (name, value) in &entity.headers {
            let fixed = match name.as_str() {
                "mime-version" => value == "1.0",
                "content-type" => is_fixed_type(value),
                "content-transfer-encoding" => {
                    ["7bit", "8bit", "binary", "base64"].iter().any(|encoding| value.eq_ignore_ascii_case(encoding))
                }
                "content-disposition" => is_fixed_disposition(value),
                _ => false,
            };
            if !fixed {
                return Err(MimeError::Uncovered { what: format!("the header {:?}", short(name)) });
            }
        }
        Ok(())
    }

    /// Checks the text before the first and after the last part.
    pub(super) fn check_around(self, before: &[u8], after: &[u8]) -> Result<(), MimeError> {
        let wrong = |what: &str| Err(MimeError::Uncovered { what: what.to_owned() });
        let before = trim(before);
        if self == Self::Any {
            Ok(())
        } else if !before.is_empty() && before != PREAMBLE.as_bytes() {
            wrong("text before the first part")
        } else if !trim(after).is_empty() {
            wrong("text after the last part")
        } else {
            Ok(())
        }
    }

    /// Checks that CMS is not in binary.
    pub(super) fn check_binary(self) -> Result<(), MimeError> {
        match self {
            Self::Any => Ok(()),
            Self::Fixed => Err(MimeError::Uncovered { what: "a signature that is not in base64".to_owned() }),
        }
    }
}

/// Without white space at both ends.
fn trim(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let (Some(first), Some(last)) = (text.iter().position(is_text), text.iter().rposition(is_text)) else {
        return &[];
    };
    text.get(first..=last).unwrap_or_default()
}

/// The type itself is one that the caller knows.
fn is_fixed_type(value: &str) -> bool {
    let Ok(media) = Media::parse(value) else { return false };
    let is_multipart = media.kind == "multipart/signed";
    !value.contains('(')
        && media.parameters().all(|(name, value)| match name {
            // It stands in each delimiter.
            "boundary" => is_multipart,
            "protocol" => media::is_signature(&value.to_ascii_lowercase()),
            "micalg" | "smime-type" | "name" => is_short_name(value),
            _ => false,
        })
}

fn is_fixed_disposition(value: &str) -> bool {
    let bare: String = value.chars().filter(|character| !matches!(character, ' ' | '\t' | '"')).collect();
    let bare = bare.to_ascii_lowercase();
    bare.strip_prefix("attachment")
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix(";filename=").is_some_and(is_short_name))
}

fn is_short_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    name.len() <= SHORTER_THAN_A_BLOCK && name.bytes().all(legal)
}
