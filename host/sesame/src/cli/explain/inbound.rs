//! What a receiver would do with a message.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;

use super::{Explanation, Product, Step, placeholder, plain_input, stages};
use crate::channel::Channel;
use crate::cli::context::say_compiling;
use crate::config::Config;
use crate::receiver::{Decision, Received, Snapshot, decide, signer_field, snapshot, targets};
use crate::service::{Shared, pipeline};
use message::{Code, Fate};
use plugins::Pipeline;
use spool::NewElement;

/// Everything that a decision of the receiver `channel` depends on. Needs neither the spool's lock nor a broker.
///
/// # Errors
/// Errors with which the receiver itself would not start.
pub(in crate::cli) fn receiver_snapshot(config: &Config, channel: &str, shared: &Shared) -> anyhow::Result<Snapshot> {
    snapshot_with(config, channel, shared, |channel| {
        say_compiling(shared, config, channel);
        Ok(Arc::new(pipeline(shared, config, channel)?.pipeline))
    })
}

/// The same with this pipeline.
///
/// # Errors
/// Errors with which the receiver itself would not start.
pub(in crate::cli) fn snapshot_with(
    config: &Config,
    channel: &str,
    shared: &Shared,
    pipeline: impl FnOnce(&Channel) -> anyhow::Result<Arc<Pipeline>>,
) -> anyhow::Result<Snapshot> {
    let settings = config.receivers.get(channel).with_context(|| format!("there is no receiver {channel:?}"))?;
    let identity = shared.registry.identity(&settings.credential, &settings.trust)?;
    let lists = shared.registry.lists(settings)?;
    let channel = &Channel::receiver(channel);
    let pipeline = pipeline(channel)?;
    Ok(snapshot(channel, &Arc::new(settings.clone()), &identity, &lists, (&pipeline, &Arc::default())))
}

pub(super) fn explain(config: &Config, channel: &str, content: &[u8]) -> anyhow::Result<Explanation> {
    let shared = Shared::start(config)?;
    let snapshot = receiver_snapshot(config, channel, &shared)?;
    let mut explanation = decided(&snapshot, content);
    if !looks_sealed(content) {
        try_plugins(&mut explanation, &snapshot, content);
    }
    Ok(explanation)
}

/// Whether the header block announces S/MIME; a damaged message counts too.
fn looks_sealed(content: &[u8]) -> bool {
    let head = content.get(..8192).unwrap_or(content);
    let text = String::from_utf8_lossy(head).to_ascii_lowercase().replace('\r', "");
    let headers = text.split("\n\n").next().unwrap_or_default();
    headers.contains("content-type:") && (headers.contains("multipart/signed") || headers.contains("pkcs7-mime"))
}

/// Decides about a message as the receiver would.
fn decided(snapshot: &Snapshot, content: &[u8]) -> Explanation {
    let now = SystemTime::now();
    let received = Received { raw: content, header_id: None, headers: &[], at: now, attempt: 1 };
    let decision = decide(&received, snapshot, now);
    let mut explanation = Explanation::new(decision.disposition.fate());
    explanation.findings.clone_from(&decision.findings);
    explanation.products = decision.elements.iter().map(product).collect();
    explanation.reason = decision.reason();
    let code = decision.disposition.code();
    steps(&mut explanation, &decision, code, snapshot);
    if code == Some(Code::Crypto)
        && let Some(found) = smime::diagnose(content, &snapshot.credentials, &snapshot.trust)
    {
        explanation.failed(
            "inside",
            format!("{found} (shown here only, never in the log, the reject queue or on the network)"),
        );
    }
    explanation
}

/// The steps of a decision.
fn steps(explanation: &mut Explanation, decision: &Decision, code: Option<Code>, snapshot: &Snapshot) {
    let reason = explanation.reason.clone().unwrap_or_default();
    let Some(signer) = &decision.signer else {
        return explanation.failed("open", reason);
    };
    let encrypted = if decision.encrypted == Some(true) { "encrypted for us" } else { "not encrypted" };
    let (id, bytes) = (&decision.key.id, decision.facts.payload_bytes);
    let name = signer_field(signer);
    explanation.passed("open", format!("{encrypted}, signed by {name}, id {id}, {bytes} bytes of content"));
    if matches!(code, Some(Code::Banned | Code::Unlisted)) {
        return explanation.failed("authorise", reason);
    }
    let list = snapshot.settings.authorised.display().to_string();
    explanation.passed("authorise", format!("the signer is listed in {list}"));
    let stages = stages(&snapshot.pipeline);
    if explanation.fate == Fate::Stored {
        explanation.passed("plugins", stages);
    } else {
        explanation.failed("plugins", format!("{stages}: {reason}"));
    }
}

/// A field of an element that would be written.
pub(in crate::cli) fn field<'a>(element: &'a NewElement, name: &str) -> Option<&'a [u8]> {
    element.fields.iter().find(|(field, _)| *field == name).map(|(_, bytes)| bytes.as_slice())
}

fn product(element: &NewElement) -> Product {
    let field = |name: &str| field(element, name);
    Product {
        id: super::output::text(field("empaid").unwrap_or_default()),
        target: element.queue.display().to_string(),
        bytes: field("body").unwrap_or_default().len(),
        wire: None,
        notes: field("error").map(|error| format!("error {:?}", super::output::text(error))).into_iter().collect(),
    }
}

/// Calls the plugins with unsigned content, as if a listed signer had sealed it. The verdict remains the receiver's.
fn try_plugins(explanation: &mut Explanation, snapshot: &Snapshot, content: &[u8]) {
    const IF_SEALED: &str = "if this content were sealed by a listed signer";
    let settings = &snapshot.settings;
    if content.trim_ascii().is_empty() {
        return;
    }
    if content.len() as u64 > settings.max_payload {
        let size = format!("{} bytes are more than max-payload, {}", content.len(), settings.max_payload);
        return explanation.failed("content", format!("{IF_SEALED}: {}", Code::TooLarge.because(&size)));
    }
    let id = placeholder();
    let outcome = snapshot.pipeline.run(&plain_input(&id, &settings.destination), content);
    let mut trial = Explanation::new(Fate::Stored);
    trial.take(outcome, |trial, output| {
        for queue in targets(settings, &output.routes) {
            let bytes = output.payload.as_deref().unwrap_or(content).len();
            trial.passed("plugins", format!("{bytes} bytes for {}", queue.display()));
        }
    });
    let reason = trial.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let text = format!("{}: {IF_SEALED}: {}{reason}", stages(&snapshot.pipeline), trial.fate);
    explanation.steps.push(Step { name: "plugins", passed: trial.fate == Fate::Stored, text });
    explanation.findings.extend(trial.findings);
    let places = trial.steps.into_iter().filter(|step| step.text.contains(" bytes for "));
    explanation.steps.extend(places.map(|step| Step { text: format!("{IF_SEALED}: {}", step.text), ..step }));
}

#[cfg(test)]
mod tests {
    use super::looks_sealed;

    #[test]
    fn recognises_smime_by_its_headers() {
        assert!(looks_sealed(b"MIME-Version: 1.0\r\nContent-Type: multipart/signed;\r\n boundary=x\r\n\r\nbroken"));
        assert!(looks_sealed(b"Content-Type: application/x-pkcs7-mime\n\nMII"));
        assert!(!looks_sealed(b"APEL-summary-job-message: v0.2\n\nContent-Type: multipart/signed"));
        assert!(!looks_sealed(b""));
    }
}
