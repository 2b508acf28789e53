//! The command line: what can be asked of Sesame and with which options. Each command's work is in the file of its name.
//!
//! The exit status is that of [`terminal`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, parse_duration};

mod check;
mod demo;
mod dispatch;
mod explain;
mod plugin;
mod publish;
mod queue;
mod run;
mod send;
mod trace;

pub use dispatch::main;
pub use plugin::{Plugin, PluginCommand};
use terminal as output;
use terminal::{EXIT_CONFIGURATION, EXIT_DONE, EXIT_FAILED, EXIT_HELD};

/// Secure messenger for accounting records.
///
/// Takes messages from queues on disk, has plugins check or change them, signs and encrypts them and sends them through a
/// STOMP broker; receives, decrypts, verifies and authorises what others sent and stores it on disk, exactly once.
///
/// Start with `sesame demo`: it needs no broker, no certificates and no configuration.
#[derive(Debug, Parser)]
#[command(name = "sesame", version, max_term_width = 100, propagate_version = false, arg_required_else_help = true)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Args, Debug)]
pub struct Common {
    /// The configuration file [default: /etc/sesame/sesame.toml, or none with --ssm-config].
    #[arg(long, short, global = true, value_name = "FILE", help_heading = "Common options")]
    pub config: Option<PathBuf>,
    /// A sender.cfg or receiver.cfg of SSM's, used as it is; may be given for each. The channel is called as the file.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Common options")]
    pub ssm_config: Vec<PathBuf>,
    /// The list of those who may send, with --ssm-config.
    #[arg(long, global = true, value_name = "FILE", default_value = config::SSM_DNS, help_heading = "Common options")]
    pub ssm_dns: PathBuf,
    /// The least serious kind of line to log, instead of the configuration's.
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Common options")]
    pub log_level: Option<LogLevel>,
}

impl Common {
    /// Where the configuration comes from.
    fn source(&self) -> config::Source {
        match self.ssm_config.as_slice() {
            [] => config::Source::Own(self.config.clone().unwrap_or_else(|| config::CONFIGURATION.into())),
            files => config::Source::Ssm { files: files.to_vec(), dns: self.ssm_dns.clone(), own: self.config.clone() },
        }
    }
}

/// A log level of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// An operator must act.
    Error,
    /// Refused or tried again.
    Warn,
    /// One line for each change of state.
    Info,
    /// What led there.
    Debug,
    /// Every step.
    Trace,
}

impl From<LogLevel> for config::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send what is queued, then quit; with --watch stay and send what arrives.
    Send(Send),
    /// Receive and store messages until stopped.
    Receive(Receive),
    /// Run senders and receivers together until stopped.
    Run(Run),
    /// Queue files and send them at once.
    Publish(Publish),
    /// Show what a channel would do with a message; nothing is sent or stored.
    Explain(Explain),
    /// Show the way of sample messages through a broker in this process; needs nothing installed.
    Demo(Demo),
    /// Say what is wrong with configuration, certificates, plugins and brokers, and how to mend it.
    Check(Check),
    /// Look after the queues.
    Queue(Queue),
    /// Look after plugins; write, build, test and inspect them.
    Plugin(Plugin),
    /// Tell what happened to a message, step by step.
    Trace(Trace),
    /// Print the version.
    Version,
    /// Compile a component into the cache; run by Sesame itself as a child process.
    #[command(hide = true)]
    CompilePlugin,
}

/// `sesame send`.
#[derive(Args, Debug)]
pub struct Send {
    /// Channels of the configuration, [send.NAME]; none means all.
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Stay and send what arrives, until stopped.
    #[arg(long)]
    pub watch: bool,
    /// Give up when no broker could be reached for so long.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = parse_duration, conflicts_with = "watch")]
    pub deadline: Duration,
    /// Print one JSON object for each message and one at the end.
    #[arg(long)]
    pub json: bool,
}

/// `sesame receive`.
#[derive(Args, Debug)]
pub struct Receive {
    /// Channels of the configuration, [receive.NAME]; none means all.
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
}

/// `sesame run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Channels of the configuration; none means all.
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
}

/// `sesame publish`.
#[derive(Args, Debug)]
pub struct Publish {
    /// A sending channel of the configuration, [send.NAME].
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Files, one message each; - is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Give up when no broker could be reached for so long; the messages stay queued.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = parse_duration)]
    pub deadline: Duration,
    /// Print one JSON object for each message.
    #[arg(long)]
    pub json: bool,
}

/// `sesame explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// A channel of the configuration. A sender explains content, a receiver a sealed message or content.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// The message; - is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `sesame demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Leave the files here instead of in a new directory below the temporary one.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// `sesame check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Do not try the brokers.
    #[arg(long)]
    pub offline: bool,
    /// Print the whole configuration with every default spelled out; it can be used as a configuration file.
    #[arg(long)]
    pub effective: bool,
    /// Print the findings as JSON.
    #[arg(long, conflicts_with = "effective")]
    pub json: bool,
}

/// `sesame queue`.
#[derive(Args, Debug)]
pub struct Queue {
    /// What to do with a queue.
    #[command(subcommand)]
    pub command: QueueCommand,
}

/// What to do with a queue.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Say how many messages wait in each queue, and which.
    List(QueueList),
    /// Print one element: who signed it, why it is there, what is in it.
    Show(QueueShow),
    /// Put files into a sending channel's outgoing queue.
    Add(QueueAdd),
    /// Try rejected or deferred messages again.
    Retry(QueueRetry),
    /// Remove rejected or deferred messages for good.
    Purge(QueuePurge),
}

/// `sesame queue list`.
#[derive(Args, Debug)]
pub struct QueueList {
    /// Channels of the configuration; none means all.
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Only this queue: outgoing, incoming, reject, deferred, or the name of a route's.
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// Name every element, not only their number.
    #[arg(long, short)]
    pub long: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `sesame queue show`.
#[derive(Args, Debug)]
pub struct QueueShow {
    /// A channel of the configuration.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// The element as `sesame queue list --long` names it.
    #[arg(value_name = "ELEMENT")]
    pub element: String,
    /// Only in this queue: outgoing, incoming, reject, deferred, or the name of a route's.
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// Print the content alone, byte for byte.
    #[arg(long, conflicts_with = "json")]
    pub body: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `sesame queue add`.
#[derive(Args, Debug)]
pub struct QueueAdd {
    /// A sending channel of the configuration, [send.NAME].
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Files, one message each; - is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// A queue that holds what could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Aside {
    /// Refused for good.
    Reject,
    /// Waiting for a plugin that could not answer.
    Deferred,
}

/// `sesame queue retry`.
#[derive(Args, Debug)]
pub struct QueueRetry {
    /// A channel of the configuration.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Elements as `sesame queue list --long` names them; none means all.
    #[arg(value_name = "ELEMENT")]
    pub elements: Vec<String>,
    /// The queue to take them from.
    #[arg(long, value_enum, default_value = "reject")]
    pub from: Aside,
    /// Send or store once more what was sent or stored already.
    #[arg(long)]
    pub again: bool,
}

/// `sesame queue purge`.
#[derive(Args, Debug)]
pub struct QueuePurge {
    /// A channel of the configuration.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Elements as `sesame queue list --long` names them; none means all that --older-than leaves.
    #[arg(value_name = "ELEMENT", required_unless_present = "older_than")]
    pub elements: Vec<String>,
    /// The queue to remove them from.
    #[arg(long, value_enum, default_value = "reject")]
    pub from: Aside,
    /// Only elements that have been there for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub older_than: Option<Duration>,
}

/// `sesame trace`.
#[derive(Args, Debug)]
pub struct Trace {
    /// The message id, as log lines and `empa-id` give it; or the name of an element or of a file, with or without its path.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Only in this channel.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Print one JSON object for each step.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::Source;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_tree_is_sound_and_every_item_has_a_help_text() {
        let mut tree = Cli::command();
        tree.clone().debug_assert();
        tree.build();
        check_help(&tree);
    }

    fn check_help(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
        command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check_help);
    }

    #[test]
    fn takes_the_configuration_before_or_after_the_command() {
        for line in ["sesame --config /a.toml send cpu", "sesame send cpu --config /a.toml"] {
            assert_eq!(parse(line).unwrap().common.source(), Source::Own("/a.toml".into()));
        }
        assert_eq!(parse("sesame run").unwrap().common.source(), Source::Own("/etc/sesame/sesame.toml".into()));
    }

    #[test]
    fn takes_files_of_ssm_with_and_without_a_configuration() {
        let source = |line| parse(line).unwrap().common.source();
        let ssm = |files: &[&str], dns: &str, own: Option<&str>| Source::Ssm {
            files: files.iter().map(PathBuf::from).collect(),
            dns: dns.into(),
            own: own.map(Into::into),
        };
        assert_eq!(source("sesame send --ssm-config /a.cfg"), ssm(&["/a.cfg"], "/etc/apel/dns", None));
        let both = "sesame -c /c.toml run --ssm-config /a.cfg --ssm-dns /d --ssm-config /b.cfg";
        assert_eq!(source(both), ssm(&["/a.cfg", "/b.cfg"], "/d", Some("/c.toml")));
    }

    #[test]
    fn send_gives_up_after_five_minutes_unless_it_watches() {
        let Command::Send(send) = parse("sesame send").unwrap().command else { panic!("not send") };
        assert_eq!((send.deadline, send.watch), (Duration::from_secs(300), false));
        assert!(parse("sesame send --watch").is_ok());
        assert!(parse("sesame send --watch --deadline 5s").is_err());
        assert!(parse("sesame send --deadline soon").is_err());
    }

    #[test]
    fn a_wrong_command_line_has_exit_status_2() {
        for line in
            ["sesame", "sesame sned", "sesame publish cpu", "sesame queue", "sesame queue purge cpu", "sesame trace"]
        {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn purge_needs_elements_or_an_age() {
        assert!(parse("sesame queue purge cpu --older-than 90d --from deferred").is_ok());
        assert!(parse("sesame queue purge cpu 00000000/6b03126398f937").is_ok());
    }
}
