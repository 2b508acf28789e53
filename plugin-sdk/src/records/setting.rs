//! What the stock validators of records have in common: their one setting, and the step from findings to an answer.

use crate::{Configuration, Failure, Finding, Message, Severity};

use super::Rules;

/// The operator's `[config]` of a validator of records. It is read without a JSON parser, which would be half of such a
/// plugin's size: the host hands over what its schema allows, and that is next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Also what the formats' documents and the consumer's database demand and its loader does not check.
    pub strict: bool,
}

impl Configuration for Setting {
    fn from_json(json: &str) -> Result<Self, String> {
        let compact: String = json.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        match compact.as_str() {
            "{}" | r#"{"strict":false}"# => Ok(Self { strict: false }),
            r#"{"strict":true}"# => Ok(Self { strict: true }),
            _ => Err("the only key is strict, and it is true or false".to_owned()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strict_can_be_set() {
        let strict = |json| Setting::from_json(json).map(|setting| setting.strict);
        assert_eq!(strict("{}"), Ok(false));
        assert_eq!(strict("{ \"strict\" : true }\n"), Ok(true));
        assert_eq!(strict(r#"{"strict":false}"#), Ok(false));
        for other in ["", "[]", r#"{"strict":1}"#, r#"{"strikt":true}"#, r#"{"strict":true,"x":0}"#] {
            assert!(strict(other).is_err(), "{other}");
        }
        let schema: serde_json::Value = serde_json::from_str(Setting::SCHEMA).expect("the schema is JSON");
        assert_eq!(schema["properties"]["strict"]["type"], "boolean");
    }
}
