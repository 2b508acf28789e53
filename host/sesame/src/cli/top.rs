//! `sesame top`: a picture of the running Sesame that changes while it is looked at.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::Args;
use observe::overview::Event;

use super::context::{Context, say};
use super::status::{overview, say_unanswered};
use super::{EXIT_DONE, EXIT_USAGE};
use crate::config::Config;
use crate::live::{LiveError, Sockets};
use message::cause;

/// The most messages that are listed.
const MOST_MESSAGES: usize = 200;

/// `sesame top`.
#[derive(Args, Debug)]
pub struct Top {
    /// Channels, as NAME, send.NAME or receive.NAME [default: all]
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
}

/// Shows it until the user or a signal ends it. Exits with 69 if no Sesame answers at first.
pub(super) fn run(arguments: &Top, context: &Context) -> anyhow::Result<u8> {
    let dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
    if dumb || !std::io::stdout().is_terminal() {
        say("sesame: `sesame top` needs a terminal; use `sesame status` for text, or `sesame status --json`");
        return Ok(EXIT_USAGE);
    }
    let config = context.config_to_ask()?;
    match overview(&config, &arguments.channels) {
        Ok(overview) => {
            if let Err(error) = screen::select(overview, &arguments.channels) {
                say(&format!("sesame: {error}"));
                return Ok(EXIT_USAGE);
            }
        }
        Err(unanswered) => return Ok(say_unanswered(&unanswered)),
    }
    let names = arguments.channels.clone();
    screen::top::run(move || ask(&config, &names), terminal::is_styled()).context("cannot use the terminal")?;
    Ok(EXIT_DONE)
}

fn ask(config: &Config, names: &[String]) -> screen::top::Answer {
    let text = |unanswered: LiveError| cause::chain(&unanswered);
    let overview = overview(config, names).map_err(text)?;
    let overview = screen::select(overview, names).map_err(|error| error.to_string())?;
    let recent: Vec<Vec<Event>> = Sockets::of(config, &[]).get("/api/recent").map_err(text)?;
    let mut recent: Vec<Event> = recent.into_iter().flatten().collect();
    recent.retain(|event| {
        overview.channels.iter().any(|one| one.name == event.channel && one.direction == event.direction)
    });
    recent.sort_by_key(|event| std::cmp::Reverse(event.at));
    recent.truncate(MOST_MESSAGES);
    Ok((overview, recent))
}
