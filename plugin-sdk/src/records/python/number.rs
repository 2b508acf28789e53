//! Numbers.

use super::{decimal, is_space, trim};

/// The longest integer that Python reads, in digits (`sys.get_int_max_str_digits()`).
const MAX_DIGITS: usize = 4300;

/// The zeros of all decimal digits outside ASCII (category Nd of Unicode 14); each is followed by its 1 to 9.
const ZEROS: [u32; 65] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
    0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0,
    0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0,
    0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// The value of a decimal digit of any script.
#[must_use]
pub fn digit(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.to_digit(10).and_then(|value| u8::try_from(value).ok());
    }
    let code = u32::from(c);
    let after = ZEROS.partition_point(|&zero| zero <= code);
    let zero = *ZEROS.get(after.checked_sub(1)?)?;
    u8::try_from(code - zero).ok().filter(|&value| value < 10)
}

/// `int(text)`: an optional sign, digits of any script, single underscores between them, white space around; at most
/// 4300 digits. None where Python raises ValueError.
///
/// A value beyond the range of `i64` is given as the nearest end of that range: no such number is a time, a month or
/// fits a column of the consumer.
#[must_use]
pub fn int(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if (1..=18).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit) {
        return Some(bytes.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0')));
    }
    let text = trimmed(text);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (mut value, mut count, mut between) = (0_i64, 0, false);
    for c in digits.chars() {
        match (digit(c), c) {
            (Some(digit), _) => {
                let digit = i64::from(digit);
                value = value.saturating_mul(10).saturating_add(if negative { -digit } else { digit });
                count += 1;
                between = true;
            }
            (None, '_') if between => between = false,
            _ => return None,
        }
    }
    (between && count <= MAX_DIGITS).then_some(value)
}

/// `float(text)`: as a decimal number with an optional exponent, or `inf`, `infinity`, `nan` in any case, each with an
/// optional sign; digits of any script, single underscores between digits, white space around. What is too large is
/// infinite. None where Python raises ValueError.
#[must_use]
pub fn float(text: &str) -> Option<f64> {
    if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'_') {
        return decimal::read(text);
    }
    let mut plain = String::new();
    let mut before = ' ';
    for c in trimmed(text).chars() {
        let c = digit(c).map_or(c, |digit| char::from(b'0' + digit));
        match c {
            '_' if !before.is_ascii_digit() => return None,
            '_' => {}
            _ if before == '_' && !c.is_ascii_digit() => return None,
            _ => plain.push(c),
        }
        before = c;
    }
    if before == '_' { None } else { decimal::read(&plain) }
}

/// Takes white space off both ends as `int()` and `float()` do: of ASCII only what C calls so, which leaves the four
/// information separators in place.
fn trimmed(text: &str) -> &str {
    trim(text, |c| if c.is_ascii() { matches!(c, '\t'..='\r' | ' ') } else { is_space(c) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, value) in [
            ("0", 0),
            ("007", 7),
            ("-5", -5),
            ("+5", 5),
            (" 12\t", 12),
            ("1_000", 1000),
            ("١٢٣", 123),
            ("1２_3", 123),
            ("-9223372036854775808", i64::MIN),
            ("9223372036854775808", i64::MAX),
            ("\u{2003}4\u{85}", 4),
        ] {
            assert_eq!(int(text), Some(value), "{text:?}");
        }
        for text in [
            "",
            " ",
            "-",
            "+-1",
            "1__0",
            "_1",
            "1_",
            "1.0",
            "1e3",
            "0x10",
            "1 2",
            "- 1",
            "−1",
            "1\0",
            "²",
            "\u{1f}5",
            "\u{1f}５",
        ] {
            assert_eq!(int(text), None, "{text:?}");
        }
        assert!(int(&"9".repeat(4300)).is_some());
        assert_eq!(int(&"9".repeat(4301)), None);
        assert_eq!(int(&"0".repeat(4301)), None);
    }

    #[test]
    fn floats_are_read_as_python_reads_them() {
        for (text, value) in [
            ("1", 1.0),
            ("-.5", -0.5),
            ("5.", 5.0),
            ("1_0.5_0e1_0", 10.5e10),
            ("1e999", f64::INFINITY),
            ("-InFinity", f64::NEG_INFINITY),
            ("١٢.٥", 12.5),
            (" 1\n", 1.0),
            ("1e-400", 0.0),
        ] {
            assert_eq!(float(text), Some(value), "{text:?}");
        }
        assert!(float("-NaN").is_some_and(f64::is_nan));
        for text in
            ["", ".", "e5", "1e", "1_", "_1", "1__0", "1_.5", "1._5", "1e_5", "in_f", "0x1p3", "1 2", "∞", "1,5", "--1"]
        {
            assert_eq!(float(text), None, "{text:?}");
        }
    }

    #[test]
    fn digits_of_all_scripts_have_their_values() {
        assert_eq!("09٠٩𝟎𝟗🯰🯹".chars().map(digit).collect::<Vec<_>>(), [0, 9, 0, 9, 0, 9, 0, 9].map(Some));
        assert_eq!(['٪', '\u{65f}', 'a', '½', '\u{10ffff}'].map(digit), [None; 5]);
    }
}
