//! The SDK for plugins of Sesame.
//!
//! A plugin is a type that implements [`Plugin`] and one or more of [`Validator`], [`Transformer`] and [`Router`],
//! and one line at the end of its `lib.rs`:
//!
//! ```text
//! sesame_plugin::export!(MyPlugin: validator, router);
//! ```
//!
//! Built as a `cdylib` for `wasm32-wasip2` it is a component for the plugin folder. The contract, with what the host
//! does for each verdict, is `wit/plugin.wit`.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod bindings;
mod config;
pub mod log;
pub mod records;
mod sample;
#[doc(hidden)]
pub mod slot;
pub mod table;

pub use bindings::transformer_world::exports::sesame::plugin::transformer::{Output, Part, Transformed, Verdict};
pub use bindings::types::{Context, Delay, Direction, Failure, Finding, Message, Severity, Signer};
pub use config::{Configuration, NoConfig};

/// What every plugin has.
pub trait Plugin: Sized + 'static {
    /// The operator's `[config]`: a type that serde can read, or [`NoConfig`].
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

impl Finding {
    /// A finding that makes a message invalid.
    #[must_use]
    pub fn error(code: &str, text: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, text)
    }

    /// A finding about a message that is accepted.
    #[must_use]
    pub fn warning(code: &str, text: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, text)
    }

    fn new(severity: Severity, code: &str, text: impl Into<String>) -> Self {
        let (record_number, field, value) = (None, None, None);
        Self { severity, code: code.to_owned(), text: text.into(), record_number, field, value, properties: Vec::new() }
    }

    /// Names the record, counted from 1.
    #[must_use]
    pub fn in_record(self, number: u32) -> Self {
        Self { record_number: Some(number), ..self }
    }

    /// Names the field and its content: the host stores `value` only with the message.
    #[must_use]
    pub fn in_field(self, field: &str, value: &str) -> Self {
        Self { field: Some(field.to_owned()), value: Some(value.to_owned()), ..self }
    }
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
