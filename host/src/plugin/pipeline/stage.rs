//! One stage: its settings and its component, and one question put to it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{ReadyStage, StageError, StageInfo};
use crate::config::OnError;
use crate::message::{Finding, hex};
use crate::plugin::answer::{self, AnswerError, Bounds};
use crate::plugin::bindings::transformer::{Output, Part, Verdict};
use crate::plugin::bindings::types::{Failure, Message};
use crate::plugin::component::Loaded;
use crate::plugin::filter::Filter;
use crate::plugin::instance::{Fault, Running};
use crate::plugin::limits::Limits;
use crate::plugin::sidecar::SideCar;
use crate::plugin::text::{clean, clean_lines};

/// A stage of a pipeline.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) filter: Filter,
    pub(super) on_error: OnError,
    pub(super) limits: Limits,
    /// The plugin's configuration, JSON.
    pub(super) config: String,
    pub(super) state: State,
}

/// Whether a stage can answer.
pub(super) enum State {
    Ready(Arc<Loaded>),
    Broken(String),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(loaded) => write!(f, "Ready({})", hex(&loaded.sha256)),
            Self::Broken(reason) => write!(f, "Broken({reason:?})"),
        }
    }
}

/// What a stage says about one message, every word of it checked.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) findings: Vec<Finding>,
    pub(super) change: Change,
}

/// What becomes of the message.
#[derive(Debug)]
pub(super) enum Change {
    /// It stays, with these routes.
    Kept(Vec<String>),
    Replaced(Box<Piece>),
    Split(Vec<Result<Piece, RefusedPiece>>),
    Dropped(Finding),
}

/// New content and its routes.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) message: Message,
    pub(super) headers: Vec<(String, String)>,
    pub(super) routes: Vec<String>,
}

/// Content that goes to the reject queue.
#[derive(Debug)]
pub(super) struct RefusedPiece {
    pub(super) message: Message,
    pub(super) findings: Vec<Finding>,
}

/// Why a stage did not let a message on.
#[derive(Debug)]
pub(super) enum Stop {
    Invalid(Vec<Finding>),
    Retry { after: Option<Duration>, reason: String },
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<AnswerError> for Stop {
    fn from(error: AnswerError) -> Self {
        Self::Fault(Fault::AnswerRefused(error))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid(findings) => match answer::refusal(findings) {
                Ok(findings) => Self::Invalid(findings),
                Err(error) => error.into(),
            },
            Failure::Retry(delay) => Self::Retry {
                after: delay.after.map(|millis| Duration::from_millis(millis.into())),
                reason: clean_lines(&delay.reason, 1000),
            },
            Failure::Internal(text) => Self::Fault(Fault::Internal(clean_lines(&text, 1000))),
        }
    }
}

impl Stage {
    pub(super) fn new(name: String, side_car: SideCar, state: State) -> Self {
        let SideCar { filter, on_error, limits, config, .. } = side_car;
        Self { name, filter, on_error, limits, config: config.to_string(), state }
    }

    pub(super) fn info(&self) -> StageInfo<'_> {
        let state = match &self.state {
            State::Ready(loaded) => {
                let (roles, sha256) = (loaded.roles(), hex(&loaded.sha256));
                Ok(ReadyStage { roles, description: &loaded.description, sha256, contract: &loaded.spoken.version })
            }
            State::Broken(reason) => Err(reason.as_str()),
        };
        StageInfo { name: &self.name, state }
    }

    pub(super) fn broken(&self) -> Option<StageError> {
        match &self.state {
            State::Ready(_) => None,
            State::Broken(reason) => Some(self.error(Fault::Broken(reason.clone()))),
        }
    }

    pub(super) fn error(&self, fault: Fault) -> StageError {
        StageError { plugin: self.name.clone(), fault }
    }

    /// Puts one message to the stage. A panic of the host's own on the way ends this question and not the process.
    pub(super) fn ask(&self, message: &Message, bounds: &Bounds<'_>) -> Result<Answer, Stop> {
        let State::Ready(loaded) = &self.state else {
            return Err(self.broken().map_or_else(|| Fault::Host("no state".into()), |e| e.fault).into());
        };
        catch_unwind(AssertUnwindSafe(|| self.ask_instance(loaded, message, bounds))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            Err(Fault::Host(clean(text, 400)).into())
        })
    }

    fn ask_instance(&self, loaded: &Loaded, message: &Message, bounds: &Bounds<'_>) -> Result<Answer, Stop> {
        let (id, size) = (message.context.message_id.as_str(), message.payload.len());
        let mut running = Running::start(loaded, &self.name, id, &self.limits, size, &self.config)?;
        let mut findings = match running.validate(message)? {
            Some(verdict) => answer::findings(verdict?),
            None => Vec::new(),
        };
        let verdict = match running.transform(message)? {
            Some(transformed) => {
                let transformed = transformed?;
                findings.extend(answer::findings(transformed.findings));
                transformed.verdict
            }
            None => Verdict::Unchanged,
        };
        let change = self.change(&mut running, message, verdict, bounds)?;
        Ok(Answer { findings, change })
    }

    fn change(
        &self,
        running: &mut Running<'_>,
        message: &Message,
        verdict: Verdict,
        bounds: &Bounds<'_>,
    ) -> Result<Change, Stop> {
        Ok(match verdict {
            Verdict::Unchanged => Change::Kept(routes(running, message, bounds)?),
            Verdict::Replaced(output) => {
                answer::output(&output, bounds)?;
                Change::Replaced(Box::new(piece(running, message, output, bounds)?))
            }
            Verdict::Split(parts) => {
                answer::parts(&parts, bounds)?;
                let parts = parts.into_iter().map(|part| split_part(running, message, part, bounds));
                Change::Split(parts.collect::<Result<_, Stop>>()?)
            }
            Verdict::Dropped(finding) => Change::Dropped(answer::finding(finding)),
        })
    }
}

fn routes(running: &mut Running<'_>, message: &Message, bounds: &Bounds<'_>) -> Result<Vec<String>, Stop> {
    match running.route(message)? {
        Some(routes) => Ok(answer::routes(routes?, bounds)?),
        None => Ok(Vec::new()),
    }
}

fn piece(running: &mut Running<'_>, message: &Message, output: Output, bounds: &Bounds<'_>) -> Result<Piece, Stop> {
    let (message, headers) = changed(message, output);
    let routes = routes(running, &message, bounds)?;
    Ok(Piece { message, headers, routes })
}

fn split_part(
    running: &mut Running<'_>,
    message: &Message,
    part: Part,
    bounds: &Bounds<'_>,
) -> Result<Result<Piece, RefusedPiece>, Stop> {
    match part.refused {
        None => piece(running, message, part.content, bounds).map(Ok),
        Some(findings) => {
            let (message, _) = changed(message, part.content);
            Ok(Err(RefusedPiece { message, findings: answer::refusal(findings)? }))
        }
    }
}

/// The message with new content, and the headers to set.
fn changed(message: &Message, output: Output) -> (Message, Vec<(String, String)>) {
    let mut context = message.context.clone();
    if let Some(content_type) = output.content_type {
        context.content_type = Some(content_type);
    }
    (Message { context, payload: output.payload }, output.set_headers)
}
