//! The stock plugin `builtin:sync-records`: refuses sync messages that the consumer would reject.
//!
//! The verdict is that of the consumer's own loader at the time the message was first taken up. With `strict = true` in
//! its `[config]` it also refuses what the documents and the consumer's database demand and the loader does not check.
//! What is checked, field by field, is described in `sesame_plugin::records::text::sync`.

use sesame_plugin::records::text::sync;
use sesame_plugin::records::{Setting, answer};
use sesame_plugin::{Failure, Finding, Message, Plugin, Validator};

struct SyncRecords(Setting);

impl Plugin for SyncRecords {
    type Config = Setting;
    const NAME: &'static str = "sync-records";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses sync messages that the accounting consumer would reject.";

    fn config_schema() -> Option<String> {
        Some(Setting::SCHEMA.to_owned())
    }

    fn new(setting: Setting) -> Result<Self, String> {
        Ok(Self(setting))
    }
}

impl Validator for SyncRecords {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        answer(sync::check(&message.payload, &self.0.rules(message)))
    }
}

sesame_plugin::export!(SyncRecords: validator);
