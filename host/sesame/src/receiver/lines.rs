//! The log lines about messages once they are durable.

use super::Decision;
use std::time::SystemTime;

use crate::channel::{Meters, log_findings};
use message::{Code, Fate, Finding};
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
    code: Option<Code>,
    /// The subject of an authorised signer.
    heard: Option<String>,
    received: SystemTime,
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
        code: decision.disposition.code(),
        heard: decision.authorised_signer().map(str::to_owned),
        received: decision.facts.received,
    }
}

/// One line about the fate of a message, which is counted.
pub(super) fn log_settled((channel, meters): (&str, &Meters), line: &LogLine, stored: &Stored) {
    if let Some(signer) = &line.heard {
        meters.heard(signer, line.received);
    }
    let (id, signer) = (line.id.as_str(), line.signer.as_str());
    let said = message::LogLine { channel, id, signer, argo_id: &line.argo_id, ..message::LogLine::default() };
    let Outcome::New { elements, conflict } = stored.outcome() else {
        meters.fate(Fate::Duplicate, None);
        return Fate::Duplicate.log(&said);
    };
    meters.fate(line.fate, line.code);
    if *conflict {
        let signer = message::text::non_empty(signer);
        tracing::warn!(channel, id, signer, "the signer also sent other content under this id; both are kept");
    }
    log_findings(channel, id, &line.findings);
    let attempt = (line.fate == Fate::Deferred).then_some(line.attempt);
    let (element, plugin, reason) = (&elements.join(" "), &line.plugin, &line.reason);
    line.fate.log(&message::LogLine { plugin, element, attempt, reason, ..said });
}
