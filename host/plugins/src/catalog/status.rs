//! The state of a plugin, and its status at one moment.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::catalog::settings::Mode;
use crate::catalog::sidecar::Sidecar;
use crate::instance::Loaded;
use crate::resources::Resources;

/// The state of a plugin: what the loader finds, what pipelines act on, and the word that lists and the status file show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// It is in service.
    Ready,
    /// Its component is being compiled.
    Compiling,
    /// Its files cannot be used. An earlier component of it may still serve.
    #[default]
    Broken,
    /// Its component or its sidecar is gone.
    Missing,
    /// Disabled by `enabled = false`.
    Disabled,
    /// Uninstalled: a `NAME.removed` marker is in the folder.
    Removed,
}

impl PluginState {
    /// Every one of them.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Compiling, Self::Broken, Self::Missing, Self::Disabled, Self::Removed];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Compiling => "compiling",
            Self::Broken => "broken",
            Self::Missing => "missing",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }

    /// Whether the operator took the plugin out of service.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Disabled | Self::Removed)
    }
}

impl std::fmt::Display for PluginState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// A plugin as a pipeline uses it.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    pub(crate) name: String,
    pub(crate) state: PluginState,
    /// The component in service: always if the state is ready, and an earlier one if a newer file is broken.
    pub(crate) component: Option<Arc<Loaded>>,
    /// What the component in service is given.
    pub(crate) resources: Resources,
    /// What is wrong and what to do, if the state is broken or missing.
    pub(crate) reason: Option<String>,
    /// The settings that apply, or the last ones known; none if they were never valid.
    pub(crate) sidecar: Option<Sidecar>,
    /// Whether the settings are, or were, in a file beside the component, without which it must not serve.
    pub(crate) has_sidecar: bool,
    /// The text of the `NAME.removed` marker, if there is one.
    pub(crate) tombstone: Option<String>,
    /// Since when a file of it waits to be compiled and loaded, whether or not an earlier one serves meanwhile.
    pub(crate) loading: Option<SystemTime>,
    /// Whether its files were loaded, successfully or not. A plugin that was not is forgotten when its file is deleted.
    pub(crate) examined: bool,
}

impl PluginStatus {
    pub(crate) fn new(name: String, state: PluginState) -> Self {
        Self {
            name,
            state,
            component: None,
            resources: Resources::default(),
            reason: None,
            sidecar: None,
            has_sidecar: false,
            tombstone: None,
            loading: None,
            examined: true,
        }
    }

    pub(crate) fn ready(name: String, sidecar: Sidecar, component: Arc<Loaded>, resources: Resources) -> Self {
        Self { component: Some(component), resources, sidecar: Some(sidecar), ..Self::new(name, PluginState::Ready) }
    }

    pub(crate) fn broken(name: String, sidecar: Option<Sidecar>, reason: String) -> Self {
        Self { reason: Some(reason), sidecar, ..Self::new(name, PluginState::Broken) }
    }

    pub(crate) fn missing(name: String, sidecar: Option<Sidecar>, reason: String) -> Self {
        Self { reason: Some(reason), sidecar, ..Self::new(name, PluginState::Missing) }
    }

    /// The name of the file, or `builtin:NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> PluginState {
        self.state
    }

    /// Whether it has to be compiled first.
    #[must_use]
    pub fn is_compiling(&self) -> bool {
        self.state == PluginState::Compiling
    }

    /// Whether a component of it serves, whatever its files are now.
    pub(crate) fn serves(&self) -> bool {
        self.component.is_some()
    }

    /// Why messages wait for it: it is broken or missing, and no earlier component serves.
    #[must_use]
    pub fn unanswering(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| !self.serves())
    }

    /// What is wrong with its files while an earlier component serves.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| self.serves())
    }

    /// Whether it decides nothing, so that no message waits for it.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.sidecar.as_ref().is_some_and(|sidecar| sidecar.mode == Mode::Shadow)
    }

    /// Its settings; the defaults, which apply to all messages, if they were never valid.
    pub(crate) fn settings(&self) -> Sidecar {
        self.sidecar.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_state_is_that_of_the_status_file() {
        use PluginState::{Broken, Compiling, Disabled, Missing, Ready, Removed};
        for state in [Ready, Compiling, Broken, Missing, Disabled, Removed] {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.word()));
        }
    }
}
