//! `sesame queue purge`: deletes elements of reject or deferred.
//!
//! Each element is locked first, as `dirq` does. The journal also forgets a deferred message: it no longer counts as seen,
//! and its sender may send it again. After a crash between the two, the receiver forgets a deferred message whose element
//! is gone.

use std::time::SystemTime;

use super::super::{Aside, EXIT_DONE, EXIT_FAILED, QueuePurge, output};
use super::{Place, aside, elements, open, say, storage};
use crate::channel::JOURNAL;
use crate::config::Config;
use spool::journal::Journal;
use spool::{ElementPath, Queue};

pub(super) fn run(config: &Config, arguments: &QueuePurge) -> anyhow::Result<u8> {
    let place = match aside(config, &arguments.channel, arguments.from) {
        Ok(place) => place,
        Err(status) => return Ok(status),
    };
    let Some(queue) = open(&place, &storage(config, &place.channel))? else {
        output::line(&format!("nothing removed: {} does not exist yet", place.path.display()));
        return Ok(if arguments.elements.is_empty() { EXIT_DONE } else { EXIT_FAILED });
    };
    let (mut chosen, mut failed) = elements(&place, &queue, &arguments.elements);
    if let Some(age) = arguments.older_than {
        let now = SystemTime::now();
        let old = |element: &ElementPath| {
            queue.written(element).is_some_and(|at| now.duration_since(at).is_ok_and(|since| since >= age))
        };
        chosen.retain(old);
    }
    let seen = if arguments.from == Aside::Deferred { seen(config, &place)? } else { None };
    let mut removed = 0;
    for element in &chosen {
        match remove(&queue, element, seen.as_ref()) {
            Ok(()) => {
                removed += 1;
                output::line(&format!("removed {}/{element}", place.name));
            }
            Err(error) => {
                failed += 1;
                say(&format!("sesame: {error:#}"));
            }
        }
    }
    output::line(&format!("{} removed from {}", output::count(removed, "message"), place.path.display()));
    Ok(if failed == 0 { EXIT_DONE } else { EXIT_FAILED })
}

/// The journal of a spool and the channels that store there.
struct Seen {
    journal: Journal,
    channels: Vec<String>,
}

fn seen(config: &Config, place: &Place) -> anyhow::Result<Option<Seen>> {
    let Some(receiver) = config.receivers.get(&place.channel) else { return Ok(None) };
    let path = receiver.spool.join(JOURNAL);
    if !path.exists() {
        return Ok(None);
    }
    let sharing = config.receivers.iter().filter(|(_, other)| other.spool == receiver.spool);
    Ok(Some(Seen { journal: Journal::open(&path)?, channels: sharing.map(|(name, _)| name.clone()).collect() }))
}

fn remove(queue: &Queue, element: &ElementPath, seen: Option<&Seen>) -> anyhow::Result<()> {
    let Some(locked) = queue.lock(element)? else {
        anyhow::bail!("element {element} is gone or locked by another program; not removed");
    };
    locked.remove()?;
    let Some(Seen { journal, channels }) = seen else { return Ok(()) };
    for channel in channels {
        journal.forget_deferred(channel, &format!("deferred/{element}"))?;
    }
    Ok(())
}
