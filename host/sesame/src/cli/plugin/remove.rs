//! `sesame plugin remove`: uninstalls a plugin of the plugin folder, whether a Sesame runs or not.

use std::collections::BTreeSet;

use super::Remove;
use crate::channel::JOURNAL;
use crate::cli::context::say;
use crate::cli::{EXIT_DONE, EXIT_FAILED, output};
use crate::config::{Config, Stage};
use crate::service::directory;
use message::Direction;
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
    let senders = config.senders.keys().map(|name| (name, Direction::Outbound));
    let receivers = config.receivers.keys().map(|name| (name, Direction::Inbound));
    for (channel, direction) in senders.chain(receivers) {
        let journal = directory(config, channel, direction).map(|directory| directory.join(JOURNAL));
        let Some(journal) = journal.filter(|journal| journal.exists()) else { continue };
        match Journal::open_to_read(&journal).and_then(|journal| journal.stages(channel)) {
            Ok(stages) => known.extend(stages.iter().map(|stage| stem(&stage.name))),
            Err(error) => say(&format!("sesame: {}", message::cause::chain(&error))),
        }
    }
    known
}

/// The channels whose own pipeline lists the plugin.
fn listing<'a>(config: &'a Config, plugin: &str) -> Vec<&'a str> {
    let senders = config.senders.iter().map(|(name, channel)| (name, &channel.pipeline));
    let receivers = config.receivers.iter().map(|(name, channel)| (name, &channel.pipeline));
    let lists = |stages: &Option<Vec<Stage>>| {
        stages.iter().flatten().any(|stage| matches!(stage, Stage::File(name) if name == plugin))
    };
    senders.chain(receivers).filter(|(_, stages)| lists(stages)).map(|(name, _)| name.as_str()).collect()
}
