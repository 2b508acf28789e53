//! What the stock validators of records have in common: their one setting, and the step from findings to an answer.

use crate::{Failure, Finding, Message, Severity};

use super::Rules;

/// The operator's `[config]` of a validator of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Also what the formats' documents and the consumer's database demand and its loader does not check.
    #[serde(default)]
    pub strict: bool,
}

impl Setting {
    /// JSON Schema of the configuration.
    pub const SCHEMA: &'static str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "strict": {
      "type": "boolean",
      "default": false,
      "description": "Also refuse what the formats' documents and the consumer's database demand and its loader does not check."
    }
  }
}"#;

    /// The rules for a message: "now" is when it was first taken up, so that its verdict stays the same.
    #[must_use]
    pub fn rules(self, message: &Message) -> Rules {
        let now = i64::try_from(message.context.received_at / 1000).unwrap_or(i64::MAX);
        Rules { now, strict: self.strict }
    }
}

/// A validator's answer: the message is invalid if and only if a finding is an error.
///
/// # Errors
/// All the findings of an invalid message.
pub fn answer(findings: Vec<Finding>) -> Result<Vec<Finding>, Failure> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Failure::Invalid(findings));
    }
    Ok(findings)
}
