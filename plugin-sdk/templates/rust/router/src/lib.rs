//! Sends messages of listed sites to a route of their own.

use sesame_plugin::{Failure, Message, Plugin, Router, export};

/// The operator's `[config]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    sites: Vec<String>,
    route: String,
}

struct Sites {
    config: Config,
}

impl Plugin for Sites {
    type Config = Config;
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sends messages of listed sites to a route of their own.";

    fn config_schema() -> Option<String> {
        let schema = r#"{
            "type": "object", "required": ["sites", "route"], "additionalProperties": false,
            "properties": {
                "sites": { "type": "array", "items": { "type": "string" } },
                "route": { "type": "string" }
            }
        }"#;
        Some(schema.to_owned())
    }

    fn new(config: Config) -> Result<Self, String> {
        match config.sites.is_empty() {
            true => Err("list at least one site in `sites`".to_owned()),
            false => Ok(Self { config }),
        }
    }
}

impl Router for Sites {
    fn route(&self, message: &Message) -> Result<Vec<String>, Failure> {
        Ok(self.choose(&String::from_utf8_lossy(&message.payload)))
    }
}

impl Sites {
    /// Names of the channel's routes; none for the default route.
    fn choose(&self, text: &str) -> Vec<String> {
        let mut sites = text.lines().filter_map(|line| line.strip_prefix("Site: ")).peekable();
        let named = sites.peek().is_some();
        let listed = sites.all(|site| self.config.sites.iter().any(|listed| listed == site));
        if named && listed { vec![self.config.route.clone()] } else { Vec::new() }
    }
}

export!(Sites: router);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_its_cases() {
        sesame_plugin::native::cases::<Sites>();
    }

    #[test]
    fn chooses_the_route_if_every_site_is_listed() {
        let config = Config { sites: vec!["UKI-TEST".to_owned()], route: "tests".to_owned() };
        let plugin = Sites { config };
        assert_eq!(plugin.choose("Site: UKI-TEST\n%%\n"), ["tests"]);
        assert!(plugin.choose("Site: UKI-TEST\n%%\nSite: ELSEWHERE\n%%\n").is_empty());
        assert!(plugin.choose("%%\n").is_empty());
    }
}
