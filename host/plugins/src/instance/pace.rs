//! How much of a processor a plugin in shadow takes: a twentieth, however fast or slow it is.
//!
//! # Policy
//! Each moment in which it runs is followed by [`REST`] times as long in which it does not. It may run [`FULL`] before it rests,
//! so that a burst of messages finds it ready: within a call it goes on tick by tick after that ([`Pace`]), and between calls it
//! rests for what is left ([`TimeBudget`]). The lowest priority alone would not do: where two processors share a core, a thread on
//! one slows down the other, whatever its priority. Only ticks in which the call runs count towards its deadline, so that a
//! plugin is as far from its deadline in shadow as it is in service.

use std::time::{Duration, Instant};

use wasmtime::UpdateDeadline;

use crate::component::engine::TICK;

/// How long a shadow runs without rest.
const FULL: Duration = Duration::from_millis(50);
/// How many times longer than it runs it rests.
const REST: u32 = 19;

/// What the calls of a shadow have run, and have not rested for.
#[derive(Debug, Default)]
pub(crate) struct TimeBudget {
    /// When it has rested for all of it.
    rested: Option<Instant>,
}

impl TimeBudget {
    /// How long to rest before the next call.
    pub(crate) fn rest(&self, now: Instant) -> Duration {
        let rested = self.rested.map_or(Duration::ZERO, |rested| rested.saturating_duration_since(now));
        rested.saturating_sub(FULL * REST)
    }

    /// A call that ends now took this long. What it slept itself, after [`FULL`], it has rested for.
    pub(crate) fn spend(&mut self, now: Instant, took: Duration) {
        let began = now.checked_sub(took).unwrap_or(now);
        let from = self.rested.filter(|rested| *rested > began).unwrap_or(began);
        self.rested = Some(from + took.min(FULL) * (REST + 1));
    }
}

/// The ticks of a call in shadow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    left: u64,
}

impl Pace {
    /// For a call that may run for this many ticks; and how many it runs at full speed.
    pub(crate) fn of(ticks: u64) -> (Self, u64) {
        let full = ticks.min((FULL.as_millis() / TICK.as_millis()) as u64);
        (Self { left: ticks - full }, full)
    }

    /// The call has run for as many ticks as it was granted: sleeps, and grants another tick, unless none is left.
    pub(crate) fn next(&mut self) -> UpdateDeadline {
        let Some(left) = self.left.checked_sub(1) else { return UpdateDeadline::Interrupt };
        self.left = left;
        std::thread::sleep(TICK * REST);
        UpdateDeadline::Continue(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn calls_run_without_rest_for_a_while_and_then_a_twentieth_of_the_time() {
        let (mut budget, begun) = (TimeBudget::default(), Instant::now());
        let (mut now, mut ran, call) = (begun, Duration::ZERO, Duration::from_millis(1));
        for number in 0..1000 {
            let rest = budget.rest(now);
            assert!(number >= 50 || rest == Duration::ZERO, "{number}: {rest:?}");
            now += rest + call;
            ran += call;
            budget.spend(now, call);
        }
        let share = (ran - FULL).as_secs_f64() / (now - begun).as_secs_f64();
        assert!((0.0495..0.0505).contains(&share), "{share}");
        now += Duration::from_secs(1);
        assert_eq!(budget.rest(now), Duration::ZERO, "it has rested");
    }

    #[test]
    fn a_call_that_lasts_has_rested_itself() {
        let (mut budget, mut now) = (TimeBudget::default(), Instant::now());
        for (took, rest) in [(Duration::from_secs(100), Duration::ZERO), (FULL, Duration::ZERO), (FULL, FULL * REST)] {
            now += took;
            budget.spend(now, took);
            assert_eq!(budget.rest(now), rest, "{took:?}");
        }
    }

    #[test]
    fn a_call_runs_at_full_speed_and_then_a_twentieth_of_the_time_for_as_many_ticks_as_it_may() {
        let (mut pace, full) = Pace::of(8);
        assert_eq!(full, 5);
        let begun = Instant::now();
        let granted = std::iter::from_fn(|| match pace.next() {
            UpdateDeadline::Continue(ticks) => Some(ticks),
            _ => None,
        });
        assert_eq!(granted.collect::<Vec<_>>(), [1, 1, 1]);
        assert!(begun.elapsed() >= TICK * REST * 3);
    }

    #[test]
    fn a_short_deadline_is_no_longer_in_shadow() {
        let (mut pace, full) = Pace::of(2);
        assert_eq!(full, 2);
        assert!(matches!(pace.next(), UpdateDeadline::Interrupt));
    }
}
