//! One stage: its settings, its component, and one call of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::answered::Answered;
use super::health::Health;
use super::statistics::{Ending, LastError, Limit, Statistics};
use super::{Blame, ReadyStage, StageError, StageInfo, redact};
use crate::catalog::filter::{Facts, Filter};
use crate::catalog::settings::OnError;
use crate::catalog::sidecar::Sidecar;
use crate::catalog::status::{PluginState, PluginStatus};
use crate::component::bindings::transformer::{Output, Part, Verdict};
use crate::component::bindings::types::{Failure, Message};
use crate::component::builtin::PASSTHROUGH;
use crate::instance::answer::{self, AnswerError, Bounds};
use crate::instance::limits::Limits;
use crate::instance::{Fault, Loaded, Running};
use crate::resources::Resources;
use crate::text::{clean, clean_lines};
use message::{Finding, hex};

/// A stage of a pipeline.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) filter: Filter,
    pub(super) on_error: OnError,
    pub(super) limits: Limits,
    /// The plugin's configuration, with references to secrets.
    pub(super) config: serde_json::Value,
    /// The same with the secrets, and its tables.
    pub(super) resources: Resources,
    pub(super) state: PluginState,
    /// The component in service. A stage without one fails for every message.
    pub(super) component: Option<Arc<Loaded>>,
    /// What is wrong with its files, if anything.
    pub(super) reason: Option<String>,
    pub(super) health: Arc<Health>,
    pub(super) statistics: Arc<Statistics>,
    /// The last failure, also of an earlier component or configuration under this name.
    pub(super) last_error: Arc<LastError>,
    /// Since when a file of it is being compiled, if one is.
    pub(super) loading: Option<SystemTime>,
    /// Peak memory of an instance, bytes.
    pub(super) peak_memory: AtomicU64,
    /// Whether its answer is known: it is [`PASSTHROUGH`].
    lets_through: bool,
}

/// The answer of a stage for one message, checked.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) findings: Vec<Finding>,
    pub(super) change: Change,
}

/// What happens to the message.
#[derive(Debug)]
pub(super) enum Change {
    /// It stays as it is, with these routes.
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

/// Why a message does not go on to the next stage.
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

/// Why a stage that is being compiled cannot answer.
const COMPILING: &str = "is being compiled; the messages it applies to wait until it is ready";

fn ending(answer: &Result<Answer, Stop>) -> Ending {
    match answer {
        Ok(_) => Ending::Answered,
        Err(Stop::Invalid(_)) => Ending::Rejected,
        Err(Stop::Retry { .. }) => Ending::Retry,
        Err(Stop::Fault(_)) => Ending::Failed,
    }
}

impl Stage {
    pub(super) fn new(status: &PluginStatus) -> Self {
        let Sidecar { filter, on_error, limits, config, .. } = status.settings();
        Self {
            name: status.name.clone(),
            filter,
            on_error,
            limits,
            config,
            resources: status.resources.clone(),
            state: status.state,
            component: status.component.clone(),
            reason: status.reason.clone(),
            health: Arc::default(),
            statistics: Arc::default(),
            last_error: Arc::default(),
            loading: status.loading,
            peak_memory: AtomicU64::new(0),
            lets_through: status.name == PASSTHROUGH,
        }
    }

    pub(super) fn info(&self) -> StageInfo<'_> {
        let ready = self.component.as_ref().map(|loaded| ReadyStage {
            roles: loaded.roles(),
            powers: loaded.powers,
            description: &loaded.description,
            sha256: hex(&loaded.sha256),
            contract: &loaded.built_for.version,
            peak_memory: self.peak_memory.load(Ordering::Relaxed),
            tables: self
                .resources
                .tables
                .iter()
                .map(|granted| (granted.name.as_str(), hex(granted.table.sha256())))
                .collect(),
        });
        StageInfo {
            name: &self.name,
            state: self.state,
            ready,
            reason: self.reason(),
            figures: self.statistics.figures(),
            loading: self.loading,
            last_error: self.last_error.get(),
        }
    }

    fn reason(&self) -> Option<&str> {
        self.reason.as_deref().or_else(|| self.is_compiling().then_some(COMPILING))
    }

    /// Whether it is being compiled and applies to every message of its channel that goes to or came from `destination`.
    pub(super) fn holds(&self, destination: &str) -> bool {
        let filter = &self.filter;
        let all = filter.signer.is_none() && filter.content_type.is_none();
        let facts = Facts { destination, signer: &[], content_type: None };
        self.is_compiling() && all && filter.matches(&facts)
    }

    pub(super) fn is_compiling(&self) -> bool {
        self.state == PluginState::Compiling
    }

    /// Whether it is the same component under the same name with the same configuration.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let component = |stage: &Self| stage.component.as_ref().map(|loaded| loaded.sha256);
        self.name == other.name && self.config == other.config && component(self) == component(other)
    }

    /// Whether it also applies to the same messages with the same limits, so that its earlier failures still count.
    pub(super) fn has_terms_of(&self, other: &Self) -> bool {
        self.filter == other.filter && self.on_error == other.on_error && self.limits == other.limits
    }

    pub(super) fn broken(&self) -> Option<StageError> {
        if self.component.is_some() {
            return None;
        }
        Some(self.error(Fault::Broken(self.reason().unwrap_or("is not loaded").to_owned())))
    }

    pub(super) fn error(&self, fault: Fault) -> StageError {
        StageError { plugin: self.name.clone(), fault, blame: Blame::Plugin }
    }

    /// Whether its answer is known before it is called: an instance for each message would only say it.
    pub(super) fn lets_through(&self) -> bool {
        self.lets_through && self.component.is_some()
    }

    /// Counts a message that it lets through.
    pub(super) fn let_through(&self) -> Answered {
        self.statistics.count(Ending::Answered, Duration::ZERO);
        Answered::from(&Change::Kept(Vec::new()))
    }

    /// Calls the stage with one message. If the host panics during the call, the call fails; the process goes on.
    pub(super) fn call(&self, message: &Message, bounds: &Bounds<'_>) -> Result<Answer, Stop> {
        let Some(loaded) = &self.component else {
            return Err(self.broken().map_or_else(|| Fault::Host("no component".into()), |e| e.fault).into());
        };
        if self.lets_through {
            self.let_through();
            return Ok(Answer { findings: Vec::new(), change: Change::Kept(Vec::new()) });
        }
        let started = Instant::now();
        let called = catch_unwind(AssertUnwindSafe(|| self.call_instance(loaded, message, bounds)));
        let answer = called.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            Err(Fault::Host(clean(text, 400)).into())
        });
        let answer = redact::answer(answer, self.resources.config.redaction());
        self.statistics.count(ending(&answer), started.elapsed());
        if let Err(Stop::Fault(fault)) = &answer {
            Limit::of(fault).into_iter().for_each(|limit| self.statistics.count_limit(limit));
            self.last_error.note(fault.to_string());
        }
        answer
    }

    fn call_instance(&self, loaded: &Loaded, message: &Message, bounds: &Bounds<'_>) -> Result<Answer, Stop> {
        let mut running = Running::start(loaded, &self.name, Some(message), &self.limits, &self.resources)?;
        let answer = self.call_running(&mut running, message, bounds);
        self.peak_memory.fetch_max(running.memory(), Ordering::Relaxed);
        answer
    }

    fn call_running(&self, running: &mut Running<'_>, message: &Message, bounds: &Bounds<'_>) -> Result<Answer, Stop> {
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
        let change = self.change(running, message, verdict, bounds)?;
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
