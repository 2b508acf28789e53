//! The lookup tables and secrets of plugins.

use super::super::output;
use super::Found;
use crate::config::Config;
use message::cause::chain;
use tables::Table;

/// Reads each table and each secret, as the plugins that use them would.
pub(super) fn resources(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, source) in &config.tables {
        let subject = format!("table.{name}");
        found.push(match Table::load(source) {
            Ok(table) => {
                let rows = output::count(table.len(), "row");
                let hash = message::hex(table.sha256());
                Found::ok(subject, format!("{rows} in {}, SHA-256 {hash}", source.file.display()))
            }
            Err(error) => Found::error(subject, chain(&error)),
        });
    }
    for (name, file) in &config.secrets {
        let subject = format!("secret.{name}");
        found.push(match plugins::check_secret(file) {
            Ok(()) => Found::ok(subject, format!("there is a secret in {}", file.display())),
            Err(why) => Found::error(subject, why),
        });
    }
    found
}
