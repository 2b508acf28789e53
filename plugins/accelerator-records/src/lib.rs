//! The stock plugin `builtin:accelerator-records`: refuses accelerator messages that the consumer would reject.
//!
//! The verdict is that of the consumer's own loader at the time the message was first taken up. With `strict = true` in
//! its `[config]` it also refuses what the documents and the consumer's database demand and the loader does not check.
//! What is checked, field by field, is described in `sesame_plugin::records::accelerator`.
//! Summaries of such records are refused too, for the consumer rejects every one of them: see
//! `sesame_plugin::records::accelerator_summary`.

use sesame_plugin::records::{self, Setting, answer};
use sesame_plugin::{Failure, Finding, Message, Plugin, Validator};

struct AcceleratorRecords(Setting);

impl Plugin for AcceleratorRecords {
    type Config = Setting;
    const NAME: &'static str = "accelerator-records";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses accelerator messages that the accounting consumer would reject.";

    fn config_schema() -> Option<String> {
        Some(Setting::SCHEMA.to_owned())
    }

    fn new(setting: Setting) -> Result<Self, String> {
        Ok(Self(setting))
    }
}

impl Validator for AcceleratorRecords {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        answer(records::check_json(&message.payload, &self.0.rules(message)))
    }
}

sesame_plugin::export!(AcceleratorRecords: validator);
