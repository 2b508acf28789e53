//! What is passed to a command, and what several commands need: the configuration, the channels named on the command
//! line, the runtime.

use std::path::Path;

use super::{EXIT_CONFIGURATION, EXIT_HELD, EXIT_USAGE};
use crate::channel::Channel;
use crate::config::{self, Config, Kind, Selection, Source};
use crate::log::Level;
use crate::service::{ChannelError, Daemon, Shared};
pub(super) use crate::service::{Unreadable, journal_in, typed_sequence};
use message::cause;
use message::daily::Condition;
use settings::ConfigErrors;
pub(super) use terminal::say;

/// Stack of the threads that run plugins, OpenSSL and the disk.
const THREAD_STACK: usize = 4 << 20;
/// Threads for blocking work at once: each channel works on `limits.workers` messages, the rest is the disk's. As many as
/// there are slow plugins may be waiting in them, and the disk must not.
const BLOCKING_THREADS: usize = 512;

/// What the global options of the command line say.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Where the configuration comes from.
    pub(super) source: Source,
    /// The minimum log level, which overrides the configuration.
    pub(super) level: Option<Level>,
}

impl Context {
    /// Reads the configuration.
    ///
    /// # Errors
    /// All its mistakes.
    pub(super) fn config(&self) -> Result<Config, ConfigErrors> {
        let mut config = self.source.load()?;
        if let Some(level) = self.level {
            config.log.level = level;
        }
        Ok(config)
    }

    /// Reads the configuration for a command that only asks a running Sesame. What files hold does not matter to it, and its
    /// user may not be able to read them.
    ///
    /// # Errors
    /// All mistakes of the configuration itself.
    pub(super) fn config_to_ask(&self) -> Result<Config, ConfigErrors> {
        self.source.load_with(config::Files::Ignore)
    }

    /// Reads the configuration for a command that may be `quiet`: it logs nothing below warnings then, unless a level was
    /// asked for.
    ///
    /// # Errors
    /// All its mistakes.
    pub(super) fn config_for(&self, quiet: bool) -> Result<Config, ConfigErrors> {
        let mut config = self.config()?;
        if quiet && self.level.is_none() && config.log.level != Level::Error {
            config.log.level = Level::Warn;
        }
        Ok(config)
    }
}

/// Logs what a configuration allows and what is still worth a word.
pub(super) fn log_warnings(config: &Config) {
    let allowed = Condition::warning("configuration", "");
    for warning in config.warnings().iter().filter(|warning| allowed.is_due(warning)) {
        tracing::warn!("{warning}");
    }
}

/// Has the progress of a long compilation printed: commands do not log it.
pub(super) fn tell_compiling() {
    plugins::watch_compilation(|plugin, percent| {
        let plugin = message::text::escaped(plugin);
        say(&format!("sesame: compiling plugin {plugin}: {percent} %"));
    });
}

/// Prints which plugins of a channel are compiled first, because that takes time, and then how far each is.
pub(super) fn say_compiling(shared: &Shared, config: &Config, channel: &Channel) {
    tell_compiling();
    for plugin in crate::service::compiling(shared, config, channel) {
        say(&format!("sesame: compiling plugin {plugin} for the first time; this can take a minute"));
    }
}

/// The runtime of a command that talks to brokers.
///
/// # Errors
/// Where threads cannot be started.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(THREAD_STACK)
        .thread_name("sesame")
        .build()
}

/// Says that a directory has no journal.
pub(super) fn say_not_run(channel: &str, directory: &Path) {
    say(&format!("sesame: channel {channel}: {} has no journal: Sesame has not run with it yet", directory.display()));
}

/// The channels that a command names; prints what is wrong with the names.
pub(super) fn select(config: &Config, names: &[String], kind: Kind) -> Result<Selection, u8> {
    config.select(names, kind).map_err(|error| {
        say(&format!("sesame: {error}"));
        match error {
            config::SelectionError::None { .. } => EXIT_CONFIGURATION,
            _ => EXIT_USAGE,
        }
    })
}

/// Builds the channels; prints what is wrong with each.
pub(super) fn build(config: &Config, selection: &Selection, shared: &Shared) -> Result<Daemon, u8> {
    made(Daemon::build(config, selection, shared))
}

/// The channels, or the exit status after printing what is wrong with each.
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
