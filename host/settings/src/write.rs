//! Printing the effective configuration as TOML that reads back equal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::json::quoted;
use crate::values::{show_duration, show_size};

/// A TOML document that grows key by key.
#[derive(Default)]
pub struct Writer {
    text: String,
}

impl Writer {
    /// Begins a section; the parts of its name are quoted where they must be.
    pub fn section(&mut self, name: &[&str]) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let name: Vec<String> = name.iter().map(|part| bare_or_quoted(part)).collect();
        self.text.push_str(&format!("[{}]\n", name.join(".")));
        self
    }

    pub fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.text.push_str(&format!("{} = {value}\n", bare_or_quoted(key)));
        self
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, &quoted(value))
    }

    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    pub fn number(&mut self, key: &str, value: u32) -> &mut Self {
        self.raw(key, &value.to_string())
    }

    pub fn duration(&mut self, key: &str, value: Duration) -> &mut Self {
        self.text(key, &show_duration(value))
    }

    pub fn retention(&mut self, key: &str, value: Option<Duration>) -> &mut Self {
        self.text(key, &value.map_or_else(|| "forever".to_owned(), show_duration))
    }

    pub fn size(&mut self, key: &str, value: u64) -> &mut Self {
        self.text(key, &show_size(value))
    }

    pub fn mode(&mut self, key: &str, value: u32) -> &mut Self {
        self.text(key, &format!("{value:04o}"))
    }

    pub fn path(&mut self, key: &str, value: &Path) -> &mut Self {
        self.text(key, &value.to_string_lossy())
    }

    pub fn path_if(&mut self, key: &str, value: Option<&PathBuf>) -> &mut Self {
        if let Some(value) = value {
            self.path(key, value);
        }
        self
    }

    pub fn list<T: ToString>(&mut self, key: &str, values: &[T]) -> &mut Self {
        let values: Vec<String> = values.iter().map(|value| quoted(&value.to_string())).collect();
        self.raw(key, &format!("[{}]", values.join(", ")))
    }

    pub fn list_if<T: ToString>(&mut self, key: &str, values: Option<&Vec<T>>) -> &mut Self {
        if let Some(values) = values {
            self.list(key, values);
        }
        self
    }

    /// Lines that are TOML already.
    pub fn lines(&mut self, lines: &str) -> &mut Self {
        self.text.push_str(lines);
        self
    }

    pub fn finish(self) -> String {
        self.text
    }
}

fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { key.to_owned() } else { quoted(key) }
}

/// The word of `choice` in `choices`.
pub fn word<T: PartialEq + Copy>(choices: &[(&'static str, T)], choice: T) -> &'static str {
    choices.iter().find(|(_, candidate)| *candidate == choice).map_or("", |(word, _)| word)
}
