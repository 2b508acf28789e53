//! What is counted while messages pass: relaxed atomics, so that counting costs a few nanoseconds and waits for nothing.
//!
//! A reader may see a time that is counted before its sum is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are at a time: counted from [`Level::enter`] until its guard is dropped.
#[derive(Debug, Default)]
pub struct Level(Arc<AtomicU64>);

/// One that is counted by a [`Level`].
#[derive(Debug)]
#[must_use = "it counts until it is dropped"]
pub struct Entered(Arc<AtomicU64>);

impl Level {
    /// One more, until what is returned is dropped.
    pub fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(Arc::clone(&self.0))
    }

    /// How many there are now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many times were at most how long.
#[derive(Debug)]
pub struct Histogram {
    /// The longest time of each bucket, ascending.
    bounds: &'static [Duration],
    /// One for each bound, and one for what is longer.
    buckets: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

/// What a histogram holds at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The sum of all times, in seconds.
    pub sum: f64,
    /// How many there are.
    pub count: u64,
    /// The upper bound of each bucket in seconds, ascending, with how many times are in it and in none before. Those that
    /// are longer than the last bound are in no bucket.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// An empty one with these bounds, ascending.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, nanoseconds: AtomicU64::new(0) }
    }

    /// Counts one time.
    pub fn observe(&self, time: Duration) {
        let at = self.bounds.partition_point(|bound| *bound < time);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts the time since `began`.
    pub fn observe_since(&self, began: Instant) {
        self.observe(began.elapsed());
    }

    /// What it holds now.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let buckets = self.bounds.iter().map(Duration::as_secs_f64).zip(counts.iter().copied()).collect();
        let sum = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        Distribution { sum, count: counts.iter().sum(), buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    static BOUNDS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(10)];

    #[test]
    fn a_time_is_in_the_first_bucket_that_is_long_enough() {
        let histogram = Histogram::new(&BOUNDS);
        for time in [MS(0), MS(1), MS(2), MS(10), MS(11), MS(60_000)] {
            histogram.observe(time);
        }
        let found = histogram.distribution();
        assert_eq!((found.count, found.buckets), (6, vec![(0.001, 2), (0.01, 2)]));
        assert!((found.sum - 60.024).abs() < 1e-9, "{}", found.sum);
    }

    #[test]
    fn a_level_counts_what_is_there() {
        let level = Level::default();
        let (first, second) = (level.enter(), level.enter());
        assert_eq!(level.get(), 2);
        drop(first);
        assert_eq!(level.get(), 1);
        drop(second);
        assert_eq!(level.get(), 0);
    }
}
