//! One place on the shelf: what is seen of its files, what was found about them, and what is in service.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Pace;
use super::facts::Facts;
use super::status::{Condition, PluginStatus};
use crate::catalog::sidecar::Sidecar;
use crate::component::Loaded;

/// What was found about the files of a stage.
pub(super) enum Verdict {
    Good {
        sidecar: Sidecar,
        loaded: Arc<Loaded>,
        tombstone: Option<String>,
    },
    Compiling {
        sidecar: Sidecar,
        tombstone: Option<String>,
    },
    Broken {
        /// The settings, where they can be understood.
        sidecar: Option<Sidecar>,
        reason: String,
        tombstone: Option<String>,
    },
    Missing(String),
    Disabled,
    /// With the tombstone's text.
    Removed(String),
}

/// What the files of a stage that is not judged yet say of themselves.
#[derive(Debug)]
struct Preview {
    facts: Facts,
    /// The settings, or what could be understood of them; nothing where that is nothing.
    sidecar: Option<Sidecar>,
    tombstone: Option<String>,
}

/// A place on the shelf.
#[derive(Debug)]
pub(super) struct Entry {
    name: String,
    named: bool,
    facts: Facts,
    since: Instant,
    /// The same moment by the clock on the wall.
    seen: SystemTime,
    judged: bool,
    preview: Option<Preview>,
    /// Judge as it is, without waiting for anything.
    at_once: bool,
    /// A bad finding that is not acted on yet.
    held: Option<(Option<Sidecar>, String, Option<String>)>,
    shown: Option<PluginStatus>,
    /// When it was judged last, and the files that were there.
    judged_at: Instant,
    judged_by: Facts,
    /// When it was asked last who vouches for it.
    signature_checked_at: Instant,
    /// Whether its settings are in a file beside it.
    has_sidecar: bool,
    /// Whether its settings are in the configuration, so that a file beside it counts for nothing.
    configured: bool,
}

impl Entry {
    pub(super) fn new(name: String, named: bool, at_once: bool) -> Self {
        let (facts, since) = (Facts::default(), Instant::now());
        let (judged_by, has_sidecar, configured) = (facts, false, false);
        let (judged, held, shown) = (false, None, None);
        Self {
            name,
            named,
            facts,
            since,
            seen: SystemTime::now(),
            judged,
            preview: None,
            at_once,
            held,
            shown,
            judged_at: since,
            judged_by,
            signature_checked_at: since,
            has_sidecar,
            configured,
        }
    }

    /// The same for a stage whose settings are in the configuration.
    pub(super) fn configured(self) -> Self {
        Self { configured: true, ..self }
    }

    /// Takes note of the files as they are now; true where that is news.
    pub(super) fn see(&mut self, facts: Facts) -> bool {
        let news = facts != self.facts;
        if news {
            (self.facts, self.since, self.judged, self.held) = (facts, Instant::now(), false, None);
            self.seen = SystemTime::now();
        }
        news
    }

    /// What was found may not hold any more.
    pub(super) fn doubt(&mut self) {
        self.judged = false;
    }

    /// The same where something was found to be wrong, and long ago.
    pub(super) fn doubt_what_is_bad(&mut self, pace: &Pace, clock: Instant) {
        let bad = self
            .shown
            .as_ref()
            .is_some_and(|status| status.trouble.is_some() || matches!(status.condition, Condition::Broken(_)));
        if bad && self.held.is_none() && clock.saturating_duration_since(self.judged_at) >= pace.again {
            self.judged = false;
        }
    }

    /// Whether it serves as it lies there, and nobody was asked for long who vouches for it.
    pub(super) fn signature_check_due(&self, pace: &Pace, clock: Instant) -> bool {
        let serves = self
            .shown
            .as_ref()
            .is_some_and(|status| matches!(status.condition, Condition::Ready(_)) && status.trouble.is_none());
        let settled = serves && self.judged && self.held.is_none() && self.judged_by == self.facts;
        settled && clock.saturating_duration_since(self.signature_checked_at) >= pace.again
    }

    /// Takes note of the answer: why nobody vouches for it any more.
    pub(super) fn record_signature_check(&mut self, withdrawn: Option<String>) {
        self.signature_checked_at = Instant::now();
        let Some(reason) = withdrawn else { return };
        let tombstone = self.shown.as_ref().and_then(|status| status.tombstone.clone());
        self.judged_at = self.signature_checked_at;
        self.show(self.known_sidecar(), Condition::Broken(reason), tombstone);
    }

    pub(super) fn facts(&self) -> Facts {
        self.facts
    }

    pub(super) fn has(&self, facts: &Facts) -> bool {
        self.facts == *facts
    }

    pub(super) fn is_judged(&self) -> bool {
        self.judged
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn since(&self, clock: Instant) -> Duration {
        clock.saturating_duration_since(self.since)
    }

    /// Whether there are no files and never was a stage, or one that was ended.
    pub(super) fn is_nothing(&self) -> bool {
        let over = self.shown.as_ref().is_none_or(|status| status.ended().is_some());
        !self.named && over && self.facts.is_nothing()
    }

    /// Whether nothing seems to be changing.
    pub(super) fn is_whole(&self, pace: &Pace, now: SystemTime, clock: Instant) -> bool {
        if self.at_once || (self.named && self.facts.is_nothing() && self.shown.is_none()) {
            return true;
        }
        if !self.facts.has_component() {
            // A sidecar may have been copied before its component.
            return self.since(clock) >= if self.shown.is_some() { pace.vanished } else { pace.patience };
        }
        let since = self.since(clock);
        if self.facts.lack_one_of(&self.judged_by) && since < pace.vanished {
            return false;
        }
        since >= pace.quiet && (since >= pace.settle || self.facts.are_finished(now, pace.settle))
    }

    /// Acts on what was found.
    pub(super) fn take(&mut self, verdict: Verdict) {
        // What was judged before as it lies there has had its time.
        let again = self.judged_by == self.facts && self.shown.is_some();
        let first = std::mem::replace(&mut self.at_once, false) || again;
        self.judged = !matches!(verdict, Verdict::Compiling { .. });
        (self.judged_at, self.judged_by) = (Instant::now(), self.facts);
        self.signature_checked_at = self.judged_at;
        self.has_sidecar |= self.facts.has_sidecar() && !self.configured;
        match verdict {
            Verdict::Good { tombstone, .. } if self.lacks_sidecar(tombstone.as_deref()) => {
                self.held = Some((self.known_sidecar(), sidecar_gone(&self.name), tombstone));
                if first {
                    self.give_up();
                }
            }
            Verdict::Good { sidecar, loaded, tombstone } => self.serve(sidecar, loaded, tombstone),
            Verdict::Compiling { sidecar, tombstone } => {
                self.at_once = true;
                if !self.serves() && !again {
                    self.show(Some(sidecar), Condition::Compiling, tombstone);
                }
            }
            Verdict::Broken { sidecar, reason, tombstone } => {
                self.held = Some((sidecar, reason, tombstone));
                if first {
                    self.give_up();
                }
            }
            Verdict::Missing(reason) => self.show(self.known_sidecar(), Condition::Missing(reason), None),
            Verdict::Disabled => self.end(Condition::Disabled, None),
            Verdict::Removed(text) => self.end(Condition::Removed, Some(text)),
        }
    }

    /// Whether its settings are gone. With a new tombstone it is another stage of the same name, and never had any.
    fn lacks_sidecar(&self, tombstone: Option<&str>) -> bool {
        let ended = tombstone
            .is_some_and(|text| self.shown.as_ref().is_some_and(|status| status.tombstone.as_deref() != Some(text)));
        self.has_sidecar && !ended && !self.facts.has_sidecar()
    }

    /// Acts on a bad finding that has stood for long enough; true where there was one.
    pub(super) fn end_patience(&mut self, pace: &Pace, clock: Instant) -> bool {
        let over = self.held.is_some() && self.since(clock) >= pace.patience;
        if over {
            self.give_up();
        }
        over
    }

    fn give_up(&mut self) {
        let Some((sidecar, reason, tombstone)) = self.held.take() else { return };
        match &mut self.shown {
            Some(status) if matches!(status.condition, Condition::Ready(_)) => status.trouble = Some(reason),
            _ => self.show(sidecar.or_else(|| self.known_sidecar()), Condition::Broken(reason), tombstone),
        }
    }

    fn serve(&mut self, sidecar: Sidecar, loaded: Arc<Loaded>, tombstone: Option<String>) {
        let (same, mended) = match self.good() {
            Some((before, Condition::Ready(old))) => (*before == sidecar && Arc::ptr_eq(old, &loaded), false),
            _ => (false, self.shown.is_some()),
        };
        if !same && !self.name.starts_with(crate::component::builtin::PREFIX) {
            let (plugin, version) = (self.name.as_str(), loaded.description.version.as_str());
            let sha256 = message::hex(&loaded.sha256);
            tracing::info!(plugin, version, sha256, mended, "plugin in service");
        }
        self.has_sidecar = self.facts.has_sidecar() && !self.configured;
        self.show(Some(sidecar), Condition::Ready(loaded), tombstone);
    }

    fn end(&mut self, condition: Condition, tombstone: Option<String>) {
        if self.shown.as_ref().is_some_and(|status| status.ended().is_none()) {
            tracing::info!(plugin = self.name, how = condition.word(), "plugin ended");
        }
        self.has_sidecar = false;
        self.show(None, condition, tombstone);
    }

    fn show(&mut self, sidecar: Option<Sidecar>, condition: Condition, tombstone: Option<String>) {
        self.held = None;
        let (name, has_sidecar) = (self.name.clone(), self.has_sidecar);
        let (trouble, loading, judged) = (None, None, true);
        self.shown = Some(PluginStatus { name, sidecar, condition, has_sidecar, trouble, tombstone, loading, judged });
    }

    fn known_sidecar(&self) -> Option<Sidecar> {
        self.shown.as_ref()?.sidecar.clone()
    }

    fn good(&self) -> Option<(&Sidecar, &Condition)> {
        let status = self.shown.as_ref()?;
        matches!(status.condition, Condition::Ready(_)).then_some((status.sidecar.as_ref()?, &status.condition))
    }

    /// Whether it was to be judged at once, and was not because it changed meanwhile.
    pub(super) fn is_unsettled(&self) -> bool {
        self.shown.is_none() && (self.named || self.at_once)
    }

    /// Whether the component that lies there is not judged yet, or not for good. Being judged again without a change of
    /// the files does not count.
    fn is_loading(&self) -> bool {
        let unjudged = !self.judged && (self.facts != self.judged_by || self.shown.is_none());
        let compiling = matches!(&self.shown, Some(PluginStatus { condition: Condition::Compiling, .. }));
        self.facts.has_component() && (unjudged || compiling || self.held.is_some())
    }

    /// Whether its settings are to be read before they are judged: a stage that does not serve holds back what they say.
    pub(super) fn wants_preview(&self) -> bool {
        let known = self.preview.as_ref().is_some_and(|preview| preview.facts == self.facts);
        self.is_loading() && !self.serves() && !known
    }

    /// Takes note of what the files say of themselves.
    pub(super) fn preview(&mut self, sidecar: Option<Sidecar>, tombstone: Option<String>) {
        self.preview = Some(Preview { facts: self.facts, sidecar, tombstone });
    }

    /// Whether a stage serves, whatever lies there now.
    pub(super) fn serves(&self) -> bool {
        self.good().is_some()
    }

    /// A stage whose component lies there and is not judged yet, and in place of which nothing serves: the messages that its
    /// files ask for wait.
    fn awaited(&self) -> Option<PluginStatus> {
        let preview = self.preview.as_ref().filter(|preview| preview.facts == self.facts);
        let sidecar = preview.and_then(|preview| preview.sidecar.clone());
        let ends = sidecar.as_ref().is_some_and(|sidecar| !sidecar.enabled);
        if !self.is_loading() || self.serves() || self.is_unsettled() || ends {
            return None;
        }
        let own = self.facts.has_sidecar() || self.configured;
        // Without its settings it is judged by those it had.
        let lost = self.has_sidecar && !own && self.shown.is_some();
        Some(PluginStatus {
            name: self.name.clone(),
            sidecar: if lost { self.known_sidecar() } else { sidecar },
            condition: Condition::Compiling,
            has_sidecar: self.has_sidecar || (own && !self.configured),
            trouble: None,
            tombstone: preview.and_then(|preview| preview.tombstone.clone()),
            loading: Some(self.seen),
            judged: self.shown.as_ref().is_some_and(|status| status.ended().is_none() && status.judged),
        })
    }

    /// How the stage stands. One that was to be judged at once cannot answer until it is, and one that came later is loading
    /// from the moment its component is seen: without either, messages would pass unchecked.
    pub(super) fn status(&self) -> Option<PluginStatus> {
        let unsettled = || PluginStatus::unloaded(self.name.clone(), "was changed while it was being loaded");
        let loading = (self.is_loading() && self.serves()).then_some(self.seen);
        let shown = || self.shown.clone().map(|status| PluginStatus { loading, ..status });
        self.awaited().or_else(shown).or_else(|| self.is_unsettled().then(unsettled))
    }
}

/// What to do about a stage whose component is there and whose settings are gone.
pub(crate) fn sidecar_gone(name: &str) -> String {
    let stem = name.strip_suffix(".wasm").unwrap_or(name);
    format!(
        "has lost its settings: put {stem}.toml back, an empty one if it needs none, or end the stage with `sesame plugin \
         remove {stem}`"
    )
}
