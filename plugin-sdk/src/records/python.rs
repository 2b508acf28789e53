//! Python's own reading of text, as far as the consumer's verdicts rest on it.
//!
//! | here | in Python 3 |
//! |---|---|
//! | [`strip`], [`is_space`], [`len`] | `str.strip()`, `str.isspace()`, `len(str)` |
//! | [`lines`] | `str.splitlines()` |
//! | [`int`], [`float`] | `int(str)`, `float(str)` |
//! | [`timestamp`] | what the consumer makes of a point in time, see there |
//! | [`is_null`] | the words that the consumer takes for nothing |
//!
//! The character classes are those of Unicode 14 (Python 3.11). Comparisons with the real thing stand in
//! `tests/records`.

mod decimal;
mod number;
mod space;
mod time;

pub use number::{digit, float, int};
pub use space::{Lines, is_space, lines, strip};
pub(crate) use space::{line_end, trim};
pub use time::{MAX_TIME, MIN_TIME, month_start, timestamp};

/// `len(text)`: the number of characters.
#[must_use]
pub fn len(text: &str) -> usize {
    // Every byte but those that go on in a character.
    text.bytes().filter(|byte| !matches!(byte, 0x80..0xc0)).count()
}

/// Whether the consumer takes `text` for no value: nothing at all, or `none` or `null` in any case.
#[must_use]
pub fn is_null(text: &str) -> bool {
    // No character outside ASCII has a lower case that is made of these letters alone.
    text.is_empty() || text.eq_ignore_ascii_case("none") || text.eq_ignore_ascii_case("null")
}

/// `text.lower() == word`, for a `word` of lower-case ASCII letters and digits.
#[must_use]
pub fn lower_is(text: &str, word: &str) -> bool {
    // U+212A, the Kelvin sign, is the one character outside ASCII whose lower case is one ASCII letter.
    let mut left = text.chars().map(|c| if c == '\u{212a}' { 'k' } else { c.to_ascii_lowercase() });
    let mut right = word.chars();
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (a, b) if a == b => {}
            _ => return false,
        }
    }
}
