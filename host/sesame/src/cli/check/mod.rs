//! `sesame check`: what is wrong and how to fix it. It changes nothing, but takes the lock of a spool for a moment to see
//! whether it is free.
//!
//! Mistakes of the configuration are reported when it is read. `local` checks the files, plugins and queues of this
//! machine, `service_user` whether the user of the unit can use them, `observe` where metrics are shown, `acknowledgements`
//! whether those that are asked for can come and count, `ams` how AMS sees a certificate, `brokers` and `destinations` the
//! other end of the connection, `index` the one that receivers share. `report` prints what was found.

mod acknowledgements;
mod ams;
mod brokers;
mod destinations;
mod index;
mod isolation;
mod local;
mod observe;
mod report;
mod resources;
mod service_user;

use anyhow::Context as _;
use clap::Args;

use super::context::{Context, runtime};
use super::output;
use crate::config;
use crate::service::Shared;
use report::{Form, Group, Report};
use settings::{ConfigErrors, Mistake};
use terminal::{EXIT_CONFIGURATION, EXIT_DONE};

/// `sesame check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Do not connect to brokers.
    #[arg(long)]
    pub offline: bool,
    /// Print the configuration with all defaults, in the format of a configuration file.
    #[arg(long)]
    pub effective: bool,
    /// Print the results as JSON.
    #[arg(long, conflicts_with = "effective")]
    pub json: bool,
    /// Exit with status 3 if there are warnings and no errors.
    #[arg(long)]
    pub strict: bool,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// As it should be.
    Ok,
    /// Works, but needs attention.
    Warning,
    /// Does not work.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    level: Level,
    /// The section of the configuration, such as `send.cpu` or `broker.egi`.
    subject: String,
    /// What was found, or what is wrong and how to fix it.
    text: String,
}

impl Found {
    fn ok(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject: subject.into(), text: text.into() }
    }

    fn warning(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level: Level::Warning, subject: subject.into(), text: text.into() }
    }

    fn error(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level: Level::Error, subject: subject.into(), text: text.into() }
    }
}

pub(super) fn run(arguments: &Check, context: &Context) -> anyhow::Result<u8> {
    let config = match context.config() {
        Ok(config) => &{ config },
        Err(mistakes) if arguments.json => return Ok(unreadable(&mistakes)),
        Err(mistakes) => return Err(mistakes.into()),
    };
    if arguments.effective {
        output::raw(config.effective_toml().as_bytes()).context("cannot write the configuration")?;
        return Ok(EXIT_DONE);
    }
    let mut report = Report::new(Form::wanted(arguments.json));
    if config.senders.is_empty() && config.receivers.is_empty() {
        let text = config::SelectionError::None { kind: config::Kind::Any }.to_string();
        report.take(Group::Configuration, vec![Found::error("configuration", text)]);
    }
    let allowed = config.warnings().into_iter().map(|text| Found::warning("configuration", text)).collect();
    report.take(Group::Configuration, allowed);
    report.take(Group::ServiceUser, service_user::check(config));
    let shared = Shared::start(config);
    for look in [local::credentials, local::recipients, local::sealing] {
        report.take(Group::Certificates, look(config));
    }
    if let Ok(shared) = &shared {
        report.take(Group::Certificates, local::replaced(config, shared));
    }
    report.take(Group::Ams, local::seen_by_ams(config));
    report.take(Group::Trust, local::library());
    if let Ok(shared) = &shared {
        report.take(Group::Trust, isolation::isolation(config, shared));
    }
    report.take(Group::Trust, local::trust(config));
    report.take(Group::Trust, local::lists(config));
    report.take(Group::Queues, local::queues(config));
    report.take(Group::Acknowledgements, acknowledgements::check(config));
    report.take(Group::Metrics, observe::listener(config));
    report.take(Group::Plugins, local::plugin_folders(config));
    report.take(Group::Plugins, resources::resources(config));
    match shared {
        Ok(shared) => {
            report.take(Group::Plugins, local::plugins(config, &shared));
            if !arguments.offline {
                let runtime = runtime().context("cannot start threads")?;
                report.take(Group::Brokers, runtime.block_on(brokers::check(config, &shared)));
                report.take(Group::Brokers, runtime.block_on(destinations::check(config, &shared)));
                report.take(Group::Brokers, index::check(config, &shared));
                runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            }
        }
        Err(error) => report.take(Group::Plugins, vec![Found::error("plugins", message::cause::chain(&error))]),
    }
    report.end(arguments.offline);
    Ok(report.status(arguments.strict))
}

/// The mistakes of a configuration that cannot be used, one object each; nothing else can be checked.
fn unreadable(mistakes: &ConfigErrors) -> u8 {
    let mut report = Report::new(Form::Json);
    let found = |mistake: &Mistake| Found::error("configuration", mistake.to_string());
    report.take(Group::Configuration, mistakes.mistakes().iter().map(found).collect());
    report.end(true);
    EXIT_CONFIGURATION
}

#[cfg(test)]
mod tests {
    use super::super::queue::Site;
    use super::*;

    fn errors(found: &[Found]) -> Vec<&str> {
        found.iter().filter(|found| found.level == Level::Error).map(|found| found.text.as_str()).collect()
    }

    #[test]
    fn a_sound_configuration_has_no_errors_and_an_absent_broker_is_one() {
        let site = Site::new();
        let config = &site.config;
        for look in [local::credentials, local::trust, local::recipients, local::lists, local::queues] {
            let found = look(config);
            assert!(!found.is_empty() && errors(&found).is_empty(), "{found:?}");
        }
        let shared = Shared::start(config).unwrap();
        let found = local::plugins(config, &shared);
        assert_eq!(found.len(), 2);
        assert!(found[0].text.starts_with("plugin builtin:passthrough ("), "{found:?}");
        let found = runtime().unwrap().block_on(brokers::check(config, &shared));
        assert!(
            matches!(&errors(&found)[..], [one] if one.starts_with("cannot connect to 127.0.0.1:1: ")),
            "{found:?}"
        );
    }

    #[test]
    fn each_mistake_is_told_with_its_file() {
        let site = Site::new();
        let (folder, mut config) = (&site.folder, site.config.clone());
        std::fs::write(&config.receivers["central"].authorised, "nonsense\n").unwrap();
        let found = local::lists(&config);
        assert!(errors(&found)[0].contains("dns"), "{found:?}");
        std::fs::write(folder.path().join("own.key"), "no key").unwrap();
        assert!(errors(&local::credentials(&config))[0].contains("own.key"));
        for sender in config.senders.values_mut() {
            sender.queue = folder.path().join("nowhere");
        }
        assert!(errors(&local::queues(&config))[0].contains("nowhere"));
    }

    #[test]
    fn shows_who_holds_a_spool() {
        let site = Site::new();
        let config = &site.config;
        let lock = config.receivers["central"].spool.join(crate::channel::LOCK);
        let held = spool::SpoolLock::acquire(&lock).unwrap();
        let holder = format!("(process {})", std::process::id());
        assert!(local::queues(config).iter().any(|found| found.text.contains(&holder)));
        drop(held);
        assert!(local::queues(config).iter().any(|found| found.text.contains("is free")));
    }

    #[test]
    fn says_what_is_passed_over_in_queue_and_folder_and_what_the_cache_lacks() {
        let site = Site::new();
        let mut config = site.config.clone();
        config.plugins.folder = site.folder.path().join("plugins.d");
        config.plugins.cache = site.folder.path().join("cache");
        std::fs::create_dir_all(&config.plugins.folder).unwrap();
        std::fs::create_dir_all(&config.plugins.cache).unwrap();
        std::fs::set_permissions(&config.plugins.cache, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["10-a.WASM", "20-b.Toml", "30-c.wasm.p7s", "notes.txt", ".hidden.WASM"] {
            std::fs::write(config.plugins.folder.join(name), "x").unwrap();
        }
        let texts: Vec<String> = local::plugin_folders(&config).into_iter().map(|found| found.text).collect();
        for expected in
            ["10-a.WASM is ignored", "rename it to 20-b.toml", "30-c.wasm.p7s is the signature of a file", "chmod 700"]
        {
            assert_eq!(texts.iter().filter(|text| text.contains(expected)).count(), 1, "{expected}: {texts:?}");
        }
        assert_eq!(texts.len(), 4, "{texts:?}");
        let queue = &config.senders.values().next().unwrap().queue;
        std::fs::write(queue.join("loose"), "x").unwrap();
        let found = local::queues(&config);
        assert!(
            found.iter().any(|found| found.level == Level::Warning && found.text.contains("loose is ")),
            "{found:?}"
        );
    }
}
