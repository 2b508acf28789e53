//! What the stock validators of records have in common: their settings, and the step from findings to a verdict.
//!
//! The settings are read without a JSON parser, which would double the size of such a plugin: the schema, which the
//! host validates, allows two keys with two values each.

use crate::{Configuration, Failure, Finding, Message, Severity};

use super::{Rules, TYPE_NOT_RECOGNISED, check};

/// The operator's `[config]` of a validator of records of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Also what the formats' documents and the consumer's database demand and its loader does not check.
    pub strict: bool,
}

/// The operator's `[config]` of a plugin that recognises records of every type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllTypes {
    /// As in [`Setting`].
    pub strict: bool,
    /// `unknown-types = "pass"`: a message of a type that the consumer does not recognise goes on, with a warning.
    pub pass_unknown: bool,
}

impl Configuration for Setting {
    fn from_json(json: &str) -> Result<Self, String> {
        match read(json, false) {
            Some(AllTypes { strict, .. }) => Ok(Self { strict }),
            None => Err("the only key is strict, and it is true or false".to_owned()),
        }
    }
}

impl Configuration for AllTypes {
    fn from_json(json: &str) -> Result<Self, String> {
        read(json, true).ok_or_else(|| "strict must be true or false, unknown-types \"pass\" or \"refuse\"".to_owned())
    }
}

/// Reads a configuration; None if it has anything else than these keys and values.
fn read(json: &str, all_types: bool) -> Option<AllTypes> {
    let compact: String = json.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let [b'{', .., b'}'] = compact.as_bytes() else { return None };
    let mut read = AllTypes::default();
    for entry in compact.get(1..compact.len() - 1)?.split(',') {
        match entry {
            r#""strict":true"# => read.strict = true,
            r#""unknown-types":"pass""# if all_types => read.pass_unknown = true,
            r#""strict":false"# => read.strict = false,
            r#""unknown-types":"refuse""# if all_types => read.pass_unknown = false,
            "" if compact.len() == 2 => {}
            _ => return None,
        }
    }
    Some(read)
}

/// "Now" is when a message was first accepted, so that its verdict stays the same.
fn rules(strict: bool, message: &Message) -> Rules {
    Rules { now: i64::try_from(message.context.received_at / 1000).unwrap_or(i64::MAX), strict }
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

    /// The rules for a message.
    #[must_use]
    pub fn rules(self, message: &Message) -> Rules {
        rules(self.strict, message)
    }
}

impl AllTypes {
    /// JSON Schema of the configuration.
    pub const SCHEMA: &'static str = r#"{"$schema": "https://json-schema.org/draft/2020-12/schema","type": "object","additionalProperties": false,"properties": {"strict": {"type": "boolean","default": false,"description": "Also refuse what the formats' documents and the consumer's database demand and its loader does not check."},"unknown-types": {"enum": ["refuse", "pass"],"default": "refuse","description": "Refuse a message of a type that the consumer does not recognise, or pass it with a warning."}}}"#;

    /// The rules for a message.
    #[must_use]
    pub fn rules(self, message: &Message) -> Rules {
        rules(self.strict, message)
    }

    /// All findings about a message of any type.
    #[must_use]
    pub fn check(self, payload: &[u8], rules: &Rules) -> Vec<Finding> {
        let mut findings = check(payload, rules);
        // It is the only finding of a message that has it.
        if self.pass_unknown
            && let Some(finding) = findings.first_mut()
            && finding.code == TYPE_NOT_RECOGNISED
        {
            finding.severity = Severity::Warning;
        }
        findings
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
    fn only_strict_can_be_set_for_one_type() {
        let strict = |json| Setting::from_json(json).map(|setting| setting.strict);
        assert_eq!(strict("{}"), Ok(false));
        assert_eq!(strict("{ \"strict\" : true }\n"), Ok(true));
        assert_eq!(strict(r#"{"strict":false}"#), Ok(false));
        for other in [
            "",
            "[]",
            r#"{"strict":1}"#,
            r#"{"strikt":true}"#,
            r#"{"strict":true,"x":0}"#,
            r#"{"unknown-types":"pass"}"#,
            r#"{"strict":true,}"#,
        ] {
            assert!(strict(other).is_err(), "{other}");
        }
        let schema: serde_json::Value = serde_json::from_str(Setting::SCHEMA).expect("the schema is JSON");
        assert_eq!(schema["properties"]["strict"]["type"], "boolean");
    }

    #[test]
    fn unknown_types_can_be_let_on_where_all_types_are_recognised() {
        let read = |json| AllTypes::from_json(json).map(|read| (read.strict, read.pass_unknown));
        assert_eq!(read("{}"), Ok((false, false)));
        assert_eq!(read(r#"{"unknown-types": "pass"}"#), Ok((false, true)));
        assert_eq!(read(r#"{"unknown-types": "refuse", "strict": true}"#), Ok((true, false)));
        assert_eq!(read(r#"{"strict":true,"unknown-types":"pass"}"#), Ok((true, true)));
        for other in [r#"{"unknown-types":true}"#, r#"{"unknown-types":"passes"}"#, r#"{"strict":"pass"}"#, "[]"] {
            assert!(read(other).is_err(), "{other}");
        }
        let schema: serde_json::Value = serde_json::from_str(AllTypes::SCHEMA).expect("the schema is JSON");
        assert_eq!(schema["properties"]["unknown-types"]["default"], "refuse");
        assert_eq!(schema["properties"]["strict"], Setting::schema()["properties"]["strict"]);
    }

    impl Setting {
        fn schema() -> serde_json::Value {
            serde_json::from_str(Self::SCHEMA).expect("the schema is JSON")
        }
    }

    #[test]
    fn only_a_message_of_no_known_type_is_let_on() {
        let rules = Rules { now: 1_700_000_000, strict: true };
        let judged = |pass_unknown, payload: &str| {
            let findings = AllTypes { strict: true, pass_unknown }.check(payload.as_bytes(), &rules);
            (findings.iter().all(|finding| finding.severity != Severity::Error), findings.len())
        };
        for unknown in [
            r#"{"Type": "APEL Public IP message", "Version": "0.2", "UsageRecords": []}"#,
            r#"{"header": {"a": "b"}}"#,
            "<JobUsageRecord xmlns='http://schema.ogf.org/urf/2003/09/urf'/>",
            "APEL-energy-message: v0.1\nSite: X\n",
            "hello",
        ] {
            assert_eq!(judged(false, unknown), (false, 1), "{unknown}");
            assert_eq!(judged(true, unknown), (true, 1), "{unknown}");
        }
        for known in [
            "",
            "{",
            "<a",
            r#"{"Type": "APEL-accelerator-message"}"#,
            r#"{"Type": "APEL-accelerator-summary-message"}"#,
            "<a xmlns='http://eu-emi.eu/namespaces/2012/11/aggregatedcomputerecord'/>",
            "APEL-sync-message",
            "APEL-sync-message: v0.1\nSite: X\n",
            "APEL-summary-job-message: v0.5\n",
        ] {
            assert!(!judged(true, known).0, "{known}");
        }
    }
}
