//! What channels of one process share: identities (trust, credential) and spools with their lock, journal and commit
//! engine.
//!
//! Start with [`Registry`]: each file and each spool is opened once, however many channels name it. Everything that may
//! change on disk while the program runs is re-read by [`Registry::refresh`].

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use message::daily::Condition;
use message::locked;
use observe::Events;

use super::{Channel, Gate, Meters, SetupError};
use crate::config;
use index::PostgresIndex;
use spool::journal::Journal;
use spool::{CommitEngine, CommitSettings, CrashLimit, SharedIndex, SpoolLock, Turns};
use stomp::MemoryBudget;
use transport::{Identity, LinkCounters, LinkCounts};
use trust::{
    CredentialSource, CrlSummary, RecipientSource, Refreshed, Signer, SignerListsSource, Trust, TrustSettings,
};

/// Name of the journal in a spool or state directory.
pub const JOURNAL: &str = "journal.sqlite";
/// Name of the lock file in a spool or state directory.
pub const LOCK: &str = "lock";
/// Name of the file in a spool or state directory that lists the messages in flight.
const IN_FLIGHT: &str = "in-work";

/// A spool or state directory, locked until dropped, with its journal and the engine that writes to its queues.
#[derive(Debug)]
pub struct OpenSpool {
    /// The record of what was stored or sent.
    pub journal: Arc<Journal>,
    /// What writes elements.
    pub engine: CommitEngine,
    /// Messages that were being processed when the process crashed.
    pub crashes: CrashLimit,
    lock: Arc<SpoolLock>,
}

impl OpenSpool {
    /// The lock on the directory.
    #[must_use]
    pub fn lock(&self) -> Arc<SpoolLock> {
        Arc::clone(&self.lock)
    }
}

/// Everything that was opened, once for the process.
#[derive(Debug)]
pub struct Registry {
    memory: MemoryBudget,
    turns: Turns,
    trusts: Mutex<Vec<(config::Trust, Arc<Trust>)>>,
    credentials: Mutex<Vec<(config::Credential, Arc<CredentialSource>)>>,
    lists: Mutex<Vec<Arc<SignerListsSource>>>,
    recipients: Mutex<Vec<Arc<RecipientSource>>>,
    spools: Mutex<HashMap<PathBuf, Arc<OpenSpool>>>,
    meters: Mutex<HashMap<Channel, Arc<Meters>>>,
    gates: Mutex<HashMap<Channel, Arc<Gate>>>,
    events: Arc<Events>,
    links: Mutex<BTreeMap<String, Arc<LinkCounters>>>,
    unusable: Mutex<BTreeMap<WatchedFile, String>>,
}

/// What is read again when it changes: what it is for, as in the metrics, and its file.
type WatchedFile = (&'static str, String);

/// Our own certificates.
const OWN: &str = "own";
/// Certificates of recipients.
const RECIPIENT: &str = "recipient";
/// Trust anchors.
const ANCHORS: &str = "anchors";
/// Lists of authorised signers.
const SIGNERS: &str = "signers";

/// The settings of the trust module for a `[trust]` section.
#[must_use]
pub fn trust_settings(section: &config::Trust) -> TrustSettings {
    TrustSettings {
        anchors: section.anchors.clone(),
        crls: section.crls,
        signing_policy: section.signing_policy,
        allow_sha1_digest: section.allow_sha1_digest,
    }
}

impl Registry {
    /// A registry for a process with these limits.
    #[must_use]
    pub fn new(limits: &config::Limits) -> Self {
        Self {
            memory: MemoryBudget::new(usize::try_from(limits.memory).unwrap_or(usize::MAX)),
            turns: Turns::default(),
            trusts: Mutex::default(),
            credentials: Mutex::default(),
            lists: Mutex::default(),
            recipients: Mutex::default(),
            spools: Mutex::default(),
            meters: Mutex::default(),
            gates: Mutex::default(),
            events: Arc::default(),
            links: Mutex::default(),
            unusable: Mutex::default(),
        }
    }

    /// Memory for message bodies.
    #[must_use]
    pub fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// Loads trust and credential of a channel.
    ///
    /// # Errors
    /// [`SetupError`] naming the file.
    pub fn identity(&self, credential: &config::Credential, trust: &config::Trust) -> Result<Identity, SetupError> {
        let credential = self.credential(credential)?;
        Ok(Identity { trust: self.trust(trust)?, credential })
    }

    fn credential(&self, section: &config::Credential) -> Result<Arc<CredentialSource>, SetupError> {
        let mut credentials = locked(&self.credentials);
        if let Some((_, source)) = credentials.iter().find(|(known, _)| known == section) {
            return Ok(Arc::clone(source));
        }
        let source = Arc::new(CredentialSource::load(&section.certificate, &section.key)?);
        credentials.push((section.clone(), Arc::clone(&source)));
        Ok(source)
    }

    fn trust(&self, section: &config::Trust) -> Result<Arc<Trust>, SetupError> {
        let mut trusts = locked(&self.trusts);
        if let Some((_, trust)) = trusts.iter().find(|(known, _)| known == section) {
            return Ok(Arc::clone(trust));
        }
        let trust = Arc::new(Trust::load(&trust_settings(section))?);
        warn_of_anchors(section, &trust);
        trusts.push((section.clone(), Arc::clone(&trust)));
        Ok(trust)
    }

    /// Loads the DN lists of a receiver.
    ///
    /// # Errors
    /// [`SetupError`] naming the file.
    pub fn lists(&self, receiver: &config::Receiver) -> Result<Arc<SignerListsSource>, SetupError> {
        let source = SignerListsSource::load(&receiver.authorised, receiver.banned.as_deref(), receiver.unlisted)?;
        let source = Arc::new(source);
        locked(&self.lists).push(Arc::clone(&source));
        Ok(source)
    }

    /// Loads the certificate a sender encrypts for.
    ///
    /// # Errors
    /// [`SetupError`] naming the file.
    pub fn recipient(&self, file: &Path, identity: &Identity) -> Result<Arc<RecipientSource>, SetupError> {
        let own = Some(Arc::clone(&identity.credential));
        let source = Arc::new(RecipientSource::load(file, Arc::clone(&identity.trust), own)?);
        locked(&self.recipients).push(Arc::clone(&source));
        Ok(source)
    }

    /// Locks a spool or state directory, recovers it and starts its commit engine; the second call for one directory
    /// returns the same. `index` is what its receivers share with others.
    ///
    /// # Errors
    /// [`SetupError`]; [`SetupError::is_held`] where another process has it.
    pub fn spool(
        &self,
        directory: &Path,
        queues: &[PathBuf],
        storage: &config::Storage,
        index: Option<index::Settings>,
    ) -> Result<Arc<OpenSpool>, SetupError> {
        let mut spools = locked(&self.spools);
        if let Some(open) = spools.get(directory) {
            for queue in queues {
                open.engine.add_queue(queue)?;
            }
            return Ok(Arc::clone(open));
        }
        let failed = |source| SetupError::Directory { path: directory.to_owned(), source };
        spool::make_directories(directory, storage.directory_mode).map_err(failed)?;
        let lock = Arc::new(SpoolLock::acquire(&directory.join(LOCK))?);
        for warning in spool::inspect(directory).unwrap_or_default() {
            if Condition::warning("file system", &directory.display().to_string()).is_due(&warning.to_string()) {
                tracing::warn!(spool = %directory.display(), "{}; see `sesame check`", warning.brief());
            }
        }
        let journal = Arc::new(Journal::open(&directory.join(JOURNAL))?);
        let settings = CommitSettings { modes: storage.modes(), ..CommitSettings::new(directory, queues.to_vec()) };
        let index = index.map(|index| shared_index(index, &journal)).transpose()?;
        let engine = CommitEngine::start_sharing(Arc::clone(&lock), Arc::clone(&journal), settings, index)?;
        let crashes = CrashLimit::open(&directory.join(IN_FLIGHT), Arc::clone(&journal), Arc::clone(&self.turns))?;
        let open = Arc::new(OpenSpool { journal, engine, crashes, lock });
        spools.insert(directory.to_owned(), Arc::clone(&open));
        Ok(open)
    }

    /// The settings of the shared index, if the configuration has one.
    ///
    /// # Errors
    /// [`SetupError`] naming a file.
    pub fn index(&self, config: &config::Config) -> Result<Option<index::Settings>, SetupError> {
        let Some(section) = &config.index else { return Ok(None) };
        let tls = match section.tls {
            true => {
                let identity = self.identity(&config.credential, &config.trust)?;
                let tls = trust::tls::client_config(identity.trust, Some(identity.credential), false);
                Some(tls.map_err(|error| SetupError::Index(io::Error::other(error)))?)
            }
            false => None,
        };
        let (server, password) = (section.server.clone(), section.password.clone());
        Ok(Some(index::Settings { server, password, tls, name: section.name.clone() }))
    }

    /// What is counted of a channel, also over reloads.
    #[must_use]
    pub fn meters(&self, channel: &Channel) -> Arc<Meters> {
        let new = || Arc::new(Meters::new(Arc::clone(&self.events)));
        Arc::clone(locked(&self.meters).entry(channel.clone()).or_insert_with(new))
    }

    /// What became of the messages of all channels.
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Whether an operator paused a channel, also over reloads.
    #[must_use]
    pub fn gate(&self, channel: &Channel) -> Arc<Gate> {
        Arc::clone(locked(&self.gates).entry(channel.clone()).or_default())
    }

    /// What counts the sessions with a broker, by all links to it and also over reloads.
    #[must_use]
    pub fn counters(&self, broker: &str) -> Arc<LinkCounters> {
        Arc::clone(locked(&self.links).entry(broker.to_owned()).or_default())
    }

    /// The sessions with each broker so far, those for acknowledgements too.
    #[must_use]
    pub fn links(&self) -> Vec<(String, LinkCounts)> {
        locked(&self.links).iter().map(|(broker, counters)| (broker.clone(), counters.now())).collect()
    }

    /// The spools that are open.
    #[must_use]
    pub fn open_spools(&self) -> Vec<Arc<OpenSpool>> {
        locked(&self.spools).values().cloned().collect()
    }

    /// The program was asked to stop: messages still in flight do not count as a crash.
    pub fn end_work(&self) {
        self.open_spools().iter().for_each(|spool| spool.crashes.stop());
    }

    /// Re-reads what changed on disk: anchors, CRLs, lists, own and recipient certificates. What cannot be read keeps
    /// its last good state, with an error in the log. Returns whether a certificate was replaced.
    pub fn refresh(&self) -> bool {
        self.forget_unused();
        let mut replaced = false;
        let mut unusable = BTreeMap::new();
        let mut note = |file: WatchedFile, reread: Reread| match reread {
            Reread::Unusable(error) => {
                unusable.insert(file, error);
                false
            }
            other => matches!(other, Reread::Replaced),
        };
        for (section, trust) in locked(&self.trusts).iter() {
            note(anchors(section), reread_anchors(section, trust));
        }
        for (section, source) in locked(&self.credentials).iter() {
            let file = section.certificate.display().to_string();
            replaced |= note(own(section), report("credential", source, &file, source.refresh()));
        }
        for source in locked(&self.lists).iter() {
            note(signers(source), reread_lists(source));
        }
        for source in locked(&self.recipients).iter() {
            replaced |= note(recipient(source), report("recipient certificate", source, "", source.refresh()));
        }
        *locked(&self.unusable) = unusable;
        replaced
    }

    /// Every file that is read again when it changes, and why what is there now cannot be used.
    #[must_use]
    pub fn watched_files(&self) -> BTreeMap<WatchedFile, Option<String>> {
        let mut found: BTreeMap<WatchedFile, Option<String>> = BTreeMap::new();
        found.extend(locked(&self.trusts).iter().map(|(section, _)| (anchors(section), None)));
        found.extend(locked(&self.credentials).iter().map(|(section, _)| (own(section), None)));
        found.extend(locked(&self.lists).iter().map(|source| (signers(source), None)));
        found.extend(locked(&self.recipients).iter().map(|source| (recipient(source), None)));
        for (file, error) in locked(&self.unusable).iter() {
            found.entry(file.clone()).and_modify(|fault| *fault = Some(error.clone()));
        }
        found
    }

    /// Drops what no channel uses after a reload.
    fn forget_unused(&self) {
        locked(&self.lists).retain(|source| Arc::strong_count(source) > 1);
        locked(&self.recipients).retain(|source| Arc::strong_count(source) > 1);
        locked(&self.credentials).retain(|(_, source)| Arc::strong_count(source) > 1);
        locked(&self.trusts).retain(|(_, trust)| Arc::strong_count(trust) > 1);
        locked(&self.spools).retain(|_, spool| Arc::strong_count(spool) > 1);
        locked(&self.meters).retain(|_, meters| Arc::strong_count(meters) > 1);
        locked(&self.gates).retain(|_, gate| Arc::strong_count(gate) > 1);
        locked(&self.links).retain(|_, counters| Arc::strong_count(counters) > 1);
    }

    /// Every certificate of our own and of recipients: what it is for, its file, and when it ends.
    #[must_use]
    pub fn certificates(&self) -> Vec<(&'static str, PathBuf, SystemTime)> {
        let ends = |signer: &Signer| SystemTime::UNIX_EPOCH + Duration::from_secs(signer.not_after);
        let mut found = Vec::new();
        for (_, source) in locked(&self.credentials).iter() {
            let own = source.current();
            found.push((OWN, own.files().0.to_owned(), ends(own.facts())));
        }
        for source in locked(&self.recipients).iter() {
            let recipient = source.current();
            found.push((RECIPIENT, recipient.file().to_owned(), ends(recipient.facts())));
        }
        found.sort();
        found.dedup();
        found
    }

    /// Every revocation list that names its next update, and when that is due.
    #[must_use]
    pub fn crls(&self) -> Vec<(PathBuf, SystemTime)> {
        let due = |crl: CrlSummary| Some((crl.file, SystemTime::UNIX_EPOCH + Duration::from_secs(crl.next_update?)));
        let trusts = locked(&self.trusts);
        let mut found: Vec<_> = trusts.iter().flat_map(|(_, trust)| trust.snapshot().crls()).filter_map(due).collect();
        drop(trusts);
        found.sort();
        found.dedup();
        found
    }

    /// Warns of certificates that expire soon, and of anchors and CRLs that are too old.
    pub fn warn_of_expiry(&self) {
        let now = SystemTime::now();
        let due = |what, warning: &String| Condition::warning(what, "").is_due(warning);
        for (_, source) in locked(&self.credentials).iter() {
            if let Some(warning) = source.current().warning(now).filter(|warning| due("own certificate", warning)) {
                tracing::warn!(warning, "own certificate");
            }
        }
        for source in locked(&self.recipients).iter() {
            let warning = source.current().warning(now);
            if let Some(warning) = warning.filter(|warning| due("recipient certificate", warning)) {
                tracing::warn!(warning, "recipient certificate");
            }
        }
        for (section, trust) in locked(&self.trusts).iter() {
            warn_of_anchors(section, trust);
        }
    }
}

fn shared_index(settings: index::Settings, journal: &Journal) -> Result<Box<dyn SharedIndex>, SetupError> {
    let index = PostgresIndex::new(settings, journal.instance()?).map_err(SetupError::Index)?;
    Ok(Box::new(index))
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn warn_of_anchors(section: &config::Trust, trust: &Trust) {
    let condition = Condition::warning("trust anchors", &paths(&section.anchors));
    let warnings = trust.snapshot().warnings(SystemTime::now());
    for warning in warnings.into_iter().filter(|warning| condition.is_due(warning)) {
        tracing::warn!(warning, "trust anchors");
    }
}

fn anchors(section: &config::Trust) -> WatchedFile {
    (ANCHORS, paths(&section.anchors))
}

fn own(section: &config::Credential) -> WatchedFile {
    (OWN, section.certificate.display().to_string())
}

fn signers(source: &SignerListsSource) -> WatchedFile {
    (SIGNERS, source.file().display().to_string())
}

fn recipient(source: &RecipientSource) -> WatchedFile {
    (RECIPIENT, source.current().file().display().to_string())
}

/// What became of files that were read again.
pub(crate) enum Reread {
    Unchanged,
    Replaced,
    /// The last good state stays in use.
    Unusable(String),
}

/// Re-reads anchors and CRLs if they changed.
pub(crate) fn reread_anchors(section: &config::Trust, trust: &Arc<Trust>) -> Reread {
    report("trust anchors", trust, &paths(&section.anchors), trust.refresh())
}

/// Re-reads lists of signers if they changed.
pub(crate) fn reread_lists(source: &Arc<SignerListsSource>) -> Reread {
    report("signer lists", source, "", source.refresh())
}

/// Logs what became of the files of `source`.
fn report<S, E>(what: &str, source: &Arc<S>, file: &str, refreshed: Refreshed<E>) -> Reread
where
    E: std::error::Error + 'static,
{
    let unusable = Condition::error(what, &format!("{:p}", Arc::as_ptr(source)));
    let file = message::text::non_empty(file);
    match refreshed {
        Refreshed::Unchanged => {
            unusable.end();
            Reread::Unchanged
        }
        Refreshed::Replaced(notes) => {
            unusable.end();
            tracing::info!(file, "{what} read again");
            for note in notes {
                tracing::warn!(file, note, "{what}");
            }
            Reread::Replaced
        }
        Refreshed::KeptLastGood(error) => {
            let error = message::cause::chain(&error);
            if unusable.is_due(&error) {
                tracing::error!(file, error, "{what} changed and cannot be used; the last good state stays in use");
            }
            Reread::Unusable(error)
        }
    }
}
