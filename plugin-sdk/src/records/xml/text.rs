//! Characters: what references stand for, and how text is written.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::records::words;

/// The character that the inside of a reference (between `&` and `;`) denotes: one of the five names that need no
/// declaration, or a character's number. None for anything else, and for a number that is no character of XML.
pub(super) fn referred(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hexadecimal| (hexadecimal, 16));
            numbered(digits, radix)
        }
    }
}

fn numbered(digits: &str, radix: u32) -> Option<char> {
    let mut code: u32 = 0;
    for c in digits.chars() {
        code = code.checked_mul(radix)?.checked_add(c.to_digit(radix)?)?;
    }
    let c = char::from_u32(code).filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}'))?;
    let allowed = c >= ' ' || matches!(c, '\t' | '\n' | '\r');
    (allowed && !digits.is_empty()).then_some(c)
}

/// What `raw` says: references replaced, and line ends as XML 1.0, 2.11 and 3.3.3 want them, which is to say one `\n`
/// each in text and one space each, as for every tab, in an attribute's value.
pub(super) fn plain(raw: &str, attribute: bool) -> Cow<'_, str> {
    let special = |byte: &u8| matches!(byte, b'&' | b'\r') || (attribute && matches!(byte, b'\t' | b'\n'));
    let clean = words::plain(raw.as_bytes(), [b'&']);
    if !raw.as_bytes().iter().skip(clean).any(special) {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.as_bytes().iter().position(special) {
        text.push_str(rest.get(..at).unwrap_or_default());
        let from = rest.get(at..).unwrap_or_default();
        let width = match from.as_bytes() {
            [b'&', after @ ..] => {
                let length = after.iter().position(|&byte| byte == b';').unwrap_or_default();
                text.extend(referred(from.get(1..=length).unwrap_or_default()));
                length + 2
            }
            [b'\r', b'\n', ..] => 2,
            _ => 1,
        };
        if !from.starts_with('&') {
            text.push(if attribute { ' ' } else { '\n' });
        }
        rest = from.get(width..).unwrap_or_default();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Writes `text` so that it is read back as it is, in an element or an attribute's value within `"`. Characters that
/// XML has no way to write are left out.
pub fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '&' => into.push_str("&amp;"),
            '"' => into.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(into, "&#{};", u32::from(c));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stand_for_characters_of_xml() {
        for (name, c) in [("amp", '&'), ("#65", 'A'), ("#x41", 'A'), ("#9", '\t'), ("#x10FFFF", '\u{10ffff}')] {
            assert_eq!(referred(name), Some(c), "{name}");
        }
        for name in ["", "#", "#x", "#X41", "nbsp", "AMP", "#0", "#8", "#xD800", "#xfffe", "#x110000", "#4294967361"] {
            assert_eq!(referred(name), None, "{name}");
        }
    }

    #[test]
    fn line_ends_are_made_one() {
        assert_eq!(plain("a\r\nb\rc\nd\te", false), "a\nb\nc\nd\te");
        assert_eq!(plain("a\r\nb\rc\nd\te&#10;f", true), "a b c d e\nf");
        assert_eq!(plain("&lt;&#x26;amp;&gt;", false), "<&amp;>");
        assert!(matches!(plain("plain\ntext", false), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_escaped_is_read_back() {
        let text = "<a b=\"c\">&amp;\t\r\n']]>é";
        let mut written = String::new();
        escape(text, &mut written);
        assert_eq!(plain(&written, false), text);
        assert_eq!(plain(&written, true), text);
        escape("\0\u{b}\u{ffff}x", &mut written);
        assert!(written.ends_with("éx"), "{written}");
    }
}
