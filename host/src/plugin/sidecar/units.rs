//! Sizes and lengths of time as operators write them.

use std::time::Duration;

/// `64MiB`, `1 GB`, `4096`: a whole number of bytes with an optional unit.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = parts(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// `500ms`, `5s`, `2m`: a whole number with a unit.
pub(super) fn time(text: &str) -> Option<Duration> {
    let (number, unit) = parts(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" | "min" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

fn parts(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_and_times() {
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("1 MB"), Some(1_000_000));
        assert_eq!(bytes("17"), Some(17));
        assert_eq!(time("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(time("2 m"), Some(Duration::from_secs(120)));
    }

    #[test]
    fn refuses_what_is_neither() {
        for bad in ["", "MiB", "-1", "1.5MB", "1mb", "99999999999999999999", "99999999999GiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        for bad in ["", "5", "s", "-5s", "5h"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
