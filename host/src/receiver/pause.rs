//! The pause of a channel whose plugin fails for every message; senders and receivers pause alike.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use crate::plugin::{Pause, Pipeline};
use crate::shutdown::Shutdown;

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

/// Says why the channel pauses, since when, and when the plugin is tried again.
pub(crate) fn say_pause(channel: &Arc<str>, pause: &Pause) {
    let rest = pause.until.saturating_duration_since(Instant::now());
    tracing::error!(
        channel = %channel, plugin = %pause.error.plugin, error = %pause.error, since = %moment(pause.since),
        next = %moment(SystemTime::now() + rest),
        "the channel pauses, for this plugin fails for every message: none is lost or held to blame, and the plugin is \
         tried again at `next` or when it is replaced",
    );
}

/// A time as the log writes it.
fn moment(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "unknown".to_owned(), |at| format!("{at:.0}"))
}
