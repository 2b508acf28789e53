//! The plugins that lie ready: for each stage what was last seen of its files, the last good component with its last good
//! side-car, and what is wrong with what lies there now. One for the process; pipelines are put together from it.
//!
//! Start at [`Shelf::look`]. It is called again and again while the program runs: it looks at the file system, judges what
//! has changed (read once, compile, probe, describe, check, `init`), and answers with a [`Stand`] of all stages. Nothing here
//! chooses a thread or touches a pipeline in use. [`Shelf::glance`] looks without judging: it takes no time, also while
//! another thread compiles.
//!
//! # What is guaranteed
//! A component counts from the moment its name, `NAME.wasm`, is in the folder. Until it is judged it is a stage that is
//! compiling: the messages wait to which its sidecar applies, as the file reads now; where that cannot be read, all
//! messages. So it is with a file that comes back, with one that begins an ended stage again, and with a sidecar that changes
//! while its component is compiled, however long that takes. Where an earlier component serves, that one goes on.
//!
//! A caller that asks [`Shelf::is_current`] after it took a message up, and glances again where the answer is no, has not
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
//!   was ended: by a tombstone, or by `enabled = false` in its side-car. Only a file that was never a stage, because it was
//!   gone before it was found good or bad, leaves nothing behind.
//! - So is a side-car: one that is gone for two seconds is missed, the settings it had serve on, and a stage that is not in
//!   service without it cannot answer. An empty one takes its place.
//! - At the first look of the process nothing is waited for: whatever lies there is judged as it is. What changes during
//!   that look is a stage that cannot answer until the next.

mod facts;
mod slot;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use message::locked;

use self::facts::Facts;
pub(super) use self::slot::side_car_gone;
use self::slot::{Slot, Verdict};
pub(super) use self::standing::Condition;
pub use self::standing::Standing;
use super::folder::{self, DirectoryFacts, FolderError, Source, StageSource};
use super::pipeline::{Mistaken, load_component, settings};
use super::plugins::Plugins;
use super::sidecar::SideCar;

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
    /// The names of all channels, so that a side-car that names none of them is found out.
    pub channels: Vec<String>,
}

/// A stage that a pipeline lists.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedStage {
    /// `builtin:NAME`, or the path of a component.
    pub name: String,
    /// The settings of `[plugin."NAME"]`; for a file, `None` means the side-car beside it.
    pub settings: Option<SideCar>,
}

/// How all stages stand after a look.
#[derive(Clone, Debug, Default)]
pub struct Stand {
    folder: Vec<Standing>,
    named: HashMap<String, Standing>,
    /// The folder cannot be used now; its stages are as they were.
    pub unusable: Option<Arc<FolderError>>,
    /// When it is worth looking again, if before the usual time.
    pub soon: Option<Duration>,
    /// Whether a stage changed while it was loaded for the first time, so that nothing good is known of it.
    pub unsettled: bool,
    /// Which of the shelf's states it shows, see [`Shelf::is_current`].
    pub version: u64,
}

impl Stand {
    /// The stages of the folder, in order; also those that were ended, and those that are missing.
    #[must_use]
    pub fn folder(&self) -> &[Standing] {
        &self.folder
    }

    /// A stage that a pipeline lists; one that was not looked at cannot answer.
    #[must_use]
    pub fn named(&self, stage: &NamedStage) -> Standing {
        let unknown = || Standing::unloaded(named_name(stage), "was not looked at: look again");
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
        let file = (!self.name.starts_with(super::builtin::PREFIX)).then_some(self.name.as_str())?;
        Some(PathBuf::from(file.strip_suffix(".wasm").unwrap_or(file)))
    }
}

/// All stages of the process.
#[derive(Debug)]
pub struct Shelf {
    plugins: Arc<Plugins>,
    pace: Pace,
    /// Held through a full look.
    looking: Mutex<()>,
    slots: Mutex<Slots>,
    said: Mutex<HashMap<String, String>>,
}

#[derive(Debug, Default)]
struct Slots {
    /// The folders that were looked at: a reload builds a daemon with another one beside that which runs.
    folders: BTreeMap<PathBuf, Listed>,
    /// Counts what was learnt.
    version: u64,
    channels: Vec<String>,
    stages: BTreeMap<PathBuf, Slot>,
    named: BTreeMap<String, Slot>,
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

impl Shelf {
    /// An empty shelf.
    #[must_use]
    pub fn new(plugins: Arc<Plugins>) -> Self {
        Self { plugins, pace: PACE, looking: Mutex::default(), slots: Mutex::default(), said: Mutex::default() }
    }

    /// Looks at the files, judges what has changed, and says how all stages stand. All that one look finds takes effect
    /// in one [`Stand`].
    #[must_use]
    pub fn look(&self, wanted: &Wanted, effort: Effort) -> Stand {
        let _turn = (effort == Effort::Full).then(|| locked(&self.looking));
        let (jobs, mut stand) = self.survey(wanted, true);
        let asked = if effort == Effort::Full { self.ask_who_vouches(wanted) } else { Vec::new() };
        let judge = |job: Job| (self.judge(&job.place, wanted, effort), job);
        let mut judged: Vec<(Verdict, Job)> = jobs.into_iter().map(judge).collect();
        // What changed meanwhile is judged at the next look, and what belongs together with it.
        let all_the_same = judged.iter().all(|(_, job)| self.facts(&job.place) == job.facts);
        judged.retain(|(_, job)| all_the_same || job.alone && self.facts(&job.place) == job.facts);
        let mut slots = locked(&self.slots);
        for (verdict, job) in judged {
            slots.version += 1;
            if let Some(slot) = slots.slot(&job.place).filter(|slot| slot.has(&job.facts)) {
                slot.take(verdict);
            }
        }
        for (place, facts, withdrawn) in asked {
            slots.version += u64::from(withdrawn.is_some());
            if let Some(slot) = slots.slot(&place).filter(|slot| slot.has(&facts)) {
                slot.take_vouching(withdrawn);
            }
        }
        slots.show(wanted, &mut stand);
        drop(slots);
        stand
    }

    /// Looks at the files without judging them: what is not judged yet is found to be compiling. Takes no time to speak of.
    #[must_use]
    pub fn glance(&self, wanted: &Wanted) -> Stand {
        let (_, mut stand) = self.survey(wanted, false);
        locked(&self.slots).show(wanted, &mut stand);
        stand
    }

    /// Whether a [`Stand`] of this version still shows what there is: nothing was learnt since, no component was put into the
    /// folder, and nothing of a stage that does not serve has changed. Costs a few calls of `stat`.
    #[must_use]
    pub fn is_current(&self, wanted: &Wanted, version: u64) -> bool {
        let slots = locked(&self.slots);
        if slots.version != version {
            return false;
        }
        if let Some(folder) = &wanted.folder {
            let now = DirectoryFacts::of(folder);
            let same = slots.folders.get(folder).is_some_and(|listed| listed.settled && listed.facts == now);
            if !same {
                return false;
            }
        }
        let unchanged = |slot: &Slot, stem: &Path| slot.serves() || slot.has(&Facts::of(stem));
        slots.of_folder(wanted).all(|(stem, slot)| unchanged(slot, stem))
            && wanted
                .named
                .iter()
                .filter_map(|stage| Some((stage, stage.stem()?)))
                .all(|(stage, stem)| slots.named.get(&stage.key()).is_some_and(|slot| unchanged(slot, &stem)))
    }

    /// Reads the settings of stages that are not judged yet: what they apply to waits for them.
    fn preview(&self, wanted: &Wanted, slots: &mut Slots) {
        for place in slots.places(wanted) {
            let Some(slot) = slots.slot(&place).filter(|slot| slot.wants_preview()) else { continue };
            let (_, side_car) = settings(&self.plugins, &source(&place), &wanted.channels);
            let side_car = side_car.map_or_else(|mistaken| mistaken.understood, Some);
            slot.preview(side_car, tombstone(&place));
        }
    }

    /// Asks again about stages that serve: why nobody vouches for one any more.
    fn ask_who_vouches(&self, wanted: &Wanted) -> Vec<(Place, Facts, Option<String>)> {
        let clock = Instant::now();
        let mut slots = locked(&self.slots);
        let mut due: Vec<(Place, Facts)> = Vec::new();
        for place in slots.places(wanted) {
            let slot = slots.slot(&place).filter(|slot| slot.is_to_be_vouched_for(&self.pace, clock));
            due.extend(slot.map(|slot| slot.facts()).map(|facts| (place, facts)));
        }
        drop(slots);
        let ask = |(place, facts): (Place, Facts)| {
            let withdrawn = self.plugins.provenance().withdrawn(&source(&place));
            (place, facts, withdrawn)
        };
        due.into_iter().map(ask).collect()
    }

    /// Finds out which stages are to be judged now.
    fn survey(&self, wanted: &Wanted, judging: bool) -> (Vec<Job>, Stand) {
        let mut stand = Stand::default();
        let mut slots = locked(&self.slots);
        let slots = &mut *slots;
        if judging && slots.channels != wanted.channels {
            slots.channels.clone_from(&wanted.channels);
            slots.stages.values_mut().chain(slots.named.values_mut()).for_each(Slot::doubt);
        }
        let listed = wanted.folder.as_deref().map_or(Ok(()), |folder| slots.list(folder));
        stand.unusable = listed.err().map(Arc::new);
        let usable = stand.unusable.is_none();
        for stage in &wanted.named {
            let slot = slots.named.entry(stage.key()).or_insert_with(|| named_slot(stage));
            slots.version += u64::from(slot.see(stage.stem().map(|stem| Facts::of(&stem)).unwrap_or_default()));
        }
        self.preview(wanted, slots);
        if !judging {
            return (Vec::new(), stand);
        }
        let clock = Instant::now();
        let all = slots.stages.values_mut().chain(slots.named.values_mut());
        all.for_each(|slot| slot.doubt_what_is_bad(&self.pace, clock));
        let mut jobs = slots.jobs(wanted, &self.pace, &mut stand);
        jobs.retain(|job| usable || matches!(job.place, Place::Named(_)));
        (jobs, stand)
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
        let (source, side_car) = settings(&self.plugins, &files, &wanted.channels);
        if side_car.as_ref().is_ok_and(|side_car| !side_car.enabled) {
            return Verdict::Disabled;
        }
        let tombstone = tombstone(place);
        if let Some(remedy) = gone(place, &source) {
            return tombstone.map_or(Verdict::Missing(format!("is missing: {remedy}")), Verdict::Removed);
        }
        let broken =
            |side_car: Option<SideCar>, reason| Verdict::Broken { side_car, reason, tombstone: tombstone.clone() };
        let side_car = match side_car {
            Ok(side_car) => side_car,
            Err(Mistaken { understood, reason }) => return broken(understood, reason),
        };
        if !self.is_compiled(&source) {
            if effort == Effort::Quick {
                return Verdict::Compiling { side_car, tombstone };
            }
            tracing::info!(plugin = source.name, "compiling a plugin; until it serves the messages it applies to wait");
        }
        match load_component(&self.plugins, &source, &side_car) {
            Ok(loaded) => Verdict::Good { side_car, loaded, tombstone },
            Err(reason) => broken(Some(side_car), reason),
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
    pub fn report(&self, stand: &Stand) {
        stand.folder.iter().for_each(|standing| self.report_stage(standing.name(), standing));
        stand.named.iter().for_each(|(key, standing)| self.report_stage(key, standing));
        let unusable = stand.unusable.as_ref();
        let unusable = unusable.map(|error| format!("{}; its plugins stay as they are", message::cause::chain(error)));
        self.say("", "", unusable.as_deref());
    }

    fn report_stage(&self, about: &str, standing: &Standing) {
        match (&standing.condition, &standing.trouble) {
            (Condition::Ready(_), Some(reason)) => {
                let text = format!("plugin {} {reason}; the last good one stays in service", standing.name);
                self.say(about, &standing.name, Some(&text));
            }
            (Condition::Broken(reason) | Condition::Missing(reason), _) => {
                self.say(about, &standing.name, Some(&waiting(&standing.name, reason)));
            }
            // What was wrong before may be so still.
            (Condition::Compiling, _) => {}
            // Whether a tombstone ends it is for each channel to say.
            _ => self.say(about, "", None),
        }
    }

    /// Says once of a stage of a channel that messages wait because of it, where that is not said of the stage itself.
    pub fn say_waiting(&self, channel: &str, standing: &Standing) {
        let about = format!("{channel}\n{}", standing.name);
        let text = standing.unanswering().map(|reason| waiting(&standing.name, reason));
        let known = |text: &String| locked(&self.said).iter().any(|(other, said)| *other != about && said == text);
        let text = text.filter(|text| !known(text));
        self.say(&about, &standing.name, text.as_deref());
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

impl Slots {
    /// Takes note of the files of a folder as they are now.
    fn list(&mut self, folder: &Path) -> Result<(), FolderError> {
        let facts = DirectoryFacts::of(folder);
        let settled = facts.is_older_than(SystemTime::now(), SETTLED);
        let stems = stems(folder)?;
        let first = self.folders.insert(folder.to_owned(), Listed { facts, settled }).is_none();
        for stem in stems {
            let fresh = || Slot::new(file_name(&stem), false, first);
            self.stages.entry(stem.clone()).or_insert_with(fresh);
        }
        let own = self.stages.iter_mut().filter(|(stem, _)| stem.parent() == Some(folder));
        let news = own.filter_map(|(stem, slot)| slot.see(Facts::of(stem)).then_some(())).count();
        self.version += news as u64;
        self.stages.retain(|_, slot| !slot.is_nothing());
        Ok(())
    }

    /// The stages of the folder that is wanted.
    fn of_folder<'a>(&'a self, wanted: &'a Wanted) -> impl Iterator<Item = (&'a PathBuf, &'a Slot)> {
        let folder = wanted.folder.as_deref();
        self.stages.iter().filter(move |(stem, _)| folder.is_some() && stem.parent() == folder)
    }

    fn slot(&mut self, place: &Place) -> Option<&mut Slot> {
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
    fn jobs(&mut self, wanted: &Wanted, pace: &Pace, stand: &mut Stand) -> Vec<Job> {
        let (now, clock) = (SystemTime::now(), Instant::now());
        let mut jobs = Vec::new();
        let (mut moving, mut longest) = (false, Duration::ZERO);
        for place in self.places(wanted) {
            let Some(slot) = self.slot(&place) else { continue };
            let acted = slot.end_patience(pace, clock);
            self.version += u64::from(acted);
            let Some(slot) = self.slot(&place) else { continue };
            if !slot.is_judged() {
                let whole = slot.is_whole(pace, now, clock);
                moving |= !whole;
                longest = longest.max(slot.since(clock));
                if whole {
                    let alone = matches!(place, Place::Named(_));
                    jobs.push(Job { facts: slot.facts(), place, alone });
                }
            }
            if slot.is_held() {
                stand.soon = Some(SOON);
            }
        }
        jobs.iter_mut().for_each(|job| job.alone |= longest > pace.together);
        if moving {
            stand.soon = Some(SOON);
            jobs.retain(|job| job.alone);
        }
        jobs
    }

    fn show(&self, wanted: &Wanted, stand: &mut Stand) {
        stand.version = self.version;
        let named = wanted.named.iter().map(NamedStage::key);
        let folder = self.of_folder(wanted).map(|(_, slot)| slot);
        if folder.chain(named.clone().filter_map(|key| self.named.get(&key))).any(Slot::is_unsettled) {
            (stand.unsettled, stand.soon) = (true, Some(SOON));
        }
        stand.folder = self.of_folder(wanted).filter_map(|(_, slot)| slot.standing()).collect();
        stand.named = named.filter_map(|key| Some((key.clone(), self.named.get(&key)?.standing()?))).collect();
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
pub(super) fn back_or_ended(stem: &Path) -> String {
    let name = stem.file_name().map(|name| super::text::clean(&name.to_string_lossy(), 200)).unwrap_or_default();
    format!("put {} back, or end the stage with `sesame plugin remove {name}`", folder::beside(stem, ".wasm").display())
}

/// Only a folder that is not there has no stages: one that cannot be reached must not let messages pass unchecked.
fn stems(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    match folder.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => folder::stems(folder),
    }
}

fn named_slot(stage: &NamedStage) -> Slot {
    let slot = Slot::new(named_name(stage), true, true);
    if stage.settings.is_some() { slot.configured() } else { slot }
}

fn file_name(stem: &Path) -> String {
    folder::file_name(&folder::beside(stem, ".wasm"))
}

fn named_name(stage: &NamedStage) -> String {
    stage.stem().map_or_else(|| stage.name.clone(), |stem| file_name(&stem))
}
