//! The statistics of a stage: counters and a histogram of times, cheap enough for every call.
//!
//! # Limits
//! Four buckets for each doubling, starting at one microsecond: a quantile is at most a fifth too high. Times over two thousand
//! seconds fall into the last bucket. No lock: a reader may see a call that is counted before its time is.

use std::array;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use message::locked;

use crate::instance::Fault;

/// Buckets for each doubling.
const STEPS: u64 = 4;
const BUCKETS: usize = 124;
/// Buckets of the time of a call that [`Figures`] has.
const BOUNDS: usize = 10;
/// Doublings of a microsecond at the end of the first of these, 128 us; each is four times as long as the one before.
const FIRST_BOUND: usize = 7;

/// A limit of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The deadline.
    Time,
    /// Memory, or entries of tables.
    Memory,
    /// The stack.
    Stack,
    /// The size of answer and log.
    Output,
}

const LIMITS: usize = Limit::ALL.len();

impl Limit {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Time, Self::Memory, Self::Stack, Self::Output];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Output => "output",
        }
    }

    /// The limit that a fault is about, if it is about one.
    pub(super) fn of(fault: &Fault) -> Option<Self> {
        match fault {
            Fault::Deadline { .. } | Fault::TotalTime { .. } => Some(Self::Time),
            Fault::Memory { .. } | Fault::Tables => Some(Self::Memory),
            Fault::Stack => Some(Self::Stack),
            Fault::OutputTooLarge { .. } => Some(Self::Output),
            _ => None,
        }
    }
}

/// The last failure of a stage.
#[derive(Debug, Default)]
pub(super) struct LastError(Mutex<Option<(SystemTime, String)>>);

impl LastError {
    /// Records a failure.
    pub(super) fn note(&self, text: String) {
        *locked(&self.0) = Some((SystemTime::now(), text));
    }

    /// Records a failure if it differs from the last.
    pub(super) fn note_if_new(&self, text: &str) {
        if self.get().is_none_or(|(_, known)| known != text) {
            self.note(text.to_owned());
        }
    }

    /// When and what it was.
    pub(super) fn get(&self) -> Option<(SystemTime, String)> {
        locked(&self.0).clone()
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Answered,
    Rejected,
    Retry,
    Failed,
}

/// The counters of one stage of one channel.
#[derive(Debug)]
pub(super) struct Statistics {
    calls: AtomicU64,
    rejects: AtomicU64,
    retries: AtomicU64,
    errors: AtomicU64,
    limits: [AtomicU64; LIMITS],
    nanoseconds: AtomicU64,
    times: [AtomicU64; BUCKETS],
}

/// The values of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How often it was called, with a message or a part of one.
    pub calls: u64,
    /// How often it found a message or part invalid.
    pub rejects: u64,
    /// How often it answered `retry`.
    pub retries: u64,
    /// How often it failed.
    pub errors: u64,
    /// Median time of a call.
    pub p50: Option<Duration>,
    /// 99th percentile of the time of a call.
    pub p99: Option<Duration>,
    /// How often each limit was reached, in the order of [`Limit::ALL`].
    pub limits: [u64; LIMITS],
    /// The sum of all times.
    pub time: Duration,
    /// How many calls took at most as long as each of [`Figures::BOUNDS`], and longer than the one before.
    pub times: [u64; BOUNDS],
}

impl Figures {
    /// The upper bounds of `times`: each is the end of a bucket of the statistics.
    pub const BOUNDS: [Duration; BOUNDS] =
        [bound(0), bound(1), bound(2), bound(3), bound(4), bound(5), bound(6), bound(7), bound(8), bound(9)];
}

const fn bound(at: usize) -> Duration {
    Duration::from_micros(1 << (FIRST_BOUND + 2 * at))
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            calls: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            limits: array::from_fn(|_| AtomicU64::new(0)),
            nanoseconds: AtomicU64::new(0),
            times: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Statistics {
    pub(super) fn count(&self, ending: Ending, time: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let also = match ending {
            Ending::Answered => None,
            Ending::Rejected => Some(&self.rejects),
            Ending::Retry => Some(&self.retries),
            Ending::Failed => Some(&self.errors),
        };
        if let Some(counter) = also {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(bucket) = self.times.get(bucket(time)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call reached a limit.
    pub(super) fn count_limit(&self, limit: Limit) {
        if let Some(counter) = self.limits.get(limit as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let times: Vec<u64> = self.times.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            calls: of(&self.calls),
            rejects: of(&self.rejects),
            retries: of(&self.retries),
            errors: of(&self.errors),
            p50: quantile(&times, 50),
            p99: quantile(&times, 99),
            limits: array::from_fn(|at| self.limits.get(at).map_or(0, of)),
            time: Duration::from_nanos(of(&self.nanoseconds)),
            times: coarse(&times),
        }
    }
}

/// The counts of the fine buckets, added up between the bounds of the coarse ones.
fn coarse(times: &[u64]) -> [u64; BOUNDS] {
    // The end of a doubling is the end of its last fine bucket.
    let fine = |at: usize| (FIRST_BOUND + 2 * at) * STEPS as usize;
    array::from_fn(|at| {
        let from = if at == 0 { 0 } else { fine(at - 1) };
        times.get(from..fine(at)).map_or(0, |counts| counts.iter().sum())
    })
}

/// The bucket of a time: its doublings of a microsecond, and the two binary digits after the first.
fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    let doublings = u64::from(micros.ilog2());
    let digits = if doublings >= 2 { (micros >> (doublings - 2)) & 3 } else { (micros << (2 - doublings)) & 3 };
    usize::try_from(doublings * STEPS + digits).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

/// The end of a bucket.
fn upper(bucket: usize) -> Duration {
    let (doublings, digits) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    Duration::from_nanos((((5 + digits) * 1000) << doublings) / 4)
}

/// The upper end of the bucket in which this share of all calls is reached.
fn quantile(times: &[u64], percent: u64) -> Option<Duration> {
    let total: u64 = times.iter().sum();
    let wanted = (total * percent).div_ceil(100);
    let mut seen = 0;
    let at = times.iter().position(|count| {
        seen += count;
        seen >= wanted && seen > 0
    });
    at.map(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_below_the_end_of_its_bucket_and_not_far_below() {
        for micros in (1..5000).chain([1 << 20, (1 << 20) + 1, 999_999_999]) {
            let time = Duration::from_micros(micros);
            let end = upper(bucket(time));
            assert!(time < end, "{micros}");
            assert!(micros < 4 || end <= time + time / 4 + Duration::from_micros(1), "{micros}: {end:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_calls() {
        let statistics = Statistics::default();
        assert_eq!(statistics.figures(), Figures::default());
        (0..98).for_each(|_| statistics.count(Ending::Answered, Duration::from_micros(100)));
        statistics.count(Ending::Rejected, Duration::from_millis(10));
        statistics.count(Ending::Failed, Duration::from_secs(1));
        let figures = statistics.figures();
        assert_eq!((figures.calls, figures.rejects, figures.errors, figures.retries), (100, 1, 1, 0));
        let at_most = |bound: u64| -> u64 {
            let within = Figures::BOUNDS.iter().zip(figures.times);
            within.filter(|(end, _)| **end <= Duration::from_micros(bound)).map(|(_, count)| count).sum()
        };
        assert_eq!((at_most(128), at_most(8_192), at_most(32_768), at_most(1 << 25)), (98, 98, 99, 100));
        assert_eq!(figures.time, Duration::from_micros(98 * 100 + 10_000 + 1_000_000));
        assert_eq!(figures.p50, Some(Duration::from_micros(112)));
        assert!(figures.p99.unwrap() > Duration::from_millis(10) && figures.p99.unwrap() < Duration::from_millis(13));
    }
}
