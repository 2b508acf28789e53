//! One entry of the catalog: the files of a plugin as they were seen, the result of loading them, and what is in service.

use std::time::{Duration, Instant, SystemTime};

use super::Pace;
use super::facts::Facts;
use super::status::{PluginState, PluginStatus};
use crate::catalog::sidecar::Sidecar;

/// An entry of the catalog.
#[derive(Debug)]
pub(super) struct Entry {
    name: String,
    origin: Origin,
    seen: Seen,
    judged: Judged,
    preview: Option<Preview>,
    /// A failure that is not acted on yet: a file may still be being written.
    pending: Option<PluginStatus>,
    /// What pipelines use.
    status: Option<PluginStatus>,
    /// Whether the settings are in a file beside the component.
    has_sidecar: bool,
}

/// Why a plugin is in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Its files are in the plugin folder.
    Folder,
    /// A pipeline lists it; the settings are those of a file beside it, if there is one.
    Listed,
    /// A pipeline lists it, and its settings are in the configuration; a file beside it does not count.
    Configured,
}

/// The files as they were seen last.
#[derive(Debug)]
struct Seen {
    facts: Facts,
    /// Since when they are like that,
    since: Instant,
    /// and the same moment by the system clock.
    at: SystemTime,
}

/// The last load.
#[derive(Debug)]
struct Judged {
    /// Whether its result still holds.
    valid: bool,
    /// Load the files as they are, without waiting for anything.
    at_once: bool,
    /// The files that were loaded,
    facts: Facts,
    /// and when.
    at: Instant,
    /// When the signatures were checked last.
    signatures_at: Instant,
}

/// The settings in the files of a plugin that is not loaded yet.
#[derive(Debug)]
struct Preview {
    facts: Facts,
    /// The settings, or what could be understood of them.
    sidecar: Option<Sidecar>,
    tombstone: Option<String>,
}

impl Entry {
    pub(super) fn new(name: String, origin: Origin, at_once: bool) -> Self {
        let (facts, now) = (Facts::default(), Instant::now());
        Self {
            name,
            origin,
            seen: Seen { facts, since: now, at: SystemTime::now() },
            judged: Judged { valid: false, at_once, facts, at: now, signatures_at: now },
            preview: None,
            pending: None,
            status: None,
            has_sidecar: false,
        }
    }

    /// Records the files as they are now; true if they changed.
    pub(super) fn see(&mut self, facts: Facts) -> bool {
        let news = facts != self.seen.facts;
        if news {
            self.seen = Seen { facts, since: Instant::now(), at: SystemTime::now() };
            (self.judged.valid, self.pending) = (false, None);
        }
        news
    }

    /// Has the files loaded again: something beside them changed.
    pub(super) fn invalidate(&mut self) {
        self.judged.valid = false;
    }

    /// The same for a broken plugin that was loaded long ago.
    pub(super) fn retry_broken(&mut self, pace: &Pace, clock: Instant) {
        let broken = self.status.as_ref().is_some_and(|status| status.state == PluginState::Broken);
        if broken && self.pending.is_none() && clock.saturating_duration_since(self.judged.at) >= pace.again {
            self.judged.valid = false;
        }
    }

    /// Whether it serves with the files that are there, and its signatures were not checked for long.
    pub(super) fn signature_check_due(&self, pace: &Pace, clock: Instant) -> bool {
        let ready = self.status.as_ref().is_some_and(|status| status.state == PluginState::Ready);
        let settled = ready && self.judged.valid && self.pending.is_none() && self.judged.facts == self.seen.facts;
        settled && clock.saturating_duration_since(self.judged.signatures_at) >= pace.again
    }

    /// Records a signature check: why the plugin must not serve any longer, or nothing.
    pub(super) fn record_signature_check(&mut self, withdrawn: Option<String>) {
        self.judged.signatures_at = Instant::now();
        let Some(reason) = withdrawn else { return };
        let tombstone = self.status.as_ref().and_then(|status| status.tombstone.clone());
        self.judged.at = self.judged.signatures_at;
        let broken = PluginStatus::broken(self.name.clone(), self.known_sidecar(), reason);
        self.show(PluginStatus { tombstone, ..broken });
    }

    pub(super) fn facts(&self) -> Facts {
        self.seen.facts
    }

    pub(super) fn has(&self, facts: &Facts) -> bool {
        self.seen.facts == *facts
    }

    pub(super) fn is_judged(&self) -> bool {
        self.judged.valid
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub(super) fn since(&self, clock: Instant) -> Duration {
        clock.saturating_duration_since(self.seen.since)
    }

    fn is_listed(&self) -> bool {
        self.origin != Origin::Folder
    }

    fn is_configured(&self) -> bool {
        self.origin == Origin::Configured
    }

    /// Whether there are no files, and there never was a plugin or it was disabled or uninstalled.
    pub(super) fn is_nothing(&self) -> bool {
        let over = self.status.as_ref().is_none_or(|status| status.state.is_ended());
        !self.is_listed() && over && self.seen.facts.is_nothing()
    }

    /// Whether its files seem to be complete.
    pub(super) fn is_whole(&self, pace: &Pace, now: SystemTime, clock: Instant) -> bool {
        let facts = &self.seen.facts;
        if self.judged.at_once || (self.is_listed() && facts.is_nothing() && self.status.is_none()) {
            return true;
        }
        if !facts.has_component() {
            // A sidecar may have been copied before its component.
            return self.since(clock) >= if self.status.is_some() { pace.vanished } else { pace.patience };
        }
        let since = self.since(clock);
        if facts.lack_one_of(&self.judged.facts) && since < pace.vanished {
            return false;
        }
        since >= pace.quiet && (since >= pace.settle || facts.are_finished(now, pace.settle))
    }

    /// Acts on the result of a load.
    pub(super) fn take(&mut self, loaded: PluginStatus) {
        // Files that were loaded before as they are now have had their time.
        let again = self.judged.facts == self.seen.facts && self.status.is_some();
        let first = std::mem::replace(&mut self.judged.at_once, false) || again;
        self.judged.valid = loaded.state != PluginState::Compiling;
        (self.judged.at, self.judged.facts) = (Instant::now(), self.seen.facts);
        self.judged.signatures_at = self.judged.at;
        self.has_sidecar |= self.seen.facts.has_sidecar() && !self.is_configured();
        match loaded.state {
            PluginState::Ready if self.lacks_sidecar(loaded.tombstone.as_deref()) => {
                let reason = sidecar_gone(&self.name);
                let broken = PluginStatus::broken(self.name.clone(), self.known_sidecar(), reason);
                self.fail(PluginStatus { tombstone: loaded.tombstone, ..broken }, first);
            }
            PluginState::Ready => self.serve(loaded),
            PluginState::Compiling => {
                self.judged.at_once = true;
                if !self.serves() && !again {
                    self.show(loaded);
                }
            }
            PluginState::Broken => self.fail(loaded, first),
            PluginState::Missing => {
                let sidecar = self.known_sidecar().or_else(|| loaded.sidecar.clone());
                self.show(PluginStatus { sidecar, ..loaded });
            }
            PluginState::Disabled | PluginState::Removed => self.end(loaded),
        }
    }

    /// Whether its settings are gone. With a new tombstone it is another plugin of the same name, and never had any.
    fn lacks_sidecar(&self, tombstone: Option<&str>) -> bool {
        let ended = tombstone
            .is_some_and(|text| self.status.as_ref().is_some_and(|status| status.tombstone.as_deref() != Some(text)));
        self.has_sidecar && !ended && !self.seen.facts.has_sidecar()
    }

    fn fail(&mut self, broken: PluginStatus, at_once: bool) {
        self.pending = Some(broken);
        if at_once {
            self.give_up();
        }
    }

    /// Acts on a failure that lasted for long enough; true where there was one.
    pub(super) fn end_patience(&mut self, pace: &Pace, clock: Instant) -> bool {
        let over = self.pending.is_some() && self.since(clock) >= pace.patience;
        if over {
            self.give_up();
        }
        over
    }

    fn give_up(&mut self) {
        let Some(broken) = self.pending.take() else { return };
        match &mut self.status {
            Some(status) if status.serves() => (status.state, status.reason) = (PluginState::Broken, broken.reason),
            _ => {
                let sidecar = broken.sidecar.clone().or_else(|| self.known_sidecar());
                self.show(PluginStatus { sidecar, ..broken });
            }
        }
    }

    fn serve(&mut self, loaded: PluginStatus) {
        let before = self.status.as_ref().and_then(|status| status.component.as_ref());
        let same = match (&loaded.component, before) {
            (Some(now), Some(before)) => std::sync::Arc::ptr_eq(now, before) && self.known_sidecar() == loaded.sidecar,
            _ => false,
        };
        let repaired = before.is_none() && self.status.is_some();
        if let (false, Some(component)) =
            (same || self.name.starts_with(crate::component::builtin::PREFIX), &loaded.component)
        {
            let (plugin, version) = (self.name.as_str(), component.description.version.as_str());
            let sha256 = message::hex(&component.sha256);
            tracing::info!(plugin, version, sha256, repaired, "plugin in service");
        }
        self.has_sidecar = self.seen.facts.has_sidecar() && !self.is_configured();
        self.show(loaded);
    }

    fn end(&mut self, ended: PluginStatus) {
        if self.status.as_ref().is_some_and(|status| !status.state.is_ended()) {
            tracing::info!(plugin = self.name, state = ended.state.word(), "plugin out of service");
        }
        self.has_sidecar = false;
        self.show(ended);
    }

    fn show(&mut self, status: PluginStatus) {
        self.pending = None;
        self.status = Some(PluginStatus { has_sidecar: self.has_sidecar, ..status });
    }

    fn known_sidecar(&self) -> Option<Sidecar> {
        self.status.as_ref()?.sidecar.clone()
    }

    /// Whether it was to be loaded at once, and was not because it changed meanwhile.
    pub(super) fn is_unsettled(&self) -> bool {
        self.status.is_none() && (self.is_listed() || self.judged.at_once)
    }

    /// Whether its component is there and was not loaded yet, or not for good. Loading the same files again does not count.
    fn is_loading(&self) -> bool {
        let unjudged = !self.judged.valid && (self.seen.facts != self.judged.facts || self.status.is_none());
        let compiling = self.status.as_ref().is_some_and(|status| status.state == PluginState::Compiling);
        self.seen.facts.has_component() && (unjudged || compiling || self.pending.is_some())
    }

    /// Whether its settings are to be read before it is loaded: a plugin that does not serve holds the messages they name.
    pub(super) fn wants_preview(&self) -> bool {
        let known = self.preview.as_ref().is_some_and(|preview| preview.facts == self.seen.facts);
        self.is_loading() && !self.serves() && !known
    }

    /// Records the settings in the files.
    pub(super) fn preview(&mut self, sidecar: Option<Sidecar>, tombstone: Option<String>) {
        self.preview = Some(Preview { facts: self.seen.facts, sidecar, tombstone });
    }

    /// Whether a component serves, whatever the files are now.
    pub(super) fn serves(&self) -> bool {
        self.status.as_ref().is_some_and(PluginStatus::serves)
    }

    /// The status of a plugin whose component is there and not loaded yet, and in place of which nothing serves: the
    /// messages that its files name wait.
    fn awaited(&self) -> Option<PluginStatus> {
        let preview = self.preview.as_ref().filter(|preview| preview.facts == self.seen.facts);
        let sidecar = preview.and_then(|preview| preview.sidecar.clone());
        let ends = sidecar.as_ref().is_some_and(|sidecar| !sidecar.enabled);
        if !self.is_loading() || self.serves() || self.is_unsettled() || ends {
            return None;
        }
        let own = self.seen.facts.has_sidecar() || self.is_configured();
        // Without its settings it is judged by those it had.
        let lost = self.has_sidecar && !own && self.status.is_some();
        Some(PluginStatus {
            sidecar: if lost { self.known_sidecar() } else { sidecar },
            has_sidecar: self.has_sidecar || (own && !self.is_configured()),
            tombstone: preview.and_then(|preview| preview.tombstone.clone()),
            loading: Some(self.seen.at),
            judged: self.status.as_ref().is_some_and(|status| !status.state.is_ended() && status.judged),
            ..PluginStatus::new(self.name.clone(), PluginState::Compiling)
        })
    }

    /// The status of the plugin. One that was to be loaded at once cannot answer until it is, and one that came later is
    /// compiling from the moment its component is seen: otherwise messages would pass unchecked.
    pub(super) fn status(&self) -> Option<PluginStatus> {
        let unsettled = || PluginStatus::broken(self.name.clone(), None, "was changed while it was loaded".to_owned());
        let loading = (self.is_loading() && self.serves()).then_some(self.seen.at);
        let shown = || self.status.clone().map(|status| PluginStatus { loading, ..status });
        self.awaited().or_else(shown).or_else(|| self.is_unsettled().then(unsettled))
    }
}

/// What to do about a plugin whose component is there and whose settings are gone.
pub(crate) fn sidecar_gone(name: &str) -> String {
    let stem = name.strip_suffix(".wasm").unwrap_or(name);
    format!(
        "has lost its sidecar: put {stem}.toml back (an empty file if it needs no settings), or uninstall the plugin with \
         `sesame plugin remove {stem}`"
    )
}
