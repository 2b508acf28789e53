//! What is next to be sent: passes through the queue, batch after batch.
//!
//! A batch is locked, read and run through the pipeline on blocking threads; what is refused goes to the reject queue
//! first, then the pipeline's answers are made durable together, and only then is a message [`Prepared`]. While a plugin
//! fails for every message nothing is taken up; then one element at a time is tried. While a plugin that applies to every
//! message is being compiled nothing is taken up either, however long that takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::Stay;
use super::backlog::Backlog;
use super::fitness::Fitness;
use super::postponed::{Postponed, WaitsFor};
use super::prepare::{Examined, Preparation, Prepared};
use super::report::{Became, Report};
use super::settle::Settlement;
use crate::channel::{ActivePipeline, Channel, Gate, log_pause};
use crate::config;
use crate::shutdown::Shutdown;
use message::Fate;
use message::cause::chain;
use message::daily::Condition;
use spool::ElementName;

/// Elements that are prepared together.
const BATCH: usize = 64;
/// How often a sender without `--watch` checks a file that may still be incomplete.
const SETTLING_LOOK: Duration = Duration::from_millis(200);
/// How long a sender waits when its journal cannot be written.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// Whether messages may be taken up.
enum Plugins {
    /// The pipeline includes all plugins in the folder, and none of them holds all messages.
    Ready,
    /// One that applies to every message was compiled, or is still where a stop was asked for.
    Compiled,
    /// The pipeline cannot be brought up to date now.
    Unknown,
}

/// Prepares messages ahead of the window, for as long as a session lasts.
#[derive(Debug)]
pub(super) struct Supply {
    pub(super) channel: Channel,
    pub(super) settings: Arc<config::Sender>,
    pub(super) pipeline: Arc<ActivePipeline>,
    pub(super) gate: Arc<Gate>,
    pub(super) fitness: Arc<Fitness>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) preparation: Arc<Preparation>,
    pub(super) settlement: Arc<Settlement>,
    pub(super) postponed: Arc<Postponed>,
    pub(super) report: Arc<Report>,
    /// It may be logged that messages wait for a plugin, by this run or an earlier one.
    pub(super) said_waiting: AtomicBool,
    /// Something may have arrived in the queue, or the pipeline was replaced.
    pub(super) wake: Arc<Notify>,
    /// How many elements are prepared at once.
    pub(super) threads: usize,
}

impl Supply {
    /// Prepares batch after batch until the queue is drained (and the sender is not to stay), a stop is asked for, or
    /// the consumer is gone. A pass through the queue that finds nothing to take up is followed by a pause.
    pub(super) async fn run(self: Arc<Self>, ready: mpsc::Sender<Prepared>, stay: Stay, shutdown: Shutdown) {
        let mut pass = None;
        let (mut taken_up, mut replaced) = (0, 0);
        while !shutdown.asked() && !ready.is_closed() {
            if self.gate.is_closed() {
                tokio::select! {
                    () = self.gate.opened(&shutdown) => {}
                    () = ready.closed() => return,
                }
                pass = None;
                continue;
            }
            if let Some(pause) = self.pipeline.pause() {
                log_pause(&self.channel, &pause);
                if stay != Stay::Watch {
                    return;
                }
                tokio::select! {
                    () = self.pipeline.wait_for_plugin(&shutdown) => {}
                    () = ready.closed() => return,
                }
                pass = None;
                continue;
            }
            match self.plugins(&ready, &shutdown).await {
                Plugins::Ready => {}
                Plugins::Unknown if stay != Stay::Watch => return,
                Plugins::Unknown | Plugins::Compiled => {
                    pass = None;
                    continue;
                }
            }
            if pass.is_none() {
                replaced = self.pipeline.replaced();
            }
            if self.fitness.check().await.is_err() {
                if stay != Stay::Watch {
                    return;
                }
                tokio::select! {
                    () = self.fitness.wait(&shutdown) => {}
                    () = ready.closed() => return,
                }
                pass = None;
                continue;
            }
            let batch = if self.pipeline.load().is_on_probation() { 1 } else { BATCH };
            let (rest, names) = self.backlog.next(pass.take(), batch).await;
            pass = rest;
            let (prepared, taken) = self.prepare(names, &shutdown).await;
            taken_up += taken;
            for prepared in prepared {
                if ready.send(prepared).await.is_err() {
                    return;
                }
            }
            // What waited for a plugin that was replaced meanwhile is tried again at once.
            let idle = pass.is_none() && std::mem::take(&mut taken_up) == 0;
            if idle && self.pipeline.replaced() == replaced && !self.pause(&ready, replaced, stay, &shutdown).await {
                return;
            }
        }
    }

    /// Whether messages may be taken up now. Waits while a plugin that applies to every message is being
    /// compiled.
    async fn plugins(&self, ready: &mpsc::Sender<Prepared>, shutdown: &Shutdown) -> Plugins {
        let pipeline = Arc::clone(&self.pipeline);
        if !tokio::task::spawn_blocking(move || pipeline.current().ensure()).await.unwrap_or(false) {
            tokio::select! {
                () = tokio::time::sleep(JOURNAL_PAUSE) => {}
                () = shutdown.draining() => {}
            }
            return Plugins::Unknown;
        }
        if !self.pipeline.is_held() {
            return Plugins::Ready;
        }
        tokio::select! {
            () = self.pipeline.wait_for_compiler(shutdown) => {}
            () = ready.closed() => {}
        }
        Plugins::Compiled
    }

    /// Waits until the queue is due for another scan; false if the sender is not to stay. `replaced`: how often the pipeline
    /// was replaced when the last pass began.
    async fn pause(&self, ready: &mpsc::Sender<Prepared>, replaced: u64, stay: Stay, shutdown: &Shutdown) -> bool {
        if stay != Stay::Watch {
            let compiling = self.pipeline.load().is_compiling();
            let awaited = compiling && self.postponed.for_plugins() > 0;
            // Read last: a plugin that was compiled until then no longer counts as compiling.
            let due = self.pipeline.replaced() != replaced;
            if !self.preparation.saw_settling() && !awaited && !self.pipeline.is_held() && !due {
                return false;
            }
            if awaited {
                self.wake_in(ready, shutdown).await;
            }
            // A file that is being written now counts as queued.
            tokio::time::sleep(SETTLING_LOOK).await;
            return true;
        }
        tokio::select! {
            () = self.wake.notified() => true,
            () = tokio::time::sleep(self.backlog.next_look()) => true,
            () = shutdown.draining() => false,
            () = ready.closed() => false,
        }
    }

    /// Waits a moment, or until the pipeline is replaced.
    async fn wake_in(&self, ready: &mpsc::Sender<Prepared>, shutdown: &Shutdown) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(self.settings.poll.min(JOURNAL_PAUSE)) => {}
            () = shutdown.draining() => {}
            () = ready.closed() => {}
        }
    }

    /// Locks, reads, runs the pipeline, records: what comes back may be sent. Also returns how many elements were taken up,
    /// with any outcome.
    async fn prepare(&self, names: Vec<ElementName>, shutdown: &Shutdown) -> (Vec<Prepared>, usize) {
        if names.is_empty() {
            return (Vec::new(), 0);
        }
        let examined = self.examine_all(&names, shutdown).await;
        let taken = examined.iter().filter(|one| !matches!(one, Examined::NotOurs)).count();
        let examined = self.refuse_first(examined).await;
        let preparation = Arc::clone(&self.preparation);
        let recorded = tokio::task::spawn_blocking(move || {
            let mut examined = examined;
            let recorded = preparation.record(&mut examined);
            (examined, recorded)
        });
        let Ok((examined, recorded)) = recorded.await else { return (Vec::new(), 0) };
        if let Err(error) = recorded {
            let error = chain(&error);
            tracing::error!(channel = %self.channel, %error, "cannot write the journal; the messages stay in outgoing");
            tokio::time::sleep(JOURNAL_PAUSE).await;
            return (Vec::new(), 0);
        }
        let mut prepared = Vec::new();
        for one in examined {
            prepared.extend(self.settle(one).await);
        }
        (prepared, taken)
    }

    /// Examines a batch on as many threads as there are workers; returns them in the order of the names.
    async fn examine_all(&self, names: &[ElementName], shutdown: &Shutdown) -> Vec<Examined> {
        let mut chunks = JoinSet::new();
        let chunk = names.len().div_ceil(self.threads.max(1)).max(1);
        for (index, chunk) in names.chunks(chunk).enumerate() {
            let (preparation, names, shutdown) = (Arc::clone(&self.preparation), chunk.to_vec(), shutdown.clone());
            chunks.spawn_blocking(move || (index, preparation.examine(&names, &shutdown)));
        }
        let mut examined = chunks.join_all().await;
        examined.sort_by_key(|(index, _)| *index);
        examined.into_iter().flat_map(|(_, chunk)| chunk).collect()
    }

    /// Puts the refused parts of split messages into the reject queue, before anything is noted of the other parts: a
    /// message whose refused parts cannot be set aside now is left for later as a whole.
    async fn refuse_first(&self, examined: Vec<Examined>) -> Vec<Examined> {
        let mut kept = Vec::with_capacity(examined.len());
        for one in examined {
            if let Examined::PartlyRefused { element, row, refused, .. } = &one
                && !self
                    .settlement
                    .refuse_parts(&element.name().to_string(), (&row.key.id, &row.pipeline), refused)
                    .await
            {
                continue;
            }
            kept.push(one);
        }
        kept
    }

    async fn settle(&self, examined: Examined) -> Option<Prepared> {
        match examined {
            Examined::Ready { element, content, row, verdicts, .. } => {
                self.postponed.remove(&element.name().to_string());
                self.say_no_longer_waiting();
                return Some(self.preparation.prepared(element, &content, row, verdicts));
            }
            Examined::PartlyRefused { element, content, row, refused, verdicts } => {
                if row.outputs.is_empty() {
                    self.settlement.all_parts_refused(element, (row.key, &row.pipeline), &refused).await;
                } else {
                    return Some(self.preparation.prepared(element, &content, row, verdicts));
                }
            }
            Examined::Refused(refusal) => self.settlement.refuse(refusal).await,
            Examined::Dropped { element, key, finding, plugin, pipeline } => {
                self.settlement.drop_message(element, (key, &pipeline), &finding, &plugin).await;
            }
            Examined::Postponed { element, attempt, after, waits_for, reason } => {
                self.postponed.postpone(&element, attempt, after, waits_for);
                if waits_for == WaitsFor::Attempt {
                    tracing::warn!(channel = %self.channel, element, attempt, reason, "message postponed; it stays in outgoing");
                } else {
                    self.say_waiting(&reason);
                }
                self.report.fate(&Became::new(Fate::Waiting, &element, None).because(&reason));
            }
            Examined::NotOurs => {}
        }
        None
    }

    fn waiting(&self) -> Condition {
        Condition::warning("waits for a plugin", &self.channel.section())
    }

    /// Logs why messages wait for a plugin.
    fn say_waiting(&self, reason: &str) {
        self.said_waiting.store(true, Ordering::Relaxed);
        if self.waiting().is_due(reason) {
            let messages = self.postponed.for_plugins();
            tracing::warn!(channel = %self.channel, messages, reason, "messages wait for a plugin; they stay in outgoing");
        }
    }

    /// A message was prepared: notes where none waits for a plugin any more.
    fn say_no_longer_waiting(&self) {
        if !self.said_waiting.load(Ordering::Relaxed) || self.postponed.for_plugins() > 0 {
            return;
        }
        self.said_waiting.store(false, Ordering::Relaxed);
        if self.waiting().end() {
            tracing::info!(channel = %self.channel, "no message waits for a plugin any more");
        }
    }
}
