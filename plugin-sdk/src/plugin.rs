//! What a plugin implements.

use crate::{Configuration, Failure, Finding, Message, Output, Transformed, Verdict};

/// What every plugin has.
pub trait Plugin: Sized + 'static {
    /// The operator's `[config]`: a type that serde can read, or [`NoConfig`](crate::NoConfig).
    type Config: Configuration;
    /// The plugin's name.
    const NAME: &'static str;
    /// Its version; `env!("CARGO_PKG_VERSION")` is right in most cases.
    const VERSION: &'static str;
    /// One sentence for the operator.
    const SUMMARY: &'static str;

    /// JSON Schema of the configuration.
    fn config_schema() -> Option<String> {
        None
    }

    /// Makes the plugin from its configuration.
    ///
    /// # Errors
    /// A sentence for the operator about what is wrong with the configuration.
    fn new(config: Self::Config) -> Result<Self, String>;
}

/// Accepts or refuses a message.
pub trait Validator: Plugin {
    /// Accepts the message, with any warnings.
    ///
    /// # Errors
    /// [`Failure`] says whether the message is invalid, cannot be decided on yet, or the plugin failed.
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure>;
}

/// Changes, splits or drops a message.
pub trait Transformer: Plugin {
    /// Returns the message's replacement, if any.
    ///
    /// # Errors
    /// [`Failure`] says whether the message is invalid, cannot be decided on yet, or the plugin failed.
    fn transform(&self, message: &Message) -> Result<Transformed, Failure>;
}

/// Chooses the destination of a message.
pub trait Router: Plugin {
    /// Names of routes of the operator's file; none for the default route.
    ///
    /// # Errors
    /// [`Failure`] says whether the message is invalid, cannot be decided on yet, or the plugin failed.
    fn route(&self, message: &Message) -> Result<Vec<String>, Failure>;
}

impl From<Finding> for Failure {
    fn from(finding: Finding) -> Self {
        Self::Invalid(vec![finding])
    }
}

impl Output {
    /// New content, everything else as it was.
    #[must_use]
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), content_type: None, set_headers: Vec::new(), properties: Vec::new() }
    }
}

impl From<Verdict> for Transformed {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, findings: Vec::new() }
    }
}
