//! `sesame plugin`: what authors of plugins use, and operators who look after them. Each subcommand's work is in the file of
//! its name.
//!
//! What authors use, and `inspect`, reads no configuration and needs none of its user: it runs on an author's machine as on a
//! server.

mod bench;
mod build;
mod inspect;
pub(super) mod list;
mod new;
mod remove;
mod sign;
mod test;

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use super::EXIT_DONE;
use crate::config::{Config, Level};
use message::Direction;
use plugins::{CompileSettings, PipelineSettings, Plugins, Sidecar, StageSource, TOTAL_TIME};

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
    /// Make a project for a new plugin, with the contract, a helper, a working example and its cases.
    New(New),
    /// Build a project's component with the tools of its language.
    Build(Build),
    /// Say what a component is and wants before it is trusted with a message.
    Inspect(Inspect),
    /// Run a component on a folder of cases and compare what it answers.
    Test(Test),
    /// Measure a component's time and memory for one message.
    Bench(Bench),
    /// Say what runs in each channel, how it fares, and what is wrong.
    List(List),
    /// End a plugin of the folder: remove its files and say to every Sesame that this is on purpose.
    Remove(Remove),
    /// Sign components and side-cars: FILE.p7s beside each.
    Sign(Sign),
}

/// `sesame plugin new`.
#[derive(Args, Debug)]
pub struct New {
    /// The folder to make; its last part is the plugin's name.
    #[arg(value_name = "NAME")]
    pub folder: PathBuf,
    /// The language to write it in.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub lang: Language,
}

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, built by cargo.
    Rust,
    /// Python, built by componentize-py.
    Python,
    /// JavaScript, built by componentize-qjs.
    Js,
    /// C, built by clang or zig.
    C,
}

/// `sesame plugin build`.
#[derive(Args, Debug)]
pub struct Build {
    /// The project.
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// The component to write [default: FOLDER/NAME.wasm, NAME being the project's].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
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

/// `sesame plugin test`.
#[derive(Args, Debug)]
pub struct Test {
    /// The component; its settings are those of the side-car beside it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The folder of cases, one folder each.
    #[arg(value_name = "FOLDER")]
    pub cases: PathBuf,
    /// Write down what the component answers as what is expected from now on.
    #[arg(long)]
    pub update: bool,
}

/// `sesame plugin bench`.
#[derive(Args, Debug)]
pub struct Bench {
    /// The component; its settings are those of the side-car beside it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A message to measure with, in place of job records of 100 B, 10 kB and 1 MB.
    #[arg(long, value_name = "FILE")]
    pub message: Option<PathBuf>,
    /// Which way the message goes.
    #[arg(long, value_enum, default_value = "inbound")]
    pub direction: Way,
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

/// A direction of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Before a message is signed.
    Outbound,
    /// After its signer was verified.
    Inbound,
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
        PluginCommand::Test(_) => crate::log::start_for_author(level.unwrap_or(Level::Debug))?,
        _ => crate::log::start_for_command(level.unwrap_or(Level::Warn))?,
    }
    match &arguments.command {
        PluginCommand::New(arguments) => new::run(arguments),
        PluginCommand::Build(arguments) => build::run(arguments),
        PluginCommand::Inspect(arguments) => inspect::run(arguments),
        PluginCommand::Test(arguments) => test::run(arguments),
        PluginCommand::Bench(arguments) => bench::run(arguments),
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

/// The settings of the side-car beside a component: its limits and its own table. Which messages it sees and what happens
/// when it fails is for the daemon.
fn settings_beside(file: &Path) -> anyhow::Result<Sidecar> {
    let path = file.with_extension("toml");
    if !path.exists() {
        return Ok(Sidecar::default());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let Sidecar { limits, deny_stand_ins, config, .. } = Sidecar::parse(&text, &path)?;
    Ok(Sidecar { limits, deny_stand_ins, config, ..Sidecar::default() })
}

/// A pipeline of this component alone.
fn pipeline_of(file: &Path, settings: Sidecar, channel: &str, direction: Direction) -> PipelineSettings {
    PipelineSettings {
        stages: vec![StageSource::named(&file.to_string_lossy(), Some(settings))],
        channel: channel.to_owned(),
        channels: vec![channel.to_owned()],
        direction,
        routes: Vec::new(),
        max_payload: usize::try_from(crate::config::MAX_PAYLOAD).unwrap_or(usize::MAX),
        total_time: TOTAL_TIME,
    }
}
