//! Whether the pipeline of a channel knows every plugin in the folder; called before a message enters it.

use std::fmt;
use std::sync::OnceLock;

/// The function that ensures it; set once by the owner of the pipelines.
#[derive(Default)]
pub struct Current(OnceLock<Box<dyn Fn() -> bool + Send + Sync>>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&self.0.get().is_some()).finish()
    }
}

impl Current {
    /// Sets the function. It puts new plugins into service and returns whether that was possible.
    pub fn keep(&self, ensure: impl Fn() -> bool + Send + Sync + 'static) {
        // A second function would serve the same pipelines.
        let _ = self.0.set(Box::new(ensure));
    }

    /// Ensures that a pipeline loaded after this call knows every plugin that was in the folder before it. Blocks for some
    /// calls of `stat`, or for a write to the journal if something changed. False: no message may be taken up now.
    #[must_use]
    pub fn ensure(&self) -> bool {
        self.0.get().is_none_or(|ensure| ensure())
    }
}
