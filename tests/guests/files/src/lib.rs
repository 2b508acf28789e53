//! A validator that reads a file.

use sesame_plugin::{Failure, Finding, Message, NoConfig, Plugin, Validator};

struct Files;

impl Plugin for Files {
    type Config = NoConfig;
    const NAME: &'static str = "files";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Reads a file, or would.";

    fn new(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Validator for Files {
    fn validate(&self, _: &Message) -> Result<Vec<Finding>, Failure> {
        let text = std::fs::read_to_string("/list").map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(vec![Finding::warning("files.read", text)])
    }
}

sesame_plugin::export!(Files: validator);
