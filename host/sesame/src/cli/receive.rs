//! `sesame receive`: runs receivers until stopped; see `run`.

use clap::Args;

use super::context::Context;
use crate::config::Kind;

/// `sesame receive`.
#[derive(Args, Debug)]
pub struct Receive {
    /// Receiving channels [receive.NAME] [default: all].
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
}

pub(super) fn run(arguments: &Receive, context: &Context) -> anyhow::Result<u8> {
    super::run::daemon(context, &arguments.channels, Kind::Receive)
}
