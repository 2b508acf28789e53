//! A month in UTC, as reports have it.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A month of a year from 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: u32,
    month: u32,
}

/// A text is no month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a month as in 2026-10")]
pub struct InvalidMonth;

impl Month {
    /// The month of this moment; the first one before 1970.
    #[must_use]
    pub fn of(at: SystemTime) -> Self {
        let at = jiff::Timestamp::try_from(at.max(UNIX_EPOCH)).unwrap_or(jiff::Timestamp::MAX);
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        Self { year: date.year().unsigned_abs().into(), month: date.month().unsigned_abs().into() }
    }

    /// The month before.
    #[must_use]
    pub fn previous(self) -> Self {
        if self.month > 1 { Self { month: self.month - 1, ..self } } else { Self { year: self.year - 1, month: 12 } }
    }

    /// Year and month in one number, such as 202610.
    #[must_use]
    pub fn number(self) -> u32 {
        self.year * 100 + self.month
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) = text.split_once('-').filter(|(y, m)| digits(y, 4) && digits(m, 2)).ok_or(InvalidMonth)?;
        let (year, month) = (year.parse().map_err(|_| InvalidMonth)?, month.parse().map_err(|_| InvalidMonth)?);
        if year < 1970 || !(1..=12).contains(&month) {
            return Err(InvalidMonth);
        }
        Ok(Self { year, month })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_moment_has_its_month() {
        for (seconds, text) in [
            (0, "1970-01"),
            (951_782_399, "2000-02"),
            (951_868_799, "2000-02"),
            (951_868_800, "2000-03"),
            (1_793_491_199, "2026-10"),
            (1_793_491_200, "2026-11"),
            (4_107_542_399, "2100-02"),
            (4_107_542_400, "2100-03"),
            (1_798_761_600, "2027-01"),
        ] {
            assert_eq!(Month::of(UNIX_EPOCH + Duration::from_secs(seconds)).to_string(), text);
        }
        assert_eq!(Month::of(UNIX_EPOCH - Duration::from_secs(1)).to_string(), "1970-01");
    }

    #[test]
    fn a_month_is_written_in_one_way() {
        let month: Month = "2027-01".parse().unwrap();
        assert_eq!((month.to_string(), month.previous().to_string()), ("2027-01".to_owned(), "2026-12".to_owned()));
        assert_eq!((month.number(), month.previous().previous().number()), (202_701, 202_611));
        for bad in ["", "2026", "2026-13", "2026-00", "2026-1", "1969-12", "+026-10", "2026-10-01", "10-2026"] {
            assert_eq!(bad.parse::<Month>(), Err(InvalidMonth), "{bad}");
        }
    }
}
