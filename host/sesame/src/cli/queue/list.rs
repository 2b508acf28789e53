//! `sesame queue list`: the number of messages in each queue, or its elements.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::super::{EXIT_DONE, EXIT_FAILED, QueueList, output};
use super::{LISTED_FIELD, Place, chosen, open, say, storage, unacknowledged};
use crate::channel::NO_SIGNER;
use crate::config::Config;
use crate::retry::field;
use spool::{ElementPath, Foreign, Outgoing, Queue, SpoolError, Waiting};

/// The line of one element.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) element: String,
    pub(super) since: Option<SystemTime>,
    pub(super) bytes: Option<u64>,
    pub(super) id: String,
    pub(super) signer: String,
    pub(super) error: String,
}

/// The line of one queue.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) count: usize,
    pub(super) oldest: Option<SystemTime>,
    /// Whether the queue exists yet.
    pub(super) exists: bool,
    /// Files in it that are not elements and are ignored.
    pub(super) foreign: Vec<Foreign>,
}

pub(super) fn run(config: &Config, arguments: &QueueList) -> anyhow::Result<u8> {
    let only = arguments.queue.as_deref();
    let of_queues = || chosen(config, &arguments.channels, only);
    let places = if only == Some(unacknowledged::NAME) { Ok(Vec::new()) } else { of_queues() };
    let kept = match only {
        None | Some(unacknowledged::NAME) => unacknowledged::senders(config, &arguments.channels, only.is_some()),
        Some(_) => Ok(Vec::new()),
    };
    let (places, kept) = match (places, kept) {
        (Ok(places), Ok(kept)) => (places, kept),
        (Err(status), _) | (_, Err(status)) => return Ok(status),
    };
    let mut status = EXIT_DONE;
    let mut table = output::Table::new(&["CHANNEL", "QUEUE", "MESSAGES", "OLDEST", "DIRECTORY"]);
    for place in &places {
        let done = if arguments.long {
            list_elements(config, place, arguments.json)
        } else {
            summary(config, place).map(|summary| show(place, &summary, arguments.json, &mut table))
        };
        if let Err(error) = done {
            say(&format!("sesame: {}", message::cause::chain(&error)));
            status = EXIT_FAILED;
        }
    }
    for channel in &kept {
        if let Err(error) = unacknowledged::list(config, channel, arguments, &mut table) {
            say(&format!("sesame: {error:#}"));
            status = EXIT_FAILED;
        }
    }
    if !arguments.long && !arguments.json {
        table.print();
    }
    Ok(status)
}

fn show(place: &Place, summary: &Summary, as_json: bool, table: &mut output::Table) {
    if as_json {
        output::json(&json!({
            "channel": place.channel, "queue": place.name, "directory": place.path.to_string_lossy(),
            "messages": summary.count, "oldest": summary.oldest.map(output::time), "exists": summary.exists,
            "passed-over": summary.foreign.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
        return;
    }
    let oldest = match summary.oldest {
        Some(since) => output::age_since(since),
        None if summary.exists => "-".to_owned(),
        None => "not created yet".to_owned(),
    };
    let path = place.path.display().to_string();
    for foreign in &summary.foreign {
        say(&format!("sesame: queue {path}: {foreign}"));
    }
    table.row([place.channel.clone(), place.name.clone(), summary.count.to_string(), oldest, path]);
}

/// The number of messages, and the age of the oldest.
pub(super) fn summary(config: &Config, place: &Place) -> Result<Summary, SpoolError> {
    if let Some(format) = place.format {
        let outgoing = Outgoing::open(&place.path, format)?;
        let Waiting { count, first, foreign } = outgoing.waiting()?;
        let oldest = first.and_then(|name| outgoing.written(&name));
        return Ok(Summary { count, oldest, exists: true, foreign });
    }
    let Some(queue) = open(place, &storage(config, &place.channel))? else { return Ok(Summary::default()) };
    let (count, oldest) = queue.depth()?;
    Ok(Summary { count, oldest, exists: true, foreign: Vec::new() })
}

fn list_elements(config: &Config, place: &Place, as_json: bool) -> Result<(), SpoolError> {
    if !as_json {
        output::line(&format!("{} {} ({})", place.channel, place.name, place.path.display()));
    }
    let print = |entry: &Entry| {
        if as_json { output::json(&json_of(place, entry)) } else { output::line(&line_of(entry)) }
    };
    if let Some(format) = place.format {
        let mut scan = Outgoing::open(&place.path, format)?.scan()?;
        while let Some(name) = scan.next(|_| false)? {
            let facts = place.path.join(name.as_os_str()).symlink_metadata().ok();
            let since = facts.as_ref().and_then(|facts| facts.modified().ok());
            let bytes = facts.map(|facts| facts.len());
            print(&Entry { element: name.to_string(), since, bytes, ..Entry::default() });
        }
        return Ok(());
    }
    let Some(queue) = open(place, &storage(config, &place.channel))? else { return Ok(()) };
    for element in queue.elements()? {
        match element {
            Ok(element) => print(&entry(&queue, &element)),
            Err(error) => say(&format!("sesame: {}", message::cause::chain(&error))),
        }
    }
    Ok(())
}

/// The line of an element with fields.
pub(super) fn entry(queue: &Queue, element: &ElementPath) -> Entry {
    let read = |name| field(queue, element, name, LISTED_FIELD).map(|bytes| output::text(&bytes)).unwrap_or_default();
    Entry {
        element: element.to_string(),
        since: queue.written(element),
        bytes: queue.element(element).join("body").symlink_metadata().ok().map(|facts| facts.len()),
        id: read("empaid"),
        signer: read("signer"),
        error: read("error"),
    }
}

fn line_of(entry: &Entry) -> String {
    let age = entry.since.map_or_else(|| "-".to_owned(), output::age_since);
    let size = entry.bytes.map_or_else(|| "- bytes".to_owned(), |bytes| format!("{bytes} bytes"));
    let mut line = format!("  {}  {age:>8}  {size:>14}", entry.element);
    for (name, text) in [("id", &entry.id), ("signer", &entry.signer), ("error", &entry.error)] {
        if !text.is_empty() && text != NO_SIGNER {
            line.push_str(&format!("  {name} {text}"));
        }
    }
    line
}

fn json_of(place: &Place, entry: &Entry) -> Value {
    let mut value = json!({
        "channel": place.channel, "queue": place.name, "element": entry.element,
        "since": entry.since.map(output::time), "bytes": entry.bytes,
    });
    if let Some(fields) = value.as_object_mut() {
        for (name, text) in [("id", &entry.id), ("signer", &entry.signer), ("error", &entry.error)] {
            if !text.is_empty() {
                fields.insert(name.to_owned(), Value::String(text.clone()));
            }
        }
    }
    value
}
