//! The plugin's log: what a guest writes through the `log` import or to its standard streams, sent to the tracing
//! target [`TARGET`]. The logger keeps it apart from the log of the program, because a guest may name users in it.
//!
//! # Limits
//! A line is cut at 2,000 characters. An instance may write 200 lines and as many bytes as the sidecar allows; later lines are
//! counted, and the count is the last line.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use message::locked;

use crate::component::bindings::log::{Host, Level};
use crate::instance::state::HostState;
use crate::resources::Redaction;
use crate::text::clean;

/// The file of the log of plugins, once it is known.
static PLACE: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Sets the file that texts name as the log of plugins.
pub fn log_is_at(file: &Path) {
    *locked(&PLACE) = Some(file.to_owned());
}

/// The log of plugins, as a phrase.
pub(crate) fn place() -> String {
    let place = locked(&PLACE);
    place.as_ref().map_or_else(|| "the plugin's log".to_owned(), |file| format!("its log, {},", file.display()))
}

/// The tracing target of everything that guests log. The logger keeps this target off standard error, as it may hold personal
/// data.
pub const TARGET: &str = "sesame::plugin_log";

const LINE: usize = 2_000;
const LINES: u32 = 200;

/// The log of one instance.
#[derive(Debug)]
pub(crate) struct PluginLog {
    plugin: String,
    id: String,
    bytes_left: u64,
    lines_left: u32,
    unwritten: u64,
    redaction: Redaction,
}

impl PluginLog {
    /// A log for `plugin` while it handles the message `id`; the id is empty while the plugin is loaded.
    pub(crate) fn new(plugin: &str, id: &str, bytes: u64, redaction: &Redaction) -> Self {
        Self {
            plugin: plugin.to_owned(),
            id: id.to_owned(),
            bytes_left: bytes,
            lines_left: LINES,
            unwritten: 0,
            redaction: redaction.clone(),
        }
    }

    /// A text of the plugin without its secrets.
    pub(crate) fn redacted(&self, text: String) -> String {
        self.redaction.apply(text)
    }

    pub(crate) fn write(&mut self, level: Level, text: &str) {
        let size = text.len().min(LINE) as u64;
        if self.lines_left == 0 || self.bytes_left < size {
            self.unwritten += 1;
            return;
        }
        self.lines_left -= 1;
        self.bytes_left -= size;
        let (plugin, id) = (self.plugin.as_str(), self.id.as_str());
        let text = match self.redaction.is_empty() {
            true => clean(text, LINE),
            false => clean(&self.redacted(text.to_owned()), LINE),
        };
        match level {
            Level::Trace => tracing::trace!(target: TARGET, plugin, id, "{text}"),
            Level::Debug => tracing::debug!(target: TARGET, plugin, id, "{text}"),
            Level::Info => tracing::info!(target: TARGET, plugin, id, "{text}"),
            Level::Warn => tracing::warn!(target: TARGET, plugin, id, "{text}"),
            Level::Error => tracing::error!(target: TARGET, plugin, id, "{text}"),
        }
    }
}

impl Drop for PluginLog {
    fn drop(&mut self) {
        if self.unwritten > 0 {
            let (plugin, id, unwritten) = (self.plugin.as_str(), self.id.as_str(), self.unwritten);
            tracing::warn!(target: TARGET, plugin, id, "{unwritten} further lines not written: log limit reached");
        }
    }
}

impl Host for HostState {
    fn write(&mut self, level: Level, text: String) {
        self.log.write(level, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_the_limit_and_counts_the_rest() {
        let mut log = PluginLog::new("p", "1", 10, &Redaction::default());
        log.write(Level::Info, "12345");
        log.write(Level::Info, "123456");
        log.write(Level::Info, "12345");
        log.write(Level::Info, "1");
        assert_eq!((log.unwritten, log.bytes_left), (2, 0));
    }

    #[test]
    fn stops_after_the_last_line_allowed() {
        let mut log = PluginLog::new("p", "1", 1 << 20, &Redaction::default());
        (0..LINES + 5).for_each(|_| log.write(Level::Debug, ""));
        assert_eq!(log.unwritten, 5);
    }
}
