//! Durations in the units that people use.

use std::time::Duration;

/// A duration in its two largest units: `90 days`, `1 h 30 min`, `45 s`, `1.5 s`, `300 ms`. Rounded down to the second of
/// these units; below a minute, to a tenth of a second; below a second, to a millisecond.
#[must_use]
pub fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 && !duration.is_zero() {
        return match duration.as_millis() {
            0 => "less than 1 ms".to_owned(),
            milliseconds => format!("{milliseconds} ms"),
        };
    }
    if seconds < 60 {
        return match duration.subsec_millis() / 100 {
            0 => format!("{seconds} s"),
            tenths => format!("{seconds}.{tenths} s"),
        };
    }
    let (large, small) = match seconds {
        86_400.. => (("day", 86_400), ("h", 3_600)),
        3_600.. => (("h", 3_600), ("min", 60)),
        _ => (("min", 60), ("s", 1)),
    };
    let whole = seconds / large.1;
    let plural = if large.0 == "day" && whole != 1 { "s" } else { "" };
    match seconds % large.1 / small.1 {
        0 => format!("{whole} {}{plural}", large.0),
        rest => format!("{whole} {}{plural} {rest} {}", large.0, small.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_two_largest_units() {
        for (milliseconds, expected) in [
            (0, "0 s"),
            (300, "300 ms"),
            (1_500, "1.5 s"),
            (30_000, "30 s"),
            (60_000, "1 min"),
            (90_000, "1 min 30 s"),
            (3_600_000, "1 h"),
            (5_400_000, "1 h 30 min"),
            (86_400_000, "1 day"),
            (90_000_000, "1 day 1 h"),
            (7_776_000_000, "90 days"),
        ] {
            assert_eq!(words(Duration::from_millis(milliseconds)), expected);
        }
        assert_eq!(words(Duration::from_micros(5)), "less than 1 ms");
        assert_eq!(words(Duration::MAX), "213503982334601 days 7 h");
    }
}
