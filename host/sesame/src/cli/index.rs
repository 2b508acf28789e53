//! `sesame index`: the receivers that share an index, for an operator.

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::say;
use super::{EXIT_CONFIGURATION, EXIT_DONE, output};
use crate::config::Config;
use crate::service::Shared;
use index::{Operator, ReceiverRow};

/// `sesame index`.
#[derive(Args, Debug)]
pub struct Index {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with the shared index.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the receivers that share the index.
    Status(Status),
    /// Give up a receiver that is gone for good: what it claimed and may not have stored goes to the others.
    ///
    /// The receiver must not be running. Messages that it stored and could not report are stored a second time, by another
    /// receiver, if the broker still has them; so it does not start again before it is admitted.
    Fence(Named),
    /// Let a fenced receiver start again.
    ///
    /// Look first at what it stored last, in its log or with `sesame trace`: other receivers may have stored that too.
    Admit(Named),
}

/// `sesame index status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Print one JSON object per receiver.
    #[arg(long)]
    pub json: bool,
}

/// A receiver.
#[derive(Args, Debug)]
pub struct Named {
    /// The name in [index] of its configuration.
    #[arg(value_name = "NAME")]
    pub name: String,
}

pub(super) fn run(config: &Config, arguments: &Index) -> anyhow::Result<u8> {
    let shared = Shared::start(config)?;
    let Some(settings) = shared.registry.index(config)? else {
        say("sesame: this configuration has no section [index]: its receivers share no index");
        return Ok(EXIT_CONFIGURATION);
    };
    let mut operator = Operator::connect(settings)?;
    match &arguments.action {
        Action::Status(status) => show(&operator.receivers()?, status.json),
        Action::Fence(Named { name }) => {
            let fenced = operator.fence(name)?;
            output::line(&format!("receiver {name} is fenced; claims given back: {}", fenced.given_back));
        }
        Action::Admit(Named { name }) => match operator.admit(name)? {
            0 => output::line(&format!("receiver {name} is not fenced")),
            _ => output::line(&format!("receiver {name} may start again")),
        },
    }
    Ok(EXIT_DONE)
}

fn show(receivers: &[ReceiverRow], as_json: bool) {
    if as_json {
        for receiver in receivers {
            output::json(&json!({
                "name": receiver.name,
                "instance": receiver.instance,
                "connected": receiver.connected,
                "seen": receiver.seen,
                "fenced": receiver.fenced,
                "claims": receiver.claimed,
            }));
        }
        return;
    }
    if receivers.is_empty() {
        output::line("no receiver has used the shared index yet");
        return;
    }
    let mut table = output::Table::new(&["NAME", "STATE", "SINCE", "CLAIMED", "INSTANCE"]);
    for receiver in receivers {
        let (state, since) = match (&receiver.fenced, receiver.connected) {
            (Some(since), _) => ("fenced", since),
            (None, true) => ("connected", &receiver.seen),
            (None, false) => ("away", &receiver.seen),
        };
        let claimed = receiver.claimed.to_string();
        table.row([receiver.name.clone(), state.to_owned(), since.clone(), claimed, receiver.instance.clone()]);
    }
    table.print();
}
