//! The sections that hold for the whole process: credential, trust, plugins, journal, log, limits, process and observe.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::defaults;
use crate::log::{Format, Level, Settings as Log};
use observe::{Address, Token};
use settings::Section;
use settings::complain;
use settings::{Writer, word};
use trust::CrlMode;

const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
const CENTURY: Duration = DAY.saturating_mul(36_500);

/// `[credential]`: our certificate and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// PEM: our certificate, then any intermediate ones.
    pub certificate: PathBuf,
    /// PEM, readable by its owner alone.
    pub key: PathBuf,
}

impl Default for Credential {
    fn default() -> Self {
        Self { certificate: defaults::CERTIFICATE.into(), key: defaults::KEY.into() }
    }
}

impl Credential {
    /// Reads the general section; a path that it lacks is the default one.
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let credential = Self::or(section, &Self::default());
        section.finish();
        credential
    }

    fn or(section: &Section<'_, '_>, other: &Self) -> Self {
        Self {
            certificate: section.path("certificate").unwrap_or_else(|| other.certificate.clone()),
            key: section.path("key").unwrap_or_else(|| other.key.clone()),
        }
    }

    /// Reads the section of a channel or broker, which names both files or neither: half of it would be paired with the other
    /// half of `general`.
    pub(super) fn read_own(section: &Section<'_, '_>, general: &Self) -> Self {
        let one_without_the_other = section.has("certificate") != section.has("key");
        let credential = Self::or(section, general);
        if one_without_the_other {
            let (there, missing) = if section.has("key") { ("key", "certificate") } else { ("certificate", "key") };
            let problem = format!("is set without {missing}");
            section.complain(there, complain(problem, format!("add {missing} = \"/path/to/file.pem\" beside it")));
        }
        section.finish();
        credential
    }

    /// Reports files that cannot be read; called where a channel uses this credential.
    pub(super) fn check_files(&self, section: &Section<'_, '_>) {
        section.readable_file("certificate", &self.certificate);
        section.readable_file("key", &self.key);
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.path("certificate", &self.certificate).path("key", &self.key);
    }
}

const CRLS: &[(&str, CrlMode)] =
    &[("require", CrlMode::Require), ("if-present", CrlMode::IfPresent), ("ignore", CrlMode::Ignore)];

/// `[trust]`: whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Hashed CA directories or PEM files.
    pub anchors: Vec<PathBuf>,
    /// Policy for certificate revocation lists.
    pub crls: CrlMode,
    /// Whether `.signing_policy` files are enforced where they are present.
    pub signing_policy: bool,
    /// Whether a message signed with SHA-1 is accepted.
    pub allow_sha1_digest: bool,
    /// How often certificates, lists and anchors are looked at for changes.
    pub refresh: Duration,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            anchors: vec![defaults::ANCHORS.into()],
            crls: CrlMode::IfPresent,
            signing_policy: defaults::SIGNING_POLICY,
            allow_sha1_digest: defaults::ALLOW_SHA1_DIGEST,
            refresh: defaults::REFRESH,
        }
    }
}

impl Trust {
    /// Reads the section; what it lacks is as in `general`.
    pub(super) fn read(section: &Section<'_, '_>, general: &Self) -> Self {
        let trust = Self {
            anchors: section.paths("anchors").unwrap_or_else(|| general.anchors.clone()),
            crls: section.choice("crls", CRLS).unwrap_or(general.crls),
            signing_policy: section.flag("signing-policy").unwrap_or(general.signing_policy),
            allow_sha1_digest: section.flag("allow-sha1-digest").unwrap_or(general.allow_sha1_digest),
            refresh: section.duration("refresh", SECOND..=DAY).unwrap_or(general.refresh),
        };
        section.finish();
        trust
    }

    /// Reports anchors that are not there; called where a channel uses this trust.
    pub(super) fn check_files(&self, section: &Section<'_, '_>) {
        for anchor in &self.anchors {
            section.existing("anchors", anchor);
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        let anchors: Vec<String> = self.anchors.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        match anchors.as_slice() {
            [one] => writer.text("anchors", one),
            several => writer.list("anchors", several),
        };
        writer
            .text("crls", word(CRLS, self.crls))
            .flag("signing-policy", self.signing_policy)
            .flag("allow-sha1-digest", self.allow_sha1_digest)
            .duration("refresh", self.refresh);
    }
}

/// Where what commands for authors have compiled for this user is kept: a private folder in the user's cache.
#[must_use]
pub fn user_plugin_cache() -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute(std::env::var_os("XDG_CACHE_HOME"));
    let caches = caches.or_else(|| absolute(std::env::var_os("HOME")).map(|home| home.join(".cache")))?;
    Some(caches.join("sesame/plugins"))
}

/// `[plugins]`: where plugins come from, and where what was compiled is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugins {
    /// Components and their sidecars. Need not exist.
    pub folder: PathBuf,
    /// Compiled components; private to Sesame.
    pub cache: PathBuf,
    /// The list of those whose signatures on plugins count.
    pub signers: PathBuf,
    /// Whether a plugin without a signature is refused.
    pub require_signed: bool,
    /// The file of what was adopted; private to Sesame.
    pub adopted: PathBuf,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            folder: defaults::PLUGIN_FOLDER.into(),
            cache: defaults::PLUGIN_CACHE.into(),
            signers: defaults::PLUGIN_SIGNERS.into(),
            require_signed: defaults::REQUIRE_SIGNED,
            adopted: defaults::PLUGINS_ADOPTED.into(),
        }
    }
}

impl Plugins {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let default = Self::default();
        let plugins = Self {
            folder: section.path("folder").unwrap_or(default.folder),
            cache: section.path("cache").unwrap_or(default.cache),
            signers: section.path("signers").unwrap_or(default.signers),
            require_signed: section.flag("require-signed").unwrap_or(default.require_signed),
            adopted: section.path("adopted").unwrap_or(default.adopted),
        };
        if section.has("folder") {
            section.existing("folder", &plugins.folder);
        }
        if plugins.require_signed || section.has("signers") {
            section.readable_file("signers", &plugins.signers);
        }
        if plugins.adopted.starts_with(&plugins.folder) {
            let problem = format!("{} is in the plugin folder", plugins.adopted.display());
            section.complain("adopted", complain(problem, "choose a file outside it, private to Sesame"));
        }
        if plugins.cache.starts_with(&plugins.folder) {
            let problem = format!("{} is in the plugin folder", plugins.cache.display());
            section.complain("cache", complain(problem, "choose a directory outside it, private to Sesame"));
        }
        section.finish();
        plugins
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        // A folder that is named must exist; the default one need not.
        if self.folder != Self::default().folder || self.folder.exists() {
            writer.path("folder", &self.folder);
        }
        writer.path("cache", &self.cache);
        // As with the folder.
        if self.signers != Self::default().signers || self.signers.exists() {
            writer.path("signers", &self.signers);
        }
        writer.flag("require-signed", self.require_signed).path("adopted", &self.adopted);
    }
}

/// `[journal]`: the record of what was stored, which makes redelivery harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// How long a row is kept.
    pub retention: Duration,
    /// Whether records are counted by site, for `sesame report`.
    pub count_records: bool,
}

impl Default for Journal {
    fn default() -> Self {
        Self { retention: defaults::JOURNAL_RETENTION, count_records: defaults::COUNT_RECORDS }
    }
}

impl Journal {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let retention = section.duration("retention", HOUR..=CENTURY).unwrap_or(defaults::JOURNAL_RETENTION);
        let count_records = section.flag("count-records").unwrap_or(defaults::COUNT_RECORDS);
        section.finish();
        Self { retention, count_records }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.duration("retention", self.retention).flag("count-records", self.count_records);
    }
}

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

const LOG_FORMATS: &[(&str, Format)] =
    &[("auto", Format::Auto), ("text", Format::Text), ("json", Format::Json), ("journal", Format::Journal)];

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Auto, plugin_log: defaults::PLUGIN_LOG.into() }
    }
}

impl Log {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let default = Self::default();
        let log = Self {
            level: section.choice("level", LEVELS).unwrap_or(default.level),
            format: section.choice("format", LOG_FORMATS).unwrap_or(default.format),
            plugin_log: section.path("plugin-log").unwrap_or(default.plugin_log),
        };
        section.finish();
        log
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .text("level", word(LEVELS, self.level))
            .text("format", word(LOG_FORMATS, self.format))
            .path("plugin-log", &self.plugin_log);
    }
}

/// `[limits]`: what the whole process may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Message bodies held in memory at once, in bytes, over all channels.
    pub memory: u64,
    /// How long a stop waits for messages in flight.
    pub grace: Duration,
    /// Threads of each channel that seal, open and run plugins; absent: one for each processor.
    pub workers: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: defaults::MEMORY, grace: defaults::GRACE, workers: None }
    }
}

impl Limits {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let default = Self::default();
        let limits = Self {
            memory: section.size("memory", defaults::MIB..=1024 * defaults::GIB).unwrap_or(default.memory),
            grace: section.duration("grace", MILLISECOND..=HOUR).unwrap_or(default.grace),
            workers: section.number("workers", 1..=256),
        };
        section.finish();
        limits
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.size("memory", self.memory).duration("grace", self.grace);
        if let Some(workers) = self.workers {
            writer.number("workers", workers);
        }
    }
}

/// `[process]`: what is done in processes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Whether messages are opened in child processes without network, files and keys.
    pub isolate: bool,
}

impl Default for Process {
    fn default() -> Self {
        Self { isolate: defaults::ISOLATE }
    }
}

impl Process {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let isolate = section.flag("isolate").unwrap_or(defaults::ISOLATE);
        section.finish();
        Self { isolate }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.flag("isolate", self.isolate);
    }
}

/// `[observe]`: where metrics, health and the dashboard are shown, and what may be done there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observe {
    /// Where to listen; absent: nowhere.
    pub listen: Option<Address>,
    /// Whether others than programs on this machine may connect.
    pub allow_remote: bool,
    /// The file with the token that lets an operator act; absent: no one may.
    pub control: Option<PathBuf>,
    /// Whether payloads of rejected messages are shown.
    pub show_payload: bool,
}

impl Observe {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let observe = Self {
            listen: section.parsed("listen", "write it in double quotes", |text| {
                let remedy = "write \"127.0.0.1:9464\", \"[::1]:9464\" or \"unix:/run/sesame/observe.sock\"";
                Address::parse(text).map_err(|error| complain(format!("{text:?} {error}"), remedy))
            }),
            allow_remote: section.flag("allow-remote").unwrap_or(defaults::ALLOW_REMOTE),
            control: section.path("control"),
            show_payload: section.flag("show-payload").unwrap_or(defaults::SHOW_PAYLOAD),
        };
        if let Some(listen) = observe.listen.as_ref().filter(|listen| !listen.is_local() && !observe.allow_remote) {
            let problem = format!("{listen} can be reached from other machines, and there is no password");
            let remedy = "write 127.0.0.1, or set allow-remote = true where a firewall says who may connect";
            section.complain("listen", complain(problem, remedy));
        }
        observe.check_what_is_private(section);
        section.finish();
        observe
    }

    /// What needs a token or shows messages stays on this machine, where nothing is read on the way.
    fn check_what_is_private(&self, section: &Section<'_, '_>) {
        let remote = self.listen.as_ref().filter(|listen| !listen.is_local());
        for (key, set) in [("control", self.control.is_some()), ("show-payload", self.show_payload)] {
            if let Some(listen) = remote.filter(|_| set) {
                let problem = format!("needs an address of this machine, and {listen} can be reached from others");
                let remedy = "write listen = \"127.0.0.1:9464\", and come through an SSH tunnel; or remove this line";
                section.complain(key, complain(problem, remedy));
            }
        }
        let Some(file) = self.control.as_ref().filter(|_| section.looks_at_files()) else { return };
        if let Err(error) = Token::read(file) {
            let problem = message::cause::chain(&error);
            section.complain("control", complain(problem, "put a token there that only its owner may read"));
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        if let Some(listen) = &self.listen {
            writer.text("listen", &listen.to_string());
        }
        writer
            .flag("allow-remote", self.allow_remote)
            .path_if("control", self.control.as_ref())
            .flag("show-payload", self.show_payload);
    }
}
