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
pub use source::provide;

/// The tables of a test.
#[cfg(not(target_family = "wasm"))]
mod source {
    use std::cell::RefCell;

    use super::Row;

    thread_local! {
        static TABLES: RefCell<Vec<(String, Vec<Row>)>> = const { RefCell::new(Vec::new()) };
    }

    /// Grants a table to the plugins of this thread. The first column of each row is the key.
    pub fn provide(name: &str, rows: &[&[(&str, &str)]]) {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let rows = rows.iter().map(|row| row.iter().map(pair).collect()).collect();
        TABLES.with_borrow_mut(|tables| {
            tables.retain(|(known, _)| known != name);
            tables.push((name.to_owned(), rows));
        });
    }

    pub(super) fn get(table: &str, key: &str) -> Result<Option<Row>, String> {
        TABLES.with_borrow(|tables| {
            let granted = tables.iter().find(|(name, _)| name == table);
            let (_, rows) = granted.ok_or_else(|| format!("table {table:?} is not granted"))?;
            Ok(rows.iter().find(|row| row.first().is_some_and(|(_, own)| own == key)).cloned())
        })
    }

    pub(super) fn contains(table: &str, key: &str) -> Result<bool, String> {
        get(table, key).map(|row| row.is_some())
    }
}
