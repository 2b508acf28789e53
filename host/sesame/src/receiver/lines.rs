//! The log lines about messages once they are durable.

use super::Decision;
use crate::channel::log_findings;
use message::{Fate, Finding};
use spool::{Outcome, Stored};

/// What is logged about a message once it is durable.
pub(super) struct LogLine {
    pub(super) id: String,
    signer: String,
    fate: Fate,
    reason: String,
    plugin: String,
    findings: Vec<Finding>,
    attempt: u32,
    argo_id: String,
}

pub(super) fn log_line(decision: &Decision, attempt: u32, argo_id: Option<String>) -> LogLine {
    LogLine {
        id: decision.key.id.to_string(),
        signer: decision.signer.as_ref().map(super::signer_field).unwrap_or_default(),
        fate: decision.disposition.fate(),
        reason: decision.reason().unwrap_or_default(),
        plugin: decision.plugin.clone().unwrap_or_default(),
        findings: decision.findings.clone(),
        attempt,
        argo_id: argo_id.unwrap_or_default(),
    }
}

/// One line about the fate of a message.
pub(super) fn log_settled(channel: &str, line: &LogLine, stored: &Stored) {
    let (id, signer) = (line.id.as_str(), line.signer.as_str());
    let said = message::LogLine { channel, id, signer, argo_id: &line.argo_id, ..message::LogLine::default() };
    let Outcome::New { elements, conflict } = stored.outcome() else {
        return Fate::Duplicate.log(&said);
    };
    if *conflict {
        let signer = message::text::non_empty(signer);
        tracing::warn!(channel, id, signer, "the signer also sent other content under this id; both are kept");
    }
    log_findings(channel, id, &line.findings);
    let attempt = (line.fate == Fate::Deferred).then_some(line.attempt);
    let (element, plugin, reason) = (&elements.join(" "), &line.plugin, &line.reason);
    line.fate.log(&message::LogLine { plugin, element, attempt, reason, ..said });
}
