//! Points in time and durations of the XML formats, as the consumer reads them.
//!
//! Times go through Python's `iso8601` package. It takes the calendar forms of ISO 8601 with or without separators,
//! down to a year alone, with `T` or a space before the time of day, and takes UTC where no zone is given. Some of what
//! it takes is no ISO 8601: one digit for a month or day after a hyphen, one for a second. [`Time::parse`] takes the
//! same. Durations are the consumer's own, see [`duration`].

use std::fmt;

use super::python;

/// A point in time from year 1 to 9999, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub micros: i64,
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// 0001-01-01T00:00:00Z, seconds since 1970.
const FIRST: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;

impl Time {
    /// What the consumer makes of `text`; None where it rejects it or crashes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // A `$` of Python also matches before a last line feed.
        let text = text.strip_suffix('\n').unwrap_or(text);
        let (date, rest) = date(text.as_bytes())?;
        let clock = clock(rest)?;
        let seconds = date * DAY + clock.seconds;
        let within = (FIRST..=LAST).contains(&seconds).then_some(seconds * SECOND + clock.micros);
        within.map(|micros| Self { micros })
    }

    /// From whole seconds since 1970-01-01T00:00:00Z; None outside years 1 to 9999.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        (FIRST..=LAST).contains(&seconds).then(|| Self { micros: seconds * SECOND })
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, the fraction cut off.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.micros.div_euclid(SECOND)
    }

    /// The year, UTC.
    #[must_use]
    pub fn year(self) -> i64 {
        civil(self.seconds().div_euclid(DAY)).0
    }
}

/// `YYYY-MM-DDThh:mm:ssZ`, with six digits of a fraction where there is one.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, clock) = (self.seconds().div_euclid(DAY), self.seconds().rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match self.micros.rem_euclid(SECOND) {
            0 => f.write_str("Z"),
            micros => write!(f, ".{micros:06}Z"),
        }
    }
}

/// Takes `count` ASCII digits off the beginning.
fn digits(bytes: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    taken.iter().all(u8::is_ascii_digit).then(|| {
        let value = taken.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
        (value, rest)
    })
}

/// The date that `bytes` begin with, in days since 1970, and what follows it: a time of day or nothing.
fn date(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (year, rest) = digits(bytes, 4)?;
    if rest.is_empty() {
        return Some((days(year, 1, 1)?, rest));
    }
    let Some(dashed) = rest.strip_prefix(b"-") else {
        let (month, rest) = digits(rest, 2)?;
        let (day, rest) = day(rest)?;
        return Some((days(year, month, day)?, rest));
    };
    // The first that fits is taken, even if its month or day is none.
    for width in [2, 1] {
        let Some((month, rest)) = digits(dashed, width) else { continue };
        if rest.is_empty() {
            return Some((days(year, month, 1)?, rest));
        }
        if let Some((day, rest)) = day(rest) {
            return Some((days(year, month, day)?, rest));
        }
    }
    None
}

/// A day of a month, before a time of day or nothing.
fn day(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let found = match bytes.strip_prefix(b"-") {
        Some(dashed) => digits(dashed, 2).or_else(|| digits(dashed, 1)),
        None => digits(bytes, 2),
    };
    found.filter(|(_, rest)| matches!(rest, [] | [b' ' | b'T', ..]))
}

/// A time of day with its zone taken into account.
struct Clock {
    seconds: i64,
    micros: i64,
}

/// Reads all of `bytes`, nothing or a separator and a time of day.
fn clock(bytes: &[u8]) -> Option<Clock> {
    let Some((_, rest)) = bytes.split_first() else {
        return Some(Clock { seconds: 0, micros: 0 });
    };
    let (hour, rest) = digits(rest, 2)?;
    // Two digits after the hour are minutes, or, if nothing else fits, seconds.
    let with_minute = part(rest, &[2]).and_then(|(minute, rest)| Some((minute, ending(rest)?)));
    let (minute, (second, micros, offset)) = with_minute.or_else(|| Some((0, ending(rest)?)))?;
    let (micros, offset) = (micros?, offset?);
    let good = hour < 24 && minute < 60 && second < 60;
    good.then_some(Clock { seconds: hour * 3600 + minute * 60 + second - offset, micros })
}

/// A number of as many digits as the first of `widths` that fits, with or without a colon before it.
fn part<'a>(bytes: &'a [u8], widths: &[usize]) -> Option<(i64, &'a [u8])> {
    let bytes = bytes.strip_prefix(b":").unwrap_or(bytes);
    widths.iter().find_map(|&width| digits(bytes, width))
}

/// Second, microsecond and the zone's seconds east of UTC; the latter two None where they have the right form and the
/// wrong value.
type Ending = (i64, Option<i64>, Option<i64>);

/// What follows the minute, to the end. None if it has not the right form.
fn ending(bytes: &[u8]) -> Option<Ending> {
    let with_second = part(bytes, &[2, 1]).and_then(|(second, rest)| {
        let (fraction, rest) = fraction(rest);
        Some((second, micros(fraction), zone(rest)?))
    });
    with_second.or_else(|| Some((0, Some(0), zone(bytes)?)))
}

/// The digits after a decimal sign; none where there is no such thing.
fn fraction(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(after) = bytes.strip_prefix(b".").or_else(|| bytes.strip_prefix(b",")) else {
        return (&[], bytes);
    };
    match after.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(after.len()) {
        0 => (&[], bytes),
        count => after.split_at(count),
    }
}

/// A fraction's microseconds, the rest cut off.
///
/// The consumer reckons with 28 significant digits: 28 nines and a digit that rounds them up make a whole second, which
/// it then does not take.
fn micros(fraction: &[u8]) -> Option<i64> {
    let nines = fraction.iter().take_while(|&&byte| byte == b'9').count();
    if nines >= 28 && fraction.get(28).is_some_and(|&byte| byte >= b'5') {
        return None;
    }
    let padded = fraction.iter().copied().chain(std::iter::repeat(b'0'));
    Some(padded.take(6).fold(0, |value, byte| value * 10 + i64::from(byte - b'0')))
}

/// A zone and nothing after it, in seconds east of UTC; none is UTC. Some(None) for one of a day or more.
fn zone(bytes: &[u8]) -> Option<Option<i64>> {
    let (sign, rest) = match bytes {
        [] | [b'Z'] => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let minutes = match rest {
        [] => 0,
        _ => digits(rest, 2).filter(|(_, rest)| rest.is_empty())?.0,
    };
    let offset = hours * 3600 + minutes * 60;
    Some((offset < DAY).then_some(sign * offset))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar; None if there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1 || day < 1 || day > length {
        return None;
    }
    // Years are counted from 1 March, so that the leap day is the last of its year.
    let (from_march, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = from_march * 365 + from_march / 4 - from_march / 100 + from_march / 400;
    Some(before + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + later, month, day)
}

/// Seconds of a duration: `P`, then as many of `nY nM nW nD T nH nM nS` as there are, in this order, even none; a year
/// is 365 days, a month 2,628,000 s. Only seconds may have a fraction, after a point or comma, and are then rounded, half
/// to even. What is too large for the type is its end.
///
/// # Errors
/// [`BadDuration`].
pub fn duration(text: &str) -> Result<i64, BadDuration> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut rest = text.as_bytes().strip_prefix(b"P").ok_or(BadDuration::Form)?;
    let mut total = 0_i64;
    for (unit, seconds) in [(b'Y', 31_536_000), (b'M', 2_628_000), (b'W', 604_800), (b'D', DAY)] {
        total = total.saturating_add(take_whole(&mut rest, unit).saturating_mul(seconds));
    }
    rest = rest.strip_prefix(b"T").unwrap_or(rest);
    for (unit, seconds) in [(b'H', 3_600), (b'M', 60)] {
        total = total.saturating_add(take_whole(&mut rest, unit).saturating_mul(seconds));
    }
    if rest.is_empty() { Ok(total) } else { Ok(total.saturating_add(last_seconds(rest)?)) }
}

/// Why a duration is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDuration {
    /// It has not the form of a duration: to the consumer, there is none.
    Form,
    /// Its seconds are beyond all floating-point numbers: the consumer crashes.
    Range,
}

/// How many digits a whole number may have for the consumer; it counts a longer one as nothing.
const MAX_DIGITS: usize = 4300;

/// Takes digits and `unit` off the beginning of `rest`, if that is what it begins with.
fn take_whole(rest: &mut &[u8], unit: u8) -> i64 {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || rest.get(count) != Some(&unit) {
        return 0;
    }
    let value = whole(rest.get(..count).unwrap_or_default());
    *rest = rest.get(count + 1..).unwrap_or_default();
    value
}

fn whole(digits: &[u8]) -> i64 {
    if digits.len() > MAX_DIGITS {
        return 0;
    }
    digits.iter().fold(0_i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')))
}

/// `n`, `n.` or `n.n` and `S`.
fn last_seconds(bytes: &[u8]) -> Result<i64, BadDuration> {
    let [number @ .., b'S'] = bytes else { return Err(BadDuration::Form) };
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let count = digits(number);
    match number.get(count..).unwrap_or_default() {
        _ if count == 0 => Err(BadDuration::Form),
        [] => Ok(whole(number)),
        [b'.' | b',', after @ ..] if digits(after) == after.len() => {
            let written = number.iter().map(|&byte| if byte == b',' { '.' } else { char::from(byte) });
            let value = python::float(&written.collect::<String>()).ok_or(BadDuration::Form)?;
            // A cast of floating point to integer keeps to the ends of the range.
            if value.is_finite() { Ok(value.round_ties_even() as i64) } else { Err(BadDuration::Range) }
        }
        _ => Err(BadDuration::Form),
    }
}

#[cfg(test)]
mod tests;
