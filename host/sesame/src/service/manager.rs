//! Replaces the pipelines of running channels when plugins change.
//!
//! Start at [`PipelineManager::renew`]. The catalog of the crate `plugins` loads the plugins. The manager builds the pipeline
//! of each channel from them, records its plugins in the journal, and only then puts it into service. Messages in flight
//! finish on the pipeline they started with. All of this blocks, so it runs on threads that no signal and no heart-beat waits
//! for.
//!
//! # No message bypasses a plugin that is not ready yet
//! Senders and receivers call [`PipelineManager::ensure`] after they take up a message and before they load the pipeline. If
//! the catalog changed since the pipelines were built, or a file was added to the folder, they are built again first; a
//! component that is not compiled yet becomes a stage that holds its messages. So a message that arrives after a plugin is
//! visible in the folder meets that plugin, however late the kernel reports the file and however long the plugin compiles. If
//! the new pipeline cannot be recorded, no message is taken up.
//!
//! Pipelines are built under one lock from the catalog's snapshot at that moment, so a slow look at the files never brings
//! back an earlier state.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use notify::RecursiveMode;
use tokio::sync::Notify;

use super::Shared;
use super::differences::{Compared, Differences};
use super::housekeeping::wake_on_change;
use super::pipelines::{ChannelState, compose, record};
use super::status::Status;
use crate::channel::{ActivePipeline, Channel, OpenSpool};
use crate::config::Config;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::shutdown::Shutdown;
use message::{beat, locked};
use plugins::{ChannelReport, Effort, Pipeline, PluginState, Snapshot, Wanted};

/// How often the plugin folder is scanned when the kernel reports no change, and how often status files are written if what
/// they say has changed.
const RESCAN: Duration = Duration::from_secs(2);
/// How old a status file becomes. Its readers take one of half a minute for one of a Sesame that died.
const REWRITE: Duration = Duration::from_secs(20);
/// How long to wait for more changes after the kernel reports one.
const GATHER: Duration = Duration::from_millis(50);

/// A channel whose pipeline is kept up to date.
#[derive(Debug)]
pub(super) struct ChannelHandle {
    channel: Channel,
    spool: Arc<OpenSpool>,
    directory: PathBuf,
    pub(super) role: Role,
    state: Mutex<ChannelState>,
}

/// What the channel runs as.
#[derive(Debug)]
pub(super) enum Role {
    Sender(Arc<Sender>),
    Receiver(Arc<Receiver>),
}

/// The channels of a daemon, and what their pipelines are built from.
#[derive(Debug)]
pub(super) struct PipelineManager {
    shared: Shared,
    config: Config,
    wanted: Wanted,
    handles: Vec<ChannelHandle>,
    /// The status files.
    published: Mutex<HashMap<PathBuf, Published>>,
    /// The files about plugins in shadow.
    compared: Mutex<HashMap<PathBuf, Vec<Compared>>>,
    /// Whether it was logged that a status file cannot be written.
    unwritable: AtomicBool,
    /// Whether it was logged that a journal cannot be written.
    unrecorded: AtomicBool,
    /// Whether it was logged that the last good plugins cannot be kept.
    unkept: AtomicBool,
    turn: Mutex<Turn>,
    /// The version of the catalog that the pipelines were built from; 0 if they must be built again.
    applied: AtomicU64,
    /// Wakes the task that compiles.
    wake: Arc<Notify>,
}

/// Whether this manager may write to the journals of its channels. After a reload another manager writes to them, while this
/// one may still compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It has not yet written to every journal.
    New,
    /// It has written to every journal.
    Running,
    /// It must not write any more.
    Over,
}

/// A status file as it was written.
#[derive(Debug)]
struct Published {
    reports: Vec<ChannelReport>,
    at: Instant,
    file: Option<(u64, SystemTime)>,
}

impl Published {
    fn now(directory: &Path, reports: Vec<ChannelReport>) -> Self {
        Self { reports, at: Instant::now(), file: Status::file(directory) }
    }

    /// Whether the file is still the same, says this, and is not old.
    fn serves(&self, directory: &Path, reports: &[ChannelReport]) -> bool {
        let known = self.file.is_some() && self.file == Status::file(directory);
        known && self.reports == reports && self.at.elapsed() < REWRITE
    }
}

impl Role {
    fn pipeline(&self) -> &ActivePipeline {
        match self {
            Self::Sender(sender) => sender.pipeline(),
            Self::Receiver(receiver) => receiver.pipeline(),
        }
    }

    fn replace_pipeline(&self, pipeline: Arc<Pipeline>) {
        match self {
            Self::Sender(sender) => sender.replace_pipeline(pipeline),
            Self::Receiver(receiver) => receiver.replace_pipeline(pipeline),
        }
    }
}

impl ChannelHandle {
    /// A channel with the pipeline it starts with.
    pub(super) fn new(
        channel: &Channel,
        (directory, spool): (PathBuf, Arc<OpenSpool>),
        role: Role,
        state: ChannelState,
    ) -> Self {
        Self { channel: channel.clone(), spool, directory, role, state: Mutex::new(state) }
    }

    fn report(&self) -> ChannelReport {
        ChannelReport::of(self.channel.name(), &self.role.pipeline().load_full(), &locked(&self.state).stages)
    }

    fn compared(&self) -> Vec<Compared> {
        Compared::all(self.channel.name(), &self.role.pipeline().load_full())
    }
}

impl PipelineManager {
    pub(super) fn new(shared: &Shared, config: &Config, wanted: Wanted, handles: Vec<ChannelHandle>) -> Self {
        let (unwritable, unrecorded, unkept) = Default::default();
        let (turn, applied, wake) = (Mutex::new(Turn::New), AtomicU64::new(0), Arc::new(Notify::new()));
        Self {
            shared: shared.clone(),
            config: config.clone(),
            wanted,
            handles,
            published: Mutex::default(),
            compared: Mutex::default(),
            unwritable,
            unrecorded,
            unkept,
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

    /// After this nothing is written or put into service, not even by a look that is still in progress.
    pub(super) fn stop(&self) {
        *locked(&self.turn) = Turn::Over;
    }

    /// Looks at the files and puts changed plugins into service. Returns when to look again, if before [`RESCAN`].
    fn renew(&self) -> Option<Duration> {
        let snapshot = self.shared.catalog.look(&self.wanted, Effort::Full);
        self.shared.catalog.report(&snapshot);
        self.ensure();
        self.keep_good();
        snapshot.soon
    }

    /// Keeps the files of the plugins that serve, for a rollback and for a restart.
    fn keep_good(&self) {
        let kept = self.shared.catalog.keep_good(&self.wanted);
        let failed = kept.is_err();
        if let Err(error) = kept
            && !self.unkept.load(Ordering::Relaxed)
        {
            tracing::warn!(%error, "cannot keep the last good plugins; there is no rollback, and a restart finds the plugin folder only");
        }
        self.unkept.store(failed, Ordering::Relaxed);
    }

    /// Ensures that the pipelines include every plugin in the folder. If that is not possible now it returns false, and no
    /// message may be taken up.
    pub(super) fn ensure(&self) -> bool {
        let version = self.applied.load(Ordering::Acquire);
        (version != 0 && self.shared.catalog.is_current(&self.wanted, version)) || self.apply()
    }

    /// Builds the pipelines from the catalog as it is now. Returns whether all of them are in service.
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

    /// Builds the pipeline of a channel and puts it into service if it differs. Returns false if it cannot be recorded in the
    /// journal; then the channel keeps its pipeline.
    fn renew_channel(&self, handle: &ChannelHandle, snapshot: &Snapshot, first: bool) -> bool {
        let before = handle.role.pipeline().load_full();
        let mut state = locked(&handle.state);
        let built = compose(&self.config, snapshot, &handle.channel, &state.remembered, Some(&before));
        built.stages.iter().for_each(|status| self.shared.catalog.report_waiting(handle.channel.name(), status));
        let changed = !built.pipeline.is_same(&before);
        if (first || changed || built.remembered != state.remembered)
            && let Err(error) = record(&handle.spool.journal, handle.channel.name(), &built)
        {
            if !self.unrecorded.swap(true, Ordering::Relaxed) {
                let error = message::cause::chain(&error);
                tracing::error!(
                    channel = handle.channel.name(),
                    error,
                    "cannot write the journal; changed plugins are not put into service, and no message is taken up until it can be written",
                );
            }
            return false;
        }
        let (pipeline, new_state) = built.into_parts();
        *state = new_state;
        drop(state);
        if changed {
            self.log_change(&handle.channel, &pipeline);
            handle.role.replace_pipeline(pipeline);
        }
        true
    }

    /// Logs that a pipeline comes into service, and wakes the task that compiles if a plugin of it is not compiled.
    fn log_change(&self, channel: &Channel, pipeline: &Pipeline) {
        let compiling = pipeline.stages().filter(|stage| stage.state == PluginState::Compiling);
        let compiling: Vec<&str> = compiling.map(|stage| stage.name).collect();
        let (channel, hash) = (channel.name(), pipeline.hash());
        if compiling.is_empty() {
            tracing::info!(channel, pipeline = hash, "pipeline in service");
        } else {
            tracing::info!(
                channel,
                pipeline = hash,
                plugins = compiling.join(" "),
                "a plugin is being compiled; the messages it applies to wait until it is ready",
            );
            self.wake.notify_one();
        }
    }

    /// Writes the file about plugins in shadow of a directory, if it has something new to say.
    fn publish_differences(&self, directory: &Path, now: Vec<Compared>) -> std::io::Result<()> {
        let mut compared = locked(&self.compared);
        if compared.get(directory) == Some(&now) {
            return Ok(());
        }
        compared.remove(directory);
        Differences::write(&now, directory)?;
        compared.insert(directory.to_owned(), now);
        Ok(())
    }

    /// Writes the status files beside the journals, those that have something new to say or have become old.
    fn publish(&self, running: bool) {
        let mut directories: Vec<&Path> = self.handles.iter().map(|handle| handle.directory.as_path()).collect();
        directories.sort();
        directories.dedup();
        let mut failed = false;
        let mut published = locked(&self.published);
        for directory in directories {
            let handles = self.handles.iter().filter(|handle| handle.directory == directory);
            let reports: Vec<ChannelReport> = handles.clone().map(ChannelHandle::report).collect();
            failed |= self.publish_differences(directory, handles.flat_map(ChannelHandle::compared).collect()).is_err();
            if running && published.get(directory).is_some_and(|last| last.serves(directory, &reports)) {
                continue;
            }
            let written = Status::now(running, reports.clone()).write(directory);
            published.remove(directory);
            if let Err(error) = written {
                failed = true;
                if !self.unwritable.swap(true, Ordering::Relaxed) {
                    let spool = directory.display();
                    tracing::warn!(%spool, %error, "cannot write the status file for `sesame plugin list`");
                }
            } else {
                published.insert(directory.to_owned(), Published::now(directory, reports));
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

/// The same for senders that end when their queues are empty: plugins are looked at only once one has to be compiled, and no
/// status files are written.
pub(super) async fn compile(manager: Arc<PipelineManager>, shutdown: Shutdown) {
    let keeper = Arc::clone(&manager);
    let _ = tokio::task::spawn_blocking(move || keeper.keep_good()).await;
    tokio::select! {
        () = manager.wake.notified() => renew(&manager, &Notify::new(), &shutdown).await,
        () = shutdown.draining() => {}
    }
}

/// Looks at the plugins when the kernel reports a change, and every few seconds.
async fn renew(manager: &Arc<PipelineManager>, looked: &Notify, shutdown: &Shutdown) {
    let wake = Arc::clone(&manager.wake);
    let mut watcher = None;
    while !shutdown.asked() {
        // Without a watcher, as for a folder that does not exist yet, changes are found by looking.
        watcher = watcher.or_else(|| {
            let folder = manager.wanted.folder.as_deref()?;
            wake_on_change(folder, RecursiveMode::NonRecursive, Arc::clone(&wake)).ok()
        });
        let looker = Arc::clone(manager);
        let round = tokio::task::spawn_blocking(move || looker.renew());
        let soon = tokio::select! {
            soon = round => soon.ok().flatten(),
            () = shutdown.draining() => return,
        };
        looked.notify_one();
        tokio::select! {
            () = wake.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(soon.unwrap_or_else(|| beat::until_next(RESCAN))) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Writes the status files soon after each look, and every few seconds while a look takes long, as one does that compiles.
async fn publish(manager: &Arc<PipelineManager>, looked: &Notify, shutdown: &Shutdown) {
    while !shutdown.asked() {
        let writer = Arc::clone(manager);
        let _ = tokio::task::spawn_blocking(move || {
            writer.ensure();
            writer.publish(true);
        })
        .await;
        tokio::select! {
            () = looked.notified() => {}
            () = tokio::time::sleep(2 * RESCAN) => {}
            () = shutdown.draining() => return,
        }
    }
}
