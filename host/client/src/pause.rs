//! How long to wait before something is tried again.

use std::time::Duration;

/// The longest first pause.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// A random pause after so many failures in a row, at least half of what they allow: many programs that lost one broker do
/// not come back at once.
pub(crate) fn after(failures: u32) -> Duration {
    let most = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        for (failures, most) in [(0, 500), (1, 500), (2, 1000), (4, 4000), (7, 30_000), (u32::MAX, 30_000)] {
            let most = Duration::from_millis(most);
            let pause = after(failures);
            assert!((most / 2..=most).contains(&pause), "{failures}: {pause:?}");
        }
    }
}
