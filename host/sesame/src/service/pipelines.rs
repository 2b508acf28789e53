//! The pipelines of running channels: made at start, and replaced while files of the plugin folder come and go.
//!
//! Start at [`PipelineManager::renew`]. The catalog of the plugins crate knows the plugins; here the pipeline of a channel is
//! put together from them, its list of plugins is made durable, and only then is it swapped in. Messages in flight finish on
//! the pipeline they started with. All of it blocks and runs where no signal and no heart-beat waits for it.
//!
//! # No message bypasses a plugin that is not ready yet
//! Senders and receivers call [`PipelineManager::ensure`] after they took up a message and before they load the pipeline: if
//! the catalog changed since the pipelines were put together, or a file came into the folder, they are put together again
//! first, with every component that is not compiled yet as a stage that holds its messages. So a message that came after a
//! plugin was visible in the folder meets that plugin, however late the kernel's notice is and however long it compiles. If
//! this cannot be made durable, no message is taken up.
//!
//! Pipelines are put together under one lock from the catalog's snapshot of that moment, so that a late look never brings back
//! an earlier state.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notify::event::AccessKind;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::Shared;
use super::status::Status;
use crate::channel::{ActivePipeline, JOURNAL, OpenSpool, SetupError};
use crate::config::{self, Config};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::shutdown::Shutdown;
use message::{Direction, locked};
use plugins::{
    ChannelReport, Effort, NamedStage, Pipeline, PipelineSettings, PluginError, PluginState, PluginStatus, Remembered,
    Sidecar, Snapshot, TOTAL_TIME, Wanted, with_remembered,
};
use spool::journal::{Journal, JournalError, PipelineStage, StageRow};

/// How often the plugin folder is scanned without a notice from the kernel.
const RESCAN: Duration = Duration::from_secs(2);
/// How long a notice waits for others.
const GATHER: Duration = Duration::from_millis(50);
/// How long a start waits for plugins that a pipeline lists: a mistake in one must stop the start.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// How often a start looks at plugins that change meanwhile.
const LOOKS: u32 = 5;
const PASSTHROUGH: &str = "builtin:passthrough";

/// A pipeline and what it was made from.
#[derive(Debug)]
pub struct BuiltPipeline {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// All plugins, also those that do not apply to the channel, are disabled or uninstalled.
    pub stages: Vec<PluginStatus>,
    remembered: Vec<Remembered>,
}

/// A channel whose pipeline is kept up to date.
#[derive(Debug)]
pub(super) struct ChannelHandle {
    channel: String,
    direction: Direction,
    spool: Arc<OpenSpool>,
    directory: PathBuf,
    role: Role,
    state: Mutex<ChannelState>,
}

#[derive(Debug)]
struct ChannelState {
    remembered: Vec<Remembered>,
    stages: Vec<PluginStatus>,
}

#[derive(Debug)]
pub(super) enum Role {
    Sender(Arc<Sender>),
    Receiver(Arc<Receiver>),
}

/// The channels of a daemon, and what their pipelines are made from.
#[derive(Debug)]
pub(super) struct PipelineManager {
    shared: Shared,
    config: Config,
    wanted: Wanted,
    handles: Vec<ChannelHandle>,
    /// Whether it was logged that status files cannot be written.
    unwritable: AtomicBool,
    /// The same of a journal.
    unrecorded: AtomicBool,
    turn: Mutex<Turn>,
    /// The version of the catalog that the pipelines were put together from; 0 if that must be repeated.
    applied: AtomicU64,
    /// Wakes the task that compiles.
    wake: Arc<Notify>,
}

/// Whether this daemon may write the plugins of its channels: a reload hands the journals over while the old daemon may still
/// compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It wrote nothing yet.
    New,
    Running,
    Over,
}

/// The pipeline of a channel as it would be if it started now, for commands that only look: the plugins it lists, else those
/// of the plugin folder and the remembered ones, else `builtin:passthrough`. Compiles what is not compiled.
///
/// # Errors
/// [`SetupError::Plugins`] for named plugins that cannot be loaded, [`SetupError::PluginFolder`] for the folder,
/// [`SetupError::Journal`] if the remembered plugins cannot be read.
pub fn pipeline(
    shared: &Shared,
    config: &Config,
    channel: &str,
    direction: Direction,
) -> Result<BuiltPipeline, SetupError> {
    let snapshot = look(shared, &wanted(config, |name| name == channel), Effort::Full);
    let journal = directory(config, channel, direction).map(|directory| directory.join(JOURNAL));
    // One without permission exists: the error of opening it must be shown.
    let there = |journal: &PathBuf| !matches!(journal.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound);
    let remembered = match journal.filter(there) {
        Some(journal) => remembered(&Journal::open_to_read(&journal)?, channel)?,
        None => Vec::new(),
    };
    built(config, &snapshot, (channel, direction), &remembered, None)
}

/// The plugins of a channel that have to be compiled before [`pipeline`] answers.
pub(crate) fn compiling(shared: &Shared, config: &Config, channel: &str) -> Vec<String> {
    let wanted = wanted(config, |name| name == channel);
    let snapshot = shared.catalog.look(&wanted, Effort::Quick);
    let named = wanted.named.iter().map(|stage| snapshot.named(stage));
    let all = snapshot.folder().iter().cloned().chain(named);
    all.filter(PluginStatus::is_compiling).map(|status| status.name().to_owned()).collect()
}

/// The directory with lock and journal of a channel.
pub(crate) fn directory<'a>(config: &'a Config, channel: &str, direction: Direction) -> Option<&'a Path> {
    match direction {
        Direction::Outbound => config.senders.get(channel).map(|sender| sender.state.as_path()),
        Direction::Inbound => config.receivers.get(channel).map(|receiver| receiver.spool.as_path()),
    }
}

/// The plugins of the chosen channels of a configuration.
pub(super) fn wanted(config: &Config, chosen: impl Fn(&str) -> bool) -> Wanted {
    let senders = config.senders.iter().map(|(name, channel)| (name, &channel.pipeline));
    let receivers = config.receivers.iter().map(|(name, channel)| (name, &channel.pipeline));
    let lists: Vec<_> = senders.chain(receivers).filter(|(name, _)| chosen(name)).map(|(_, list)| list).collect();
    let mut named = vec![passthrough()];
    for stage in lists.iter().copied().flatten().flatten().map(|stage| named_stage(config, stage)) {
        if !named.contains(&stage) {
            named.push(stage);
        }
    }
    let folder = lists.iter().any(|list| list.is_none()).then(|| config.plugins.folder.clone());
    Wanted { folder, named, channels: config.senders.keys().chain(config.receivers.keys()).cloned().collect() }
}

fn passthrough() -> NamedStage {
    NamedStage { name: PASSTHROUGH.to_owned(), settings: None }
}

fn named_stage(config: &Config, stage: &config::Stage) -> NamedStage {
    let settings = config.plugin.get(&stage.to_string()).map(Sidecar::from);
    let name = match stage {
        config::Stage::Builtin(_) => stage.to_string(),
        config::Stage::File(name) => config.plugins.folder.join(format!("{name}.wasm")).to_string_lossy().into_owned(),
    };
    NamedStage { name, settings }
}

/// Looks at all plugins, again if one changed meanwhile: the caller may never look again.
pub(super) fn look(shared: &Shared, wanted: &Wanted, effort: Effort) -> Snapshot {
    let mut snapshot = shared.catalog.look(wanted, effort);
    for _ in 1..LOOKS {
        let Some(soon) = snapshot.soon.filter(|_| snapshot.unsettled) else { break };
        std::thread::sleep(soon);
        snapshot = shared.catalog.look(wanted, effort);
    }
    snapshot
}

/// Looks at all plugins for a daemon that is about to start: compiled ones are loaded, those that a pipeline lists are waited
/// for a moment, and the rest is compiled later.
pub(super) fn look_at_start(shared: &Shared, wanted: &Wanted) -> Snapshot {
    let snapshot = look(shared, wanted, Effort::Quick);
    if !wanted.named.iter().any(|stage| snapshot.named(stage).is_compiling()) {
        return snapshot;
    }
    let (catalog, all) = (Arc::clone(&shared.catalog), wanted.clone());
    let (done, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(catalog.look(&all, Effort::Full));
    });
    ready.recv_timeout(START_PATIENCE).unwrap_or_else(|_| shared.catalog.look(wanted, Effort::Quick))
}

/// The pipeline of a channel that is about to run, recorded in the journal.
///
/// # Errors
/// As [`pipeline`].
pub(super) fn begin(
    config: &Config,
    snapshot: &Snapshot,
    (channel, direction): (&str, Direction),
    journal: &Journal,
) -> Result<BuiltPipeline, SetupError> {
    let built = built(config, snapshot, (channel, direction), &remembered(journal, channel)?, None)?;
    record(journal, channel, &built)?;
    Ok(built)
}

fn built(
    config: &Config,
    snapshot: &Snapshot,
    (channel, direction): (&str, Direction),
    remembered: &[Remembered],
    before: Option<&Pipeline>,
) -> Result<BuiltPipeline, SetupError> {
    let listed = listed(config, channel, direction);
    if let (None, Some(error)) = (listed, &snapshot.unusable) {
        return Err(SetupError::PluginFolder(Arc::clone(error)));
    }
    let built = compose(config, snapshot, (channel, direction), remembered, before);
    let refused: Vec<PluginError> =
        built.stages.iter().filter(|_| listed.is_some()).filter_map(PluginError::of).collect();
    if refused.is_empty() { Ok(built) } else { Err(SetupError::Plugins(refused)) }
}

fn listed<'a>(config: &'a Config, channel: &str, direction: Direction) -> Option<&'a Vec<config::Stage>> {
    match direction {
        Direction::Outbound => config.senders.get(channel)?.pipeline.as_ref(),
        Direction::Inbound => config.receivers.get(channel)?.pipeline.as_ref(),
    }
}

fn compose(
    config: &Config,
    snapshot: &Snapshot,
    (channel, direction): (&str, Direction),
    remembered: &[Remembered],
    before: Option<&Pipeline>,
) -> BuiltPipeline {
    let (stages, remembered): (Vec<PluginStatus>, _) = match listed(config, channel, direction) {
        // The plugins of the folder stay remembered in case the channel uses them again.
        Some(stages) => {
            let stages = stages.iter().map(|stage| snapshot.named(&named_stage(config, stage)));
            (stages.collect(), remembered.to_vec())
        }
        None => {
            let (stages, remembered) = with_remembered(&config.plugins.folder, snapshot.folder(), remembered);
            let none = stages.iter().all(|status| status.state() == PluginState::Removed);
            let stock = none.then(|| snapshot.named(&passthrough()));
            (stages.into_iter().chain(stock).collect(), remembered)
        }
    };
    let pipeline = Pipeline::assemble(&stages, settings(config, channel, direction), before);
    BuiltPipeline { pipeline, stages, remembered }
}

fn settings(config: &Config, channel: &str, direction: Direction) -> PipelineSettings {
    let (routes, max_payload) = match direction {
        Direction::Outbound => {
            config.senders.get(channel).map(|c| (c.routes.keys().cloned().collect::<Vec<_>>(), c.max_payload))
        }
        Direction::Inbound => {
            config.receivers.get(channel).map(|c| (c.routes.keys().cloned().collect(), c.max_payload))
        }
    }
    .unwrap_or_default();
    PipelineSettings {
        stages: Vec::new(),
        channel: channel.to_owned(),
        channels: config.senders.keys().chain(config.receivers.keys()).cloned().collect(),
        direction,
        routes: routes.into_iter().collect(),
        max_payload: usize::try_from(max_payload).unwrap_or(usize::MAX),
        total_time: TOTAL_TIME,
    }
}

fn remembered(journal: &Journal, channel: &str) -> Result<Vec<Remembered>, JournalError> {
    let rows = journal.stages(channel)?.into_iter();
    Ok(rows.map(|row| Remembered::from_text(row.name, row.filter.as_deref(), row.tombstone)).collect())
}

fn record(journal: &Journal, channel: &str, built: &BuiltPipeline) -> Result<(), JournalError> {
    let rows: Vec<StageRow> = built
        .remembered
        .iter()
        .map(|known| StageRow { name: known.name.clone(), filter: known.text(), tombstone: known.tombstone.clone() })
        .collect();
    let stages: Vec<PipelineStage> = built
        .pipeline
        .stages()
        .map(|stage| {
            let ready = stage.ready.as_ref();
            PipelineStage {
                name: stage.name.to_owned(),
                version: ready.map(|ready| ready.description.version.clone()).unwrap_or_default(),
                sha256: ready.map(|ready| ready.sha256.clone()).unwrap_or_default(),
            }
        })
        .collect();
    journal.record_stages(channel, &rows, built.pipeline.hash(), &stages)
}

impl Role {
    fn pipeline(&self) -> &ActivePipeline {
        match self {
            Self::Sender(sender) => sender.pipeline(),
            Self::Receiver(receiver) => receiver.pipeline(),
        }
    }

    fn replace_pipeline(&self, pipeline: Arc<Pipeline>) {
        self.pipeline().replace(pipeline);
        if let Self::Sender(sender) = self {
            sender.waker().notify_one();
        }
    }
}

impl ChannelHandle {
    /// A channel that runs with the pipeline it started with.
    pub(super) fn new(
        (channel, direction): (&str, Direction),
        (directory, spool): (&Path, Arc<OpenSpool>),
        role: Role,
        stages: (Vec<PluginStatus>, Vec<Remembered>),
    ) -> Self {
        let state = Mutex::new(ChannelState { stages: stages.0, remembered: stages.1 });
        Self { channel: channel.to_owned(), direction, spool, directory: directory.to_owned(), role, state }
    }

    fn report(&self) -> ChannelReport {
        ChannelReport::of(&self.channel, &self.role.pipeline().load_full(), &locked(&self.state).stages)
    }
}

impl BuiltPipeline {
    /// The pipeline, and its plugins.
    pub(super) fn into_parts(self) -> (Arc<Pipeline>, (Vec<PluginStatus>, Vec<Remembered>)) {
        (Arc::new(self.pipeline), (self.stages, self.remembered))
    }
}

impl PipelineManager {
    pub(super) fn new(shared: &Shared, config: &Config, wanted: Wanted, handles: Vec<ChannelHandle>) -> Self {
        let (unwritable, unrecorded) = (AtomicBool::new(false), AtomicBool::new(false));
        let (turn, applied, wake) = (Mutex::new(Turn::New), AtomicU64::new(0), Arc::new(Notify::new()));
        Self {
            shared: shared.clone(),
            config: config.clone(),
            wanted,
            handles,
            unwritable,
            unrecorded,
            turn,
            applied,
            wake,
        }
    }

    /// Has the channels call [`Self::ensure`] before a message enters their pipeline.
    pub(super) fn keep(self: &Arc<Self>) {
        for handle in &self.handles {
            let manager = Arc::downgrade(self);
            handle.role.pipeline().current().keep(move || manager.upgrade().is_some_and(|manager| manager.ensure()));
        }
    }

    /// Nothing is written or put into service after this, also by a look that is still in progress.
    pub(super) fn stop(&self) {
        *locked(&self.turn) = Turn::Over;
    }

    /// Looks at the files and puts what has changed into service. Returns when to look again, if soon.
    fn renew(&self) -> Option<Duration> {
        let snapshot = self.shared.catalog.look(&self.wanted, Effort::Full);
        self.shared.catalog.report(&snapshot);
        self.apply();
        snapshot.soon
    }

    /// Makes sure that the pipelines know every plugin in the folder; false if that is not possible now, and then no message
    /// may be taken up.
    pub(super) fn ensure(&self) -> bool {
        let version = self.applied.load(Ordering::Acquire);
        (version != 0 && self.shared.catalog.is_current(&self.wanted, version)) || self.apply()
    }

    /// Puts the pipelines together from the catalog as it is now. True if all of them are in service.
    fn apply(&self) -> bool {
        let mut turn = locked(&self.turn);
        if *turn == Turn::Over {
            return false;
        }
        let snapshot = self.shared.catalog.snapshot(&self.wanted);
        let first = *turn == Turn::New;
        let done = self.handles.iter().filter(|handle| self.renew_channel(handle, &snapshot, first)).count();
        if done < self.handles.len() {
            self.applied.store(0, Ordering::Release);
            return false;
        }
        *turn = Turn::Running;
        self.unrecorded.store(false, Ordering::Relaxed);
        self.applied.store(snapshot.version, Ordering::Release);
        true
    }

    /// Returns whether the journal has it.
    fn renew_channel(&self, handle: &ChannelHandle, snapshot: &Snapshot, first: bool) -> bool {
        let before = handle.role.pipeline().load_full();
        let mut state = locked(&handle.state);
        let built =
            compose(&self.config, snapshot, (&handle.channel, handle.direction), &state.remembered, Some(&before));
        built.stages.iter().for_each(|status| self.shared.catalog.report_waiting(&handle.channel, status));
        let changed = !built.pipeline.is_same(&before);
        if (first || changed || built.remembered != state.remembered)
            && let Err(error) = record(&handle.spool.journal, &handle.channel, &built)
        {
            if !self.unrecorded.swap(true, Ordering::Relaxed) {
                let error = message::cause::chain(&error);
                tracing::error!(
                    channel = handle.channel,
                    error,
                    "cannot write the journal; changed plugins are not put into service, and no message is taken up until it can be written",
                );
            }
            return false;
        }
        let (pipeline, (stages, remembered)) = built.into_parts();
        *state = ChannelState { remembered, stages };
        drop(state);
        if changed {
            let compiling: Vec<&str> = pipeline
                .stages()
                .filter(|stage| stage.state == PluginState::Compiling)
                .map(|stage| stage.name)
                .collect();
            let (channel, hash) = (&handle.channel, pipeline.hash());
            match compiling.as_slice() {
                [] => tracing::info!(channel, pipeline = hash, "pipeline in service"),
                plugins => {
                    tracing::info!(
                        channel,
                        pipeline = hash,
                        plugins = plugins.join(" "),
                        "a plugin is being compiled; the messages it applies to wait until it is ready",
                    );
                    self.wake.notify_one();
                }
            }
            handle.role.replace_pipeline(Arc::clone(&pipeline));
        }
        true
    }

    /// Writes the status files beside the journals.
    fn publish(&self, running: bool) {
        let mut directories: Vec<&Path> = self.handles.iter().map(|handle| handle.directory.as_path()).collect();
        directories.sort();
        directories.dedup();
        let mut failed = false;
        for directory in directories {
            let handles = self.handles.iter().filter(|handle| handle.directory == directory);
            if let Err(error) = Status::now(running, handles.map(ChannelHandle::report).collect()).write(directory) {
                failed = true;
                if !self.unwritable.swap(true, Ordering::Relaxed) {
                    let spool = directory.display();
                    tracing::warn!(%spool, %error, "cannot write the status file for `sesame plugin list`");
                }
            }
        }
        self.unwritable.store(failed, Ordering::Relaxed);
    }
}

/// Keeps the pipelines and the status files up to date until a stop is requested.
pub(super) async fn watch(manager: Arc<PipelineManager>, shutdown: Shutdown) {
    let looked = Arc::new(Notify::new());
    tokio::join!(renew(&manager, &looked, &shutdown), publish(&manager, &looked, &shutdown));
    let _ = tokio::task::spawn_blocking(move || manager.publish(false)).await;
}

/// The same for senders that quit when their queues are empty: new files of the folder are compiled.
pub(super) async fn compile(manager: Arc<PipelineManager>, shutdown: Shutdown) {
    tokio::select! {
        () = manager.wake.notified() => renew(&manager, &Notify::new(), &shutdown).await,
        () = shutdown.draining() => {}
    }
}

async fn renew(manager: &Arc<PipelineManager>, looked: &Notify, shutdown: &Shutdown) {
    let wake = Arc::clone(&manager.wake);
    let mut watcher = None;
    while !shutdown.asked() {
        // A folder that is created later is found by looking.
        watcher = watcher.or_else(|| manager.wanted.folder.as_deref().and_then(|folder| notices(folder, &wake)));
        let busy = Arc::clone(manager);
        let round = tokio::task::spawn_blocking(move || busy.renew());
        let soon = tokio::select! {
            soon = round => soon.ok().flatten(),
            () = shutdown.draining() => return,
        };
        looked.notify_one();
        tokio::select! {
            () = wake.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(soon.unwrap_or(RESCAN)) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Writes the status files every few seconds, also while a plugin compiles, and soon after each look.
async fn publish(manager: &Arc<PipelineManager>, looked: &Notify, shutdown: &Shutdown) {
    while !shutdown.asked() {
        let busy = Arc::clone(manager);
        let _ = tokio::task::spawn_blocking(move || {
            busy.ensure();
            busy.publish(true);
        })
        .await;
        tokio::select! {
            () = looked.notified() => {}
            () = tokio::time::sleep(RESCAN) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Watches the folder; none if the kernel cannot, and then changes are found by looking.
fn notices(folder: &Path, wake: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let wake = Arc::clone(wake);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reads cause events too: waking for them would never end.
        let looked_at =
            event.is_ok_and(|event| matches!(event.kind, EventKind::Access(AccessKind::Open(_) | AccessKind::Read)));
        if !looked_at {
            wake.notify_one();
        }
    });
    let mut watcher = watcher.ok()?;
    watcher.watch(folder, RecursiveMode::NonRecursive).ok().map(|()| watcher)
}
