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
//!
//! Without the feature `guest` there is only [`records`], for a program that reads records itself.
#![warn(missing_docs)]

#[cfg(feature = "guest")]
#[doc(hidden)]
pub mod bindings;
#[cfg(feature = "guest")]
mod config;
#[cfg(not(feature = "guest"))]
mod finding;
#[cfg(feature = "compose")]
pub mod inner;
#[cfg(feature = "guest")]
pub mod log;
#[cfg(all(feature = "guest", not(target_family = "wasm")))]
pub mod native;
#[cfg(feature = "guest")]
mod plugin;
pub mod records;
#[cfg(feature = "guest")]
mod sample;
#[cfg(feature = "guest")]
#[doc(hidden)]
pub mod slot;
#[cfg(feature = "guest")]
pub mod table;
#[cfg(feature = "guest")]
pub mod tables;

#[cfg(feature = "guest")]
pub use bindings::transformer_world::exports::sesame::plugin::transformer::{Output, Part, Transformed, Verdict};
#[cfg(feature = "guest")]
pub use bindings::types::{Context, Delay, Direction, Failure, Finding, Message, Severity, Signer};
#[cfg(feature = "guest")]
pub use config::{Configuration, NoConfig};
#[cfg(not(feature = "guest"))]
pub use finding::{Finding, Severity};
#[cfg(feature = "guest")]
pub use plugin::{Plugin, Router, Transformer, Validator};

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
