//! The plugins of a channel that uses the plugin folder: those in the folder now, and those remembered in the journal.
//!
//! # Policy
//! A plugin of the channel stays one until it is uninstalled, by a `NAME.removed` marker that is newer than the plugin, or
//! disabled by `enabled = false` or put in shadow by its sidecar. If its files are gone, it cannot answer for the messages it last applied to.
//! So if the folder is emptied, by mistake or to let messages pass unchecked, they wait.

use std::path::Path;

use serde_json::Value;

use crate::catalog::entry::sidecar_gone;
use crate::catalog::filter::Filter;
use crate::catalog::folder::back_or_ended;
use crate::catalog::sidecar::Sidecar;
use crate::catalog::status::{PluginState, PluginStatus};

/// The key in the text of a filter that records that the plugin had a sidecar; earlier versions ignore it.
const SIDECAR: &str = "side-car";

/// What is remembered of a plugin across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The name of its file.
    pub name: String,
    /// The messages it applied to. None, if its sidecar was never valid, means all messages.
    pub filter: Option<Filter>,
    /// Whether it had a sidecar, without which it must not serve.
    pub sidecar: bool,
    /// A marker that is older than the plugin and does not apply to it.
    pub tombstone: Option<String>,
}

/// The plugins of a channel, in order, and what to remember from now on.
#[must_use]
pub fn with_remembered(
    folder: &Path,
    snapshot: &[PluginStatus],
    remembered: &[Remembered],
) -> (Vec<PluginStatus>, Vec<Remembered>) {
    let mut stages: Vec<PluginStatus> = snapshot.to_vec();
    for known in remembered {
        match stages.iter_mut().find(|status| status.name == known.name) {
            None => stages.push(PluginStatus { has_sidecar: known.sidecar, ..known.missing(folder) }),
            Some(status) => merge(status, known, folder),
        }
    }
    stages.sort_by(|a, b| stem(&a.name).cmp(stem(&b.name)));
    let is_known = |status: &PluginStatus| remembered.iter().any(|known| known.name == status.name);
    let stays = |status: &&PluginStatus| {
        !status.state.is_ended() && !status.is_shadow() && (status.examined || is_known(status))
    };
    let kept = stages.iter().filter(stays).map(remember).collect();
    (stages, kept)
}

/// Corrects the status of a plugin with what is remembered of it.
fn merge(status: &mut PluginStatus, known: &Remembered, folder: &Path) {
    let stale = status.tombstone.is_some() && status.tombstone == known.tombstone;
    if status.state == PluginState::Removed && stale {
        let PluginStatus { state, reason, .. } = known.missing(folder);
        (status.state, status.reason) = (state, reason);
    }
    if status.sidecar.is_none() {
        status.sidecar = known.settings();
    }
    let another = status.tombstone.is_some() && !stale;
    if known.sidecar && !status.has_sidecar && !another && !status.state.is_ended() {
        miss_sidecar(status, known);
    }
}

/// A component whose sidecar is gone must not serve without it.
fn miss_sidecar(status: &mut PluginStatus, known: &Remembered) {
    (status.has_sidecar, status.sidecar) = (true, known.settings());
    if status.serves() || status.is_compiling() {
        (status.state, status.component) = (PluginState::Missing, None);
        status.reason = Some(sidecar_gone(&status.name));
    }
}

fn remember(status: &PluginStatus) -> Remembered {
    Remembered {
        name: status.name.clone(),
        filter: status.sidecar.as_ref().map(|sidecar| sidecar.filter.clone()),
        sidecar: status.has_sidecar,
        tombstone: status.tombstone.clone(),
    }
}

impl Remembered {
    /// Its filter and whether it had a sidecar, as a journal stores them; none if neither is known.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if !self.sidecar {
            return self.filter.as_ref().map(Filter::to_text);
        }
        let text = self.filter.clone().unwrap_or_default().to_text();
        let mut kept: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
        kept.insert(SIDECAR.to_owned(), Value::Bool(true));
        Some(Value::Object(kept).to_string())
    }

    /// From what a journal stores under `name`.
    #[must_use]
    pub fn from_text(name: String, text: Option<&str>, tombstone: Option<String>) -> Self {
        let kept = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let sidecar = kept.is_some_and(|kept| kept.get(SIDECAR) == Some(&Value::Bool(true)));
        Self { name, filter: text.map(Filter::from_text), sidecar, tombstone }
    }

    fn missing(&self, folder: &Path) -> PluginStatus {
        let reason = format!("is missing: {}", back_or_ended(&folder.join(stem(&self.name))));
        PluginStatus::missing(self.name.clone(), self.settings(), reason)
    }

    fn settings(&self) -> Option<Sidecar> {
        let filter = self.filter.clone()?;
        Some(Sidecar { filter, ..Sidecar::default() })
    }
}

/// The name without its ending.
fn stem(name: &str) -> &str {
    name.strip_suffix(".wasm").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(name: &str, state: PluginState, tombstone: Option<&str>) -> PluginStatus {
        let (sidecar, tombstone) = (Some(Sidecar::default()), tombstone.map(str::to_owned));
        PluginStatus { sidecar, tombstone, ..PluginStatus::new(name.to_owned(), state) }
    }

    fn known(name: &str, tombstone: Option<&str>) -> Remembered {
        let filter = Filter { channels: Some(vec!["central".to_owned()]), ..Filter::default() };
        let (name, tombstone) = (name.to_owned(), tombstone.map(str::to_owned));
        Remembered { name, filter: Some(filter), sidecar: false, tombstone }
    }

    fn look(snapshot: &[PluginStatus], remembered: &[Remembered]) -> (Vec<(String, &'static str)>, Vec<String>) {
        let (stages, kept) = with_remembered(Path::new("/p"), snapshot, remembered);
        let stages = stages.iter().map(|status| (status.name.clone(), status.state.word())).collect();
        (stages, kept.into_iter().map(|known| known.name).collect())
    }

    #[test]
    fn a_vanished_plugin_is_missing_in_its_place_with_its_last_filter() {
        let snapshot = [status("a.wasm", PluginState::Compiling, None), status("c.wasm", PluginState::Compiling, None)];
        let (stages, kept) = with_remembered(Path::new("/p"), &snapshot, &[known("b.wasm", None)]);
        let names: Vec<&str> = stages.iter().map(PluginStatus::name).collect();
        assert_eq!(names, ["a.wasm", "b.wasm", "c.wasm"]);
        let reason = stages[1].unanswering().unwrap();
        assert!(reason.contains("put /p/b.wasm back") && reason.contains("sesame plugin remove b`"), "{reason}");
        assert_eq!(kept[1], known("b.wasm", None));
    }

    #[test]
    fn a_plugin_is_removed_by_a_newer_tombstone() {
        let removed = [status("a.wasm", PluginState::Removed, Some("2"))];
        let over = (vec![("a.wasm".to_owned(), "removed")], vec![]);
        assert_eq!(look(&removed, &[known("a.wasm", None)]), over);
        assert_eq!(look(&removed, &[known("a.wasm", Some("1"))]), over);
        assert_eq!(look(&removed, &[]), over);
        let missing = (vec![("a.wasm".to_owned(), "missing")], vec!["a.wasm".to_owned()]);
        assert_eq!(look(&removed, &[known("a.wasm", Some("2"))]), missing);
    }

    #[test]
    fn a_plugin_is_forgotten_when_its_sidecar_disables_it_and_in_no_other_state() {
        let (_, kept) = look(&[status("a.wasm", PluginState::Disabled, None)], &[known("a.wasm", None)]);
        assert_eq!(kept, [] as [String; 0]);
        for state in [PluginState::Broken, PluginState::Missing, PluginState::Compiling] {
            let (_, kept) = look(&[status("a.wasm", state, None)], &[]);
            assert_eq!(kept, ["a.wasm"]);
        }
    }

    #[test]
    fn a_plugin_without_a_valid_sidecar_keeps_its_last_filter() {
        let broken = PluginStatus { sidecar: None, ..status("a.wasm", PluginState::Broken, None) };
        let (stages, kept) = with_remembered(Path::new("/p"), &[broken], &[known("a.wasm", None)]);
        assert_eq!(stages[0].sidecar.as_ref().unwrap().filter, known("a.wasm", None).filter.unwrap());
        assert_eq!(kept, [known("a.wasm", None)]);
    }

    #[test]
    fn a_plugin_that_had_a_sidecar_does_not_start_without_it() {
        let had = Remembered { sidecar: true, ..known("a.wasm", Some("1")) };
        let snapshot = |tombstone| [status("a.wasm", PluginState::Compiling, tombstone)];
        let (stages, kept) = with_remembered(Path::new("/p"), &snapshot(Some("1")), std::slice::from_ref(&had));
        assert!(stages[0].unanswering().unwrap().contains("put a.toml back"));
        assert_eq!(stages[0].sidecar.as_ref().map(|sidecar| &sidecar.filter), had.filter.as_ref());
        assert_eq!(kept, [Remembered { tombstone: Some("1".to_owned()), ..had.clone() }]);
        let (stages, _) = with_remembered(Path::new("/p"), &snapshot(Some("2")), std::slice::from_ref(&had));
        assert!(stages[0].is_compiling(), "it was uninstalled, and this is another");
        let back = PluginStatus { has_sidecar: true, ..status("a.wasm", PluginState::Compiling, None) };
        assert!(with_remembered(Path::new("/p"), &[back], &[had]).0[0].is_compiling());
    }

    #[test]
    fn remembered_plugins_are_read_as_written() {
        for sidecar in [false, true] {
            let known = Remembered { sidecar, ..known("a.wasm", Some("1")) };
            let text = known.text();
            assert_eq!(Remembered::from_text(known.name.clone(), text.as_deref(), known.tombstone.clone()), known);
        }
        let plain = Remembered::from_text("a.wasm".to_owned(), Some("{\"channels\":[\"central\"]}"), None);
        assert_eq!(plain, known("a.wasm", None));
        let unknown = Remembered { filter: None, sidecar: true, ..known("a.wasm", None) };
        assert!(Remembered::from_text("a.wasm".to_owned(), unknown.text().as_deref(), None).sidecar);
    }
}
