//! `[plugin.NAME]`: the settings of a plugin that a pipeline lists. The keys are those of a sidecar, which this reads too.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use settings::{
    Complaint, ConfigErrors, Document, Files, GIB, KIB, MIB, Section, Writer, complain, nearest, to_lines, word,
};

const DEADLINE: Duration = Duration::from_secs(5);
const MEMORY: u64 = 64 * MIB;
const OUTPUT: u64 = 64 * MIB;
const LOG_VOLUME: u64 = 16 * KIB;

/// The direction of the messages a plugin applies to.
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

/// What happens to a message if its plugin fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It is tried again later.
    Defer,
    /// It goes to the reject queue.
    Reject,
    /// It goes on without the plugin.
    Pass,
}

const ON_ERROR: &[(&str, OnError)] = &[("defer", OnError::Defer), ("reject", OnError::Reject), ("pass", OnError::Pass)];

/// What a plugin decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What becomes of a message.
    #[default]
    Serve,
    /// Nothing: it is called beside the pipeline, and its verdicts are compared.
    Shadow,
}

const MODES: &[(&str, Mode)] = &[("serve", Mode::Serve), ("shadow", Mode::Shadow)];

/// Settings of one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSettings {
    /// `false` disables the plugin.
    pub enabled: bool,
    /// What it decides.
    pub mode: Mode,
    /// `compare-to`: the plugin that a shadow is compared with; absent: the whole pipeline.
    pub compare_to: Option<String>,
    /// Channels whose messages it applies to; absent: all.
    pub channels: Option<Vec<String>>,
    /// The direction of these messages.
    pub direction: Flow,
    /// `signer`: patterns of signer DNs, in slash or RFC 4514 form; absent: all.
    pub signers: Option<Vec<String>>,
    /// `destination`: patterns of STOMP destinations; absent: all.
    pub destinations: Option<Vec<String>>,
    /// `content-type`: patterns of media types, in lower case; absent: all.
    pub content_types: Option<Vec<String>>,
    /// What happens to a message if its plugin fails.
    pub on_error: OnError,
    /// Time for one message.
    pub deadline: Duration,
    /// Memory of the guest in bytes; the host raises it to 4 times the payload.
    pub memory: u64,
    /// `output-limit`: bytes that it may return for one message.
    pub max_output: u64,
    /// `log-limit`: bytes that it may log for one message.
    pub max_log: u64,
    /// `true` refuses the plugin if it imports an interface with a stand-in: clocks, random numbers, files, network.
    pub deny_stand_ins: bool,
    /// SHA-256 that the component must have.
    pub sha256: Option<[u8; 32]>,
    /// The lookup tables that it may use, by name.
    pub tables: Vec<String>,
    /// The plugin's own table. `{ secret = "NAME" }` in it refers to a secret.
    pub config: serde_json::Map<String, serde_json::Value>,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            mode: Mode::Serve,
            compare_to: None,
            channels: None,
            direction: Flow::Both,
            signers: None,
            destinations: None,
            content_types: None,
            on_error: OnError::Defer,
            deadline: DEADLINE,
            memory: MEMORY,
            max_output: OUTPUT,
            max_log: LOG_VOLUME,
            deny_stand_ins: false,
            sha256: None,
            tables: Vec::new(),
            config: serde_json::Map::new(),
        }
    }
}

impl PluginSettings {
    /// Reads a sidecar, which has the keys of `[plugin.NAME]`. Mistakes name `file`.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn parse_sidecar(text: &str, file: &Path) -> Result<Self, ConfigErrors> {
        let document = Document::new(file, text, Files::Ignore);
        let table = document.parse(text)?;
        let settings = Self::read(&document.root(&table));
        document.mistakes()?;
        Ok(settings)
    }

    pub fn read(section: &Section<'_, '_>) -> Self {
        let default = Self::default();
        let deadline = Duration::from_millis(10)..=Duration::from_secs(600);
        let settings = Self {
            enabled: section.flag("enabled").unwrap_or(default.enabled),
            mode: section.choice("mode", MODES).unwrap_or_default(),
            compare_to: section.text("compare-to"),
            channels: section.texts("channels"),
            direction: section.choice("direction", FLOWS).unwrap_or(default.direction),
            signers: section.texts("signer"),
            destinations: section.texts("destination"),
            content_types: section
                .texts("content-type")
                .map(|types| types.iter().map(|text| text.to_ascii_lowercase()).collect()),
            on_error: section.choice("on-error", ON_ERROR).unwrap_or(default.on_error),
            deadline: section.duration("deadline", deadline).unwrap_or(default.deadline),
            memory: section.size("memory", MIB..=4 * GIB).unwrap_or(default.memory),
            max_output: section.size("output-limit", 1..=GIB).unwrap_or(default.max_output),
            max_log: section.size("log-limit", 0..=16 * MIB).unwrap_or(default.max_log),
            deny_stand_ins: section.flag("deny-stand-ins").unwrap_or(default.deny_stand_ins),
            sha256: section.parsed("sha256", "write the digits in double quotes", sha256),
            tables: section.list("tables").unwrap_or_default(),
            config: section.json("config").unwrap_or_default(),
        };
        if settings.compare_to.is_some() && settings.mode == Mode::Serve {
            let remedy = "add mode = \"shadow\", or remove the key";
            section.complain("compare-to", complain("is for shadows only", remedy));
        }
        section.finish();
        settings
    }

    /// Reports unknown channels.
    pub fn check_channels(&self, section: &Section<'_, '_>, channels: &BTreeSet<String>) {
        for name in self.channels.iter().flatten().filter(|name| !channels.contains(*name)) {
            let remedy = match nearest(name, channels.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => "name a [send.NAME] or [receive.NAME] of this file".to_owned(),
            };
            section.complain("channels", complain(format!("there is no channel {name:?}"), remedy));
        }
    }

    /// Reports unknown tables and secrets.
    pub fn check_resources(&self, section: &Section<'_, '_>, tables: &BTreeSet<String>, secrets: &BTreeSet<String>) {
        let config = serde_json::Value::Object(self.config.clone());
        let unknown = |key: &str, kind: &str, name: &str, known: &BTreeSet<String>| {
            if known.contains(name) {
                return;
            }
            let remedy = match nearest(name, known.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("add a section [{kind}.{name}]"),
            };
            section.complain(key, complain(format!("there is no {kind} {name:?}"), remedy));
        };
        self.tables.iter().for_each(|name| unknown("tables", "table", name, tables));
        crate::secrets_in(&config).into_iter().for_each(|name| unknown("config", "secret", name, secrets));
    }

    pub fn write(&self, writer: &mut Writer, name: &str) {
        writer
            .section(&["plugin", name])
            .flag("enabled", self.enabled)
            .text("mode", word(MODES, self.mode))
            .list_if("channels", self.channels.as_ref())
            .text("direction", word(FLOWS, self.direction))
            .list_if("signer", self.signers.as_ref())
            .list_if("destination", self.destinations.as_ref())
            .list_if("content-type", self.content_types.as_ref())
            .text("on-error", word(ON_ERROR, self.on_error))
            .duration("deadline", self.deadline)
            .size("memory", self.memory)
            .size("output-limit", self.max_output)
            .size("log-limit", self.max_log)
            .flag("deny-stand-ins", self.deny_stand_ins);
        if let Some(plugin) = &self.compare_to {
            writer.text("compare-to", plugin);
        }
        if let Some(sha256) = &self.sha256 {
            writer.text("sha256", &message::hex(sha256));
        }
        if !self.tables.is_empty() {
            writer.list("tables", &self.tables);
        }
        if !self.config.is_empty() {
            writer.section(&["plugin", name, "config"]).lines(&to_lines(&self.config));
        }
    }
}

fn sha256(text: &str) -> Result<[u8; 32], Complaint> {
    let wrong = || {
        let remedy = "write the 64 hexadecimal digits that sha256sum prints for the component";
        complain(format!("{text:?} is not a SHA-256"), remedy)
    };
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let byte = |at: usize| text.get(at * 2..at * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}
