//! Gives a site that was renamed its new name.

use sesame_plugin::{Failure, Message, Output, Plugin, Transformed, Transformer, Verdict, export};

/// The operator's `[config]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    old: String,
    new: String,
}

/// The line that is replaced, and what replaces it.
struct Rename {
    old: String,
    new: String,
}

impl Plugin for Rename {
    type Config = Config;
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Gives a site that was renamed its new name.";

    fn config_schema() -> Option<String> {
        let schema = r#"{
            "type": "object", "required": ["old", "new"], "additionalProperties": false,
            "properties": { "old": { "type": "string" }, "new": { "type": "string" } }
        }"#;
        Some(schema.to_owned())
    }

    fn new(config: Config) -> Result<Self, String> {
        match config.old.is_empty() || config.new.is_empty() {
            true => Err("name the site in `old` and `new`".to_owned()),
            false => Ok(Self { old: format!("Site: {}", config.old), new: format!("Site: {}", config.new) }),
        }
    }
}

impl Transformer for Rename {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        let verdict = match self.rename(&message.payload) {
            Some(content) => Verdict::Replaced(Output::new(content)),
            None => Verdict::Unchanged,
        };
        Ok(verdict.into())
    }
}

impl Rename {
    /// The content with the new name; `None` where the old one is not in it.
    fn rename(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let (old, new) = (self.old.as_bytes(), self.new.as_bytes());
        let lines: Vec<&[u8]> = payload.split(|byte| *byte == b'\n').collect();
        let renamed: Vec<&[u8]> = lines.iter().map(|line| if *line == old { new } else { line }).collect();
        lines.contains(&old).then(|| renamed.join(&b'\n'))
    }
}

export!(Rename: transformer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_its_cases() {
        sesame_plugin::native::cases::<Rename>();
    }

    #[test]
    fn replaces_whole_lines_and_keeps_the_rest() {
        let plugin = Rename { old: "Site: OLD".to_owned(), new: "Site: NEW".to_owned() };
        let renamed = plugin.rename(b"Site: OLD\nSite: OLDER\n\xff");
        assert_eq!(renamed.as_deref(), Some(b"Site: NEW\nSite: OLDER\n\xff".as_slice()));
        assert_eq!(plugin.rename(b"Site: OLDER\n"), None);
    }
}
