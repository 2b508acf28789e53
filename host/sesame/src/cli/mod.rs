//! The command line. Each command is a file: its options, and a function that runs it. `dispatch` picks the command,
//! `context` holds what is passed to it.
//!
//! The exit status is that of [`terminal`].

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config;
use crate::log::Level;

mod check;
mod context;
mod demo;
mod dispatch;
mod explain;
mod gaps;
mod index;
mod pages;
mod plugin;
mod proof;
mod publish;
mod queue;
mod receive;
mod report;
mod run;
mod send;
mod status;
mod tap;
mod top;
mod trace;
mod version;

pub use dispatch::main;
use queue::{
    Aside, QueueAdd, QueueList, QueuePurge, QueueRelease, QueueRepeat, QueueRetry, QueueShow, QueueStatus,
    Unacknowledged,
};
use terminal as output;
use terminal::{EXIT_CONFIGURATION, EXIT_DONE, EXIT_FAILED, EXIT_HELD, EXIT_NOT_RUNNING, EXIT_USAGE, EXIT_WARNINGS};

/// Secure messenger for accounting records.
///
/// A sender takes messages from a queue on disk, runs plugins that check or change them, signs and encrypts them and sends
/// them through a STOMP broker or the ARGO Messaging Service (AMS). A receiver decrypts, verifies and authorises messages
/// and stores each on disk exactly once.
///
/// Start with `sesame demo`: it needs no broker, no certificates and no configuration.
#[derive(Debug, Parser)]
#[command(name = "sesame", version, max_term_width = 100, propagate_version = false, arg_required_else_help = true)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Args, Debug)]
pub struct Global {
    /// Configuration file [default: /etc/sesame/sesame.toml, or none with --ssm-config].
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// SSM's sender.cfg or receiver.cfg, used unchanged; repeatable. The channel has the name of the file.
    #[arg(long, global = true, value_name = "FILE")]
    pub ssm_config: Vec<PathBuf>,
    /// List of authorised signers, with --ssm-config.
    #[arg(long, global = true, value_name = "FILE", default_value = config::SSM_DNS)]
    pub ssm_dns: PathBuf,
    /// Minimum log level; overrides the configuration.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<Level>,
}

impl Global {
    fn context(&self) -> context::Context {
        context::Context { source: self.source(), level: self.log_level }
    }

    /// Where the configuration comes from.
    fn source(&self) -> config::Source {
        match self.ssm_config.as_slice() {
            [] => config::Source::Own(self.config.clone().unwrap_or_else(|| config::CONFIGURATION.into())),
            files => config::Source::Ssm { files: files.to_vec(), dns: self.ssm_dns.clone(), own: self.config.clone() },
        }
    }
}

/// A command of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send all queued messages and exit; with --watch, keep running and send new ones.
    Send(send::Send),
    /// Receive and store messages until stopped.
    Receive(receive::Receive),
    /// Run senders and receivers until stopped.
    Run(run::Run),
    /// Queue files and send them now.
    Publish(publish::Publish),
    /// Show what a channel would do with a message, without sending or storing it.
    Explain(explain::Explain),
    /// Send sample messages through a built-in broker and show each step; needs no installation.
    Demo(demo::Demo),
    /// Check configuration, certificates, plugins and brokers; say how to fix each problem.
    Check(check::Check),
    /// Show what a running Sesame does, and what is wrong; for people, scripts and monitoring.
    Status(status::Status),
    /// Show what a running Sesame does, and what is wrong, in a terminal, refreshed each second.
    Top(top::Top),
    /// List, show, add, retry and purge queued messages.
    Queue(queue::arguments::Queue),
    /// Create, build, test, inspect, list and remove plugins.
    Plugin(plugin::Plugin),
    /// Show what becomes of messages as it happens, without their content.
    Tap(tap::Tap),
    /// Show what happened to a message, step by step.
    Trace(trace::Trace),
    /// List messages that receivers lack, though later ones of the same signer came.
    Gaps(gaps::Gaps),
    /// Show the receivers that share an index, and give up one that is gone for good.
    Index(index::Index),
    /// Write the signed acknowledgements of a message, to be checked with OpenSSL.
    Proof(proof::Proof),
    /// Report the messages and records of a month by site, or compare two such reports.
    Report(report::Report),
    /// Print the version.
    Version(version::Version),
    /// Compile a component into the cache; Sesame runs this itself as a child process.
    #[command(hide = true)]
    CompilePlugin,
    /// Open messages for the process that started this one; Sesame runs this itself as a child process.
    #[command(hide = true)]
    OpenMessages,
    /// Write manual pages and completions of shells, for packages.
    #[command(hide = true)]
    WritePages(pages::WritePages),
}

/// Parses the command line; prints help, the version or a mistake and exits where there is nothing to run.
fn parse() -> Cli {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| {
        if error.use_stderr() && std::env::args_os().any(|argument| argument == "--nagios") {
            status::exit_unknown(&error);
        }
        error.exit()
    })
}

/// The command line as it is declared.
fn plain() -> clap::Command {
    Cli::command()
}

/// The command line. The help of each command shows its own options; the global ones are listed in the help of the
/// program.
pub fn command() -> clap::Command {
    let command = plain();
    let global: Vec<clap::Arg> = command.get_arguments().filter(|argument| argument.is_global_set()).cloned().collect();
    let listed = clap::Command::new("global").max_term_width(100).disable_help_flag(true);
    let listed = listed.help_template("{options}").args(global).render_help();
    let command = command.mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument });
    refer_to_global(command).after_help(format!("Global options:\n{listed}"))
}

fn refer_to_global(mut command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, refer_to_global);
    }
    command.after_help("Global options: see sesame --help")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::config::Source;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::from_arg_matches(&command().try_get_matches_from(line.split(' '))?)
    }

    #[test]
    fn the_command_tree_is_sound_and_every_item_has_a_help_text() {
        let mut tree = command();
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
    fn help_of_a_command_shows_its_own_options_alone() {
        let help = |line: &str| parse(line).unwrap_err().to_string();
        let own = help("sesame queue list --help");
        assert!(own.contains("--long") && !own.contains("--ssm-dns") && !own.contains("--log-level"), "{own}");
        assert!(own.trim_end().ends_with("Global options: see sesame --help"), "{own}");
        let all = help("sesame --help");
        let (_, listed) = all.split_once("\nGlobal options:\n").unwrap();
        for option in ["-c, --config <FILE>", "--ssm-config <FILE>", "--ssm-dns <FILE>", "--log-level <LEVEL>"] {
            assert!(listed.contains(option) && all.matches(option).count() == 1, "{option} in\n{all}");
        }
    }

    #[test]
    fn takes_the_configuration_before_or_after_the_command() {
        for line in ["sesame --config /a.toml send cpu", "sesame send cpu --config /a.toml"] {
            assert_eq!(parse(line).unwrap().global.source(), Source::Own("/a.toml".into()));
        }
        assert_eq!(parse("sesame run").unwrap().global.source(), Source::Own("/etc/sesame/sesame.toml".into()));
    }

    #[test]
    fn takes_files_of_ssm_with_and_without_a_configuration() {
        let source = |line| parse(line).unwrap().global.source();
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

    #[test]
    fn the_shipped_unit_runs_a_valid_command_line_and_gives_a_stop_time() {
        let unit = include_str!("../../../../conf/sesame.service");
        let settings: BTreeMap<&str, &str> = unit.lines().filter_map(|line| line.split_once('=')).collect();
        let command = parse(settings["ExecStart"]).unwrap();
        assert_eq!(command.global.config, Some(config::CONFIGURATION.into()));
        assert!(matches!(command.command, Command::Run(_)));
        assert_eq!((settings["Type"], settings["ExecReload"]), ("notify", "/bin/kill -HUP $MAINPID"));
        assert!(settings["RestartPreventExitStatus"].contains(&EXIT_CONFIGURATION.to_string()));
        let stop = config::parse_duration(settings["TimeoutStopSec"]).unwrap();
        assert!(stop > config::Config::default().limits.grace + Duration::from_secs(5));
        assert!(settings.contains_key("WatchdogSec"));
    }
}
