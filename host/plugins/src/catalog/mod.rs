//! The plugins that lie ready: for each stage what was last seen of its files, the last good component with its last good
//! sidecar, and what is wrong with what lies there now. One for the process; pipelines are put together from it.
//!
//! Start at [`Catalog::look`]. It is called again and again while the program runs: it looks at the file system, judges what
//! has changed (read once, compile, probe, describe, check, `init`), and answers with a [`Snapshot`] of all stages. Nothing here
//! chooses a thread or touches a pipeline in use. [`Catalog::glance`] looks without judging: it takes no time, also while
//! another thread compiles.
//!
//! # What is guaranteed
//! A component counts from the moment its name, `NAME.wasm`, is in the folder. Until it is judged it is a stage that is
//! compiling: the messages wait to which its sidecar applies, as the file reads now; where that cannot be read, all
//! messages. So it is with a file that comes back, with one that begins an ended stage again, and with a sidecar that changes
//! while its component is compiled, however long that takes. Where an earlier component serves, that one goes on.
//!
//! A caller that asks [`Catalog::is_current`] after it took a message up, and glances again where the answer is no, has not
//! missed a component that was there before the message: the answer is yes only where the directory has the times and the
//! inode that it had before it was listed last, those were two seconds old by then, and no file of a stage that does not
//! serve has changed. This holds on local file systems; a network file system may show a new name late.
//!
//! # Policy
//! - Files that may still be being written are left alone for a second, and those that were put in place by a rename for a
//!   fifth of one: what was in service stays. One that is no good is given five seconds in which it may still become good
//!   before anything is said of it.
//! - While any file of the folder is changing, all wait for each other, five seconds at most, so that files that were copied
//!   together take effect together.
//! - A file that is no good never replaces a good one. Where there was no good one it is a stage that cannot answer; of a
//!   sidecar with mistakes the filter holds that could be understood, unless its signature is refused.
//! - One that is signed and serves is asked about every minute: once its signer is revoked or off the list, it is a stage
//!   that cannot answer.
//! - One that is no good is judged again every minute: what it lacked may be a line in a list, a CRL or a free file handle.
//! - A component that is gone for two seconds is missing, and a stage that cannot answer. It stays one until it is back, or
//!   was ended: by a tombstone, or by `enabled = false` in its sidecar. Only a file that was never a stage, because it was
//!   gone before it was found good or bad, leaves nothing behind.
//! - So is a sidecar: one that is gone for two seconds is missed, the settings it had serve on, and a stage that is not in
//!   service without it cannot answer. An empty one takes its place.
//! - At the first look of the process nothing is waited for: whatever lies there is judged as it is. What changes during
//!   that look is a stage that cannot answer until the next.

mod entry;
mod facts;
pub(crate) mod filter;
pub(crate) mod folder;
pub(crate) mod provenance;
pub(crate) mod remembered;
pub(crate) mod removal;
pub(crate) mod settings;
pub(crate) mod sidecar;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub(crate) use self::entry::sidecar_gone;
use self::entry::{Entry, Verdict};
use self::facts::Facts;
pub(crate) use self::status::Condition;
pub use self::status::PluginStatus;
use crate::catalog::folder::{DirectoryFacts, FolderError, Source, StageSource};
use crate::catalog::sidecar::Sidecar;
use crate::component::plugins::Plugins;
use crate::pipeline::{Mistaken, load_component, settings};

/// How soon to look again while something is changing.
const SOON: Duration = Duration::from_millis(200);

/// How long a change is waited for.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The files of a stage must have stayed as they are for so long,
    quiet: Duration,
    /// or for so long where it does not show that they are finished.
    settle: Duration,
    /// A component is missing when it has been gone for so long.
    vanished: Duration,
    /// Files wait for so long for others that are changing.
    together: Duration,
    /// A file that is no good may still become good for so long before anything is said of it.
    patience: Duration,
    /// What was found to be no good is judged again after so long: the reason may have been elsewhere.
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

/// How much a look may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Loads what is compiled already; the rest is found to be compiling.
    Quick,
    /// Compiles, which can take minutes. One such look at a time.
    Full,
}

/// After so long a change of a directory shows in its times, whatever else happens.
const SETTLED: Duration = Duration::from_secs(2);

/// A plugin folder as it was when it was listed last.
#[derive(Debug)]
struct Listed {
    facts: DirectoryFacts,
    /// Whether the directory had not changed for long enough that its times tell of the next change.
    settled: bool,
}

/// What channels want to run.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The plugin folder, if a channel takes its stages from there.
    pub folder: Option<PathBuf>,
    /// Stages that pipelines list.
    pub named: Vec<NamedStage>,
    /// The names of all channels, so that a sidecar that names none of them is found out.
    pub channels: Vec<String>,
}

/// A stage that a pipeline lists.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedStage {
    /// `builtin:NAME`, or the path of a component.
    pub name: String,
    /// The settings of `[plugin."NAME"]`; for a file, `None` means the sidecar beside it.
    pub settings: Option<Sidecar>,
}

/// How all stages stand after a look.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    folder: Vec<PluginStatus>,
    named: HashMap<String, PluginStatus>,
    /// The folder cannot be used now; its stages are as they were.
    pub unusable: Option<Arc<FolderError>>,
    /// When it is worth looking again, if before the usual time.
    pub soon: Option<Duration>,
    /// Whether a stage changed while it was loaded for the first time, so that nothing good is known of it.
    pub unsettled: bool,
    /// Which of the shelf's states it shows, see [`Catalog::is_current`].
    pub version: u64,
}

impl Snapshot {
    /// The stages of the folder, in order; also those that were ended, and those that are missing.
    #[must_use]
    pub fn folder(&self) -> &[PluginStatus] {
        &self.folder
    }

    /// A stage that a pipeline lists; one that was not looked at cannot answer.
    #[must_use]
    pub fn named(&self, stage: &NamedStage) -> PluginStatus {
        let unknown = || PluginStatus::unloaded(named_name(stage), "was not looked at: look again");
        self.named.get(&stage.key()).cloned().unwrap_or_else(unknown)
    }
}

impl NamedStage {
    /// The same name with other settings is another stage.
    fn key(&self) -> String {
        format!("{}\n{:?}", self.name, self.settings)
    }

    /// What its files begin with; a stock plugin has none.
    fn stem(&self) -> Option<PathBuf> {
        let file = (!self.name.starts_with(crate::component::builtin::PREFIX)).then_some(self.name.as_str())?;
        Some(PathBuf::from(file.strip_suffix(".wasm").unwrap_or(file)))
    }
}

/// All stages of the process.
#[derive(Debug)]
pub struct Catalog {
    plugins: Arc<Plugins>,
    pace: Pace,
    /// Held through a full look.
    looking: Mutex<()>,
    entries: Mutex<Entries>,
    said: Mutex<HashMap<String, String>>,
}

#[derive(Debug, Default)]
struct Entries {
    /// The folders that were looked at: a reload builds a daemon with another one beside that which runs.
    folders: BTreeMap<PathBuf, Listed>,
    /// Counts what was learnt.
    version: u64,
    channels: Vec<String>,
    stages: BTreeMap<PathBuf, Entry>,
    named: BTreeMap<String, Entry>,
}

/// Where a slot is.
#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Named(Box<NamedStage>),
}

/// A stage to be judged, and what was seen of its files before.
struct Job {
    place: Place,
    facts: Facts,
    /// Whether it waits no longer for others that are changing.
    alone: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Catalog {
    /// An empty shelf.
    #[must_use]
    pub fn new(plugins: Arc<Plugins>) -> Self {
        Self { plugins, pace: PACE, looking: Mutex::default(), entries: Mutex::default(), said: Mutex::default() }
    }

    /// Looks at the files, judges what has changed, and says how all stages stand. All that one look finds takes effect
    /// in one [`Snapshot`].
    #[must_use]
    pub fn look(&self, wanted: &Wanted, effort: Effort) -> Snapshot {
        let _turn = (effort == Effort::Full).then(|| locked(&self.looking));
        let (jobs, mut snapshot) = self.survey(wanted, true);
        let asked = if effort == Effort::Full { self.recheck_signatures(wanted) } else { Vec::new() };
        let judge = |job: Job| (self.judge(&job.place, wanted, effort), job);
        let mut judged: Vec<(Verdict, Job)> = jobs.into_iter().map(judge).collect();
        // What changed meanwhile is judged at the next look, and what belongs together with it.
        let all_the_same = judged.iter().all(|(_, job)| self.facts(&job.place) == job.facts);
        judged.retain(|(_, job)| all_the_same || job.alone && self.facts(&job.place) == job.facts);
        let mut entries = locked(&self.entries);
        for (verdict, job) in judged {
            entries.version += 1;
            if let Some(entry) = entries.entry(&job.place).filter(|entry| entry.has(&job.facts)) {
                entry.take(verdict);
            }
        }
        for (place, facts, withdrawn) in asked {
            entries.version += u64::from(withdrawn.is_some());
            if let Some(entry) = entries.entry(&place).filter(|entry| entry.has(&facts)) {
                entry.record_signature_check(withdrawn);
            }
        }
        entries.show(wanted, &mut snapshot);
        drop(entries);
        snapshot
    }

    /// Looks at the files without judging them: what is not judged yet is found to be compiling. Takes no time to speak of.
    #[must_use]
    pub fn snapshot(&self, wanted: &Wanted) -> Snapshot {
        let (_, mut snapshot) = self.survey(wanted, false);
        locked(&self.entries).show(wanted, &mut snapshot);
        snapshot
    }

    /// Whether a [`Snapshot`] of this version still shows what there is: nothing was learnt since, no component was put into the
    /// folder, and nothing of a stage that does not serve has changed. Costs a few calls of `stat`.
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

    /// Reads the settings of stages that are not judged yet: what they apply to waits for them.
    fn preview(&self, wanted: &Wanted, entries: &mut Entries) {
        for place in entries.places(wanted) {
            let Some(entry) = entries.entry(&place).filter(|entry| entry.wants_preview()) else { continue };
            let (_, sidecar) = settings(&self.plugins, &source(&place), &wanted.channels);
            let sidecar = sidecar.map_or_else(|mistaken| mistaken.understood, Some);
            entry.preview(sidecar, tombstone(&place));
        }
    }

    /// Asks again about stages that serve: why nobody vouches for one any more.
    fn recheck_signatures(&self, wanted: &Wanted) -> Vec<(Place, Facts, Option<String>)> {
        let clock = Instant::now();
        let mut entries = locked(&self.entries);
        let mut due: Vec<(Place, Facts)> = Vec::new();
        for place in entries.places(wanted) {
            let entry = entries.entry(&place).filter(|entry| entry.signature_check_due(&self.pace, clock));
            due.extend(entry.map(|entry| entry.facts()).map(|facts| (place, facts)));
        }
        drop(entries);
        let ask = |(place, facts): (Place, Facts)| {
            let withdrawn = self.plugins.provenance().withdrawn(&source(&place));
            (place, facts, withdrawn)
        };
        due.into_iter().map(ask).collect()
    }

    /// Finds out which stages are to be judged now.
    fn survey(&self, wanted: &Wanted, judging: bool) -> (Vec<Job>, Snapshot) {
        let mut snapshot = Snapshot::default();
        let mut entries = locked(&self.entries);
        let entries = &mut *entries;
        if judging && entries.channels != wanted.channels {
            entries.channels.clone_from(&wanted.channels);
            entries.stages.values_mut().chain(entries.named.values_mut()).for_each(Entry::doubt);
        }
        let listed = wanted.folder.as_deref().map_or(Ok(()), |folder| entries.list(folder));
        snapshot.unusable = listed.err().map(Arc::new);
        let usable = snapshot.unusable.is_none();
        for stage in &wanted.named {
            let entry = entries.named.entry(stage.key()).or_insert_with(|| named_entry(stage));
            entries.version += u64::from(entry.see(stage.stem().map(|stem| Facts::of(&stem)).unwrap_or_default()));
        }
        self.preview(wanted, entries);
        if !judging {
            return (Vec::new(), snapshot);
        }
        let clock = Instant::now();
        let all = entries.stages.values_mut().chain(entries.named.values_mut());
        all.for_each(|entry| entry.doubt_what_is_bad(&self.pace, clock));
        let mut jobs = entries.jobs(wanted, &self.pace, &mut snapshot);
        jobs.retain(|job| usable || matches!(job.place, Place::Named(_)));
        (jobs, snapshot)
    }

    fn facts(&self, place: &Place) -> Facts {
        let stem = match place {
            Place::Folder(stem) => Some(stem.clone()),
            Place::Named(stage) => stage.stem(),
        };
        stem.map(|stem| Facts::of(&stem)).unwrap_or_default()
    }

    /// Everything about a stage that can be wrong before the first message is found here.
    fn judge(&self, place: &Place, wanted: &Wanted, effort: Effort) -> Verdict {
        let files = source(place);
        let (source, sidecar) = settings(&self.plugins, &files, &wanted.channels);
        if sidecar.as_ref().is_ok_and(|sidecar| !sidecar.enabled) {
            return Verdict::Disabled;
        }
        let tombstone = tombstone(place);
        if let Some(remedy) = gone(place, &source) {
            return tombstone.map_or(Verdict::Missing(format!("is missing: {remedy}")), Verdict::Removed);
        }
        let broken =
            |sidecar: Option<Sidecar>, reason| Verdict::Broken { sidecar, reason, tombstone: tombstone.clone() };
        let sidecar = match sidecar {
            Ok(sidecar) => sidecar,
            Err(Mistaken { understood, reason }) => return broken(understood, reason),
        };
        if !self.is_compiled(&source) {
            if effort == Effort::Quick {
                return Verdict::Compiling { sidecar, tombstone };
            }
            tracing::info!(plugin = source.name, "compiling a plugin; until it serves the messages it applies to wait");
        }
        match load_component(&self.plugins, &source, &sidecar) {
            Ok(loaded) => Verdict::Good { sidecar, loaded, tombstone },
            Err(reason) => broken(Some(sidecar), reason),
        }
    }

    /// Whether loading it takes no time to speak of; what cannot be read is refused as quickly.
    fn is_compiled(&self, source: &StageSource) -> bool {
        match &source.source {
            Source::File(path) => folder::read_component(path).map_or(true, |bytes| self.plugins.is_compiled(&bytes)),
            Source::BuiltIn(_) | Source::Missing(_) => true,
        }
    }

    /// Says what is wrong now, once for each thing, at error level.
    pub fn report(&self, snapshot: &Snapshot) {
        snapshot.folder.iter().for_each(|status| self.report_stage(status.name(), status));
        snapshot.named.iter().for_each(|(key, status)| self.report_stage(key, status));
        let unusable = snapshot.unusable.as_ref();
        let unusable = unusable.map(|error| format!("{}; its plugins stay as they are", message::cause::chain(error)));
        self.say("", "", unusable.as_deref());
    }

    fn report_stage(&self, about: &str, status: &PluginStatus) {
        match (&status.condition, &status.trouble) {
            (Condition::Ready(_), Some(reason)) => {
                let text = format!("plugin {} {reason}; the last good one stays in service", status.name);
                self.say(about, &status.name, Some(&text));
            }
            (Condition::Broken(reason) | Condition::Missing(reason), _) => {
                self.say(about, &status.name, Some(&waiting(&status.name, reason)));
            }
            // What was wrong before may be so still.
            (Condition::Compiling, _) => {}
            // Whether a tombstone ends it is for each channel to say.
            _ => self.say(about, "", None),
        }
    }

    /// Says once of a stage of a channel that messages wait because of it, where that is not said of the stage itself.
    pub fn report_waiting(&self, channel: &str, status: &PluginStatus) {
        let about = format!("{channel}\n{}", status.name);
        let text = status.unanswering().map(|reason| waiting(&status.name, reason));
        let known = |text: &String| locked(&self.said).iter().any(|(other, said)| *other != about && said == text);
        let text = text.filter(|text| !known(text));
        self.say(&about, &status.name, text.as_deref());
    }

    fn say(&self, about: &str, plugin: &str, text: Option<&str>) {
        let mut said = locked(&self.said);
        match text {
            None => drop(said.remove(about)),
            Some(text) if said.get(about).is_some_and(|before| before == text) => {}
            Some(text) => {
                tracing::error!(plugin, "{text}");
                said.insert(about.to_owned(), text.to_owned());
            }
        }
    }
}

impl Entries {
    /// Takes note of the files of a folder as they are now.
    fn list(&mut self, folder: &Path) -> Result<(), FolderError> {
        let facts = DirectoryFacts::of(folder);
        let settled = facts.is_older_than(SystemTime::now(), SETTLED);
        let stems = stems(folder)?;
        let first = self.folders.insert(folder.to_owned(), Listed { facts, settled }).is_none();
        for stem in stems {
            let fresh = || Entry::new(file_name(&stem), false, first);
            self.stages.entry(stem.clone()).or_insert_with(fresh);
        }
        let own = self.stages.iter_mut().filter(|(stem, _)| stem.parent() == Some(folder));
        let news = own.filter_map(|(stem, entry)| entry.see(Facts::of(stem)).then_some(())).count();
        self.version += news as u64;
        self.stages.retain(|_, entry| !entry.is_nothing());
        Ok(())
    }

    /// The stages of the folder that is wanted.
    fn of_folder<'a>(&'a self, wanted: &'a Wanted) -> impl Iterator<Item = (&'a PathBuf, &'a Entry)> {
        let folder = wanted.folder.as_deref();
        self.stages.iter().filter(move |(stem, _)| folder.is_some() && stem.parent() == folder)
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

    /// The stages that are to be judged now, unless others of the folder are still changing.
    fn jobs(&mut self, wanted: &Wanted, pace: &Pace, snapshot: &mut Snapshot) -> Vec<Job> {
        let (now, clock) = (SystemTime::now(), Instant::now());
        let mut jobs = Vec::new();
        let (mut moving, mut longest) = (false, Duration::ZERO);
        for place in self.places(wanted) {
            let Some(entry) = self.entry(&place) else { continue };
            let acted = entry.end_patience(pace, clock);
            self.version += u64::from(acted);
            let Some(entry) = self.entry(&place) else { continue };
            if !entry.is_judged() {
                let whole = entry.is_whole(pace, now, clock);
                moving |= !whole;
                longest = longest.max(entry.since(clock));
                if whole {
                    let alone = matches!(place, Place::Named(_));
                    jobs.push(Job { facts: entry.facts(), place, alone });
                }
            }
            if entry.is_held() {
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

/// The text of the tombstone of a stage of the folder.
fn tombstone(place: &Place) -> Option<String> {
    match place {
        Place::Folder(stem) => folder::tombstone(stem),
        Place::Named(_) => None,
    }
}

/// The files of a stage as they lie there.
fn source(place: &Place) -> StageSource {
    match place {
        Place::Folder(stem) => folder::stage(stem),
        Place::Named(stage) => StageSource::named(&stage.name, stage.settings.clone()),
    }
}

fn waiting(plugin: &str, reason: &str) -> String {
    format!("plugin {plugin} {reason}; until then the messages it should see wait")
}

/// What to do about a component that is not there.
fn gone(place: &Place, source: &StageSource) -> Option<String> {
    match (place, &source.source) {
        (Place::Folder(stem), Source::Missing(_)) => Some(back_or_ended(stem)),
        (Place::Named(_), Source::Missing(_)) => Some("name another in the pipeline".to_owned()),
        (Place::Named(_), Source::File(path)) if path.symlink_metadata().is_err() => {
            Some(format!("put {} back, or take it out of the pipeline", path.display()))
        }
        _ => None,
    }
}

/// What to do about a stage of the folder whose component is gone.
pub(crate) fn back_or_ended(stem: &Path) -> String {
    let name = stem.file_name().map(|name| crate::text::clean(&name.to_string_lossy(), 200)).unwrap_or_default();
    format!("put {} back, or end the stage with `sesame plugin remove {name}`", folder::beside(stem, ".wasm").display())
}

/// Only a folder that is not there has no stages: one that cannot be reached must not let messages pass unchecked.
fn stems(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    match folder.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => folder::stems(folder),
    }
}

fn named_entry(stage: &NamedStage) -> Entry {
    let entry = Entry::new(named_name(stage), true, true);
    if stage.settings.is_some() { entry.configured() } else { entry }
}

fn file_name(stem: &Path) -> String {
    folder::file_name(&folder::beside(stem, ".wasm"))
}

fn named_name(stage: &NamedStage) -> String {
    stage.stem().map_or_else(|| stage.name.clone(), |stem| file_name(&stem))
}
