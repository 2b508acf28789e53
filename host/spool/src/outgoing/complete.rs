//! Detects files that are still being written; see the parent module for the policy.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{ElementName, Identity};

/// How long the content must be unchanged.
const SETTLED: Duration = Duration::from_secs(2);

/// Maximum number of watched files. Beyond it all are dropped, which only delays them.
const MAX_WATCHED: usize = 10_000;

/// The files that may still be being written.
#[derive(Debug, Default)]
pub(super) struct Watched(HashMap<ElementName, (Identity, Instant)>);

impl Watched {
    /// Whether the file is complete. `changed` is its ctime in nanoseconds since 1970.
    pub(super) fn is_complete(&mut self, name: &ElementName, identity: &Identity, changed: i128) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos().cast_signed());
        self.check(name, identity, changed, now, Instant::now())
    }

    /// Whether the file may still be being written, as of its last check.
    pub(super) fn contains(&self, name: &ElementName) -> bool {
        self.0.contains_key(name)
    }

    fn check(&mut self, name: &ElementName, identity: &Identity, changed: i128, now: i128, clock: Instant) -> bool {
        // An empty file may be about to be written.
        let finished = identity.size > 0 && changed > identity.modified;
        if finished || now - identity.modified >= SETTLED.as_nanos().cast_signed() {
            self.0.remove(name);
            return true;
        }
        if self.0.len() >= MAX_WATCHED {
            self.0.clear();
        }
        match self.0.get(name) {
            Some((seen, since)) if seen == identity => {
                let settled = clock.saturating_duration_since(*since) >= SETTLED;
                if settled {
                    self.0.remove(name);
                }
                settled
            }
            _ => {
                self.0.insert(name.clone(), (*identity, clock));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    fn file(size: u64, modified: i128) -> Identity {
        Identity { inode: 7, size, modified }
    }

    #[test]
    fn a_copy_in_progress_is_not_complete_until_it_settles() {
        let (mut watched, name, now) = (Watched::default(), ElementName("a".into()), 1000 * SECOND);
        let start = Instant::now();
        assert!(!watched.check(&name, &file(5, now), now, now, start));
        assert!(!watched.check(
            &name,
            &file(9, now + SECOND),
            now + SECOND,
            now + SECOND,
            start + Duration::from_secs(1)
        ));
        assert!(watched.check(&name, &file(9, now + SECOND), now + SECOND, now + 3 * SECOND, start));
    }

    #[test]
    fn a_file_renamed_into_place_is_complete_at_once() {
        let (mut watched, name, now) = (Watched::default(), ElementName("a".into()), 1000 * SECOND);
        assert!(watched.check(&name, &file(5, now), now + 1, now + 1, Instant::now()));
        assert!(!watched.check(&name, &file(0, now), now + 1, now + 1, Instant::now()));
    }

    #[test]
    fn a_file_from_the_future_is_complete_when_watched_long_enough() {
        let (mut watched, name, now) = (Watched::default(), ElementName("a".into()), 1000 * SECOND);
        let (future, start) = (now + 86_400 * SECOND, Instant::now());
        assert!(!watched.check(&name, &file(5, future), future, now, start));
        assert!(watched.check(&name, &file(5, future), future, now, start + Duration::from_secs(2)));
    }
}
