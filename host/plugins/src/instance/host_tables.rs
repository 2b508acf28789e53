//! `sesame:plugin/tables`: the lookup tables that the plugin is granted.

use tables::Table;

use crate::component::bindings::tables::{Host, Row};
use crate::instance::state::HostState;
use crate::text::clean;

impl HostState {
    fn table(&self, name: &str) -> Result<&Table, String> {
        let granted = self.tables.iter().find(|granted| granted.name == name);
        granted.map(|granted| &*granted.table).ok_or_else(|| {
            let name = clean(name, 100);
            format!("table {name:?} is not granted: add it to `tables` in the sidecar, such as tables = [{name:?}]")
        })
    }
}

impl Host for HostState {
    fn get(&mut self, table: String, key: String) -> Result<Option<Row>, String> {
        let row = self.table(&table)?.get(&key);
        Ok(row.map(|row| row.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    fn contains(&mut self, table: String, key: String) -> Result<bool, String> {
        Ok(self.table(&table)?.contains(&key))
    }
}
