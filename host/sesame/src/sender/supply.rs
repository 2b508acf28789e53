//! What is next to be sent: passes through the queue, batch after batch.
//!
//! A batch is locked, read and run through the pipeline on blocking threads; what is refused goes to the reject queue
//! first, then the pipeline's answers are made durable together, and only then is a message [`Prepared`]. While a plugin
//! fails for every message nothing is taken up; then one element at a time is tried. While a plugin that applies to every
//! message is being compiled nothing is taken up either, however long that takes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::prepare::{Examined, Prepared};
use super::put_off::WaitsFor;
use super::{Sender, Stay, locked};
use crate::channel::{log_pause, wait_for_plugin};
use crate::shutdown::Shutdown;
use message::Fate;
use spool::{ElementName, Removal, Scan, SpoolError};

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

/// A pass through the queue.
struct Pass {
    scan: Scan,
    /// Seen on the way and left for the end.
    suspects: Vec<ElementName>,
    begun: Instant,
    /// Elements that were postponed before it began and that it has not found yet.
    unseen: RefCell<HashSet<String>>,
}

impl Sender {
    /// Prepares batch after batch until the queue is drained (and the sender is not to stay), a stop is asked for, or
    /// the consumer is gone. A pass through the queue that finds nothing to take up is followed by a pause.
    pub(super) async fn supply(self: Arc<Self>, ready: mpsc::Sender<Prepared>, stay: Stay, shutdown: Shutdown) {
        let mut pass = None;
        let (mut taken_up, mut replaced) = (0, 0);
        while !shutdown.asked() && !ready.is_closed() {
            if let Some(pause) = self.pipeline.load().pause(Instant::now()) {
                log_pause(&self.channel, &pause);
                if stay != Stay::Watch {
                    return;
                }
                tokio::select! {
                    () = wait_for_plugin(&self.pipeline, &shutdown) => {}
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
                replaced = locked(&self.put_off).replaced();
            }
            if self.fitness().await.is_err() {
                if stay != Stay::Watch {
                    return;
                }
                tokio::select! {
                    () = self.wait_to_be_fit(&shutdown) => {}
                    () = ready.closed() => return,
                }
                pass = None;
                continue;
            }
            let (rest, names) = self.next_names(pass.take()).await;
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
            if idle && locked(&self.put_off).replaced() == replaced && !self.pause(&ready, stay, &shutdown).await {
                return;
            }
        }
    }

    /// Whether messages may be taken up now. Waits while a plugin that applies to every message is being
    /// compiled.
    async fn plugins(self: &Arc<Self>, ready: &mpsc::Sender<Prepared>, shutdown: &Shutdown) -> Plugins {
        let sender = Arc::clone(self);
        if !tokio::task::spawn_blocking(move || sender.current.ensure()).await.unwrap_or(false) {
            tokio::select! {
                () = tokio::time::sleep(JOURNAL_PAUSE) => {}
                () = shutdown.draining() => {}
            }
            return Plugins::Unknown;
        }
        if self.pipeline.load().holds(&self.settings.destination).is_none() {
            return Plugins::Ready;
        }
        tokio::select! {
            () = self.wait_for_plugins(shutdown) => {}
            () = ready.closed() => {}
        }
        Plugins::Compiled
    }

    /// Waits until the queue is due for another scan; false if the sender is not to stay.
    async fn pause(&self, ready: &mpsc::Sender<Prepared>, stay: Stay, shutdown: &Shutdown) -> bool {
        if stay != Stay::Watch {
            let compiling = self.pipeline.load().is_compiling();
            let awaited = compiling && locked(&self.put_off).for_plugins() > 0;
            let held = self.pipeline.load().holds(&self.settings.destination).is_some();
            if !self.settling.swap(false, Ordering::Relaxed) && !awaited && !held {
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
            () = tokio::time::sleep(self.next_look()) => true,
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

    /// The next names of the queue; the pass is gone when the queue is drained. Elements that the broker refused before
    /// come last, so that none of them can keep another from being sent.
    async fn next_names(self: &Arc<Self>, pass: Option<Pass>) -> (Option<Pass>, Vec<ElementName>) {
        let sender = Arc::clone(self);
        let batch = if self.pipeline.load().is_on_probation() { 1 } else { BATCH };
        let read = tokio::task::spawn_blocking(move || sender.read_names(pass, batch));
        match read.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                let error = message::cause::chain(&error);
                tracing::error!(channel = %self.channel, %error, "cannot read the outgoing queue");
                (None, Vec::new())
            }
            Err(_) => (None, Vec::new()),
        }
    }

    fn read_names(&self, pass: Option<Pass>, batch: usize) -> Result<(Option<Pass>, Vec<ElementName>), SpoolError> {
        let skipped = self.skipped();
        let any_suspects = locked(&self.window).has_suspects();
        let mut pass = match pass {
            Some(pass) => pass,
            None => self.begin_pass()?,
        };
        let mut names = Vec::with_capacity(batch);
        while names.len() < batch {
            let skip = |name: &ElementName| {
                let mut unseen = pass.unseen.borrow_mut();
                if !unseen.is_empty() {
                    unseen.remove(&name.to_string());
                }
                self.outgoing.holds(name) || (!skipped.is_empty() && skipped.contains(&name.to_string()))
            };
            let Some(name) = pass.scan.next(skip)? else {
                locked(&self.put_off).forget_gone(&pass.unseen.borrow(), pass.begun);
                names.append(&mut pass.suspects);
                return Ok((None, names));
            };
            if any_suspects && locked(&self.window).goes_alone(&name.to_string()) {
                pass.suspects.push(name);
            } else {
                names.push(name);
            }
        }
        Ok((Some(pass), names))
    }

    fn begin_pass(&self) -> Result<Pass, SpoolError> {
        let begun = Instant::now();
        let unseen = RefCell::new(locked(&self.put_off).names());
        Ok(Pass { scan: self.outgoing.scan()?, suspects: Vec::new(), begun, unseen })
    }

    /// Locks, reads, runs the pipeline, records: what comes back may be sent. Also returns how many elements were taken up,
    /// with any outcome.
    async fn prepare(self: &Arc<Self>, names: Vec<ElementName>, shutdown: &Shutdown) -> (Vec<Prepared>, usize) {
        if names.is_empty() {
            return (Vec::new(), 0);
        }
        let examined = self.examine_all(&names, shutdown).await;
        let taken = examined.iter().filter(|one| !matches!(one, Examined::NotOurs)).count();
        let examined = self.refuse_first(examined).await;
        let sender = Arc::clone(self);
        let recorded = tokio::task::spawn_blocking(move || {
            let recorded = sender.record(&examined);
            (examined, recorded)
        });
        let Ok((examined, recorded)) = recorded.await else { return (Vec::new(), 0) };
        if let Err(error) = recorded {
            let error = message::cause::chain(&error);
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
    async fn examine_all(self: &Arc<Self>, names: &[ElementName], shutdown: &Shutdown) -> Vec<Examined> {
        let mut chunks = JoinSet::new();
        let chunk = names.len().div_ceil(self.threads.max(1)).max(1);
        for (index, chunk) in names.chunks(chunk).enumerate() {
            let (sender, names, shutdown) = (Arc::clone(self), chunk.to_vec(), shutdown.clone());
            chunks.spawn_blocking(move || (index, sender.examine(&names, &shutdown)));
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
                && !self.refuse_parts(&element.name().to_string(), (&row.key.id, &row.pipeline), refused).await
            {
                continue;
            }
            kept.push(one);
        }
        kept
    }

    async fn settle(&self, examined: Examined) -> Option<Prepared> {
        match examined {
            Examined::Ready { element, content, row, .. } => {
                locked(&self.put_off).remove(&element.name().to_string());
                return Some(self.prepared(element, &content, row));
            }
            Examined::PartlyRefused { element, content, row, refused } => {
                if row.outputs.is_empty() {
                    self.all_parts_refused(element, (row.key, &row.pipeline), &refused).await;
                } else {
                    return Some(self.prepared(element, &content, row));
                }
            }
            Examined::Refused(refusal) => self.refuse(refusal).await,
            Examined::Dropped { element, key, finding, plugin, pipeline } => {
                self.drop_message(element, (key, &pipeline), &finding, &plugin).await;
            }
            Examined::Postponed { element, attempt, after, waits_for, reason } => {
                self.postpone_element(&element, attempt, after, waits_for);
                if waits_for == WaitsFor::Attempt {
                    tracing::warn!(channel = %self.channel, element, attempt, reason, "message postponed; it stays in outgoing");
                } else {
                    self.say_waiting(&reason);
                }
                self.fate(&element, None, Fate::Waiting, Some(&reason));
            }
            Examined::NotOurs => {}
        }
        None
    }

    /// Logs once for each plugin and back-off why messages wait for it.
    fn say_waiting(&self, reason: &str) {
        let pause = crate::channel::back_off(&self.settings.repetition, 0);
        if self.waits.is_due(reason, Instant::now(), pause) {
            let messages = locked(&self.put_off).for_plugins();
            tracing::warn!(channel = %self.channel, messages, reason, "messages wait for a plugin; they stay in outgoing");
        }
    }

    /// Logs the result of removing the element `name`; false if it is still there, and then it is postponed.
    pub(super) fn removed(&self, name: &str, removal: Result<Removal, SpoolError>) -> bool {
        match removal {
            Ok(Removal::Removed | Removal::Gone) => true,
            Ok(Removal::Restored(restored)) => {
                tracing::warn!(channel = %self.channel, element = %restored, "the element was overwritten while it was in flight; the new content is queued");
                self.wake.notify_one();
                true
            }
            Err(error) => {
                let error = message::cause::chain(&error);
                tracing::error!(channel = %self.channel, element = name, error, "cannot remove a completed element; it will be sent again");
                self.postpone_element(name, 1, None, WaitsFor::Attempt);
                false
            }
        }
    }
}
