//! Secrets in the configuration of a plugin.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use zeroize::Zeroizing;

/// Shorter texts are not looked for: they occur by chance.
const LEAST: usize = 4;

/// The text that `value` refers to: an object with nothing but `secret` and a text.
fn reference(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get("secret")?.as_str()
}

/// The names of the secrets in a configuration.
#[must_use]
pub fn secrets_in(config: &Value) -> Vec<&str> {
    match (reference(config), config) {
        (Some(name), _) => vec![name],
        (None, Value::Object(members)) => members.values().flat_map(secrets_in).collect(),
        (None, Value::Array(values)) => values.iter().flat_map(secrets_in).collect(),
        _ => Vec::new(),
    }
}

/// The configuration of a plugin with its secrets. `Debug` does not show it.
#[derive(Clone, Default)]
pub(crate) struct Config {
    text: Arc<Zeroizing<String>>,
    redaction: Redaction,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Config([hidden])")
    }
}

impl Config {
    /// Replaces each reference by the text that `secret` has for it.
    pub(super) fn resolve(
        config: &Value,
        secret: impl Fn(&str) -> Result<Zeroizing<String>, String>,
    ) -> Result<Self, String> {
        let mut found = Vec::new();
        for name in secrets_in(config) {
            found.push((name, secret(name)?));
        }
        if found.is_empty() {
            return Ok(Self::plain(config));
        }
        let mut resolved = config.clone();
        replace(&mut resolved, &found);
        let text = Arc::new(Zeroizing::new(resolved.to_string()));
        Ok(Self { text, redaction: Redaction(found.into_iter().map(|(_, text)| text).collect()) })
    }

    /// A configuration without secrets.
    pub(super) fn plain(config: &Value) -> Self {
        Self { text: Arc::new(Zeroizing::new(config.to_string())), redaction: Redaction::default() }
    }

    /// As the plugin gets it.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }

    /// The same as JSON, to be validated.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// What must not appear in texts.
    pub(crate) fn redaction(&self) -> &Redaction {
        &self.redaction
    }
}

fn replace(value: &mut Value, secrets: &[(&str, Zeroizing<String>)]) {
    let own = reference(value).and_then(|name| secrets.iter().find(|(known, _)| *known == name));
    if let Some((_, text)) = own {
        *value = Value::String(text.to_string());
        return;
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, secrets)),
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, secrets)),
        _ => {}
    }
}

/// The secrets that a plugin has, to be replaced in its texts.
#[derive(Clone, Default)]
pub(crate) struct Redaction(Arc<[Zeroizing<String>]>);

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redaction([hidden])")
    }
}

impl Redaction {
    /// The text without secrets.
    pub(crate) fn apply(&self, text: String) -> String {
        let hide =
            |text: String, secret: &Zeroizing<String>| match secret.len() >= LEAST && text.contains(secret.as_str()) {
                true => text.replace(secret.as_str(), "[secret]"),
                false => text,
            };
        self.0.iter().fold(text, hide)
    }

    /// Whether there is nothing to replace.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(name: &str) -> Result<Zeroizing<String>, String> {
        match name {
            "salt" => Ok(Zeroizing::new("pinch of it".to_owned())),
            "pin" => Ok(Zeroizing::new("123".to_owned())),
            _ => Err(format!("no {name}")),
        }
    }

    #[test]
    fn replaces_references_at_any_depth_and_nothing_else() {
        let config = json!({
            "key": {"secret": "salt"},
            "list": [{"secret": "pin"}, {"secret": "pin", "more": 1}, {"secret": 1}],
            "inner": {"key": {"secret": "salt"}},
        });
        assert_eq!(secrets_in(&config), ["salt", "salt", "pin"]);
        let resolved = Config::resolve(&config, secret).unwrap();
        let expected = json!({
            "key": "pinch of it",
            "list": ["123", {"secret": "pin", "more": 1}, {"secret": 1}],
            "inner": {"key": "pinch of it"},
        });
        assert_eq!(resolved.value(), expected);
        assert_eq!(format!("{resolved:?}"), "Config([hidden])");
        assert_eq!(Config::resolve(&json!({"a": {"secret": "none"}}), secret).unwrap_err(), "no none");
    }

    #[test]
    fn texts_lose_the_secrets_but_short_ones_which_occur_by_chance() {
        let config = json!([{"secret": "salt"}, {"secret": "pin"}]);
        let resolved = Config::resolve(&config, secret).unwrap();
        let said = resolved.redaction().apply("a pinch of it, 123".to_owned());
        assert_eq!(said, "a [secret], 123");
        assert!(Config::plain(&config).redaction().is_empty());
    }
}
