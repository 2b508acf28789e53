//! `sesame plugin remove`: uninstalls a plugin of the plugin folder, whether a Sesame runs or not.

use std::collections::BTreeSet;

use super::Remove;
use crate::channel::{Channel, JOURNAL};
use crate::cli::context::say;
use crate::cli::{EXIT_DONE, EXIT_FAILED, output};
use crate::config::{Config, Stage};
use crate::service::{directory, listed};
use spool::journal::Journal;

pub(super) fn run(config: &Config, arguments: &Remove) -> anyhow::Result<u8> {
    let name = arguments.name.strip_suffix(".wasm").unwrap_or(&arguments.name);
    let known = known(config);
    if !known.contains(name) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let folder = config.plugins.folder.display();
        say(&format!(
            "sesame: unknown plugin {name:?}: neither in {folder} nor remembered by a channel (known: {known})"
        ));
        return Ok(EXIT_FAILED);
    }
    for path in plugins::remove(&config.plugins.folder, name)? {
        output::line(&format!("removed {}", path.display()));
    }
    output::line(&format!("plugin {name} is uninstalled; a running Sesame notices within seconds"));
    let mut status = EXIT_DONE;
    for channel in listing(config, name) {
        say(&format!(
            "sesame: the pipeline of channel {channel} still lists {name}, and its messages wait: remove it there and send \
             SIGHUP"
        ));
        status = EXIT_FAILED;
    }
    Ok(status)
}

/// The names of all plugins that the folder holds or a channel remembers.
fn known(config: &Config) -> BTreeSet<String> {
    let stem = |name: &str| name.strip_suffix(".wasm").unwrap_or(name).to_owned();
    let folder = plugins::read_folder(&config.plugins.folder).unwrap_or_default();
    let mut known: BTreeSet<String> = folder.iter().map(|source| stem(source.name())).collect();
    for channel in Channel::all(config) {
        let journal = directory(config, &channel).map(|directory| directory.join(JOURNAL));
        let Some(journal) = journal.filter(|journal| journal.exists()) else { continue };
        match Journal::open_to_read(&journal).and_then(|journal| journal.stages(channel.name())) {
            Ok(stages) => known.extend(stages.iter().map(|stage| stem(&stage.name))),
            Err(error) => say(&format!("sesame: {}", message::cause::chain(&error))),
        }
    }
    known
}

/// The channels whose own pipeline lists the plugin.
fn listing(config: &Config, plugin: &str) -> Vec<Channel> {
    let lists = |channel: &Channel| {
        let stages = listed(config, channel);
        stages.into_iter().flatten().any(|stage| matches!(stage, Stage::File(name) if name == plugin))
    };
    Channel::all(config).filter(lists).collect()
}
