//! The settings of one plugin, as the pipeline uses them.
//!
//! An operator writes them in the sidecar `NAME.toml` of `NAME.wasm`, or in `[plugin."NAME"]` of the configuration, which has
//! the same keys; both are read by [`PluginSettings`].

use std::path::Path;

use crate::catalog::filter::Filter;
use crate::instance::limits::Limits;
use settings::ConfigErrors;

use crate::catalog::settings::{Flow, Mode, OnError, PluginSettings};
use message::Direction;

/// The keys of a sidecar that select the messages a plugin applies to, and those that say that no message waits for it.
const FILTER_KEYS: [&str; 7] = ["channels", "direction", "destination", "signer", "content-type", "mode", "compare-to"];

/// The settings of one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// A disabled plugin is not part of any pipeline.
    pub enabled: bool,
    /// What it decides.
    pub mode: Mode,
    /// The plugin that a shadow is compared with; the whole pipeline, if none.
    pub compare_to: Option<String>,
    /// The messages it applies to.
    pub filter: Filter,
    /// What happens when it fails.
    pub on_error: OnError,
    /// What it may use.
    pub limits: Limits,
    /// Whether it is refused if it imports an interface with a stand-in.
    pub deny_stand_ins: bool,
    /// SHA-256 that the component must have.
    pub sha256: Option<[u8; 32]>,
    /// The lookup tables that it may use, by name.
    pub tables: Vec<String>,
    /// The plugin's own table, as JSON; references to secrets are not resolved.
    pub config: serde_json::Value,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self::from(&PluginSettings::default())
    }
}

impl From<&PluginSettings> for Sidecar {
    fn from(settings: &PluginSettings) -> Self {
        Self {
            enabled: settings.enabled,
            mode: settings.mode,
            compare_to: settings.compare_to.clone(),
            filter: Filter {
                channels: settings.channels.clone(),
                direction: match settings.direction {
                    Flow::Inbound => Some(Direction::Inbound),
                    Flow::Outbound => Some(Direction::Outbound),
                    Flow::Both => None,
                },
                destination: settings.destinations.clone(),
                signer: settings.signers.clone(),
                content_type: settings.content_types.clone(),
            },
            on_error: settings.on_error,
            limits: Limits {
                deadline: settings.deadline,
                memory: settings.memory,
                output: settings.max_output,
                log: settings.max_log,
                yields: false,
            },
            deny_stand_ins: settings.deny_stand_ins,
            sha256: settings.sha256,
            tables: settings.tables.clone(),
            config: serde_json::Value::Object(settings.config.clone()),
        }
    }
}

impl Sidecar {
    /// Reads the text of the sidecar `file`.
    ///
    /// # Errors
    /// Every mistake in it, each with its line, its key and the remedy.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigErrors> {
        PluginSettings::parse_sidecar(text, file).map(|settings| Self::from(&settings))
    }

    /// The valid filter keys of a text with mistakes; none if there is no such key. All other keys have their defaults: the
    /// plugin is enabled.
    #[must_use]
    pub fn understood(text: &str, file: &Path) -> Option<Self> {
        let table: toml::Table = text.parse().ok()?;
        let mut kept = toml::Table::new();
        for (key, value) in table.into_iter().filter(|(key, _)| FILTER_KEYS.contains(&key.as_str())) {
            let mut alone = toml::Table::from_iter([(key.clone(), value.clone())]);
            if key == "compare-to" {
                alone.insert("mode".to_owned(), "shadow".into());
            }
            if Self::parse(&alone.to_string(), file).is_ok() {
                kept.insert(key, value);
            }
        }
        if kept.get("mode").and_then(toml::Value::as_str) != Some("shadow") {
            kept.remove("compare-to");
        }
        Self::parse(&kept.to_string(), file).ok().filter(|_| !kept.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> Result<Sidecar, ConfigErrors> {
        Sidecar::parse(text, Path::new("a.toml"))
    }

    #[test]
    fn an_empty_sidecar_is_the_default() {
        assert_eq!(parse("").unwrap(), Sidecar::default());
        assert_eq!(parse("direction = \"both\"").unwrap(), Sidecar::default());
        assert_eq!(Sidecar::default().limits, Limits::default());
    }

    #[test]
    fn of_a_text_with_mistakes_the_valid_filter_keys_apply() {
        let understood = |text| Sidecar::understood(text, Path::new("a.toml")).map(|sidecar| sidecar.filter);
        let text =
            "enabled = false\ndeadline = 5\ndestination = \"/queue/a\"\ndirection = \"sideways\"\n[config]\nx = 1\n";
        let expected = Filter { destination: Some(vec!["/queue/a".to_owned()]), ..Filter::default() };
        assert_eq!(understood(text), Some(expected));
        assert!(Sidecar::understood(text, Path::new("a.toml")).unwrap().enabled, "a mistake disables no plugin");
        assert_eq!(understood("deadline = 5"), None);
        let shadow = "mode = \"shadow\"\ncompare-to = \"a\"\ndeadline = 5";
        let shadow = Sidecar::understood(shadow, Path::new("a.toml")).unwrap();
        assert_eq!((shadow.mode, shadow.compare_to.as_deref()), (Mode::Shadow, Some("a")), "no message waits for it");
        assert_eq!(understood("destination = \"/queue/a"), None, "a text that is not TOML has no keys");
    }

    #[test]
    fn reads_every_key() {
        let pin = "ab".repeat(32);
        let text = format!(
            r#"
            enabled = false
            mode = "shadow"
            compare-to = "pbs"
            channels = ["central"]
            direction = "inbound"
            destination = "/queue/*"
            signer = ["/C=UK/CN=a", "CN=b"]
            content-type = ["Text/Plain"]
            on-error = "reject"
            deadline = "250ms"
            memory = "128MiB"
            output-limit = 1000
            log-limit = "1KiB"
            deny-stand-ins = true
            sha256 = "{pin}"
            tables = ["sites", "users"]
            [config]
            sites = ["UKI-TEST"]
            [config.inner]
            factor = 1.5
            on = true
            "#
        );
        let sidecar = parse(&text).unwrap();
        assert!(!sidecar.enabled);
        assert_eq!((sidecar.mode, sidecar.compare_to.as_deref()), (Mode::Shadow, Some("pbs")));
        assert_eq!(sidecar.filter.channels, Some(vec!["central".to_owned()]));
        assert_eq!(sidecar.filter.direction, Some(Direction::Inbound));
        assert_eq!(sidecar.filter.destination, Some(vec!["/queue/*".to_owned()]));
        assert_eq!(sidecar.filter.signer.unwrap().len(), 2);
        assert_eq!(sidecar.filter.content_type, Some(vec!["text/plain".to_owned()]));
        assert_eq!(sidecar.on_error, OnError::Reject);
        let limits =
            Limits { deadline: Duration::from_millis(250), memory: 128 << 20, output: 1000, log: 1024, yields: false };
        assert_eq!(sidecar.limits, limits);
        assert!(sidecar.deny_stand_ins);
        assert_eq!(sidecar.sha256, Some([0xab; 32]));
        assert_eq!(sidecar.tables, ["sites", "users"]);
        let expected = serde_json::json!({"sites": ["UKI-TEST"], "inner": {"factor": 1.5, "on": true}});
        assert_eq!(sidecar.config, expected);
    }

    #[test]
    fn only_a_shadow_is_compared() {
        let error = parse("compare-to = \"pbs\"").unwrap_err().to_string();
        assert!(error.contains("a.toml:1: compare-to: is for shadows only; add mode = \"shadow\""), "{error}");
    }

    #[test]
    fn reports_all_mistakes_with_line_and_key() {
        let errors = parse("enabled = \"yes\"\ndeadline = \"5\"\nsites = [\"UKI-TEST\"]\n").unwrap_err();
        let keys: Vec<&str> = errors.mistakes().iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys.len(), 3, "{errors}");
        let text = errors.to_string();
        for expected in ["a.toml:1: enabled:", "a.toml:2: deadline:", "a.toml:3: sites:"] {
            assert!(text.contains(expected), "{expected} not in {text}");
        }
    }
}
