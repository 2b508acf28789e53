//! Findings as text: in the log, in a reason and in a field of an element.

use message::{Finding, Severity};

/// Findings of one message that are logged; all are written beside a message that is rejected or deferred.
const SHOWN_FINDINGS: usize = 10;

/// One line for each thing that plugins found, without the values.
pub(crate) fn log_findings(channel: &str, id: &str, findings: &[Finding]) {
    for finding in findings.iter().take(SHOWN_FINDINGS) {
        match finding.severity {
            Severity::Info => tracing::info!(channel, id, %finding, "plugin finding"),
            Severity::Warning | Severity::Error => tracing::warn!(channel, id, %finding, "plugin finding"),
        }
    }
}

/// The findings as JSON, for the field of that name.
#[must_use]
pub fn findings_json(findings: &[Finding]) -> Vec<u8> {
    serde_json::to_vec(findings).unwrap_or_else(|_| b"[]".to_vec())
}

/// The first error among the findings in one line, and how many more there are.
#[must_use]
pub fn summary(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let Some(first) = errors.clone().next().or_else(|| findings.first()) else {
        return "no finding".to_owned();
    };
    match findings.len() {
        1 => first.to_string(),
        several => format!("{first} (and {} more)", several - 1),
    }
}
