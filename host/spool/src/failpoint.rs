//! Named points at which a test makes the process die, fail or dawdle.
//!
//! `failpoint!("R07")?` is nothing at all in a released binary. With `cfg(test)` or the feature `failpoints` it looks its
//! name up in `SESAME_FAILPOINTS`, a list such as `R07=abort;step@12=err;R12=delay:200`: `abort` ends the process as
//! SIGKILL would, `err` returns an I/O error, `delay` waits that many milliseconds. `@N` means the N-th time only (from 1).
//! The point `step` is before every call that changes the disk, so that a test can fail or kill each of them in turn.
//! Names follow the crash matrix: `S..` sender, `R..` receiver.

/// Stops at the named point if a test asked for it; otherwise nothing.
#[cfg(any(test, feature = "failpoints"))]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::reached($name)
    };
}

/// Stops at the named point if a test asked for it; otherwise nothing.
#[cfg(not(any(test, feature = "failpoints")))]
macro_rules! failpoint {
    ($name:literal) => {
        std::io::Result::Ok(())
    };
}

pub(crate) use failpoint;

#[cfg(any(test, feature = "failpoints"))]
pub(crate) use active::reached;
#[cfg(test)]
pub(crate) use active::{Scenario, scenario};

#[cfg(any(test, feature = "failpoints"))]
mod active {
    use std::collections::HashMap;
    use std::io;
    use std::sync::{Mutex, OnceLock};
    use std::time::Duration;

    use message::locked;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Abort,
        Fail,
        Delay(Duration),
    }

    #[derive(Debug, Default)]
    struct Points {
        /// Name to action and the hit it applies to (every hit, if none).
        actions: HashMap<String, (Action, Option<u64>)>,
        hits: HashMap<&'static str, u64>,
    }

    fn points() -> &'static Mutex<Points> {
        static POINTS: OnceLock<Mutex<Points>> = OnceLock::new();
        POINTS.get_or_init(|| Mutex::new(parse(&std::env::var("SESAME_FAILPOINTS").unwrap_or_default())))
    }

    fn parse(list: &str) -> Points {
        let mut points = Points::default();
        for item in list.split(';').filter(|item| !item.trim().is_empty()) {
            let (point, action) = item.split_once('=').unwrap_or((item, "err"));
            let (name, hit) = match point.trim().split_once('@') {
                Some((name, hit)) => (name, hit.parse().ok()),
                None => (point.trim(), None),
            };
            let action = match action.trim().split_once(':') {
                Some(("delay", ms)) => Action::Delay(Duration::from_millis(ms.parse().unwrap_or(0))),
                _ if action.trim() == "abort" => Action::Abort,
                _ => Action::Fail,
            };
            points.actions.insert(name.to_owned(), (action, hit));
        }
        points
    }

    /// Counts a passage of point `name` and does what a test asked for there.
    ///
    /// # Errors
    /// The injected error.
    pub(crate) fn reached(name: &'static str) -> io::Result<()> {
        let action = {
            let mut points = locked(points());
            let hit = points.hits.entry(name).or_default();
            *hit += 1;
            let hit = *hit;
            points.actions.get(name).filter(|(_, wanted)| wanted.is_none_or(|wanted| wanted == hit)).map(|(a, _)| *a)
        };
        match action {
            Some(Action::Abort) => std::process::abort(),
            Some(Action::Fail) => Err(io::Error::other(format!("injected at {name}"))),
            Some(Action::Delay(time)) => {
                std::thread::sleep(time);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Holds the points for one test; they are off again when it is dropped.
    #[cfg(test)]
    pub(crate) struct Scenario(#[expect(dead_code, reason = "held, not read")] std::sync::MutexGuard<'static, ()>);

    #[cfg(test)]
    impl Drop for Scenario {
        fn drop(&mut self) {
            *locked(points()) = Points::default();
        }
    }

    #[cfg(test)]
    impl Scenario {
        /// Sets the points from here on.
        pub(crate) fn set(&self, list: &str) {
            *locked(points()) = parse(list);
        }

        /// How often a point was passed since the last `set`.
        pub(crate) fn hits(&self, name: &str) -> u64 {
            locked(points()).hits.get(name).copied().unwrap_or(0)
        }
    }

    /// Takes the points for a test: they are shared by the process, so tests that write to a spool take turns.
    #[cfg(test)]
    pub(crate) fn scenario(list: &str) -> Scenario {
        static TURN: Mutex<()> = Mutex::new(());
        let scenario = Scenario(locked(&TURN));
        if !list.is_empty() {
            scenario.set(list);
        }
        scenario
    }
}
