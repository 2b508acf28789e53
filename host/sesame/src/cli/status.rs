//! `sesame status`: what runs, its state and what is wrong, asked of the running Sesame; as text, as JSON, or as one line
//! for Nagios and Icinga.
//!
//! It reads the configuration only to find the socket of the process.

use std::time::{Duration, Instant};

use clap::Args;
use observe::overview::Overview;
use screen::History;
use screen::nagios::{self, State};

use super::context::{Context, say};
use super::{EXIT_DONE, EXIT_FAILED, EXIT_NOT_RUNNING, EXIT_USAGE, output};
use crate::config::Config;
use crate::live::{self, LiveError, Sockets, merged};
use message::cause;

/// How long a rate is measured.
const MEASURED: Duration = Duration::from_secs(1);
/// The longest wait for a look at the queues that is newer than the command.
const LOOK: Duration = Duration::from_secs(2);
/// The rest between two questions while waiting for it.
const REST: Duration = Duration::from_millis(100);

/// `sesame status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Channels, as NAME, send.NAME or receive.NAME [default: all]
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Print everything as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Print one line with performance data and exit with 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN), as a plugin of
    /// Nagios or Icinga.
    #[arg(long, conflicts_with = "json")]
    pub nagios: bool,
}

/// Exits with 1 if anything is wrong, with 69 if no Sesame answers.
pub(super) fn run(arguments: &Status, context: &Context) -> anyhow::Result<u8> {
    if arguments.nagios {
        let answer = monitored(arguments, context);
        output::line(&answer.line);
        return Ok(answer.state.exit_status());
    }
    let config = context.config_to_ask()?;
    let names = &arguments.channels;
    let mut history = History::default();
    let began = Instant::now();
    let asked = look(&config, names).and_then(|first| {
        history.add(&first);
        // A process that does not answer is waited for once; there are no rates then.
        if arguments.json || began.elapsed() > LOOK + MEASURED {
            return Ok(first);
        }
        std::thread::sleep(MEASURED.saturating_sub(began.elapsed()));
        let last = overview(&config, names)?;
        history.add(&last);
        Ok(last)
    });
    let overview = match asked {
        Ok(overview) => overview,
        Err(unanswered) => return Ok(say_unanswered(&unanswered)),
    };
    let overview = match screen::select(overview, &arguments.channels) {
        Ok(overview) => overview,
        Err(error) => {
            say(&format!("sesame: {error}"));
            return Ok(EXIT_USAGE);
        }
    };
    if arguments.json {
        output::json(&serde_json::to_value(&overview)?);
    } else {
        screen::status::lines(&overview, &history).iter().for_each(output::Line::print);
    }
    Ok(if screen::is_well(&overview) { EXIT_DONE } else { EXIT_FAILED })
}

/// What all processes of this configuration say now, with the channels that none of them runs as troubles. Those that the
/// command line names must run.
pub(super) fn overview(config: &Config, names: &[String]) -> Result<Overview, LiveError> {
    let (overviews, missing) = Sockets::of(config, &[]).overviews()?;
    let mut overview = merged(overviews);
    overview.troubles.extend(missing.iter().map(|one| one.trouble(names)));
    live::sort(&mut overview.troubles);
    Ok(overview)
}

/// Says why no Sesame answers.
pub(super) fn say_unanswered(unanswered: &LiveError) -> u8 {
    say(&format!("sesame: {}", cause::chain(unanswered)));
    EXIT_NOT_RUNNING
}

/// An overview with a look at the queues that is not older than the question, if there is one soon. Where no one asked for a
/// while, the last look is old, and the question itself starts another.
fn look(config: &Config, names: &[String]) -> Result<Overview, LiveError> {
    let began = Instant::now();
    let first = overview(config, names)?;
    let asked = first.at;
    let mut last = first;
    while last.looked_at.is_none_or(|looked| looked < asked) && began.elapsed() < LOOK {
        std::thread::sleep(REST);
        last = overview(config, names)?;
    }
    Ok(last)
}

/// Ends where the command line of a check is wrong: its exit status must not be that of CRITICAL.
pub(super) fn exit_unknown(error: &clap::Error) -> ! {
    let text = error.to_string();
    let answer = nagios::bare(State::Unknown, text.lines().next().unwrap_or_default());
    output::line(&answer.line);
    std::process::exit(i32::from(answer.state.exit_status()))
}

/// The answer to Nagios. Not to find out is UNKNOWN; to find no Sesame is CRITICAL.
fn monitored(arguments: &Status, context: &Context) -> nagios::Answer {
    let config = match context.config_to_ask() {
        Ok(config) => config,
        Err(mistakes) => return nagios::bare(State::Unknown, &mistakes.to_string()),
    };
    let overview = match look(&config, &arguments.channels) {
        Ok(overview) => overview,
        Err(unanswered) => {
            let state = match unanswered {
                LiveError::NotPermitted(..) => State::Unknown,
                _ => State::Critical,
            };
            return nagios::bare(state, &cause::chain(&unanswered));
        }
    };
    match screen::select(overview, &arguments.channels) {
        Ok(overview) => nagios::answer(&overview),
        Err(error) => {
            let state = if is_configured(&config, &error.name) { State::Critical } else { State::Unknown };
            nagios::bare(state, &error.to_string())
        }
    }
}

fn is_configured(config: &Config, name: &str) -> bool {
    let (sender, receiver) = (name.strip_prefix("send."), name.strip_prefix("receive."));
    config.senders.contains_key(sender.unwrap_or(name)) || config.receivers.contains_key(receiver.unwrap_or(name))
}
