//! Builds the channels of a configuration and runs them together until stopped.
//!
//! Start with [`Daemon::build`]: it reports every mistake that can be found before the first message, for all channels at
//! once. [`Daemon::run`] runs the channels and, beside them, what `housekeeping` and `manager` do: re-reading files that
//! change, deleting what has expired, and putting plugins into service that are added, replaced or removed. A reload builds
//! the daemon of the new configuration completely before it drains the old one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::channel::{Channel, Registry, SetupError, log_isolation, opener, trust_settings};
use crate::config::{self, Config, Credential, Selection, Trust};
use crate::receiver::{self, Receiver};
use crate::sender::{Parts, Sender, Stay, Summary};
use crate::shutdown::Shutdown;
use isolate::Pool;
use message::Direction;
use message::daily::Condition;
use plugins::{Catalog, CompileSettings, Effort, Plugins, ProvenanceSettings, Snapshot, StartError, Wanted};
use spool::journal::{Journal, JournalError};
use spool::{Outgoing, RetainedElements};
use transport::Link;

mod certificates;
mod differences;
mod housekeeping;
mod listener;
mod manager;
mod observe;
mod pipelines;
mod signals;
mod status;
mod systemd;
mod trace;

pub(crate) use certificates::changes as certificate_changes;
pub use differences::{Compared, Differences, Example};
use listener::{Expected, Listener, Waiting};
use manager::{ChannelHandle, PipelineManager, Role};
pub use observe::{FAMILIES, ObserveError, Observer, Reporter, SOCKET, show_channel};
pub use pipelines::{BuiltPipeline, pipeline};
pub(crate) use pipelines::{around, compiling, directory, listed, with_candidate};
pub use signals::{On, Signals, stop_on_signals};
pub use status::Status;
pub use systemd::Systemd;
pub(crate) use trace::{
    FoundBy, Located, Numbered, SentFacts, Traced, Unreadable, journal_in, of_number, typed_sequence,
};

/// The directory of sent messages that are kept until they are acknowledged, in the state directory.
pub(crate) const RETAINED: &str = "retained";

/// A channel that cannot be set up, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}", .channel.section())]
pub struct ChannelError {
    /// The channel.
    pub channel: Channel,
    /// What is wrong.
    #[source]
    pub error: SetupError,
}

/// What the channels of one process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Credentials, lists and spools.
    pub registry: Arc<Registry>,
    /// The compiled plugins.
    pub catalog: Arc<Catalog>,
    /// How many messages each channel processes at once. Each channel has its own threads, so that a slow plugin holds up no
    /// other channel.
    pub threads: usize,
    /// Processes that open messages, where the configuration wants them.
    pub pool: Arc<Pool>,
}

/// Channels that are ready to run.
#[derive(Debug)]
pub struct Daemon {
    shared: Shared,
    config: Config,
    channels: Vec<Channel>,
    senders: Vec<Arc<Sender>>,
    receivers: Vec<Arc<Receiver>>,
    manager: Arc<PipelineManager>,
    listeners: Vec<Arc<Listener>>,
}

impl Shared {
    /// Starts what channels share.
    ///
    /// # Errors
    /// [`StartError`] where plugins cannot be run at all.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let threads = config.limits.workers.map_or_else(processors, |workers| workers as usize);
        let program = Some(PathBuf::from("/proc/self/exe"));
        let also = config::user_plugin_cache().into_iter().collect();
        let compile = CompileSettings { program, cache: Some(config.plugins.cache.clone()), also };
        let plugins = Plugins::start_checked(compile, provenance(config))?;
        Ok(Self {
            registry: Arc::new(Registry::new(&config.limits)),
            catalog: Arc::new(Catalog::new(plugins)),
            threads,
            pool: Arc::new(Pool::new(PathBuf::from("/proc/self/exe"), threads)),
        })
    }
}

fn provenance(config: &Config) -> ProvenanceSettings {
    ProvenanceSettings {
        trust: trust_settings(&config.trust),
        signers: config.plugins.signers.clone(),
        required: config.plugins.require_signed,
        adopted: config.plugins.adopted.clone(),
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn wanted(config: &Config, selection: &Selection) -> Wanted {
    pipelines::wanted(config, |channel| selection.contains(channel.name()))
}

impl Daemon {
    /// Builds the selected channels and compiles all their plugins. Connects to no broker and takes up no message yet.
    ///
    /// # Errors
    /// One for each channel that cannot be set up.
    pub fn build(config: &Config, selection: &Selection, shared: &Shared) -> Result<Self, Vec<ChannelError>> {
        let snapshot = pipelines::look(shared, &wanted(config, selection), Effort::Full);
        Self::with(config, selection, shared, &snapshot)
    }

    /// The same for a daemon, which does not wait until all plugins are compiled: messages wait for those that apply to
    /// them.
    ///
    /// # Errors
    /// One for each channel that cannot be set up.
    pub fn start(config: &Config, selection: &Selection, shared: &Shared) -> Result<Self, Vec<ChannelError>> {
        let snapshot = pipelines::look_at_start(shared, &wanted(config, selection));
        Self::with(config, selection, shared, &snapshot)
    }

    fn with(
        config: &Config,
        selection: &Selection,
        shared: &Shared,
        snapshot: &Snapshot,
    ) -> Result<Self, Vec<ChannelError>> {
        let (mut handles, mut errors) = (Vec::new(), Vec::new());
        let senders = selection.senders.iter().map(|name| Channel::sender(name));
        let receivers = selection.receivers.iter().map(|name| Channel::receiver(name));
        let channels: Vec<Channel> = senders.chain(receivers).collect();
        for channel in &channels {
            let made = match channel.direction() {
                Direction::Outbound => sender(config, channel, shared, snapshot),
                Direction::Inbound => receiver(config, channel, shared, snapshot),
            };
            match made {
                Ok(handle) => handles.push(handle),
                Err(error) => errors.push(ChannelError { channel: channel.clone(), error }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for handle in &handles {
            match &handle.role {
                Role::Sender(sender) => senders.push(Arc::clone(sender)),
                Role::Receiver(receiver) => receivers.push(Arc::clone(receiver)),
            }
        }
        let listeners = listeners(config, shared, &senders)?;
        if !receivers.is_empty() || !listeners.is_empty() {
            log_isolation(&opener(config.process.isolate, &shared.pool));
        }
        certificates::look(config, &channels, &shared.registry);
        shared.catalog.report(snapshot);
        let manager = Arc::new(PipelineManager::new(shared, config, wanted(config, selection), handles));
        manager.keep();
        Ok(Self { shared: shared.clone(), config: config.clone(), channels, senders, receivers, manager, listeners })
    }

    /// The channels that send.
    #[must_use]
    pub fn senders(&self) -> &[Arc<Sender>] {
        &self.senders
    }

    /// How many channels there are.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Runs all channels until `shutdown` asks for a drain; with [`Stay::UntilEmpty`] senders end by themselves. Returns what
    /// each sender did.
    pub async fn run(&self, stay: Stay, shutdown: &Shutdown) -> Vec<(String, Summary)> {
        let mut senders = JoinSet::new();
        let mut others = JoinSet::new();
        for sender in &self.senders {
            let (sender, shutdown) = (Arc::clone(sender), shutdown.clone());
            if stay == Stay::Watch {
                others.spawn(housekeeping::watch_queue(Arc::clone(&sender), shutdown.clone()));
            }
            senders.spawn(async move {
                let name = sender.channel().name().to_owned();
                (name, sender.run(stay, shutdown).await)
            });
        }
        let mut receivers = JoinSet::new();
        for receiver in &self.receivers {
            receivers.spawn(Arc::clone(receiver).run(shutdown.clone()));
        }
        if stay == Stay::Watch {
            others.spawn(manager::watch(Arc::clone(&self.manager), shutdown.clone()));
        } else {
            others.spawn(manager::compile(Arc::clone(&self.manager), shutdown.clone()));
        }
        let refresh = self.shortest_refresh();
        let registry = Arc::clone(&self.shared.registry);
        let known = (self.config.clone(), self.channels.clone());
        others.spawn(housekeeping::refresh(registry, known, refresh, shutdown.clone()));
        let spools = self.shared.registry.open_spools();
        let index = self.shared.registry.index(&self.config).unwrap_or_default();
        others.spawn(housekeeping::retention(self.config.clone(), (spools, index), shutdown.clone()));
        let (done, sent) = watch::channel(false);
        let mut listeners = JoinSet::new();
        for listener in &self.listeners {
            listeners.spawn(Arc::clone(listener).run(sent.clone(), shutdown.clone()));
        }
        let (mut summaries, _) = tokio::join!(senders.join_all(), receivers.join_all());
        done.send_replace(true);
        listeners.join_all().await;
        for sender in &self.senders {
            sender.conclude().await;
        }
        let manager = Arc::clone(&self.manager);
        let _ = tokio::task::spawn_blocking(move || manager.stop()).await;
        others.shutdown().await;
        summaries.sort_by(|a, b| a.0.cmp(&b.0));
        summaries
    }

    fn shortest_refresh(&self) -> Duration {
        let senders = self.config.senders.values().map(|channel| channel.trust.refresh);
        let receivers = self.config.receivers.values().map(|channel| channel.trust.refresh);
        senders.chain(receivers).min().unwrap_or(self.config.trust.refresh)
    }
}

/// A link to `broker`, which sees the credential of its own section or the channel's.
fn link(config: &Config, broker: &str, channel: (&Credential, &Trust), shared: &Shared) -> Result<Link, SetupError> {
    let section = config.brokers.get(broker).ok_or_else(|| SetupError::NoBroker(broker.to_owned()))?;
    let identity = shared.registry.identity(config.credential_at(broker, channel.0), channel.1)?;
    Ok(Link::counted(section, &identity, shared.registry.memory(), shared.registry.counters(broker))?)
}

fn no_channel(channel: &Channel) -> SetupError {
    SetupError::NoChannel(channel.name().to_owned())
}

fn sender(
    config: &Config,
    channel: &Channel,
    shared: &Shared,
    snapshot: &Snapshot,
) -> Result<ChannelHandle, SetupError> {
    let settings = config.senders.get(channel.name()).ok_or_else(|| no_channel(channel))?.clone();
    let identity = shared.registry.identity(&settings.credential, &settings.trust)?;
    let recipient = match &settings.recipient_certificate {
        Some(file) => Some(shared.registry.recipient(file, &identity)?),
        None => None,
    };
    let state =
        shared.registry.spool(&settings.state, std::slice::from_ref(&settings.reject), &settings.storage, None)?;
    let (pipeline, plugins) = pipelines::begin(config, snapshot, channel, &state.journal)?.into_parts();
    let place = (settings.state.clone(), Arc::clone(&state));
    let outgoing = Outgoing::own(&settings.queue, settings.format, state.lock())?;
    let retained = match retains(channel, &settings, &state.journal)? {
        true => Some(RetainedElements::open(&settings.state.join(RETAINED), &outgoing)?),
        false => None,
    };
    let sender = Arc::new(Sender::new(Parts {
        channel: channel.clone(),
        link: link(config, &settings.broker, (&settings.credential, &settings.trust), shared)?,
        settings,
        identity,
        recipient,
        pipeline,
        outgoing,
        retained,
        state,
        workers: Arc::new(Semaphore::new(shared.threads)),
        threads: shared.threads,
        meters: shared.registry.meters(channel),
        gate: shared.registry.gate(channel),
    }));
    Ok(ChannelHandle::new(channel, place, Role::Sender(sender), plugins))
}

/// Whether a channel waits for acknowledgements, be it only for those of messages that it kept before.
fn retains(channel: &Channel, settings: &config::Sender, journal: &Journal) -> Result<bool, JournalError> {
    if settings.awaited().is_some() {
        return Ok(true);
    }
    let left = journal.retained(channel.name())?.messages;
    let unheard = Condition::warning("acknowledgements unheard", &channel.section());
    if left == 0 {
        unheard.end();
        return Ok(false);
    }
    if settings.acknowledgements.is_some() {
        tracing::info!(
            channel = %channel, messages = left,
            "acknowledgements are off: sent messages that were kept before are still waited for; `sesame queue release` gives \
             them up",
        );
        return Ok(true);
    }
    if !unheard.is_due("") {
        return Ok(false);
    }
    tracing::warn!(
        channel = %channel, messages = left, kept = %settings.state.join(RETAINED).display(),
        "sent messages wait for acknowledgements that nothing receives: put the section `acknowledgements` back, with mode = \
         \"off\" to wait for these alone, or give them up with `sesame queue release`",
    );
    Ok(false)
}

fn receiver(
    config: &Config,
    channel: &Channel,
    shared: &Shared,
    snapshot: &Snapshot,
) -> Result<ChannelHandle, SetupError> {
    let settings = config.receivers.get(channel.name()).ok_or_else(|| no_channel(channel))?.clone();
    let identity = shared.registry.identity(&settings.credential, &settings.trust)?;
    let lists = shared.registry.lists(&settings)?;
    let index = shared.registry.index(config)?;
    let spool = shared.registry.spool(&settings.spool, &receiver::queues(&settings), &settings.storage, index)?;
    let (pipeline, plugins) = pipelines::begin(config, snapshot, channel, &spool.journal)?.into_parts();
    let place = (settings.spool.clone(), Arc::clone(&spool));
    let connect = || link(config, &settings.broker, (&settings.credential, &settings.trust), shared);
    let acknowledgements = if settings.acknowledgements.is_empty() { None } else { Some(connect()?) };
    let receiver = Arc::new(Receiver::new(receiver::Parts {
        channel: channel.clone(),
        link: link(config, &settings.broker, (&settings.credential, &settings.trust), shared)?,
        settings,
        identity,
        lists,
        pipeline,
        acknowledgements,
        spool,
        opener: opener(config.process.isolate, &shared.pool),
        workers: Arc::new(Semaphore::new(shared.threads)),
        threads: shared.threads,
        meters: shared.registry.meters(channel),
        gate: shared.registry.gate(channel),
    }));
    Ok(ChannelHandle::new(channel, place, Role::Receiver(receiver), plugins))
}

/// The listeners for the acknowledgements of these senders: one for each source that they name.
fn listeners(
    config: &Config,
    shared: &Shared,
    senders: &[Arc<Sender>],
) -> Result<Vec<Arc<Listener>>, Vec<ChannelError>> {
    let mut groups: Vec<(&config::Sender, &config::Acknowledgements, Vec<Waiting>)> = Vec::new();
    for sender in senders {
        let channel = sender.channel();
        let Some(settings) = config.senders.get(channel.name()) else { continue };
        let Some(awaited) = &settings.acknowledgements else { continue };
        let Some(waiting) = waiting(sender, settings, awaited) else { continue };
        let absent = |(name, other): (&String, &config::Sender)| {
            other.awaited().is_some()
                && other.shares_acknowledgements(settings)
                && !senders.iter().any(|sender| sender.channel().name() == name)
        };
        if config.senders.iter().any(absent) {
            // Each acknowledgement is delivered once: those for the others would be lost.
            tracing::debug!(channel = %channel, from = %awaited.from, "acknowledgements are left for a Sesame with all channels that share their source");
            continue;
        }
        match groups.iter_mut().find(|(known, ..)| known.shares_acknowledgements(settings)) {
            Some((.., channels)) => channels.push(waiting),
            None => groups.push((settings, awaited, vec![waiting])),
        }
    }
    let (mut listeners, mut errors) = (Vec::new(), Vec::new());
    for (settings, awaited, channels) in groups {
        let Some(channel) = channels.first().map(|waiting| waiting.channel.clone()) else { continue };
        let made = || {
            let own = (&settings.credential, &settings.trust);
            let identity = shared.registry.identity(own.0, own.1)?;
            let link = link(config, &settings.broker, own, shared)?;
            let opener = opener(config.process.isolate, &shared.pool);
            Ok(Listener::new(link, awaited.from.clone(), identity, channels, opener))
        };
        match made() {
            Ok(listener) => listeners.push(Arc::new(listener)),
            Err(error) => errors.push(ChannelError { channel, error }),
        }
    }
    if errors.is_empty() { Ok(listeners) } else { Err(errors) }
}

/// How a sender waits, if it does.
fn waiting(sender: &Sender, settings: &config::Sender, awaited: &config::Acknowledgements) -> Option<Waiting> {
    let expected = match sender.recipient() {
        Some(recipient) if awaited.receivers.is_empty() => Expected::Recipient(Arc::clone(recipient)),
        _ => Expected::Named(awaited.receivers.clone()),
    };
    Some(Waiting {
        channel: sender.channel().clone(),
        expected,
        state: Arc::clone(sender.state()),
        reject: settings.reject.clone(),
        retention: Arc::clone(sender.retention()?),
    })
}
