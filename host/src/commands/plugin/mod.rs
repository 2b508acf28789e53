//! `sesame plugin`: what looks after plugins. Each subcommand's work is in the file of its name.

mod list;
mod remove;
mod sign;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::EXIT_DONE;
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
    /// Sign components and side-cars: FILE.p7s beside each.
    Sign(Sign),
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

/// `sesame plugin sign`.
#[derive(Args, Debug)]
pub struct Sign {
    /// NAME.wasm and NAME.toml of plugins.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// PEM: the signer's certificate, then any intermediate ones [default: that of the configuration's credential].
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// PEM: its key, readable by its owner alone.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}

impl Plugin {
    /// Whether the command is about a configuration, and not about the files it names alone.
    pub(super) fn needs_configuration(&self) -> bool {
        match &self.command {
            PluginCommand::List(_) | PluginCommand::Remove(_) => true,
            PluginCommand::Sign(arguments) => arguments.certificate.is_none(),
        }
    }
}

/// Runs a subcommand that needs no configuration.
pub(super) fn run(arguments: &Plugin) -> anyhow::Result<u8> {
    match &arguments.command {
        PluginCommand::Sign(Sign { files, certificate: Some(certificate), key: Some(key) }) => {
            sign::run(files, certificate, key)
        }
        PluginCommand::List(_) | PluginCommand::Remove(_) | PluginCommand::Sign(_) => Ok(EXIT_DONE),
    }
}

/// Runs a subcommand on a configuration.
pub(super) fn run_with(config: &Config, arguments: &Plugin) -> anyhow::Result<u8> {
    match &arguments.command {
        PluginCommand::List(arguments) => list::run(config, arguments),
        PluginCommand::Remove(arguments) => remove::run(config, arguments),
        PluginCommand::Sign(Sign { files, .. }) => {
            sign::run(files, &config.credential.certificate, &config.credential.key)
        }
    }
}
