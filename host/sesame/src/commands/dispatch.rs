//! From the command line to a command, and from its outcome to an exit status.

use std::process::ExitCode;

use super::{Cli, Command, EXIT_CONFIGURATION, EXIT_DONE, EXIT_FAILED, EXIT_HELD};
use crate::config::{self, Config, Kind, Selection, Source};
use crate::service::{ChannelError, Daemon, Shared};
use message::cause;
pub(super) use terminal::say;

/// Stack of the threads that run plugins, OpenSSL and the disk.
const THREAD_STACK: usize = 4 << 20;
/// Threads for blocking work at once: each channel works on `limits.workers` messages, the rest is the disk's. As many as
/// there are slow plugins may be waiting in them, and the disk must not.
const BLOCKING_THREADS: usize = 512;

/// Runs one command of the command line.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    harden();
    crate::memory::keep_heap();
    if matches!(cli.command, Command::CompilePlugin) {
        return plugins::compile_child_main();
    }
    let status = match run(cli) {
        Ok(status) => status,
        Err(error) => {
            say(&format!("sesame: {}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")));
            EXIT_FAILED
        }
    };
    ExitCode::from(status)
}

/// No core dumps and no debugger: the process holds a private key.
fn harden() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Says which plugins of a channel are compiled first, so that nobody wonders what takes so long.
pub(super) fn say_compiling(shared: &Shared, config: &Config, channel: &str) {
    for plugin in crate::service::compiling(shared, config, channel) {
        say(&format!("sesame: compiling plugin {plugin}, which no cache holds yet; this can take a minute"));
    }
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    let Cli { common, command } = cli;
    match command {
        Command::Version => {
            super::output::line(concat!("sesame ", env!("CARGO_PKG_VERSION")));
            return Ok(EXIT_DONE);
        }
        Command::Demo(arguments) => return super::demo::run(&arguments),
        Command::Plugin(arguments) if !arguments.needs_configuration() => {
            return super::plugin::run(&arguments, common.log_level.map(Into::into));
        }
        _ => {}
    }
    let source = common.source();
    let Some(mut config) = load(&source) else { return Ok(EXIT_CONFIGURATION) };
    if let Some(level) = common.log_level {
        config.log.level = level.into();
    }
    match command {
        Command::Send(arguments) => super::send::run(&config, &source, &arguments),
        Command::Receive(arguments) => super::run::receive(&config, &source, &arguments),
        Command::Run(arguments) => super::run::run(&config, &source, &arguments),
        Command::Publish(arguments) => super::publish::run(&config, &arguments),
        Command::Explain(arguments) => super::explain::run(&config, &arguments),
        Command::Check(arguments) => super::check::run(&config, &arguments),
        Command::Queue(arguments) => super::queue::run(&config, &arguments),
        Command::Plugin(arguments) => super::plugin::run_with(&config, &arguments),
        Command::Trace(arguments) => super::trace::run(&config, &arguments),
        Command::Version | Command::CompilePlugin | Command::Demo(_) => Ok(EXIT_DONE),
    }
}

/// Reads the configuration; says all that is wrong with it.
fn load(source: &Source) -> Option<Config> {
    match source.load() {
        Ok(config) => Some(config),
        Err(errors) => {
            say(&errors.to_string());
            None
        }
    }
}

/// The runtime of a command that talks to brokers.
///
/// # Errors
/// Where threads cannot be had.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(THREAD_STACK)
        .thread_name("sesame")
        .build()
}

/// The channels a command is about; says what is wrong with the names.
pub(super) fn select(config: &Config, names: &[String], kind: Kind) -> Result<Selection, u8> {
    config.select(names, kind).map_err(|error| {
        say(&format!("sesame: {error}"));
        match error {
            config::SelectionError::None { .. } => EXIT_CONFIGURATION,
            _ => 2,
        }
    })
}

/// Makes the channels; says what is wrong with each.
pub(super) fn build(config: &Config, selection: &Selection, shared: &Shared) -> Result<Daemon, u8> {
    made(Daemon::build(config, selection, shared))
}

/// Channels that were made, or the exit status, with what is wrong said for each.
pub(super) fn made(daemon: Result<Daemon, Vec<ChannelError>>) -> Result<Daemon, u8> {
    daemon.map_err(|errors| {
        for error in &errors {
            say(&format!("sesame: {}", cause::chain(error)));
        }
        exit_status(&errors)
    })
}

/// 75 where another Sesame holds a queue and nothing else is wrong, else 78.
fn exit_status(errors: &[ChannelError]) -> u8 {
    if errors.iter().all(|error| error.error.is_held()) { EXIT_HELD } else { EXIT_CONFIGURATION }
}
