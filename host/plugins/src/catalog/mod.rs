//! The plugins of the process: for each one its files as last seen, the last good component with its settings, and what is
//! wrong with the present files. Pipelines are built from it.
//!
//! Start at [`Catalog::look`]. The daemon calls it again and again: it looks at the file system, loads what has changed (see
//! `load`), and returns a [`Snapshot`] of all plugins. Nothing here chooses a thread or changes a pipeline in use.
//! [`Catalog::snapshot`] looks without loading: it takes almost no time, even while another thread compiles.
//!
//! # Guarantees
//! A plugin exists from the moment its component, `NAME.wasm`, is in the folder. Until the component is loaded, the plugin is
//! compiling, and the messages that its present sidecar selects wait; if the sidecar cannot be read, all messages. The same
//! holds for a file that comes back, for one that enables or reinstalls a plugin, and for a sidecar that changes while its
//! component compiles, however long that takes. An earlier component stays in service meanwhile.
//!
//! A caller that checks [`Catalog::is_current`] after it took up a message, and takes another snapshot if that is false, does
//! not miss a component that was in the folder before the message. It is true only if the directory has the times and the
//! inode that it had before it was last listed, those times were two seconds old by then, and no file of a plugin that does
//! not serve has changed. This holds on local file systems; a network file system may show a new name late.
//!
//! # Policy
//! - Files that may still be being written are left alone for a second, and files that were renamed into place for 0.2 s;
//!   the earlier component stays in service. A broken file is reported only after five seconds.
//! - While any file of the folder is changing, all changes wait, five seconds at most, so that files that are copied together
//!   take effect together.
//! - A broken file never replaces a good one, also over a restart: then the last good files serve, if a pin in the sidecar and
//!   their signatures allow it (see `kept`). If there was no good one, the plugin cannot answer. The valid filter keys of a
//!   sidecar with mistakes apply, unless its signature is refused.
//! - The signatures of a plugin that serves are checked again every minute. Once its signer is revoked or removed from the
//!   list, the plugin cannot answer.
//! - A broken plugin is loaded again every minute: the cause may be a list, a CRL or a lack of file handles.
//! - A component that is gone for two seconds is missing, and its plugin cannot answer until the file is back, or the plugin
//!   is uninstalled (`NAME.removed`) or disabled (`enabled = false`). A file that was deleted before it was loaded is forgotten.
//! - A new version of a table or a secret has the plugins that use it loaded again, as a new sidecar would.
//! - If a sidecar is gone for two seconds, a plugin in service keeps its settings, and one that is not in service cannot
//!   answer. An empty file is a valid sidecar.
//! - The first look of the process does not wait: the files are loaded as they are. A plugin that changes during that look
//!   cannot answer until the next.

mod entry;
mod facts;
pub(crate) mod filter;
pub(crate) mod folder;
pub(crate) mod inspect;
pub(crate) mod kept;
mod last_good;
pub(crate) mod load;
pub(crate) mod plugins;
pub(crate) mod provenance;
pub(crate) mod remembered;
pub(crate) mod removal;
mod report;
pub(crate) mod rollback;
pub(crate) mod settings;
pub(crate) mod sidecar;
pub(crate) mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use message::locked;

use self::entry::{Entry, Origin};
use self::facts::Facts;
use self::folder::{DirectoryFacts, FolderError, StageSource};
use self::kept::Kept;
use self::sidecar::Sidecar;
use self::status::{PluginState, PluginStatus};
use crate::catalog::plugins::Plugins;
use crate::resources::{Surroundings, store};

/// How soon to look again while something is changing.
const SOON: Duration = Duration::from_millis(200);

/// How long to wait while files change.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The files of a plugin must be unchanged for this long.
    quiet: Duration,
    /// The same for files whose metadata does not show that they are complete.
    settle: Duration,
    /// A component is missing after it has been gone for this long.
    vanished: Duration,
    /// Files wait this long for others that are changing.
    together: Duration,
    /// A broken file is reported after this long.
    patience: Duration,
    /// Broken files are loaded again, and signatures checked again, after this long: the cause may lie elsewhere.
    again: Duration,
}

const PACE: Pace = Pace {
    quiet: Duration::from_millis(200),
    settle: Duration::from_secs(1),
    vanished: Duration::from_secs(2),
    together: Duration::from_secs(5),
    patience: Duration::from_secs(5),
    again: Duration::from_secs(60),
};

impl Pace {
    /// That of tables and secrets.
    fn of_resources(&self) -> store::Pace {
        store::Pace { quiet: self.quiet, settle: self.settle, vanished: self.vanished }
    }
}

/// How much a look may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Loads components that are already compiled; the others are shown as compiling.
    Quick,
    /// Compiles, which can take minutes. Only one such look runs at a time.
    Full,
}

/// A change of a directory more than this long after the last one shows in its times.
const SETTLED: Duration = Duration::from_secs(2);

/// A plugin folder as last listed.
#[derive(Debug)]
struct Listed {
    facts: DirectoryFacts,
    /// Whether the directory was unchanged long enough for its times to show the next change.
    settled: bool,
}

/// The plugins that channels use.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The plugin folder, if a channel takes its plugins from there.
    pub folder: Option<PathBuf>,
    /// Plugins that pipelines list.
    pub named: Vec<NamedStage>,
    /// What sidecars may name.
    pub around: Surroundings,
}

/// A plugin that a pipeline lists.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedStage {
    /// `builtin:NAME`, or the path of a component.
    pub name: String,
    /// The settings of `[plugin."NAME"]`; for a file, `None` means the sidecar beside it.
    pub settings: Option<Sidecar>,
}

/// All plugins at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    folder: Vec<PluginStatus>,
    named: HashMap<String, PluginStatus>,
    /// Why the folder cannot be used now; its plugins are as they were.
    pub unusable: Option<Arc<FolderError>>,
    /// When to look again, if before the usual time.
    pub soon: Option<Duration>,
    /// Whether a plugin changed while it was loaded for the first time, so that it has no good component yet.
    pub unsettled: bool,
    /// The version of the catalog that it shows, see [`Catalog::is_current`].
    pub version: u64,
}

impl Snapshot {
    /// The plugins of the folder, in order, also those that are disabled, uninstalled or missing.
    #[must_use]
    pub fn folder(&self) -> &[PluginStatus] {
        &self.folder
    }

    /// A plugin that a pipeline lists; one that is not in the snapshot cannot answer.
    #[must_use]
    pub fn named(&self, stage: &NamedStage) -> PluginStatus {
        let unknown = || PluginStatus::broken(named_name(stage), None, "is not loaded yet".to_owned());
        self.named.get(&stage.key()).cloned().unwrap_or_else(unknown)
    }
}

impl NamedStage {
    /// The same name with different settings is a different plugin.
    fn key(&self) -> String {
        format!("{}\n{:?}", self.name, self.settings)
    }

    /// The path of its files without their endings; a stock plugin has none.
    fn stem(&self) -> Option<PathBuf> {
        let file = (!self.name.starts_with(crate::component::builtin::PREFIX)).then_some(self.name.as_str())?;
        Some(PathBuf::from(file.strip_suffix(".wasm").unwrap_or(file)))
    }
}

/// All plugins of the process.
#[derive(Debug)]
pub struct Catalog {
    plugins: Arc<Plugins>,
    pace: Pace,
    /// Held during a full look.
    looking: Mutex<()>,
    entries: Mutex<Entries>,
    /// The errors that were logged and still apply, by subject.
    reported: Mutex<HashMap<String, String>>,
    /// The last good files, where there is a cache.
    kept: Option<Kept>,
    /// The files that are kept, as they were seen.
    recorded: Mutex<HashMap<PathBuf, Facts>>,
}

#[derive(Debug, Default)]
struct Entries {
    /// The folders in use: a reload may use another one besides that of the running daemon.
    folders: BTreeMap<PathBuf, Listed>,
    /// Incremented with every change.
    version: u64,
    around: Surroundings,
    stages: BTreeMap<PathBuf, Entry>,
    named: BTreeMap<String, Entry>,
}

/// Where an entry is.
#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Named(Box<NamedStage>),
}

impl Place {
    /// The files of the plugin as they are now.
    fn files(&self) -> StageSource {
        match self {
            Self::Folder(stem) => folder::stage(stem),
            Self::Named(stage) => StageSource::named(&stage.name, stage.settings.clone()),
        }
    }

    /// The path of its files without their endings; a stock plugin has none.
    fn stem(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(stem) => Some(stem.clone()),
            Self::Named(stage) => stage.stem(),
        }
    }
}

/// A plugin to be loaded, and its files as seen before loading.
struct Job {
    place: Place,
    facts: Facts,
    /// Whether it does not wait for others that are changing.
    alone: bool,
}

/// A plugin that was loaded, and what serves if it cannot.
struct Load {
    job: Job,
    status: PluginStatus,
    last_good: Option<PluginStatus>,
}

impl Catalog {
    /// An empty catalog.
    #[must_use]
    pub fn new(plugins: Arc<Plugins>) -> Self {
        let (looking, entries, reported) = (Mutex::default(), Mutex::default(), Mutex::default());
        let kept = plugins.cache().map(Kept::new);
        Self { plugins, pace: PACE, looking, entries, reported, kept, recorded: Mutex::default() }
    }

    /// Looks at the files, loads those that have changed, and returns all plugins. Everything that one look finds takes effect
    /// in one [`Snapshot`].
    #[must_use]
    pub fn look(&self, wanted: &Wanted, effort: Effort) -> Snapshot {
        let _turn = (effort == Effort::Full).then(|| locked(&self.looking));
        let (jobs, mut snapshot) = self.survey(wanted, true);
        let checked = if effort == Effort::Full { self.recheck_signatures(wanted) } else { Vec::new() };
        let mut loaded: Vec<Load> = jobs.into_iter().map(|job| self.load(job, wanted, effort)).collect();
        // Files that changed meanwhile are loaded at the next look, together with those copied with them.
        let all_the_same = loaded.iter().all(|load| self.facts(&load.job.place) == load.job.facts);
        loaded.retain(|load| all_the_same || load.job.alone && self.facts(&load.job.place) == load.job.facts);
        let mut entries = locked(&self.entries);
        for Load { job, status, last_good } in loaded {
            entries.version += 1;
            if let Some(entry) = entries.entry(&job.place).filter(|entry| entry.has(&job.facts)) {
                last_good.into_iter().for_each(|good| entry.reinstate(good));
                entry.take(status);
            }
        }
        for (place, facts, withdrawn) in checked {
            entries.version += u64::from(withdrawn.is_some());
            if let Some(entry) = entries.entry(&place).filter(|entry| entry.has(&facts)) {
                entry.record_signature_check(withdrawn);
            }
        }
        entries.show(wanted, &mut snapshot);
        drop(entries);
        snapshot
    }

    fn load(&self, job: Job, wanted: &Wanted, effort: Effort) -> Load {
        let files = job.place.files();
        let status = load::load(&self.plugins, &files, &wanted.around, effort);
        let broken = status.state == PluginState::Broken && !status.is_shadow();
        let serves = || locked(&self.entries).entry(&job.place).is_some_and(|entry| entry.serves());
        let last_good = if broken && !serves() { self.last_good(&job.place, &files, wanted, effort) } else { None };
        Load { job, status, last_good }
    }

    /// Looks at the files without loading them: plugins that are not loaded yet are compiling. Takes almost no time.
    #[must_use]
    pub fn snapshot(&self, wanted: &Wanted) -> Snapshot {
        let (_, mut snapshot) = self.survey(wanted, false);
        locked(&self.entries).show(wanted, &mut snapshot);
        snapshot
    }

    /// Whether a [`Snapshot`] of this version is up to date: the catalog has not changed, no component was added to the folder,
    /// and no file of a plugin that does not serve has changed. Takes a few calls of `stat`.
    #[must_use]
    pub fn is_current(&self, wanted: &Wanted, version: u64) -> bool {
        let entries = locked(&self.entries);
        if entries.version != version {
            return false;
        }
        if let Some(folder) = &wanted.folder {
            let now = DirectoryFacts::of(folder);
            let same = entries.folders.get(folder).is_some_and(|listed| listed.settled && listed.facts == now);
            if !same {
                return false;
            }
        }
        let unchanged = |entry: &Entry, stem: &Path| entry.serves() || entry.has(&Facts::of(stem));
        entries.of_folder(wanted).all(|(stem, entry)| unchanged(entry, stem))
            && wanted
                .named
                .iter()
                .filter_map(|stage| Some((stage, stage.stem()?)))
                .all(|(stage, stem)| entries.named.get(&stage.key()).is_some_and(|entry| unchanged(entry, &stem)))
    }

    /// Reads the settings of plugins that are not loaded yet: the messages they select wait.
    fn preview(&self, wanted: &Wanted, entries: &mut Entries) {
        for place in entries.places(wanted) {
            let Some(entry) = entries.entry(&place).filter(|entry| entry.needs_preview()) else { continue };
            let files = place.files();
            entry.preview(load::preview(&self.plugins, &files, &wanted.around.channels), files.tombstone);
        }
    }

    /// Checks the signatures of plugins that serve, if due. Returns why each must be withdrawn, if it must.
    fn recheck_signatures(&self, wanted: &Wanted) -> Vec<(Place, Facts, Option<String>)> {
        let clock = Instant::now();
        let mut entries = locked(&self.entries);
        let mut due: Vec<(Place, Facts)> = Vec::new();
        for place in entries.places(wanted) {
            let entry = entries.entry(&place).filter(|entry| entry.signature_check_due(&self.pace, clock));
            due.extend(entry.map(|entry| entry.facts()).map(|facts| (place, facts)));
        }
        drop(entries);
        let check = |(place, facts): (Place, Facts)| {
            let withdrawn = self.plugins.provenance().withdrawn(&place.files());
            (place, facts, withdrawn)
        };
        due.into_iter().map(check).collect()
    }

    /// Finds the plugins to be loaded now.
    fn survey(&self, wanted: &Wanted, loading: bool) -> (Vec<Job>, Snapshot) {
        let mut snapshot = Snapshot::default();
        let mut entries = locked(&self.entries);
        let entries = &mut *entries;
        if loading && entries.around != wanted.around {
            entries.around.clone_from(&wanted.around);
            entries.all().for_each(Entry::invalidate);
        }
        if loading {
            let changes = self.plugins.store().look(&wanted.around, &self.pace.of_resources());
            snapshot.soon = changes.pending.then_some(SOON);
            entries.all().filter(|entry| entry.uses(&changes)).for_each(Entry::invalidate);
        }
        let listed = wanted.folder.as_deref().map_or(Ok(()), |folder| entries.list(folder));
        snapshot.unusable = listed.err().map(Arc::new);
        let usable = snapshot.unusable.is_none();
        for stage in &wanted.named {
            let entry = entries.named.entry(stage.key()).or_insert_with(|| named_entry(stage));
            entries.version += u64::from(entry.see(stage.stem().map(|stem| Facts::of(&stem)).unwrap_or_default()));
        }
        self.preview(wanted, entries);
        if !loading {
            return (Vec::new(), snapshot);
        }
        let clock = Instant::now();
        entries.all().for_each(|entry| entry.retry_broken(&self.pace, clock));
        let mut jobs = entries.jobs(wanted, &self.pace, &mut snapshot);
        jobs.retain(|job| usable || matches!(job.place, Place::Named(_)));
        (jobs, snapshot)
    }

    fn facts(&self, place: &Place) -> Facts {
        place.stem().map(|stem| Facts::of(&stem)).unwrap_or_default()
    }
}

impl Entries {
    /// Records the files of a folder as they are now.
    fn list(&mut self, folder: &Path) -> Result<(), FolderError> {
        let facts = DirectoryFacts::of(folder);
        let settled = facts.is_older_than(SystemTime::now(), SETTLED);
        let stems = stems(folder)?;
        let first = self.folders.insert(folder.to_owned(), Listed { facts, settled }).is_none();
        for stem in stems {
            let fresh = || Entry::new(file_name(&stem), Origin::Folder, first);
            self.stages.entry(stem.clone()).or_insert_with(fresh);
        }
        let own = self.stages.iter_mut().filter(|(stem, _)| stem.parent() == Some(folder));
        let news = own.filter_map(|(stem, entry)| entry.see(Facts::of(stem)).then_some(())).count();
        self.version += news as u64;
        self.stages.retain(|_, entry| !entry.is_nothing());
        Ok(())
    }

    /// The plugins of the wanted folder.
    fn of_folder<'a>(&'a self, wanted: &'a Wanted) -> impl Iterator<Item = (&'a PathBuf, &'a Entry)> {
        let folder = wanted.folder.as_deref();
        self.stages.iter().filter(move |(stem, _)| folder.is_some() && stem.parent() == folder)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.stages.values_mut().chain(self.named.values_mut())
    }

    fn entry(&mut self, place: &Place) -> Option<&mut Entry> {
        match place {
            Place::Folder(stem) => self.stages.get_mut(stem),
            Place::Named(stage) => self.named.get_mut(&stage.key()),
        }
    }

    fn places(&self, wanted: &Wanted) -> Vec<Place> {
        let folder = self.of_folder(wanted).map(|(stem, _)| Place::Folder(stem.clone()));
        folder.chain(wanted.named.iter().cloned().map(Box::new).map(Place::Named)).collect()
    }

    /// The plugins to be loaded now; none while others of the folder are changing.
    fn jobs(&mut self, wanted: &Wanted, pace: &Pace, snapshot: &mut Snapshot) -> Vec<Job> {
        let (now, clock) = (SystemTime::now(), Instant::now());
        let mut jobs = Vec::new();
        let (mut moving, mut longest) = (false, Duration::ZERO);
        for place in self.places(wanted) {
            let Some(entry) = self.entry(&place) else { continue };
            let acted = entry.end_patience(pace, clock);
            self.version += u64::from(acted);
            let Some(entry) = self.entry(&place) else { continue };
            if !entry.is_loaded() {
                let whole = entry.is_whole(pace, now, clock);
                moving |= !whole;
                longest = longest.max(entry.since(clock));
                if whole {
                    let alone = matches!(place, Place::Named(_));
                    jobs.push(Job { facts: entry.facts(), place, alone });
                }
            }
            if entry.is_pending() {
                snapshot.soon = Some(SOON);
            }
        }
        jobs.iter_mut().for_each(|job| job.alone |= longest > pace.together);
        if moving {
            snapshot.soon = Some(SOON);
            jobs.retain(|job| job.alone);
        }
        jobs
    }

    fn show(&self, wanted: &Wanted, snapshot: &mut Snapshot) {
        snapshot.version = self.version;
        let named = wanted.named.iter().map(NamedStage::key);
        let folder = self.of_folder(wanted).map(|(_, entry)| entry);
        if folder.chain(named.clone().filter_map(|key| self.named.get(&key))).any(Entry::is_unsettled) {
            (snapshot.unsettled, snapshot.soon) = (true, Some(SOON));
        }
        snapshot.folder = self.of_folder(wanted).filter_map(|(_, entry)| entry.status()).collect();
        snapshot.named = named.filter_map(|key| Some((key.clone(), self.named.get(&key)?.status()?))).collect();
    }
}

/// A folder that does not exist has no plugins. One that cannot be read is an error: messages must not pass unchecked.
fn stems(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    match folder.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => folder::stems(folder),
    }
}

fn named_entry(stage: &NamedStage) -> Entry {
    let origin = if stage.settings.is_some() { Origin::Configured } else { Origin::Listed };
    Entry::new(named_name(stage), origin, true)
}

fn file_name(stem: &Path) -> String {
    folder::file_name(&folder::beside(stem, ".wasm"))
}

fn named_name(stage: &NamedStage) -> String {
    stage.stem().map_or_else(|| stage.name.clone(), |stem| file_name(&stem))
}
