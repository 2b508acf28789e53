//! The lines of the log about messages that are durable.

use super::Decision;
use message::text::said;
use message::{Finding, Severity};
use spool::journal::Disposition;
use spool::{Outcome, Stored};

/// Findings of one message that are logged; all of them stand beside a message that is refused.
const SHOWN_FINDINGS: usize = 10;

/// What the log says of a message when it is durable.
pub(super) struct LogLine {
    pub(super) id: String,
    pub(super) signer: String,
    pub(super) disposition: Disposition,
    pub(super) reason: String,
    pub(super) plugin: String,
    pub(super) findings: Vec<Finding>,
    pub(super) attempt: u32,
}

pub(super) fn log_line(decision: &Decision, attempt: u32) -> LogLine {
    LogLine {
        id: decision.key.id.to_string(),
        signer: decision.signer.as_ref().map(super::signer_field).unwrap_or_default(),
        disposition: decision.disposition.clone(),
        reason: reason(decision),
        plugin: decision.plugin.clone().unwrap_or_default(),
        findings: decision.findings.clone(),
        attempt,
    }
}

/// The reason in words, led by its code where it has one.
fn reason(decision: &Decision) -> String {
    let why = decision.facts.reason.clone().unwrap_or_default();
    match &decision.disposition {
        Disposition::Rejected { code } => code.because(&why),
        _ => why,
    }
}

/// One line for each thing that plugins found, without the values.
pub(crate) fn log_findings(channel: &str, id: &str, findings: &[Finding]) {
    for finding in findings.iter().take(SHOWN_FINDINGS) {
        match finding.severity {
            Severity::Info => tracing::info!(channel, id, %finding, "plugin finding"),
            Severity::Warning | Severity::Error => tracing::warn!(channel, id, %finding, "plugin finding"),
        }
    }
}

/// One line for what became of a message.
pub(super) fn log_settled(channel: &str, line: &LogLine, stored: &Stored) {
    let (id, signer, plugin) = (line.id.as_str(), said(&line.signer), said(&line.plugin));
    let Outcome::New { elements, conflict } = stored.outcome() else {
        tracing::info!(channel, id, signer, "message received before; duplicate dropped");
        return;
    };
    if *conflict {
        tracing::warn!(channel, id, signer, "the signer sent other content under this id too; both are kept");
    }
    log_findings(channel, id, &line.findings);
    log_disposition(channel, line, (id, signer, plugin), &elements.join(" "));
}

fn log_disposition(
    channel: &str,
    line: &LogLine,
    (id, signer, plugin): (&str, Option<&str>, Option<&str>),
    elements: &str,
) {
    let element = said(elements);
    let reason = said(&line.reason).map(tracing::field::display);
    match &line.disposition {
        Disposition::Stored => tracing::info!(channel, id, signer, element, "message stored"),
        Disposition::Dropped => tracing::info!(channel, id, signer, plugin, reason, "message dropped"),
        Disposition::Rejected { .. } => {
            tracing::warn!(channel, id, signer, plugin, element, reason, "message rejected");
        }
        Disposition::Deferred { .. } => {
            let attempt = line.attempt;
            tracing::warn!(channel, id, signer, plugin, element, attempt, reason, "message deferred");
        }
    }
}
