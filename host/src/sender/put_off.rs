//! Elements that wait because a plugin could not answer, or because sending them failed.

use std::collections::{HashMap, HashSet};
use std::time::{Instant, SystemTime};

/// An element that waits.
#[derive(Clone, Copy, Debug)]
struct Wait {
    until: Instant,
    /// When it was put off last.
    since: Instant,
    /// When it was first taken up: the "now" of plugins, the same on every attempt.
    first: SystemTime,
    /// Whether an attempt was counted against it. One that waits for a plugin to be mended goes on when it is.
    counted: bool,
}

/// The elements of a queue that are not to be taken up before their time, by name.
#[derive(Debug, Default)]
pub(super) struct PutOff(HashMap<String, Wait>);

impl PutOff {
    /// From `now` on the element waits until `until`.
    pub(super) fn put(&mut self, element: &str, now: Instant, until: Instant, counted: bool) {
        let first = self.first_taken_up(element);
        self.0.insert(element.to_owned(), Wait { until, since: now, first, counted });
    }

    /// When an element was first taken up.
    pub(super) fn first_taken_up(&self, element: &str) -> SystemTime {
        self.0.get(element).map_or_else(SystemTime::now, |wait| wait.first)
    }

    /// The element is done with, or goes on.
    pub(super) fn remove(&mut self, element: &str) {
        self.0.remove(element);
    }

    /// What waits for a plugin may go at `now`.
    pub(super) fn free_uncounted(&mut self, now: Instant) {
        self.0.values_mut().filter(|wait| !wait.counted).for_each(|wait| wait.until = now);
    }

    /// When the next of those that wait at `now` may go.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(|wait| wait.until).filter(|until| *until > now).min()
    }

    /// Those that still have to wait at `now`.
    pub(super) fn waiting(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, wait)| now < wait.until).map(|(name, _)| name.as_str())
    }

    /// All names, whether they still have to wait or not.
    pub(super) fn names(&self) -> HashSet<String> {
        self.0.keys().cloned().collect()
    }

    /// Forgets the elements that a pass through the whole queue, begun at `begun`, did not come upon.
    pub(super) fn forget_gone(&mut self, unseen: &HashSet<String>, begun: Instant) {
        self.0.retain(|name, wait| wait.since >= begun || !unseen.contains(name));
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
            put_off.put(name, now, now + SECOND, true);
        }
        let begun = now + SECOND;
        put_off.put("again", begun, begun + SECOND, true);
        let unseen = ["gone".to_owned(), "again".to_owned()].into();
        put_off.forget_gone(&unseen, begun);
        assert_eq!(put_off.names(), ["there".to_owned(), "again".to_owned()].into());
    }

    #[test]
    fn one_whose_time_has_come_does_not_hide_when_the_next_may_go() {
        let (mut put_off, now) = (PutOff::default(), Instant::now());
        put_off.put("due", now, now + SECOND, true);
        put_off.put("plugin", now, now + 5 * SECOND, false);
        put_off.put("later", now, now + 9 * SECOND, true);
        assert_eq!(put_off.next(now + SECOND), Some(now + 5 * SECOND));
        put_off.free_uncounted(now + 2 * SECOND);
        assert_eq!(put_off.next(now + 2 * SECOND), Some(now + 9 * SECOND));
        assert_eq!(put_off.waiting(now + 2 * SECOND).collect::<Vec<_>>(), ["later"]);
        put_off.remove("later");
        assert_eq!(put_off.next(now), Some(now + SECOND));
    }

    #[test]
    fn what_is_put_off_again_was_first_taken_up_when_it_was() {
        let (mut put_off, now) = (PutOff::default(), Instant::now());
        put_off.put("a", now, now, true);
        let first = put_off.first_taken_up("a");
        put_off.put("a", now + SECOND, now + SECOND, false);
        assert_eq!(put_off.first_taken_up("a"), first);
    }
}
