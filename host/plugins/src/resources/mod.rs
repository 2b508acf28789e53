//! What the operator provides to plugins beside their settings: lookup tables and secrets, defined in the configuration and
//! used by the sidecars that name them.
//!
//! # Policy
//! - A plugin that names a table or a secret that does not exist or cannot be read is broken, as if its sidecar were. A later
//!   version of a file that cannot be used leaves the plugin in service with the earlier one.
//! - A pipeline has the version of a table that was current when it was built. A new version is a new pipeline, and its hash
//!   is part of that of the pipeline, which the journal records with each message.
//! - A secret replaces `{ secret = "NAME" }` in `[config]` when the plugin is loaded. It is not part of any hash, is not shown
//!   by `Debug`, and is replaced in whatever the plugin writes to its log or returns as text.

mod secret;
pub(crate) mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tables::{Table, TableSource};

pub use self::secret::secrets_in;
pub(crate) use self::secret::{Config, Redaction};
use self::store::Store;

/// What the configuration has that a sidecar may name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The names of all channels.
    pub channels: Vec<String>,
    /// The tables, by name.
    pub tables: BTreeMap<String, TableSource>,
    /// The files with the secrets, by name.
    pub secrets: BTreeMap<String, PathBuf>,
}

impl Surroundings {
    /// Channels alone.
    #[must_use]
    pub fn of_channels(channels: Vec<String>) -> Self {
        Self { channels, ..Self::default() }
    }
}

/// A table that a plugin may look up.
#[derive(Clone, Debug)]
pub(crate) struct GrantedTable {
    pub(crate) name: String,
    pub(crate) table: Arc<Table>,
}

/// The configuration of a plugin with its secrets, and the tables it is granted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources {
    pub(crate) config: Config,
    pub(crate) tables: Arc<[GrantedTable]>,
}

impl Resources {
    /// What a sidecar names with `tables` and in `[config]`.
    ///
    /// # Errors
    /// What is missing or cannot be read, as words that follow the plugin's name.
    pub(crate) fn gather(
        store: &Store,
        around: &Surroundings,
        tables: &[String],
        config: &serde_json::Value,
    ) -> Result<Self, String> {
        let granted = |name: &String| {
            let source = around.tables.get(name).ok_or_else(|| unknown("table", name, around.tables.keys()))?;
            let table = store.table(source).map_err(|why| format!("cannot use table {name:?}, {why}"))?;
            Ok(GrantedTable { name: name.clone(), table })
        };
        let tables: Arc<[GrantedTable]> = tables.iter().map(granted).collect::<Result<_, String>>()?;
        let secret = |name: &str| {
            let file = around.secrets.get(name).ok_or_else(|| unknown("secret", name, around.secrets.keys()))?;
            store.secret(file).map_err(|why| format!("cannot use secret {name:?}, {why}"))
        };
        Ok(Self { config: Config::resolve(config, secret)?, tables })
    }

    /// Whether both give a plugin the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let tables = |of: &Self| {
            of.tables.iter().map(|granted| (granted.name.clone(), *granted.table.sha256())).collect::<Vec<_>>()
        };
        self.config == other.config && tables(self) == tables(other)
    }
}

/// What a plugin is given beside messages, for one that runs outside WebAssembly.
#[derive(Debug)]
pub struct Provided(Resources);

impl Provided {
    /// What a sidecar names with `tables` and in `[config]`.
    ///
    /// # Errors
    /// What is missing or cannot be read, as words that follow the plugin's name.
    pub fn gather(around: &Surroundings, tables: &[String], config: &serde_json::Value) -> Result<Self, String> {
        Resources::gather(&Store::default(), around, tables, config).map(Self)
    }

    /// The configuration with its secrets, as JSON.
    #[must_use]
    pub fn config(&self) -> serde_json::Value {
        self.0.config.value()
    }

    /// The tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &Table)> {
        self.0.tables.iter().map(|granted| (granted.name.as_str(), &*granted.table))
    }
}

fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("names {kind} {name:?}, which the configuration does not have: add [{kind}.{name}] to it (there: {known})")
}
