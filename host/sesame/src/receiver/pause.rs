//! The pause of a channel whose plugin fails for every message, and the wait for one that is compiled; senders and receivers
//! pause alike.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use message::locked;

use crate::shutdown::Shutdown;
use plugins::{Pause, Pipeline};

/// How often it is looked whether the plugin was replaced.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the plugin that pauses the channel is to be tried again, is replaced, or a stop is asked for.
pub(crate) async fn wait_for_plugin(pipeline: &ArcSwap<Pipeline>, shutdown: &Shutdown) {
    loop {
        let now = Instant::now();
        let Some(pause) = pipeline.load().pause(now) else { return };
        tokio::select! {
            () = tokio::time::sleep((pause.until - now).min(LOOK)) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Waits until no plugin that applies to every message of `destination` is being compiled, or a stop is asked for.
pub(crate) async fn wait_for_compiler(pipeline: &ArcSwap<Pipeline>, destination: &str, shutdown: &Shutdown) {
    while pipeline.load().holds(destination).is_some() {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Why messages of a channel wait, so that each reason is said once in a back-off and not once for each message.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<HashMap<String, Instant>>);

impl Waits {
    /// Whether a reason was not said within the last `pause`.
    pub(crate) fn is_news(&self, reason: &str, now: Instant, pause: Duration) -> bool {
        let mut said = locked(&self.0);
        said.retain(|_, until| *until > now);
        let news = !said.contains_key(reason);
        if news {
            said.insert(reason.to_owned(), now + pause);
        }
        news
    }
}

/// Logs why the channel pauses, since when, and the time of the next attempt.
pub(crate) fn say_pause(channel: &Arc<str>, pause: &Pause) {
    let rest = pause.until.saturating_duration_since(Instant::now());
    tracing::error!(
        channel = %channel, plugin = %pause.error.plugin, error = %pause.error, since = %moment(pause.since),
        next = %moment(SystemTime::now() + rest),
        "channel paused: plugin fails for every message; no message is lost; next attempt at `next`",
    );
}

/// A time as the log writes it.
fn moment(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "unknown".to_owned(), |at| format!("{at:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_messages_wait_is_said_once_in_a_back_off() {
        let (waits, now, pause) = (Waits::default(), Instant::now(), Duration::from_secs(5));
        let said = |reason, after| waits.is_news(reason, now + Duration::from_secs(after), pause);
        assert!(said("a is broken", 0) && said("b is broken", 1));
        assert!(!said("a is broken", 4) && said("a is broken", 5) && !said("b is broken", 5));
    }
}
