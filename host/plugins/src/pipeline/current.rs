//! Whether the pipeline of a channel knows every plugin in the folder; called before a message enters it.

use std::fmt;
use std::sync::OnceLock;

/// The function that makes sure of it; set once by the owner of the pipelines.
#[derive(Default)]
pub struct Current(OnceLock<Box<dyn Fn() -> bool + Send + Sync>>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&self.0.get().is_some()).finish()
    }
}

impl Current {
    /// Sets the function. It puts what it finds into service and returns whether that was possible.
    pub fn keep(&self, ensure: impl Fn() -> bool + Send + Sync + 'static) {
        // A second one would keep the same pipelines.
        let _ = self.0.set(Box::new(ensure));
    }

    /// Makes sure that the pipeline which is loaded after this knows every plugin that was in the folder before. Blocks for
    /// some calls of `stat`, or for a write to the journal where something changed. False: no message may be taken up now.
    #[must_use]
    pub fn ensure(&self) -> bool {
        self.0.get().is_none_or(|ensure| ensure())
    }
}
