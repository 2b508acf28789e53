//! `sesame plugin`: what authors of plugins use, and operators who look after them. Each subcommand's work is in the file of
//! its name.
//!
//! What authors use, and `inspect`, reads no configuration and needs none of its user: it runs on an author's machine as on a
//! server.

mod inspect;
pub(super) mod list;
mod remove;
mod sign;

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::EXIT_DONE;
use crate::config::{Config, Level};
use plugins::{CompileSettings, Plugins};

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
    /// What authors use.
    #[cfg(feature = "author")]
    #[command(flatten)]
    Author(author::Command),
    /// Say what a component is and wants before it is trusted with a message.
    Inspect(Inspect),
    /// Say what runs in each channel, how it fares, and what is wrong.
    List(List),
    /// End a plugin of the folder: remove its files and say to every Sesame that this is on purpose.
    Remove(Remove),
    /// Sign components and side-cars: FILE.p7s beside each.
    Sign(Sign),
}

/// `sesame plugin inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// The component, or builtin:NAME.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
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
            _ => false,
        }
    }
}

/// Runs a subcommand that needs no configuration.
pub(super) fn run(arguments: &Plugin, level: Option<Level>) -> anyhow::Result<u8> {
    match arguments.command {
        #[cfg(feature = "author")]
        PluginCommand::Author(author::Command::Test(_)) => crate::log::start_for_author(level.unwrap_or(Level::Debug))?,
        _ => crate::log::start_for_command(level.unwrap_or(Level::Warn))?,
    }
    match &arguments.command {
        #[cfg(feature = "author")]
        PluginCommand::Author(command) => author::run(command, &host()),
        PluginCommand::Inspect(arguments) => inspect::run(arguments),
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
        _ => Ok(EXIT_DONE),
    }
}

/// Runs plugins as the daemon does, compiled in a child process and kept in `cache`.
fn plugins(cache: Option<PathBuf>) -> anyhow::Result<Arc<Plugins>> {
    let program = Some(PathBuf::from("/proc/self/exe"));
    Ok(Plugins::start(CompileSettings { cache, program })?)
}

/// Where an author's compiled plugins are kept: a private folder in the user's cache. Without one each is compiled anew.
fn user_cache() -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute(std::env::var_os("XDG_CACHE_HOME"));
    let caches = caches.or_else(|| absolute(std::env::var_os("HOME")).map(|home| home.join(".cache")))?;
    let folder = caches.join("sesame/plugins");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.is_ok().then_some(folder)
}

/// What the commands for authors take from this program.
#[cfg(feature = "author")]
fn host() -> author::Host {
    author::Host {
        plugins,
        cache: user_cache,
        max_payload: usize::try_from(crate::config::MAX_PAYLOAD).unwrap_or(usize::MAX),
        records: include_str!("../../demo/samples/cpu-jobs.txt"),
    }
}
