//! A validator with a lookup table and a secret: each line of a message must be a key of the table. It says the row of each, and
//! its secret in every way that a plugin can say something.

use serde::Deserialize;
use sesame_plugin::{Failure, Finding, Message, Plugin, Validator, log, tables};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookups {
    table: String,
    #[serde(default)]
    secret: Option<String>,
    /// How often the first line is looked up: to measure.
    #[serde(default)]
    repeat: u32,
}

impl Plugin for Lookups {
    type Config = Self;
    const NAME: &'static str = "lookups";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses messages with a line that is no key of its table.";

    fn new(config: Self) -> Result<Self, String> {
        tables::contains(&config.table, "")?;
        match config.secret.as_deref() {
            Some(secret) if secret.starts_with("bad") => Err(format!("the secret {secret} is bad")),
            _ => Ok(config),
        }
    }
}

impl Validator for Lookups {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        let text = String::from_utf8_lossy(&message.payload);
        let first = text.lines().next().unwrap_or_default();
        for _ in 0..self.repeat {
            if tables::get(&self.table, first).map_err(Failure::Internal)?.is_none() {
                return Err(Failure::Internal("the first line is no key".to_owned()));
            }
        }
        let mut findings = Vec::new();
        for line in text.lines() {
            let Some(row) = tables::get(&self.table, line).map_err(Failure::Internal)? else {
                return Err(Finding::error("lookup.unknown", "is not a key of the table").in_field("key", line).into());
            };
            let row: Vec<String> = row.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            findings.push(Finding::warning("lookup.row", row.join(" ")));
        }
        if let Some(secret) = &self.secret {
            log::warn(&format!("the secret is {secret}"));
            eprintln!("the secret is {secret}");
            findings.push(Finding::warning("lookup.secret", format!("the secret is {secret}")));
            match first {
                "panic" => panic!("the secret is {secret}"),
                "internal" => return Err(Failure::Internal(format!("the secret is {secret}"))),
                "invalid" => return Err(Finding::error("lookup.said", secret).in_field("secret", secret).into()),
                _ => {}
            }
        }
        Ok(findings)
    }
}

sesame_plugin::export!(Lookups: validator);
