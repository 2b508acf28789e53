//! Line ends, base64 and quoted-printable. `base64_lines` encodes base64, `canonical` converts line ends block by block.
//!
//! The quoted-printable output survives an SSM receiver, which strips white space at both ends of the text, splits it
//! into lines as Python does and decodes it with `quopri`. The decoder behaves as `quopri`, so that both receivers
//! agree.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memchr_iter};

use super::MimeError;
use super::canonical::canonical;

/// The longest line of quoted-printable (RFC 2045, section 6.7).
const QUOTED_LINE: usize = 76;

/// Ends every line with CRLF, the canonical form for signing (RFC 8551, section 3.1.1).
pub(crate) fn to_crlf(text: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(text.len() + text.len() / 16 + 64);
    canonical(text, |block| whole.extend_from_slice(block));
    whole
}

/// Ends every line with LF if all of them end with CRLF. Text with a bare LF is not canonical and is returned
/// unchanged.
pub(crate) fn to_lf(text: &[u8]) -> Vec<u8> {
    if memchr(b'\r', text).is_none() {
        return text.to_vec();
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memchr_iter(b'\n', text) {
        let Some(line) = text.get(from..at).and_then(|line| line.strip_suffix(b"\r")) else { return text.to_vec() };
        plain.extend_from_slice(line);
        plain.push(b'\n');
        from = at + 1;
    }
    plain.extend_from_slice(text.get(from..).unwrap_or_default());
    plain
}

/// How many characters outside its alphabet the base64 of a CMS message may contain. RFC 2045 section 6.8 requires
/// decoders to ignore them, although they indicate a transmission error. In CMS they cannot hide a change, since the
/// structure must end at the end of the text and is covered by signature or cipher. In signed content nothing else
/// detects a change, so the limit there is 0.
pub(crate) const STRAYS_IN_CMS: usize = 16;

/// Decodes base64. White space is ignored, as are up to `strays` other characters outside the alphabet, but never `-`
/// and `_`, which are digits of another base64 alphabet. A line after a blank one that looks like the start of another
/// message is an error, since that message would be lost.
pub(crate) fn from_base64(text: &[u8], strays: usize) -> Result<Vec<u8>, MimeError> {
    let mut packed = pack(text)?;
    match base64_simd::STANDARD.decode_inplace(&mut packed).map(|decoded| decoded.len()) {
        Ok(length) => {
            packed.truncate(length);
            Ok(packed)
        }
        // It may have been decoded in part.
        Err(_) => from_lenient_base64(&pack(text)?, strays),
    }
}

/// The lines of base64 without the white space at both ends, joined.
fn pack(text: &[u8]) -> Result<Vec<u8>, MimeError> {
    let mut packed = Vec::with_capacity(text.len());
    let (mut after_blank, mut from) = (false, 0);
    for end in memchr_iter(b'\n', text).chain([text.len()]) {
        let line = text.get(from..end).unwrap_or_default().trim_ascii();
        from = end + 1;
        if line.is_empty() {
            after_blank = !packed.is_empty();
        } else if after_blank && begins_message(line) {
            return Err(MimeError::Trailing);
        } else {
            packed.extend_from_slice(line);
        }
    }
    Ok(packed)
}

/// Whether a line is a header or a delimiter and therefore not base64.
fn begins_message(line: &[u8]) -> bool {
    let name = line.split(|&byte| byte == b':').next().filter(|name| name.len() < line.len());
    let is_name =
        |name: &[u8]| !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
    line.starts_with(b"--") || name.is_some_and(is_name)
}

fn from_lenient_base64(packed: &[u8], strays: usize) -> Result<Vec<u8>, MimeError> {
    let wrong = |what: String| MimeError::Base64 { what };
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut stray = packed.iter().copied().filter(|byte| !digit(byte) && !byte.is_ascii_whitespace());
    if let Some(first) = stray.next() {
        let others_digits = packed.iter().any(|byte| matches!(byte, b'-' | b'_'));
        let count = stray.count() + 1;
        if others_digits || count > strays {
            let first = char::from(first);
            return Err(wrong(format!("has {count} characters outside its alphabet, the first is {first:?}")));
        }
    }
    let tidy: Vec<u8> = packed.iter().copied().filter(|byte| digit(byte)).collect();
    let padding = memchr(b'=', &tidy).map_or(&[][..], |at| tidy.get(at..).unwrap_or_default());
    if padding.iter().any(|&byte| byte != b'=') {
        return Err(wrong("continues after the padding `=`".to_owned()));
    }
    STANDARD.decode(&tidy).map_err(|_| {
        let count = tidy.len();
        wrong(format!("is truncated or damaged: it has {count} characters, including padding, and an invalid end"))
    })
}

/// Encodes `payload` in quoted-printable with LF line ends.
///
/// A line end at the end of the payload is written as `=0A`, so that no relay can strip it. With `hide_slash` every `/`
/// is also encoded: an SSM receiver treats a text that mentions an encrypted media type as encrypted.
pub(crate) fn append_quoted_printable(payload: &[u8], hide_slash: bool, text: &mut Vec<u8>) {
    text.reserve(payload.len() + payload.len() / 2);
    let mut column = 0;
    let mut rest = payload.iter().peekable();
    while let Some(&byte) = rest.next() {
        let at_line_end = rest.peek().is_none_or(|&&next| next == b'\n');
        if byte == b'\n' && rest.peek().is_some() {
            text.push(b'\n');
            column = 0;
            continue;
        }
        let plain = match byte {
            b'=' => false,
            b'/' => !hide_slash,
            b' ' | b'\t' => !at_line_end,
            _ => byte.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        // One column is reserved for the `=` of a soft line break.
        if column + width > QUOTED_LINE - 1 {
            text.extend_from_slice(b"=\n");
            column = 0;
        }
        if plain {
            text.push(byte);
        } else {
            text.push(b'=');
            text.push(hex_digit(byte >> 4));
            text.push(hex_digit(byte & 0x0F));
        }
        column += width;
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

/// Decodes quoted-printable, with LF line ends. An `=` that does not begin an escape is kept, as in `quopri`.
pub(crate) fn from_quoted_printable(text: &[u8]) -> Vec<u8> {
    let text = to_lf(text);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some(at) = memchr(b'=', rest) {
        let (before, encoded) = rest.split_at(at);
        decoded.extend_from_slice(before);
        rest = match *encoded {
            [_, b'\n', ref after @ ..] => after,
            [_, high, low, ref after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push((nibble(high) << 4) | nibble(low));
                after
            }
            // A soft line break at the end of the text.
            [_] => &[],
            [first, ref after @ ..] => {
                decoded.push(first);
                after
            }
            [] => &[],
        };
    }
    decoded.extend_from_slice(rest);
    decoded
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::base64_lines::append_base64;
    use super::*;

    fn quoted(payload: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        append_quoted_printable(payload, false, &mut text);
        text
    }

    #[test]
    fn only_canonical_text_is_converted_to_lf() {
        assert_eq!(to_lf(b"a\r\n\r\nb"), b"a\n\nb");
        assert_eq!(to_lf(b"a\r\nb\nc"), b"a\r\nb\nc");
        assert_eq!(to_lf(b"a\rb\r\n"), b"a\rb\n");
    }

    #[test]
    fn quoted_printable_protects_white_space_at_line_ends() {
        assert_eq!(quoted(b"a \nb\t\n"), b"a=20\nb=09=0A");
        assert_eq!(quoted("Universit\u{e4}t=1".as_bytes()), b"Universit=C3=A4t=3D1");
        assert_eq!(quoted(b"a\r\nb"), b"a=0D\nb");
        assert_eq!(from_quoted_printable(b"a=\r\nb=3D=zz=\r\n"), b"ab==zz");
    }

    fn base64(text: &[u8]) -> Result<Vec<u8>, MimeError> {
        from_base64(text, 0)
    }

    #[test]
    fn base64_may_contain_white_space_anywhere() {
        for text in
            ["\r\nYWJj\r\nZGU=\r\n\r\n", "YW Jj\n\tZG U=", "YWJj\n\nZGU=\n", "Y\nW\n\n \nJ\nj ZGU =\n", "YWJjZGU=\x0c"]
        {
            assert_eq!(base64(text.as_bytes()), Ok(b"abcde".to_vec()), "{text:?}");
        }
    }

    #[test]
    fn a_message_after_base64_is_distinguished_from_a_blank_line_in_it() {
        for second in
            ["MIME-Version: 1.0\n", "Content-Type: text/plain\n\nx", "--b\nContent-Type: text/plain\n", "subject : x\n"]
        {
            let text = format!("YWJj\n\n{second}");
            let expected = if second.starts_with("subject") { "outside its alphabet" } else { "another message" };
            let said = base64(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(expected), "{text:?}: {said}");
        }
    }

    #[test]
    fn stray_characters_are_few_and_never_digits_of_another_alphabet() {
        let stray = |text: &str, most| from_base64(text.as_bytes(), most);
        assert_eq!(stray("YW!Jj\nZ*GU=\n", 2), Ok(b"abcde".to_vec()));
        assert_eq!(stray("YWJj\u{a0}ZGU=", 2), Ok(b"abcde".to_vec()));
        for (text, most) in [("YW!Jj", 0), ("Y!W!J!j", 2), ("YW-JjZGVm", 2), ("YWJ_", 2), ("Y-W_J.j", 16)] {
            let said = stray(text, most).unwrap_err().to_string();
            assert!(
                said.starts_with("the base64 text has ") && said.contains("outside its alphabet"),
                "{text}: {said}"
            );
        }
    }

    #[test]
    fn errors_of_base64_are_specific() {
        let said = |text: &[u8]| from_base64(text, STRAYS_IN_CMS).unwrap_err().to_string();
        assert_eq!(said(b"YQ==YQ==\n"), "the base64 text continues after the padding `=`");
        assert!(said(b"YWJj=\n").starts_with("the base64 text is truncated or damaged: it has 5 characters"));
        assert!(said(b"YWJjZ\n").contains("it has 5 characters"));
        assert!(said(b"YWJjZB==").contains("invalid end"), "unused bits are set");
    }

    proptest! {
        #[test]
        fn quoted_printable_round_trips(payload in proptest::collection::vec(any::<u8>(), 0..600), hide in any::<bool>()) {
            let mut text = Vec::new();
            append_quoted_printable(&payload, hide, &mut text);
            prop_assert!(text.split(|&byte| byte == b'\n').all(|line| line.len() <= QUOTED_LINE && line.last() != Some(&b' ')));
            prop_assert_eq!(from_quoted_printable(&to_crlf(&text)), payload);
        }

        #[test]
        fn base64_round_trips(payload in proptest::collection::vec(any::<u8>(), 1..600)) {
            let mut text = Vec::new();
            append_base64(&payload, &mut text);
            prop_assert_eq!(from_base64(&to_crlf(&text), 0).unwrap(), payload);
        }

        #[test]
        fn base64_is_decoded_as_by_another_library(text in "[A-Za-z0-9+/]{0,200}={0,3}[A-D!-]{0,2}") {
            let other = STANDARD.decode(&text).ok();
            prop_assert_eq!(from_base64(text.as_bytes(), 0).ok(), other);
        }

        #[test]
        fn base64_round_trips_with_white_space_and_a_few_strays(
            payload in proptest::collection::vec(any::<u8>(), 1..200),
            places in proptest::collection::vec((0_usize..300, "[ \t\r\n!*.%\u{7f}]"), 0..12),
        ) {
            let mut text = Vec::new();
            append_base64(&payload, &mut text);
            for (at, inserted) in places {
                let at = at.min(text.len());
                text.splice(at..at, inserted.bytes());
            }
            prop_assert_eq!(from_base64(&text, STRAYS_IN_CMS).unwrap(), payload);
        }

        #[test]
        fn arbitrary_base64_never_panics(text in proptest::collection::vec(any::<u8>(), 0..300), strays in 0_usize..20) {
            if let Ok(decoded) = from_base64(&text, strays) {
                prop_assert!(decoded.len() <= text.len() / 4 * 3 + 3);
            }
        }

        #[test]
        fn text_with_lf_survives_canonicalisation(text in "[ -~\n]{0,200}") {
            prop_assert_eq!(to_lf(&to_crlf(text.as_bytes())), text.as_bytes());
        }
    }
}
