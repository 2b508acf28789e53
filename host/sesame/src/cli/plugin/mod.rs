//! `sesame plugin`: commands for authors of plugins (crate `author`) and for operators. Each subcommand is in the file of
//! its name.
//!
//! The commands for authors and `inspect` read no configuration: they also run on an author's machine.

mod inspect;
pub(super) mod list;
mod remove;
mod sign;

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::context::Context;
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
    /// Uninstall a plugin: delete its files and leave a NAME.removed marker.
    Remove(Remove),
    /// Sign components and sidecars: write FILE.p7s beside each.
    Sign(Sign),
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
                author::Command::Test(_) => crate::log::start_for_author(context.level.unwrap_or(Level::Debug))?,
                _ => crate::log::start_for_command(context.level.unwrap_or(Level::Warn))?,
            }
            author::run(command, &host())
        }
        PluginCommand::Inspect(arguments) => {
            crate::log::start_for_command(context.level.unwrap_or(Level::Warn))?;
            inspect::run(arguments)
        }
        PluginCommand::List(arguments) => list::run(&context.config()?, arguments),
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

/// Runs plugins as the daemon does, compiled in a child process and kept in `cache`.
fn plugins(cache: Option<PathBuf>) -> anyhow::Result<Arc<Plugins>> {
    let program = Some(PathBuf::from("/proc/self/exe"));
    Ok(Plugins::start(CompileSettings { cache, program })?)
}

/// Where an author's compiled plugins are kept: a private folder in the user's cache. Without it each component is compiled again.
fn user_cache() -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute(std::env::var_os("XDG_CACHE_HOME"));
    let caches = caches.or_else(|| absolute(std::env::var_os("HOME")).map(|home| home.join(".cache")))?;
    let folder = caches.join("sesame/plugins");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.is_ok().then_some(folder)
}

/// What this program passes to the commands for authors.
#[cfg(feature = "author")]
fn host() -> author::Host {
    author::Host {
        plugins,
        cache: user_cache,
        max_payload: usize::try_from(crate::config::MAX_PAYLOAD).unwrap_or(usize::MAX),
        records: include_str!("../../demo/samples/cpu-jobs.txt"),
    }
}
