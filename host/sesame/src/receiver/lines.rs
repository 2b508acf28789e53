//! The log lines about messages once they are durable.

use super::Decision;
use std::time::SystemTime;

use crate::channel::{Channel, Meters, log_findings};
use message::text::non_empty;
use message::{Code, Fate, Finding};
use observe::overview::{Event, Verdict};
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
    bytes: u64,
    verdicts: Vec<Verdict>,
    /// Of the message as it came, where anyone watches.
    headers: Vec<(String, String)>,
}

pub(super) fn log_line(
    decision: &Decision,
    attempt: u32,
    argo_id: Option<String>,
    headers: Vec<(String, String)>,
) -> LogLine {
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
        bytes: decision.facts.payload_bytes,
        verdicts: decision.verdicts.clone(),
        headers,
    }
}

/// What those who watch see.
fn event(channel: &Channel, line: &LogLine, elements: &[String]) -> Event {
    let some = |text: &str| non_empty(text).map(str::to_owned);
    Event {
        code: line.code.map(|code| code.to_string()),
        reason: some(&line.reason),
        id: some(&line.id),
        signer: some(&line.signer),
        plugin: some(&line.plugin),
        element: some(&elements.join(" ")),
        bytes: (line.bytes > 0).then_some(line.bytes),
        headers: line.headers.clone(),
        verdicts: line.verdicts.clone(),
        ..channel.event()
    }
}

/// One line about the fate of a message, which is counted and told to those who watch.
pub(super) fn log_settled((of, meters): (&Channel, &Meters), line: &LogLine, stored: &Stored) {
    let channel = of.name();
    if let Some(signer) = &line.heard {
        meters.heard(signer, line.received);
    }
    let (id, signer) = (line.id.as_str(), line.signer.as_str());
    let said = message::LogLine { channel, id, signer, argo_id: &line.argo_id, ..message::LogLine::default() };
    let Outcome::New { elements, conflict } = stored.outcome() else {
        meters.fate(Fate::Duplicate, None);
        meters.tell(Fate::Duplicate, || Event { code: None, reason: None, plugin: None, ..event(of, line, &[]) });
        return Fate::Duplicate.log(&said);
    };
    meters.fate(line.fate, line.code);
    meters.tell(line.fate, || event(of, line, elements));
    if *conflict {
        let signer = non_empty(signer);
        tracing::warn!(channel, id, signer, "the signer also sent other content under this id; both are kept");
    }
    log_findings(channel, id, &line.findings);
    let attempt = (line.fate == Fate::Deferred).then_some(line.attempt);
    let (element, plugin, reason) = (&elements.join(" "), &line.plugin, &line.reason);
    line.fate.log(&message::LogLine { plugin, element, attempt, reason, ..said });
}
