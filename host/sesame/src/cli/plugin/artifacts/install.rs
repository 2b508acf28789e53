//! `sesame plugin install`: a plugin from a registry into the plugin folder, once it is known that a start would take it.
//!
//! # Policy
//! The files are checked as those of the folder are: pin, settings, signatures, contract, configuration. Settings are the
//! operator's: a sidecar that is in the folder stays, with its signature, unless the operator says otherwise; the component is
//! checked with it. While the files take their places, a running Sesame may see new ones beside old ones; it keeps the plugin
//! that serves until they fit.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{Fetched, Install, files};
use crate::cli::context::tell_compiling;
use crate::cli::{EXIT_DONE, output};
use crate::config::Config;
use crate::service::{Shared, around};
use plugins::{Effort, NamedStage, PluginState, Wanted};
use registry::Part;

/// The files of the operator's settings.
const SETTINGS: [Part; 2] = [Part::Sidecar, Part::SidecarSignature];

pub(in crate::cli::plugin) fn install(arguments: &Install, config: &Config) -> anyhow::Result<u8> {
    let (name, folder) = (&arguments.name, &config.plugins.folder);
    anyhow::ensure!(
        folder.is_dir(),
        "there is no plugin folder {}: create it, or set folder in [plugins]",
        folder.display()
    );
    let mut fetched = Fetched::pull(name, folder, &arguments.pinning, &arguments.access)?;
    // It is of use to people, not to Sesame.
    fetched.pulled.files.remove(&Part::Sbom);
    let kept = keep_sidecar(folder, &mut fetched, arguments.replace_sidecar)?;
    let staging = files::stage(folder, &fetched)?;
    let state = check(config, staging.path(), &fetched.stem)?;
    fetched.pin(name)?;
    let stem = &fetched.stem;
    for part in [Part::ComponentSignature, Part::SidecarSignature] {
        if !fetched.pulled.files.contains_key(&part) {
            remove(&files::file(folder, stem, part.ending()))?;
        }
    }
    let endings = [".toml.p7s", ".toml", ".wasm.p7s", files::COMPONENT];
    for file in files::publish(staging.path(), folder, stem, &endings)? {
        output::line(&format!("installed {}", file.display()));
    }
    if kept {
        let sidecar = files::file(folder, stem, Part::Sidecar.ending());
        output::line(&format!(
            "kept your {}, which differs from the one in the registry; --replace-sidecar takes that one",
            sidecar.display()
        ));
    }
    output::line(&format!("{name} is {}", fetched.pulled.digest));
    output::line(match state {
        PluginState::Disabled => "its sidecar disables it",
        _ => "a running Sesame takes it up within seconds",
    });
    Ok(EXIT_DONE)
}

/// Puts the operator's settings in place of those from the registry. Returns whether they differ.
fn keep_sidecar(folder: &Path, fetched: &mut Fetched, replace: bool) -> anyhow::Result<bool> {
    let there = files::file(folder, &fetched.stem, Part::Sidecar.ending());
    let pulled = fetched.pulled.files.get(&Part::Sidecar).cloned();
    // Without its sidecar the plugin would hold back messages.
    if there.symlink_metadata().is_err() || replace && pulled.is_some() {
        return Ok(false);
    }
    for part in SETTINGS {
        let file = files::file(folder, &fetched.stem, part.ending());
        fetched.pulled.files.remove(&part);
        if file.symlink_metadata().is_ok() {
            let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            fetched.pulled.files.insert(part, content);
        }
    }
    Ok(pulled.is_some_and(|pulled| fetched.pulled.files.get(&Part::Sidecar) != Some(&pulled)))
}

/// Whether a start would take the files.
fn check(config: &Config, staging: &Path, stem: &str) -> anyhow::Result<PluginState> {
    tell_compiling();
    let shared = Shared::start(config)?;
    let component = files::file(staging, stem, files::COMPONENT);
    let stage = NamedStage { name: component.display().to_string(), settings: None };
    let wanted = Wanted { folder: None, named: vec![stage.clone()], around: around(config) };
    let found = shared.catalog.look(&wanted, Effort::Full).named(&stage);
    match found.state() {
        state @ (PluginState::Ready | PluginState::Disabled) => Ok(state),
        _ => {
            let reason = found.unanswering().unwrap_or("cannot be loaded");
            // The files are not where the reason says.
            let reason = reason.replace(&format!("{}/", staging.display()), "");
            anyhow::bail!("not installed: plugin {stem}.wasm {reason}")
        }
    }
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}
