//! What senders and receivers have in common: broker, destination, pipeline, repetition and file modes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::broker::Protocol;
use super::defaults;
use super::process::{Credential, DAY, Journal, Trust};
use plugins::stock_plugins;
use settings::Section;
use settings::Writer;
use settings::{Complaint, complain, nearest};
use spool::Modes;
use transport::Destination;

/// What a channel may refer to.
pub(super) struct Surroundings<'a> {
    pub(super) brokers: BTreeMap<String, Protocol>,
    pub(super) credential: &'a Credential,
    pub(super) trust: &'a Trust,
    pub(super) journal: &'a Journal,
}

/// One stage of a pipeline that the configuration lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// `builtin:NAME`, embedded in the binary.
    Builtin(String),
    /// `NAME.wasm` in the plugin folder.
    File(String),
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(name) => f.write_str(name),
        }
    }
}

impl Stage {
    /// Reads `builtin:NAME`, `NAME` or `NAME.wasm`.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        if let Some(name) = text.strip_prefix("builtin:") {
            if stock_plugins().any(|stock| stock == name) {
                return Ok(Self::Builtin(name.to_owned()));
            }
            let remedy = match nearest(name, stock_plugins()) {
                Some(meant) => format!("did you mean \"builtin:{meant}\"?"),
                None => format!("there is builtin:{}", stock_plugins().collect::<Vec<_>>().join(", builtin:")),
            };
            return Err(complain(format!("{text:?} is not a plugin of this version"), remedy));
        }
        let name = text.strip_suffix(".wasm").unwrap_or(text);
        if is_name(name) {
            return Ok(Self::File(name.to_owned()));
        }
        let remedy = "write \"builtin:NAME\", or the name of a file in the plugin folder without .wasm";
        Err(complain(format!("{text:?} cannot be the name of a plugin"), remedy))
    }
}

/// Whether `text` can name a channel, a broker, a plugin file or a route: letters, digits, `.`, `_`, `-`, none of them first
/// but a letter or digit, at most 64.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// How often a message is tried whose plugin could not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repetition {
    /// After so many attempts it goes to the reject queue.
    pub attempts: u32,
    /// The pause after the first attempt; it doubles from one to the next.
    pub back_off_min: Duration,
    /// The longest pause.
    pub back_off_max: Duration,
}

impl Default for Repetition {
    fn default() -> Self {
        Self {
            attempts: defaults::ATTEMPTS,
            back_off_min: defaults::BACK_OFF_MIN,
            back_off_max: defaults::BACK_OFF_MAX,
        }
    }
}

impl Repetition {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let default = Self::default();
        let range = Duration::from_millis(1)..=DAY.saturating_mul(30);
        let repetition = Self {
            attempts: section.number("attempts", 1..=100_000).unwrap_or(default.attempts),
            back_off_min: section.duration("back-off-min", range.clone()).unwrap_or(default.back_off_min),
            back_off_max: section.duration("back-off-max", range).unwrap_or(default.back_off_max),
        };
        if repetition.back_off_min > repetition.back_off_max {
            let longest = settings::values::show_duration(repetition.back_off_max);
            let key = if section.has("back-off-min") { "back-off-min" } else { "back-off-max" };
            let problem = format!("the first pause is longer than the longest, \"{longest}\"");
            section.complain(key, complain(problem, "make back-off-min at most back-off-max"));
        }
        repetition
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .number("attempts", self.attempts)
            .duration("back-off-min", self.back_off_min)
            .duration("back-off-max", self.back_off_max);
    }
}

/// Rights and room of what a channel writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Mode of directories.
    pub directory_mode: u32,
    /// Mode of files, the journal excepted: it has 0600.
    pub file_mode: u32,
    /// The channel pauses while the disk has fewer bytes free.
    pub min_free: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self { directory_mode: defaults::DIRECTORY_MODE, file_mode: defaults::FILE_MODE, min_free: defaults::MIN_FREE }
    }
}

impl Storage {
    /// The modes of what is written.
    pub(crate) fn modes(&self) -> Modes {
        Modes { directory: self.directory_mode, file: self.file_mode }
    }

    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            directory_mode: section.mode("directory-mode", 0o700).unwrap_or(default.directory_mode),
            file_mode: section.mode("file-mode", 0o600).unwrap_or(default.file_mode),
            min_free: section.size("min-free", 0..=1024 * defaults::GIB).unwrap_or(default.min_free),
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .mode("directory-mode", self.directory_mode)
            .mode("file-mode", self.file_mode)
            .size("min-free", self.min_free);
    }
}

/// The name of a broker that there is, and its protocol.
pub(super) fn read_broker(section: &Section<'_, '_>, around: &Surroundings<'_>) -> Option<(String, Protocol)> {
    let name = section.text("broker");
    let name = section.required("broker", name, "add broker = \"NAME\" and a section [broker.NAME]")?;
    let protocol = around.brokers.get(&name).copied();
    if protocol.is_none() {
        let remedy = match nearest(&name, around.brokers.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("add a section [broker.{name}] with its hosts"),
        };
        section.complain("broker", complain(format!("there is no broker {name:?}"), remedy));
    }
    Some((name, protocol.unwrap_or(Protocol::Stomp)))
}

/// The destination, under `key`, with an example of it.
pub(super) fn read_destination(
    section: &Section<'_, '_>,
    (key, example): (&'static str, &str),
    check: impl Fn(&str) -> Result<Destination, Complaint>,
) -> Option<Destination> {
    let remedy = format!("add {key} = \"{example}\"");
    let destination = section.parsed(key, &remedy, check);
    section.required(key, destination, &remedy)
}

pub(super) fn read_max_payload(section: &Section<'_, '_>) -> u64 {
    section.size("max-payload", 1..=defaults::HIGHEST_MAX_PAYLOAD).unwrap_or(defaults::MAX_PAYLOAD)
}

/// The listed stages; `None` where the channel takes what the plugin folder holds.
pub(super) fn read_pipeline(section: &Section<'_, '_>) -> Option<Vec<Stage>> {
    let texts = section.list("pipeline")?;
    if texts.is_empty() {
        let remedy = "write [\"builtin:passthrough\"], or remove the key to use the plugin folder";
        section.complain("pipeline", complain("is an empty list", remedy));
    }
    let mut stages = Vec::new();
    for text in &texts {
        match Stage::parse(text) {
            Ok(stage) if stages.contains(&stage) => {
                section.complain("pipeline", complain(format!("{text:?} is there twice"), "remove one of them"));
            }
            // Whether its file is there is found out when plugins are loaded: commands run while one is missing.
            Ok(stage) => stages.push(stage),
            Err(complaint) => section.complain("pipeline", complaint),
        }
    }
    Some(stages)
}

/// Routes by name; `check` reads the target of one.
pub(super) fn read_routes<T>(
    section: &Section<'_, '_>,
    check: impl Fn(&str) -> Result<T, Complaint>,
) -> BTreeMap<String, T> {
    let mut routes = BTreeMap::new();
    for (name, target) in section.map("route") {
        let complaint = match check(&target) {
            _ if name == "default" => {
                complain("is what every channel has already", "choose another name for this route")
            }
            _ if !is_name(&name) => {
                complain("cannot be the name of a route", "use letters, digits, \".\", \"_\" and \"-\"")
            }
            Ok(target) => {
                routes.insert(name, target);
                continue;
            }
            Err(complaint) => complaint,
        };
        section.complain_at(&["route", &name], complaint);
    }
    routes
}

/// Credential and trust of a channel: its own section, else the general one.
pub(super) fn read_identity(section: &Section<'_, '_>, around: &Surroundings<'_>) -> (Credential, Trust) {
    let credential = read_credential(section, around.credential).unwrap_or_else(|| around.credential.clone());
    let own = section.section("trust");
    let trust = Trust::read(&own, around.trust);
    if section.has("trust") {
        trust.check_files(&own);
    }
    (credential, trust)
}

/// A credential of its own, where the section has one; what it lacks is as in `general`.
pub(super) fn read_credential(section: &Section<'_, '_>, general: &Credential) -> Option<Credential> {
    let own = section.section("credential");
    let credential = Credential::read_own(&own, general);
    if !section.has("credential") {
        return None;
    }
    credential.check_files(&own);
    Some(credential)
}

/// Writes the sections below a channel's own: what differs from the general ones, and the routes.
pub(super) fn write_below(
    writer: &mut Writer,
    head: [&str; 2],
    own: (&Credential, &Trust),
    general: (&Credential, &Trust),
    routes: &BTreeMap<String, impl std::ops::Deref<Target = str>>,
) {
    let [kind, name] = head;
    if own.0 != general.0 {
        own.0.write(writer.section(&[kind, name, "credential"]));
    }
    if own.1 != general.1 {
        own.1.write(writer.section(&[kind, name, "trust"]));
    }
    if !routes.is_empty() {
        let section = writer.section(&[kind, name, "route"]);
        for (route, target) in routes {
            section.text(route, target);
        }
    }
}
