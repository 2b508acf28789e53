//! `sesame explain`: what a channel would do with a message. Nothing is sent or stored.
//!
//! A receiver's message goes through `receiver::decide`, the same function that decides about deliveries. A sender's content goes
//! through the checks, the plugins and the seal of its channel. Neither the spool's lock nor a broker is needed.
//!
//! The verdict is always the channel's own: a receiver rejects an unsigned file. What its plugins would answer to that content
//! if it were sealed is shown as a step. Only this command shows why an envelope for us could not be opened; see
//! `smime::diagnose`.

mod inbound;
mod outbound;

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use super::context::{Context, select};
use super::queue::add::read;
use super::{EXIT_DONE, EXIT_FAILED, output};
use crate::channel::milliseconds;
use crate::config::Kind;
use message::{Code, Fate, Finding, MessageId};
use plugins::{Input, Outcome, Pipeline};

pub(super) use inbound::{field, receiver_snapshot, snapshot_with};

/// `sesame explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// Channel of the configuration: content for a sender, a sealed message or content for a receiver.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// File with the message; - for standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// One step of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: &'static str,
    passed: bool,
    text: String,
}

/// An element or a frame that would be written or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Product {
    /// The id; that of a part is `ID.N`.
    id: String,
    /// The queue or destination.
    target: String,
    /// Size of the content in bytes.
    bytes: usize,
    /// Size on the wire in bytes.
    wire: Option<usize>,
    /// Headers and media type that plugins set, or the reason.
    notes: Vec<String>,
}

/// What a channel would do with a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Explanation {
    steps: Vec<Step>,
    /// What would become of the message.
    pub(super) fate: Fate,
    pub(super) reason: Option<String>,
    pub(super) findings: Vec<Finding>,
    products: Vec<Product>,
}

pub(super) fn run(arguments: &Explain, context: &Context) -> anyhow::Result<u8> {
    let config = &context.config()?;
    let channel = &arguments.channel;
    if let Err(status) = select(config, std::slice::from_ref(channel), Kind::Any) {
        return Ok(status);
    }
    let content = read(&arguments.file, LARGEST)?;
    let explanation = match config.senders.get(channel) {
        Some(sender) => outbound::explain(config, channel, sender, &content)?,
        None => inbound::explain(config, channel, &content)?,
    };
    if arguments.json {
        output::json(&json_of(channel, &explanation));
    } else {
        lines(&explanation).iter().for_each(|line| output::line(line));
    }
    Ok(if explanation.fate.is_success() { EXIT_DONE } else { EXIT_FAILED })
}

impl Explanation {
    /// Begins with the fate of a message that nothing stops.
    pub(super) fn new(fate: Fate) -> Self {
        Self { steps: Vec::new(), fate, reason: None, findings: Vec::new(), products: Vec::new() }
    }

    fn passed(&mut self, name: &'static str, text: impl Into<String>) {
        self.steps.push(Step { name, passed: true, text: text.into() });
    }

    fn failed(&mut self, name: &'static str, text: impl Into<String>) {
        self.steps.push(Step { name, passed: false, text: text.into() });
    }

    /// The message ends here.
    fn end(mut self, fate: Fate, reason: impl Into<String>) -> Self {
        self.fate = fate;
        self.reason = Some(reason.into());
        self
    }

    /// Takes the outcome of the plugins; `place` adds the products of one output.
    pub(super) fn take(&mut self, outcome: Outcome, mut place: impl FnMut(&mut Self, plugins::Output)) {
        let (fate, reason) = match outcome {
            Outcome::Pass { outputs, refused, findings } => {
                let whole = outputs.len() == 1 && refused.is_empty();
                self.passed("plugins", if whole { "pass" } else { "pass in parts" });
                let none_left = outputs.is_empty();
                outputs.into_iter().for_each(|output| place(self, output));
                self.findings = findings;
                for part in refused {
                    self.failed("plugins", format!("{} rejects part {}", part.plugin, part.part));
                    self.findings.extend(part.findings);
                }
                if !none_left {
                    return;
                }
                (Fate::Rejected, Code::PluginInvalid.to_string())
            }
            Outcome::Dropped { finding, plugin } => {
                let reason = format!("dropped by {plugin}: {finding}");
                self.findings = vec![finding];
                (Fate::Dropped, reason)
            }
            Outcome::Invalid { findings, plugin } => {
                let reason = format!("{plugin}: {}", crate::channel::summary(&findings));
                self.findings = findings;
                (Fate::Rejected, Code::PluginInvalid.because(&reason))
            }
            Outcome::Retry { reason, plugin, .. } => self.not_now(Code::PluginRetry, format!("{plugin}: {reason}")),
            Outcome::Failed { error, .. } => self.not_now(Code::PluginFailed, error.to_string()),
        };
        self.failed("plugins", reason.clone());
        self.fate = fate;
        self.reason = Some(reason);
    }

    /// The fate of a message that the plugins do not decide about now: a receiver defers it with a code, a sender leaves it in
    /// outgoing.
    fn not_now(&self, code: Code, why: String) -> (Fate, String) {
        if self.fate == Fate::Sent { (Fate::Waiting, why) } else { (Fate::Deferred, code.because(&why)) }
    }
}

/// The input of the plugins for content that came from no broker and has no signer.
pub(super) fn plain_input<'a>(id: &'a MessageId, destination: &'a str) -> Input<'a> {
    Input {
        message_id: id,
        destination,
        content_type: None,
        signer: None,
        received_at: milliseconds(SystemTime::now()),
        attempt: 1,
        transport_headers: &[],
        properties: &[],
    }
}

/// The id that plugins see: the real one is assigned when an element is queued.
pub(super) fn placeholder() -> MessageId {
    MessageId::from_peer("explain")
}

/// The stages of a pipeline in one line.
fn stages(pipeline: &Pipeline) -> String {
    let names: Vec<&str> = pipeline.stages().map(|stage| stage.name).collect();
    let hash = pipeline.hash().get(..12).unwrap_or_default();
    format!("{} (pipeline {hash})", names.join(", "))
}

fn lines(explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &explanation.steps {
        let word = if step.passed { "ok" } else { "stop" };
        lines.push(format!("{word:<5} {:<10} {}", step.name, step.text));
    }
    lines.extend(explanation.findings.iter().map(|finding| format!("      finding    {}", output::finding(finding))));
    for product in &explanation.products {
        let wire = product.wire.map(|wire| format!(", {wire} bytes on the wire")).unwrap_or_default();
        let mut line = format!("      would be   {}: id {}, {} bytes{wire}", product.target, product.id, product.bytes);
        for note in &product.notes {
            line.push_str(&format!(", {note}"));
        }
        lines.push(line);
    }
    let reason = explanation.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    lines.push(format!("verdict: {}{reason}", explanation.fate));
    lines
}

fn json_of(channel: &str, explanation: &Explanation) -> Value {
    let steps = explanation.steps.iter();
    let steps: Vec<Value> =
        steps.map(|step| json!({ "step": step.name, "passed": step.passed, "text": step.text })).collect();
    let product = |product: &Product| {
        json!({
            "id": product.id, "target": product.target, "bytes": product.bytes, "wire-bytes": product.wire,
            "notes": product.notes,
        })
    };
    json!({
        "channel": channel, "verdict": explanation.fate, "reason": explanation.reason, "steps": steps,
        "findings": explanation.findings, "would-be": explanation.products.iter().map(product).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::queue::{Site, sealed};
    use super::*;

    #[test]
    fn a_receiver_explains_each_step_and_stores_nothing() {
        let site = Site::new();
        let config = &site.config;
        let message = sealed(config, "m/1", b"a: 1\n");
        let unlisted = inbound::explain(config, "central", &message).unwrap();
        assert_eq!(unlisted.fate, Fate::Rejected);
        assert!(unlisted.reason.unwrap().contains("to authorise, add the line: "));
        assert_eq!(unlisted.steps.last().map(|step| (step.name, step.passed)), Some(("authorise", false)));
        std::fs::write(&config.receivers["central"].authorised, "/C=UK/O=eScience/CN=ce.example.org\n").unwrap();
        let stored = inbound::explain(config, "central", &message).unwrap();
        assert_eq!((stored.fate, stored.products.len()), (Fate::Stored, 1));
        assert!(stored.products[0].target.ends_with("spool/incoming") && stored.products[0].id == "m/1");
        assert!(std::fs::read_dir(&config.receivers["central"].spool).unwrap().next().is_none());
        let damaged = inbound::explain(config, "central", &message[..message.len() / 2]).unwrap();
        assert_eq!((damaged.fate, damaged.steps[0].name, damaged.steps[0].passed), (Fate::Rejected, "open", false));
    }

    #[test]
    fn a_receiver_rejects_an_unsigned_file_and_shows_what_its_plugins_would_answer() {
        let site = Site::new();
        let config = &site.config;
        let explanation = inbound::explain(config, "central", b"a: 1\n").unwrap();
        assert_eq!((explanation.fate, explanation.products.len()), (Fate::Rejected, 1));
        assert!(explanation.products[0].target.ends_with("spool/reject"));
        assert!(explanation.reason.as_ref().unwrap().starts_with("unsigned: "), "{:?}", explanation.reason);
        let shown = lines(&explanation);
        assert!(
            shown.iter().any(|line| line.contains("if this content were sealed by a listed signer: stored")),
            "{shown:?}"
        );
        assert!(shown.last().unwrap().starts_with("verdict: rejected: unsigned: "), "{shown:?}");
        for nothing in [&b""[..], b" \n"] {
            let explanation = inbound::explain(config, "central", nothing).unwrap();
            assert_eq!((explanation.fate, explanation.steps.len()), (Fate::Rejected, 1));
            assert!(explanation.reason.unwrap().starts_with("empty: the message is empty"));
        }
    }

    #[test]
    fn what_is_inside_an_envelope_is_shown_to_the_operator_only() {
        let site = Site::new();
        let config = &site.config;
        let explained = |plain: &[u8]| {
            let message = super::super::queue::enveloped(config, plain);
            let explanation = inbound::explain(config, "central", &message).unwrap();
            assert_eq!(explanation.reason.as_deref(), Some("crypto: cannot decrypt the message"));
            assert_eq!(explanation.fate, Fate::Rejected);
            explanation.steps.last().unwrap().text.clone()
        };
        let unsigned = explained(b"Content-Type: text/plain\r\n\r\na: 1\r\n");
        assert!(
            unsigned.contains("the envelope decrypts, but its content is refused: the message is not signed"),
            "{unsigned}"
        );
        assert!(unsigned.contains("text/plain") && unsigned.contains("shown here only"), "{unsigned}");
        let noise: Vec<u8> = (0..400_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert!(explained(&noise).contains("decrypts to bytes that are not a message"));
    }

    #[test]
    fn a_sender_shows_the_size_on_the_wire() {
        let site = Site::new();
        let config = &site.config;
        let sender = &config.senders["cpu"];
        let explanation = outbound::explain(config, "cpu", sender, b"a: 1\n").unwrap();
        assert_eq!((explanation.fate, explanation.products[0].target.as_str()), (Fate::Sent, "/queue/cpu"));
        assert!(explanation.products[0].wire > Some(500));
        let lines = lines(&explanation);
        assert_eq!(lines.last().map(String::as_str), Some("verdict: sent"));
        let sender = crate::config::Sender { max_payload: 2, ..sender.clone() };
        assert_eq!(outbound::explain(config, "cpu", &sender, b"a: 1\n").unwrap().fate, Fate::Rejected);
        assert_eq!(outbound::explain(config, "cpu", &sender, b"\n").unwrap().fate, Fate::Rejected);
        assert!(std::fs::read_dir(&sender.queue).unwrap().next().is_none());
    }
}
