//! One entry of the catalog: the files of a plugin as last seen, the result of loading them, and what is in service.

use std::time::{Duration, Instant, SystemTime};

use super::Pace;
use super::facts::Facts;
use super::status::{PluginState, PluginStatus};
use crate::catalog::sidecar::Sidecar;
use crate::resources::secrets_in;
use crate::resources::store::Changes;

/// An entry of the catalog.
#[derive(Debug)]
pub(super) struct Entry {
    name: String,
    origin: Origin,
    seen: Seen,
    last_load: LastLoad,
    preview: Option<Preview>,
    /// A failure that has no effect yet, because a file may still be being written.
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
    /// A pipeline lists it; its settings are in the file beside it, if there is one.
    Listed,
    /// A pipeline lists it, and its settings are in the configuration; a file beside it is ignored.
    Configured,
}

/// The files as last seen.
#[derive(Debug)]
struct Seen {
    facts: Facts,
    /// Since when they are unchanged.
    since: Instant,
    /// The same moment by the system clock.
    at: SystemTime,
}

/// The last load.
#[derive(Debug)]
struct LastLoad {
    /// Whether its result still holds.
    valid: bool,
    /// Whether to load the files as they are, without waiting.
    at_once: bool,
    /// The files that were loaded.
    facts: Facts,
    /// When they were loaded.
    at: Instant,
    /// When the signatures were checked last.
    signatures_at: Instant,
}

/// The settings in the files of a plugin that is not loaded yet.
#[derive(Debug)]
struct Preview {
    facts: Facts,
    /// The settings, or those that are valid.
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
            last_load: LastLoad { valid: false, at_once, facts, at: now, signatures_at: now },
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
            (self.last_load.valid, self.pending) = (false, None);
        }
        news
    }

    /// Whether its settings name a table or a secret that changed.
    pub(super) fn uses(&self, changes: &Changes) -> bool {
        let Some(sidecar) = self.status.as_ref().and_then(|status| status.sidecar.as_ref()) else { return false };
        let secrets = secrets_in(&sidecar.config);
        sidecar.tables.iter().any(|name| changes.tables.contains(name))
            || secrets.into_iter().any(|name| changes.secrets.contains(name))
    }

    /// Has the files loaded again, because something else changed.
    pub(super) fn invalidate(&mut self) {
        self.last_load.valid = false;
    }

    /// The same for a broken plugin that was loaded long ago.
    pub(super) fn retry_broken(&mut self, pace: &Pace, clock: Instant) {
        let broken = self.status.as_ref().is_some_and(|status| status.state == PluginState::Broken);
        if broken && self.pending.is_none() && clock.saturating_duration_since(self.last_load.at) >= pace.again {
            self.last_load.valid = false;
        }
    }

    /// Whether it serves with the present files, and its signatures are due for a check.
    pub(super) fn signature_check_due(&self, pace: &Pace, clock: Instant) -> bool {
        let ready = self.status.as_ref().is_some_and(|status| status.state == PluginState::Ready);
        let settled =
            ready && self.last_load.valid && self.pending.is_none() && self.last_load.facts == self.seen.facts;
        settled && clock.saturating_duration_since(self.last_load.signatures_at) >= pace.again
    }

    /// Records a signature check: why the plugin must not serve any longer, or nothing.
    pub(super) fn record_signature_check(&mut self, withdrawn: Option<String>) {
        self.last_load.signatures_at = Instant::now();
        let Some(reason) = withdrawn else { return };
        let tombstone = self.status.as_ref().and_then(|status| status.tombstone.clone());
        self.last_load.at = self.last_load.signatures_at;
        let broken = PluginStatus::broken(self.name.clone(), self.known_sidecar(), reason);
        self.show(PluginStatus { tombstone, ..broken });
    }

    pub(super) fn facts(&self) -> Facts {
        self.seen.facts
    }

    pub(super) fn has(&self, facts: &Facts) -> bool {
        self.seen.facts == *facts
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.last_load.valid
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

    /// Whether there are no files, and the plugin was disabled, uninstalled or never there.
    pub(super) fn is_nothing(&self) -> bool {
        let over = self.status.as_ref().is_none_or(|status| status.state.is_ended());
        !self.is_listed() && over && self.seen.facts.is_nothing()
    }

    /// Whether its files seem to be complete.
    pub(super) fn is_whole(&self, pace: &Pace, now: SystemTime, clock: Instant) -> bool {
        let facts = &self.seen.facts;
        if self.last_load.at_once || (self.is_listed() && facts.is_nothing() && self.status.is_none()) {
            return true;
        }
        if !facts.has_component() {
            // A sidecar may have been copied before its component.
            return self.since(clock) >= if self.status.is_some() { pace.vanished } else { pace.patience };
        }
        let since = self.since(clock);
        if facts.lack_one_of(&self.last_load.facts) && since < pace.vanished {
            return false;
        }
        since >= pace.quiet && (since >= pace.settle || facts.are_finished(now, pace.settle))
    }

    /// Has a component serve that served before a restart; the files that are there now are broken.
    pub(super) fn reinstate(&mut self, good: PluginStatus) {
        self.has_sidecar |= good.has_sidecar && !self.is_configured();
        self.show(good);
    }

    /// What serves, if it is what the present files hold.
    pub(super) fn good(&self) -> Option<PluginStatus> {
        let good = self.status.as_ref().filter(|status| status.state == PluginState::Ready && !status.is_shadow())?;
        let settled = self.last_load.valid && self.pending.is_none() && self.last_load.facts == self.seen.facts;
        settled.then(|| good.clone())
    }

    /// Whether it was uninstalled.
    pub(super) fn is_removed(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.state == PluginState::Removed)
    }

    /// Applies the result of a load.
    pub(super) fn take(&mut self, loaded: PluginStatus) {
        // The same files were loaded before, so they need no more time.
        let again = self.last_load.facts == self.seen.facts && self.status.is_some();
        let first = std::mem::replace(&mut self.last_load.at_once, false) || again;
        self.last_load.valid = loaded.state != PluginState::Compiling;
        (self.last_load.at, self.last_load.facts) = (Instant::now(), self.seen.facts);
        self.last_load.signatures_at = self.last_load.at;
        self.has_sidecar |= self.seen.facts.has_sidecar() && !self.is_configured();
        match loaded.state {
            PluginState::Ready if self.lacks_sidecar(loaded.tombstone.as_deref()) => {
                let reason = sidecar_gone(&self.name);
                let broken = PluginStatus::broken(self.name.clone(), self.known_sidecar(), reason);
                self.fail(PluginStatus { tombstone: loaded.tombstone, ..broken }, first);
            }
            PluginState::Ready => self.serve(loaded),
            PluginState::Compiling => {
                self.last_load.at_once = true;
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

    /// Whether its sidecar is gone. With a new tombstone it is another plugin of the same name, which never had one.
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

    /// Applies a failure that has lasted long enough; true if there was one.
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
        let same_resources = self.status.as_ref().is_some_and(|status| status.resources.is_same(&loaded.resources));
        let same = match (&loaded.component, before) {
            (Some(now), Some(before)) => {
                std::sync::Arc::ptr_eq(now, before) && self.known_sidecar() == loaded.sidecar && same_resources
            }
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

    /// Whether it was due to be loaded at once, and was not because it changed meanwhile.
    pub(super) fn is_unsettled(&self) -> bool {
        self.status.is_none() && (self.is_listed() || self.last_load.at_once)
    }

    /// Whether its component exists and was not loaded yet, or not successfully. Loading the same files again does not count.
    fn is_loading(&self) -> bool {
        let not_loaded = !self.last_load.valid && (self.seen.facts != self.last_load.facts || self.status.is_none());
        let compiling = self.status.as_ref().is_some_and(|status| status.state == PluginState::Compiling);
        self.seen.facts.has_component() && (not_loaded || compiling || self.pending.is_some())
    }

    /// Whether its settings must be read before it is loaded, because a plugin that does not serve holds the messages they
    /// select.
    pub(super) fn needs_preview(&self) -> bool {
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

    /// The status of a plugin whose component exists and is not loaded yet, while no earlier one serves: the messages that its
    /// files select wait.
    fn awaited(&self) -> Option<PluginStatus> {
        let preview = self.preview.as_ref().filter(|preview| preview.facts == self.seen.facts);
        let sidecar = preview.and_then(|preview| preview.sidecar.clone());
        let ends = sidecar.as_ref().is_some_and(|sidecar| !sidecar.enabled);
        if !self.is_loading() || self.serves() || self.is_unsettled() || ends {
            return None;
        }
        let own = self.seen.facts.has_sidecar() || self.is_configured();
        // Without its sidecar the earlier settings apply.
        let lost = self.has_sidecar && !own && self.status.is_some();
        Some(PluginStatus {
            sidecar: if lost { self.known_sidecar() } else { sidecar },
            has_sidecar: self.has_sidecar || (own && !self.is_configured()),
            tombstone: preview.and_then(|preview| preview.tombstone.clone()),
            loading: Some(self.seen.at),
            examined: self.status.as_ref().is_some_and(|status| !status.state.is_ended() && status.examined),
            ..PluginStatus::new(self.name.clone(), PluginState::Compiling)
        })
    }

    /// The status of the plugin. One that was due to be loaded at once cannot answer until it is, and one that is added later
    /// is compiling from the moment its component is seen: otherwise messages would pass unchecked.
    pub(super) fn status(&self) -> Option<PluginStatus> {
        let unsettled = || PluginStatus::broken(self.name.clone(), None, "was changed while it was loaded".to_owned());
        let loading = (self.is_loading() && self.serves()).then_some(self.seen.at);
        let shown = || self.status.clone().map(|status| PluginStatus { loading, ..status });
        self.awaited().or_else(shown).or_else(|| self.is_unsettled().then(unsettled))
    }
}

/// What to do about a plugin whose component exists and whose sidecar is gone.
pub(crate) fn sidecar_gone(name: &str) -> String {
    let stem = name.strip_suffix(".wasm").unwrap_or(name);
    format!(
        "has lost its sidecar: put {stem}.toml back (an empty file if it needs no settings), or uninstall the plugin with \
         `sesame plugin remove {stem}`"
    )
}
