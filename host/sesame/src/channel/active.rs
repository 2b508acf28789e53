//! The pipeline of a channel, which is replaced while the channel runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use crate::shutdown::Shutdown;
use plugins::{Current, Pause, Pipeline};
use transport::Destination;

/// How often to check whether the plugin was replaced.
const LOOK: Duration = Duration::from_millis(100);

/// The pipeline that new messages of a channel go through; those in flight finish on the one they began with.
#[derive(Debug)]
pub struct ActivePipeline {
    pipeline: ArcSwap<Pipeline>,
    destination: Destination,
    current: Current,
    replaced: AtomicU64,
}

impl ActivePipeline {
    /// Begins with `pipeline`, for messages of `destination`.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, destination: Destination) -> Self {
        let replaced = AtomicU64::new(0);
        Self { pipeline: ArcSwap::new(pipeline), destination, current: Current::default(), replaced }
    }

    /// The pipeline, for a short use.
    pub(crate) fn load(&self) -> Guard<Arc<Pipeline>> {
        self.pipeline.load()
    }

    /// The pipeline.
    #[must_use]
    pub fn load_full(&self) -> Arc<Pipeline> {
        self.pipeline.load_full()
    }

    /// New messages go through `pipeline` from now on.
    pub(crate) fn replace(&self, pipeline: Arc<Pipeline>) {
        self.pipeline.store(pipeline);
        self.replaced.fetch_add(1, Ordering::Release);
    }

    /// How often it was replaced. Read this before the pipeline: then a replacement in between counts as a later one.
    pub(crate) fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Acquire)
    }

    /// What ensures that the pipeline includes every plugin in the folder.
    #[must_use]
    pub fn current(&self) -> &Current {
        &self.current
    }

    /// Why the channel must pause now, if it must.
    pub(crate) fn pause(&self) -> Option<Pause> {
        self.load().pause(Instant::now())
    }

    /// Whether a plugin that applies to every message is being compiled.
    pub(crate) fn is_held(&self) -> bool {
        self.load().holds(&self.destination).is_some()
    }

    /// Why no message may pass now, if that is so.
    pub(crate) fn out_of_service(&self) -> Option<String> {
        if let Some(pause) = self.pause() {
            return Some(format!("paused, because plugin {} fails for every message", pause.error.plugin));
        }
        let pipeline = self.load();
        let held = pipeline.holds(&self.destination);
        held.map(|plugin| format!("plugin {plugin} is being compiled"))
    }

    /// Waits until the plugin that paused the channel is due for another attempt, is replaced, or a stop is requested.
    pub(crate) async fn wait_for_plugin(&self, shutdown: &Shutdown) {
        while let Some(pause) = self.pause() {
            let rest = pause.until.saturating_duration_since(Instant::now());
            tokio::select! {
                () = tokio::time::sleep(rest.min(LOOK)) => {}
                () = shutdown.draining() => return,
            }
        }
    }

    /// Waits until no plugin that applies to every message is being compiled, or a stop is requested.
    pub(crate) async fn wait_for_compiler(&self, shutdown: &Shutdown) {
        while self.is_held() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.draining() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::Direction;
    use plugins::PipelineSettings;

    fn pipeline() -> Arc<Pipeline> {
        let settings = PipelineSettings {
            stages: Vec::new(),
            channel: "cpu".to_owned(),
            around: plugins::Surroundings::of_channels(vec!["cpu".to_owned()]),
            direction: Direction::Outbound,
            routes: Vec::new(),
            max_payload: 1 << 20,
            total_time: Duration::from_secs(1),
        };
        Arc::new(Pipeline::assemble(&[], settings, None))
    }

    #[test]
    fn a_replacement_is_counted_once_the_new_pipeline_is_there() {
        let (old, new) = (pipeline(), pipeline());
        let active = ActivePipeline::new(Arc::clone(&old), Destination::stomp("/queue/cpu"));
        assert!(Arc::ptr_eq(&active.load_full(), &old));
        let before = active.replaced();
        active.replace(Arc::clone(&new));
        assert_eq!(active.replaced(), before + 1);
        assert!(Arc::ptr_eq(&active.load_full(), &new));
        assert!(!active.is_held() && active.pause().is_none());
    }
}
