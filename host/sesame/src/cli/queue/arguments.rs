//! The options of `sesame queue` and its subcommands.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::parse_duration;

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
