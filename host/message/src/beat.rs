//! Moments that all periodic looks of the process share, so that one that idles wakes once for all of its channels.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How long until the next look of those that are made `every` so often: more than nothing, and at most `every`.
#[must_use]
pub fn until_next(every: Duration) -> Duration {
    until(every, BEGINNING.elapsed())
}

fn until(every: Duration, elapsed: Duration) -> Duration {
    let Some(past) = elapsed.as_nanos().checked_rem(every.as_nanos()) else { return every };
    every.saturating_sub(Duration::from_nanos(u64::try_from(past).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_of_all_fall_on_the_same_moments() {
        let every = Duration::from_secs(2);
        for (elapsed, left) in [(0, 2000), (1, 1999), (1999, 1), (2000, 2000), (7300, 700)] {
            assert_eq!(until(every, Duration::from_millis(elapsed)), Duration::from_millis(left), "{elapsed} ms");
        }
        assert_eq!(until(Duration::ZERO, every), Duration::ZERO);
        assert!(until_next(every) <= every);
    }
}
