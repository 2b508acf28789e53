//! `sesame plugin`: commands for authors of plugins (crate `author`) and for operators. Each subcommand is in the file of
//! its name.
//!
//! The commands for authors and `inspect` need no configuration: they also run on an author's machine. What they compile is
//! kept in the user's own cache, and what the service of the same user has compiled is not compiled again.

mod artifacts;
mod diff;
mod inspect;
pub(super) mod list;
mod remove;
mod rollback;
mod sign;
mod trial;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::context::{self, Context};
use crate::config;
use crate::log::Level;
use plugins::{CompileSettings, Plugins};

/// `sesame plugin`.
#[derive(Args, Debug)]
pub struct Plugin {
    /// The subcommand.
    #[command(subcommand)]
    pub command: PluginCommand,
}

/// A subcommand of `sesame plugin`.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Commands for authors.
    #[cfg(feature = "author")]
    #[command(flatten)]
    Author(author::Command),
    /// Show name, roles, imports and configuration schema of a component without installing it.
    Inspect(Inspect),
    /// List the plugins of each channel with state, statistics and errors.
    List(List),
    /// Ask a component that is not installed about messages that are there, and show which verdicts would differ.
    Try(Try),
    /// Show messages for which a plugin in shadow answers otherwise than what serves.
    Diff(Diff),
    /// Put the last component of a plugin that served back, with its sidecar and signatures.
    Rollback(Rollback),
    /// Uninstall a plugin: delete its files and leave a NAME.removed marker.
    Remove(Remove),
    /// Sign components and sidecars: write FILE.p7s beside each.
    Sign(Sign),
    /// Push a component to an OCI registry, with sidecar, signatures and SBOM; or a WIT package.
    Push(Box<artifacts::Push>),
    /// Pull a component from an OCI registry, with what was pushed with it, into a folder.
    Pull(Box<artifacts::Pull>),
    /// Pull a component, check it and its signatures as a start would, and put it into the plugin folder.
    Install(Box<artifacts::Install>),
}

/// `sesame plugin inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// Component file, or builtin:NAME.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `sesame plugin list`.
#[derive(Args, Debug)]
pub struct List {
    /// Channels of the configuration [default: all].
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Print JSON, one object per channel.
    #[arg(long)]
    pub json: bool,
}

/// `sesame plugin try`.
#[derive(Args, Debug)]
pub struct Try {
    /// Component file; its settings come from the sidecar beside it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Channel of the configuration.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: String,
    /// Queue of the channel (outgoing, incoming, reject, deferred or a route's), or a folder with one message a file, with a
    /// slash in it.
    #[arg(long, value_name = "QUEUE|FOLDER")]
    pub from: String,
    /// Number of messages at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub limit: usize,
    /// Print one JSON object for each message whose verdict differs.
    #[arg(long)]
    pub json: bool,
}

/// `sesame plugin diff`.
#[derive(Args, Debug)]
pub struct Diff {
    /// Name of the plugin in shadow: NAME of NAME.wasm, or builtin:NAME.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Channels of the configuration [default: all].
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Print JSON, one object per channel.
    #[arg(long)]
    pub json: bool,
}

/// `sesame plugin rollback`.
#[derive(Args, Debug)]
pub struct Rollback {
    /// Name of the plugin: NAME of NAME.wasm in the plugin folder.
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `sesame plugin remove`.
#[derive(Args, Debug)]
pub struct Remove {
    /// Name of the plugin: NAME of NAME.wasm in the plugin folder.
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `sesame plugin sign`.
#[derive(Args, Debug)]
pub struct Sign {
    /// Files NAME.wasm and NAME.toml of plugins.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Signer's certificate, then any intermediate ones, in PEM [default: [credential] of the configuration].
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Private key in PEM, readable by its owner only.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}

pub(super) fn run(arguments: &Plugin, context: &Context) -> anyhow::Result<u8> {
    match &arguments.command {
        #[cfg(feature = "author")]
        PluginCommand::Author(command) => {
            match command {
                author::Command::Test(_) | author::Command::Watch(_) => {
                    crate::log::start_for_author(context.level.unwrap_or(Level::Debug))?
                }
                _ => crate::log::start_for_command(context.level.unwrap_or(Level::Warn))?,
            }
            author::run(command, &host())
        }
        PluginCommand::Inspect(arguments) => {
            crate::log::start_for_command(context.level.unwrap_or(Level::Warn))?;
            inspect::run(arguments, context)
        }
        PluginCommand::List(arguments) => list::run(&context.config()?, arguments),
        PluginCommand::Try(arguments) => trial::run(arguments, &context.config()?),
        PluginCommand::Push(arguments) => {
            crate::log::start_for_command(context.level.unwrap_or(Level::Warn))?;
            artifacts::push(arguments)
        }
        PluginCommand::Pull(arguments) => {
            crate::log::start_for_command(context.level.unwrap_or(Level::Warn))?;
            artifacts::pull(arguments)
        }
        PluginCommand::Install(arguments) => {
            let config = context.config()?;
            crate::log::start_for_command(context.level.unwrap_or(Level::Warn))?;
            artifacts::install(arguments, &config)
        }
        PluginCommand::Diff(arguments) => diff::run(&context.config()?, arguments),
        PluginCommand::Rollback(arguments) => rollback::run(&context.config()?, arguments),
        PluginCommand::Remove(arguments) => remove::run(&context.config()?, arguments),
        PluginCommand::Sign(Sign { files, certificate: Some(certificate), key: Some(key) }) => {
            crate::log::start_for_command(context.level.unwrap_or(Level::Warn))?;
            sign::run(files, certificate, key)
        }
        PluginCommand::Sign(Sign { files, .. }) => {
            let credential = context.config()?.credential;
            sign::run(files, &credential.certificate, &credential.key)
        }
    }
}

/// Runs plugins as the daemon does, compiled in a child process and kept in the user's cache. What is in the cache of the
/// service, `of_service`, is not compiled again.
fn plugins(of_service: PathBuf) -> anyhow::Result<Arc<Plugins>> {
    start(user_cache(), vec![of_service])
}

/// The user's cache. Without it each component is compiled again.
fn user_cache() -> Option<PathBuf> {
    let folder = config::user_plugin_cache()?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.is_ok().then_some(folder)
}

fn start(cache: Option<PathBuf>, also: Vec<PathBuf>) -> anyhow::Result<Arc<Plugins>> {
    context::tell_compiling();
    let program = Some(PathBuf::from("/proc/self/exe"));
    Ok(Plugins::start(CompileSettings { cache, also, program })?)
}

/// What this program passes to the commands for authors.
#[cfg(feature = "author")]
fn host() -> author::Host {
    author::Host {
        plugins: || plugins(config::PLUGIN_CACHE.into()),
        plugins_with: |cache| start(Some(cache), Vec::new()),
        max_payload: usize::try_from(config::MAX_PAYLOAD).unwrap_or(usize::MAX),
        records: include_str!("../../demo/samples/cpu-jobs.txt"),
    }
}
