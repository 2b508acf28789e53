//! From sources to stages: everything about a plugin that can be wrong before the first message is found here, `init`
//! with its configuration included.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::stage::{Stage, State};
use super::{Pipeline, PipelineSettings};
use crate::catalog::filter::Filter;
use crate::catalog::folder::{Source, StageSource, read_component};
use crate::catalog::sidecar::Sidecar;
use crate::component::Loaded;
use crate::component::compile::Trust;
use crate::component::plugins::Plugins;
use crate::component::surface::Surface;
use crate::instance::Running;
use message::hex;

/// A plugin that the operator named cannot be loaded: the program does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} {reason}")]
pub struct PluginError {
    /// The name of the stage.
    pub plugin: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl Pipeline {
    /// Loads every stage that concerns the channel. This compiles, and can take long.
    ///
    /// A plugin of the folder that cannot be loaded stays as a stage that cannot answer, see [`Pipeline::broken`].
    ///
    /// # Errors
    /// Every plugin named in the configuration that cannot be loaded.
    pub fn load(plugins: &Plugins, settings: PipelineSettings) -> Result<Self, Vec<PluginError>> {
        let mut errors = Vec::new();
        let mut stages = Vec::new();
        for source in &settings.stages {
            let Some(stage) = load_stage(plugins, source, &settings) else { continue };
            if let (State::Broken(reason), true) = (&stage.state, source.named) {
                errors.push(PluginError { plugin: stage.name.clone(), reason: reason.clone() });
            }
            stages.push(stage);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self::of(stages, settings))
    }

    /// The pipeline of these stages.
    pub(super) fn of(stages: Vec<Stage>, settings: PipelineSettings) -> Self {
        let hash = fingerprint(&stages, &settings);
        let PipelineSettings { channel, direction, routes, max_payload, total_time, .. } = settings;
        Self { stages, channel, direction, routes, max_payload, total_time, hash }
    }
}

/// The stage, or nothing if it is disabled or does not concern the channel.
fn load_stage(plugins: &Plugins, source: &StageSource, pipeline: &PipelineSettings) -> Option<Stage> {
    let (source, sidecar) = settings(plugins, source, &pipeline.channels);
    let (sidecar, mistake) = match sidecar {
        Ok(sidecar) => (sidecar, None),
        // Of one that was never understood nothing is known of what it should have seen, so it is everything.
        Err(Mistaken { understood, reason }) => (understood.unwrap_or_default(), Some(reason)),
    };
    if !sidecar.enabled || !sidecar.filter.concerns(&pipeline.channel, pipeline.direction) {
        return None;
    }
    let loaded = mistake.map_or_else(|| load_component(plugins, &source, &sidecar), Err);
    let state = loaded.map_or_else(State::Broken, State::Ready);
    Some(Stage::new(source.name.clone(), sidecar, state))
}

/// Why the settings of a stage cannot be used.
pub(crate) struct Mistaken {
    /// What holds of them nevertheless: the messages that the stage is meant for. Nothing where that is not known.
    pub(crate) understood: Option<Sidecar>,
    /// What is wrong and what to do, as words that follow the plugin's name.
    pub(crate) reason: String,
}

/// The settings of a stage as they hold among these channels, and the stage with them. The daemon, `sesame check` and the
/// commands for authors judge by this and by [`load_component`].
pub(crate) fn settings<'a>(
    plugins: &Plugins,
    source: &'a StageSource,
    channels: &[String],
) -> (Cow<'a, StageSource>, Result<Sidecar, Mistaken>) {
    // Before anything that a sidecar says is believed.
    let source = plugins.provenance().vouch(source);
    let sidecar = match &source.sidecar {
        Err(mistakes) => Err(Mistaken {
            understood: source.understood.clone(),
            reason: format!("has a sidecar that cannot be used, {mistakes}"),
        }),
        Ok(sidecar) => match unknown_channel(&sidecar.filter, channels) {
            // What the other keys say is what it is meant for.
            Some(reason) if sidecar.enabled => {
                let filter = Filter { channels: None, ..sidecar.filter.clone() };
                Err(Mistaken { understood: Some(Sidecar { filter, ..sidecar.clone() }), reason })
            }
            _ => Ok(sidecar.clone()),
        },
    };
    (source, sidecar)
}

/// Why a filter names no channel that there is.
fn unknown_channel(filter: &Filter, channels: &[String]) -> Option<String> {
    let unknown = filter.channels.iter().flatten().find(|name| !channels.contains(name))?;
    Some(format!(
        "names the channel {unknown:?} in its sidecar, and there is none: the channels are {}",
        channels.join(", ")
    ))
}

/// Reads a component once, and finds out with those bytes whether it is what the sidecar pins, compiles, links, and takes
/// its configuration.
///
/// # Errors
/// What is wrong and what to do, as words that follow the plugin's name.
pub(crate) fn load_component(
    plugins: &Plugins,
    source: &StageSource,
    sidecar: &Sidecar,
) -> Result<Arc<Loaded>, String> {
    let read;
    let (bytes, trust) = match &source.source {
        Source::BuiltIn(bytes) => (*bytes, Trust::BuiltIn),
        Source::File(path) => {
            read = read_component(path).map_err(|why| format!("cannot be loaded, {why}"))?;
            plugins.provenance().component(path, &read).map_err(|why| format!("is not adopted, {why}"))?;
            (read.as_slice(), Trust::Foreign)
        }
        Source::Missing(why) => return Err(format!("cannot be loaded, {why}")),
    };
    check_pin(bytes, sidecar)?;
    if sidecar.deny_stand_ins {
        deny_stand_ins(bytes)?;
    }
    let loaded = plugins.load(bytes, trust).map_err(|error| error.to_string())?;
    loaded.check_config(&sidecar.config).map_err(|error| error.to_string())?;
    let config = sidecar.config.to_string();
    Running::start(&loaded, &source.name, None, &sidecar.limits, &config).map_err(|fault| fault.to_string())?;
    Ok(loaded)
}

fn deny_stand_ins(bytes: &[u8]) -> Result<(), String> {
    let imports = Surface::read(bytes).map_err(|error| error.to_string())?.stand_ins();
    if imports.is_empty() {
        return Ok(());
    }
    Err(format!(
        "wants {}, which its sidecar refuses with `deny-stand-ins`: build it without files, network, clocks and random \
         numbers, or take the key away",
        imports.join(", ")
    ))
}

fn check_pin(bytes: &[u8], sidecar: &Sidecar) -> Result<(), String> {
    let found: [u8; 32] = Sha256::digest(bytes).into();
    match sidecar.sha256 {
        Some(pin) if pin != found => Err(format!(
            "is not the component its sidecar pins: its SHA-256 is {}, `sha256` says {}",
            hex(&found),
            hex(&pin)
        )),
        _ => Ok(()),
    }
}

/// Each field with its length, so that no two pipelines read the same.
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
        add(&stage.info().state.map(|ready| ready.sha256).unwrap_or_default());
        add(&stage.config);
        add(&format!("{:?}{:?}{:?}", stage.filter, stage.on_error, stage.limits));
    }
    hex(&sha.finalize())
}
