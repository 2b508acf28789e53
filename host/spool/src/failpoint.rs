//! Named fail points, at which a test aborts, fails or delays the process.
//!
//! `failpoint!("R07")?` compiles to nothing in a released binary. In one with debug assertions it looks
//! up its name in `SESAME_FAILPOINTS`, a list such as `R07=abort;step@12=err;R12=delay:200`: `abort` aborts the process
//! at once, `err` returns an I/O error, `delay` waits that many milliseconds. `@N` means only the N-th time (from 1).
//!
//! | point | where |
//! |---|---|
//! | `step` | before every call in `disk` that changes a queue |
//! | `sync` | before a file system is synced for a batch of received messages |
//! | `transaction` | before every transaction of the journal is committed |
//! | `committed` | after it |
//! | `S..`, `R..` | at moments of the sender and of the receiver that no change precedes or follows alone |
//!
//! A test that kills at each `step`, `transaction` and `committed` in turn strikes between any two durable changes,
//! also those that are added later.

/// Performs the action that a test set for the named point, if any.
#[cfg(any(test, debug_assertions))]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::reached($name)
    };
}

/// Performs the action that a test set for the named point, if any.
#[cfg(not(any(test, debug_assertions)))]
macro_rules! failpoint {
    ($name:literal) => {
        std::io::Result::Ok(())
    };
}

pub(crate) use failpoint;

/// A step of a sender or a receiver outside of this crate that changes nothing on disk: a test may abort or delay the process
/// there. Does nothing in a released binary.
#[cfg(any(test, debug_assertions))]
pub fn kill_point(name: &'static str) {
    drop(active::reached(name));
}

/// A step of a sender or a receiver outside of this crate that changes nothing on disk. Does nothing.
#[cfg(not(any(test, debug_assertions)))]
pub const fn kill_point(_name: &'static str) {}

#[cfg(any(test, debug_assertions))]
pub(crate) use active::reached;
#[cfg(test)]
pub(crate) use active::{Scenario, scenario};

#[cfg(any(test, debug_assertions))]
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push(path);
            }
        }
    }

    #[test]
    fn some_test_strikes_at_every_point() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let (mut points, mut tests) = (std::collections::BTreeSet::new(), String::new());
        for file in files.iter().filter(|file| !file.ends_with("failpoint.rs")) {
            let text = std::fs::read_to_string(file).unwrap();
            let calls = text.split("failpoint!(\"").skip(1);
            points.extend(calls.filter_map(|rest| rest.split('"').next().map(str::to_owned)));
            if text.contains("scenario(") {
                tests.push_str(&text.replace("failpoint!(\"", ""));
            }
        }
        assert!(points.len() > 15, "{points:?}");
        let struck = |point: &&String| ["\"", "@"].iter().any(|end| tests.contains(&format!("\"{point}{end}")));
        let spared: Vec<_> = points.iter().filter(|point| !struck(point)).collect();
        assert_eq!(spared, [""; 0], "no test kills the process there");
    }
}
