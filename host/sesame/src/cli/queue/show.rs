//! `sesame queue show`: everything about one element.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::super::{EXIT_DONE, EXIT_FAILED, QueueShow, output};
use super::{Place, chosen, element_path, open, read_file, say, storage};
use crate::channel::NO_SIGNER;
use crate::config::Config;
use message::Finding;
use spool::Outgoing;

/// The largest element that is shown, in bytes.
const LARGEST: u64 = 1 << 30;
/// Fields whose content is shown; of any other only the size is.
const KNOWN: &[&str] = &["empaid", "signer", "error"];

/// An element that was found.
#[derive(Debug)]
pub(super) struct Found {
    place: Place,
    element: String,
    path: PathBuf,
    since: Option<SystemTime>,
    pub(super) fields: BTreeMap<String, Vec<u8>>,
}

pub(super) fn run(config: &Config, arguments: &QueueShow) -> anyhow::Result<u8> {
    let channels = std::slice::from_ref(&arguments.channel);
    let places = match chosen(config, channels, arguments.queue.as_deref()) {
        Ok(places) => places,
        Err(status) => return Ok(status),
    };
    let found = find(config, &places, &arguments.element)?;
    let Some(first) = found.first() else {
        let looked: Vec<String> = places.iter().map(|place| place.path.display().to_string()).collect();
        say(&format!("sesame: no element {} in {}", arguments.element, looked.join(", ")));
        return Ok(EXIT_FAILED);
    };
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|found| found.place.name.as_str()).collect();
        bail!("element {} is in several queues; choose one with --queue: {}", arguments.element, names.join(", "));
    }
    let body = first.fields.get("body").map(Vec::as_slice).unwrap_or_default();
    if arguments.body {
        output::raw(body).context("cannot write the content")?;
    } else if arguments.json {
        output::json(&json_of(first));
    } else {
        lines(first).iter().for_each(|line| output::line(line));
    }
    Ok(EXIT_DONE)
}

/// The elements with this name.
pub(super) fn find(config: &Config, places: &[Place], text: &str) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for place in places {
        let one = if place.format.is_some() { outgoing(place, text)? } else { with_fields(config, place, text)? };
        found.extend(one);
    }
    Ok(found)
}

fn outgoing(place: &Place, text: &str) -> anyhow::Result<Option<Found>> {
    let Some(format) = place.format else { return Ok(None) };
    let bare = text.strip_prefix("outgoing/").unwrap_or(text);
    let Ok(name) = Outgoing::open(&place.path, format)?.name(bare) else { return Ok(None) };
    let path = place.path.join(name.as_os_str());
    let Ok(facts) = path.symlink_metadata() else { return Ok(None) };
    let body = read_file(&path, LARGEST).with_context(|| format!("cannot read element {name}"))?;
    let body = body.with_context(|| format!("element {name} has more than {LARGEST} bytes"))?;
    Ok(Some(Found {
        place: place.clone(),
        element: name.to_string(),
        path,
        since: facts.modified().ok(),
        fields: BTreeMap::from([("body".to_owned(), body)]),
    }))
}

fn with_fields(config: &Config, place: &Place, text: &str) -> anyhow::Result<Option<Found>> {
    let Some(element) = element_path(place, text) else { return Ok(None) };
    let Some(queue) = open(place, &storage(config, &place.channel))? else { return Ok(None) };
    let path = queue.element(&element);
    if !path.is_dir() {
        return Ok(None);
    }
    let fields = queue.read(&element, LARGEST)?.fields;
    Ok(Some(Found { place: place.clone(), element: element.to_string(), since: queue.written(&element), path, fields }))
}

/// The lines that are shown of an element.
pub(super) fn lines(found: &Found) -> Vec<String> {
    let since = found
        .since
        .map_or_else(|| "unknown".to_owned(), |at| format!("{} ({} ago)", output::time(at), output::age_since(at)));
    let mut lines = vec![
        format!("element   {}", found.element),
        format!("channel   {}", found.place.channel),
        format!("queue     {}", found.place.name),
        format!("path      {}", found.path.display()),
        format!("since     {since}"),
    ];
    for (field, label) in [("empaid", "id"), ("signer", "signer"), ("error", "error")] {
        if let Some(bytes) = found.fields.get(field).filter(|bytes| *bytes != NO_SIGNER.as_bytes()) {
            lines.push(format!("{label:<9} {}", output::text(bytes)));
        }
    }
    lines.extend(findings(found).iter().map(|finding| format!("finding   {}", output::finding(finding))));
    for (name, bytes) in &found.fields {
        if name != "findings" && !KNOWN.contains(&name.as_str()) {
            lines.push(format!("{name:<9} {} bytes", bytes.len()));
        }
    }
    lines.push(String::new());
    lines.extend(output::content(found.fields.get("body").map(Vec::as_slice).unwrap_or_default()));
    lines
}

fn findings(found: &Found) -> Vec<Finding> {
    let bytes = found.fields.get("findings").map(Vec::as_slice).unwrap_or(b"[]");
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn json_of(found: &Found) -> Value {
    let text = |name: &str| found.fields.get(name).map(|bytes| output::text(bytes));
    let body = found.fields.get("body").map(Vec::as_slice).unwrap_or_default();
    let sizes: BTreeMap<&str, usize> = found.fields.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).collect();
    let mut value = json!({
        "channel": found.place.channel, "queue": found.place.name, "element": found.element,
        "path": found.path.to_string_lossy(), "since": found.since.map(output::time),
        "id": text("empaid"), "signer": text("signer"), "error": text("error"),
        "findings": findings(found), "bytes": sizes,
    });
    if let Some(fields) = value.as_object_mut() {
        // Content that is not UTF-8 is in base64, under another name.
        let (name, content) = match std::str::from_utf8(body) {
            Ok(text) => ("body", text.to_owned()),
            Err(_) => ("body-base64", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body)),
        };
        fields.insert(name.to_owned(), Value::String(content));
    }
    value
}
