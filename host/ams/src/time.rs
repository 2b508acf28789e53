//! Times as AMS writes them.

use std::time::{Duration, SystemTime};

/// Reads `2026-01-01T00:00:00.123456789Z` with 0 to 9 decimals ([Pulling](crate#pulling)); nothing before 1970.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z')?;
    let (text, nanoseconds) = match text.split_once('.') {
        Some((text, decimals)) if decimals.len() <= 9 => (text, number(&format!("{decimals:0<9}"))?),
        Some(_) => return None,
        None => (text, 0),
    };
    let (date, clock) = text.split_once('T')?;
    let [year, month, day] = three(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = three(clock, ':', [2, 2, 2])?;
    let legal = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !legal {
        return None;
    }
    let seconds = u64::try_from(days(i64::from(year), i64::from(month), i64::from(day))).ok()? * 86_400;
    let seconds = seconds + u64::from(hour * 3600 + minute * 60 + second);
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Three numbers of so many digits.
fn three(text: &str, between: char, digits: [usize; 3]) -> Option<[u32; 3]> {
    let mut parts = text.split(between);
    let mut next = |digits| parts.next().filter(|part| part.len() == digits).and_then(number);
    let [a, b, c] = digits;
    let found = [next(a)?, next(b)?, next(c)?];
    parts.next().is_none().then_some(found)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    // A year begins in March, so that a leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_with_up_to_nine_decimals() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2026-01-01T00:00:00.1Z", 1_767_225_600, 100_000_000),
            ("2024-02-29T23:59:59.123456789Z", 1_709_251_199, 123_456_789),
            ("2000-03-01T00:00:00.000Z", 951_868_800, 0),
            ("2026-11-29T03:41:25.01Z", 1_795_923_685, 10_000_000),
        ] {
            let expected = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for bad in [
            "",
            "Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+00:00",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-1-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01-01T00:00:00Z",
            "2026-01-01T00:00:00.-1Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
