//! The stock plugin `builtin:summary-records`: refuses summaries of jobs, normalised or not, that the consumer would
//! reject.
//!
//! The verdict is that of the consumer's own loader at the time the message was first taken up. With `strict = true` in
//! its `[config]` it also refuses what the documents and the consumer's database demand and the loader does not check.
//! What is checked, field by field, is described in `sesame_plugin::records::text::summary` and `normalised`.

use sesame_plugin::records::text::{self, Format};
use sesame_plugin::records::{Setting, answer};
use sesame_plugin::{Failure, Finding, Message, Plugin, Validator};

struct SummaryRecords(Setting);

impl Plugin for SummaryRecords {
    type Config = Setting;
    const NAME: &'static str = "summary-records";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Refuses summaries of jobs, normalised or not, that the accounting consumer would reject.";

    fn config_schema() -> Option<String> {
        Some(Setting::SCHEMA.to_owned())
    }

    fn new(setting: Setting) -> Result<Self, String> {
        Ok(Self(setting))
    }
}

impl Validator for SummaryRecords {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        answer(text::check_as(&message.payload, &[Format::Summary, Format::NormalisedSummary], &self.0.rules(message)))
    }
}

sesame_plugin::export!(SummaryRecords: validator);
