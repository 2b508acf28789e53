//! Lookup tables of the operator, defined as `[table.NAME]` and granted to the plugin with `tables = ["NAME"]` in its sidecar.
//!
//! A plugin that calls these functions imports `sesame:plugin/tables` of version 1.1 of the contract. Each error is a sentence
//! for the operator: the table is not granted. Return it from [`crate::Plugin::new`] after a first lookup there, and the plugin
//! is not used until it is.
//!
//! Outside WebAssembly, in unit tests of a plugin, the tables are those of [`provide`].

/// A row: the names of the columns with their values.
pub type Row = Vec<(String, String)>;

/// The row with this key.
///
/// # Errors
/// The table is not granted.
pub fn get(table: &str, key: &str) -> Result<Option<Row>, String> {
    source::get(table, key)
}

/// Whether a row has this key.
///
/// # Errors
/// The table is not granted.
pub fn contains(table: &str, key: &str) -> Result<bool, String> {
    source::contains(table, key)
}

/// One value of the row with this key; none if there is no such row.
///
/// # Errors
/// The table is not granted, or has no such column.
pub fn value(table: &str, key: &str, column: &str) -> Result<Option<String>, String> {
    let Some(row) = get(table, key)? else { return Ok(None) };
    let value = row.into_iter().find(|(name, _)| name == column).map(|(_, value)| value);
    value.map(Some).ok_or_else(|| format!("table {table:?} has no column {column:?}"))
}

#[cfg(target_family = "wasm")]
use crate::bindings::tables as source;

#[cfg(not(target_family = "wasm"))]
pub(crate) use source::grant;
#[cfg(not(target_family = "wasm"))]
pub use source::provide;

/// The tables of a test.
#[cfg(not(target_family = "wasm"))]
mod source {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::Row;

    /// By name and key.
    type Tables = BTreeMap<String, BTreeMap<String, Row>>;

    thread_local! {
        static TABLES: RefCell<Tables> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Grants a table to the plugins of this thread. The first column of each row is the key.
    pub fn provide(name: &str, rows: &[&[(&str, &str)]]) {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let rows = rows.iter().map(|row| row.iter().map(pair).collect::<Row>());
        let keyed = rows.filter_map(|row| Some((row.first()?.1.clone(), row)));
        TABLES.with_borrow_mut(|tables| tables.insert(name.to_owned(), keyed.collect()));
    }

    /// Grants these tables, by name and key, and no others.
    pub(crate) fn grant(tables: impl Iterator<Item = (String, BTreeMap<String, Row>)>) {
        TABLES.set(tables.collect());
    }

    pub(super) fn get(table: &str, key: &str) -> Result<Option<Row>, String> {
        TABLES.with_borrow(|tables| {
            let rows = tables.get(table).ok_or_else(|| format!("table {table:?} is not granted"))?;
            Ok(rows.get(key).cloned())
        })
    }

    pub(super) fn contains(table: &str, key: &str) -> Result<bool, String> {
        get(table, key).map(|row| row.is_some())
    }
}
