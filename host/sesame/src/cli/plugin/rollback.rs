//! `sesame plugin rollback`: puts the last component of a plugin that served back into the plugin folder.

use super::Rollback;
use crate::cli::{EXIT_DONE, output};
use crate::config::Config;
use crate::service::{Shared, around};

pub(super) fn run(config: &Config, arguments: &Rollback) -> anyhow::Result<u8> {
    let shared = Shared::start(config)?;
    let done = shared.catalog.roll_back(&config.plugins.folder, &arguments.name, &around(config))?;
    for path in &done.files {
        output::line(&format!("put back {}", path.display()));
    }
    let name = arguments.name.strip_suffix(".wasm").unwrap_or(&arguments.name);
    output::line(&format!(
        "plugin {name} is version {} again, SHA-256 {}; a running Sesame notices within seconds",
        done.version, done.sha256
    ));
    Ok(EXIT_DONE)
}
