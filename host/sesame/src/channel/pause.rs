//! Why a channel pauses, for the log.

use std::time::{Instant, SystemTime};

use message::daily::Condition;

use super::Channel;
use super::time::moment;
use plugins::Pause;

/// Logs why the channel pauses, since when, and when the next attempt is; each pause once, and again when its reason changes.
pub(crate) fn log_pause(channel: &Channel, pause: &Pause) {
    let error = pause.error.to_string();
    let pausing = Condition::error("channel paused", &channel.section());
    if !pausing.is_due(&format!("{error} {}", moment(pause.since))) {
        return;
    }
    let rest = pause.until.saturating_duration_since(Instant::now());
    tracing::error!(
        channel = %channel, plugin = %pause.error.plugin, error, since = %moment(pause.since),
        next = %moment(SystemTime::now() + rest),
        "channel paused: plugin fails for every message; no message is lost; next attempt at `next`",
    );
}
