//! `sesame trace`: every step of a message, from every journal of the configuration.
//!
//! It needs no lock and works beside a running Sesame. Whether an element is still there is looked up on the disk: programs
//! that consume a queue do not report it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use super::context::{journal_in, say, select, typed_sequence};
use super::{EXIT_DONE, EXIT_FAILED, EXIT_USAGE, output};
use crate::channel::Channel;
use crate::config::{Config, Kind};
use crate::receiver::subject_of_key;
use crate::service::directory;
use message::acknowledgement::Sequence;
use message::{Fate, MessageId, hex};
use spool::journal::{
    Acknowledged, Journal, JournalError, Kept, KeptState, PipelineStage, Proved, Released, Step, Whereabouts,
};
use spool::{Format, Outgoing, id_stem};

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

/// An element of a step, and whether it is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    element: String,
    /// The directory or file.
    path: PathBuf,
    there: bool,
}

/// How a step was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FoundBy {
    /// The message id.
    Id,
    /// The name of an element.
    Element,
    /// The name of a plain file, or the hash that replaces it.
    File,
    /// Its number in a stream.
    Sequence,
}

impl FoundBy {
    fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Element => "element",
            Self::File => "file name",
            Self::Sequence => "sequence",
        }
    }
}

/// A step with the places of its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Located {
    step: Step,
    by: FoundBy,
    elements: Vec<Place>,
    sent: SentFacts,
}

/// What the journal of a sender knows of a message beside its steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SentFacts {
    /// Its numbers.
    numbers: Vec<Proved>,
    /// What receivers said of it.
    acknowledged: Vec<Acknowledged>,
    /// Whether it waits for an acknowledgement.
    kept: Option<Kept>,
    /// When and why it was given up.
    released: Vec<Released>,
}

/// What a receiver knows about a number.
struct Numbered {
    channel: String,
    signer: String,
    place: Whereabouts,
}

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
    let id = MessageId::from_peer(typed);
    let sequence = typed_sequence(typed);
    let channel = arguments.channel.as_deref();
    let journals = journals(config, channel);
    let mut found = Vec::new();
    let mut numbered = Vec::new();
    let (mut read, mut missing) = (Vec::new(), Vec::new());
    let mut status = EXIT_DONE;
    for root in &journals {
        let looked = match journal_in(root) {
            Ok(None) => {
                missing.push(root.display().to_string());
                continue;
            }
            Ok(Some(journal)) => look(config, (&journal, root), typed, sequence.as_ref()).map_err(Into::into),
            Err(error) => Err(error),
        };
        match looked {
            Ok((steps, numbers)) => {
                found.extend(steps.into_iter().map(|found| locate(config, found, root)));
                numbered.extend(numbers);
            }
            Err(error) => {
                say(&format!("sesame: {}", message::cause::chain(&error)));
                status = EXIT_FAILED;
            }
        }
        read.push(root.display().to_string());
    }
    found.retain(|one| channel.is_none_or(|channel| one.step.channel == channel));
    found.sort_by_key(|one| one.step.at);
    numbered.retain(|one| channel.is_none_or(|channel| channel == one.channel));
    let waiting = waiting(config, channel, &id);
    if found.is_empty() && waiting.is_empty() && numbered.is_empty() {
        return Err(nothing(typed, sequence.as_ref(), &read, &missing));
    }
    for one in &found {
        if arguments.json { output::json(&json_of(one)) } else { print(one) }
    }
    for one in &numbered {
        if arguments.json { output::json(&json_of_number(typed, one)) } else { output::line(&number_line(typed, one)) }
    }
    for (channel, path) in &waiting {
        if arguments.json {
            output::json(
                &json!({ "what": Fate::Waiting, "channel": channel, "id": id, "path": path.to_string_lossy() }),
            );
        } else {
            output::line(&format!(
                "now                       waiting in outgoing  channel {channel}  {}",
                path.display()
            ));
        }
    }
    Ok(status)
}

/// No journal and no queue has what was typed. `read`: the journals that were searched; `missing`: where there is none.
fn nothing(typed: &str, sequence: Option<&Sequence>, read: &[String], missing: &[String]) -> anyhow::Error {
    if read.is_empty() {
        return anyhow!("there is no journal yet: Sesame has not run with {}", missing.join(", "));
    }
    let searched = read.join(", ");
    if sequence.is_some() {
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

/// The directories with the journals of the configuration, each once; their elements are relative to them.
fn journals(config: &Config, channel: Option<&str>) -> BTreeSet<PathBuf> {
    let wanted = |name: &str| channel.is_none_or(|channel| channel == name);
    let channels = Channel::all(config).filter(|channel| wanted(channel.name()));
    channels.filter_map(|channel| directory(config, &channel).map(Path::to_owned)).collect()
}

/// What a journal knows of the message, and what the receivers that write it know of a number.
fn look(
    config: &Config,
    (journal, root): (&Journal, &Path),
    typed: &str,
    sequence: Option<&Sequence>,
) -> Result<(Vec<Found>, Vec<Numbered>), JournalError> {
    let Some(sequence) = sequence else { return Ok((search(journal, typed, &bases(config, root))?, Vec::new())) };
    let mut found = Vec::new();
    for (channel, id) in journal.ids_of_sequence(sequence)? {
        let mut steps = journal.trace(&MessageId::from_peer(&id))?;
        steps.retain(|step| step.channel == channel);
        found.extend(with_facts(journal, steps, FoundBy::Sequence)?);
    }
    let mut numbered = Vec::new();
    for (name, _) in config.receivers.iter().filter(|(_, receiver)| receiver.spool == root) {
        for (key, place) in journal.whereabouts(name, sequence)? {
            numbered.push(Numbered { channel: name.clone(), signer: subject_of_key(&key).to_owned(), place });
        }
    }
    Ok((found, numbered))
}

/// The directories that the elements of the journal in `root` may be relative to.
fn bases(config: &Config, root: &Path) -> Vec<PathBuf> {
    let queues = config.senders.values().filter(|sender| sender.state == root).map(|sender| sender.queue.clone());
    queues.chain([root.to_owned()]).collect()
}

/// All steps of the message with the id that was typed, or of the messages with that element or file.
fn search(journal: &Journal, typed: &str, bases: &[PathBuf]) -> Result<Vec<Found>, JournalError> {
    let by_id = journal.trace(&MessageId::from_peer(typed))?;
    if !by_id.is_empty() {
        return with_facts(journal, by_id, FoundBy::Id);
    }
    let path = Path::new(typed);
    let element = bases.iter().find_map(|base| path.strip_prefix(base).ok()).unwrap_or(path);
    let mut ids: BTreeMap<String, FoundBy> = BTreeMap::new();
    for id in journal.ids_of_element(&element.to_string_lossy())? {
        ids.insert(id, FoundBy::Element);
    }
    // The name itself, or the hash that replaces it in ids.
    let stem = id_stem(path.file_name().unwrap_or(path.as_os_str()).as_bytes());
    for id in journal.ids_of_file(&stem)? {
        ids.entry(id).or_insert(FoundBy::File);
    }
    let mut found = Vec::new();
    for (id, by) in ids {
        found.extend(with_facts(journal, journal.trace(&MessageId::from_peer(&id))?, by)?);
    }
    Ok(found)
}

/// A step, how it was found, and what is known of it beside.
type Found = (Step, FoundBy, SentFacts);

/// Adds to the step of a sender what its receivers said, and what it still waits for.
fn with_facts(journal: &Journal, steps: Vec<Step>, by: FoundBy) -> Result<Vec<Found>, JournalError> {
    let add = |step: Step| {
        if step.outgoing.is_none() {
            return Ok((step, by, SentFacts::default()));
        }
        let (channel, id) = (step.channel.as_str(), MessageId::from_peer(&step.id));
        let mut kept = journal.kept_of(channel, &id)?;
        kept.retain(|kept| hex(&kept.key.digest) == step.digest);
        let facts = SentFacts {
            numbers: journal.proved(channel, &id)?,
            acknowledged: journal.acknowledgements(channel, &id)?,
            kept: kept.pop(),
            released: journal.released(channel, &id)?,
        };
        Ok((step, by, facts))
    };
    steps.into_iter().map(add).collect()
}

/// Looks up the elements of a step.
fn locate(config: &Config, (step, by, sent): Found, root: &Path) -> Located {
    let queue = config.senders.get(&step.channel).map_or(root, |sender| sender.queue.as_path());
    let outgoing = step.outgoing.iter().map(|element| (queue, element));
    let elements = outgoing.chain(step.elements.iter().map(|element| (root, element)));
    let elements = elements.map(|(base, element)| {
        let path = base.join(element);
        Place { element: element.clone(), there: path.symlink_metadata().is_ok(), path }
    });
    Located { elements: elements.collect(), step, by, sent }
}

/// Outgoing elements with this id, whether work on them has begun or not.
fn waiting(config: &Config, channel: Option<&str>, id: &MessageId) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for (name, sender) in config.senders.iter().filter(|(name, _)| channel.is_none_or(|channel| channel == *name)) {
        let Ok(outgoing) = Outgoing::open(&sender.queue, sender.format) else { continue };
        let file = match outgoing.format() {
            Format::Dirq => Some(id.as_str()),
            // The file's name, a dash and eight digits.
            Format::Directory => id.as_str().rsplit_once('-').map(|(stem, _)| stem),
        };
        let Some(element) = file.and_then(|file| outgoing.name(file).ok()) else { continue };
        let path = sender.queue.join(element.as_os_str());
        let same = || match outgoing.format() {
            Format::Dirq => path.symlink_metadata().is_ok(),
            Format::Directory => {
                matches!(outgoing.lock(&element), Ok(Some(locked)) if locked.message_id() == *id)
            }
        };
        if same() {
            found.push((name.clone(), path));
        }
    }
    found
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

/// What a receiver knows about a number, in a word, since when, and a sentence.
fn of_number(place: &Whereabouts) -> (&'static str, Option<SystemTime>, &'static str) {
    match place {
        Whereabouts::Missing(since) => {
            ("missing", Some(*since), "a later number came; `sesame trace` of the sending side has the message")
        }
        Whereabouts::Dismissed(at) => ("dismissed", Some(*at), "it was missing; it may have come after that"),
        Whereabouts::Came => ("came", None, "the sending side knows which message it is"),
        Whereabouts::NotYet => ("not yet", None, "neither it nor a later number has come"),
        Whereabouts::Before => ("before", None, "the stream is watched from a later number on"),
    }
}

fn number_line(typed: &str, one: &Numbered) -> String {
    let (word, since, sentence) = of_number(&one.place);
    let at = since.map_or_else(|| "now                     ".to_owned(), output::time);
    format!("{at}  {word}  {typed}  channel {}  signer {}: {sentence}", one.channel, one.signer)
}

fn json_of_number(typed: &str, one: &Numbered) -> Value {
    let (word, since, _) = of_number(&one.place);
    json!({
        "what": word, "sequence": typed, "channel": one.channel, "signer": one.signer, "since": since.map(output::time),
    })
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

/// A stage that the message passed through: name, version and component.
fn stage_line(stage: &PipelineStage) -> String {
    if stage.sha256.is_empty() {
        return format!("{} (could not be loaded)", stage.name);
    }
    format!("{} {} SHA-256 {}", stage.name, stage.version, stage.sha256)
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

fn json_of(located: &Located) -> Value {
    let Located { step, by, elements, sent } = located;
    let acknowledged: Vec<Value> = sent
        .acknowledged
        .iter()
        .map(|one| {
            json!({
                "id": one.id, "verdict": one.verdict, "at": one.at, "receiver": one.receiver,
                "destination": one.destination, "element": one.element, "reason": one.reason,
            })
        })
        .collect();
    let elements: Vec<Value> = elements
        .iter()
        .map(|one| json!({ "element": one.element, "path": one.path.to_string_lossy(), "there": one.there }))
        .collect();
    let numbers = sent
        .numbers
        .iter()
        .map(|one| json!({ "id": one.id, "destination": one.destination, "sequence": one.sequence }));
    let waiting = sent.kept.as_ref().map(|kept| {
        json!({
            "state": kept.state.word(), "since": output::time(kept.since), "repeats": kept.repeats,
            "next": kept.next.map(output::time),
        })
    });
    let released = sent.released.iter().map(|one| json!({ "at": output::time(one.at), "why": one.why }));
    let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "at": output::time(step.at), "what": step.fate, "channel": step.channel, "id": step.id,
        "found-by": by.word(), "broker": present(&step.broker), "signer": present(&step.signer), "pipeline": present(&step.pipeline),
        "stages": step.stages, "routes": step.routes,
        "elements": elements, "bytes": step.payload_bytes, "sha256": step.digest, "reason": step.detail,
        "acknowledgements": acknowledged, "sequences": numbers.collect::<Vec<_>>(), "waiting": waiting,
        "released": released.collect::<Vec<_>>(),
    })
}
