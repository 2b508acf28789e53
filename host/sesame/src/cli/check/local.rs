//! What can be checked on this machine: certificates, lists, plugins, queues.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::fs::{Access, AtFlags, CWD};

use super::super::context::say_compiling;
use super::super::output;
use super::super::plugin::list::{Listed, listed_by_daemon};
use super::{Found, ams};
use crate::channel::{Channel, JOURNAL, LOCK, SetupError, trust_settings};
use crate::config::{self, Config};
use crate::sender::seal_policy;
use crate::service::{Shared, certificate_changes, directory as directory_of, pipeline};
use message::cause::chain;
use smime::{Seal, SealError};
use spool::journal::Journal;
use spool::{Outgoing, SpoolError, SpoolLock};
use trust::tls::client_faults;
use trust::{
    Credential, CredentialSource, Library, OwnFault, PathError, RecipientCertificate, Role, SignerListsSource, Trust,
    TrustStore, Unlisted,
};

/// What each channel, and each broker for it, presents itself with, and what it believes in; the same pair once.
fn identities(config: &Config) -> Vec<(&config::Credential, &config::Trust)> {
    let senders = config.senders.values().map(|sender| (&sender.broker, &sender.credential, &sender.trust));
    let receivers = config.receivers.values().map(|receiver| (&receiver.broker, &receiver.credential, &receiver.trust));
    let mut list = Vec::new();
    for (broker, credential, trust) in senders.chain(receivers) {
        for identity in [(credential, trust), (config.credential_at(broker, credential), trust)] {
            if !list.contains(&identity) {
                list.push(identity);
            }
        }
    }
    list
}

/// What a channel does with its certificate.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    /// Signs messages with it.
    signs: bool,
    /// Signs acknowledgements with it.
    acknowledges: bool,
    /// Decrypts with it.
    decrypts: bool,
    /// Comes with it to a broker over TLS.
    connects: bool,
    /// Asks AMS for a token with it.
    asks_ams: bool,
}

/// What all channels with this pair of settings do with the certificate.
fn uses(config: &Config, identity: (&config::Credential, &config::Trust)) -> Uses {
    let mut uses = Uses::default();
    let mut connects = |name: &String, channel, trust| {
        let Some(broker) = config.brokers.get(name).filter(|broker| broker.sees_certificate()) else { return };
        if (config.credential_at(name, channel), trust) == identity {
            uses.connects = true;
            uses.asks_ams |= matches!(broker, transport::Broker::Ams(_));
        }
    };
    for sender in config.senders.values() {
        connects(&sender.broker, &sender.credential, &sender.trust);
    }
    for receiver in config.receivers.values() {
        connects(&receiver.broker, &receiver.credential, &receiver.trust);
    }
    uses.signs = config.senders.values().any(|sender| (&sender.credential, &sender.trust) == identity);
    let mut receivers = config.receivers.values().filter(|it| (&it.credential, &it.trust) == identity).peekable();
    uses.decrypts = receivers.peek().is_some();
    uses.acknowledges = receivers.any(|receiver| !receiver.acknowledgements.is_empty());
    uses
}

/// Own certificates and keys, each once: readable, matching, valid, good for what they are used for, and trusted by our own
/// anchors.
pub(super) fn credentials(config: &Config) -> Vec<Found> {
    let identities = identities(config).into_iter();
    identities
        .flat_map(|(credential, trust)| check_credential(credential, trust, uses(config, (credential, trust))))
        .collect()
}

/// Which OpenSSL this is, and whether it is still maintained.
pub(super) fn library() -> Vec<Found> {
    let library = Library::loaded();
    match library.warning(Timestamp::now()) {
        None => vec![Found::ok("library", library.to_string())],
        Some(warning) => vec![Found::warning("library", format!("{library}. {warning}"))],
    }
}

fn check_credential(section: &config::Credential, trust: &config::Trust, uses: Uses) -> Vec<Found> {
    let now = SystemTime::now();
    let credential = match Credential::load(&section.certificate, &section.key) {
        Ok(credential) => credential,
        Err(error) => return vec![Found::error("credential", chain(&error))],
    };
    let facts = credential.facts();
    let until = output::seconds(facts.not_after);
    let (file, subject) = (section.certificate.display(), facts.subject.line());
    let mut found = vec![Found::ok("credential", format!("{file} is {subject}, valid until {until}; the key matches"))];
    if credential.expires_in(now).is_none() {
        let text = format!("{file} has expired ({until}): renew it; Sesame loads the new files without a restart");
        return vec![Found::error("credential", text)];
    }
    found.extend(credential.warning(now).map(|warning| Found::warning("credential", warning)));
    if let Ok(store) = TrustStore::load(&trust_settings(trust)) {
        found.extend(own_faults(&credential, &store, uses));
    }
    if uses.connects
        && let Some(faults) = client_faults(&credential, now)
    {
        found.push(Found::warning("credential", format!("a broker may refuse the TLS connection: {faults}")));
    }
    found
}

/// What AMS sees of the certificates with which it is asked for a token. Those that cannot be read were reported before.
pub(super) fn seen_by_ams(config: &Config) -> Vec<Found> {
    let mut seen: Vec<&config::Credential> = Vec::new();
    let mut found = Vec::new();
    for (section, trust) in identities(config) {
        if !uses(config, (section, trust)).asks_ams || seen.contains(&section) {
            continue;
        }
        seen.push(section);
        let credential = Credential::load(&section.certificate, &section.key).ok();
        let valid = credential.filter(|credential| credential.expires_in(SystemTime::now()).is_some());
        found.extend(valid.iter().flat_map(ams::certificate));
    }
    found
}

/// What our own anchors, CRLs and policies say of our certificate: an error where others will say so too. A fault that
/// every use has is said once.
fn own_faults(credential: &Credential, store: &TrustStore, uses: Uses) -> Vec<Found> {
    let file = credential.files().0.display();
    let mut found = Vec::new();
    let mut known: Option<PathError> = None;
    for (used, role, consequence) in [
        (
            uses.signs,
            Role::MessageSigner,
            "receivers would reject what it signs, so no message is sent until this is fixed",
        ),
        (
            uses.acknowledges,
            Role::MessageSigner,
            "senders would not believe the acknowledgements that it signs, and send their messages again",
        ),
        (uses.decrypts, Role::Recipient, "senders may not encrypt for it; signed messages are received all the same"),
    ] {
        if !used {
            continue;
        }
        let checked = store.check_own(credential.certificate(), credential.chain(), role, SystemTime::now());
        let Err(OwnFault { error, elsewhere }) = checked else { continue };
        if known.as_ref() == Some(&error) {
            continue;
        }
        let why = chain(&error);
        found.push(match (elsewhere, role) {
            (true, Role::MessageSigner) => Found::error("credential", format!("{file}: {why}; {consequence}")),
            (true, _) => Found::warning("credential", format!("{file}: {why}; {consequence}")),
            (false, _) => Found::warning(
                "credential",
                format!(
                    "{file} would not be accepted by our own trust anchors, so perhaps not by the receiver's: {why}"
                ),
            ),
        });
        known = Some(error);
    }
    found
}

/// Whether each sender can seal at all: kinds of keys, and what the peer can read. What is wrong with a certificate itself
/// stands with the credential or the recipient.
pub(super) fn sealing(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, sender) in &config.senders {
        let (Ok(credential), Ok(trust)) = (
            CredentialSource::load(&sender.credential.certificate, &sender.credential.key).map(Arc::new),
            Trust::load(&trust_settings(&sender.trust)).map(Arc::new),
        ) else {
            continue;
        };
        let recipient = sender.recipient_certificate.as_ref();
        let recipient = recipient.map(|file| RecipientCertificate::load(file, &trust, None)).transpose();
        let Ok(recipient) = recipient else { continue };
        match Seal::new(seal_policy(sender), credential.current(), &trust, recipient.map(Arc::new)) {
            Err(SealError::OwnCertificate { .. } | SealError::Recipient(_)) | Ok(_) => {}
            Err(error) => {
                let text = format!("no message can ever be sent: {}", chain(&error));
                found.push(Found::error(Channel::sender(name).section(), text));
            }
        }
    }
    found
}

/// Trust anchors and CRLs, each setting once.
pub(super) fn trust(config: &Config) -> Vec<Found> {
    let mut seen: Vec<&config::Trust> = Vec::new();
    let mut found = Vec::new();
    for (_, trust) in identities(config) {
        if seen.contains(&trust) {
            continue;
        }
        seen.push(trust);
        let paths: Vec<String> = trust.anchors.iter().map(|path| path.display().to_string()).collect();
        match TrustStore::load(&trust_settings(trust)) {
            Ok(store) => {
                let anchors = output::count(store.anchor_count(), "anchor");
                let crls = output::count(store.crls().len(), "CRL");
                let policies = format!("signing policies for {}", store.policy_count());
                found.push(Found::ok("trust", format!("{}: {anchors}, {crls}, {policies}", paths.join(", "))));
                let warnings = store.warnings(SystemTime::now());
                found.extend(warnings.into_iter().map(|warning| Found::warning("trust", warning)));
            }
            Err(error) => found.push(Found::error("trust", chain(&error))),
        }
    }
    found
}

/// The certificates that senders encrypt for.
pub(super) fn recipients(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, sender) in &config.senders {
        let subject = Channel::sender(name).section();
        let Some(file) = &sender.recipient_certificate else {
            found.push(Found::ok(subject, "messages are signed and not encrypted: recipient-certificate is not set"));
            continue;
        };
        // Missing anchors were reported before.
        let Ok(trust) = Trust::load(&trust_settings(&sender.trust)) else { continue };
        let own = Credential::load(&sender.credential.certificate, &sender.credential.key).ok();
        match RecipientCertificate::load(file, &trust, own.as_ref()) {
            Ok(recipient) => {
                let facts = recipient.facts();
                let until = output::seconds(facts.not_after);
                let text = format!("encrypts for {}, valid until {until} ({})", facts.subject.line(), file.display());
                found.push(Found::ok(subject.clone(), text));
                found.extend(recipient.warning(SystemTime::now()).map(|text| Found::warning(subject, text)));
            }
            Err(error) => found.push(Found::error(subject, chain(&error))),
        }
    }
    found
}

/// The DN lists of receivers.
pub(super) fn lists(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, receiver) in &config.receivers {
        let subject = Channel::receiver(name).section();
        match SignerListsSource::load(&receiver.authorised, receiver.banned.as_deref(), Unlisted::Reject) {
            Ok(source) => {
                let lists = source.current();
                let (file, banned) = (receiver.authorised.display(), lists.banned.len());
                let authorised = output::count(lists.authorised.signers(), "signer");
                found.push(Found::ok(subject.clone(), format!("{authorised} authorised in {file}, {banned} banned")));
                let examples = examples(&receiver.authorised);
                let warnings = lists.authorised.warnings().into_iter().chain(lists.banned.warnings()).chain(examples);
                found.extend(warnings.map(|warning| Found::warning(subject.clone(), warning)));
            }
            Err(error) => found.push(Found::error(subject, chain(&error))),
        }
    }
    found
}

/// The signers that the packages install as examples.
const EXAMPLES: &str = include_str!("../../../../../conf/dns");

/// Whether the examples of the packages are still in a list.
fn examples(list: &Path) -> Option<String> {
    let text = std::fs::read_to_string(list).ok()?;
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let known: Vec<&str> = EXAMPLES.lines().filter(is_entry).collect();
    let left = text.lines().filter(|line| known.contains(&line.trim())).count();
    let them = if left == 1 { "an example" } else { "examples" };
    (left > 0).then(|| format!("{} has {them} of the package: replace them by the signers you expect", list.display()))
}

/// The plugin folder and the cache beside it.
pub(super) fn plugin_folders(config: &Config) -> Vec<Found> {
    let mut found: Vec<Found> =
        plugins::passed_over(&config.plugins.folder).into_iter().map(|text| Found::warning("plugins", text)).collect();
    let process = rustix::process::geteuid().as_raw();
    found.extend(cache(config, plugins::check_cache(&config.plugins.cache), process));
    found
}

/// What is wrong with the cache. Root looks at that of the service, which it does not use itself.
fn cache(config: &Config, checked: Result<(), plugins::CacheError>, process: u32) -> Option<Found> {
    let error = checked.err()?;
    if let plugins::CacheError::Foreign { path, owner } = &error
        && process == 0
        && directories(config).any(|directory| directory.metadata().is_ok_and(|facts| facts.uid() == *owner))
    {
        let text = format!("plugin cache {} belongs to user {owner}, as the channels' directories do", path.display());
        return Some(Found::ok("plugins", text));
    }
    let text = format!("{}; until then plugins are compiled at each start", chain(&error));
    Some(Found::warning("plugins", text))
}

/// The state directories and spools.
fn directories(config: &Config) -> impl Iterator<Item = &Path> {
    let states = config.senders.values().map(|sender| sender.state.as_path());
    states.chain(config.receivers.values().map(|receiver| receiver.spool.as_path()))
}

/// Certificates with other names than those with which the channels last ran.
pub(super) fn replaced(config: &Config, shared: &Shared) -> Vec<Found> {
    let channels: Vec<Channel> = Channel::all(config).collect();
    let changes = certificate_changes(config, &channels, &shared.registry).into_iter();
    changes.map(|change| Found::warning("credential", change)).collect()
}

/// The stages of every channel.
pub(super) fn plugins(config: &Config, shared: &Shared) -> Vec<Found> {
    let mut found = Vec::new();
    for channel in Channel::all(config) {
        let subject = channel.section();
        say_compiling(shared, config, &channel);
        match pipeline(shared, config, &channel) {
            Ok(made) => {
                found.extend(made.pipeline.stages().map(|info| stage(config, &channel, &info)));
                found.extend(shadows(&subject, &made.pipeline));
            }
            Err(SetupError::Plugins(errors)) => found.extend(errors.iter().map(|error| {
                let meaning = meaning(config, &channel, &error.plugin);
                Found::error(subject.clone(), format!("{}; {meaning}", chain(error)))
            })),
            Err(error) => found.push(Found::error(subject, chain(&error))),
        }
    }
    found
}

/// A stage of a channel. The last good component may serve while its file is broken.
fn stage(config: &Config, channel: &Channel, info: &plugins::StageInfo<'_>) -> Found {
    let (subject, name) = (channel.section(), info.name);
    let reason = info.reason.unwrap_or_default();
    match &info.ready {
        Some(ready) if info.reason.is_none() => {
            let (roles, about) = (ready.roles, ready.description);
            Found::ok(subject, format!("plugin {name} ({} {}; {roles})", about.name, about.version))
        }
        Some(ready) => {
            let (version, short) = (&ready.description.version, ready.sha256.get(..12).unwrap_or_default());
            let serves = "the last good one stays in service";
            let text =
                format!("plugin {name} {reason}; {serves} (version {version}, SHA-256 {short}), also over a restart");
            Found::error(subject, text)
        }
        None => {
            let meaning = meaning(config, channel, name);
            Found::error(subject, format!("plugin {name} {reason}; {meaning}"))
        }
    }
}

/// The plugins in shadow of a channel, for which no message waits.
fn shadows(subject: &str, pipeline: &plugins::Pipeline) -> Vec<Found> {
    let shadow = |info: plugins::ShadowInfo<'_>| {
        let beside = info.compare_to.unwrap_or("the pipeline");
        match info.stage.reason {
            None => Found::ok(subject, format!("plugin {} in shadow of {beside}", info.stage.name)),
            Some(reason) => {
                let text = format!("plugin {} {reason}; it is in shadow, so no message waits for it", info.stage.name);
                Found::warning(subject, text)
            }
        }
    };
    pipeline.shadows().map(shadow).collect()
}

/// What a plugin that cannot be loaded means for messages: a Sesame that runs may serve on with an earlier file.
fn meaning(config: &Config, channel: &Channel, plugin: &str) -> String {
    let waits = || "until it is fixed, the messages it applies to wait".to_owned();
    let reported =
        directory_of(config, channel).and_then(|directory| listed_by_daemon(directory, channel.name()).ok()?);
    let Some(Listed { report, source: Some((process, _)) }) = reported else {
        return waits();
    };
    let stage = report.stages.into_iter().find(|stage| stage.name == plugin && stage.serves);
    stage.map_or_else(waits, |stage| {
        let (version, sha256) = (stage.version.unwrap_or_default(), stage.sha256.unwrap_or_default());
        let short = sha256.get(..12).unwrap_or(&sha256);
        format!(
            "the last good one stays in service (version {version}, SHA-256 {short}, process {process}), but would be lost on a \
             restart"
        )
    })
}

/// Queues and spools: there, writable, on a file system that keeps its word, and who holds them.
pub(super) fn queues(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, sender) in &config.senders {
        let subject = Channel::sender(name).section();
        found.extend(outgoing(&subject, sender));
        found.extend(directory(&subject, "reject queue", &sender.reject));
        found.extend(spool(&subject, "state", &sender.state, sender.storage.min_free));
    }
    let mut seen: Vec<&PathBuf> = Vec::new();
    for (name, receiver) in &config.receivers {
        if !seen.contains(&&receiver.spool) {
            seen.push(&receiver.spool);
            let subject = Channel::receiver(name).section();
            found.extend(spool(&subject, "spool", &receiver.spool, receiver.storage.min_free));
        }
    }
    found
}

fn outgoing(subject: &str, sender: &config::Sender) -> Vec<Found> {
    let path = sender.queue.display();
    let looked = Outgoing::open(&sender.queue, sender.format).and_then(|queue| queue.waiting());
    let mut found = match looked {
        Ok(waiting) => {
            let count = output::count(waiting.count, "message");
            let mut found = vec![Found::ok(subject, format!("queue {path}: {count} waiting"))];
            found.extend(
                waiting.foreign.iter().map(|foreign| Found::warning(subject, format!("queue {path}: {foreign}"))),
            );
            found
        }
        Err(error) => return vec![Found::error(subject, chain(&error))],
    };
    found.extend(unwritable(&sender.queue).map(|error| Found::error(subject, format!("queue {path} {error}"))));
    found.extend(of_others(&sender.queue).map(|error| Found::error(subject, format!("queue {path}: {error}"))));
    // The state directory is looked at too, and mostly lies beside the queue.
    let device = |path: &Path| path.metadata().map(|facts| facts.dev()).ok();
    if device(&sender.queue) != device(&sender.state) {
        found.extend(file_system(subject, &sender.queue));
    }
    if sender.state.is_dir() && device(&sender.queue) != device(&sender.state) {
        let text = format!(
            "state {} is on another file system than queue {path}: if it is missing one day, messages that were being sent \
             are prepared again and may arrive twice; name a state beside the queue",
            sender.state.display()
        );
        found.push(Found::warning(subject, text));
    }
    found
}

/// Directories in a queue that its owner cannot take elements out of, as a command of another user makes them. Root can read
/// them, and would not notice.
fn of_others(queue: &Path) -> Option<String> {
    let owner = queue.metadata().ok()?.uid();
    let is_closed = |entry: &fs::DirEntry| {
        let facts = entry.metadata().ok().filter(fs::Metadata::is_dir);
        facts.is_some_and(|facts| facts.uid() != owner && owner != 0 && facts.mode() & 0o022 == 0)
    };
    let closed: Vec<_> = fs::read_dir(queue).ok()?.filter_map(Result::ok).filter(is_closed).collect();
    let first = closed.first()?.file_name();
    let more = if closed.len() == 1 { String::new() } else { format!(" and {} more", closed.len() - 1) };
    Some(format!(
        "the directory {}{more} belongs to another user, and its owner cannot take messages out of it; give it to the owner, \
         for instance with `chown -R --reference=. *` in the queue",
        first.display()
    ))
}

/// A directory that is made at start if it is missing.
fn directory(subject: &str, what: &str, path: &Path) -> Vec<Found> {
    let shown = path.display();
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    match unwritable(there) {
        Some(error) if there == path => vec![Found::error(subject, format!("{what} {shown} {error}"))],
        Some(error) => {
            let text = format!("{what} {shown} cannot be created: {} {error}", there.display());
            vec![Found::error(subject, text)]
        }
        None if there == path => vec![Found::ok(subject, format!("{what} {shown} exists"))],
        None => vec![Found::ok(subject, format!("{what} {shown} will be created at start"))],
    }
}

/// Why this user cannot write to a directory, and how to fix it.
fn unwritable(path: &Path) -> Option<String> {
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let error = rustix::fs::accessat(CWD, path, wanted, AtFlags::EACCESS).err()?;
    let user = rustix::process::geteuid().as_raw();
    let why = io::Error::from(error);
    Some(format!(
        "is not writable for user {user} ({why}): run this as the user of Sesame (sudo -u sesame), to whom it belongs, with mode 0750"
    ))
}

/// A directory with lock and journal.
fn spool(subject: &str, what: &str, path: &Path, min_free: u64) -> Vec<Found> {
    let mut found = directory(subject, what, path);
    if !path.is_dir() {
        return found;
    }
    found.extend(file_system(subject, path));
    match spool::free_bytes(path) {
        Ok(free) if free < min_free => found.push(Found::error(
            subject,
            format!(
                "{} has {} free, less than min-free, {}: nothing is received until more space is free",
                path.display(),
                screen::bytes(free),
                screen::bytes(min_free),
            ),
        )),
        Ok(_) => {}
        Err(error) => {
            found.push(Found::warning(subject, format!("cannot find the free space of {}: {error}", path.display())))
        }
    }
    found.extend(lock(subject, path));
    found.extend(journal(subject, path));
    found
}

fn file_system(subject: &str, path: &Path) -> Vec<Found> {
    let warnings = spool::inspect(path).unwrap_or_default();
    warnings.into_iter().map(|warning| Found::warning(subject, warning.to_string())).collect()
}

/// Who holds a spool.
fn lock(subject: &str, spool: &Path) -> Option<Found> {
    let path = spool.join(LOCK);
    if !path.exists() {
        return None;
    }
    match SpoolLock::acquire(&path) {
        Ok(_) => Some(Found::ok(subject, format!("{} is free: no Sesame runs on it", spool.display()))),
        Err(error @ SpoolError::AlreadyHeld { .. }) => Some(Found::ok(subject, error.to_string())),
        Err(error) => Some(Found::error(subject, chain(&error))),
    }
}

fn journal(subject: &str, spool: &Path) -> Option<Found> {
    let path = spool.join(JOURNAL);
    if !path.exists() {
        return None;
    }
    match Journal::open_to_read(&path).and_then(|journal| journal.check()) {
        Ok(()) => Some(Found::ok(subject, format!("journal {} is sound", path.display()))),
        Err(error) => Some(Found::error(subject, chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_package_are_no_signers() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("dns");
        std::fs::write(&list, EXAMPLES).unwrap();
        assert!(examples(&list).unwrap().contains("has examples of the package"));
        std::fs::write(&list, "# ours\n/C=UK/O=eScience/CN=ce.example.org\n").unwrap();
        assert_eq!(examples(&list), None);
    }

    #[test]
    fn a_queue_that_this_user_cannot_write_to_is_named_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(unwritable(folder.path()), None);
        // Root may write to every directory.
        let closed = folder.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(unwritable(&closed).is_some(), std::fs::write(closed.join("x"), "").is_err());
        let file = folder.path().join("file");
        std::fs::write(&file, "no directory").unwrap();
        for path in [file, folder.path().join("missing")] {
            let said = unwritable(&path).unwrap();
            assert!(said.starts_with("is not writable for user ") && said.ends_with("with mode 0750"), "{said}");
        }
    }

    #[test]
    fn the_cache_of_the_service_s_user_is_no_mistake_for_root() {
        let site = super::super::super::queue::Site::new();
        let config = &site.config;
        let spool = &config.receivers["central"].spool;
        std::fs::create_dir_all(spool).unwrap();
        let owner = spool.metadata().unwrap().uid();
        let foreign = |owner| Err(plugins::CacheError::Foreign { path: "/var/cache/sesame".into(), owner });
        let level = |owner, process| cache(config, foreign(owner), process).unwrap().level;
        use super::super::Level;
        assert_eq!(level(owner, 0), Level::Ok);
        assert_eq!((level(owner + 1, 0), level(owner, owner + 1)), (Level::Warning, Level::Warning));
        assert!(cache(config, Ok(()), 0).is_none());
    }
}
