//! The settings of one stage: the side-car `NAME.toml` of `NAME.wasm`, or `[plugin."NAME"]` of the configuration,
//! which has the same keys.
//!
//! # Keys
//! `enabled` (true), `channels` (all), `direction` (`inbound`, `outbound`, `both`), `destination`, `signer`,
//! `content-type` (patterns, all by default), `on-error` (`defer`, `reject`, `pass`), `deadline` (`5s`), `memory`
//! (`64MiB`), `output-limit` (`64MiB`), `log-limit` (`16KiB`), `sha256` (a pin of the component), and the table
//! `[config]`, which is the plugin's own. A key that is not in this list is a mistake, and all mistakes are reported
//! together.

#[cfg(test)]
mod tests;
mod units;

use std::fmt;
use std::time::Duration;

use toml::{Table, Value};

use super::filter::Filter;
use super::limits::Limits;
use crate::message::Direction;

const KEYS: [&str; 13] = [
    "enabled",
    "channels",
    "direction",
    "destination",
    "signer",
    "content-type",
    "on-error",
    "deadline",
    "memory",
    "output-limit",
    "log-limit",
    "sha256",
    "config",
];

/// What becomes of a message when a plugin fails to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It waits until the plugin answers.
    #[default]
    Defer,
    /// It goes to the reject queue.
    Reject,
    /// It goes on as if the stage were not there, with a warning.
    Pass,
}

/// The settings of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct SideCar {
    /// A stage that is not enabled is not part of any pipeline.
    pub enabled: bool,
    /// The messages it sees.
    pub filter: Filter,
    /// What happens when it fails.
    pub on_error: OnError,
    /// What it may use.
    pub limits: Limits,
    /// SHA-256 that the component must have.
    pub sha256: Option<[u8; 32]>,
    /// The plugin's own table, as JSON.
    pub config: serde_json::Value,
}

impl Default for SideCar {
    fn default() -> Self {
        Self {
            enabled: true,
            filter: Filter::default(),
            on_error: OnError::default(),
            limits: Limits::default(),
            sha256: None,
            config: serde_json::Value::Object(serde_json::Map::new()),
        }
    }
}

/// One thing wrong with a side-car.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key; empty when the file is not TOML at all.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.key, self.problem) }
    }
}

impl SideCar {
    /// Reads the text of a side-car.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let table = text.parse::<Table>().map_err(|error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            vec![Mistake { key: String::new(), problem: format!("{place}is not TOML: {}", error.message()) }]
        })?;
        Self::from_table(&table)
    }

    /// Takes the settings from a table, such as `[plugin."NAME"]` of the configuration.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn from_table(table: &Table) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader { table, mistakes: Vec::new() };
        let default = Self::default();
        let side_car = Self {
            enabled: reader.flag("enabled").unwrap_or(true),
            filter: reader.filter(),
            on_error: reader
                .choice("on-error", &[("defer", OnError::Defer), ("reject", OnError::Reject), ("pass", OnError::Pass)])
                .unwrap_or_default(),
            limits: reader.limits(default.limits),
            sha256: reader.digest("sha256"),
            config: reader.config().unwrap_or(default.config),
        };
        reader.refuse_unknown_keys();
        if reader.mistakes.is_empty() { Ok(side_car) } else { Err(reader.mistakes) }
    }
}

/// Takes values out of a table and gathers what is wrong with them.
struct Reader<'a> {
    table: &'a Table,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&mut self, key: &str, problem: impl Into<String>) -> Option<T> {
        self.mistakes.push(Mistake { key: key.to_owned(), problem: problem.into() });
        None
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.table.get(key)?;
        value.as_bool().or_else(|| self.wrong(key, "write true or false, without quotes"))
    }

    fn text(&mut self, key: &str) -> Option<&'a str> {
        let value = self.table.get(key)?;
        value.as_str().or_else(|| self.wrong(key, "write a text in quotes"))
    }

    fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.wrong(key, format!("{text:?} is not one of {}", names.join(", ")))
        })
    }

    /// One text or a list of them, none of them empty.
    fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let texts: Option<Vec<String>> = match self.table.get(key)? {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(list) => list.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        match texts {
            Some(texts) if !texts.is_empty() && texts.iter().all(|text| !text.is_empty()) => Some(texts),
            _ => self.wrong(key, "write a list of texts such as [\"a\", \"b\"]; leave the key out for all"),
        }
    }

    fn filter(&mut self) -> Filter {
        let direction = self.choice(
            "direction",
            &[("inbound", Some(Direction::Inbound)), ("outbound", Some(Direction::Outbound)), ("both", None)],
        );
        Filter {
            channels: self.texts("channels"),
            direction: direction.flatten(),
            destination: self.texts("destination"),
            signer: self.texts("signer"),
            content_type: self
                .texts("content-type")
                .map(|texts| texts.iter().map(|text| text.to_ascii_lowercase()).collect()),
        }
    }

    fn limits(&mut self, default: Limits) -> Limits {
        Limits {
            deadline: self.deadline().unwrap_or(default.deadline),
            memory: self.bytes("memory", 1 << 20, 4 << 30).unwrap_or(default.memory),
            output: self.bytes("output-limit", 1, 1 << 30).unwrap_or(default.output),
            log: self.bytes("log-limit", 0, 16 << 20).unwrap_or(default.log),
        }
    }

    fn deadline(&mut self) -> Option<Duration> {
        let allowed = Duration::from_millis(10)..=Duration::from_secs(600);
        let text = self.text("deadline")?;
        units::time(text)
            .filter(|time| allowed.contains(time))
            .or_else(|| self.wrong("deadline", format!("{text:?} is not a time from \"10ms\" to \"10m\"")))
    }

    fn bytes(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let given = match self.table.get(key)? {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => units::bytes(text),
            _ => None,
        };
        given.filter(|bytes| (least..=most).contains(bytes)).or_else(|| {
            let (least, most) = (super::instance::size(least), super::instance::size(most));
            self.wrong(key, format!("write a size such as \"64MiB\", from {least} to {most}"))
        })
    }

    fn digest(&mut self, key: &str) -> Option<[u8; 32]> {
        let text = self.text(key)?;
        let byte = |at: usize| text.get(at * 2..at * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let hexadecimal = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let bytes: Option<Vec<u8>> = hexadecimal.then(|| (0..32).map(byte).collect()).flatten();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .or_else(|| self.wrong(key, "write the 64 hexadecimal digits that `sha256sum` prints for the component"))
    }

    fn config(&mut self) -> Option<serde_json::Value> {
        match self.table.get("config")? {
            value @ Value::Table(_) => {
                json(value).or_else(|| self.wrong("config", "holds a number that is infinite or not a number"))
            }
            _ => self.wrong("config", "write a table, [config], with the plugin's own keys below it"),
        }
    }

    fn refuse_unknown_keys(&mut self) {
        let unknown = self.table.keys().filter(|key| !KEYS.contains(&key.as_str()));
        let mistakes = unknown.map(|key| Mistake {
            key: super::text::clean(key, 100),
            problem: format!(
                "there is no such key; the plugin's own keys go into [config], the others are {}",
                KEYS.join(", ")
            ),
        });
        self.mistakes.extend(mistakes);
    }
}

/// TOML as JSON; dates become texts.
fn json(value: &Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => serde_json::Number::from_f64(*number)?.into(),
        Value::Boolean(flag) => (*flag).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(list) => serde_json::Value::Array(list.iter().map(json).collect::<Option<_>>()?),
        Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| Some((key.clone(), json(value)?)));
            serde_json::Value::Object(entries.collect::<Option<_>>()?)
        }
    })
}
