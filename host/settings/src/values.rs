//! Values with a unit: durations, sizes and file modes.
//!
//! Each has a function that reads it and one that writes it back the way the documentation writes it.

use std::time::Duration;

use crate::mistake::{Complaint, complain};

/// Reads `5ms`, `60s`, `15m`, `1h`, `90d`.
pub fn duration(text: &str) -> Result<Duration, Complaint> {
    let wrong =
        || complain(format!("{text:?} is not a duration"), "write a whole number and ms, s, m, h or d: \"60s\"");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(wrong)
}

/// Reads a duration of the command line, as the configuration writes it.
///
/// # Errors
/// What is wrong and how it should be written.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|complaint| format!("{}; {}", complaint.problem, complaint.remedy))
}

/// Writes a duration in its largest unit that needs no fraction.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(length, _)| milliseconds > 0 && milliseconds.is_multiple_of(*length));
    match unit {
        Some((length, unit)) => format!("{}{unit}", milliseconds / length),
        None if milliseconds == 0 => "0s".to_owned(),
        None => format!("{milliseconds}ms"),
    }
}

/// Reads `512`, `16KiB`, `16MiB`, `2GiB`, `10kB`, `10MB`, `10GB`; the unit `B` or none is bytes.
pub fn size(text: &str) -> Result<u64, Complaint> {
    let wrong =
        || complain(format!("{text:?} is not a size"), "write bytes as a whole number, or with a unit: \"16MiB\"");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let bytes = match unit {
        "" | "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(bytes).ok_or_else(wrong)
}

/// Writes a size in its largest binary unit that needs no fraction.
pub fn show_size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(length, _)| bytes > 0 && bytes.is_multiple_of(*length)) {
        Some((length, unit)) => format!("{}{unit}", bytes / length),
        None => format!("{bytes}B"),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number = number.replace('_', "").parse().ok()?;
    Some((number, unit.trim_start_matches(' ')))
}

/// Reads a file mode: octal digits in a text.
pub fn mode(text: &str) -> Result<u32, Complaint> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(complain(format!("{text:?} is not a file mode"), "write three or four octal digits: \"0750\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_are_written() {
        for text in ["5ms", "60s", "15m", "1h", "90d", "0s", "1500ms"] {
            let read = duration(text).unwrap();
            assert_eq!(duration(&show_duration(read)).unwrap(), read, "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(7_776_000)), "90d");
        for bad in ["", "s", "60", "-1s", "1.5s", "60 seconds", "99999999999999999999s", "9999999999999999d", "1_s_"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_read_back_as_they_are_written() {
        for (text, bytes) in [("16MiB", 16 << 20), ("512", 512), ("1 GiB", 1 << 30), ("10kB", 10_000), ("1_000", 1_000)]
        {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
            assert_eq!(size(&show_size(bytes)).unwrap(), bytes, "{text}");
        }
        for bad in ["", "MiB", "-1", "16M", "16mib", "1.5MiB", "99999999999999999GiB"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("0750").unwrap(), 0o750);
        assert_eq!(mode("0o640").unwrap(), 0o640);
        for bad in ["", "0780", "7777", "rwx"] {
            assert!(mode(bad).is_err(), "{bad:?}");
        }
    }
}
