//! The stock plugin `builtin:usage-records`: refuses CAR (compute usage) messages that the consumer would reject.
//!
//! The verdict is that of the consumer's own loader at the time the message was first taken up. With `strict = true` in
//! its `[config]` it also refuses what the documents and the consumer's database demand and the loader does not check.
//! What is checked, field by field, is described in `sesame_plugin::records::car`.

use sesame_plugin::records::{Setting, answer, car};
use sesame_plugin::{Failure, Finding, Message, Plugin, Validator};

struct UsageRecords(Setting);

impl Plugin for UsageRecords {
    type Config = Setting;
    const NAME: &'static str = "usage-records";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses CAR (compute usage) messages that the accounting consumer would reject.";

    fn config_schema() -> Option<String> {
        Some(Setting::SCHEMA.to_owned())
    }

    fn new(setting: Setting) -> Result<Self, String> {
        Ok(Self(setting))
    }
}

impl Validator for UsageRecords {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        answer(car::check(&message.payload, &self.0.rules(message)))
    }
}

sesame_plugin::export!(UsageRecords: validator);
