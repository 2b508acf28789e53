//! Times of certificates and CRLs, and their display.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};

/// Seconds since 1970 of a time; 0 before.
pub fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// Seconds since 1970 of a time in a certificate; 0 before or if it cannot be read.
pub(crate) fn unix(time: &Asn1TimeRef) -> u64 {
    let Ok(epoch) = Asn1Time::from_unix(0) else { return 0 };
    let Ok(diff) = epoch.diff(time) else { return 0 };
    u64::try_from(i64::from(diff.days) * 86_400 + i64::from(diff.secs)).unwrap_or(0)
}

/// A time for display: `2026-11-22T18:00:00Z`.
pub(crate) fn readable(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.to_string())
}
