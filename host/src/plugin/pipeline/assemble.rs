//! A pipeline from stages that stand ready, without reading or compiling anything.

use std::sync::Arc;

use super::stage::{Stage, State};
use super::{Pipeline, PipelineSettings};
use crate::plugin::shelf::{Condition, Standing};

impl Pipeline {
    /// The pipeline of a channel from these stages, in order; those that do not concern the channel and those that were
    /// ended are left out. Stages that are the same as in `before` go on counting, and a breaker of theirs that is open stays open
    /// unless their filter, limits or `on-error` changed.
    #[must_use]
    pub fn assemble(stages: &[Standing], settings: PipelineSettings, before: Option<&Self>) -> Self {
        let mut stages: Vec<Stage> = stages.iter().filter_map(|standing| stage(standing, &settings)).collect();
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

fn stage(standing: &Standing, settings: &PipelineSettings) -> Option<Stage> {
    let state = match &standing.condition {
        Condition::Ready(loaded) => State::Ready(Arc::clone(loaded)),
        Condition::Compiling => State::Compiling,
        Condition::Missing(reason) => State::Missing(reason.clone()),
        Condition::Broken(reason) => State::Broken(reason.clone()),
        Condition::Disabled | Condition::Removed => return None,
    };
    // Of one that was never understood nothing is known of what it should have seen, so it is everything.
    let side_car = standing.side_car.clone().unwrap_or_default();
    let concerned = side_car.filter.concerns(&settings.channel, settings.direction);
    let trouble = standing.trouble.clone();
    let loading = standing.loading;
    concerned.then(|| Stage { trouble, loading, ..Stage::new(standing.name.clone(), side_car, state) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::message::Direction;
    use crate::plugin::TOTAL_TIME;
    use crate::plugin::sidecar::SideCar;

    fn pipeline(deadline: u64, before: Option<&Pipeline>) -> Pipeline {
        let mut side_car = SideCar::default();
        side_car.limits.deadline = Duration::from_secs(deadline);
        let mut standing = Standing::unloaded("a.wasm".to_owned(), "is broken");
        standing.side_car = Some(side_car);
        let settings = PipelineSettings {
            stages: Vec::new(),
            channel: "central".to_owned(),
            channels: vec!["central".to_owned()],
            direction: Direction::Inbound,
            routes: Vec::new(),
            max_payload: 1 << 20,
            total_time: TOTAL_TIME,
        };
        Pipeline::assemble(&[standing], settings, before)
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
}
