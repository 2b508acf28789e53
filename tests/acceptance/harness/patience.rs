//! Waiting for a thing to become true, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails: `SESAME_TEST_PATIENCE` in seconds, else 180: more than a broker ever
/// stood still on a busy machine.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("SESAME_TEST_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(180);
    Duration::from_secs(seconds)
}

/// Asks again and again until there is an answer, and fails the test by the name of what it waited for.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let limit = patience();
    match within(limit, &mut ask) {
        Some(answer) => answer,
        None => panic!("waited {} s in vain: {what}", limit.as_secs()),
    }
}

/// Asks until there is an answer or the time is over.
pub(crate) fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
