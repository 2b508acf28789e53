//! The stock plugin `builtin:cloud-records`: refuses cloud records and their summaries that the consumer would reject.
//!
//! The verdict is that of the consumer's own loader at the time the message was first taken up. With `strict = true` in
//! its `[config]` it also refuses what the documents and the consumer's database demand and the loader does not check.
//! What is checked, field by field, is described in `sesame_plugin::records::text::cloud` and `cloud_summary`.

use sesame_plugin::records::text::{self, Format};
use sesame_plugin::records::{Setting, answer};
use sesame_plugin::{Failure, Finding, Message, Plugin, Validator};

struct CloudRecords(Setting);

impl Plugin for CloudRecords {
    type Config = Setting;
    const NAME: &'static str = "cloud-records";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Refuses cloud records and their summaries that the accounting consumer would reject.";

    fn config_schema() -> Option<String> {
        Some(Setting::SCHEMA.to_owned())
    }

    fn new(setting: Setting) -> Result<Self, String> {
        Ok(Self(setting))
    }
}

impl Validator for CloudRecords {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        answer(text::check_as(&message.payload, &[Format::Cloud, Format::CloudSummary], &self.0.rules(message)))
    }
}

sesame_plugin::export!(CloudRecords: validator);
