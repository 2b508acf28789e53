//! White space and lines.

use crate::records::words;

/// `str.isspace()` for one character: Unicode's white space and the four information separators.
#[must_use]
pub fn is_space(c: char) -> bool {
    match c {
        '\t'..='\r' | '\u{1c}'..='\u{20}' => true,
        _ if c.is_ascii() => false,
        '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' => true,
        '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => true,
        _ => false,
    }
}

/// `str.strip()`.
#[inline]
#[must_use]
pub fn strip(text: &str) -> &str {
    match text.as_bytes() {
        [] => text,
        [b'!'..=b'~', .., b'!'..=b'~'] | [b'!'..=b'~'] => text,
        // As a value comes after its colon.
        [b' ', b'!'..=b'~', .., b'!'..=b'~'] | [b' ', b'!'..=b'~'] => text.get(1..).unwrap_or_default(),
        _ => trim(text, is_space),
    }
}

/// Takes characters off both ends. Not generic, so that there is one of it.
#[inline(never)]
pub(crate) fn trim(text: &str, off: fn(char) -> bool) -> &str {
    text.trim_matches(off)
}

/// `str.splitlines()`, without allocating: see [`lines`].
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a str,
}

/// `str.splitlines()`: separated by LF, CR, CR LF, VT, FF, FS, GS, RS, NEL, LS or PS; no empty line after the last
/// separator.
#[must_use]
pub fn lines(text: &str) -> Lines<'_> {
    Lines { rest: text }
}

impl<'a> Lines<'a> {
    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a str {
        self.rest
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (end, width) = line_end(self.rest.as_bytes());
        let (line, rest) = (self.rest.get(..end)?, self.rest.get(end + width..)?);
        self.rest = rest;
        Some(line)
    }
}

/// Where the first line ends and how wide its separator is.
pub(crate) fn line_end(bytes: &[u8]) -> (usize, usize) {
    // A plain loop: this is where a check spends its time, and plugins are built for size.
    let mut at = words::plain(bytes, []);
    while at < bytes.len() {
        // No separator begins with another byte.
        if bytes[at] < 0x20 || bytes[at] == 0xc2 || bytes[at] == 0xe2 {
            let width = separator(bytes.get(at..).unwrap_or_default());
            if width > 0 {
                return (at, width);
            }
        }
        at += 1;
    }
    (at, 0)
}

/// The width of the line separator that `bytes` begins with; 0 for none.
fn separator(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => 2,
        [b'\n'..=b'\r' | 0x1c..=0x1e, ..] => 1,
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_python_ends_them() {
        let text = "a\nb\r\nc\rd\u{b}e\u{c}f\u{1c}g\u{1d}h\u{1e}i\u{85}j\u{2028}k\u{2029}l\u{1f}m\u{a0}n€o\tp";
        let found: Vec<&str> = lines(text).collect();
        let last = "l\u{1f}m\u{a0}n€o\tp";
        assert_eq!(found, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", last]);
        assert_eq!(lines("").count(), 0);
        assert_eq!(lines("a\n").collect::<Vec<_>>(), ["a"]);
        assert_eq!(lines("\n\n").collect::<Vec<_>>(), ["", ""]);
        assert_eq!(lines("\r\n\r").collect::<Vec<_>>(), ["", ""]);
    }

    #[test]
    fn strips_what_python_calls_space() {
        assert_eq!(strip("\u{1f}\u{3000}\u{a0} a b\u{85}\u{2029}\u{1c}\r\n"), "a b");
        assert_eq!(strip("\u{200b}a\u{feff}"), "\u{200b}a\u{feff}");
        assert_eq!(strip(" \t"), "");
        assert_eq!(strip("é "), "é");
        assert_eq!(strip("x"), "x");
        assert_eq!(strip(""), "");
    }
}
