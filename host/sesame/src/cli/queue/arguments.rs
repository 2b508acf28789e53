//! The options of `sesame queue` and its subcommands.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::parse_duration;

/// `sesame queue`.
#[derive(Args, Debug)]
pub struct Queue {
    /// The subcommand.
    #[command(subcommand)]
    pub command: QueueCommand,
}

/// A subcommand of `sesame queue`.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the queues with their number of messages, or their messages.
    List(QueueList),
    /// Show how many messages wait, are not acknowledged or were rejected, for each channel.
    Status(QueueStatus),
    /// Show one element: signer, reason and content.
    Show(QueueShow),
    /// Add files to the outgoing queue of a channel.
    Add(QueueAdd),
    /// Retry rejected or deferred messages.
    Retry(QueueRetry),
    /// Send messages again now that are not acknowledged, under the same ids.
    Repeat(QueueRepeat),
    /// Give up messages that are not acknowledged: wait no longer, and delete what is kept of them.
    Release(QueueRelease),
    /// Delete rejected or deferred messages.
    Purge(QueuePurge),
}

/// `sesame queue list`.
#[derive(Args, Debug)]
pub struct QueueList {
    /// Channels of the configuration [default: all].
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Only this queue: outgoing, unacknowledged, incoming, reject, deferred or the queue of a route.
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// List every element, not only their number.
    #[arg(long, short)]
    pub long: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `sesame queue status`.
#[derive(Args, Debug)]
pub struct QueueStatus {
    /// Channels of the configuration [default: all].
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Print one JSON object per channel.
    #[arg(long)]
    pub json: bool,
}

/// `sesame queue show`.
#[derive(Args, Debug)]
pub struct QueueShow {
    /// Channel of the configuration.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Element name as in `sesame queue list --long`.
    #[arg(value_name = "ELEMENT")]
    pub element: String,
    /// Only in this queue: outgoing, incoming, reject, deferred or the queue of a route.
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// Print only the content, byte for byte.
    #[arg(long, conflicts_with = "json")]
    pub body: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `sesame queue add`.
#[derive(Args, Debug)]
pub struct QueueAdd {
    /// Sending channel [send.NAME].
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Files, one message each; - for standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// A queue for messages that could not be stored or sent.
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
    /// Channel of the configuration.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Element names as in `sesame queue list --long` [default: all].
    #[arg(value_name = "ELEMENT")]
    pub elements: Vec<String>,
    /// Queue to take them from.
    #[arg(long, value_enum, default_value = "reject")]
    pub from: Aside,
    /// Also send or store messages that were sent or stored before.
    #[arg(long)]
    pub again: bool,
}

/// Which messages of a sender that are not acknowledged.
#[derive(Args, Debug)]
pub struct Unacknowledged {
    /// Sending channel [send.NAME].
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Message ids, or "STREAM NUMBER", as in `sesame queue list --queue unacknowledged --long`.
    #[arg(value_name = "ID", required_unless_present_any = ["all", "overdue"])]
    pub ids: Vec<String>,
    /// All messages of the channel that are not acknowledged.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Those of them that are overdue.
    #[arg(long, conflicts_with_all = ["ids", "all"])]
    pub overdue: bool,
}

/// `sesame queue repeat`.
#[derive(Args, Debug)]
pub struct QueueRepeat {
    /// Which messages.
    #[command(flatten)]
    pub which: Unacknowledged,
    /// Also messages so old that their receiver may have forgotten them and store them twice.
    #[arg(long)]
    pub again: bool,
}

/// `sesame queue release`.
#[derive(Args, Debug)]
pub struct QueueRelease {
    /// Which messages.
    #[command(flatten)]
    pub which: Unacknowledged,
}

/// `sesame queue purge`.
#[derive(Args, Debug)]
pub struct QueuePurge {
    /// Channel of the configuration.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Element names as in `sesame queue list --long` [default: all that match --older-than].
    #[arg(value_name = "ELEMENT", required_unless_present = "older_than")]
    pub elements: Vec<String>,
    /// Queue to delete them from.
    #[arg(long, value_enum, default_value = "reject")]
    pub from: Aside,
    /// Only elements older than this.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub older_than: Option<Duration>,
}
