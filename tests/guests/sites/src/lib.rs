//! A validator with a configuration: refuses messages that name a site which is not listed.

use serde::Deserialize;
use sesame_plugin::{Failure, Finding, Message, Plugin, Validator};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sites {
    sites: Vec<String>,
}

impl Plugin for Sites {
    type Config = Self;
    const NAME: &'static str = "sites";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses messages of sites that are not listed.";

    fn config_schema() -> Option<String> {
        Some(r#"{"type":"object","additionalProperties":false,"required":["sites"],"properties":{"sites":{"type":"array","items":{"type":"string"}}}}"#.into())
    }

    fn new(config: Self) -> Result<Self, String> {
        if config.sites.is_empty() { Err("the list of sites is empty".into()) } else { Ok(config) }
    }
}

impl Validator for Sites {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        let text = String::from_utf8_lossy(&message.payload);
        for (number, line) in (1..).zip(text.lines().filter_map(|line| line.strip_prefix("Site: "))) {
            if !self.sites.iter().any(|site| site == line) {
                return Err(Finding::error("site.unknown", "is not a listed site")
                    .in_record(number)
                    .in_field("Site", line)
                    .into());
            }
        }
        Ok(vec![])
    }
}

sesame_plugin::export!(Sites: validator);
