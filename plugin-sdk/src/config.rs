//! From the operator's `[config]`, which arrives as JSON, to the plugin's own type.

use serde::de::DeserializeOwned;

/// A configuration that can be read from JSON. Every type that serde can read is one; give it
/// `#[serde(deny_unknown_fields)]`, so that an operator's typing mistakes are reported.
pub trait Configuration: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn from_json(json: &str) -> Result<Self, String>;
}

impl<T: DeserializeOwned> Configuration for T {
    fn from_json(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }
}

/// The configuration of a plugin that has none. It needs no JSON parser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoConfig;

impl Configuration for NoConfig {
    fn from_json(json: &str) -> Result<Self, String> {
        match json.trim() {
            "{}" => Ok(Self),
            _ => Err("this plugin takes no configuration".to_owned()),
        }
    }
}
