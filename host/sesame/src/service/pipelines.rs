//! The pipeline of a channel: built from the plugins of the catalog, and recorded in the journal.
//!
//! A channel whose section lists plugins uses those. Any other channel uses the plugin folder and the plugins of it that the
//! journal remembers, or `builtin:passthrough` if there are none. [`begin`] builds the pipeline of a channel that is about to
//! run, [`pipeline`] that of a channel that a command looks at. While a channel runs, `manager` replaces its pipeline.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::channel::{Channel, JOURNAL, SetupError};
use crate::config::{self, Config};
use message::Direction;
use plugins::{
    Effort, NamedStage, PASSTHROUGH, Pipeline, PipelineSettings, PluginError, PluginState, PluginStatus, Remembered,
    Sidecar, Snapshot, Surroundings, TOTAL_TIME, Wanted, with_remembered,
};
use spool::journal::{Journal, JournalError, PipelineStage, StageRow};

/// How long a start waits for plugins that a pipeline lists to compile: a broken one must stop the start.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// How often plugins are looked at while they change.
const LOOKS: u32 = 5;

/// A pipeline and what it was built from.
#[derive(Debug)]
pub struct BuiltPipeline {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// All plugins, including those that do not apply to the channel or are disabled or uninstalled.
    pub stages: Vec<PluginStatus>,
    pub(super) remembered: Vec<Remembered>,
}

/// The plugins that the pipeline of a running channel was built from.
#[derive(Debug)]
pub(super) struct ChannelState {
    pub(super) stages: Vec<PluginStatus>,
    /// The plugins of the folder that the journal remembers.
    pub(super) remembered: Vec<Remembered>,
}

impl BuiltPipeline {
    /// The pipeline, and what it was built from.
    pub(super) fn into_parts(self) -> (Arc<Pipeline>, ChannelState) {
        (Arc::new(self.pipeline), ChannelState { stages: self.stages, remembered: self.remembered })
    }
}

/// The pipeline of a channel as it would be if it started now, for commands that only look. Compiles plugins that are not
/// compiled yet.
///
/// # Errors
/// [`SetupError::Plugins`] for listed plugins that cannot be loaded, [`SetupError::PluginFolder`] if the folder cannot be
/// read, [`SetupError::Journal`] if the remembered plugins cannot be read.
pub fn pipeline(shared: &Shared, config: &Config, channel: &Channel) -> Result<BuiltPipeline, SetupError> {
    let snapshot = look(shared, &wanted(config, |other| other == channel), Effort::Full);
    let journal = directory(config, channel).map(|directory| directory.join(JOURNAL));
    // Only a journal that is not there is left out: one that this user may not read is an error.
    let exists = |journal: &PathBuf| !matches!(journal.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound);
    let remembered = match journal.filter(exists) {
        Some(journal) => remembered(&Journal::open_to_read(&journal)?, channel.name())?,
        None => Vec::new(),
    };
    built(config, &snapshot, channel, &remembered)
}

/// The pipeline of a channel as it is now, and as it would be with the component in `file`: in the place of the plugin of its
/// name, or where the folder would have it, or at the end of a list.
///
/// # Errors
/// As for [`pipeline`], and [`SetupError::Plugins`] if the component cannot be used or does not apply to the channel.
pub(crate) fn with_candidate(
    shared: &Shared,
    config: &Config,
    channel: &Channel,
    file: &Path,
) -> Result<(Pipeline, Pipeline), SetupError> {
    let now = pipeline(shared, config, channel)?;
    let stage = NamedStage { name: file.to_string_lossy().into_owned(), settings: None };
    let wanted = Wanted { folder: None, named: vec![stage.clone()], around: around(config) };
    let candidate = look(shared, &wanted, Effort::Full).named(&stage);
    let (name, refused) = (candidate.name().to_owned(), PluginError::of(&candidate));
    if let Some(error) = refused {
        return Err(SetupError::Plugins(vec![error]));
    }
    let in_folder = listed(config, channel).is_none();
    let mut stages: Vec<PluginStatus> = now.stages;
    stages.retain(|status| status.name() != name && !(in_folder && status.name() == PASSTHROUGH));
    let after = |status: &PluginStatus| in_folder && *status.name() > *name;
    let at = stages.iter().position(after).unwrap_or(stages.len());
    stages.insert(at, candidate);
    let then = Pipeline::assemble(&stages, settings(config, channel), None);
    if !then.stages().any(|stage| stage.name == name) {
        let reason = "is disabled or in shadow in its sidecar, or its sidecar leaves the channel out".to_owned();
        return Err(SetupError::Plugins(vec![PluginError { plugin: name, reason }]));
    }
    Ok((now.pipeline, then))
}

/// The plugins of a channel that have to be compiled before [`pipeline`] answers.
pub(crate) fn compiling(shared: &Shared, config: &Config, channel: &Channel) -> Vec<String> {
    let wanted = wanted(config, |other| other == channel);
    let snapshot = shared.catalog.look(&wanted, Effort::Quick);
    let named = wanted.named.iter().map(|stage| snapshot.named(stage));
    let all = snapshot.folder().iter().cloned().chain(named);
    all.filter(PluginStatus::is_compiling).map(|status| status.name().to_owned()).collect()
}

/// The settings that senders and receivers have in common.
struct Section<'a> {
    directory: &'a Path,
    pipeline: Option<&'a [config::Stage]>,
    routes: Vec<&'a String>,
    max_payload: u64,
}

fn section<'a>(config: &'a Config, channel: &Channel) -> Option<Section<'a>> {
    match channel.direction() {
        Direction::Outbound => config.senders.get(channel.name()).map(|sender| Section {
            directory: &sender.state,
            pipeline: sender.pipeline.as_deref(),
            routes: sender.routes.keys().collect(),
            max_payload: sender.max_payload,
        }),
        Direction::Inbound => config.receivers.get(channel.name()).map(|receiver| Section {
            directory: &receiver.spool,
            pipeline: receiver.pipeline.as_deref(),
            routes: receiver.routes.keys().collect(),
            max_payload: receiver.max_payload,
        }),
    }
}

/// The directory with lock and journal of a channel.
pub(crate) fn directory<'a>(config: &'a Config, channel: &Channel) -> Option<&'a Path> {
    section(config, channel).map(|section| section.directory)
}

/// The plugins that the configuration lists for a channel; `None` if the channel uses the plugin folder.
pub(crate) fn listed<'a>(config: &'a Config, channel: &Channel) -> Option<&'a [config::Stage]> {
    section(config, channel)?.pipeline
}

/// The plugins that the chosen channels of a configuration use.
pub(super) fn wanted(config: &Config, chosen: impl Fn(&Channel) -> bool) -> Wanted {
    let lists: Vec<_> = Channel::all(config).filter(chosen).map(|channel| listed(config, &channel)).collect();
    let mut named = vec![passthrough()];
    for stage in lists.iter().flatten().copied().flatten().map(|stage| named_stage(config, stage)) {
        if !named.contains(&stage) {
            named.push(stage);
        }
    }
    let folder = lists.iter().any(|list| list.is_none()).then(|| config.plugins.folder.clone());
    Wanted { folder, named, around: around(config) }
}

/// What a sidecar may name.
pub(crate) fn around(config: &Config) -> Surroundings {
    Surroundings {
        channels: Channel::all(config).map(|channel| channel.name().to_owned()).collect(),
        tables: config.tables.clone(),
        secrets: config.secrets.clone(),
    }
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

/// Looks at all plugins, and again while one is changing, because the caller may look only once.
pub(super) fn look(shared: &Shared, wanted: &Wanted, effort: Effort) -> Snapshot {
    let mut snapshot = shared.catalog.look(wanted, effort);
    for _ in 1..LOOKS {
        let Some(soon) = snapshot.soon.filter(|_| snapshot.unsettled) else { break };
        std::thread::sleep(soon);
        snapshot = shared.catalog.look(wanted, effort);
    }
    snapshot
}

/// Looks at all plugins for a daemon that is about to start. Loads those that are compiled. If one that
/// a pipeline lists is not, waits for it up to [`START_PATIENCE`]. The rest is compiled while the daemon runs.
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
/// As for [`pipeline`], and [`SetupError::Journal`] if the journal cannot be written.
pub(super) fn begin(
    config: &Config,
    snapshot: &Snapshot,
    channel: &Channel,
    journal: &Journal,
) -> Result<BuiltPipeline, SetupError> {
    let built = built(config, snapshot, channel, &remembered(journal, channel.name())?)?;
    record(journal, channel.name(), &built)?;
    Ok(built)
}

/// As [`compose`], but fails if the channel must not start with these plugins.
fn built(
    config: &Config,
    snapshot: &Snapshot,
    channel: &Channel,
    remembered: &[Remembered],
) -> Result<BuiltPipeline, SetupError> {
    let listed = listed(config, channel);
    if let (None, Some(error)) = (listed, &snapshot.unusable) {
        return Err(SetupError::PluginFolder(Arc::clone(error)));
    }
    let built = compose(config, snapshot, channel, remembered, None);
    let refused: Vec<PluginError> = {
        let serving = built.stages.iter().filter(|status| listed.is_some() && !status.is_shadow());
        serving.filter_map(PluginError::of).collect()
    };
    if refused.is_empty() { Ok(built) } else { Err(SetupError::Plugins(refused)) }
}

/// Builds the pipeline of a channel; `before` is the one it replaces.
pub(super) fn compose(
    config: &Config,
    snapshot: &Snapshot,
    channel: &Channel,
    remembered: &[Remembered],
    before: Option<&Pipeline>,
) -> BuiltPipeline {
    let (stages, remembered): (Vec<PluginStatus>, _) = match listed(config, channel) {
        // The plugins of the folder stay remembered in case the channel uses them again.
        Some(stages) => {
            let stages = stages.iter().map(|stage| snapshot.named(&named_stage(config, stage)));
            (stages.collect(), remembered.to_vec())
        }
        None => {
            let (stages, remembered) = with_remembered(&config.plugins.folder, snapshot.folder(), remembered);
            let none = stages.iter().all(|status| status.state() == PluginState::Removed || status.is_shadow());
            let fallback = none.then(|| snapshot.named(&passthrough()));
            (stages.into_iter().chain(fallback).collect(), remembered)
        }
    };
    let pipeline = Pipeline::assemble(&stages, settings(config, channel), before);
    BuiltPipeline { pipeline, stages, remembered }
}

fn settings(config: &Config, channel: &Channel) -> PipelineSettings {
    let section = section(config, channel).map(|section| (section.routes, section.max_payload));
    let (routes, max_payload) = section.unwrap_or_default();
    PipelineSettings {
        stages: Vec::new(),
        channel: channel.name().to_owned(),
        around: around(config),
        direction: channel.direction(),
        routes: routes.into_iter().cloned().collect(),
        max_payload: usize::try_from(max_payload).unwrap_or(usize::MAX),
        total_time: TOTAL_TIME,
    }
}

fn remembered(journal: &Journal, channel: &str) -> Result<Vec<Remembered>, JournalError> {
    let rows = journal.stages(channel)?.into_iter();
    Ok(rows.map(|row| Remembered::from_text(row.name, row.filter.as_deref(), row.tombstone)).collect())
}

/// Records in the journal what the channel remembers, and the stages of its pipeline.
pub(super) fn record(journal: &Journal, channel: &str, built: &BuiltPipeline) -> Result<(), JournalError> {
    let rows: Vec<StageRow> = built
        .remembered
        .iter()
        .map(|known| StageRow { name: known.name.clone(), filter: known.text(), tombstone: known.tombstone.clone() })
        .collect();
    let mut stages: Vec<PipelineStage> = built
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
    for (table, sha256) in built.pipeline.stages().filter_map(|stage| stage.ready).flat_map(|ready| ready.tables) {
        let row = PipelineStage { name: format!("table {table}"), version: String::new(), sha256 };
        if !stages.contains(&row) {
            stages.push(row);
        }
    }
    journal.record_stages(channel, &rows, built.pipeline.hash(), &stages)
}
