//! What channels of one process share: identities (trust, credential), spools with their lock, journal and commit engine,
//! and the link to a broker.
//!
//! Start with [`Registry`]: each file and each spool is opened once, however many channels name it. Everything that may
//! change on disk while the program runs is re-read by [`Registry::refresh`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Mutex as AsyncMutex;
use zeroize::Zeroizing;

use crate::config;
use message::daily::due;
use spool::journal::{Journal, JournalError};
use spool::{CommitEngine, CommitError, CommitSettings, Deaths, DeathsError, Modes, SpoolError, SpoolLock, Turns};
use stomp::{
    Address, Connector, HeartBeat, Limits, Login, MemoryBudget, OwnCertificate, QueueState, Session, SessionOptions,
    Timing, rabbitmq,
};
use trust::{
    self, CredentialError, CredentialSource, ListError, RecipientError, RecipientSource, Refreshed, SignerListsSource,
    Trust, TrustError, TrustSettings,
};

/// Name of the journal in a spool or state directory.
pub const JOURNAL: &str = "journal.sqlite";
/// Name of the lock file in a spool or state directory.
pub const LOCK: &str = "lock";
/// Name of the file in a spool or state directory that says what is in work.
pub const IN_WORK: &str = "in-work";
/// How long a link rests after the broker refused what was asked of it.
const PENALTY: Duration = Duration::from_secs(5);

/// Why a channel cannot be set up. All of these stop the program before it has done anything.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Our certificate or key.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Anchors and CRLs.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The recipient's certificate.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// A DN list.
    #[error(transparent)]
    List(#[from] ListError),
    /// TLS cannot be set up with what was loaded.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// Name and passcode.
    #[error(transparent)]
    Login(#[from] config::LoginError),
    /// A queue or spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The commit engine.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What was in work when the process died last.
    #[error(transparent)]
    Deaths(#[from] DeathsError),
    /// Plugins of a pipeline.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Plugins(Vec<plugins::PluginError>),
    /// The folder of plugins.
    #[error(transparent)]
    PluginFolder(Arc<plugins::FolderError>),
    /// The configuration names no such broker; it is checked when it is read.
    #[error("there is no broker {0:?}")]
    NoBroker(String),
    /// The configuration has no such channel.
    #[error("there is no channel {0:?}")]
    NoChannel(String),
    /// A directory cannot be made.
    #[error("cannot make directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl SetupError {
    /// Whether another Sesame holds the queue: exit status 75.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Spool(SpoolError::AlreadyHeld { .. }))
    }
}

/// Who we are and whom we believe.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Anchors, CRLs, policies.
    pub trust: Arc<Trust>,
    /// Our certificate and key.
    pub credential: Arc<CredentialSource>,
}

/// A directory that is ours: locked for life, with its journal and the engine that writes to its queues.
#[derive(Debug)]
pub struct OpenSpool {
    /// The record of what was stored or sent.
    pub journal: Arc<Journal>,
    /// What writes elements.
    pub engine: CommitEngine,
    /// The messages on which the process died.
    pub deaths: Deaths,
    lock: Arc<SpoolLock>,
}

impl OpenSpool {
    /// The lock that makes it ours.
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
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        let mut credentials = locked(&self.credentials);
        let known = credentials.iter().find(|(section, _)| section == credential).map(|(_, source)| Arc::clone(source));
        let source = match known {
            Some(source) => source,
            None => {
                let source = Arc::new(CredentialSource::load(&credential.certificate, &credential.key)?);
                credentials.push((credential.clone(), Arc::clone(&source)));
                source
            }
        };
        drop(credentials);
        Ok(Identity { trust: self.trust(trust)?, credential: source })
    }

    fn trust(&self, section: &config::Trust) -> Result<Arc<Trust>, SetupError> {
        let mut trusts = locked(&self.trusts);
        if let Some((_, trust)) = trusts.iter().find(|(known, _)| known == section) {
            return Ok(Arc::clone(trust));
        }
        let trust = Arc::new(Trust::load(&trust_settings(section))?);
        for warning in trust.snapshot().warnings(SystemTime::now()).into_iter().filter(|warning| due(warning)) {
            tracing::warn!(warning, "trust anchors");
        }
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
    /// answers the same.
    ///
    /// # Errors
    /// [`SetupError`]; [`SetupError::is_held`] where another process has it.
    pub fn spool(
        &self,
        directory: &Path,
        queues: &[PathBuf],
        storage: &config::Storage,
    ) -> Result<Arc<OpenSpool>, SetupError> {
        let mut spools = locked(&self.spools);
        if let Some(open) = spools.get(directory) {
            for queue in queues {
                open.engine.add_queue(queue)?;
            }
            return Ok(Arc::clone(open));
        }
        let modes = Modes { directory: storage.directory_mode, file: storage.file_mode };
        make_directory(directory, storage.directory_mode)?;
        let lock = Arc::new(SpoolLock::acquire(&directory.join(LOCK))?);
        for warning in spool::inspect(directory).unwrap_or_default() {
            if due(&warning.to_string()) {
                tracing::warn!(spool = %directory.display(), "{}; `sesame check` says more", warning.brief());
            }
        }
        let journal = Arc::new(Journal::open(&directory.join(JOURNAL))?);
        let settings = CommitSettings { modes, ..CommitSettings::new(directory, queues.to_vec()) };
        let engine = CommitEngine::start(Arc::clone(&lock), Arc::clone(&journal), settings)?;
        let deaths = Deaths::open(&directory.join(IN_WORK), Arc::clone(&journal), Arc::clone(&self.turns))?;
        let open = Arc::new(OpenSpool { journal, engine, deaths, lock });
        spools.insert(directory.to_owned(), Arc::clone(&open));
        Ok(open)
    }

    /// The spools that are open.
    #[must_use]
    pub fn open_spools(&self) -> Vec<Arc<OpenSpool>> {
        locked(&self.spools).values().cloned().collect()
    }

    /// The program ends because it was asked to: no message that is still in work is blamed for that.
    pub fn end_work(&self) {
        self.open_spools().iter().for_each(|spool| spool.deaths.end());
    }

    /// Re-reads what changed on disk: anchors, CRLs, lists, own and recipient certificates. Keeps the last good state of
    /// what cannot be read, and says so.
    pub fn refresh(&self) {
        self.forget_unused();
        for (section, trust) in locked(&self.trusts).iter() {
            report("trust anchors", &paths(&section.anchors), trust.refresh());
        }
        for (section, source) in locked(&self.credentials).iter() {
            report("credential", &section.certificate.display().to_string(), source.refresh());
        }
        for source in locked(&self.lists).iter() {
            report("signer lists", "", source.refresh());
        }
        for source in locked(&self.recipients).iter() {
            report("recipient certificate", "", source.refresh());
        }
    }

    /// Forgets what no channel uses any more after a reload.
    fn forget_unused(&self) {
        locked(&self.lists).retain(|source| Arc::strong_count(source) > 1);
        locked(&self.recipients).retain(|source| Arc::strong_count(source) > 1);
        locked(&self.credentials).retain(|(_, source)| Arc::strong_count(source) > 1);
        locked(&self.trusts).retain(|(_, trust)| Arc::strong_count(trust) > 1);
        locked(&self.spools).retain(|_, spool| Arc::strong_count(spool) > 1);
    }

    /// Warns of certificates that end soon.
    pub fn warn_of_expiry(&self) {
        let now = SystemTime::now();
        for (_, source) in locked(&self.credentials).iter() {
            if let Some(warning) = source.current().warning(now).filter(|warning| due(warning)) {
                tracing::warn!(warning, "own certificate");
            }
        }
        for source in locked(&self.recipients).iter() {
            if let Some(warning) = source.current().warning(now).filter(|warning| due(warning)) {
                tracing::warn!(warning, "recipient certificate");
            }
        }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn report<E: std::error::Error + 'static>(what: &str, file: &str, refreshed: Refreshed<E>) {
    let file = message::text::said(file);
    match refreshed {
        Refreshed::Unchanged => {}
        Refreshed::Replaced(notes) => {
            tracing::info!(file, "{what} read again");
            for note in notes {
                tracing::warn!(file, note, "{what}");
            }
        }
        Refreshed::KeptLastGood(error) => {
            tracing::error!(file, error = %message::cause::chain(&error), "{what} changed and cannot be used; the last good state stays in use");
        }
    }
}

/// Makes a directory, with its parents, unless it is there.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), SetupError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let there = path.is_dir();
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    // The mode is what the configuration says, whatever the umask.
    let exact = std::fs::Permissions::from_mode(mode);
    let made = made.and_then(|()| if there { Ok(()) } else { std::fs::set_permissions(path, exact) });
    made.map_err(|source| SetupError::Directory { path: path.to_owned(), source })
}

/// The way to a broker: where it is, how we present ourselves, and how long to wait between attempts.
#[derive(Debug)]
pub struct Link {
    connector: AsyncMutex<Connector>,
    cumulative: AtomicBool,
    rest_until: Mutex<Option<Instant>>,
}

/// An open session and the broker it is with.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The session.
    pub session: Session,
    /// `host:port` of the broker.
    pub broker: Arc<str>,
}

fn broker_name(connector: &Connector) -> Arc<str> {
    connector.broker().map(ToString::to_string).unwrap_or_default().into()
}

impl Link {
    /// A link to `broker` for `identity`.
    ///
    /// # Errors
    /// [`SetupError`] where TLS or the login cannot be set up.
    pub fn new(broker: &config::Broker, identity: &Identity, memory: &MemoryBudget) -> Result<Self, SetupError> {
        let tls = if broker.tls {
            let credential = Some(Arc::clone(&identity.credential));
            Some(trust::tls::client_config(Arc::clone(&identity.trust), credential, broker.allow_cn)?)
        } else {
            None
        };
        let options = session_options(broker, memory)?;
        let timing = Timing { attempt: broker.connect_timeout, ..Timing::default() };
        let mut connector = Connector::new(broker.hosts.clone(), tls, options).with_timing(timing);
        if broker.tls {
            let own = Arc::clone(&identity.credential);
            let faults = move || trust::tls::client_faults(&own.current(), SystemTime::now());
            connector = connector.with_own_certificate(OwnCertificate::new(faults));
        }
        Ok(Self {
            connector: AsyncMutex::new(connector),
            cumulative: AtomicBool::new(false),
            rest_until: Mutex::new(None),
        })
    }

    /// Connects, however long it takes. Dropped, it stops.
    pub async fn connect(&self) -> Connected {
        let rest = locked(&self.rest_until).take();
        if let Some(until) = rest {
            tokio::time::sleep_until(until.into()).await;
        }
        let mut connector = self.connector.lock().await;
        let session = connector.connect().await;
        Connected { session, broker: broker_name(&connector) }
    }

    /// Tries each broker once.
    ///
    /// # Errors
    /// What went wrong with each.
    pub async fn connect_once(&self) -> Result<Connected, Vec<(Address, stomp::ConnectError)>> {
        let mut connector = self.connector.lock().await;
        let session = connector.connect_once().await?;
        Ok(Connected { session, broker: broker_name(&connector) })
    }

    /// Asks the broker of an open session about the queue of `destination`, on a connection beside it: RabbitMQ ends the one
    /// that it is asked on.
    pub async fn look_at_queue(&self, session: &Connected, destination: &str) -> QueueState {
        let beside = self.connector.lock().await.to(&session.broker);
        let Some(mut beside) = beside else {
            return QueueState::Unclear { why: format!("{} is not in the list of brokers", session.broker) };
        };
        match beside.connect_beside().await {
            Ok(asked) => rabbitmq::look_at_queue(&asked, destination).await,
            Err(failures) => {
                let why: Vec<String> = failures.iter().map(|(_, error)| message::cause::chain(error)).collect();
                QueueState::Unclear { why: why.join("; ") }
            }
        }
    }

    /// The broker took messages in the last session: if that broke all the same, the next one need not wait long.
    pub async fn served(&self) {
        self.connector.lock().await.served();
    }

    /// The broker refused what was asked of it: the next connection waits a moment.
    pub fn penalise(&self) {
        *locked(&self.rest_until) = Some(Instant::now() + PENALTY);
    }

    /// Whether this broker knows only cumulative ACKs.
    #[must_use]
    pub fn cumulative_acks(&self) -> bool {
        self.cumulative.load(Ordering::Relaxed)
    }

    /// From now on subscriptions ask for cumulative ACKs.
    pub fn use_cumulative_acks(&self) {
        self.cumulative.store(true, Ordering::Relaxed);
    }
}

fn session_options(broker: &config::Broker, memory: &MemoryBudget) -> Result<SessionOptions, SetupError> {
    let login = match &broker.login {
        None => None,
        Some(login) => {
            let (name, passcode) = login.read()?;
            Some(Login { name, passcode: Zeroizing::new(passcode) })
        }
    };
    let frame = usize::try_from(broker.max_frame).unwrap_or(usize::MAX);
    Ok(SessionOptions {
        virtual_host: broker.virtual_host.clone(),
        login,
        heart_beat: HeartBeat { outgoing: broker.heart_beat, incoming: broker.heart_beat, ..HeartBeat::default() },
        connected_timeout: broker.connect_timeout,
        receipt_timeout: broker.receipt_timeout,
        limits: Limits { body: frame, ..Limits::default() },
        memory: memory.clone(),
        ..SessionOptions::default()
    })
}
