//! `sesame plugin`: what looks after plugins. Each subcommand's work is in the file of its name.

mod list;
mod remove;

use clap::{Args, Subcommand};

use crate::config::Config;

/// `sesame plugin`.
#[derive(Args, Debug)]
pub struct Plugin {
    /// What to do with a plugin.
    #[command(subcommand)]
    pub command: PluginCommand,
}

/// What to do with a plugin.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Say what runs in each channel, how it fares, and what is wrong.
    List(List),
    /// End a plugin of the folder: remove its files and say to every Sesame that this is on purpose.
    Remove(Remove),
}

/// `sesame plugin list`.
#[derive(Args, Debug)]
pub struct List {
    /// Channels of the configuration; none means all.
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Print JSON, one object for each channel.
    #[arg(long)]
    pub json: bool,
}

/// `sesame plugin remove`.
#[derive(Args, Debug)]
pub struct Remove {
    /// NAME of NAME.wasm in the plugin folder.
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Runs a subcommand that is about the plugins of a configuration.
pub(super) fn run_with(config: &Config, arguments: &Plugin) -> anyhow::Result<u8> {
    match &arguments.command {
        PluginCommand::List(arguments) => list::run(config, arguments),
        PluginCommand::Remove(arguments) => remove::run(config, arguments),
    }
}
