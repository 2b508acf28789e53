//! UTCTime and GeneralizedTime in the form that RFC 5280 4.1.2.5 and RFC 5652 11.3 require: with seconds, in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Element, GENERALIZED_TIME, UTC_TIME, encode};

/// Seconds since 1970; negative before. `None` if the element is not a date in that form. A leap second counts as the
/// second before it.
#[must_use]
pub fn seconds_since_1970(element: &Element<'_>) -> Option<i64> {
    let text = std::str::from_utf8(element.content).ok()?;
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (element.tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { year + 2000 } else { year + 1900 }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let pair = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let second = pair(8).map(|second| if second == 60 { 59 } else { second })?;
    let moment = jiff::civil::DateTime::new(year, pair(0)?, pair(2)?, pair(4)?, pair(6)?, second, 0).ok()?;
    Some(TimeZone::UTC.to_timestamp(moment).ok()?.as_second())
}

/// Writes a time in DER, given in seconds since 1970: UTCTime from 1950 to 2049, otherwise GeneralizedTime. `None` if the
/// year does not have up to four digits.
#[must_use]
pub fn encode_time(seconds: i64) -> Option<Vec<u8>> {
    let moment = TimeZone::UTC.to_datetime(Timestamp::from_second(seconds).ok()?);
    let (tag, year) = match moment.year() {
        year @ 1950..=2049 => (UTC_TIME, format!("{:02}", year % 100)),
        year @ 0..=9999 => (GENERALIZED_TIME, format!("{year:04}")),
        _ => return None,
    };
    let (month, day) = (moment.month(), moment.day());
    let (hour, minute, second) = (moment.hour(), moment.minute(), moment.second());
    Some(encode(tag, format!("{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::{Reader, encode};
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<i64> {
        seconds_since_1970(&Reader::der(&encode(tag, text.as_bytes())).any().unwrap())
    }

    #[test]
    fn reads_both_forms_and_the_centuries_of_the_short_one() {
        assert_eq!(seconds(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(seconds(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(UTC_TIME, "691231235959Z"), Some(-1));
        assert_eq!(seconds(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(seconds(UTC_TIME, "161231235960Z"), seconds(UTC_TIME, "161231235959Z"));
    }

    #[test]
    fn reads_what_it_writes() {
        for (at, tag, text) in [
            (0, UTC_TIME, "700101000000Z"),
            (1_793_491_445, UTC_TIME, "261101000405Z"),
            (2_524_607_999, UTC_TIME, "491231235959Z"),
            (2_524_608_000, GENERALIZED_TIME, "20500101000000Z"),
            (-631_152_001, GENERALIZED_TIME, "19491231235959Z"),
        ] {
            assert_eq!(encode_time(at).unwrap(), encode(tag, text.as_bytes()), "{text}");
            assert_eq!(seconds(tag, text), Some(at), "{text}");
        }
        assert_eq!((encode_time(i64::MAX), encode_time(253_402_300_800)), (None, None));
    }

    #[test]
    fn refuses_other_forms() {
        for text in ["", "Z", "2501010000Z", "250101000000", "250101000000+0100", "2501010000+1Z", "251301000000Z"] {
            assert_eq!(seconds(UTC_TIME, text), None, "{text}");
        }
        for text in ["250101000000Z", "20250101000000.5Z", "20250101000061Z"] {
            assert_eq!(seconds(GENERALIZED_TIME, text), None, "{text}");
        }
        assert_eq!(seconds(super::super::OCTET_STRING, "250101000000Z"), None);
    }
}
