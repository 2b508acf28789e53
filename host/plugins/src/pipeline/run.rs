//! The run of one message through the stages.

use std::sync::Arc;
use std::time::Instant;

use super::health::Failed;
use super::shadow::{self, Fates, Taken};
use super::stage::{Answer, Change, Piece, RefusedPiece, Stage, Stop};
use super::{Answered, Answers, Blame, Input, Outcome, Pause, Pipeline, Refused};
use crate::catalog::filter::Facts;
use crate::catalog::settings::OnError;
use crate::component::bindings::types::{self, Message};
use crate::instance::Fault;
use crate::instance::answer::{AnswerError, Bounds, MAX_PARTS, note};
use message::{Direction, Finding, Output, Severity};

impl Pipeline {
    /// Runs a message through all stages that apply to it. Blocks; call it on a thread of its own.
    #[must_use]
    pub fn run(&self, input: &Input<'_>, payload: &[u8]) -> Outcome {
        self.run_noting(input, payload).0
    }

    /// The same, with what each stage answered.
    #[must_use]
    pub fn run_noting(&self, input: &Input<'_>, payload: &[u8]) -> (Outcome, Answers) {
        if let Some(Pause { error, .. }) = self.pause(Instant::now()) {
            return (Outcome::Failed { plugin: error.plugin.clone(), error }, Answers::default());
        }
        let mut called = Vec::with_capacity(self.stages.len());
        let mut outcome = self.pass(input, payload, &mut called);
        self.record(&mut outcome, &called, input, payload);
        (outcome, Answers(called))
    }

    /// The plugins that were called, in order, each with the word for its answer.
    pub fn words<'a>(&'a self, answers: &'a Answers) -> impl Iterator<Item = (&'a str, &'static str)> {
        let answered = self.stages.iter().zip(&answers.0);
        answered.filter_map(|(stage, answered)| Some((stage.name.as_str(), answered.as_ref()?.word())))
    }

    /// Takes the message through the stages. `called` gets an entry for each stage that was reached: its answer, if it was
    /// called.
    fn pass(&self, input: &Input<'_>, payload: &[u8], called: &mut Vec<Option<Answered>>) -> Outcome {
        let names = signer_names(input);
        let facts = Facts { destination: input.destination, signer: &names, content_type: input.content_type };
        let certain = |stage: &Stage| !stage.filter.matches(&facts) || stage.lets_through();
        if self.shadows.is_empty() && self.stages.iter().all(certain) {
            let answer = |stage: &Stage| stage.filter.matches(&facts).then(|| stage.let_through());
            called.extend(self.stages.iter().map(answer));
            let output = Output { payload: None, content_type: None, headers: vec![], routes: vec![], part: None };
            return Outcome::Pass { outputs: vec![output], refused: vec![], findings: vec![] };
        }
        let mut work = Work {
            pipeline: self,
            input,
            names: &names,
            started: Instant::now(),
            leaves: vec![Leaf::new(self.message(input, payload))],
            findings: Vec::new(),
            dropped: None,
            taken: Vec::new(),
        };
        for (at, stage) in self.stages.iter().enumerate() {
            work.show_to_shadows(at);
            match work.pass_through(at, stage) {
                Ok(answered) => called.push(answered),
                Err(outcome) => {
                    called.push(Some(Answered::last(&outcome)));
                    work.compare(&outcome);
                    return *outcome;
                }
            }
        }
        work.show_to_shadows(self.stages.len());
        work.finish()
    }

    /// What bounds the answers of shadows.
    fn shadow_limits(&self) -> shadow::Limits {
        shadow::Limits { max_payload: self.max_payload, routes: Arc::clone(&self.routes) }
    }

    /// Records the result of each stage, and decides what a failure counts against.
    fn record(&self, outcome: &mut Outcome, called: &[Option<Answered>], input: &Input<'_>, payload: &[u8]) {
        let now = Instant::now();
        let failed = match outcome {
            Outcome::Failed { error, .. } => Some(error),
            _ => None,
        };
        let answered = called.len() - usize::from(failed.is_some());
        for (at, stage) in self.stages.iter().enumerate() {
            if at < answered && called.get(at).is_some_and(Option::is_some) {
                if stage.health.answered() {
                    tracing::info!(channel = %self.channel, plugin = %stage.name, "plugin answers again");
                }
            } else if failed.is_none() {
                stage.health.bypassed(now);
            }
        }
        if let (Some(error), Some(stage)) = (failed, self.stages.get(answered)) {
            error.blame = match stage.is_compiling() {
                // Waiting for the compiler is no failure: no pause, no attempt counted.
                true if stage.holds(input.destination) => Blame::Nothing,
                true => Blame::Plugin,
                false => stage.health.failed(Failed::of(input, payload), &error.fault, now),
            };
        }
    }

    fn message(&self, input: &Input<'_>, payload: &[u8]) -> Message {
        let mut properties = input.properties.to_vec();
        properties.push(("max-payload-bytes".to_owned(), self.max_payload.to_string()));
        let context = types::Context {
            direction: match self.direction {
                Direction::Outbound => types::Direction::Outbound,
                Direction::Inbound => types::Direction::Inbound,
            },
            message_id: input.message_id.as_str().to_owned(),
            channel: self.channel.clone(),
            destination: input.destination.to_owned(),
            content_type: input.content_type.map(str::to_owned),
            signer: input.signer.map(signer),
            received_at: input.received_at,
            attempt: input.attempt,
            transport_headers: input.transport_headers.to_vec(),
            properties,
        };
        Message { context, payload: payload.to_vec() }
    }
}

fn signer(facts: &super::SignerFacts) -> types::Signer {
    let slash = facts.subject_slash.iter().map(|dn| ("subject-slash".to_owned(), dn.clone()));
    types::Signer {
        subject: facts.subject.clone(),
        issuer: facts.issuer.clone(),
        serial: facts.serial.clone(),
        not_after: facts.not_after,
        certificate: facts.certificate.clone(),
        properties: slash.collect(),
    }
}

/// Both forms of the signer's name, for the filters.
fn signer_names<'a>(input: &Input<'a>) -> Vec<&'a str> {
    let forms = input.signer.map(|signer| [Some(signer.subject.as_str()), signer.subject_slash.as_deref()]);
    forms.into_iter().flatten().flatten().collect()
}

/// What filters look at in a message, or in a part of it.
fn facts_of<'m>(input: &Input<'m>, names: &'m [&'m str], message: &'m Message) -> Facts<'m> {
    let content_type = message.context.content_type.as_deref();
    Facts { destination: input.destination, signer: names, content_type }
}

/// The message, or one part of it, between two stages.
struct Leaf {
    message: Message,
    changed: bool,
    retyped: bool,
    is_part: bool,
    headers: Vec<(String, String)>,
    routes: Vec<String>,
    /// The messages that shadows got, among those of [`Work`], that this leaf was made from.
    seen: Vec<usize>,
    /// Set once it was refused; later stages are not called with it.
    refused: Option<(Vec<Finding>, String)>,
}

impl Leaf {
    fn new(message: Message) -> Self {
        Self {
            message,
            changed: false,
            retyped: false,
            is_part: false,
            headers: Vec::new(),
            routes: Vec::new(),
            seen: Vec::new(),
            refused: None,
        }
    }

    /// This leaf after one stage replaced it. Headers set earlier are kept unless the stage sets them again.
    fn replaced(&self, piece: Piece) -> Self {
        let mut headers = self.headers.clone();
        for (name, value) in piece.headers {
            headers.retain(|(earlier, _)| !earlier.eq_ignore_ascii_case(&name));
            headers.push((name, value));
        }
        let mut leaf = Self {
            retyped: self.retyped || piece.message.context.content_type != self.message.context.content_type,
            changed: true,
            is_part: self.is_part,
            headers,
            routes: self.routes.clone(),
            seen: self.seen.clone(),
            refused: None,
            message: piece.message,
        };
        leaf.add_routes(piece.routes);
        leaf
    }

    fn refused(&self, piece: RefusedPiece, plugin: &str) -> Self {
        let piece_of = Piece { message: piece.message, headers: Vec::new(), routes: Vec::new() };
        Self { refused: Some((piece.findings, plugin.to_owned())), ..self.replaced(piece_of) }
    }

    fn add_routes(&mut self, routes: Vec<String>) {
        for route in routes {
            if !self.routes.contains(&route) {
                self.routes.push(route);
            }
        }
    }

    /// Sets the number of the part, for later stages.
    fn mark(&mut self, number: usize) {
        self.is_part = true;
        self.message.context.properties.retain(|(name, _)| name != "part");
        self.message.context.properties.push(("part".to_owned(), number.to_string()));
    }
}

/// The state of one message in the pipeline.
struct Work<'a> {
    pipeline: &'a Pipeline,
    input: &'a Input<'a>,
    /// Those of the signer.
    names: &'a [&'a str],
    started: Instant,
    leaves: Vec<Leaf>,
    findings: Vec<Finding>,
    dropped: Option<(Finding, String)>,
    /// What shadows got that are compared with the whole pipeline.
    taken: Vec<Taken>,
}

type Ended = Box<Outcome>;

/// That the message, or a part of it, goes on or was refused.
const PASSED: Outcome = Outcome::Pass { outputs: Vec::new(), refused: Vec::new(), findings: Vec::new() };

impl Work<'_> {
    /// Calls the stage with every leaf it applies to; the most notable of its answers, none if there is no such leaf.
    fn pass_through(&mut self, at: usize, stage: &Stage) -> Result<Option<Answered>, Ended> {
        let mut answered = None;
        for leaf in std::mem::take(&mut self.leaves) {
            if leaf.refused.is_some() || !stage.filter.matches(&facts_of(self.input, self.names, &leaf.message)) {
                self.leaves.push(leaf);
            } else {
                answered = answered.max(Some(self.call(at, stage, leaf)?));
            }
            if self.leaves.len() > MAX_PARTS {
                let error = stage.error(Fault::AnswerRefused(AnswerError::TooManyParts));
                return Err(Box::new(Outcome::Failed { plugin: stage.name.clone(), error }));
            }
        }
        Ok(answered)
    }

    /// Shows the message, as it is before the stage `at`, to the shadows there.
    fn show_to_shadows(&mut self, at: usize) {
        for shadow in self.pipeline.shadows.iter().filter(|shadow| shadow.is_before(at)) {
            for leaf in self.leaves.iter_mut().filter(|leaf| leaf.refused.is_none()) {
                let facts = facts_of(self.input, self.names, &leaf.message);
                if let Some(taken) = shadow.take(&leaf.message, &facts) {
                    leaf.seen.push(self.taken.len());
                    self.taken.push(taken);
                }
            }
        }
    }

    /// Has shadows called whose answers are compared with what the pipeline decides.
    fn compare(&mut self, outcome: &Outcome) {
        let mut fates = vec![Fates::default(); self.taken.len()];
        for leaf in &self.leaves {
            for at in &leaf.seen {
                let Some(fate) = fates.get_mut(*at) else { continue };
                fate.rejected |= leaf.refused.is_some();
                fate.accepted |= leaf.refused.is_none();
            }
        }
        for (taken, fates) in self.taken.drain(..).zip(fates) {
            taken.compare_with_pipeline(outcome, fates, self.pipeline.shadow_limits());
        }
    }

    /// Copies of a message for the shadows that are compared with the stage `at`.
    fn taken_beside(&self, at: usize, message: &Message) -> Vec<Taken> {
        let facts = facts_of(self.input, self.names, message);
        let beside = self.pipeline.shadows.iter().filter(|shadow| shadow.is_of(at));
        beside.filter_map(|shadow| shadow.take(message, &facts)).collect()
    }

    fn call(&mut self, at: usize, stage: &Stage, leaf: Leaf) -> Result<Answered, Ended> {
        let limit = self.pipeline.total_time;
        if self.started.elapsed() > limit {
            let error = stage.error(Fault::TotalTime { limit });
            return Err(Box::new(Outcome::Failed { plugin: stage.name.clone(), error }));
        }
        let pipeline = self.pipeline;
        let bounds =
            Bounds { max_payload: pipeline.max_payload, output: stage.limits.output, routes: &pipeline.routes };
        let beside = self.taken_beside(at, &leaf.message);
        let answer = stage.call(&leaf.message, &bounds);
        beside.into_iter().for_each(|taken| taken.compare_with(&answer, pipeline.shadow_limits()));
        match answer {
            Ok(answer) => {
                let answered = Answered::from(&answer.change);
                self.take(stage, leaf, answer);
                Ok(answered)
            }
            Err(Stop::Invalid(findings)) => self.refuse(stage, leaf, findings).map(|()| Answered::Rejected),
            Err(Stop::Retry { after, reason }) => {
                Err(Box::new(Outcome::Retry { after, reason, plugin: stage.name.clone() }))
            }
            Err(Stop::Fault(fault)) => self.fail(stage, leaf, fault).map(|()| Answered::Failed),
        }
    }

    fn take(&mut self, stage: &Stage, mut leaf: Leaf, answer: Answer) {
        self.findings.extend(answer.findings);
        match answer.change {
            Change::Kept(routes) => {
                leaf.add_routes(routes);
                self.leaves.push(leaf);
            }
            Change::Replaced(piece) => self.leaves.push(leaf.replaced(*piece)),
            Change::Split(pieces) => {
                for (at, piece) in pieces.into_iter().enumerate() {
                    let mut part = match piece {
                        Ok(piece) => leaf.replaced(piece),
                        Err(piece) => leaf.refused(piece, &stage.name),
                    };
                    part.mark(at + 1);
                    self.leaves.push(part);
                }
            }
            Change::Dropped(finding) => {
                if leaf.is_part {
                    self.findings.push(finding.clone());
                }
                self.dropped = Some((finding, stage.name.clone()));
            }
        }
    }

    /// A whole message becomes invalid; a part joins the refused parts.
    fn refuse(&mut self, stage: &Stage, mut leaf: Leaf, findings: Vec<Finding>) -> Result<(), Ended> {
        if !leaf.is_part {
            return Err(Box::new(Outcome::Invalid { findings, plugin: stage.name.clone() }));
        }
        leaf.refused = Some((findings, stage.name.clone()));
        self.leaves.push(leaf);
        Ok(())
    }

    fn fail(&mut self, stage: &Stage, leaf: Leaf, fault: Fault) -> Result<(), Ended> {
        let error = stage.error(fault);
        let broken = stage.component.is_none();
        match stage.on_error {
            OnError::Pass if !broken => {
                self.findings.push(note(Severity::Warning, "plugin.failed", error.to_string()));
                self.leaves.push(leaf);
                Ok(())
            }
            OnError::Reject if !broken => {
                let finding = note(Severity::Error, "plugin.failed", error.to_string());
                self.refuse(stage, leaf, vec![finding])
            }
            _ => Err(Box::new(Outcome::Failed { plugin: stage.name.clone(), error })),
        }
    }

    fn finish(mut self) -> Outcome {
        if let (true, Some((finding, plugin))) = (self.leaves.is_empty(), self.dropped.take()) {
            let outcome = Outcome::Dropped { finding, plugin };
            self.compare(&outcome);
            return outcome;
        }
        self.compare(&PASSED);
        let (mut outputs, mut refused) = (Vec::new(), Vec::new());
        for (at, leaf) in self.leaves.into_iter().enumerate() {
            let part = at + 1;
            let Message { context, payload } = leaf.message;
            match leaf.refused {
                Some((findings, plugin)) => {
                    refused.push(Refused { payload, content_type: context.content_type, findings, plugin, part });
                }
                None => outputs.push(Output {
                    payload: leaf.changed.then_some(payload),
                    content_type: context.content_type.filter(|_| leaf.retyped),
                    headers: leaf.headers,
                    routes: leaf.routes,
                    part: leaf.is_part.then_some(part),
                }),
            }
        }
        Outcome::Pass { outputs, refused, findings: self.findings }
    }
}
