//! The commands for plugin authors: `sesame plugin new`, `build`, `test` and `bench`. Each one's work is in the file of its
//! name.
//!
//! They need no configuration and run on an author's machine as on a server. What they take from the program is passed
//! in [`Host`]; the tools that make components of C are dependencies of this crate alone.

mod bench;
mod build;
mod new;
mod test;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use message::Direction;
use plugins::{PipelineSettings, Plugins, Sidecar, StageSource, TOTAL_TIME};
use terminal as output;

/// A command for authors.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a project for a new plugin, with the contract, a helper, a working example and its cases.
    New(New),
    /// Build a project's component with the tools of its language.
    Build(Build),
    /// Run a component on a folder of cases and compare what it answers.
    Test(Test),
    /// Measure a component's time and memory for one message.
    Bench(Bench),
}

/// What these commands take from the program.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Starts the plugin host with a cache for compiled code.
    pub plugins: fn(Option<PathBuf>) -> anyhow::Result<Arc<Plugins>>,
    /// Makes the user's cache folder, if one can be had.
    pub cache: fn() -> Option<PathBuf>,
    /// The largest message a channel takes by default, in bytes.
    pub max_payload: usize,
    /// A message of job records, to measure with.
    pub records: &'static str,
}

impl Host {
    /// The plugin host with the user's cache.
    fn start(&self) -> anyhow::Result<Arc<Plugins>> {
        (self.plugins)((self.cache)())
    }
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

/// A direction of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Before a message is signed.
    Outbound,
    /// After its signer was verified.
    Inbound,
}

/// Runs a command; answers with the exit status.
///
/// # Errors
/// What kept it from its work.
pub fn run(command: &Command, host: &Host) -> anyhow::Result<u8> {
    match command {
        Command::New(arguments) => new::run(arguments),
        Command::Build(arguments) => build::run(arguments, host),
        Command::Test(arguments) => test::run(arguments, host),
        Command::Bench(arguments) => bench::run(arguments, host),
    }
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
fn pipeline_of(
    file: &Path,
    settings: Sidecar,
    channel: &str,
    direction: Direction,
    max_payload: usize,
) -> PipelineSettings {
    PipelineSettings {
        stages: vec![StageSource::named(&file.to_string_lossy(), Some(settings))],
        channel: channel.to_owned(),
        channels: vec![channel.to_owned()],
        direction,
        routes: Vec::new(),
        max_payload,
        total_time: TOTAL_TIME,
    }
}
