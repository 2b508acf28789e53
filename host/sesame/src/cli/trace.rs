//! `sesame trace`: every step of a message, from every journal of the configuration.
//!
//! It needs no lock and works beside a running Sesame. Whether an element is still there is looked up on the disk: programs
//! that consume a queue do not report it.

use anyhow::anyhow;
use clap::Args;

use super::context::{say, select, typed_sequence};
use super::{EXIT_DONE, EXIT_FAILED, EXIT_USAGE, output};
use crate::config::{Config, Kind};
use crate::service::{FoundBy, Located, Numbered, SentFacts, Traced, of_number};
use message::MessageId;
use spool::journal::{Acknowledged, Kept, KeptState, PipelineStage, Proved, Released, Step};

/// `sesame trace`.
#[derive(Args, Debug)]
pub struct Trace {
    /// Message id as in the log and in `empa-id`, or name of an element or file, with or without path, or "STREAM NUMBER"
    /// as in `sesame gaps` and in the header `Sesame-Sequence`.
    #[arg(value_name = "ID", required = true, num_args = 1..=2)]
    pub id: Vec<String>,
    /// Only in this channel.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Print one JSON object per step.
    #[arg(long)]
    pub json: bool,
}

/// Characters of a pipeline's hash that are shown.
const SHORT_HASH: usize = 12;

pub(super) fn run(config: &Config, arguments: &Trace) -> anyhow::Result<u8> {
    if let Some(channel) = &arguments.channel
        && let Err(status) = select(config, std::slice::from_ref(channel), Kind::Any)
    {
        return Ok(status);
    }
    let joined = arguments.id.join(" ");
    let typed = joined.trim();
    if arguments.id.len() > 1 && typed_sequence(typed).is_none() {
        say(&format!(
            "sesame: {typed:?} is not the number of a stream: trace shows one message; put an ID with a space in quotes"
        ));
        return Ok(EXIT_USAGE);
    }
    let channel = arguments.channel.as_deref();
    let traced = Traced::of(config, typed, channel).with_waiting(config, channel);
    for error in &traced.faults {
        say(&format!("sesame: {}", message::cause::chain(error)));
    }
    if traced.is_empty() {
        return Err(nothing(&traced));
    }
    if arguments.json {
        traced.json().iter().for_each(output::json);
    } else {
        show(&traced);
    }
    Ok(if traced.faults.is_empty() { EXIT_DONE } else { EXIT_FAILED })
}

fn show(traced: &Traced) {
    traced.steps.iter().for_each(print);
    for one in &traced.numbers {
        output::line(&number_line(&traced.typed, one));
    }
    for (channel, path) in &traced.waiting {
        let path = path.display();
        output::line(&format!("now                       waiting in outgoing  channel {channel}  {path}"));
    }
}

/// No journal and no queue has what was typed.
fn nothing(traced: &Traced) -> anyhow::Error {
    let Traced { typed, read, missing, .. } = traced;
    if read.is_empty() {
        return anyhow!("there is no journal yet: Sesame has not run with {}", missing.join(", "));
    }
    let searched = read.join(", ");
    if typed_sequence(typed).is_some() {
        return anyhow!(
            "no journal knows number {typed}: the sending side knows which message it is, and the receiving side whether \
             it came (searched: {searched})"
        );
    }
    let id = MessageId::from_peer(typed);
    anyhow!(
        "no journal knows message {id}, or an element or file of that name, and no outgoing queue holds it (searched: {searched})"
    )
}

fn print(located: &Located) {
    let step = &located.step;
    output::line(&format!("{}  {}  {}", output::time(step.at), step.fate, headline(step)));
    if located.by != FoundBy::Id {
        output::line(&format!("    found by  {}", located.by.word()));
    }
    for element in &located.elements {
        let word = if element.there { "still there" } else { "gone" };
        output::line(&format!("    element   {} ({word}: {})", element.element, element.path.display()));
    }
    for stage in &step.stages {
        output::line(&format!("    plugin    {}", stage_line(stage)));
    }
    if !step.routes.is_empty() {
        output::line(&format!("    routes    {}", step.routes.join(", ")));
    }
    if !step.signer.is_empty() {
        output::line(&format!("    signer    {}", step.signer));
    }
    if let Some(reason) = &step.detail {
        output::line(&format!("    reason    {reason}"));
    }
    output::line(&format!("    content   SHA-256 {}", step.digest));
    for line in facts_lines(step, &located.sent) {
        output::line(&format!("    {line}"));
    }
}

/// Numbers of a message, what receivers said of it, and whether it waits for that.
fn facts_lines(step: &Step, sent: &SentFacts) -> Vec<String> {
    let number = |one: &Proved| {
        let part = if one.id.as_str() == step.id { String::new() } else { format!("part {} ", one.id) };
        one.sequence.as_ref().map(|sequence| format!("sequence  {part}{sequence} to {}", one.destination))
    };
    let mut lines: Vec<String> = sent.numbers.iter().filter_map(number).collect();
    lines.extend(sent.acknowledged.iter().map(|one| format!("receiver  {}", acknowledgement_line(step, one))));
    lines.extend(sent.kept.as_ref().map(|kept| format!("waiting   {}", waiting_line(kept))));
    let released = |one: &Released| format!("released  {}: {}", output::time(one.at), one.why);
    lines.extend(sent.released.iter().map(released));
    lines
}

/// Since when a message waits for its acknowledgement, and what is next.
fn waiting_line(kept: &Kept) -> String {
    let (since, age) = (output::time(kept.since), output::age_since(kept.since));
    let next = match (kept.state, kept.next) {
        (KeptState::Overdue, _) => {
            "overdue: `sesame queue repeat` sends it again, `sesame queue release` gives it up".to_owned()
        }
        (KeptState::Waiting, Some(next)) => format!("sent again at {}", output::time(next)),
        (KeptState::Repeating, _) => "about to be sent again".to_owned(),
        (state, _) => format!("{}, about to end", state.word()),
    };
    format!("for an acknowledgement since {since} ({age}), repeats {}; {next}", kept.repeats)
}

fn number_line(typed: &str, one: &Numbered) -> String {
    let (word, since, sentence) = of_number(&one.place);
    let at = since.map_or_else(|| "now                     ".to_owned(), output::time);
    format!("{at}  {word}  {typed}  channel {}  signer {}: {sentence}", one.channel, one.signer)
}

/// What a receiver said of a message, or of a part of it.
fn acknowledgement_line(step: &Step, one: &Acknowledged) -> String {
    let part = if one.id == step.id { String::new() } else { format!("part {} ", one.id) };
    let mut line = format!("{part}{} at {} by {} for {}", one.verdict, one.at, one.receiver, one.destination);
    if let Some(element) = &one.element {
        line.push_str(&format!(" as {element}"));
    }
    if let Some(reason) = &one.reason {
        line.push_str(&format!(": {reason}"));
    }
    line
}

/// A stage that the message passed through, or a table of one: name, version and file.
fn stage_line(stage: &PipelineStage) -> String {
    if stage.sha256.is_empty() {
        return format!("{} (could not be loaded)", stage.name);
    }
    let version = if stage.version.is_empty() { String::new() } else { format!(" {}", stage.version) };
    format!("{}{version} SHA-256 {}", stage.name, stage.sha256)
}

/// The first line of a step.
fn headline(step: &Step) -> String {
    let mut line = format!("{}  channel {}", step.id, step.channel);
    if !step.broker.is_empty() {
        line.push_str(&format!("  broker {}", step.broker));
    }
    if !step.pipeline.is_empty() {
        line.push_str(&format!("  pipeline {}", step.pipeline.get(..SHORT_HASH).unwrap_or(&step.pipeline)));
    }
    if step.payload_bytes > 0 {
        line.push_str(&format!("  {} bytes", step.payload_bytes));
    }
    line
}
