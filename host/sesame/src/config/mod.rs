//! The configuration: one TOML file, read into a typed tree, or refused with all its mistakes at once.
//!
//! Start at [`Config::load`]. The tree mirrors the file: `[credential]` is [`Config::credential`], `[send.cpu]` is
//! `config.senders["cpu"]`, and a key is the name of its field in kebab-case. Defaults stand in `defaults.rs` and, for the
//! operator, in `conf/sesame.toml`.
//!
//! # Policy
//! A mistake is never guessed away: an unknown key, a value of the wrong kind or out of range, a missing key, a file that
//! is not there and two sections that contradict each other are all reported, each with its line and the remedy, and the
//! program does not start. On a reload the same holds and the configuration in use stays.
//!
//! What a file *contains* (certificates, DN lists, plugins) is judged by the module that uses it, not here.

mod acknowledgements;
mod ams;
pub(crate) mod broker;
mod channel;
mod check;
mod defaults;
mod index;
mod process;
mod receiver;
mod resources;
mod sender;
mod ssm;
mod values;
mod warnings;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use crate::log::Settings as Log;
pub use acknowledgements::{Acknowledgements, Mode};
pub use channel::{Repetition, Stage, Storage};
pub use defaults::{CONFIGURATION, MAX_PAYLOAD, PLUGIN_CACHE, REPEAT_AFTER, SSM_DNS};
pub use index::Index;
pub use plugins::{Flow, OnError, PluginSettings};
pub use process::{Credential, Journal, Limits, Observe, Plugins, Process, Trust, user_plugin_cache};
pub use receiver::{DeferredOrder, Encryption, Receiver};
pub use sender::Sender;
pub use settings::values::parse_duration;
pub use settings::{ConfigErrors, Files, Mistake};

use channel::Surroundings;
use settings::{Document, Section, Writer, complain};
use tables::TableSource;
use transport::Broker;

/// The largest configuration file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Ours, for every channel that has none of its own.
    pub credential: Credential,
    /// Whose certificates are believed, by every channel that does not say otherwise.
    pub trust: Trust,
    /// Where plugins come from.
    pub plugins: Plugins,
    /// The record of what was stored.
    pub journal: Journal,
    /// What is logged.
    pub log: Log,
    /// What the process may take.
    pub limits: Limits,
    /// What is done in processes of its own.
    pub process: Process,
    /// Where metrics and health are shown.
    pub observe: Observe,
    /// What the receivers share with receivers on other machines; absent: nothing.
    pub index: Option<Index>,
    /// `[broker.NAME]`, by name.
    pub brokers: BTreeMap<String, Broker>,
    /// `[broker.NAME.credential]`, by name of the broker: what it sees of us. The other brokers see the channel's.
    pub broker_credentials: BTreeMap<String, Credential>,
    /// `[send.NAME]`, by name.
    pub senders: BTreeMap<String, Sender>,
    /// `[receive.NAME]`, by name; no sender has one of these names.
    pub receivers: BTreeMap<String, Receiver>,
    /// `[plugin.NAME]`, by name as in a pipeline.
    pub plugin: BTreeMap<String, PluginSettings>,
    /// `[table.NAME]`, by name: lookup tables for plugins.
    pub tables: BTreeMap<String, TableSource>,
    /// `[secret.NAME]`, by name: files with secrets for the configuration of plugins.
    pub secrets: BTreeMap<String, PathBuf>,
    /// What files of SSM's say and Sesame does not do.
    pub notes: Vec<String>,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of Sesame's.
    Own(PathBuf),
    /// Files of SSM's.
    Ssm {
        /// `sender.cfg`, `receiver.cfg`: each is a channel.
        files: Vec<PathBuf>,
        /// The list of those who may send.
        dns: PathBuf,
        /// A file of Sesame's for what holds for all channels.
        own: Option<PathBuf>,
    },
}

impl Source {
    /// Reads the configuration and looks at the files that it names.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        self.load_with(Files::Check)
    }

    /// Reads the configuration; `files` says whether those that it names must be there.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load_with(&self, files: Files) -> Result<Config, ConfigErrors> {
        match self {
            Self::Own(file) => Config::load_with(file, files),
            Self::Ssm { files: of_ssm, dns, own } => ssm::load(of_ssm, dns, own.as_deref(), files),
        }
    }
}

/// Which channels a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Names of senders.
    pub senders: Vec<String>,
    /// Names of receivers.
    pub receivers: Vec<String>,
}

impl Selection {
    /// Whether the channel with this name is selected.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.senders.iter().chain(&self.receivers).any(|selected| selected == name)
    }
}

/// Which kinds of channels a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[send.NAME]`.
    Send,
    /// `[receive.NAME]`.
    Receive,
    /// Either.
    Any,
}

/// Channel names of the command line that do not fit the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No channel has this name.
    #[error("unknown channel {name:?} ({})", hint(.known))]
    Unknown {
        /// As it was given.
        name: String,
        /// The channels that there are.
        known: Vec<String>,
    },
    /// The channel is of the other kind.
    #[error("channel {name:?} is a [{section}.{name}], which this command does not take")]
    OtherKind {
        /// As it was given.
        name: String,
        /// `send` or `receive`.
        section: &'static str,
    },
    /// The configuration has no channel for this command.
    #[error("no channel is configured: add a section {}", sections(*.kind))]
    None {
        /// What the command takes.
        kind: Kind,
    },
}

fn hint(known: &[String]) -> String {
    match known {
        [] => "there are no channels".to_owned(),
        some => format!("channels: {}", some.join(", ")),
    }
}

fn sections(kind: Kind) -> &'static str {
    match kind {
        Kind::Send => "[send.NAME]",
        Kind::Receive => "[receive.NAME]",
        Kind::Any => "[send.NAME] or [receive.NAME]",
    }
}

impl Config {
    /// Reads the file at `path` and looks at the files that it names.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        Self::load_with(path, Files::Check)
    }

    fn load_with(path: &Path, files: Files) -> Result<Self, ConfigErrors> {
        let remedy = "put the configuration there or name another with --config FILE";
        let text = read_file(path, remedy)
            .map_err(|(problem, remedy)| ConfigErrors::new(vec![Mistake::of_file(path, complain(problem, remedy))]))?;
        Self::parse(&text, path, files)
    }

    /// Reads a configuration from `text`; `file` is what the mistakes name.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn parse(text: &str, file: &Path, files: Files) -> Result<Self, ConfigErrors> {
        let document = Document::new(file, text, files);
        let table = document.parse(text)?;
        let root = document.root(&table);
        let config = Self::read(&root);
        check::check(&config, &root);
        document.mistakes()?;
        Ok(config)
    }

    /// Reads a file of SSM's from `text`, as the channel `ssm`; `file` is what the mistakes name.
    ///
    /// # Errors
    /// All mistakes together, with the lines and keys of SSM's file.
    pub fn parse_ssm(text: &str, file: &Path, files: Files) -> Result<Self, ConfigErrors> {
        ssm::translated(text, file, "ssm", Path::new(SSM_DNS), files)
    }

    fn read(root: &Section<'_, '_>) -> Self {
        let mut config = Self {
            credential: Credential::read(&root.section("credential")),
            trust: Trust::read(&root.section("trust"), &Trust::default()),
            plugins: Plugins::read(&root.section("plugins")),
            journal: Journal::read(&root.section("journal")),
            log: Log::read(&root.section("log")),
            limits: Limits::read(&root.section("limits")),
            process: Process::read(&root.section("process")),
            observe: Observe::read(&root.section("observe")),
            index: Index::read(&root.section("index")),
            ..Self::default()
        };
        config.read_channels(root);
        root.finish();
        config
    }

    fn read_channels(&mut self, root: &Section<'_, '_>) {
        let brokers = root.sections("broker");
        let read = |(name, section): &(String, Section<'_, '_>)| {
            Some((name.clone(), channel::read_credential(section, &self.credential)?))
        };
        self.broker_credentials = brokers.iter().filter_map(read).collect();
        let brokers: Vec<_> = brokers.into_iter().map(|(name, section)| (name, broker::read(&section))).collect();
        let around = Surroundings {
            brokers: brokers.iter().map(|(name, (protocol, _))| (name.clone(), *protocol)).collect(),
            credential: &self.credential,
            trust: &self.trust,
            journal: &self.journal,
        };
        self.brokers = brokers.into_iter().filter_map(|(name, (_, broker))| Some((name, broker?))).collect();
        let read = |(name, section): (String, Section<'_, '_>)| Some((name, Sender::read(&section, &around)?));
        self.senders = root.sections("send").into_iter().filter_map(read).collect();
        let read = |(name, section): (String, Section<'_, '_>)| Some((name, Receiver::read(&section, &around)?));
        self.receivers = root.sections("receive").into_iter().filter_map(read).collect();
        let read = |(name, section): (String, Section<'_, '_>)| (name, PluginSettings::read(&section));
        self.plugin = root.sections("plugin").into_iter().map(read).collect();
        let read = |(name, section): (String, Section<'_, '_>)| Some((name, resources::read_table(&section)?));
        self.tables = root.sections("table").into_iter().filter_map(read).collect();
        let read = |(name, section): (String, Section<'_, '_>)| Some((name, resources::read_secret(&section)?));
        self.secrets = root.sections("secret").into_iter().filter_map(read).collect();
    }

    /// The whole configuration with every default spelled out, as TOML that reads back equal.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        let mut writer = Writer::default();
        self.credential.write(writer.section(&["credential"]));
        self.trust.write(writer.section(&["trust"]));
        self.plugins.write(writer.section(&["plugins"]));
        self.journal.write(writer.section(&["journal"]));
        self.log.write(writer.section(&["log"]));
        self.limits.write(writer.section(&["limits"]));
        self.process.write(writer.section(&["process"]));
        self.observe.write(writer.section(&["observe"]));
        if let Some(index) = &self.index {
            index.write(writer.section(&["index"]));
        }
        for (name, broker) in &self.brokers {
            broker::write(broker, writer.section(&["broker", name]));
            if let Some(credential) = self.broker_credentials.get(name) {
                credential.write(writer.section(&["broker", name, "credential"]));
            }
        }
        let general = (&self.credential, &self.trust);
        for (name, sender) in &self.senders {
            sender.write(&mut writer, name, general);
        }
        for (name, receiver) in &self.receivers {
            receiver.write(&mut writer, name, general);
        }
        for (name, source) in &self.tables {
            resources::write_table(source, writer.section(&["table", name]));
        }
        for (name, file) in &self.secrets {
            resources::write_secret(file, writer.section(&["secret", name]));
        }
        for (name, settings) in &self.plugin {
            settings.write(&mut writer, name);
        }
        writer.finish()
    }

    /// What the broker of a channel sees of us.
    #[must_use]
    pub fn credential_at<'a>(&'a self, broker: &str, channel: &'a Credential) -> &'a Credential {
        self.broker_credentials.get(broker).unwrap_or(channel)
    }

    /// The name of the channel with this name or section, such as `receive.central`; another name stays as it is.
    #[must_use]
    pub fn without_section<'a>(&self, name: &'a str) -> &'a str {
        let sender = name.strip_prefix("send.").filter(|name| self.senders.contains_key(*name));
        let receiver = || name.strip_prefix("receive.").filter(|name| self.receivers.contains_key(*name));
        sender.or_else(receiver).unwrap_or(name)
    }

    /// The channels that `names` choose among those of `kind`; no names choose all.
    ///
    /// # Errors
    /// [`SelectionError`] for the first name that does not fit, or where there is nothing to choose.
    pub fn select(&self, names: &[String], kind: Kind) -> Result<Selection, SelectionError> {
        let (send, receive) = (kind != Kind::Receive, kind != Kind::Send);
        for name in names {
            let (sender, receiver) = (self.senders.contains_key(name), self.receivers.contains_key(name));
            if !sender && !receiver {
                let known = self.senders.keys().chain(self.receivers.keys()).cloned().collect();
                return Err(SelectionError::Unknown { name: name.clone(), known });
            }
            if !(sender && send || receiver && receive) {
                let section = if sender { "send" } else { "receive" };
                return Err(SelectionError::OtherKind { name: name.clone(), section });
            }
        }
        let chosen = |name: &&String| names.is_empty() || names.contains(*name);
        let selection = Selection {
            senders: self.senders.keys().filter(chosen).filter(|_| send).cloned().collect(),
            receivers: self.receivers.keys().filter(chosen).filter(|_| receive).cloned().collect(),
        };
        if selection.senders.is_empty() && selection.receivers.is_empty() {
            return Err(SelectionError::None { kind });
        }
        Ok(selection)
    }
}

fn read_file(path: &Path, remedy: &'static str) -> Result<String, (String, &'static str)> {
    use std::io::Read as _;
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => ("does not exist".to_owned(), remedy),
        std::io::ErrorKind::InvalidData => ("is not UTF-8 text".to_owned(), "save it as UTF-8"),
        _ => (format!("cannot be read: {error}"), remedy),
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if length as u64 > MAX_FILE {
        return Err((format!("is larger than {MAX_FILE} bytes"), "name a configuration file"));
    }
    Ok(text)
}
