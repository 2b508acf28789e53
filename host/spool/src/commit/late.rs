//! Log lines for messages that are published after their submitter got an error, or after the submitting process
//! crashed.
//!
//! Their redelivery is logged as a duplicate, so that without these lines the log would not show where they are stored.

use std::collections::HashSet;

use super::Shared;
use super::batch::Written;
use super::publish::Place;
use crate::journal::{Decision, PendingBatch, Published};
use message::LogLine;

/// The log lines for the new messages of a batch, to be written once they are published.
pub(super) fn lines(batch: &[Written], decisions: &[Decision], shared: &Shared) -> Vec<Published> {
    let new = batch.iter().zip(decisions).filter(|(_, decision)| matches!(decision, Decision::New { .. }));
    let line = |written: &Written| {
        let commit = &written.job.commit;
        let elements = written.elements.iter().map(|element| element.queue.element(&element.draft.target));
        Published {
            channel: commit.key.channel.clone(),
            id: commit.key.id.to_string(),
            signer: commit.key.signer.clone(),
            fate: commit.disposition.fate(),
            elements: elements.map(|path| shared.relative(&path)).collect::<Vec<_>>().join(" "),
            reason: commit.disposition.reason(commit.facts.reason.as_deref()),
        }
    };
    new.map(|(written, _)| line(written)).collect()
}

/// Writes one line for each message.
pub(super) fn log(lines: &[Published]) {
    for line in lines {
        let Published { channel, id, signer, elements, reason, fate } = line;
        let reason = reason.as_deref().unwrap_or_default();
        fate.log(&LogLine { channel, id, signer, element: elements, reason, ..LogLine::default() });
    }
}

/// Logs the messages that recovery has published, from the journal. Elements that were in place before the crash
/// already have their line.
pub(super) fn log_recovered(shared: &Shared, batch: &PendingBatch, places: &[Place]) {
    let published = batch.moves.iter().zip(places).filter(|(_, place)| matches!(place, Place::Published(_)));
    let elements: HashSet<&str> = published.map(|(step, _)| step.to.as_str()).collect();
    if elements.is_empty() {
        return;
    }
    match shared.journal.published(&elements) {
        Ok(lines) => log(&lines),
        Err(error) => tracing::warn!(
            error = %message::cause::chain(&error), elements = elements.len(),
            "cannot log which messages of an earlier run were published",
        ),
    }
}
