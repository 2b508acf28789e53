//! The commands for plugin authors: `sesame plugin new`, `build`, `test`, `case`, `watch`, `fuzz`, `bench`. Each one's work is in
//! the file of its name.
//!
//! They need no configuration and run on an author's machine as on a server. The program passes what they
//! need from it in [`Host`]. Only this crate depends on wit-bindgen, wit-parser and wit-component.

mod bench;
mod build;
mod fuzz;
mod new;
mod test;
mod watch;
mod wit;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use message::Direction;
use plugins::{PipelineSettings, Plugins, Sidecar, StageSource, Surroundings, TOTAL_TIME};
use tables::{Format, TableSource};
use terminal as output;

pub use self::wit::{WitPackage, wit_package};

/// A command for authors.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a plugin project with the contract, a helper library, a working example and test cases.
    New(New),
    /// Build a project's component with the tools of its language.
    Build(Build),
    /// Run a component on a folder of test cases and compare the results.
    Test(Test),
    /// Run one test case on a plugin outside WebAssembly; the helpers of the languages call it.
    Case(NativeCase),
    /// Build and test a project at each change of its files, until interrupted.
    Watch(Watch),
    /// Change the messages of test cases at random and report what makes a component fail.
    Fuzz(Fuzz),
    /// Measure time and memory of a component per message.
    Bench(Bench),
}

/// What the program passes to these commands.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Starts the plugin host with the caches of this machine for compiled code.
    pub plugins: fn() -> anyhow::Result<Arc<Plugins>>,
    /// Starts it with one cache only.
    pub plugins_with: fn(PathBuf) -> anyhow::Result<Arc<Plugins>>,
    /// The largest message a channel takes by default, in bytes.
    pub max_payload: usize,
    /// A message of job records, to measure with.
    pub records: &'static str,
}

/// `sesame plugin new`.
#[derive(Args, Debug)]
pub struct New {
    /// Folder to create; its last part is the plugin's name.
    #[arg(value_name = "NAME")]
    pub folder: PathBuf,
    /// Programming language.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub lang: Language,
    /// What the plugin does with messages: chooses the example and its test cases.
    #[arg(long, value_enum, value_name = "ROLE", default_value = "validator")]
    pub role: Role,
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
    /// TypeScript, checked by tsc and built by esbuild and componentize-qjs.
    Ts,
    /// C, built by clang or zig.
    C,
    /// C++, built by clang or zig.
    Cpp,
    /// Zig, built by zig.
    Zig,
    /// Go, built by go.
    Go,
}

/// A role that a plugin begins with; more can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Accepts or refuses a message.
    Validator,
    /// Changes, splits or drops a message.
    Transformer,
    /// Chooses the destination of a message.
    Router,
}

/// `sesame plugin build`.
#[derive(Args, Debug)]
pub struct Build {
    /// Project folder.
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Component file to write [default: FOLDER/NAME.wasm with the project's name].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `sesame plugin test`.
#[derive(Args, Debug)]
pub struct Test {
    /// Component file; its settings come from the sidecar beside it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Folder with one folder per test case.
    #[arg(value_name = "FOLDER")]
    pub cases: PathBuf,
    /// Overwrite the expected results with the actual ones.
    #[arg(long)]
    pub update: bool,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
    /// Also write the results to this file, as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also run the project's tests outside WebAssembly and show which lines of the plugin they run.
    #[arg(long, conflicts_with = "json")]
    pub coverage: bool,
}

/// `sesame plugin case`.
#[derive(Args, Debug)]
pub struct NativeCase {
    /// Folder of the test case.
    #[arg(value_name = "CASE")]
    pub case: PathBuf,
    /// Project folder.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub project: PathBuf,
}

/// `sesame plugin watch`.
#[derive(Args, Debug)]
pub struct Watch {
    /// Project folder; its test cases are in `cases`.
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
}

/// `sesame plugin fuzz`.
#[derive(Args, Debug)]
pub struct Fuzz {
    /// Component file; its settings come from the sidecar beside it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Folder with one folder per test case.
    #[arg(value_name = "FOLDER")]
    pub cases: PathBuf,
    /// How long to go on.
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = settings::values::parse_duration)]
    pub time: Duration,
    /// Where the random changes begin; the same number makes the same ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Folder for messages that make the component fail, each a test case.
    #[arg(long, value_name = "FOLDER", default_value = "fuzz")]
    pub save: PathBuf,
}

/// `sesame plugin bench`.
#[derive(Args, Debug)]
pub struct Bench {
    /// Component file; its settings come from the sidecar beside it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Message to measure with [default: job records of 100 B, 10 kB and 1 MB].
    #[arg(long, value_name = "FILE")]
    pub message: Option<PathBuf>,
    /// Direction of the message.
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

/// Runs a command; returns the exit status.
///
/// # Errors
/// Why it could not run.
pub fn run(command: &Command, host: &Host) -> anyhow::Result<u8> {
    match command {
        Command::New(arguments) => new::run(arguments),
        Command::Build(arguments) => build::run(arguments, host),
        Command::Test(arguments) => test::run(arguments, host),
        Command::Case(arguments) => test::native::run(arguments, host),
        Command::Watch(arguments) => watch::run(arguments, host),
        Command::Fuzz(arguments) => fuzz::run(arguments, host),
        Command::Bench(arguments) => bench::run(arguments, host),
    }
}

/// The settings of the sidecar beside a component: its limits and its own table. The filters and on-error matter to the
/// daemon only.
fn settings_beside(file: &Path) -> anyhow::Result<Sidecar> {
    let path = file.with_extension("toml");
    if !path.exists() {
        return Ok(Sidecar::default());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let Sidecar { limits, deny_stand_ins, tables, config, .. } = Sidecar::parse(&text, &path)?;
    Ok(Sidecar { limits, deny_stand_ins, tables, config, ..Sidecar::default() })
}

/// The tables and secrets that an author has beside a component: `tables/NAME.csv`, whose first column is the key,
/// `tables/NAME.json` and `tables/NAME.toml`, whose member `key` is, and `secrets/NAME`.
fn surroundings_beside(file: &Path) -> Surroundings {
    let folder = file.parent().unwrap_or(Path::new("."));
    let files = |name: &str| {
        let entries = std::fs::read_dir(folder.join(name)).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).collect::<Vec<PathBuf>>()
    };
    let stem = |file: &Path| file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let table = |file: PathBuf| {
        let format = Format::of(&file)?;
        let key = (format != Format::Csv).then(|| "key".to_owned());
        Some((stem(&file)?, TableSource { file, format, key }))
    };
    let secret = |file: PathBuf| Some((file.file_name()?.to_string_lossy().into_owned(), file));
    Surroundings {
        tables: files("tables").into_iter().filter_map(table).collect(),
        secrets: files("secrets").into_iter().filter_map(secret).collect(),
        ..Surroundings::default()
    }
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
        around: Surroundings { channels: vec![channel.to_owned()], ..surroundings_beside(file) },
        direction,
        routes: Vec::new(),
        max_payload,
        total_time: TOTAL_TIME,
    }
}
