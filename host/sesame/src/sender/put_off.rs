//! Elements that wait because a plugin could not answer, or because sending them failed.

use std::collections::{HashMap, HashSet};
use std::time::{Instant, SystemTime};

/// An element that waits.
#[derive(Clone, Copy, Debug)]
struct Wait {
    until: Instant,
    /// When it was last postponed.
    since: Instant,
    /// When it was first taken up: the "now" of plugins, the same on every attempt.
    first: SystemTime,
    /// Whether an attempt was counted against it. One that waits for a plugin to be fixed continues once it is.
    counted: bool,
}

/// What an element waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Its next attempt: one was counted against it.
    Attempt,
    /// A plugin to be replaced; with [`PutOff::replaced`] as it was when the plugin was called.
    Plugin(u64),
}

/// The elements of a queue that are not to be taken up before their time, by name.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    waits: HashMap<String, Wait>,
    /// How often plugins were replaced.
    replaced: u64,
}

impl PutOff {
    /// From `now` on the element waits until `until`, or not at all if its plugin was replaced since that was called.
    pub(super) fn put(&mut self, element: &str, now: Instant, until: Instant, waits_for: WaitsFor) {
        let first = self.first_taken_up(element);
        let until = match waits_for {
            WaitsFor::Plugin(replaced) if replaced != self.replaced => now,
            _ => until,
        };
        let counted = waits_for == WaitsFor::Attempt;
        self.waits.insert(element.to_owned(), Wait { until, since: now, first, counted });
    }

    /// How often plugins were replaced.
    pub(super) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// When an element was first taken up.
    pub(super) fn first_taken_up(&self, element: &str) -> SystemTime {
        self.waits.get(element).map_or_else(SystemTime::now, |wait| wait.first)
    }

    /// The element is complete, or continues.
    pub(super) fn remove(&mut self, element: &str) {
        self.waits.remove(element);
    }

    /// Plugins were replaced: what waits for one may go at `now`.
    pub(super) fn replace(&mut self, now: Instant) {
        self.replaced += 1;
        self.waits.values_mut().filter(|wait| !wait.counted).for_each(|wait| wait.until = now);
    }

    /// How many wait for a plugin and not for their next attempt.
    pub(super) fn for_plugins(&self) -> usize {
        self.waits.values().filter(|wait| !wait.counted).count()
    }

    /// When the next of those that wait at `now` may go.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.waits.values().map(|wait| wait.until).filter(|until| *until > now).min()
    }

    /// Those that still have to wait at `now`.
    pub(super) fn waiting(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.waits.iter().filter(move |(_, wait)| now < wait.until).map(|(name, _)| name.as_str())
    }

    /// All names, whether they still have to wait or not.
    pub(super) fn names(&self) -> HashSet<String> {
        self.waits.keys().cloned().collect()
    }

    /// Forgets the elements that a pass through the whole queue, begun at `begun`, did not find.
    pub(super) fn forget_gone(&mut self, unseen: &HashSet<String>, begun: Instant) {
        self.waits.retain(|name, wait| wait.since >= begun || !unseen.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn elements_that_are_gone_are_forgotten_and_others_are_not() {
        let (mut put_off, now) = (PutOff::default(), Instant::now());
        for name in ["there", "gone", "again"] {
            put_off.put(name, now, now + SECOND, WaitsFor::Attempt);
        }
        let begun = now + SECOND;
        put_off.put("again", begun, begun + SECOND, WaitsFor::Attempt);
        let unseen = ["gone".to_owned(), "again".to_owned()].into();
        put_off.forget_gone(&unseen, begun);
        assert_eq!(put_off.names(), ["there".to_owned(), "again".to_owned()].into());
    }

    #[test]
    fn one_whose_time_has_come_does_not_hide_when_the_next_may_go() {
        let (mut put_off, now) = (PutOff::default(), Instant::now());
        put_off.put("due", now, now + SECOND, WaitsFor::Attempt);
        put_off.put("plugin", now, now + 5 * SECOND, WaitsFor::Plugin(0));
        put_off.put("later", now, now + 9 * SECOND, WaitsFor::Attempt);
        assert_eq!(put_off.next(now + SECOND), Some(now + 5 * SECOND));
        put_off.replace(now + 2 * SECOND);
        assert_eq!(put_off.next(now + 2 * SECOND), Some(now + 9 * SECOND));
        assert_eq!(put_off.waiting(now + 2 * SECOND).collect::<Vec<_>>(), ["later"]);
        put_off.remove("later");
        assert_eq!(put_off.next(now), Some(now + SECOND));
    }

    #[test]
    fn an_element_does_not_wait_for_a_plugin_replaced_during_the_call() {
        let (mut put_off, now) = (PutOff::default(), Instant::now());
        let asked = put_off.replaced();
        put_off.replace(now);
        put_off.put("late", now, now + SECOND, WaitsFor::Plugin(asked));
        put_off.put("counted", now, now + SECOND, WaitsFor::Attempt);
        put_off.put("new", now, now + SECOND, WaitsFor::Plugin(put_off.replaced()));
        let waiting: HashSet<&str> = put_off.waiting(now).collect();
        assert_eq!(waiting, ["counted", "new"].into());
    }

    #[test]
    fn postponing_again_keeps_the_time_of_the_first_attempt() {
        let (mut put_off, now) = (PutOff::default(), Instant::now());
        put_off.put("a", now, now, WaitsFor::Attempt);
        let first = put_off.first_taken_up("a");
        put_off.put("a", now + SECOND, now + SECOND, WaitsFor::Plugin(0));
        assert_eq!(put_off.first_taken_up("a"), first);
    }
}
