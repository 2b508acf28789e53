//! From sources to stages: everything about a plugin that can be wrong before the first message is found here, `init`
//! with its configuration included.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::stage::{Stage, State};
use super::{Pipeline, PipelineSettings};
use crate::message::hex;
use crate::plugin::compile::Trust;
use crate::plugin::component::Loaded;
use crate::plugin::filter::Filter;
use crate::plugin::folder::{Source, StageSource, read_component};
use crate::plugin::instance::Running;
use crate::plugin::plugins::Plugins;
use crate::plugin::sidecar::SideCar;

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
        for source in settings.stages.iter().filter(|source| source.is_enabled()) {
            let Some(stage) = load_stage(plugins, source, &settings) else { continue };
            if let (State::Broken(reason), true) = (&stage.state, source.named) {
                errors.push(PluginError { plugin: stage.name.clone(), reason: reason.clone() });
            }
            stages.push(stage);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let hash = fingerprint(&stages, &settings);
        let PipelineSettings { channel, direction, routes, max_payload, total_time, .. } = settings;
        Ok(Self { stages, channel, direction, routes, max_payload, total_time, hash, health: super::Health::default() })
    }
}

/// The stage, or nothing if it does not concern the channel.
fn load_stage(plugins: &Plugins, source: &StageSource, settings: &PipelineSettings) -> Option<Stage> {
    let name = source.name.clone();
    let side_car = match &source.side_car {
        Ok(side_car) => side_car.clone(),
        // Nothing is known of what it should have seen, so it is everything.
        Err(mistakes) => {
            let state = State::Broken(format!("has a side-car with mistakes, {mistakes}"));
            return Some(Stage::new(name, SideCar::default(), state));
        }
    };
    if let Some(reason) = unknown_channel(&side_car.filter, settings) {
        let everything = SideCar { filter: Filter { channels: None, ..side_car.filter.clone() }, ..side_car };
        return Some(Stage::new(name, everything, State::Broken(reason)));
    }
    if !side_car.filter.concerns(&settings.channel, settings.direction) {
        return None;
    }
    let state = match load_component(plugins, source, &side_car) {
        Ok(loaded) => State::Ready(loaded),
        Err(reason) => State::Broken(reason),
    };
    Some(Stage::new(name, side_car, state))
}

fn unknown_channel(filter: &Filter, settings: &PipelineSettings) -> Option<String> {
    let unknown = filter.channels.iter().flatten().find(|name| !settings.channels.contains(name))?;
    Some(format!(
        "names the channel {unknown:?} in its side-car, and there is none: the channels are {}",
        settings.channels.join(", ")
    ))
}

fn load_component(plugins: &Plugins, source: &StageSource, side_car: &SideCar) -> Result<Arc<Loaded>, String> {
    let read;
    let (bytes, trust) = match &source.source {
        Source::BuiltIn(bytes) => (*bytes, Trust::BuiltIn),
        Source::File(path) => {
            read = read_component(path).map_err(|why| format!("cannot be loaded, {why}"))?;
            (read.as_slice(), Trust::Foreign)
        }
        Source::Missing(why) => return Err(format!("cannot be loaded, {why}")),
    };
    check_pin(bytes, side_car)?;
    let loaded = plugins.load(bytes, trust).map_err(|error| error.to_string())?;
    loaded.check_config(&side_car.config).map_err(|error| error.to_string())?;
    let config = side_car.config.to_string();
    Running::start(&loaded, &source.name, "", &side_car.limits, 0, &config).map_err(|fault| fault.to_string())?;
    Ok(loaded)
}

fn check_pin(bytes: &[u8], side_car: &SideCar) -> Result<(), String> {
    let found: [u8; 32] = Sha256::digest(bytes).into();
    match side_car.sha256 {
        Some(pin) if pin != found => Err(format!(
            "is not the component its side-car pins: its SHA-256 is {}, `sha256` says {}",
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
    add(super::super::bindings::CONTRACT_VERSION);
    settings.routes.iter().for_each(|route| add(route));
    for stage in stages {
        add(&stage.name);
        add(&stage.info().state.map(|ready| ready.sha256).unwrap_or_default());
        add(&stage.config);
        add(&format!("{:?}{:?}{:?}", stage.filter, stage.on_error, stage.limits));
    }
    hex(&sha.finalize())
}
