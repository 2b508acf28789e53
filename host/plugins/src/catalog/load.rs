//! The one loader: from the files of a plugin to its [`PluginStatus`]. The catalog of the daemon, `sesame check`, the commands
//! for authors and the tests use it.
//!
//! # Policy
//! - Where signatures are required, a sidecar is used only after its signature was checked.
//! - A sidecar with mistakes makes the plugin broken. Its valid filter keys still apply, so that a plugin for one destination
//!   does not hold all messages. A `channels` list with an unknown name is not such a key: the
//!   name may be a misspelling of any channel.
//! - The component is read once. Those bytes are compared with the pin and the signature, compiled, linked and given their
//!   configuration.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Effort;
use super::filter::Filter;
use super::folder::{self, Source, StageSource};
use super::settings::Mode;
use super::sidecar::Sidecar;
use super::status::{PluginState, PluginStatus};
use crate::catalog::plugins::Plugins;
use crate::component::compile::Trust;
use crate::component::surface::Surface;
use crate::instance::{Loaded, Running};
use crate::resources::{Resources, Surroundings};
use message::hex;

/// Loads a plugin with these surroundings. Every mistake that can be found before the first message is found here.
pub(crate) fn load(plugins: &Plugins, files: &StageSource, around: &Surroundings, effort: Effort) -> PluginStatus {
    let source = plugins.provenance().checked(files);
    let name = || source.name.clone();
    let settings = Settings::read(&source, &around.channels);
    if settings.mistake.is_none() && settings.sidecar.as_ref().is_some_and(|sidecar| !sidecar.enabled) {
        return PluginStatus::new(name(), PluginState::Disabled);
    }
    let tombstone = source.tombstone.clone();
    if let Some(remedy) = source.missing() {
        return match tombstone {
            Some(_) => PluginStatus { tombstone, ..PluginStatus::new(name(), PluginState::Removed) },
            None => PluginStatus::missing(name(), settings.sidecar, format!("is missing: {remedy}")),
        };
    }
    let status = match (settings.mistake, settings.sidecar) {
        (Some(mistake), sidecar) => PluginStatus::broken(name(), sidecar, mistake),
        (None, sidecar) => with_settings(plugins, &source, sidecar.unwrap_or_default(), around, effort),
    };
    PluginStatus { tombstone, ..status }
}

fn with_settings(
    plugins: &Plugins,
    source: &StageSource,
    sidecar: Sidecar,
    around: &Surroundings,
    effort: Effort,
) -> PluginStatus {
    let name = source.name.clone();
    if !is_compiled(plugins, source) {
        if effort == Effort::Quick {
            return PluginStatus { sidecar: Some(sidecar), ..PluginStatus::new(name, PluginState::Compiling) };
        }
        match sidecar.mode {
            Mode::Serve => {
                tracing::info!(plugin = name, "compiling plugin; the messages it applies to wait until it is ready");
            }
            Mode::Shadow => tracing::info!(plugin = name, "compiling plugin in shadow; no message waits for it"),
        }
    }
    match component(plugins, source, &sidecar, around) {
        Ok((component, resources)) => PluginStatus::ready(name, sidecar, component, resources),
        Err(reason) => PluginStatus::broken(name, Some(sidecar), reason),
    }
}

/// The settings in the files of a plugin, or those that are valid. They select the messages that wait for a plugin that is not
/// loaded yet.
pub(crate) fn preview(plugins: &Plugins, files: &StageSource, channels: &[String]) -> Option<Sidecar> {
    let source: Cow<'_, StageSource> = plugins.provenance().checked(files);
    Settings::read(&source, channels).sidecar
}

/// The settings of a plugin among the channels that exist.
struct Settings {
    /// The valid ones; none if there are none.
    sidecar: Option<Sidecar>,
    /// Why the plugin must not be used with them.
    mistake: Option<String>,
}

impl Settings {
    fn read(source: &StageSource, channels: &[String]) -> Self {
        let (sidecar, mistakes) = match &source.sidecar {
            Ok(sidecar) => (Some(sidecar.clone()), None),
            Err(mistakes) => (source.understood.clone(), Some(format!("has an invalid sidecar: {mistakes}"))),
        };
        let enabled = sidecar.as_ref().filter(|sidecar| sidecar.enabled);
        let Some(unknown) = enabled.and_then(|sidecar| unknown_channel(&sidecar.filter, channels)) else {
            return Self { sidecar, mistake: mistakes };
        };
        let without = |sidecar: Sidecar| Sidecar { filter: Filter { channels: None, ..sidecar.filter }, ..sidecar };
        Self { sidecar: sidecar.map(without), mistake: mistakes.or(Some(unknown)) }
    }
}

/// Why a filter is a mistake among these channels.
fn unknown_channel(filter: &Filter, channels: &[String]) -> Option<String> {
    let unknown = filter.channels.iter().flatten().find(|name| !channels.contains(name))?;
    Some(format!("has a mistake: sidecar names unknown channel {unknown:?} (channels: {})", channels.join(", ")))
}

/// Whether loading it takes almost no time; a file that cannot be read is refused as quickly.
fn is_compiled(plugins: &Plugins, source: &StageSource) -> bool {
    match &source.source {
        Source::File(path) => folder::read_component(path).map_or(true, |bytes| plugins.is_compiled(&bytes)),
        Source::BuiltIn(_) | Source::Missing(_) => true,
    }
}

/// The component, compiled, linked and tried with its configuration.
///
/// # Errors
/// What is wrong and what to do, as words that follow the plugin's name.
fn component(
    plugins: &Plugins,
    source: &StageSource,
    sidecar: &Sidecar,
    around: &Surroundings,
) -> Result<(Arc<Loaded>, Resources), String> {
    let read;
    let (bytes, trust) = match &source.source {
        Source::BuiltIn(bytes) => (*bytes, Trust::BuiltIn),
        Source::File(path) => {
            read = folder::read_component(path).map_err(|why| format!("cannot be loaded, {why}"))?;
            plugins.provenance().component(path, &read).map_err(|why| format!("is not accepted, {why}"))?;
            (read.as_slice(), Trust::Foreign)
        }
        Source::Missing(why) => return Err(format!("cannot be loaded, {why}")),
    };
    check_pin(bytes, sidecar)?;
    if sidecar.deny_stand_ins {
        deny_stand_ins(bytes)?;
    }
    let loaded = plugins.load(&source.name, bytes, trust).map_err(|error| error.to_string())?;
    let resources = Resources::gather(plugins.store(), around, &sidecar.tables, &sidecar.config)?;
    loaded.check_config(&resources.config.value()).map_err(|error| error.to_string())?;
    Running::start(&loaded, &source.name, None, &sidecar.limits, &resources).map_err(|fault| fault.to_string())?;
    Ok((loaded, resources))
}

fn deny_stand_ins(bytes: &[u8]) -> Result<(), String> {
    let imports = Surface::read(bytes).map_err(|error| error.to_string())?.stand_ins();
    if imports.is_empty() {
        return Ok(());
    }
    Err(format!(
        "imports {}, which its sidecar denies with `deny-stand-ins`: build it without files, network, clocks and random \
         numbers, or remove the key",
        imports.join(", ")
    ))
}

fn check_pin(bytes: &[u8], sidecar: &Sidecar) -> Result<(), String> {
    let found: [u8; 32] = Sha256::digest(bytes).into();
    match sidecar.sha256 {
        Some(pin) if pin != found => Err(format!(
            "does not match the hash in its sidecar: its SHA-256 is {}, `sha256` is {}",
            hex(&found),
            hex(&pin)
        )),
        _ => Ok(()),
    }
}
