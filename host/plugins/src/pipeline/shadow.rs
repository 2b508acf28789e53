//! Plugins in shadow: they are called beside the pipeline, decide nothing, and their verdicts are compared.
//!
//! # Policy
//! - A shadow with `compare-to` gets the messages and parts that the stage of that name is called with, and is compared with
//!   its answer. Any other shadow gets what the stage at its place would get, and is compared with what becomes of it in the
//!   pipeline: accepted, rejected or dropped. Where the pipeline decides nothing, because a stage answers `retry` or fails,
//!   the message comes again, and the shadow is not called.
//! - Answers are the same if word, findings (code, record and field), content, headers and routes are.
//! - The thread that calls a stage copies the message for a shadow and goes on. A thread of the lowest priority calls the
//!   shadow, see `instance/worker`.
//! - A shadow takes a twentieth of a processor: see `instance/pace`. A message for which there is no room meanwhile is passed
//!   over, and counted.
//!
//! # Limits
//! Sixteen messages of each shadow wait. Of the differences the last fifty are kept, in memory, without content and values.

mod verdict;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use message::{Finding, locked};

use self::verdict::Verdict;
use super::stage::{Answer, Stage, Stop};
use super::{Outcome, StageInfo};
use crate::catalog::filter::Facts;
use crate::catalog::status::PluginStatus;
use crate::component::bindings::types::Message;
use crate::instance::answer::Bounds;
use crate::instance::pace::TimeBudget;
use crate::instance::worker::{Held, Worker};

/// Messages of a shadow that wait.
const WAITING: usize = 16;
/// Differences that are kept.
const EXAMPLES: usize = 50;

/// A plugin in shadow.
#[derive(Debug)]
pub(super) struct Shadow {
    pub(super) stage: Arc<Stage>,
    beside: Beside,
    compare_to: Option<String>,
    notes: Arc<Notes>,
}

/// Where a shadow gets its messages.
#[derive(Debug, PartialEq, Eq)]
enum Beside {
    /// With the stage of this number.
    Stage(usize),
    /// Before the stage of this number, or after the last.
    Pipeline(usize),
    /// Nowhere: the channel lacks the stage.
    Nothing,
}

/// What was counted and kept of a shadow of a channel.
#[derive(Debug)]
struct Notes {
    since: SystemTime,
    differences: AtomicU64,
    passed_over: AtomicU64,
    waiting: AtomicUsize,
    time: Mutex<TimeBudget>,
    examples: Mutex<VecDeque<Difference>>,
    worker: Worker,
}

/// A message for which a shadow answered otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// When.
    pub at: SystemTime,
    /// The id of the message.
    pub message: String,
    /// What the plugin or pipeline that serves answered.
    pub serving: String,
    /// What the shadow answered.
    pub shadow: String,
    /// The first finding that only one of them has, without its value.
    pub finding: Option<Finding>,
}

/// A shadow as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowInfo<'a> {
    /// The plugin; what was counted of its calls is in here.
    pub stage: StageInfo<'a>,
    /// The plugin that it is compared with; the whole pipeline, if none.
    pub compare_to: Option<&'a str>,
    /// Since when there are figures.
    pub since: SystemTime,
    /// How often its verdict differed.
    pub differences: u64,
    /// Messages that it was not called with, because it was busy.
    pub passed_over: u64,
}

/// A message that a shadow will be called with.
pub(super) struct Taken {
    shadow: Arc<Stage>,
    notes: Arc<Notes>,
    message: Message,
    _held: Held,
}

/// What the pipeline decided about a message that a shadow without `compare-to` got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fates {
    pub(super) accepted: bool,
    pub(super) rejected: bool,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            since: SystemTime::now(),
            differences: AtomicU64::new(0),
            passed_over: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            time: Mutex::default(),
            examples: Mutex::default(),
            worker: Worker::default(),
        }
    }
}

impl Shadow {
    /// The shadow `status` with `place` of these stages before it. Its figures go on if it is the same as in `before`.
    pub(super) fn new(status: &PluginStatus, place: usize, stages: &[Stage], before: &[Self]) -> Self {
        let compare_to = status.sidecar.as_ref().and_then(|sidecar| sidecar.compare_to.clone());
        let named = |stage: &Stage, name: &str| stage.name == name || stage.name.strip_suffix(".wasm") == Some(name);
        let beside = match &compare_to {
            None => Beside::Pipeline(place),
            Some(name) => stages.iter().position(|stage| named(stage, name)).map_or(Beside::Nothing, Beside::Stage),
        };
        let mut stage = Stage::new(status);
        stage.limits.yields = true;
        if stage.is_compiling() {
            stage.reason = Some("is being compiled".to_owned());
        }
        if let (Beside::Nothing, Some(name), None) = (&beside, &compare_to, &stage.reason) {
            stage.reason =
                Some(format!("is not called: `compare-to` names {name:?}, which this channel does not have"));
        }
        let named = before.iter().find(|old| old.stage.name == stage.name);
        if let Some(old) = named {
            stage.last_error = Arc::clone(&old.stage.last_error);
        }
        let same = named.filter(|old| old.stage.is_same(&stage) && old.compare_to == compare_to);
        let notes = same.map(|old| Arc::clone(&old.notes)).unwrap_or_default();
        if let Some(old) = same {
            stage.statistics = Arc::clone(&old.stage.statistics);
        }
        Self { stage: Arc::new(stage), beside, compare_to, notes }
    }

    /// Whether both are called alike and show the same to operators.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (a, b) = (&self.stage, &other.stage);
        let terms = self.beside == other.beside && self.compare_to == other.compare_to;
        let given = a.is_same(b) && a.has_terms_of(b) && a.resources.is_same(&b.resources);
        terms && given && a.state == b.state && a.reason == b.reason
    }

    /// Whether it gets what the stage `at` gets, to be compared with what the pipeline decides.
    pub(super) fn is_before(&self, at: usize) -> bool {
        self.beside == Beside::Pipeline(at)
    }

    /// Whether it is compared with the stage `at`.
    pub(super) fn is_of(&self, at: usize) -> bool {
        self.beside == Beside::Stage(at)
    }

    pub(super) fn info(&self) -> ShadowInfo<'_> {
        ShadowInfo {
            stage: self.stage.info(),
            compare_to: self.compare_to.as_deref(),
            since: self.notes.since,
            differences: self.notes.differences.load(Ordering::Relaxed),
            passed_over: self.notes.passed_over.load(Ordering::Relaxed),
        }
    }

    /// The last messages for which its verdict differed, the newest last.
    pub(super) fn examples(&self) -> Vec<Difference> {
        locked(&self.notes.examples).iter().cloned().collect()
    }

    /// Whether no message waits for it.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.notes.waiting.load(Ordering::Acquire) == 0
    }

    /// A copy of the message, if the shadow applies to it and has room.
    pub(super) fn take(&self, message: &Message, facts: &Facts<'_>) -> Option<Taken> {
        let loaded = self.stage.component.as_ref()?;
        if !self.stage.filter.matches(facts) {
            return None;
        }
        let held = self.notes.has_room().then(|| loaded.shadow_budget.hold(message.payload.len())).flatten();
        let Some(held) = held else {
            self.notes.pass_over();
            return None;
        };
        self.notes.waiting.fetch_add(1, Ordering::Relaxed);
        let (shadow, notes) = (Arc::clone(&self.stage), Arc::clone(&self.notes));
        Some(Taken { shadow, notes, message: message.clone(), _held: held })
    }
}

impl Notes {
    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < WAITING
    }

    fn pass_over(&self) {
        self.passed_over.fetch_add(1, Ordering::Relaxed);
    }

    fn differ(&self, difference: Difference) {
        self.differences.fetch_add(1, Ordering::Relaxed);
        let mut examples = locked(&self.examples);
        if examples.len() == EXAMPLES {
            examples.pop_front();
        }
        examples.push_back(difference);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.notes.waiting.fetch_sub(1, Ordering::Release);
    }
}

impl Taken {
    /// Has the shadow called, and its answer compared with that of the stage beside it, if that gave one.
    pub(super) fn compare_with(self, answer: &Result<Answer, Stop>, limits: Limits) {
        if let Some(serving) = Verdict::of(answer) {
            self.submit(serving, limits);
        }
    }

    /// The same for the outcome of the whole pipeline.
    pub(super) fn compare_with_pipeline(self, outcome: &Outcome, fates: Fates, limits: Limits) {
        if let Some(serving) = Verdict::of_pipeline(outcome, fates) {
            self.submit(serving, limits);
        }
    }

    fn submit(self, serving: Verdict, limits: Limits) {
        let notes = Arc::clone(&self.notes);
        if !notes.worker.submit(Box::new(move || self.call(&serving, &limits)), WAITING) {
            notes.pass_over();
        }
    }

    /// Calls the shadow; on the thread of the worker.
    fn call(self, serving: &Verdict, limits: &Limits) {
        let rest = locked(&self.notes.time).rest(Instant::now());
        std::thread::sleep(rest);
        let bounds = Bounds {
            max_payload: limits.max_payload,
            output: self.shadow.limits.output,
            routes: limits.routes.as_slice(),
        };
        let started = Instant::now();
        let answer = self.shadow.call(&self.message, &bounds);
        locked(&self.notes.time).spend(Instant::now(), started.elapsed());
        let shadow = match Verdict::of(&answer) {
            Some(verdict) if serving.is_of_pipeline() => verdict.into_pipeline(),
            Some(verdict) => verdict,
            None => return,
        };
        if let Some((words, others, finding)) = serving.difference(&shadow) {
            let message = self.message.context.message_id.clone();
            self.notes.differ(Difference { at: SystemTime::now(), message, serving: words, shadow: others, finding });
        }
    }
}

/// What bounds an answer in the channel.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) max_payload: usize,
    pub(super) routes: Arc<Vec<String>>,
}
