//! The OpenSSL that this process runs with, and for how long its line gets fixes.
//!
//! `cargo deny` and `cargo audit` know the advisories of crates, and not those of OpenSSL. A line without maintenance is the
//! warning that can be had without them. Dates: OpenSSL's release strategy, <https://openssl-library.org/policies/releasestrat/>.

use std::fmt;

use jiff::civil::{Date, date};
use jiff::{Timestamp, tz::TimeZone};

/// For how long before the end of its line a library is to be replaced, in days.
const NOTICE: i32 = 60;

/// A line of releases: first and second part of the version are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    major: i32,
    minor: i32,
    /// The day of its first release.
    from: Date,
    /// The last day on which it is maintained.
    until: Date,
}

const fn line(major: i32, minor: i32, from: (i16, i8, i8), until: (i16, i8, i8)) -> Line {
    Line { major, minor, from: date(from.0, from.1, from.2), until: date(until.0, until.1, until.2) }
}

/// The lines that Sesame can be built with.
const LINES: [Line; 8] = [
    line(3, 0, (2021, 9, 7), (2026, 9, 7)),
    line(3, 1, (2023, 3, 14), (2025, 3, 14)),
    line(3, 2, (2023, 11, 23), (2025, 11, 23)),
    line(3, 3, (2024, 4, 9), (2026, 4, 9)),
    line(3, 4, (2024, 10, 22), (2026, 10, 22)),
    line(3, 5, (2025, 4, 8), (2030, 4, 8)),
    line(3, 6, (2025, 10, 1), (2026, 11, 1)),
    line(4, 0, (2026, 4, 14), (2027, 5, 14)),
];

/// Whether OpenSSL is part of the program; else it is the system's.
const BUILT_IN: bool = cfg!(feature = "vendored-openssl");

/// Has OpenSSL read its configuration and seed its random numbers now: later this process may open no file.
pub fn prepare() {
    openssl::init();
    // What is missing then fails where it is needed.
    let _ = openssl::rand::rand_bytes(&mut [0]);
}

/// The OpenSSL of this process. Displays as its version and how long its line is maintained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Library {
    major: i32,
    minor: i32,
    patch: i32,
    built_in: bool,
}

impl Library {
    /// The OpenSSL that is loaded.
    #[must_use]
    pub fn loaded() -> Self {
        // 0xMNN00PP0 (OPENSSL_VERSION_NUMBER(3)).
        let number = openssl::version::number();
        let part = |shift: u32, mask: i64| i32::try_from((number >> shift) & mask).unwrap_or_default();
        Self { major: part(28, 0xf), minor: part(20, 0xff), patch: part(4, 0xff), built_in: BUILT_IN }
    }

    fn line(&self) -> Option<Line> {
        LINES.into_iter().find(|line| (line.major, line.minor) == (self.major, self.minor))
    }

    /// Whether its line is older than those of the table: those ended in 2023.
    fn is_older(&self) -> bool {
        (self.major, self.minor) < (3, 0)
    }

    /// Why it must be replaced, and how, when its line is not maintained for sixty days from now.
    #[must_use]
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let today = TimeZone::UTC.to_datetime(now).date();
        let remedy = match self.built_in {
            true => "install a release of Sesame with a newer one",
            false => "update the system's OpenSSL, unless the distribution maintains this one for longer",
        };
        if self.is_older() {
            return Some(format!("OpenSSL's project does not maintain this line any more: {remedy}"));
        }
        let until = self.line()?.until;
        match (until - today).get_days() {
            ..0 => Some(format!("OpenSSL's project has not maintained this line since {until}: {remedy}")),
            0..=NOTICE => Some(format!("OpenSSL's project maintains this line until {until}: {remedy} before")),
            _ => None,
        }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch, built_in } = self;
        let place = if *built_in { "built in" } else { "of the system" };
        write!(out, "OpenSSL {major}.{minor}.{patch} ({place})")?;
        match self.line() {
            Some(line) => write!(out, ", line {major}.{minor}, maintained from {} until {}", line.from, line.until),
            None if self.is_older() => write!(out, ", line {major}.{minor}, not maintained"),
            None => write!(out, ", line {major}.{minor}, newer than this release of Sesame"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon(day: Date) -> Timestamp {
        day.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp()
    }

    #[test]
    fn the_library_that_is_built_in_is_maintained_for_sixty_days_more() {
        let library = Library::loaded();
        assert!(library.line().is_some(), "{library}: add its line to LINES");
        assert_eq!(library.warning(Timestamp::now()), None, "{library}: move host/openssl to a newer line");
        assert!(
            openssl::version::version()
                .starts_with(&format!("OpenSSL {}.{}.{}", library.major, library.minor, library.patch))
        );
    }

    #[test]
    fn a_line_is_warned_of_from_sixty_days_before_its_end() {
        let ours = Library { major: 4, minor: 0, patch: 3, built_in: true };
        let end = date(2027, 5, 14);
        let warned = |days: i64| ours.warning(noon(end) + jiff::SignedDuration::from_hours(24 * days));
        assert_eq!(warned(-61), None);
        assert_eq!(
            warned(-60).unwrap(),
            "OpenSSL's project maintains this line until 2027-05-14: install a release of Sesame with a newer one before"
        );
        assert!(warned(0).unwrap().contains("maintains this line until"));
        assert!(warned(1).unwrap().contains("has not maintained this line since 2027-05-14"));
        let system = Library { built_in: false, ..ours };
        assert!(system.warning(noon(end)).unwrap().contains("unless the distribution maintains this one"));
        assert_eq!(
            system.to_string(),
            "OpenSSL 4.0.3 (of the system), line 4.0, maintained from 2026-04-14 until 2027-05-14"
        );
    }

    #[test]
    fn nothing_is_said_of_the_end_of_a_line_that_is_not_known() {
        let later = Library { major: 5, minor: 1, patch: 0, built_in: false };
        assert_eq!(later.warning(noon(date(2040, 1, 1))), None);
        assert_eq!(later.to_string(), "OpenSSL 5.1.0 (of the system), line 5.1, newer than this release of Sesame");
        let earlier = Library { major: 1, minor: 1, ..later };
        assert!(earlier.warning(noon(date(2026, 1, 1))).unwrap().contains("does not maintain this line any more"));
        assert_eq!(earlier.to_string(), "OpenSSL 1.1.0 (of the system), line 1.1, not maintained");
    }
}
