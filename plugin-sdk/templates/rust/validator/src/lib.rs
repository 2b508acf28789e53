//! Refuses messages of sites that are not listed.

use sesame_plugin::{Failure, Finding, Message, Plugin, Validator, export};

/// The operator's `[config]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    sites: Vec<String>,
}

struct Sites {
    sites: Vec<String>,
}

impl Plugin for Sites {
    type Config = Config;
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses messages of sites that are not listed.";

    fn config_schema() -> Option<String> {
        let schema = r#"{
            "type": "object", "required": ["sites"], "additionalProperties": false,
            "properties": { "sites": { "type": "array", "items": { "type": "string" } } }
        }"#;
        Some(schema.to_owned())
    }

    fn new(config: Config) -> Result<Self, String> {
        match config.sites.is_empty() {
            true => Err("list at least one site in `sites`".to_owned()),
            false => Ok(Self { sites: config.sites }),
        }
    }
}

impl Validator for Sites {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        let findings = self.check(&String::from_utf8_lossy(&message.payload));
        match findings.is_empty() {
            true => Ok(findings),
            false => Err(Failure::Invalid(findings)),
        }
    }
}

impl Sites {
    /// What is wrong with a message. Records end with a line `%%`.
    fn check(&self, text: &str) -> Vec<Finding> {
        let (mut record, mut named, mut findings) = (1, false, Vec::new());
        for line in text.lines() {
            if line == "%%" {
                record += 1;
            }
            let Some(site) = line.strip_prefix("Site: ") else { continue };
            named = true;
            if !self.sites.iter().any(|listed| listed == site) {
                let finding = Finding::error("site.unknown", "is not a listed site");
                findings.push(finding.in_record(record).in_field("Site", site));
            }
        }
        if !named {
            findings.push(Finding::error("site.missing", "no record names its site"));
        }
        findings
    }
}

export!(Sites: validator);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_its_cases() {
        sesame_plugin::native::cases::<Sites>();
    }

    #[test]
    fn names_the_record_of_an_unlisted_site() {
        let plugin = Sites { sites: vec!["UKI-TEST".to_owned()] };
        let findings = plugin.check("Site: UKI-TEST\n%%\nSite: ELSEWHERE\n%%\n");
        assert_eq!((findings.len(), findings[0].record_number), (1, Some(2)));
    }
}
