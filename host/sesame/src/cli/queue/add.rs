//! `sesame queue add`: puts files into an outgoing queue. They are durable when their names are printed.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::super::context::{say, select};
use super::super::{EXIT_DONE, EXIT_FAILED, QueueAdd, output};
use crate::config::{self, Config, Kind};
use message::MessageId;
use spool::{ElementName, Outgoing};

/// A message that was added.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    /// The file; `-` is standard input.
    pub(crate) file: String,
    /// Its element.
    pub(crate) element: ElementName,
    /// The id with which it is sent.
    pub(crate) id: MessageId,
}

pub(super) fn run(config: &Config, arguments: &QueueAdd) -> anyhow::Result<u8> {
    let channels = std::slice::from_ref(&arguments.channel);
    let selection = match select(config, channels, Kind::Send) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let Some(sender) = selection.senders.first().and_then(|name| config.senders.get(name)) else {
        return Ok(EXIT_FAILED);
    };
    let outgoing = Outgoing::open(&sender.queue, sender.format)?;
    let mut status = EXIT_DONE;
    for file in &arguments.files {
        match add(&outgoing, sender, file) {
            Ok(added) => output::line(&format!("{}  id {}  from {}", added.element, added.id, added.file)),
            Err(error) => {
                say(&format!("sesame: {error:#}; not queued"));
                status = EXIT_FAILED;
            }
        }
    }
    Ok(status)
}

/// Adds one file. Content that the sender would only reject is refused here, where the user sees it.
pub(crate) fn add(outgoing: &Outgoing, sender: &config::Sender, file: &Path) -> anyhow::Result<Added> {
    let name = file.display().to_string();
    let content = read(file, sender.max_payload)?;
    if content.iter().all(u8::is_ascii_whitespace) {
        bail!("{name} is empty or blank");
    }
    // If the file's name cannot be an element's name, the element gets another.
    let wanted =
        file.file_name().and_then(|name| name.to_str()).filter(|name| outgoing.name(name).is_ok() && *name != "-");
    let (element, id) = outgoing.add_message(wanted, &content)?;
    Ok(Added { file: name, element, id })
}

/// The content of a file, or of standard input for `-`.
pub(crate) fn read(file: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    let unreadable = || format!("cannot read {}", file.display());
    if file == Path::new("-") {
        std::io::stdin().lock().take(limit.saturating_add(1)).read_to_end(&mut content).with_context(unreadable)?;
    } else {
        let open = std::fs::File::open(file).with_context(unreadable)?;
        open.take(limit.saturating_add(1)).read_to_end(&mut content).with_context(unreadable)?;
    }
    if content.len() as u64 > limit {
        bail!("{} has more than {limit} bytes (max-payload)", file.display());
    }
    Ok(content)
}
