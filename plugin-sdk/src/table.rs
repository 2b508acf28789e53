//! The operator's `[config]`, read with the reader of JSON records, which these plugins contain anyway, and not with
//! serde: `init` runs for every message, and a second JSON parser would make a component a quarter larger.

use std::borrow::Cow;

use crate::records::json::{Document, Kind, Value};
use crate::records::listed;

/// A table of the configuration, whose keys are taken out one by one.
#[derive(Debug)]
pub struct Table<'d, 'a> {
    entries: Vec<(Cow<'a, str>, Value<'d, 'a>)>,
    known: Vec<&'static str>,
}

impl Table<'_, '_> {
    /// Reads a configuration: `take` takes the keys that the plugin knows, and any other is refused.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn read<T>(json: &str, take: impl FnOnce(&mut Table<'_, '_>) -> Result<T, String>) -> Result<T, String> {
        let document = Document::parse(json.trim()).map_err(|fault| format!("{}, at byte {}", fault.rule, fault.at))?;
        let root = document.root().ok_or_else(|| "the configuration is empty".to_owned())?;
        Table::within(root, take).map_err(|error| error.trim_start_matches('.').to_owned())
    }

    /// Reads a table within a table, in the same way.
    fn within<T>(
        value: Value<'_, '_>,
        take: impl FnOnce(&mut Table<'_, '_>) -> Result<T, String>,
    ) -> Result<T, String> {
        if value.kind() != Kind::Object {
            return Err(" must be a table".to_owned());
        }
        let entries = value.entries().map(|(name, value)| (name.text(), value)).collect();
        let mut table = Table { entries, known: Vec::new() };
        let taken = take(&mut table)?;
        match table.entries.first() {
            Some((name, _)) => Err(format!(".{name} is not a key; the keys are {}", listed(&table.known, ", "))),
            None => Ok(taken),
        }
    }
}

impl<'d, 'a> Table<'d, 'a> {
    fn take(&mut self, key: &'static str) -> Option<Value<'d, 'a>> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    /// A value that `read` reads; `None` where the key is missing.
    ///
    /// # Errors
    /// The name of the key and what `read` says.
    pub fn value<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value<'d, 'a>) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        self.take(key).map(|value| read(value).map_err(|error| format!(".{key}{error}"))).transpose()
    }

    /// A table with keys of the operator's own, each value read by `read`.
    ///
    /// # Errors
    /// The names of the keys and what `read` says.
    pub fn entries<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(Value<'d, 'a>) -> Result<T, String>,
    ) -> Result<Vec<(String, T)>, String> {
        Ok(self.value(key, |value| entries(value, read))?.unwrap_or_default())
    }

    /// A table with keys of the plugin's own.
    ///
    /// # Errors
    /// As for the whole configuration.
    pub fn inner<T>(
        value: Value<'d, 'a>,
        take: impl FnOnce(&mut Table<'_, '_>) -> Result<T, String>,
    ) -> Result<T, String> {
        Table::within(value, take)
    }
}

/// The entries of a table, each value read by `read`.
///
/// # Errors
/// What is no table, or what `read` says with the name before it.
pub fn entries<'d, 'a, T>(
    value: Value<'d, 'a>,
    read: impl Fn(Value<'d, 'a>) -> Result<T, String>,
) -> Result<Vec<(String, T)>, String> {
    if value.kind() != Kind::Object {
        return Err(" must be a table".to_owned());
    }
    let one = |(name, value): (Value<'d, 'a>, Value<'d, 'a>)| {
        let name = name.text().into_owned();
        read(value).map_err(|error| format!(".{name:?}{error}")).map(|read| (name, read))
    };
    value.entries().map(one).collect()
}

/// A string.
///
/// # Errors
/// It is none.
pub fn text(value: Value<'_, '_>) -> Result<String, String> {
    match value.kind() {
        Kind::Text => Ok(value.text().into_owned()),
        _ => Err(" must be a string".to_owned()),
    }
}

/// A list of strings.
///
/// # Errors
/// It is none.
pub fn texts(value: Value<'_, '_>) -> Result<Vec<String>, String> {
    match value.kind() {
        Kind::List => value.items().map(text).collect(),
        _ => Err(" must be a list of strings".to_owned()),
    }
}

/// A whole number from `least` on.
///
/// # Errors
/// It is none.
pub fn whole(value: Value<'_, '_>, least: usize) -> Result<usize, String> {
    let number = value.source().parse::<usize>().ok().filter(|number| *number >= least);
    number.ok_or_else(|| format!(" must be a whole number from {least} on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (Option<String>, Option<usize>, Vec<(String, Vec<String>)>);

    fn read(json: &str) -> Result<Read, String> {
        Table::read(json, |table| {
            let name = table.value("name", text)?;
            let size = table.value("size", |value| whole(value, 1))?;
            Ok((name, size, table.entries("sites", texts)?))
        })
    }

    #[test]
    fn keys_are_read_by_name() {
        let sites = vec![("/C=UK".to_owned(), vec!["A".to_owned(), "B".to_owned()])];
        let full = r#" {"sites": {"/C=UK": ["A", "\u0042"]}, "size": 7, "name": "x"} "#;
        assert_eq!(read(full), Ok((Some("x".to_owned()), Some(7), sites)));
        assert_eq!(read("{}"), Ok((None, None, Vec::new())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, error) in [
            ("[]", " must be a table"),
            (r#"{"nam": 1}"#, "nam is not a key; the keys are name, size, sites"),
            (r#"{"name": 1}"#, "name must be a string"),
            (r#"{"size": 0}"#, "size must be a whole number from 1 on"),
            (r#"{"size": 1.5}"#, "size must be a whole number from 1 on"),
            (r#"{"sites": {"a": ["x", 1]}}"#, "sites.\"a\" must be a string"),
            (r#"{"sites": {"a": "x"}}"#, "sites.\"a\" must be a list of strings"),
        ] {
            assert_eq!(read(json), Err(error.to_owned()), "{json}");
        }
        assert!(read("{").unwrap_err().contains("at byte"));
    }
}
