//! The pipelines of running channels: made at start, and replaced while files of the plugin folder come and go.
//!
//! Start at [`Live::renew`]. What stages there are is found out by the plugin module's shelf and roster; here a channel's
//! pipeline is put together from them, what it stands for is made durable, and only then is it swapped in. Messages that
//! are in work finish on the one they began with. All of it blocks and runs where no signal and no heart-beat waits for it.
//!
//! # No message passes a plugin that is not ready yet
//! Senders and receivers call [`Live::ensure`] after they took a message up and before they load the pipeline: where the shelf
//! has learnt anything since the pipelines were put together, or a file has come into the folder, they are put together
//! again first, with every component that is not compiled yet as a stage that holds its messages. So a message that came
//! after a plugin was visible in the folder meets that plugin, however late the kernel's notice is and however long it is
//! compiled. Where this cannot be made durable, no message is taken up.
//!
//! Pipelines are put together under one lock from how the shelf stands at that moment, so that a late look never brings
//! back an earlier state.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notify::event::AccessKind;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::Shared;
use super::status::Status;
use crate::channel::{JOURNAL, OpenSpool, SetupError};
use crate::config::{self, Config};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::shutdown::Shutdown;
use message::{Direction, locked};
use plugins::{
    ChannelReport, Current, Effort, NamedStage, Pipeline, PipelineSettings, PluginError, Remembered, SideCar, Stand,
    Standing, TOTAL_TIME, Wanted, roster,
};
use spool::journal::{Journal, JournalError, PipelineStage, StageRow};

/// How often the plugin folder is looked at without a notice of the kernel.
const RESCAN: Duration = Duration::from_secs(2);
/// How long a notice waits for others.
const GATHER: Duration = Duration::from_millis(50);
/// How long a start waits for stages that a pipeline lists: a mistake in one is to stop the start.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// How often a beginning looks at stages that change meanwhile.
const LOOKS: u32 = 5;
const PASSTHROUGH: &str = "builtin:passthrough";

/// A pipeline and what it was made from.
#[derive(Debug)]
pub struct Made {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// All stages, also those that do not concern the channel or were ended.
    pub stages: Vec<Standing>,
    remembered: Vec<Remembered>,
}

/// A channel whose pipeline is kept up to date.
#[derive(Debug)]
pub(super) struct Post {
    channel: String,
    direction: Direction,
    spool: Arc<OpenSpool>,
    directory: PathBuf,
    holder: Holder,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    remembered: Vec<Remembered>,
    stages: Vec<Standing>,
}

#[derive(Debug)]
pub(super) enum Holder {
    Sender(Arc<Sender>),
    Receiver(Arc<Receiver>),
}

/// The channels of a daemon, with what their stages are found out from.
#[derive(Debug)]
pub(super) struct Live {
    shared: Shared,
    config: Config,
    wanted: Wanted,
    posts: Vec<Post>,
    /// Whether it was said that status files cannot be written.
    unwritable: AtomicBool,
    /// The same of a journal.
    unrecorded: AtomicBool,
    turn: Mutex<Turn>,
    /// The version of the shelf's state that the pipelines were put together from; 0 where they are to be put together again.
    applied: AtomicU64,
    /// Wakes what compiles.
    wake: Arc<Notify>,
}

/// Whose turn it is to write what stages there are: a daemon takes over the journals of the one it replaces, which may still
/// be compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing was written since it runs.
    New,
    Running,
    Over,
}

/// The pipeline of a channel as it would be if it started now, for whoever only looks: the stages it lists, else those of the
/// plugin folder and those that are remembered, else `builtin:passthrough`. Compiles what is not compiled.
///
/// # Errors
/// [`SetupError::Plugins`] for named plugins that cannot be loaded, [`SetupError::PluginFolder`] for the folder,
/// [`SetupError::Journal`] where it is not known what stages there were.
pub fn pipeline(shared: &Shared, config: &Config, channel: &str, direction: Direction) -> Result<Made, SetupError> {
    let stand = look(shared, &wanted(config, |name| name == channel), Effort::Full);
    let journal = directory(config, channel, direction).map(|directory| directory.join(JOURNAL));
    // One that may not be looked at is there: that it cannot be opened is to be told.
    let there = |journal: &PathBuf| !matches!(journal.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound);
    let remembered = match journal.filter(there) {
        Some(journal) => remembered(&Journal::open_to_read(&journal)?, channel)?,
        None => Vec::new(),
    };
    made(config, &stand, (channel, direction), &remembered, None)
}

/// The plugins of a channel that have to be compiled before [`pipeline`] answers.
pub(crate) fn compiling(shared: &Shared, config: &Config, channel: &str) -> Vec<String> {
    let wanted = wanted(config, |name| name == channel);
    let stand = shared.shelf.look(&wanted, Effort::Quick);
    let named = wanted.named.iter().map(|stage| stand.named(stage));
    let all = stand.folder().iter().cloned().chain(named);
    all.filter(Standing::is_compiling).map(|standing| standing.name().to_owned()).collect()
}

/// The directory with lock and journal of a channel.
pub(crate) fn directory<'a>(config: &'a Config, channel: &str, direction: Direction) -> Option<&'a Path> {
    match direction {
        Direction::Outbound => config.senders.get(channel).map(|sender| sender.state.as_path()),
        Direction::Inbound => config.receivers.get(channel).map(|receiver| receiver.spool.as_path()),
    }
}

/// What the chosen channels of a configuration run.
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
    let settings = config.plugin.get(&stage.to_string()).map(SideCar::from);
    let name = match stage {
        config::Stage::Builtin(_) => stage.to_string(),
        config::Stage::File(name) => config.plugins.folder.join(format!("{name}.wasm")).to_string_lossy().into_owned(),
    };
    NamedStage { name, settings }
}

/// Looks at all stages, again where one changed meanwhile: whoever begins with what is found may never look again.
pub(super) fn look(shared: &Shared, wanted: &Wanted, effort: Effort) -> Stand {
    let mut stand = shared.shelf.look(wanted, effort);
    for _ in 1..LOOKS {
        let Some(soon) = stand.soon.filter(|_| stand.unsettled) else { break };
        std::thread::sleep(soon);
        stand = shared.shelf.look(wanted, effort);
    }
    stand
}

/// Looks at all stages for a daemon that is about to start: what is compiled is loaded, what a pipeline lists is waited for
/// a moment, and the rest is compiled later.
pub(super) fn look_at_start(shared: &Shared, wanted: &Wanted) -> Stand {
    let stand = look(shared, wanted, Effort::Quick);
    if !wanted.named.iter().any(|stage| stand.named(stage).is_compiling()) {
        return stand;
    }
    let (shelf, all) = (Arc::clone(&shared.shelf), wanted.clone());
    let (done, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(shelf.look(&all, Effort::Full));
    });
    ready.recv_timeout(START_PATIENCE).unwrap_or_else(|_| shared.shelf.look(wanted, Effort::Quick))
}

/// The pipeline of a channel that is about to run; what it stands for is durable.
///
/// # Errors
/// As [`pipeline`].
pub(super) fn begin(
    config: &Config,
    stand: &Stand,
    (channel, direction): (&str, Direction),
    journal: &Journal,
) -> Result<Made, SetupError> {
    let made = made(config, stand, (channel, direction), &remembered(journal, channel)?, None)?;
    record(journal, channel, &made)?;
    Ok(made)
}

fn made(
    config: &Config,
    stand: &Stand,
    (channel, direction): (&str, Direction),
    remembered: &[Remembered],
    before: Option<&Pipeline>,
) -> Result<Made, SetupError> {
    let listed = listed(config, channel, direction);
    if let (None, Some(error)) = (listed, &stand.unusable) {
        return Err(SetupError::PluginFolder(Arc::clone(error)));
    }
    let made = compose(config, stand, (channel, direction), remembered, before);
    let unanswering = |standing: &Standing| {
        let reason = standing.unanswering()?.to_owned();
        Some(PluginError { plugin: standing.name().to_owned(), reason })
    };
    let refused: Vec<PluginError> = made.stages.iter().filter(|_| listed.is_some()).filter_map(unanswering).collect();
    if refused.is_empty() { Ok(made) } else { Err(SetupError::Plugins(refused)) }
}

fn listed<'a>(config: &'a Config, channel: &str, direction: Direction) -> Option<&'a Vec<config::Stage>> {
    match direction {
        Direction::Outbound => config.senders.get(channel)?.pipeline.as_ref(),
        Direction::Inbound => config.receivers.get(channel)?.pipeline.as_ref(),
    }
}

fn compose(
    config: &Config,
    stand: &Stand,
    (channel, direction): (&str, Direction),
    remembered: &[Remembered],
    before: Option<&Pipeline>,
) -> Made {
    let (stages, remembered): (Vec<Standing>, _) = match listed(config, channel, direction) {
        // What the folder held for the channel is remembered in case it is asked for again.
        Some(stages) => {
            let stages = stages.iter().map(|stage| stand.named(&named_stage(config, stage)));
            (stages.collect(), remembered.to_vec())
        }
        None => {
            let (stages, remembered) = roster(&config.plugins.folder, stand.folder(), remembered);
            let none = stages.iter().all(|standing| standing.ended() == Some("removed"));
            let stock = none.then(|| stand.named(&passthrough()));
            (stages.into_iter().chain(stock).collect(), remembered)
        }
    };
    let pipeline = Pipeline::assemble(&stages, settings(config, channel, direction), before);
    Made { pipeline, stages, remembered }
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

fn record(journal: &Journal, channel: &str, made: &Made) -> Result<(), JournalError> {
    let rows: Vec<StageRow> = made
        .remembered
        .iter()
        .map(|known| StageRow { name: known.name.clone(), filter: known.text(), tombstone: known.tombstone.clone() })
        .collect();
    let stages: Vec<PipelineStage> = made
        .pipeline
        .stages()
        .map(|stage| {
            let ready = stage.state.as_ref().ok();
            PipelineStage {
                name: stage.name.to_owned(),
                version: ready.map(|ready| ready.description.version.clone()).unwrap_or_default(),
                sha256: ready.map(|ready| ready.sha256.clone()).unwrap_or_default(),
            }
        })
        .collect();
    journal.record_stages(channel, &rows, made.pipeline.hash(), &stages)
}

impl Holder {
    fn pipeline(&self) -> Arc<Pipeline> {
        match self {
            Self::Sender(sender) => sender.pipeline(),
            Self::Receiver(receiver) => receiver.pipeline(),
        }
    }

    fn current(&self) -> &Current {
        match self {
            Self::Sender(sender) => sender.current(),
            Self::Receiver(receiver) => receiver.current(),
        }
    }

    fn adopt(&self, pipeline: Arc<Pipeline>) {
        match self {
            Self::Sender(sender) => sender.adopt(pipeline),
            Self::Receiver(receiver) => receiver.adopt(pipeline),
        }
    }
}

impl Post {
    /// A channel that runs with the pipeline it began with.
    pub(super) fn new(
        (channel, direction): (&str, Direction),
        (directory, spool): (&Path, Arc<OpenSpool>),
        holder: Holder,
        stages: (Vec<Standing>, Vec<Remembered>),
    ) -> Self {
        let known = Mutex::new(Known { stages: stages.0, remembered: stages.1 });
        Self { channel: channel.to_owned(), direction, spool, directory: directory.to_owned(), holder, known }
    }

    fn report(&self) -> ChannelReport {
        ChannelReport::of(&self.channel, &self.holder.pipeline(), &locked(&self.known).stages)
    }
}

impl Made {
    /// The pipeline, and what the channel has to know of its stages.
    pub(super) fn apart(self) -> (Arc<Pipeline>, (Vec<Standing>, Vec<Remembered>)) {
        (Arc::new(self.pipeline), (self.stages, self.remembered))
    }
}

impl Live {
    pub(super) fn new(shared: &Shared, config: &Config, wanted: Wanted, posts: Vec<Post>) -> Self {
        let (unwritable, unrecorded) = (AtomicBool::new(false), AtomicBool::new(false));
        let (turn, applied, wake) = (Mutex::new(Turn::New), AtomicU64::new(0), Arc::new(Notify::new()));
        Self {
            shared: shared.clone(),
            config: config.clone(),
            wanted,
            posts,
            unwritable,
            unrecorded,
            turn,
            applied,
            wake,
        }
    }

    /// Has the channels ask before they let a message meet their pipeline.
    pub(super) fn keep(self: &Arc<Self>) {
        for post in &self.posts {
            let live = Arc::downgrade(self);
            post.holder.current().keep(move || live.upgrade().is_some_and(|live| live.ensure()));
        }
    }

    /// Nothing is written or put into service from here on, also by a look that is still under way.
    pub(super) fn end(&self) {
        *locked(&self.turn) = Turn::Over;
    }

    /// Looks at the files and puts what has changed into service. Answers when to look again, if soon.
    fn renew(&self) -> Option<Duration> {
        let stand = self.shared.shelf.look(&self.wanted, Effort::Full);
        self.shared.shelf.report(&stand);
        self.apply();
        stand.soon
    }

    /// Makes sure that the pipelines know every plugin that lies in the folder; false where that is not possible now, and
    /// then no message is to be taken up.
    pub(super) fn ensure(&self) -> bool {
        let version = self.applied.load(Ordering::Acquire);
        (version != 0 && self.shared.shelf.is_current(&self.wanted, version)) || self.apply()
    }

    /// Puts the pipelines together as the shelf stands now. True where all of them are in service.
    fn apply(&self) -> bool {
        let mut turn = locked(&self.turn);
        if *turn == Turn::Over {
            return false;
        }
        let stand = self.shared.shelf.glance(&self.wanted);
        let first = *turn == Turn::New;
        let done = self.posts.iter().filter(|post| self.renew_channel(post, &stand, first)).count();
        if done < self.posts.len() {
            self.applied.store(0, Ordering::Release);
            return false;
        }
        *turn = Turn::Running;
        self.unrecorded.store(false, Ordering::Relaxed);
        self.applied.store(stand.version, Ordering::Release);
        true
    }

    /// Answers whether the journal knows of it.
    fn renew_channel(&self, post: &Post, stand: &Stand, first: bool) -> bool {
        let before = post.holder.pipeline();
        let mut known = locked(&post.known);
        let made = compose(&self.config, stand, (&post.channel, post.direction), &known.remembered, Some(&before));
        made.stages.iter().for_each(|standing| self.shared.shelf.say_waiting(&post.channel, standing));
        let changed = !made.pipeline.is_same(&before);
        if (first || changed || made.remembered != known.remembered)
            && let Err(error) = record(&post.spool.journal, &post.channel, &made)
        {
            if !self.unrecorded.swap(true, Ordering::Relaxed) {
                let error = message::cause::chain(&error);
                tracing::error!(
                    channel = post.channel,
                    error,
                    "cannot write the journal, so the plugins that changed are not in service; \
                     until it can be written, no message is taken up",
                );
            }
            return false;
        }
        let (pipeline, (stages, remembered)) = made.apart();
        *known = Known { remembered, stages };
        drop(known);
        if changed {
            let compiling: Vec<&str> =
                pipeline.stages().filter(|stage| stage.condition == "compiling").map(|stage| stage.name).collect();
            let (channel, hash) = (&post.channel, pipeline.hash());
            match compiling.as_slice() {
                [] => tracing::info!(channel, pipeline = hash, "pipeline in service"),
                plugins => {
                    tracing::info!(
                        channel,
                        pipeline = hash,
                        plugins = plugins.join(" "),
                        "a plugin is being compiled; the messages it applies to wait until it serves",
                    );
                    self.wake.notify_one();
                }
            }
            post.holder.adopt(Arc::clone(&pipeline));
        }
        true
    }

    /// Writes what is to be told of the channels beside the journals.
    fn publish(&self, running: bool) {
        let mut directories: Vec<&Path> = self.posts.iter().map(|post| post.directory.as_path()).collect();
        directories.sort();
        directories.dedup();
        let mut failed = false;
        for directory in directories {
            let posts = self.posts.iter().filter(|post| post.directory == directory);
            if let Err(error) = Status::now(running, posts.map(Post::report).collect()).write(directory) {
                failed = true;
                if !self.unwritable.swap(true, Ordering::Relaxed) {
                    let spool = directory.display();
                    tracing::warn!(%spool, %error, "cannot write what `sesame plugin list` reads");
                }
            }
        }
        self.unwritable.store(failed, Ordering::Relaxed);
    }
}

/// Keeps the pipelines up to date, and tells how they stand, until a stop is asked for.
pub(super) async fn watch(live: Arc<Live>, shutdown: Shutdown) {
    let told = Arc::new(Notify::new());
    tokio::join!(renew(&live, &told, &shutdown), tell(&live, &told, &shutdown));
    let _ = tokio::task::spawn_blocking(move || live.publish(false)).await;
}

/// The same for senders that quit when their queues are empty: what came into the folder meanwhile is compiled.
pub(super) async fn compile(live: Arc<Live>, shutdown: Shutdown) {
    tokio::select! {
        () = live.wake.notified() => renew(&live, &Notify::new(), &shutdown).await,
        () = shutdown.draining() => {}
    }
}

async fn renew(live: &Arc<Live>, told: &Notify, shutdown: &Shutdown) {
    let wake = Arc::clone(&live.wake);
    let mut watcher = None;
    while !shutdown.asked() {
        // A folder that is made later, or made anew, is noticed by looking at it.
        watcher = watcher.or_else(|| live.wanted.folder.as_deref().and_then(|folder| notices(folder, &wake)));
        let busy = Arc::clone(live);
        let round = tokio::task::spawn_blocking(move || busy.renew());
        let soon = tokio::select! {
            soon = round => soon.ok().flatten(),
            () = shutdown.draining() => return,
        };
        told.notify_one();
        tokio::select! {
            () = wake.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(soon.unwrap_or(RESCAN)) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Tells how things stand every few seconds, also while something is being compiled, and soon after each look.
async fn tell(live: &Arc<Live>, told: &Notify, shutdown: &Shutdown) {
    while !shutdown.asked() {
        let busy = Arc::clone(live);
        let _ = tokio::task::spawn_blocking(move || {
            busy.ensure();
            busy.publish(true);
        })
        .await;
        tokio::select! {
            () = told.notified() => {}
            () = tokio::time::sleep(RESCAN) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Has the kernel tell of changes in the folder; nothing where it cannot, and then they are found by looking.
fn notices(folder: &Path, wake: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let wake = Arc::clone(wake);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own looking is told too: to wake for that would never end.
        let looked_at =
            event.is_ok_and(|event| matches!(event.kind, EventKind::Access(AccessKind::Open(_) | AccessKind::Read)));
        if !looked_at {
            wake.notify_one();
        }
    });
    let mut watcher = watcher.ok()?;
    watcher.watch(folder, RecursiveMode::NonRecursive).ok().map(|()| watcher)
}
