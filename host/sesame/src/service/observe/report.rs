//! The status of a running service as lines of the log, for those who have only that.

use std::sync::Arc;

use observe::Source as _;
use observe::overview::{Channel, Direction, Overview, Severity};
use tokio::sync::Notify;

use super::Shown;

/// Writes the status to the log.
#[derive(Debug)]
pub struct Reporter(Arc<Shown>);

impl Reporter {
    pub(super) fn of(shown: &Arc<Shown>) -> Self {
        Self(Arc::clone(shown))
    }

    /// Writes it whenever it is asked for. Never returns.
    pub async fn log_when(self, asked: Arc<Notify>) {
        loop {
            asked.notified().await;
            self.0.sampler.look().await;
            let shown = Arc::clone(&self.0);
            if let Ok(overview) = tokio::task::spawn_blocking(move || shown.overview()).await {
                log(&overview);
            }
        }
    }
}

fn log(overview: &Overview) {
    for channel in &overview.channels {
        let direction = match channel.direction {
            Direction::Send => "send",
            Direction::Receive => "receive",
        };
        let state = channel.out_of_service.as_deref().unwrap_or("in service");
        let fates = counts(&channel.fates.iter().map(|(fate, count)| (fate.as_str(), *count)).collect::<Vec<_>>());
        let queues = queues(channel);
        tracing::info!(
            channel = channel.name,
            direction,
            state,
            in_flight = channel.in_flight,
            fates,
            queues,
            "status of a channel",
        );
    }
    for trouble in &overview.troubles {
        let severity = match trouble.severity {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        tracing::info!(severity, about = trouble.about, trouble = trouble.text, "status: trouble");
    }
    tracing::info!(channels = overview.channels.len(), troubles = overview.troubles.len(), "status");
}

fn queues(channel: &Channel) -> String {
    counts(&channel.queues.iter().map(|queue| (queue.name.as_str(), queue.messages)).collect::<Vec<_>>())
}

/// `sent 5, rejected 1`; what is zero is left out.
fn counts(all: &[(&str, u64)]) -> String {
    let some = all.iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{word} {count}"));
    some.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_zero_are_left_out() {
        assert_eq!(counts(&[("sent", 5), ("waiting", 0), ("rejected", 1)]), "sent 5, rejected 1");
        assert_eq!(counts(&[]), "");
    }
}
