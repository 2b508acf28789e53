//! SSM's own configuration, `sender.cfg` and `receiver.cfg`, read as it is, so that Sesame can replace SSM at once.
//!
//! Each key becomes a key of a Sesame configuration on the line of the same number, and that is read like any other: mistakes are
//! found in the same place and reported with line and key of SSM's file. A channel has the name of its file: `sender` for `/etc/apel/sender.cfg`.
//!
//! | SSM | Sesame |
//! |---|---|
//! | `[sender]`, `[receiver]`: `protocol` | `kind` of a broker |
//! | `[broker]`: `host` and `port`, `use_ssl` | `hosts`, `tls` of a broker; with AMS `host` alone |
//! | `[certificates]`: `certificate`, `key`, `capath` | `certificate`, `key`, `anchors` of the channel |
//! | `[certificates]`: `server_cert` | `recipient-certificate` |
//! | `[certificates]`: `check_crls` | true: `crls = "require"`, else as by default |
//! | `[messaging]`: `destination`, `path`, `path_type` | `destination`, `queue` or `spool`, `format`; what is no queue is not sent to |
//! | `[messaging]`: `ams_project`, `destination` with AMS | `project` of the broker, `destination` or `subscription` |
//! | `[messaging]`: `token` with AMS | used when the certificate gets no token; not part of any text that is made of the configuration |
//! | `[logging]`: `level` | `level` of the log, by the first file and if there is no configuration beside |
//!
//! A configuration of Sesame's may stand beside them: its plugins, limits and whatever else holds for all channels hold for
//! these, and its own channels are there too.
//!
//! Unsupported keys, such as a pid file, are listed in [`Config::notes`](super::Config::notes) and change nothing.
//!
//! # Format
//! That of Python's `configparser`: `key: value` or `key = value`, sections in square brackets, comments on lines of their
//! own that begin with `#` or `;`, a line that is indented continues the one before. `%%` is a percent sign.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::broker::Protocol;
use super::channel::is_name;
use super::{Config, ConfigErrors, Files, Mistake, read_file};
use ams::Token;
use settings::complain;
use settings::quoted;
use stomp::{Destination, Promise};
use transport::Broker;

/// Where values stand that hold for all sections.
const DEFAULT: &str = "DEFAULT";
/// Keys that mean nothing with the other protocol, or to a program that a service manager runs.
const SILENT: [(&str, &str); 5] = [
    ("broker", "port"),
    ("broker", "use_ssl"),
    ("messaging", "ams_project"),
    ("messaging", "token"),
    ("logging", "console"),
];

/// Reads SSM's files beside a configuration, if there is one; `dns` is the list of those who may send.
pub(super) fn load(
    files: &[PathBuf],
    dns: &Path,
    own: Option<&Path>,
    looked_at: Files,
) -> Result<Config, ConfigErrors> {
    let mut mistakes = Vec::new();
    let read_own = |own| Config::load_with(own, looked_at);
    let mut all = own.map_or_else(|| Ok(Config::default()), read_own).unwrap_or_else(|errors| {
        mistakes.extend(errors.mistakes().iter().cloned());
        Config::default()
    });
    for (index, file) in files.iter().enumerate() {
        let config = match read(file, dns, looked_at) {
            Ok(config) => config,
            Err(errors) => {
                mistakes.extend(errors.mistakes().iter().cloned());
                continue;
            }
        };
        let taken =
            |name| all.brokers.contains_key(name) || all.senders.contains_key(name) || all.receivers.contains_key(name);
        if config.brokers.keys().any(taken) {
            let problem = "has the name of another channel or broker";
            mistakes.push(Mistake::of_file(file, complain(problem, "rename one of them")));
        }
        if index == 0 && own.is_none() {
            all.log = config.log;
        }
        all.brokers.extend(config.brokers);
        all.senders.extend(config.senders);
        all.receivers.extend(config.receivers);
        all.notes.extend(config.notes);
    }
    if mistakes.is_empty() { Ok(all) } else { Err(ConfigErrors::new(mistakes)) }
}

fn read(file: &Path, dns: &Path, looked_at: Files) -> Result<Config, ConfigErrors> {
    let remedy = "put SSM's configuration there or name another with --ssm-config FILE";
    let refused = |complaint| ConfigErrors::new(vec![Mistake::of_file(file, complaint)]);
    let text = read_file(file, remedy).map_err(|(problem, remedy)| refused(complain(problem, remedy)))?;
    let name = file.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_name(stem) && !stem.contains('.'));
    let Some(name) = name else {
        let problem = "cannot be used: its name is not a valid channel name";
        return Err(refused(complain(problem, "rename it to letters, digits, - and _")));
    };
    translated(&text, file, name, dns, looked_at)
}

pub(super) fn translated(
    text: &str,
    file: &Path,
    name: &str,
    dns: &Path,
    files: Files,
) -> Result<Config, ConfigErrors> {
    let mut ssm = Ssm { file, mistakes: Vec::new(), keys: BTreeMap::new(), asked: BTreeSet::new(), token: None };
    ssm.parse(text);
    let lines = text.lines().count();
    let mut translation = Translation { lines: vec![String::new(); lines], origins: BTreeMap::new() };
    let notes = ssm.translate(name, dns, &mut translation);
    let read = Config::parse(&translation.lines.join("\n"), file, files);
    let (mut config, later) = match read {
        Ok(config) => (config, Vec::new()),
        Err(errors) => (Config::default(), errors.mistakes().iter().map(|found| translation.back(found)).collect()),
    };
    // Where SSM's file lacks something, what is found in the translation follows from it.
    let mistakes = if ssm.mistakes.is_empty() { later } else { ssm.mistakes };
    if let Some(Broker::Ams(broker)) = config.brokers.get_mut(name) {
        broker.token_otherwise = ssm.token;
    }
    if mistakes.is_empty() { Ok(Config { notes, ..config }) } else { Err(ConfigErrors::new(mistakes)) }
}

/// The value of a key and its line, from 1. It may be a token, and so has no `Debug`.
#[derive(Clone)]
struct Value {
    text: String,
    line: usize,
}

/// A file of SSM's while it is read.
struct Ssm<'f> {
    file: &'f Path,
    mistakes: Vec<Mistake>,
    /// By section and key.
    keys: BTreeMap<(String, String), Value>,
    asked: BTreeSet<(String, String)>,
    /// That of AMS. It is never part of the translation, whose text may be quoted in a mistake.
    token: Option<Token>,
}

impl Ssm<'_> {
    fn complain(&mut self, line: Option<usize>, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let (file, key) = (self.file.to_owned(), key.to_owned());
        self.mistakes.push(Mistake { file, line, key, problem: problem.into(), remedy: remedy.into() });
    }

    fn parse(&mut self, text: &str) {
        let mut section: Option<String> = None;
        let mut sections = BTreeSet::new();
        let mut indent_of_key = None;
        for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text)) {
            let content = text.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let indent = text.len() - text.trim_start().len();
            if indent_of_key.is_some_and(|before| indent > before) {
                self.complain(
                    Some(line),
                    "",
                    "is indented, and so continues the value of the line before it",
                    "remove the white space at its beginning",
                );
            } else if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                if !sections.insert(name.to_owned()) && name != DEFAULT {
                    self.complain(Some(line), "", format!("section [{name}] appears twice"), "join the two");
                }
                (section, indent_of_key) = (Some(name.to_owned()), None);
            } else if let Some(section) = &section {
                indent_of_key = Some(indent);
                self.parse_key(&section.clone(), content, line);
            } else {
                self.complain(Some(line), "", "is before the first section", "move it into a section such as [broker]");
            }
        }
        for name in sections {
            self.keys.entry((name, String::new())).or_insert(Value { text: String::new(), line: 0 });
        }
    }

    fn parse_key(&mut self, section: &str, content: &str, line: usize) {
        let Some((key, value)) = content.split_once(['=', ':']) else {
            // What follows may be a token.
            let begin = content.split_whitespace().next().unwrap_or_default();
            let problem = format!("{begin:?} has no value");
            return self.complain(Some(line), section, problem, "write `key: value`, or remove the line");
        };
        let key = key.trim().to_lowercase();
        let name = format!("{section}.{key}");
        let text = value.trim().replace("%%", "\0");
        if text.contains('%') {
            let remedy = "write the value itself, or %% for a percent sign";
            self.complain(Some(line), &name, "refers to another key, which is not supported", remedy);
        }
        let value = Value { text: text.replace('\0', "%"), line };
        if self.keys.insert((section.to_owned(), key), value).is_some() {
            self.complain(Some(line), &name, "is there twice", "remove one of them");
        }
    }

    fn has_section(&self, section: &str) -> bool {
        self.keys.keys().any(|(name, _)| name == section)
    }

    /// A value that is not empty; that of `[DEFAULT]` where the section has none.
    fn value(&mut self, section: &str, key: &str) -> Option<Value> {
        let place = |section: &str| (section.to_owned(), key.to_owned());
        self.asked.insert(place(section));
        let found = self.keys.get(&place(section)).or_else(|| self.keys.get(&place(DEFAULT)));
        found.filter(|value| !value.text.is_empty()).cloned()
    }

    /// The same, for a key that must be there.
    fn needed(&mut self, section: &str, key: &str, example: &str) -> Option<Value> {
        let value = self.value(section, key);
        if value.is_none() {
            let remedy = format!("add `{key}: {example}` to [{section}]");
            self.complain(None, &format!("{section}.{key}"), "is missing", remedy);
        }
        value
    }

    /// Yes or no, and where that stands.
    fn flag(&mut self, section: &str, key: &str) -> Option<(bool, usize)> {
        let Value { text, line } = self.value(section, key)?;
        let read = yes_or_no(&text);
        if read.is_none() {
            let problem = format!("{text:?} is neither");
            self.complain(Some(line), &format!("{section}.{key}"), problem, "write true or false");
        }
        Some((read?, line))
    }

    /// Writes the configuration that does what SSM would; answers with what is left out.
    fn translate(&mut self, name: &str, dns: &Path, to: &mut Translation) -> Vec<String> {
        // SSM takes a file without a protocol for one of STOMP; only a receiver is a daemon.
        let receives = self.has_section("receiver") || (self.has_section("daemon") && !self.has_section("sender"));
        let (role, channel) = match receives {
            true => ("receiver", format!("receive.{name}")),
            false => ("sender", format!("send.{name}")),
        };
        let protocol = self.protocol(role);
        match protocol {
            Protocol::Stomp => self.broker(name, to),
            Protocol::Ams => self.ams(name, role, to),
        }
        self.identity(&channel, receives, to);
        self.messaging(&channel, receives, protocol, to);
        to.add(&format!("{channel}.broker"), &quoted(name));
        if receives {
            to.add(&format!("{channel}.authorised"), &quoted(&dns.to_string_lossy()));
            to.origins.insert(format!("{channel}.authorised"), "--ssm-dns".to_owned());
        }
        self.log(to);
        self.notes(receives, protocol)
    }

    fn protocol(&mut self, role: &str) -> Protocol {
        let Some(Value { text, line }) = self.value(role, "protocol") else { return Protocol::Stomp };
        match text.to_uppercase().as_str() {
            "STOMP" => {}
            "AMS" => return Protocol::Ams,
            _ => {
                let problem = format!("{text:?} is not a protocol");
                self.complain(Some(line), &format!("{role}.protocol"), problem, "write STOMP or AMS");
            }
        }
        Protocol::Stomp
    }

    /// SSM does not read `port` and `use_ssl` for AMS either.
    fn ams(&mut self, name: &str, role: &str, to: &mut Translation) {
        let line = self.value(role, "protocol").map_or(0, |value| value.line);
        to.put(line, (role, "protocol"), &format!("broker.{name}.kind"), &quoted("ams"));
        if let Some(Value { text, line }) = self.needed("broker", "host", "msg.argo.grnet.gr") {
            to.put(line, ("broker", "host"), &format!("broker.{name}.host"), &quoted(&text));
        }
        if let Some(Value { text, line }) = self.needed("messaging", "ams_project", "accounting") {
            to.put(line, ("messaging", "ams_project"), &format!("broker.{name}.project"), &quoted(&text));
        }
        if let Some(Value { text, line }) = self.value("messaging", "token") {
            match Token::new(&text) {
                Ok(token) => self.token = Some(token),
                Err(error) => {
                    let remedy = "write the token that AMS gave you, or remove the line to use the certificate alone";
                    self.complain(Some(line), "messaging.token", format!("cannot be used: {error}"), remedy);
                }
            }
        }
    }

    fn broker(&mut self, name: &str, to: &mut Translation) {
        let host = self.needed("broker", "host", "mq.example.org");
        let port = self.needed("broker", "port", "61614");
        if let (Some(host), Some(port)) = (host, port) {
            let address = format!("{}:{}", host.text, port.text);
            to.put(host.line, ("broker", "host"), &format!("broker.{name}.hosts"), &format!("[{}]", quoted(&address)));
        }
        if let Some((tls, line)) = self.flag("broker", "use_ssl") {
            to.put(line, ("broker", "use_ssl"), &format!("broker.{name}.tls"), &tls.to_string());
        }
    }

    fn identity(&mut self, channel: &str, receives: bool, to: &mut Translation) {
        let examples = [("certificate", "/etc/grid-security/hostcert.pem"), ("key", "/etc/grid-security/hostkey.pem")];
        for (key, example) in examples {
            if let Some(Value { text, line }) = self.needed("certificates", key, example) {
                to.put(line, ("certificates", key), &format!("{channel}.credential.{key}"), &quoted(&text));
            }
        }
        if let Some(Value { text, line }) = self.needed("certificates", "capath", "/etc/grid-security/certificates") {
            to.put(line, ("certificates", "capath"), &format!("{channel}.trust.anchors"), &quoted(&text));
        }
        if receives {
            if let Some((true, line)) = self.flag("certificates", "check_crls") {
                to.put(line, ("certificates", "check_crls"), &format!("{channel}.trust.crls"), "\"require\"");
            }
        } else if let Some(Value { text, line }) = self.value("certificates", "server_cert") {
            let key = format!("{channel}.recipient-certificate");
            to.put(line, ("certificates", "server_cert"), &key, &quoted(&text));
        }
    }

    fn messaging(&mut self, channel: &str, receives: bool, protocol: Protocol, to: &mut Translation) {
        let (own, example) = match (protocol, receives) {
            (Protocol::Stomp, _) => ("destination", "/queue/global.accounting.cpu"),
            (Protocol::Ams, false) => ("destination", "gLite-APEL"),
            (Protocol::Ams, true) => ("subscription", "IRIS-APEL"),
        };
        if let Some(Value { text, line }) = self.needed("messaging", "destination", example) {
            to.put(line, ("messaging", "destination"), &format!("{channel}.{own}"), &quoted(&text));
            // A note says what a topic means to a receiver; nothing stored here is lost by it. A sender may not send to one:
            // its messages would be removed and nowhere.
            if protocol == Protocol::Stomp && receives && Destination::parse(&text).promise() == Promise::Nothing {
                to.add(&format!("{channel}.allow-topic"), "true");
            }
        }
        let (own, example) =
            if receives { ("spool", "/var/spool/apel") } else { ("queue", "/var/spool/apel/outgoing") };
        if let Some(Value { text, line }) = self.needed("messaging", "path", example) {
            to.put(line, ("messaging", "path"), &format!("{channel}.{own}"), &quoted(&text));
        }
        if !receives && let Some(Value { text, line }) = self.value("messaging", "path_type") {
            to.put(line, ("messaging", "path_type"), &format!("{channel}.format"), &quoted(&text));
        }
    }

    fn log(&mut self, to: &mut Translation) {
        let Some(Value { text, line }) = self.value("logging", "level") else { return };
        let level = match text.to_uppercase().as_str() {
            "DEBUG" => "debug",
            "INFO" => "info",
            "WARN" | "WARNING" => "warn",
            "ERROR" | "CRITICAL" | "FATAL" => "error",
            _ => {
                let remedy = "write DEBUG, INFO, WARN or ERROR";
                return self.complain(Some(line), "logging.level", format!("{text:?} is not a level"), remedy);
            }
        };
        to.put(line, ("logging", "level"), "log.level", &quoted(level));
    }

    /// What the file says and Sesame does not do.
    fn notes(&mut self, receives: bool, protocol: Protocol) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |line: usize, key: &str, text: &str| {
            notes.push(format!("{}:{line}: {key}: {text}", self.file.display()));
        };
        let known = |section: &str, key: &str| SILENT.contains(&(section, key)) || key.is_empty();
        for ((section, key), value) in &self.keys {
            let name = format!("{section}.{key}");
            let is_no = || yes_or_no(&value.text) == Some(false);
            match (section.as_str(), key.as_str()) {
                ("logging", "logfile") => note(value.line, &name, "is not written: the log goes to standard error"),
                ("daemon", "pidfile") => note(value.line, &name, "is not written: let a service manager run Sesame"),
                ("messaging", "destination")
                    if receives
                        && protocol == Protocol::Stomp
                        && Destination::parse(&value.text).promise() == Promise::Nothing =>
                {
                    note(value.line, &name, "is not a queue: what is sent while Sesame is not connected is lost");
                }
                ("certificates", "verify_server_cert") if !receives => {
                    if is_no() {
                        note(value.line, &name, "has no effect: the recipient certificate is always verified");
                    }
                }
                ("certificates", "check_crls") if receives && is_no() => {
                    note(
                        value.line,
                        &name,
                        "has no effect: CRLs that are present are checked, missing ones are not required",
                    );
                }
                (DEFAULT, _) => {}
                (section, key) if known(section, key) => {}
                _ if self.asked.contains(&(section.clone(), key.clone())) => {}
                _ => note(value.line, &name, "is not known and has no effect"),
            }
        }
        if self.token.is_some()
            && let Some(Value { line, .. }) = self.value("messaging", "token")
        {
            let text = "is used only if the certificate gets no token; --effective leaves it out: save it in a file, and \
                        name that as token-file";
            notes.push(format!("{}:{line}: messaging.token: {text}", self.file.display()));
        }
        notes
    }
}

/// What any of the words says that `configparser` takes for one of the two.
fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// A Sesame configuration with a key on each line where SSM's file has one, and others after it.
struct Translation {
    lines: Vec<String>,
    /// What a key is called in SSM's file.
    origins: BTreeMap<String, String>,
}

impl Translation {
    fn put(&mut self, line: usize, (section, key): (&str, &str), own: &str, value: &str) {
        let text = format!("{own} = {value}");
        match line.checked_sub(1).and_then(|index| self.lines.get_mut(index)) {
            Some(place) if place.is_empty() => *place = text,
            // Two keys have taken one value of [DEFAULT].
            _ => self.lines.push(text),
        }
        self.origins.insert(own.to_owned(), format!("{section}.{key}"));
    }

    fn add(&mut self, own: &str, value: &str) {
        self.lines.push(format!("{own} = {value}"));
    }

    /// A mistake as SSM's file would have it.
    fn back(&self, found: &Mistake) -> Mistake {
        let origin = self.origins.get(&found.key);
        let line = found.line.filter(|_| origin.is_some_and(|origin| !origin.starts_with("--")));
        let key = origin.cloned().unwrap_or_else(|| found.key.clone());
        let remedy = found.remedy.replace(
            "set allow-topic = true on this channel",
            "go on with a sesame.toml that sets allow-topic = true, which SSM's file cannot",
        );
        Mistake { line, key, remedy, ..found.clone() }
    }
}

#[cfg(test)]
mod tests;
