//! `sesame trace`: every step of a message, from every journal of the configuration.
//!
//! It needs no lock and works beside a running Sesame. Whether an element is still there is looked up on the disk: programs
//! that consume a queue do not report it.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::context::{say, select};
use super::{EXIT_DONE, EXIT_FAILED, output};
use crate::channel::{Channel, JOURNAL};
use crate::config::{Config, Kind};
use crate::service::directory;
use message::{Fate, MessageId};
use spool::journal::{Acknowledged, Journal, JournalError, PipelineStage, Step};
use spool::{Format, Outgoing, id_stem};

/// `sesame trace`.
#[derive(Args, Debug)]
pub struct Trace {
    /// Message id as in the log and in `empa-id`, or name of an element or file, with or without path.
    #[arg(value_name = "ID")]
    pub id: String,
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
}

impl FoundBy {
    fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Element => "element",
            Self::File => "file name",
        }
    }
}

/// A step with the places of its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Located {
    step: Step,
    by: FoundBy,
    elements: Vec<Place>,
    /// What receivers said of a message that was sent.
    acknowledged: Vec<Acknowledged>,
}

pub(super) fn run(config: &Config, arguments: &Trace) -> anyhow::Result<u8> {
    if let Some(channel) = &arguments.channel
        && let Err(status) = select(config, std::slice::from_ref(channel), Kind::Any)
    {
        return Ok(status);
    }
    let typed = arguments.id.trim();
    let id = MessageId::from_peer(typed);
    let channel = arguments.channel.as_deref();
    let journals = journals(config, channel);
    let mut found = Vec::new();
    let mut read = Vec::new();
    let mut status = EXIT_DONE;
    for (path, root) in journals.iter().filter(|(path, _)| path.exists()) {
        let steps = Journal::open_to_read(path).and_then(|journal| search(&journal, typed, &bases(config, root)));
        match steps {
            Ok(steps) => found.extend(steps.into_iter().map(|found| locate(config, found, root))),
            Err(error) => {
                say(&format!("sesame: {}", message::cause::chain(&error)));
                status = EXIT_FAILED;
            }
        }
        read.push(path.display().to_string());
    }
    found.retain(|one| channel.is_none_or(|channel| one.step.channel == channel));
    found.sort_by_key(|one| one.step.at);
    let waiting = waiting(config, channel, &id);
    if found.is_empty() && waiting.is_empty() {
        let searched = if read.is_empty() { "there is no journal yet".to_owned() } else { read.join(", ") };
        bail!(
            "no journal knows message {id}, or an element or file of that name, and no outgoing queue holds it (searched: {searched})"
        );
    }
    for one in &found {
        if arguments.json { output::json(&json_of(one)) } else { print(one) }
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

/// The journals of the configuration, each once, with the directory that its elements are relative to.
fn journals(config: &Config, channel: Option<&str>) -> BTreeMap<PathBuf, PathBuf> {
    let wanted = |name: &str| channel.is_none_or(|channel| channel == name);
    let channels = Channel::all(config).filter(|channel| wanted(channel.name()));
    let roots = channels.filter_map(|channel| directory(config, &channel));
    roots.map(|root| (root.join(JOURNAL), root.to_owned())).collect()
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
        return with_acknowledgements(journal, by_id, FoundBy::Id);
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
        found.extend(with_acknowledgements(journal, journal.trace(&MessageId::from_peer(&id))?, by)?);
    }
    Ok(found)
}

/// A step, how it was found, and what receivers said of it.
type Found = (Step, FoundBy, Vec<Acknowledged>);

/// Adds to the step of a sender what its receivers said.
fn with_acknowledgements(journal: &Journal, steps: Vec<Step>, by: FoundBy) -> Result<Vec<Found>, JournalError> {
    let add = |step: Step| {
        let sent = step.outgoing.is_some();
        let acknowledged =
            if sent { journal.acknowledgements(&step.channel, &MessageId::from_peer(&step.id))? } else { Vec::new() };
        Ok((step, by, acknowledged))
    };
    steps.into_iter().map(add).collect()
}

/// Looks up the elements of a step.
fn locate(config: &Config, (step, by, acknowledged): Found, root: &Path) -> Located {
    let queue = config.senders.get(&step.channel).map_or(root, |sender| sender.queue.as_path());
    let outgoing = step.outgoing.iter().map(|element| (queue, element));
    let elements = outgoing.chain(step.elements.iter().map(|element| (root, element)));
    let elements = elements.map(|(base, element)| {
        let path = base.join(element);
        Place { element: element.clone(), there: path.symlink_metadata().is_ok(), path }
    });
    Located { elements: elements.collect(), step, by, acknowledged }
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
    for one in &located.acknowledged {
        output::line(&format!("    receiver  {}", acknowledgement_line(step, one)));
    }
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
    let Located { step, by, elements, acknowledged } = located;
    let acknowledged: Vec<Value> = acknowledged
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
    let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "at": output::time(step.at), "what": step.fate, "channel": step.channel, "id": step.id,
        "found-by": by.word(), "broker": present(&step.broker), "signer": present(&step.signer), "pipeline": present(&step.pipeline),
        "stages": step.stages, "routes": step.routes,
        "elements": elements, "bytes": step.payload_bytes, "sha256": step.digest, "reason": step.detail,
        "acknowledgements": acknowledged,
    })
}
