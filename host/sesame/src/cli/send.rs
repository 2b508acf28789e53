//! `sesame send`: sends all queued messages and exits; with `--watch` runs until stopped.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use clap::Args;

use super::context::{Context, build, log_warnings, runtime, select};
use super::output;
use crate::config::{Config, Kind, parse_duration};
use crate::sender::{FateReport, Stay, Summary};
use crate::service::{On, Shared, Signals, stop_on_signals};
use crate::shutdown;
use message::daily;
use terminal::{EXIT_DONE, EXIT_FAILED};

/// `sesame send`.
#[derive(Args, Debug)]
pub struct Send {
    /// Sending channels [send.NAME] [default: all].
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Keep running and send new messages until stopped.
    #[arg(long)]
    pub watch: bool,
    /// Give up after this long without a broker.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = parse_duration, conflicts_with = "watch")]
    pub deadline: Duration,
    /// Print nothing if everything was sent: log no lines below warnings, unless --log-level is given.
    #[arg(long, short, conflicts_with_all = ["watch", "json"])]
    pub quiet: bool,
    /// Print one JSON object per message and one per channel at the end.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(arguments: &Send, context: &Context) -> anyhow::Result<u8> {
    if arguments.watch {
        return super::run::daemon(context, &arguments.channels, Kind::Send);
    }
    let config = &context.config_for(arguments.quiet)?;
    crate::log::start(&config.log)?;
    if let Some(state) = first_state(config, &arguments.channels) {
        daily::remember_in(state);
    }
    log_warnings(config);
    let runtime = runtime().context("cannot start threads")?;
    let status = runtime.block_on(once(config, arguments));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    daily::keep();
    status
}

/// Where one-shot runs record which warnings they logged: the state directory of the first channel.
fn first_state<'a>(config: &'a Config, channels: &[String]) -> Option<&'a Path> {
    let chosen = |name: &str| channels.is_empty() || channels.iter().any(|channel| channel == name);
    config.senders.iter().find(|(name, _)| chosen(name)).map(|(_, sender)| sender.state.as_path())
}

async fn once(config: &Config, arguments: &Send) -> anyhow::Result<u8> {
    let signals = Signals::listen().context("cannot listen to signals")?;
    let selection = match select(config, &arguments.channels, Kind::Send) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let shared = Shared::start(config)?;
    let daemon = match build(config, &selection, &shared) {
        Ok(daemon) => daemon,
        Err(status) => return Ok(status),
    };
    let (fates_to, fates) = mpsc::channel();
    for sender in daemon.senders().iter().filter(|_| arguments.json) {
        sender.tell(fates_to.clone());
    }
    drop(fates_to);
    let (switch, shutdown) = shutdown::switch();
    let grace = config.limits.grace;
    let stopper = async move { stop_on_signals(signals, &switch, grace, On::nothing()).await };
    let summaries = tokio::select! {
        summaries = daemon.run(Stay::UntilEmpty(arguments.deadline), &shutdown) => Some(summaries),
        () = stopper => None,
        () = super::run::too_late(&shutdown) => None,
    };
    shared.registry.end_work();
    let Some(summaries) = summaries else { return Ok(EXIT_FAILED) };
    if arguments.json {
        fates.try_iter().for_each(|report| print_fate(&report));
    }
    let clean = summaries.iter().all(|(_, summary)| summary.is_clean());
    for (channel, summary) in summaries.iter().filter(|(_, summary)| !arguments.quiet || !summary.is_clean()) {
        report(channel, summary, arguments.json);
    }
    Ok(if clean { EXIT_DONE } else { EXIT_FAILED })
}

fn print_fate(report: &FateReport) {
    let value = json!({
        "channel": report.channel.name(), "element": report.element, "id": report.id, "fate": report.fate,
        "reason": report.reason,
    });
    output::line(&value.to_string());
}

/// One line for each channel.
fn report(channel: &str, summary: &Summary, as_json: bool) {
    let Summary { sent, rejected, waiting, gave_up } = summary;
    if as_json {
        let value = json!({
            "channel": channel, "sent": sent, "rejected": rejected, "waiting": waiting, "gave-up": gave_up,
        });
        output::line(&value.to_string());
        return;
    }
    let why = gave_up.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    output::line(&format!("{channel}: {sent} sent, {rejected} rejected, {waiting} waiting{why}"));
}
