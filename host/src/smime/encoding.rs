//! Line ends, base64 and quoted-printable: bytes in, bytes out.
//!
//! The quoted-printable written here survives an SSM receiver, which strips white space at the ends of the text, splits it
//! into lines as Python does and decodes it with `quopri`; the decoder does what `quopri` does, so that both ends agree.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memchr_iter};

use super::mime::MimeError;

/// Base64 characters to a line, as OpenSSL writes them.
const BASE64_LINE: usize = 64;
/// The longest line of quoted-printable (RFC 2045, section 6.7).
const QUOTED_LINE: usize = 76;

/// Ends every line with CRLF: the form that is signed (RFC 8551, section 3.1.1).
pub(super) fn to_crlf(text: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(text.len() + text.len() / 16 + 64);
    let mut from = 0;
    for at in memchr_iter(b'\n', text) {
        let line = text.get(from..at).unwrap_or_default();
        canonical.extend_from_slice(line);
        canonical.extend_from_slice(if line.last() == Some(&b'\r') { b"\n" } else { b"\r\n" });
        from = at + 1;
    }
    canonical.extend_from_slice(text.get(from..).unwrap_or_default());
    canonical
}

/// Ends every line with LF, if all of them end with CRLF; text with a bare LF was not canonical and stays as it is.
pub(super) fn to_lf(text: &[u8]) -> Vec<u8> {
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

/// Appends `bytes` to `text` as base64 in lines of 64 characters, each ended by LF.
pub(super) fn append_base64(bytes: &[u8], text: &mut Vec<u8>) {
    text.reserve((bytes.len() / 3 + 1) * 4 / BASE64_LINE * (BASE64_LINE + 1) + BASE64_LINE + 1);
    for chunk in bytes.chunks(BASE64_LINE / 4 * 3) {
        let mut line = [b'='; BASE64_LINE];
        let length = STANDARD.encode_slice(chunk, &mut line).unwrap_or_default();
        text.extend_from_slice(line.get(..length).unwrap_or_default());
        text.push(b'\n');
    }
}

/// Decodes base64 broken into lines. A blank line ends it; anything after that is another message.
pub(super) fn from_base64(text: &[u8]) -> Result<Vec<u8>, MimeError> {
    let mut packed = Vec::with_capacity(text.len());
    let (mut ended, mut from) = (false, 0);
    for end in memchr_iter(b'\n', text).chain([text.len()]) {
        let line = text.get(from..end).unwrap_or_default().trim_ascii();
        from = end + 1;
        if line.is_empty() {
            ended = !packed.is_empty();
        } else if ended {
            return Err(MimeError::Trailing);
        } else {
            packed.extend_from_slice(line);
        }
    }
    STANDARD.decode(&packed).map_err(|_| MimeError::Base64)
}

/// Encodes `payload` in quoted-printable with LF line ends.
///
/// A line end at the very end is written `=0A`, so that nobody can strip it. With `hide_slash` every `/` is encoded as well:
/// an SSM receiver takes a text that mentions an encrypted media type for encrypted.
pub(super) fn append_quoted_printable(payload: &[u8], hide_slash: bool, text: &mut Vec<u8>) {
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
        // One column is kept for the `=` of a soft line break.
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

/// Decodes quoted-printable; line ends come out as LF. An `=` that begins nothing known stays, as `quopri` leaves it.
pub(super) fn from_quoted_printable(text: &[u8]) -> Vec<u8> {
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
            // A soft line break as the last thing of the text.
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

    use super::*;

    fn quoted(payload: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        append_quoted_printable(payload, false, &mut text);
        text
    }

    #[test]
    fn line_ends_become_crlf_once() {
        assert_eq!(to_crlf(b"a\nb\r\n\nc\rd"), b"a\r\nb\r\n\r\nc\rd");
        assert_eq!(to_crlf(b""), b"");
    }

    #[test]
    fn only_canonical_text_goes_back_to_lf() {
        assert_eq!(to_lf(b"a\r\n\r\nb"), b"a\n\nb");
        assert_eq!(to_lf(b"a\r\nb\nc"), b"a\r\nb\nc");
        assert_eq!(to_lf(b"a\rb\r\n"), b"a\rb\n");
    }

    #[test]
    fn quoted_printable_keeps_what_would_be_stripped() {
        assert_eq!(quoted(b"a \nb\t\n"), b"a=20\nb=09=0A");
        assert_eq!(quoted("Universit\u{e4}t=1".as_bytes()), b"Universit=C3=A4t=3D1");
        assert_eq!(quoted(b"a\r\nb"), b"a=0D\nb");
        assert_eq!(from_quoted_printable(b"a=\r\nb=3D=zz=\r\n"), b"ab==zz");
    }

    #[test]
    fn base64_ends_at_a_blank_line() {
        assert_eq!(from_base64(b"\r\nYWJj\r\nZGU=\r\n\r\n"), Ok(b"abcde".to_vec()));
        assert_eq!(from_base64(b"YWJj\n\nMIME-Version: 1.0\n"), Err(MimeError::Trailing));
        assert_eq!(from_base64(b"YW Jj\n"), Err(MimeError::Base64));
        assert_eq!(from_base64(b"YWJj=\n"), Err(MimeError::Base64));
    }

    proptest! {
        #[test]
        fn quoted_printable_comes_back_exactly(payload in proptest::collection::vec(any::<u8>(), 0..600), hide in any::<bool>()) {
            let mut text = Vec::new();
            append_quoted_printable(&payload, hide, &mut text);
            prop_assert!(text.split(|&byte| byte == b'\n').all(|line| line.len() <= QUOTED_LINE && line.last() != Some(&b' ')));
            prop_assert_eq!(from_quoted_printable(&to_crlf(&text)), payload);
        }

        #[test]
        fn base64_comes_back_exactly(payload in proptest::collection::vec(any::<u8>(), 1..600)) {
            let mut text = Vec::new();
            append_base64(&payload, &mut text);
            prop_assert_eq!(from_base64(&to_crlf(&text)).unwrap(), payload);
        }

        #[test]
        fn text_with_lf_survives_canonicalisation(text in "[ -~\n]{0,200}") {
            prop_assert_eq!(to_lf(&to_crlf(text.as_bytes())), text.as_bytes());
        }
    }
}
