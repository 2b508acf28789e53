//! Why a channel pauses or lets messages wait, for the log.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use message::locked;

use super::Channel;
use super::time::moment;
use plugins::Pause;

/// Why messages of a channel wait; each reason is logged once per back-off and not once per message.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<HashMap<String, Instant>>);

impl Waits {
    /// Whether `reason` is due to be logged: it was not within the last `pause`.
    pub(crate) fn is_due(&self, reason: &str, now: Instant, pause: Duration) -> bool {
        let mut logged = locked(&self.0);
        logged.retain(|_, until| *until > now);
        let due = !logged.contains_key(reason);
        if due {
            logged.insert(reason.to_owned(), now + pause);
        }
        due
    }
}

/// Logs why the channel pauses, since when, and when the next attempt is.
pub(crate) fn log_pause(channel: &Channel, pause: &Pause) {
    let rest = pause.until.saturating_duration_since(Instant::now());
    tracing::error!(
        channel = %channel, plugin = %pause.error.plugin, error = %pause.error, since = %moment(pause.since),
        next = %moment(SystemTime::now() + rest),
        "channel paused: plugin fails for every message; no message is lost; next attempt at `next`",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_a_reason_once_per_back_off() {
        let (waits, now, pause) = (Waits::default(), Instant::now(), Duration::from_secs(5));
        let due = |reason, after| waits.is_due(reason, now + Duration::from_secs(after), pause);
        assert!(due("a is broken", 0) && due("b is broken", 1));
        assert!(!due("a is broken", 4) && due("a is broken", 5) && !due("b is broken", 5));
    }
}
