//! Named fail points, at which a test aborts, fails or delays the process.
//!
//! `failpoint!("R07")?` compiles to nothing in a released binary. With `cfg(test)` or the feature `failpoints` it looks
//! up its name in `SESAME_FAILPOINTS`, a list such as `R07=abort;step@12=err;R12=delay:200`: `abort` aborts the process
//! at once, `err` returns an I/O error, `delay` waits that many milliseconds. `@N` means only the N-th time (from 1).
//! The point `step` precedes every call in `disk` that changes a queue, so that a test can fail or abort each of them
//! in turn. Names follow the crash matrix: `S..` sender, `R..` receiver.

/// Performs the action that a test set for the named point, if any.
#[cfg(any(test, feature = "failpoints"))]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::reached($name)
    };
}

/// Performs the action that a test set for the named point, if any.
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
        /// By name, the action and the hit it applies to (`None`: every hit).
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

    /// Counts a hit of the point `name` and performs its action, if any.
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

    /// Reserves the fail points for one test; dropping it clears them.
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
        /// Sets the points and resets their hits.
        pub(crate) fn set(&self, list: &str) {
            *locked(points()) = parse(list);
        }

        /// Number of hits of a point since the last `set`.
        pub(crate) fn hits(&self, name: &str) -> u64 {
            locked(points()).hits.get(name).copied().unwrap_or(0)
        }
    }

    /// Reserves the points for a test. They are shared by the process, so tests that write to a spool run one at a
    /// time.
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
