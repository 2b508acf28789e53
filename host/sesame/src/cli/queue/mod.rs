//! `sesame queue`: list the queues of the configured channels, and show, retry or purge their elements; show the status of
//! each channel; list, repeat or release what is not acknowledged.
//!
//! Start at [`places`], the queues of a configuration. Reading needs no lock. Commands that change something lock each
//! element as `dirq` does, or go through the commit engine; `retry` explains how it works beside a running Sesame.
//!
//! Elements are named `DIRECTORY/NAME` as on the disk, in a plain directory by their file name. Commands also accept the
//! queue's name before it, as the journal and the log write it: `reject/00000000/6b03126398f937`.

pub(super) mod add;
pub(super) mod arguments;
mod list;
mod purge;
mod retry;
mod show;
mod status;
#[cfg(test)]
mod tests;
mod unacknowledged;

use arguments::QueueCommand;
pub(super) use arguments::{
    Aside, QueueAdd, QueueList, QueuePurge, QueueRelease, QueueRepeat, QueueRetry, QueueShow, QueueStatus,
    Unacknowledged,
};
#[cfg(test)]
pub(super) use tests::{Site, enveloped, sealed};

use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::context::{Context, say, select};
use crate::config::{self, Config, Kind, Selection};
use spool::{ElementPath, Format, Queue, SpoolError};
use terminal::EXIT_USAGE;

/// The largest field that is read for a list, in bytes.
const LISTED_FIELD: u64 = 64 << 10;

/// Runs `sesame queue`.
pub(super) fn run(arguments: &arguments::Queue, context: &Context) -> anyhow::Result<u8> {
    let config = &context.config()?;
    match &arguments.command {
        QueueCommand::List(arguments) => list::run(config, arguments),
        QueueCommand::Status(arguments) => status::run(config, arguments),
        QueueCommand::Show(arguments) => show::run(config, arguments),
        QueueCommand::Add(arguments) => add::run(config, arguments),
        QueueCommand::Retry(arguments) => retry::run(config, arguments),
        QueueCommand::Repeat(arguments) => unacknowledged::repeat(config, arguments),
        QueueCommand::Release(arguments) => unacknowledged::release(config, arguments),
        QueueCommand::Purge(arguments) => purge::run(config, arguments),
    }
}

/// A queue of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The channel.
    pub(super) channel: String,
    /// `outgoing`, `incoming`, `reject`, `deferred`, or the directory of a route.
    pub(super) name: String,
    /// Its directory.
    pub(super) path: PathBuf,
    /// The layout of an outgoing queue; elements of the others have fields.
    pub(super) format: Option<Format>,
}

/// The queues of the selected channels.
pub(super) fn places(config: &Config, selection: &Selection) -> Vec<Place> {
    let mut places = Vec::new();
    for (name, sender) in config.senders.iter().filter(|(name, _)| selection.senders.contains(name)) {
        let place = |queue: &str, path: &Path, format| Place {
            channel: name.clone(),
            name: queue.to_owned(),
            path: path.to_owned(),
            format,
        };
        places.push(place("outgoing", &sender.queue, Some(sender.format)));
        places.push(place("reject", &sender.reject, None));
    }
    for (name, receiver) in config.receivers.iter().filter(|(name, _)| selection.receivers.contains(name)) {
        for path in crate::receiver::queues(receiver) {
            let queue = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            places.push(Place { channel: name.clone(), name: queue, path, format: None });
        }
    }
    places
}

/// The queues of the channels in `names` (none means all), or only those named `only`. Reports wrong names and returns the
/// exit status for them.
pub(super) fn chosen(config: &Config, names: &[String], only: Option<&str>) -> Result<Vec<Place>, u8> {
    let selection = select(config, names, Kind::Any)?;
    let places = places(config, &selection);
    let Some(only) = only else { return Ok(places) };
    let wanted: Vec<Place> = places.iter().filter(|place| is_called(config, place, only)).cloned().collect();
    if wanted.is_empty() {
        let mut known: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        say(&format!("sesame: no queue {only:?} (queues: {})", known.join(", ")));
        return Err(EXIT_USAGE);
    }
    Ok(wanted)
}

/// Whether this is the name of the queue, or of a route that leads to it.
fn is_called(config: &Config, place: &Place, name: &str) -> bool {
    let routes = config.receivers.get(&place.channel).map(|receiver| &receiver.routes);
    place.name == name || routes.and_then(|routes| routes.get(name)) == Some(&place.name)
}

/// The reject or deferred queue of one channel. Reports what is wrong and returns the exit status for it.
fn aside(config: &Config, channel: &str, from: Aside) -> Result<Place, u8> {
    let name = match from {
        Aside::Reject => "reject",
        Aside::Deferred => "deferred",
    };
    if from == Aside::Deferred && config.senders.contains_key(channel) {
        say(&format!(
            "sesame: channel {channel:?} is a sender and has no deferred queue: messages that wait for a plugin stay in \
             outgoing and are tried again by themselves"
        ));
        return Err(EXIT_USAGE);
    }
    let places = chosen(config, std::slice::from_ref(&channel.to_owned()), Some(name))?;
    places.into_iter().next().ok_or(EXIT_USAGE)
}

/// Opens a queue with fields; `None` if it does not exist yet.
pub(super) fn open(place: &Place, storage: &config::Storage) -> Result<Option<Queue>, SpoolError> {
    if !place.path.exists() {
        return Ok(None);
    }
    Queue::open(&place.path, storage.modes()).map(Some)
}

/// The storage settings of a channel: modes and free space.
pub(super) fn storage(config: &Config, channel: &str) -> config::Storage {
    let sender = config.senders.get(channel).map(|sender| &sender.storage);
    let receiver = config.receivers.get(channel).map(|receiver| &receiver.storage);
    sender.or(receiver).cloned().unwrap_or_default()
}

/// An element as an operator names it: with or without its queue or path.
fn element_path(place: &Place, text: &str) -> Option<ElementPath> {
    let bare = text.strip_prefix(&format!("{}/", place.path.display()));
    let bare = bare.or_else(|| text.strip_prefix(&format!("{}/", place.name))).unwrap_or(text);
    ElementPath::parse(bare)
}

/// A regular file of at most `limit` bytes; `None` where it is larger. Follows no link and waits for no pipe.
pub(super) fn read_file(path: &Path, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let bytes = message::files::read_regular(CWD, path, limit)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// The named elements, or all of the queue if none is named. Reports and counts wrong names.
fn elements(place: &Place, queue: &Queue, named: &[String]) -> (Vec<ElementPath>, usize) {
    let mut wrong = 0;
    let mut found = Vec::new();
    let mut complain = |text: String| {
        say(&format!("sesame: {text}"));
        wrong += 1;
    };
    if named.is_empty() {
        match queue.elements() {
            Ok(all) => {
                for element in all {
                    match element {
                        Ok(element) => found.push(element),
                        Err(error) => complain(message::cause::chain(&error)),
                    }
                }
            }
            Err(error) => complain(message::cause::chain(&error)),
        }
    }
    for text in named {
        match element_path(place, text) {
            Some(element) if queue.element(&element).is_dir() => found.push(element),
            Some(_) => complain(format!("no element {text} in {}", place.path.display())),
            None => complain(format!(
                "{text:?} is not the name of an element, such as 00000000/6b03126398f937; `sesame queue list --long` \
                 lists them"
            )),
        }
    }
    (found, wrong)
}
