//! From the bytes of a delivery to a decision: open → authorise → pipeline.
//!
//! [`decide`] touches no socket, queue or journal. It takes the bytes and a [`Snapshot`] of everything that may change while
//! the program runs, and returns a [`Decision`]: the disposition of the message and the elements to be written.
//! `sesame explain` calls the same function and writes nothing.
//!
//! # Elements
//! `body`, `signer` and `empaid` always; in reject and deferred also `error`, `sealed` (the message as received) and
//! `findings` (JSON). `body` is the readable content once the signer is authorised, otherwise the message as received.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::channel::{
    Channel, Meters, NO_SIGNER, Step, back_off, counted, findings_json, milliseconds, open_here, summary,
};
use crate::config;
use message::acknowledgement::{Sequence, is_acknowledgement};
use message::{Code, Finding, MessageId, content_digest};
use observe::overview::Verdict;
use plugins::{Blame, Input, Outcome, Output, Pipeline, Refused, SignerFacts};
use smime::{self, Authorised, OpenPolicy, Opened, Unauthorised, UnauthorisedReason};
use spool::journal::{Acknowledge, Disposition, Facts, Key};
use spool::{NewElement, TooManyCrashes, kill_point};
use trust::{Credential, Signer, SignerLists, TrustStore};

/// The parts of a delivery that a decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The body of the MESSAGE.
    pub raw: &'a [u8],
    /// The `empa-id` header.
    pub header_id: Option<&'a str>,
    /// The headers of the MESSAGE.
    pub headers: &'a [(String, String)],
    /// When it was first received.
    pub at: SystemTime,
    /// The number of this attempt, from 1.
    pub attempt: u32,
}

/// Everything that a decision depends on and that may be replaced while the program runs.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The channel.
    pub channel: Channel,
    /// The channel's configuration.
    pub settings: Arc<config::Receiver>,
    /// Anchors, CRLs, policies.
    pub trust: Arc<TrustStore>,
    /// The credentials that decrypt.
    pub credentials: Vec<Arc<Credential>>,
    /// The authorised and the banned signers.
    pub lists: Arc<SignerLists>,
    /// The plugins.
    pub pipeline: Arc<Pipeline>,
    /// The rules for opening.
    pub policy: OpenPolicy,
    /// Signers, by [`Key::signer`], that have a deferred message: their later messages wait behind it.
    pub held: Arc<HashSet<String>>,
    /// What is counted.
    pub meters: Arc<Meters>,
}

/// The decision about a message.
#[derive(Debug)]
pub struct Decision {
    /// Its key in the journal.
    pub key: Key,
    /// Stored, deferred, dropped or rejected.
    pub disposition: Disposition,
    /// The elements to be written.
    pub elements: Vec<NewElement>,
    /// The rest of its row in the journal.
    pub facts: Facts,
    /// The verified signer; `None` if it could not be opened.
    pub signer: Option<Signer>,
    /// What the plugins found in it.
    pub findings: Vec<Finding>,
    /// The plugin that decided, if one did.
    pub plugin: Option<String>,
    /// What each plugin answered, as far as anyone wants to know.
    pub verdicts: Vec<Verdict>,
    /// Whether it was encrypted; `None` if it could not be opened.
    pub encrypted: Option<bool>,
    /// Whether it is deferred only because it waits behind a deferred message of the same signer.
    pub held_back: bool,
    /// Whether the channel is paused because a plugin fails for every message. The message then stays where it is.
    pub paused: bool,
    /// Its place in what its signer sends, if the signer is authorised and names one.
    pub sequence: Option<Sequence>,
    /// The acknowledgement to its signer, if it gets one.
    pub acknowledge: Option<Acknowledge>,
}

impl Decision {
    /// The subject of the signer, if it was verified and is authorised.
    pub(super) fn authorised_signer(&self) -> Option<&str> {
        let refused = matches!(self.disposition.code(), Some(Code::Banned | Code::Unlisted));
        self.signer.as_ref().filter(|_| !refused).map(|_| subject_of_key(&self.key.signer))
    }

    /// The reason, led by its code.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.disposition.reason(self.facts.reason.as_deref())
    }
}

/// Decides about one message, which is opened in this process. Never panics, whatever `received` holds.
#[must_use]
pub fn decide(received: &Received<'_>, snapshot: &Snapshot, now: SystemTime) -> Decision {
    let opened = snapshot
        .meters
        .time(Step::Open, received.raw.len(), || open_here(&to_open(received.raw, received.at, snapshot)));
    decide_opened(received, snapshot, now, opened)
}

/// A message as it is opened.
pub(super) fn to_open<'a>(raw: &'a [u8], at: SystemTime, snapshot: &'a Snapshot) -> isolate::Message<'a> {
    let Snapshot { credentials, trust, policy, .. } = snapshot;
    isolate::Message { raw, credentials, trust, policy, at }
}

/// Decides about one message that was opened, or could not be.
#[must_use]
pub(super) fn decide_opened(
    received: &Received<'_>,
    snapshot: &Snapshot,
    now: SystemTime,
    opened: smime::Answer,
) -> Decision {
    let draft = Draft { received, snapshot, now };
    let meters = &snapshot.meters;
    let opened = match opened {
        Ok(opened) => opened,
        Err(refused) if refused.ours => return draft.undecidable(refused.code, &refused.reason),
        Err(refused) => return draft.unopened(refused.code, &refused.reason),
    };
    let bytes = opened.payload().len();
    match meters.time(Step::Authorise, bytes, || smime::authorise(opened, &snapshot.lists)) {
        Ok(authorised) => draft.authorised(&authorised),
        Err(refused) => draft.unauthorised(refused),
    }
}

/// The decision about a message on which the process crashed too often: it goes to the reject queue as received.
#[must_use]
pub(super) fn given_up(
    received: &Received<'_>,
    snapshot: &Snapshot,
    now: SystemTime,
    crashes: TooManyCrashes,
) -> Decision {
    Draft { received, snapshot, now }.unopened(Code::CrashLoop, &crashes.to_string())
}

/// The decision about a message that another receiver claimed in the shared index: it waits for what becomes of that.
#[must_use]
pub(super) fn claimed(received: &Received<'_>, snapshot: &Snapshot, now: SystemTime, by: &str) -> Decision {
    let why = format!("receiver {by} claimed it and has not reported that it stored it");
    Draft { received, snapshot, now }.undecidable(Code::Claimed, &why)
}

/// The decision about a message in which nothing can be read: it goes to the reject queue as it came.
#[must_use]
pub(super) fn unreadable(received: &Received<'_>, snapshot: &Snapshot, why: &str) -> Decision {
    Draft { received, snapshot, now: received.at }.unopened(Code::NotBase64, why)
}

/// The decision about a message on which a worker panicked, which is our own fault: it goes to the reject queue as received.
#[must_use]
pub(super) fn failed(received: &Received<'_>, snapshot: &Snapshot, now: SystemTime) -> Decision {
    let why = "Sesame failed on this message; please report it with the element's field `sealed` and the log";
    Draft { received, snapshot, now }.unopened(Code::InternalError, why)
}

/// What parts subject and issuer in the key of a signer.
const ISSUER: &str = " issuer=";

struct Draft<'a> {
    received: &'a Received<'a>,
    snapshot: &'a Snapshot,
    now: SystemTime,
}

impl Draft<'_> {
    fn queue(&self, name: &str) -> PathBuf {
        self.snapshot.settings.spool.join(name)
    }

    fn header_id(&self) -> MessageId {
        self.received.header_id.map_or_else(MessageId::absent, MessageId::from_peer)
    }

    fn facts(&self, payload_bytes: usize) -> Facts {
        let mut facts = Facts::at(self.received.at);
        facts.payload_bytes = payload_bytes as u64;
        facts.wire_bytes = self.received.raw.len() as u64;
        facts
    }

    fn key(&self, id: MessageId, signer: &str, digest: [u8; 32]) -> Key {
        Key { channel: self.snapshot.channel.to_string(), id, signer: signer.to_owned(), digest }
    }

    /// The message could not be opened: nothing is known about its sender.
    fn unopened(&self, code: Code, why: &str) -> Decision {
        let id = self.header_id();
        let raw = self.received.raw;
        let mut facts = self.facts(0);
        facts.reason = Some(why.to_owned());
        let refusal = Refusal { id: &id, signer: NO_SIGNER, body: raw, error: &code.because(why), findings: &[] };
        Decision {
            elements: vec![self.set_aside("reject", &refusal)],
            key: self.key(id, "", content_digest(raw)),
            disposition: Disposition::Rejected { code },
            facts,
            signer: None,
            findings: Vec::new(),
            plugin: None,
            verdicts: Vec::new(),
            encrypted: None,
            held_back: false,
            paused: false,
            sequence: None,
            acknowledge: None,
        }
    }

    /// The message cannot be verified because of a fault on our side, such as an outdated CRL, or its last decision is not ours
    /// yet. It waits until that is settled, and no attempt is counted. Until then nothing in it is trusted.
    fn undecidable(&self, code: Code, why: &str) -> Decision {
        let mut decision = self.unopened(code, why);
        let error = code.because(why);
        let body = self.received.raw;
        let refusal = Refusal { id: &decision.key.id, signer: NO_SIGNER, body, error: &error, findings: &[] };
        decision.elements = vec![self.set_aside("deferred", &refusal)];
        decision.facts.reason = Some(error);
        let pause = self.pause_for_us();
        let attempt = self.received.attempt - 1;
        decision.disposition = Disposition::Deferred { next: self.now + pause, attempt };
        decision
    }

    /// The signer was verified and is banned or not listed.
    fn unauthorised(&self, refused: Unauthorised) -> Decision {
        let code = refused.code();
        let why = match refused.reason {
            UnauthorisedReason::Banned => refused.to_string(),
            UnauthorisedReason::Unlisted => {
                format!("{refused}; to authorise, add the line: {}", refused.offered_line())
            }
        };
        let opened = &refused.opened;
        let id = opened.signed_id().cloned().unwrap_or_else(|| self.header_id());
        let signer = opened.signer().clone();
        let drop = self.snapshot.settings.unlisted == trust::Unlisted::Drop;
        let mut facts = self.facts(opened.payload().len());
        facts.reason = Some(why.clone());
        let refusal = Refusal {
            id: &id,
            signer: &signer_field(&signer),
            body: self.received.raw,
            error: &code.because(&why),
            findings: &[],
        };
        let elements = if drop { Vec::new() } else { vec![self.set_aside("reject", &refusal)] };
        let disposition = Disposition::Rejected { code };
        Decision {
            elements,
            key: self.key(id, &signer_key(&signer), content_digest(opened.payload())),
            disposition,
            facts,
            encrypted: Some(opened.encrypted()),
            held_back: false,
            paused: false,
            sequence: None,
            acknowledge: None,
            signer: Some(signer),
            findings: Vec::new(),
            plugin: None,
            verdicts: Vec::new(),
        }
    }

    /// The signer is on the list: the plugins decide.
    fn authorised(&self, authorised: &Authorised) -> Decision {
        let message = authorised.message();
        let id = message.signed_id().cloned().unwrap_or_else(|| self.header_id());
        let signer = message.signer();
        let payload = message.payload();
        let mut facts = self.facts(payload.len());
        facts.pipeline = self.snapshot.pipeline.hash().to_owned();
        let mut decision = Decision {
            key: self.key(id.clone(), &signer_key(signer), content_digest(payload)),
            disposition: Disposition::Stored,
            elements: Vec::new(),
            facts,
            signer: Some(signer.clone()),
            findings: Vec::new(),
            plugin: None,
            verdicts: Vec::new(),
            encrypted: Some(message.encrypted()),
            held_back: false,
            paused: false,
            sequence: message.sequence().cloned(),
            acknowledge: None,
        };
        if message.content_type().is_some_and(is_acknowledgement) {
            self.stray_acknowledgement(message, &id, &mut decision);
            return decision;
        }
        // As it arrived: what a plugin makes of it says nothing about what was sent.
        decision.facts.counted = self.snapshot.settings.count_records.then(|| counted(payload));
        if self.snapshot.held.contains(&decision.key.signer) {
            // Only shows whether the plugin or the other message is at fault.
            let doubtful = self.snapshot.pipeline.is_doubtful();
            let tried = doubtful.then(|| self.run_pipeline(authorised, &id));
            decision.paused = tried.is_some_and(|(outcome, _)| is_pause(&outcome));
            self.hold_back(message, &id, &mut decision);
            return decision;
        }
        kill_point("R03");
        let (outcome, verdicts) = self.run_pipeline(authorised, &id);
        kill_point("R04");
        decision.verdicts = verdicts;
        self.settle(outcome, message, &id, &mut decision);
        decision.acknowledge = self.acknowledgement(message, &decision);
        decision
    }

    /// The acknowledgement of a message for its signer, where the configuration says where to.
    fn acknowledgement(&self, message: &Opened, decision: &Decision) -> Option<Acknowledge> {
        let signer = &message.signer().subject;
        let destination = self.snapshot.settings.acknowledgements.get(signer)?;
        let code = match (decision.findings.first(), &decision.disposition) {
            (Some(finding), _) => finding.code.clone(),
            (None, Disposition::Rejected { code }) => code.to_string(),
            (None, _) => String::new(),
        };
        Some(Acknowledge {
            destination: destination.to_string(),
            signer: signer.rfc4514(),
            code: Some(code).filter(|code| !code.is_empty()),
        })
    }

    /// An acknowledgement of another receiver, which is none of ours to store: it never passes a plugin, and is never
    /// acknowledged.
    fn stray_acknowledgement(&self, message: &Opened, id: &MessageId, decision: &mut Decision) {
        let why = "it acknowledges messages of a sender: the `from` of that sender's acknowledgements and the destination \
                   of this channel must differ";
        let signer = signer_field(message.signer());
        let (body, error) = (message.payload(), Code::Misdirected.because(why));
        let refusal = Refusal { id, signer: &signer, body, error: &error, findings: &[] };
        decision.elements = vec![self.set_aside("reject", &refusal)];
        decision.disposition = Disposition::Rejected { code: Code::Misdirected };
        decision.facts.reason = Some(why.to_owned());
    }

    /// Defers a message behind a deferred one of the same signer, before any plugin sees it.
    fn hold_back(&self, message: &Opened, id: &MessageId, decision: &mut Decision) {
        let signer = signer_field(message.signer());
        let error = Code::HeldBack.because("a message of the same signer is deferred");
        let refusal = Refusal { id, signer: &signer, body: message.payload(), error: &error, findings: &[] };
        decision.elements = vec![self.set_aside("deferred", &refusal)];
        decision.disposition = Disposition::Deferred { next: self.now, attempt: 0 };
        decision.facts.reason = Some(error);
        decision.held_back = true;
    }

    fn run_pipeline(&self, authorised: &Authorised, id: &MessageId) -> (Outcome, Vec<Verdict>) {
        let message = authorised.message();
        let facts = signer_facts(message.signer());
        let input = Input {
            message_id: id,
            destination: &self.snapshot.settings.destination,
            content_type: message.content_type(),
            signer: Some(&facts),
            received_at: milliseconds(self.received.at),
            attempt: self.received.attempt,
            transport_headers: self.received.headers,
            properties: &[],
        };
        let payload = message.payload();
        let Snapshot { meters, pipeline, .. } = self.snapshot;
        let run = || pipeline.run_noting(&input, payload);
        let (outcome, answers) = meters.time(Step::Pipeline, payload.len(), run);
        let verdicts = meters.verdicts(pipeline, &outcome, &answers);
        (outcome, verdicts)
    }

    fn settle(&self, outcome: Outcome, message: &Opened, id: &MessageId, decision: &mut Decision) {
        let signer = signer_field(message.signer());
        let payload = message.payload();
        let refusal = |error: &str, findings: &[Finding], queue: &str| -> NewElement {
            self.set_aside(queue, &Refusal { id, signer: &signer, body: payload, error, findings })
        };
        match outcome {
            Outcome::Pass { outputs, refused, findings } => {
                decision.elements = self.outputs(&outputs, message, id);
                decision.elements.extend(self.refused_parts(&refused, message, id));
                if outputs.is_empty() && !refused.is_empty() {
                    decision.disposition = Disposition::Rejected { code: Code::PluginInvalid };
                }
                decision.findings = findings;
                decision.findings.extend(refused.into_iter().flat_map(|part| part.findings));
            }
            Outcome::Dropped { finding, plugin } => {
                decision.disposition = Disposition::Dropped;
                decision.facts.reason = Some(format!("dropped by {plugin}: {finding}"));
                decision.findings = vec![finding];
                decision.plugin = Some(plugin);
            }
            Outcome::Invalid { findings, plugin } => {
                let why = format!("{plugin}: {}", summary(&findings));
                decision.elements = vec![refusal(&Code::PluginInvalid.because(&why), &findings, "reject")];
                decision.disposition = Disposition::Rejected { code: Code::PluginInvalid };
                decision.facts.reason = Some(why);
                decision.findings = findings;
                decision.plugin = Some(plugin);
            }
            Outcome::Retry { after, reason, plugin } => {
                let error = Code::PluginRetry.because(&format!("{plugin}: {reason}"));
                self.defer(&error, after, true, &refusal, decision);
                decision.plugin = Some(plugin);
            }
            Outcome::Failed { plugin, error } => {
                decision.paused = error.blame == Blame::Nothing;
                let counts = error.blame == Blame::Message;
                let error = Code::PluginFailed.because(&error.to_string());
                self.defer(&error, None, counts, &refusal, decision);
                decision.plugin = Some(plugin);
            }
        }
    }

    /// The pause of a message that waits for a fault on our side: as long as it has waited so far, so that pauses double.
    fn pause_for_us(&self) -> Duration {
        let repetition = &self.snapshot.settings.repetition;
        let waited = self.now.duration_since(self.received.at).unwrap_or_default();
        waited.clamp(repetition.back_off_min, repetition.back_off_max)
    }

    /// Defers the message, or rejects it after the last attempt. Only attempts that failed because of the message `count`.
    fn defer(
        &self,
        error: &str,
        after: Option<Duration>,
        counts: bool,
        refusal: &dyn Fn(&str, &[Finding], &str) -> NewElement,
        decision: &mut Decision,
    ) {
        let repetition = &self.snapshot.settings.repetition;
        let attempt = self.received.attempt;
        if counts && attempt >= repetition.attempts {
            let why = format!("after {attempt} attempts: {error}");
            decision.elements = vec![refusal(&Code::AttemptsExhausted.because(&why), &[], "reject")];
            decision.disposition = Disposition::Rejected { code: Code::AttemptsExhausted };
            decision.facts.reason = Some(why);
            return;
        }
        let pause = if counts { back_off(repetition, attempt) } else { self.pause_for_us() };
        let pause = pause.max(after.unwrap_or_default());
        decision.elements = vec![refusal(error, &[], "deferred")];
        let attempt = if counts { attempt } else { attempt - 1 };
        decision.disposition = Disposition::Deferred { next: self.now + pause, attempt };
        decision.facts.reason = Some(error.to_owned());
    }

    fn outputs(&self, outputs: &[Output], message: &Opened, id: &MessageId) -> Vec<NewElement> {
        let signer = signer_field(message.signer());
        let mut elements = Vec::with_capacity(outputs.len());
        for output in outputs {
            let part = output.part.map_or_else(|| id.clone(), |number| id.part(number));
            let body = output.payload.as_deref().unwrap_or_else(|| message.payload());
            for queue in targets(&self.snapshot.settings, &output.routes) {
                elements.push(NewElement {
                    queue,
                    fields: vec![
                        ("body", body.to_vec()),
                        ("signer", signer.clone().into_bytes()),
                        ("empaid", part.as_str().as_bytes().to_vec()),
                    ],
                });
            }
        }
        elements
    }

    fn refused_parts(&self, refused: &[Refused], message: &Opened, id: &MessageId) -> Vec<NewElement> {
        let signer = signer_field(message.signer());
        let element = |part: &Refused| {
            let error = Code::PluginInvalid.because(&format!("{}: {}", part.plugin, summary(&part.findings)));
            let body = part.payload.as_slice();
            let id = &id.part(part.part);
            self.set_aside("reject", &Refusal { id, signer: &signer, body, error: &error, findings: &part.findings })
        };
        refused.iter().map(element).collect()
    }

    fn set_aside(&self, queue: &str, refusal: &Refusal<'_>) -> NewElement {
        NewElement {
            queue: self.queue(queue),
            fields: vec![
                ("body", refusal.body.to_vec()),
                ("signer", refusal.signer.as_bytes().to_vec()),
                ("empaid", refusal.id.as_str().as_bytes().to_vec()),
                ("error", refusal.error.as_bytes().to_vec()),
                ("findings", findings_json(refusal.findings)),
                ("sealed", self.received.raw.to_vec()),
            ],
        }
    }
}

/// Whether no plugin was called because the channel is paused.
fn is_pause(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { error, .. } if error.blame == Blame::Nothing)
}

struct Refusal<'a> {
    id: &'a MessageId,
    signer: &'a str,
    body: &'a [u8],
    error: &'a str,
    findings: &'a [Finding],
}

/// The queues of an output, each once: those of its routes, or incoming if it has none.
pub(crate) fn targets(settings: &config::Receiver, routes: &[String]) -> Vec<PathBuf> {
    let incoming = settings.spool.join("incoming");
    let queue =
        |route: &String| settings.routes.get(route).map_or_else(|| incoming.clone(), |name| settings.spool.join(name));
    let mut targets: Vec<PathBuf> = routes.iter().map(queue).collect();
    if targets.is_empty() {
        targets.push(incoming);
    }
    targets.sort();
    targets.dedup();
    targets
}

/// The signer as the DN list writes it: the slash form if it is unambiguous, otherwise RFC 4514.
#[must_use]
pub fn signer_field(signer: &Signer) -> String {
    signer.subject.slash().unwrap_or_else(|| signer.subject.rfc4514())
}

/// The key of a signer in the journal: subject and issuer, as a DN list writes them.
pub(crate) fn signer_key(signer: &Signer) -> String {
    format!("{}{ISSUER}{}", signer.subject.line(), signer.issuer.line())
}

/// The subject in the key of a signer, as the log writes it.
#[must_use]
pub fn subject_of_key(key: &str) -> &str {
    key.split_once(ISSUER).map_or(key, |(subject, _)| subject)
}

/// The signer, as plugins see it.
fn signer_facts(signer: &Signer) -> SignerFacts {
    SignerFacts {
        subject: signer.subject.rfc4514(),
        subject_slash: signer.subject.slash(),
        issuer: signer.issuer.rfc4514(),
        serial: signer.serial.clone(),
        not_after: signer.not_after,
        certificate: signer.certificate_der.clone(),
    }
}

/// The queue directories of a channel, created at start-up.
#[must_use]
pub fn queues(settings: &config::Receiver) -> Vec<PathBuf> {
    let spool: &Path = &settings.spool;
    let mut queues: Vec<PathBuf> = ["incoming", "reject", "deferred"].iter().map(|name| spool.join(name)).collect();
    queues.extend(settings.routes.values().map(|name| spool.join(name)));
    queues.sort();
    queues.dedup();
    queues
}
