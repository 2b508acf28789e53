//! Builds the pipeline of a channel from the plugins it uses. One function does it, for plugins of the catalog and for files
//! that are loaded for a command.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::shadow::Shadow;
use super::stage::Stage;
use super::{Pipeline, PipelineSettings, PluginError};
use crate::catalog::Effort;
use crate::catalog::load::load;
use crate::catalog::plugins::Plugins;
use crate::catalog::status::{PluginState, PluginStatus};
use message::hex;

impl Pipeline {
    /// Loads the plugins of a channel. This compiles, and can take long.
    ///
    /// A plugin of the folder that cannot be loaded stays as a stage that cannot answer, see [`Pipeline::broken`].
    ///
    /// # Errors
    /// Every plugin named in the configuration that applies to the channel and cannot be loaded.
    pub fn load(plugins: &Plugins, settings: PipelineSettings) -> Result<Self, Vec<PluginError>> {
        let load = |source| load(plugins, source, &settings.around, Effort::Full);
        let stages: Vec<PluginStatus> = settings.stages.iter().map(load).collect();
        let named = settings.stages.iter().zip(&stages).filter(|(source, _)| source.named).map(|(_, status)| status);
        let applies = named.filter(|status| applies(status, &settings));
        let errors: Vec<PluginError> = applies.filter_map(PluginError::of).collect();
        if errors.is_empty() { Ok(Self::assemble(&stages, settings, None)) } else { Err(errors) }
    }

    /// The pipeline of a channel from these plugins, in order; those that do not apply to the channel, are disabled or
    /// uninstalled are left out. Stages that are the same as in `before` keep their statistics, and an open breaker stays
    /// open unless the plugin's filter, limits or `on-error` changed.
    #[must_use]
    pub fn assemble(stages: &[PluginStatus], settings: PipelineSettings, before: Option<&Self>) -> Self {
        let used = stages.iter().filter(|status| applies(status, &settings));
        let (mut stages, mut in_shadow): (Vec<Stage>, Vec<(&PluginStatus, usize)>) = Default::default();
        for status in used {
            match status.is_shadow() {
                true => in_shadow.push((status, stages.len())),
                false => stages.push(Stage::new(status)),
            }
        }
        for stage in &mut stages {
            let named = before.into_iter().flat_map(|before| &before.stages).find(|old| old.name == stage.name);
            if let Some(old) = named {
                stage.last_error = Arc::clone(&old.last_error);
            }
            stage.reason.iter().for_each(|reason| stage.last_error.note_if_new(reason));
            let same = before.into_iter().flat_map(|before| &before.stages).find(|old| old.is_same(stage));
            if let Some(old) = same {
                stage.statistics = Arc::clone(&old.statistics);
                if old.has_terms_of(stage) {
                    stage.health = Arc::clone(&old.health);
                }
            }
        }
        let old = before.map(|before| before.shadows.as_slice()).unwrap_or_default();
        let shadow = |(status, place): (&PluginStatus, usize)| Shadow::new(status, place, &stages, old);
        let shadows = in_shadow.into_iter().map(shadow).collect();
        let hash = fingerprint(&stages, &settings);
        let PipelineSettings { channel, direction, routes, max_payload, total_time, .. } = settings;
        let routes = Arc::new(routes);
        Self { stages, shadows, channel, direction, routes, max_payload, total_time, hash }
    }

    /// Whether both treat messages alike and show the same to operators.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let shown = |pipeline: &Self| -> Vec<(PluginState, bool, Option<String>)> {
            pipeline.stages.iter().map(|stage| (stage.state, stage.component.is_some(), stage.reason.clone())).collect()
        };
        let shadows = self.shadows.len() == other.shadows.len()
            && self.shadows.iter().zip(&other.shadows).all(|(a, b)| a.is_same(b));
        // The hash does not depend on secrets. It is that of as many stages.
        let given = || self.stages.iter().zip(&other.stages).all(|(a, b)| a.resources.is_same(&b.resources));
        self.hash == other.hash && shown(self) == shown(other) && given() && shadows
    }
}

/// Whether a plugin is a stage of the channel. One whose settings were never valid applies to all messages.
fn applies(status: &PluginStatus, settings: &PipelineSettings) -> bool {
    let all = || status.sidecar.is_none();
    let concerned = |filter: &crate::Filter| filter.concerns(&settings.channel, settings.direction);
    !status.state.is_ended() && (all() || status.sidecar.iter().any(|sidecar| concerned(&sidecar.filter)))
}

/// Each field is hashed with its length, so that no two pipelines give the same input.
fn fingerprint(stages: &[Stage], settings: &PipelineSettings) -> String {
    let mut sha = Sha256::new();
    let mut add = |text: &str| {
        sha.update((text.len() as u64).to_le_bytes());
        sha.update(text);
    };
    add(crate::component::bindings::CONTRACT_VERSION);
    settings.routes.iter().for_each(|route| add(route));
    for stage in stages {
        add(&stage.name);
        add(&stage.component.as_ref().map(|component| hex(&component.sha256)).unwrap_or_default());
        add(&stage.config.to_string());
        for granted in stage.resources.tables.iter() {
            add(&granted.name);
            add(&hex(granted.table.sha256()));
        }
        add(&format!("{:?}{:?}{:?}", stage.filter, stage.on_error, stage.limits));
    }
    hex(&sha.finalize())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::Surroundings;
    use crate::catalog::sidecar::Sidecar;
    use crate::{Blame, Filter, Input, Outcome, TOTAL_TIME};
    use message::{Direction, MessageId};

    fn pipeline(deadline: u64, before: Option<&Pipeline>) -> Pipeline {
        let mut sidecar = Sidecar::default();
        sidecar.limits.deadline = Duration::from_secs(deadline);
        let status = PluginStatus::broken("a.wasm".to_owned(), Some(sidecar), "is broken".to_owned());
        Pipeline::assemble(&[status], settings(), before)
    }

    fn settings() -> PipelineSettings {
        PipelineSettings {
            stages: Vec::new(),
            channel: "central".to_owned(),
            around: Surroundings::of_channels(vec!["central".to_owned()]),
            direction: Direction::Inbound,
            routes: Vec::new(),
            max_payload: 1 << 20,
            total_time: TOTAL_TIME,
        }
    }

    #[test]
    fn failures_are_kept_while_limits_stay_and_statistics_always() {
        let before = pipeline(1, None);
        let kept = |after: &Pipeline| {
            let (old, new) = (&before.stages[0], &after.stages[0]);
            (Arc::ptr_eq(&old.statistics, &new.statistics), Arc::ptr_eq(&old.health, &new.health))
        };
        assert_eq!(kept(&pipeline(1, Some(&before))), (true, true));
        assert_eq!(kept(&pipeline(5, Some(&before))), (true, false));
    }

    fn compiling(sidecar: Option<Sidecar>) -> PluginStatus {
        PluginStatus { sidecar, ..PluginStatus::new("a.wasm".to_owned(), PluginState::Compiling) }
    }

    fn compiling_for(filter: Filter) -> Pipeline {
        Pipeline::assemble(&[compiling(Some(Sidecar { filter, ..Sidecar::default() }))], settings(), None)
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
    fn a_plugin_that_is_being_compiled_holds_what_it_applies_to_however_often_it_is_tried() {
        let texts = |text: &str| Some(vec![text.to_owned()]);
        let all = compiling_for(Filter::default());
        assert_eq!((all.holds("/queue/a"), all.holds("/queue/b")), (Some("a.wasm"), Some("a.wasm")));
        let here = compiling_for(Filter { destination: texts("/queue/a"), ..Filter::default() });
        assert_eq!((here.holds("/queue/a"), here.holds("/queue/b")), (Some("a.wasm"), None));
        let some = compiling_for(Filter { content_type: texts("text/plain"), ..Filter::default() });
        assert_eq!(some.holds("/queue/a"), None, "others go on");
        let none = compiling_for(Filter { content_type: texts("text/xml"), ..Filter::default() });
        // More than the failures in a row for which a channel pauses.
        for number in 0..20 {
            let id = format!("m/{number}");
            assert_eq!(outcome(&all, &id), Some(Blame::Nothing));
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
        let after = Pipeline::assemble(&[compiling(None)], settings(), Some(&before));
        assert_eq!(after.stages[0].last_error.get(), Some((at, error)));
        assert_eq!(pipeline(5, Some(&before)).stages[0].last_error.get().unwrap().0, at, "it is still the same error");
    }
}
