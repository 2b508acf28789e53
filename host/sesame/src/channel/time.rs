//! Times: the back-off between attempts, and how a time is passed to plugins and written to the log.

use std::time::{Duration, SystemTime};

use crate::config;

/// The pause after attempt number `attempt`, doubled from one to the next.
#[must_use]
pub fn back_off(repetition: &config::Repetition, attempt: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    repetition.back_off_min.saturating_mul(doubled).min(repetition.back_off_max)
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn milliseconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A time as the log and acknowledgements write it: UTC, as RFC 3339 has it, in whole seconds.
pub(crate) fn moment(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "unknown".to_owned(), |at| format!("{at:.0}"))
}
