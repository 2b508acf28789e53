//! What happened to a message, from every journal of a configuration: for `sesame trace`, and for those who ask a daemon.
//!
//! It needs no lock and works beside a running Sesame. Whether an element is still there is looked up on the disk: programs
//! that consume a queue do not report it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::directory;
use crate::channel::{Channel, JOURNAL};
use crate::config::Config;
use crate::receiver::subject_of_key;
use message::acknowledgement::Sequence;
use message::{Fate, MessageId, hex};
use spool::journal::{Acknowledged, Journal, JournalError, Kept, Proved, Released, Step, Whereabouts};
use spool::{Format, Outgoing, id_stem};

/// An element of a step, and whether it is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) element: String,
    /// The directory or file.
    pub(crate) path: PathBuf,
    pub(crate) there: bool,
}

/// How a step was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundBy {
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
    pub(crate) fn word(self) -> &'static str {
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
pub(crate) struct Located {
    pub(crate) step: Step,
    pub(crate) by: FoundBy,
    pub(crate) elements: Vec<Place>,
    pub(crate) sent: SentFacts,
}

/// What the journal of a sender knows of a message beside its steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SentFacts {
    /// Its numbers.
    pub(crate) numbers: Vec<Proved>,
    /// What receivers said of it.
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Whether it waits for an acknowledgement.
    pub(crate) kept: Option<Kept>,
    /// When and why it was given up.
    pub(crate) released: Vec<Released>,
}

/// Steps of messages that are shown at most, the last ones: a name may be that of many messages.
const MOST: usize = 1000;

/// What is known of a message, or of all with the name of an element or file.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    /// What was asked for.
    pub(crate) typed: String,
    /// Its steps, the oldest first.
    pub(crate) steps: Vec<Located>,
    /// What receivers know of it, if a number was asked for.
    pub(crate) numbers: Vec<Numbered>,
    /// Where it waits in outgoing queues, with their channels.
    pub(crate) waiting: Vec<(String, PathBuf)>,
    /// The directories whose journals were searched.
    pub(crate) read: Vec<String>,
    /// Those that have no journal yet.
    pub(crate) missing: Vec<String>,
    /// What cannot be read.
    pub(crate) faults: Vec<Unreadable>,
}

impl Traced {
    /// Searches the journals of the configuration, or of one channel.
    pub(crate) fn of(config: &Config, typed: &str, channel: Option<&str>) -> Self {
        let sequence = typed_sequence(typed);
        let mut traced = Self { typed: typed.to_owned(), ..Self::default() };
        for root in &journals(config, channel) {
            let looked = match journal_in(root) {
                Ok(None) => {
                    traced.missing.push(root.display().to_string());
                    continue;
                }
                Ok(Some(journal)) => look(config, (&journal, root), typed, sequence.as_ref()).map_err(Into::into),
                Err(error) => Err(error),
            };
            match looked {
                Ok((steps, numbers)) => {
                    traced.steps.extend(steps.into_iter().map(|found| locate(config, found, root)));
                    traced.numbers.extend(numbers);
                }
                Err(error) => traced.faults.push(error),
            }
            traced.read.push(root.display().to_string());
        }
        traced.steps.retain(|one| channel.is_none_or(|channel| one.step.channel == channel));
        traced.steps.sort_by_key(|one| one.step.at);
        traced.steps.drain(..traced.steps.len().saturating_sub(MOST));
        traced.numbers.retain(|one| channel.is_none_or(|channel| channel == one.channel));
        traced
    }

    /// Adds the outgoing queues that hold it. To know a plain file's id it is locked for a moment.
    pub(crate) fn with_waiting(self, config: &Config, channel: Option<&str>) -> Self {
        let waiting = waiting(config, channel, &MessageId::from_peer(&self.typed));
        Self { waiting, ..self }
    }

    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.numbers.is_empty() && self.waiting.is_empty()
    }

    /// A JSON object for each step, number and place.
    pub(crate) fn json(&self) -> Vec<Value> {
        let steps = self.steps.iter().map(json_of);
        let numbers = self.numbers.iter().map(|one| json_of_number(&self.typed, one));
        let id = MessageId::from_peer(&self.typed);
        let waiting = self.waiting.iter().map(|(channel, path)| {
            json!({ "fate": Fate::Waiting, "channel": channel, "id": id, "path": path.to_string_lossy() })
        });
        steps.chain(numbers).chain(waiting).collect()
    }
}

/// The number of a message that was typed, or copied out of a table.
pub(crate) fn typed_sequence(text: &str) -> Option<Sequence> {
    text.split_whitespace().collect::<Vec<_>>().join(" ").parse().ok()
}

/// What a receiver knows about a number.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) channel: String,
    pub(crate) signer: String,
    pub(crate) place: Whereabouts,
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The directory, or what is in it, cannot be looked at.
    #[error(
        "cannot read the journal in {0:?}: run this command as the user that Sesame runs as, and look at `state` or `spool` \
         in the configuration"
    )]
    Directory(std::path::PathBuf, #[source] std::io::Error),
    /// The journal itself.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Opens the journal in a spool or state directory to read it; `None` where there is none, for Sesame has not run with it.
pub(crate) fn journal_in(directory: &Path) -> Result<Option<Journal>, Unreadable> {
    let path = directory.join(JOURNAL);
    let unreadable = |error| Unreadable::Directory(directory.to_owned(), error);
    match std::fs::File::open(&path) {
        Ok(_) => Ok(Some(Journal::open_to_read(&path)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
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

/// What a receiver knows about a number, in a word, since when, and a sentence.
pub(crate) fn of_number(place: &Whereabouts) -> (&'static str, Option<SystemTime>, &'static str) {
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

fn json_of_number(typed: &str, one: &Numbered) -> Value {
    let (word, since, _) = of_number(&one.place);
    json!({
        "state": word, "sequence": typed, "channel": one.channel, "signer": one.signer, "since": since.map(terminal::time),
    })
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
            "state": kept.state.word(), "since": terminal::time(kept.since), "repeats": kept.repeats,
            "next": kept.next.map(terminal::time),
        })
    });
    let released = sent.released.iter().map(|one| json!({ "at": terminal::time(one.at), "why": one.why }));
    let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "at": terminal::time(step.at), "fate": step.fate, "channel": step.channel, "id": step.id,
        "found-by": by.word(), "broker": present(&step.broker), "signer": present(&step.signer), "pipeline": present(&step.pipeline),
        "stages": step.stages, "routes": step.routes,
        "elements": elements, "bytes": step.payload_bytes, "sha256": step.digest, "reason": step.detail,
        "acknowledgements": acknowledged, "sequences": numbers.collect::<Vec<_>>(), "waiting": waiting,
        "released": released.collect::<Vec<_>>(),
    })
}
