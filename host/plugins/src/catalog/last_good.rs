//! When the last good files of a plugin are kept, and when they serve.

use std::path::PathBuf;

use super::kept::Files;
use super::{Catalog, Effort, Place, Wanted, folder, load};
use crate::catalog::folder::StageSource;
use crate::catalog::status::{PluginState, PluginStatus};
use message::locked;

impl Catalog {
    /// The last good files of a plugin whose present ones are broken, if they may serve: the present sidecar pins no other
    /// component, and nothing is wrong with them.
    pub(super) fn last_good(
        &self,
        place: &Place,
        present: &StageSource,
        wanted: &Wanted,
        effort: Effort,
    ) -> Option<PluginStatus> {
        let version = self.kept.as_ref()?.last(&place.stem()?)?;
        let pin = present.sidecar.as_ref().ok().and_then(|sidecar| sidecar.sha256);
        if pin.is_some_and(|pin| Some(pin) != version.files.component()) {
            return None;
        }
        let kept = folder::stage(&version.stem);
        // Settings of the configuration are no file.
        let settings = if present.sidecar_file.is_none() { present.clone() } else { kept.clone() };
        let source = StageSource { name: present.name.clone(), source: kept.source, ..settings };
        let source = StageSource { tombstone: present.tombstone.clone(), ..source };
        let status = load::load(&self.plugins, &source, &wanted.around, effort);
        let has_sidecar = source.written.is_some();
        (status.state == PluginState::Ready && !status.is_shadow()).then_some(PluginStatus { has_sidecar, ..status })
    }

    /// Keeps the files of the plugins that serve, for a rollback and for a restart, where that was not done yet, and deletes
    /// those of plugins that were uninstalled. Reads and writes them, so it belongs on the thread that loads.
    ///
    /// # Errors
    /// The first that could not be written.
    pub fn keep_good(&self, wanted: &Wanted) -> std::io::Result<()> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let mut recorded = locked(&self.recorded);
        let mut entries = locked(&self.entries);
        let places = entries.places(wanted);
        let removed = |place: &&Place| entries.entry(place).is_some_and(|entry| entry.is_removed());
        let removed: Vec<PathBuf> = places.iter().filter(removed).filter_map(Place::stem).collect();
        let good = |place: Place| {
            let (entry, stem) = (entries.entry(&place)?, place.stem()?);
            let facts = entry.facts();
            let kept = recorded.get(&stem) == Some(&facts);
            Some((stem, facts, if kept { None } else { entry.good() }?, place))
        };
        let all: Vec<_> = places.into_iter().filter_map(good).collect();
        drop(entries);
        for stem in removed {
            recorded.remove(&stem);
            kept.forget(&stem)?;
        }
        for (stem, facts, good, place) in all {
            let files = Files::read(&stem)?;
            let settings = place.files().sidecar.ok() == good.sidecar;
            let same = files.component() == good.component.map(|component| component.sha256) && settings;
            if same && self.facts(&place) == facts {
                kept.record(&stem, &files)?;
                recorded.insert(stem, facts);
            }
        }
        Ok(())
    }
}
