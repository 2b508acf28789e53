//! The stock plugin `builtin:any-record`: recognises what a message carries and refuses what the consumer would reject.
//!
//! The consumer's loader recognises formats by the stripped text: `<` begins XML, `{` begins JSON, all else is a text
//! format with a header line. The verdict is that of the loader at the time the message was first taken up; a message
//! of no known type is refused; with `unknown-types = "pass"` in its `[config]` it goes on with a warning. With `strict
//! = true` the plugin also refuses what the documents and the consumer's database demand and the loader does not check.
//! What is checked, field by field, is described in the modules of `sesame_plugin::records`.

use sesame_plugin::records::{AllTypes, answer};
use sesame_plugin::{Failure, Finding, Message, Plugin, Validator};

struct AnyRecord(AllTypes);

impl Plugin for AnyRecord {
    type Config = AllTypes;
    const NAME: &'static str = "any-record";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses records of any type that the accounting consumer would reject.";

    fn config_schema() -> Option<String> {
        Some(AllTypes::SCHEMA.to_owned())
    }

    fn new(setting: AllTypes) -> Result<Self, String> {
        Ok(Self(setting))
    }
}

impl Validator for AnyRecord {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        answer(self.0.check(&message.payload, &self.0.rules(message)))
    }
}

sesame_plugin::export!(AnyRecord: validator);
