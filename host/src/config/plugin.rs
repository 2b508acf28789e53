//! The settings of one plugin: `[plugin.NAME]` for one that a pipeline lists, or a side-car file beside one in the folder.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::defaults;
use super::document::{Document, Files, Section};
use super::mistake::{ConfigErrors, complain, nearest};
use super::process::HOUR;
use super::write::Writer;
use super::{json, process};

/// Which way messages go that a plugin sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Before they are sealed.
    Outbound,
    /// After they were opened and authorised.
    Inbound,
    /// Either.
    Both,
}

const FLOWS: &[(&str, Flow)] = &[("outbound", Flow::Outbound), ("inbound", Flow::Inbound), ("both", Flow::Both)];

/// What becomes of a message whose plugin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It is tried again later.
    Defer,
    /// It goes to the reject queue.
    Reject,
    /// It goes on as if the plugin were not there.
    Pass,
}

const ON_ERROR: &[(&str, OnError)] = &[("defer", OnError::Defer), ("reject", OnError::Reject), ("pass", OnError::Pass)];

/// Settings of one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSettings {
    /// `false` ends the stage.
    pub enabled: bool,
    /// Channels whose messages it sees; absent: all.
    pub channels: Option<Vec<String>>,
    /// Which way these messages go.
    pub direction: Flow,
    /// Signer DNs, in slash or RFC 4514 form; absent: all.
    pub signers: Option<Vec<String>>,
    /// STOMP destinations; absent: all.
    pub destinations: Option<Vec<String>>,
    /// Media types; absent: all.
    pub content_types: Option<Vec<String>>,
    /// What becomes of a message whose plugin failed.
    pub on_error: OnError,
    /// Time for one message.
    pub deadline: Duration,
    /// Memory of the guest in bytes; the host raises it to 4 times the payload.
    pub memory: u64,
    /// All that it returns for one message, in bytes.
    pub max_output: u64,
    /// What it may log for one message, in bytes.
    pub max_log: u64,
    /// The plugin's own table.
    pub config: serde_json::Map<String, serde_json::Value>,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            channels: None,
            direction: Flow::Both,
            signers: None,
            destinations: None,
            content_types: None,
            on_error: OnError::Defer,
            deadline: defaults::PLUGIN_DEADLINE,
            memory: defaults::PLUGIN_MEMORY,
            max_output: defaults::PLUGIN_OUTPUT,
            max_log: defaults::PLUGIN_LOG_VOLUME,
            config: serde_json::Map::new(),
        }
    }
}

impl PluginSettings {
    /// Reads a side-car: the same keys as below `[plugin.NAME]`. `file` is what the mistakes name.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn parse_side_car(text: &str, file: &Path) -> Result<Self, ConfigErrors> {
        let document = Document::new(file, text, Files::Ignore);
        let table = document.parse(text)?;
        let settings = Self::read(&document.root(&table));
        document.mistakes()?;
        Ok(settings)
    }

    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let default = Self::default();
        let millisecond = Duration::from_millis(1);
        let (mib, gib) = (defaults::MIB, defaults::GIB);
        let settings = Self {
            enabled: section.flag("enabled").unwrap_or(default.enabled),
            channels: section.list("channels"),
            direction: section.choice("direction", FLOWS).unwrap_or(default.direction),
            signers: section.list("signers"),
            destinations: section.list("destinations"),
            content_types: section.list("content-types"),
            on_error: section.choice("on-error", ON_ERROR).unwrap_or(default.on_error),
            deadline: section.duration("deadline", millisecond..=HOUR).unwrap_or(default.deadline),
            memory: section.size("memory", mib..=4 * gib).unwrap_or(default.memory),
            max_output: section.size("max-output", 1..=gib).unwrap_or(default.max_output),
            max_log: section.size("max-log", 0..=mib).unwrap_or(default.max_log),
            config: section.json("config").unwrap_or_default(),
        };
        section.finish();
        settings
    }

    /// Reports channels that there are not.
    pub(super) fn check_channels(&self, section: &Section<'_, '_>, channels: &BTreeSet<String>) {
        for name in self.channels.iter().flatten().filter(|name| !channels.contains(*name)) {
            let remedy = match nearest(name, channels.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => "name a [send.NAME] or [receive.NAME] of this file".to_owned(),
            };
            section.complain("channels", complain(format!("there is no channel {name:?}"), remedy));
        }
    }

    pub(super) fn write(&self, writer: &mut Writer, name: &str) {
        writer
            .section(&["plugin", name])
            .flag("enabled", self.enabled)
            .list_if("channels", self.channels.as_ref())
            .text("direction", process::word(FLOWS, self.direction))
            .list_if("signers", self.signers.as_ref())
            .list_if("destinations", self.destinations.as_ref())
            .list_if("content-types", self.content_types.as_ref())
            .text("on-error", process::word(ON_ERROR, self.on_error))
            .duration("deadline", self.deadline)
            .size("memory", self.memory)
            .size("max-output", self.max_output)
            .size("max-log", self.max_log);
        if !self.config.is_empty() {
            writer.section(&["plugin", name, "config"]).lines(&json::to_lines(&self.config));
        }
    }
}
