//! Elements that wait because a plugin could not answer, or because sending them failed.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use crate::channel::back_off;
use crate::config::Repetition;
use message::locked;

/// An element that waits.
#[derive(Clone, Copy, Debug)]
struct Wait {
    until: Instant,
    waits_for: WaitsFor,
    /// When it was last postponed.
    since: Instant,
    /// When it was first taken up: the "now" of plugins, the same on every attempt.
    first: SystemTime,
}

impl Wait {
    /// Whether it still waits at `now`, when the pipeline was replaced so often.
    fn goes_on(&self, now: Instant, replaced: u64) -> bool {
        now < self.until && !matches!(self.waits_for, WaitsFor::Plugin(before) if before != replaced)
    }
}

/// What an element waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Its next attempt: one was counted against it.
    Attempt,
    /// A plugin to be fixed: it continues as soon as the pipeline is replaced. With the number of replacements
    /// ([`ActivePipeline::replaced`](crate::channel::ActivePipeline)) from before the plugin was called.
    Plugin(u64),
}

/// The elements of a queue that are not to be taken up before their time, by name.
#[derive(Debug)]
pub(super) struct Postponed {
    repetition: Repetition,
    waits: Mutex<HashMap<String, Wait>>,
}

impl Postponed {
    pub(super) fn new(repetition: Repetition) -> Self {
        Self { repetition, waits: Mutex::default() }
    }

    /// Postpones an element after failed attempt number `attempt`, 0 where none was counted, for at least `after`.
    pub(super) fn postpone(&self, element: &str, attempt: u32, after: Option<Duration>, waits_for: WaitsFor) {
        let pause = back_off(&self.repetition, attempt).max(after.unwrap_or_default());
        let now = Instant::now();
        self.put(element, now, now + pause, waits_for);
    }

    fn put(&self, element: &str, since: Instant, until: Instant, waits_for: WaitsFor) {
        let first = self.first_taken_up(element);
        locked(&self.waits).insert(element.to_owned(), Wait { until, waits_for, since, first });
    }

    /// When an element was first taken up.
    pub(super) fn first_taken_up(&self, element: &str) -> SystemTime {
        locked(&self.waits).get(element).map_or_else(SystemTime::now, |wait| wait.first)
    }

    /// The element is complete, or continues.
    pub(super) fn remove(&self, element: &str) {
        locked(&self.waits).remove(element);
    }

    /// How many wait for a plugin and not for their next attempt.
    pub(super) fn for_plugins(&self) -> usize {
        locked(&self.waits).values().filter(|wait| wait.waits_for != WaitsFor::Attempt).count()
    }

    /// When the next of those that wait at `now` may continue.
    pub(super) fn next(&self, now: Instant, replaced: u64) -> Option<Instant> {
        locked(&self.waits).values().filter(|wait| wait.goes_on(now, replaced)).map(|wait| wait.until).min()
    }

    /// Those that still have to wait at `now`.
    pub(super) fn waiting(&self, now: Instant, replaced: u64) -> HashSet<String> {
        let waits = locked(&self.waits);
        waits.iter().filter(|(_, wait)| wait.goes_on(now, replaced)).map(|(name, _)| name.clone()).collect()
    }

    /// All names, whether they still have to wait or not.
    pub(super) fn names(&self) -> HashSet<String> {
        locked(&self.waits).keys().cloned().collect()
    }

    /// Forgets the elements that a pass through the whole queue, begun at `begun`, did not find.
    pub(super) fn forget_gone(&self, unseen: &HashSet<String>, begun: Instant) {
        locked(&self.waits).retain(|name, wait| wait.since >= begun || !unseen.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn none() -> Postponed {
        Postponed::new(Repetition::default())
    }

    fn set(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn elements_that_are_gone_are_forgotten_and_others_are_not() {
        let (postponed, now) = (none(), Instant::now());
        for name in ["there", "gone", "again"] {
            postponed.put(name, now, now + SECOND, WaitsFor::Attempt);
        }
        let begun = now + SECOND;
        postponed.put("again", begun, begun + SECOND, WaitsFor::Attempt);
        postponed.forget_gone(&set(&["gone", "again"]), begun);
        assert_eq!(postponed.names(), set(&["there", "again"]));
    }

    #[test]
    fn one_whose_time_has_come_does_not_hide_when_the_next_may_continue() {
        let (postponed, now) = (none(), Instant::now());
        postponed.put("due", now, now + SECOND, WaitsFor::Attempt);
        postponed.put("plugin", now, now + 5 * SECOND, WaitsFor::Plugin(0));
        postponed.put("later", now, now + 9 * SECOND, WaitsFor::Attempt);
        assert_eq!(postponed.next(now + SECOND, 0), Some(now + 5 * SECOND));
        assert_eq!(postponed.next(now + 2 * SECOND, 1), Some(now + 9 * SECOND));
        assert_eq!(postponed.waiting(now + 2 * SECOND, 1), set(&["later"]));
        postponed.remove("later");
        assert_eq!(postponed.next(now, 1), Some(now + SECOND));
    }

    #[test]
    fn an_element_does_not_wait_for_a_plugin_replaced_during_the_call() {
        let (postponed, now) = (none(), Instant::now());
        postponed.put("late", now, now + SECOND, WaitsFor::Plugin(0));
        postponed.put("counted", now, now + SECOND, WaitsFor::Attempt);
        postponed.put("new", now, now + SECOND, WaitsFor::Plugin(1));
        assert_eq!(postponed.waiting(now, 1), set(&["counted", "new"]));
        assert_eq!(postponed.for_plugins(), 2);
    }

    #[test]
    fn postponing_again_keeps_the_time_of_the_first_attempt() {
        let (postponed, now) = (none(), Instant::now());
        postponed.put("a", now, now, WaitsFor::Attempt);
        let first = postponed.first_taken_up("a");
        postponed.put("a", now + SECOND, now + SECOND, WaitsFor::Plugin(0));
        assert_eq!(postponed.first_taken_up("a"), first);
    }

    #[test]
    fn waits_for_the_back_off_or_longer_if_the_plugin_asks_for_it() {
        let postponed = Postponed::new(Repetition { attempts: 9, back_off_min: SECOND, back_off_max: 3 * SECOND });
        let pause = |attempt, after| {
            postponed.postpone("a", attempt, after, WaitsFor::Attempt);
            let now = Instant::now();
            postponed.next(now, 0).map(|until| (until - now).as_secs_f64().round())
        };
        assert_eq!([pause(1, None), pause(2, None), pause(9, None)], [Some(1.0), Some(2.0), Some(3.0)]);
        assert_eq!(pause(1, Some(60 * SECOND)), Some(60.0));
    }
}
