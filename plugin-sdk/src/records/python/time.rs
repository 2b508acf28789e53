//! Points in time.

use super::{digit, int, len};

/// 0001-01-01T00:00:00Z, the first second of Python's calendar.
pub const MIN_TIME: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, the last one.
pub const MAX_TIME: i64 = 253_402_300_799;

/// What the consumer makes of the text of a time field: seconds since 1970-01-01T00:00:00Z.
///
/// First `datetime.utcfromtimestamp(int(text))`; where `text` is no integer, `time.strptime` with
/// `%Y-%m-%dT%H:%M:%S%Z`, a `Z` standing for `UTC`, on a server whose zone is UTC. That form is more liberal than
/// ISO 8601: one digit will do where two are usual, `GMT` is a zone too, case does not matter, a leap second is the
/// first of the next minute. None where the consumer rejects the value or crashes.
#[must_use]
pub fn timestamp(text: &str) -> Option<i64> {
    let seconds = int(text).or_else(|| written_out(text))?;
    (MIN_TIME..=MAX_TIME).contains(&seconds).then_some(seconds)
}

/// The first second of a month of years 1 to 9999.
#[must_use]
pub fn month_start(year: i64, month: i64) -> Option<i64> {
    ((1..=9999).contains(&year) && (1..=12).contains(&month)).then(|| days(year, month, 1) * 86_400)
}

fn written_out(text: &str) -> Option<i64> {
    let (year, rest) = text.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let (day, rest) = rest.split_once(['T', 't'])?;
    let (hour, rest) = rest.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let zone = rest.find(|c: char| c.is_ascii_alphabetic())?;
    let (second, zone) = (rest.get(..zone)?, rest.get(zone..)?);
    if zone != "Z" && !zone.eq_ignore_ascii_case("utc") && !zone.eq_ignore_ascii_case("gmt") {
        return None;
    }
    let (year, month, day) = (four_digits(year)?, month_number(month)?, day_number(day)?);
    if year == 0 || day > month_length(year, month) {
        return None;
    }
    let (hour, minute, second) = (up_to(hour, '2', '3')?, up_to(minute, '6', '/')?, up_to(second, '6', '1')?);
    Some(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// `\d\d\d\d`
fn four_digits(text: &str) -> Option<i64> {
    let mut value = 0;
    for c in text.chars() {
        value = value * 10 + i64::from(digit(c)?);
    }
    (len(text) == 4).then_some(value)
}

/// `1[0-2]|0[1-9]|[1-9]`
fn month_number(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [b'1', unit @ b'0'..=b'2'] => Some(10 + i64::from(unit - b'0')),
        [b'0', unit @ b'1'..=b'9'] | [unit @ b'1'..=b'9'] => Some(i64::from(unit - b'0')),
        _ => None,
    }
}

/// `3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9]`
fn day_number(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [b'3', unit @ b'0'..=b'1'] => Some(30 + i64::from(unit - b'0')),
        [b'0' | b' ', unit @ b'1'..=b'9'] | [unit @ b'1'..=b'9'] => Some(i64::from(unit - b'0')),
        [tens @ b'1'..=b'2', ..] => Some(i64::from(tens - b'0') * 10 + single(text.get(1..)?)?),
        _ => None,
    }
}

/// A number of one or two digits below `tens` and `units`, the last tens and their last unit, as in `2[0-3]|[0-1]\d|\d`.
fn up_to(text: &str, tens: char, units: char) -> Option<i64> {
    if let Some(value) = single(text) {
        return Some(value);
    }
    let first = text.chars().next().filter(|first| first.is_ascii_digit() && *first <= tens)?;
    let unit = text.get(1..)?;
    let value = i64::from(digit(first)?) * 10 + single(unit)?;
    let last = first == tens;
    (!last || unit.chars().all(|c| c.is_ascii_digit() && c <= units)).then_some(value)
}

/// `\d`
fn single(text: &str) -> Option<i64> {
    let mut chars = text.chars();
    let value = digit(chars.next()?)?;
    chars.next().is_none().then_some(i64::from(value))
}

fn month_length(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from 1 March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    before + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_taken_within_the_calendar() {
        for (text, value) in [("0", 0), ("-62135596800", MIN_TIME), ("253402300799", MAX_TIME), (" 1_0", 10)] {
            assert_eq!(timestamp(text), Some(value), "{text:?}");
        }
        for text in ["-62135596801", "253402300800", "10000000000000000000", "1.5", "", "now"] {
            assert_eq!(timestamp(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_written_time_is_taken_as_strptime_takes_it() {
        for (text, value) in [
            ("2012-05-20T23:59:47Z", 1_337_558_387),
            ("2012-05-20t23:59:47gmt", 1_337_558_387),
            ("2012-05-20T23:59:47UTC", 1_337_558_387),
            ("2012-5- 3T1:2:3Z", 1_336_006_923),
            ("2012-05-20T23:59:61Z", 1_337_558_401),
            ("0001-01-01T00:00:00Z", MIN_TIME),
            ("1969-12-31T23:59:59Z", -1),
            ("２012-05-20T23:59:47Z", 1_337_558_387),
            ("2012-05-20T23:59:5٣Z", 1_337_558_393),
            ("2012-05-2٣T12:59:47Z", 1_337_777_987),
            ("2012-05-20T٣:5:4Z", 1_337_483_104),
            ("2000-02-29T00:00:00Z", 951_782_400),
        ] {
            assert_eq!(timestamp(text), Some(value), "{text:?}");
        }
        for text in [
            "2012-05-20T23:59:47",
            "2012-05-20T23:59:47z",
            "2012-05-20T23:59:47ZZ",
            "2012-05-20T23:59:47+00:00",
            "2012-05-20T2٣:59:47Z",
            "2012-1٠-23T12:59:47Z",
            "2012-05-0٣T1:5:4Z",
            "2012-05-20T23:60:00Z",
            "2012-05-20T23:59:62Z",
            "2012-05-20T24:00:00Z",
            "2012-02-30T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:60Z",
            "212-05-20T23:59:47Z",
            "2012-05-00T23:59:47Z",
            "2012-13-01T23:59:47Z",
            "2012-05-20 23:59:47Z",
            "2012-05-20T23:59:47.5Z",
            "2012-05-20T23:59:Z",
        ] {
            assert_eq!(timestamp(text), None, "{text:?}");
        }
    }

    #[test]
    fn months_start_where_the_calendar_says() {
        assert_eq!(month_start(1970, 1), Some(0));
        assert_eq!(month_start(1, 1), Some(MIN_TIME));
        assert_eq!(month_start(2024, 3), Some(1_709_251_200));
        assert_eq!([month_start(0, 1), month_start(10_000, 1), month_start(2024, 0), month_start(2024, 13)], [None; 4]);
    }
}
