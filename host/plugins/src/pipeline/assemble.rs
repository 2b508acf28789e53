//! A pipeline from stages that stand ready, without reading or compiling anything.

use std::sync::Arc;

use super::stage::{Stage, State};
use super::{Pipeline, PipelineSettings};
use crate::catalog::{Condition, PluginStatus};

impl Pipeline {
    /// The pipeline of a channel from these stages, in order; those that do not concern the channel and those that were
    /// ended are left out. Stages that are the same as in `before` go on counting, and a breaker of theirs that is open stays open
    /// unless their filter, limits or `on-error` changed.
    #[must_use]
    pub fn assemble(stages: &[PluginStatus], settings: PipelineSettings, before: Option<&Self>) -> Self {
        let mut stages: Vec<Stage> = stages.iter().filter_map(|status| stage(status, &settings)).collect();
        for stage in &mut stages {
            let named = before.into_iter().flat_map(|before| &before.stages).find(|old| old.name == stage.name);
            if let Some(old) = named {
                stage.last_error = Arc::clone(&old.last_error);
            }
            if let State::Missing(reason) | State::Broken(reason) = &stage.state {
                stage.last_error.note_news(reason);
            }
            stage.trouble.iter().for_each(|reason| stage.last_error.note_news(reason));
            let same = before.into_iter().flat_map(|before| &before.stages).find(|old| old.is_same(stage));
            if let Some(old) = same {
                stage.statistics = Arc::clone(&old.statistics);
                if old.has_terms_of(stage) {
                    stage.health = Arc::clone(&old.health);
                }
            }
        }
        Self::of(stages, settings)
    }

    /// Whether messages fare the same in both, and operators are told the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let told = |pipeline: &Self| -> Vec<(&'static str, Option<String>, Option<String>)> {
            let stages = pipeline.stages();
            stages.map(|s| (s.condition, s.state.err().map(str::to_owned), s.trouble.map(str::to_owned))).collect()
        };
        self.hash == other.hash && told(self) == told(other)
    }
}

fn stage(status: &PluginStatus, settings: &PipelineSettings) -> Option<Stage> {
    let state = match &status.condition {
        Condition::Ready(loaded) => State::Ready(Arc::clone(loaded)),
        Condition::Compiling => State::Compiling,
        Condition::Missing(reason) => State::Missing(reason.clone()),
        Condition::Broken(reason) => State::Broken(reason.clone()),
        Condition::Disabled | Condition::Removed => return None,
    };
    // Of one that was never understood nothing is known of what it should have seen, so it is everything.
    let sidecar = status.sidecar.clone().unwrap_or_default();
    let concerned = sidecar.filter.concerns(&settings.channel, settings.direction);
    let trouble = status.trouble.clone();
    let loading = status.loading;
    concerned.then(|| Stage { trouble, loading, ..Stage::new(status.name.clone(), sidecar, state) })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::catalog::sidecar::Sidecar;
    use crate::{Blame, Filter, Input, Outcome, TOTAL_TIME};
    use message::{Direction, MessageId};

    fn pipeline(deadline: u64, before: Option<&Pipeline>) -> Pipeline {
        let mut sidecar = Sidecar::default();
        sidecar.limits.deadline = Duration::from_secs(deadline);
        let mut status = PluginStatus::unloaded("a.wasm".to_owned(), "is broken");
        status.sidecar = Some(sidecar);
        Pipeline::assemble(&[status], settings(), before)
    }

    fn settings() -> PipelineSettings {
        PipelineSettings {
            stages: Vec::new(),
            channel: "central".to_owned(),
            channels: vec!["central".to_owned()],
            direction: Direction::Inbound,
            routes: Vec::new(),
            max_payload: 1 << 20,
            total_time: TOTAL_TIME,
        }
    }

    #[test]
    fn failures_count_on_only_while_limits_stay_and_figures_always() {
        let before = pipeline(1, None);
        let kept = |after: &Pipeline| {
            let (old, new) = (&before.stages[0], &after.stages[0]);
            (Arc::ptr_eq(&old.statistics, &new.statistics), Arc::ptr_eq(&old.health, &new.health))
        };
        assert_eq!(kept(&pipeline(1, Some(&before))), (true, true));
        assert_eq!(kept(&pipeline(5, Some(&before))), (true, false));
    }

    fn compiling(filter: Filter) -> Pipeline {
        let sidecar = Some(Sidecar { filter, ..Sidecar::default() });
        let status = PluginStatus {
            sidecar,
            condition: Condition::Compiling,
            ..PluginStatus::unloaded("a.wasm".to_owned(), "")
        };
        Pipeline::assemble(&[status], settings(), None)
    }

    fn outcome(pipeline: &Pipeline, id: &str) -> Option<Blame> {
        let id = MessageId::parse(id).unwrap();
        let input = Input {
            message_id: &id,
            destination: "/queue/a",
            content_type: Some("text/plain"),
            signer: None,
            received_at: 0,
            attempt: 1,
            transport_headers: &[],
            properties: &[],
        };
        match pipeline.run(&input, b"x") {
            Outcome::Failed { error, .. } => Some(error.blame),
            Outcome::Pass { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plugin_that_is_being_compiled_holds_what_it_applies_to_however_often_it_is_asked() {
        let texts = |text: &str| Some(vec![text.to_owned()]);
        let all = compiling(Filter::default());
        assert_eq!((all.holds("/queue/a"), all.holds("/queue/b")), (Some("a.wasm"), Some("a.wasm")));
        let here = compiling(Filter { destination: texts("/queue/a"), ..Filter::default() });
        assert_eq!((here.holds("/queue/a"), here.holds("/queue/b")), (Some("a.wasm"), None));
        let some = compiling(Filter { content_type: texts("text/plain"), ..Filter::default() });
        assert_eq!(some.holds("/queue/a"), None, "others go on");
        let none = compiling(Filter { content_type: texts("text/xml"), ..Filter::default() });
        // More than the failures in a row for which a channel pauses.
        for number in 0..20 {
            let id = format!("m/{number}");
            assert_eq!(outcome(&all, &id), Some(Blame::Nobody));
            assert_eq!(outcome(&some, &id), Some(Blame::Plugin));
            assert_eq!(outcome(&none, &id), None);
        }
        assert!(all.pause(Instant::now()).is_none() && some.pause(Instant::now()).is_none());
    }

    #[test]
    fn the_last_error_and_its_time_stay_when_the_plugin_is_fixed() {
        let before = pipeline(1, None);
        let (at, error) = before.stages[0].last_error.get().unwrap();
        assert_eq!(error, "is broken");
        let status =
            PluginStatus { condition: Condition::Compiling, ..PluginStatus::unloaded("a.wasm".to_owned(), "") };
        let after = Pipeline::assemble(&[status], settings(), Some(&before));
        assert_eq!(after.stages[0].last_error.get(), Some((at, error)));
        assert_eq!(pipeline(5, Some(&before)).stages[0].last_error.get().unwrap().0, at, "it is the same error still");
    }
}
