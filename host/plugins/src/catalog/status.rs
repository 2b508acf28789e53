//! How one stage stands.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::catalog::sidecar::Sidecar;
use crate::component::Loaded;

/// A stage as a pipeline takes it up.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    pub(crate) name: String,
    /// The settings that hold, or those known last; nothing where none were ever understood.
    pub(crate) sidecar: Option<Sidecar>,
    pub(crate) condition: Condition,
    /// Whether its settings are, or were, those of a file beside it, which it is not to do without.
    pub(crate) has_sidecar: bool,
    /// What is wrong with the file that lies there now, while the last good one serves.
    pub(crate) trouble: Option<String>,
    /// The text of the tombstone that lies there.
    pub(crate) tombstone: Option<String>,
    /// Since when a file of it waits to be compiled and judged, whether or not an earlier one serves until then.
    pub(crate) loading: Option<SystemTime>,
    /// Whether anything was found out about it: of one that was only seen nothing stays when its file goes.
    pub(crate) judged: bool,
}

/// What a stage can do.
#[derive(Clone)]
pub(crate) enum Condition {
    Ready(Arc<Loaded>),
    Compiling,
    /// Its file is gone; what to do.
    Missing(String),
    Broken(String),
    /// Its sidecar ends it.
    Disabled,
    /// A tombstone ends it.
    Removed,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            Self::Missing(reason) | Self::Broken(reason) => reason,
            _ => "",
        };
        write!(f, "{}{reason}", self.word())
    }
}

impl Condition {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::Compiling => "compiling",
            Self::Missing(_) => "missing",
            Self::Broken(_) => "broken",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }
}

impl PluginStatus {
    /// One of which nothing is known yet: it cannot answer, whatever the message.
    pub(crate) fn unloaded(name: String, reason: &str) -> Self {
        let condition = Condition::Broken(reason.to_owned());
        let (has_sidecar, trouble, tombstone) = (false, None, None);
        Self { name, sidecar: None, condition, has_sidecar, trouble, tombstone, loading: None, judged: true }
    }

    /// The name of the file, or `builtin:NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `disabled` or `removed`, for a stage that was ended on purpose.
    #[must_use]
    pub fn ended(&self) -> Option<&'static str> {
        matches!(self.condition, Condition::Disabled | Condition::Removed).then(|| self.condition.word())
    }

    /// Whether it has to be compiled first.
    #[must_use]
    pub fn is_compiling(&self) -> bool {
        matches!(self.condition, Condition::Compiling)
    }

    /// Why it cannot answer, where nothing good serves in its place.
    #[must_use]
    pub fn unanswering(&self) -> Option<&str> {
        match &self.condition {
            Condition::Missing(reason) | Condition::Broken(reason) => Some(reason),
            _ => None,
        }
    }
}
