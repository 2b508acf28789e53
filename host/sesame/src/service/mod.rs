//! Channels made from a configuration, and run together until stopped.
//!
//! Start with [`Daemon::build`]: everything that can be wrong before the first message is found there, for all channels
//! at once. [`Daemon::run`] runs them, re-reads what changes on disk, reports its state to systemd and reloads on
//! SIGHUP: the new configuration is built completely beside the old one before that is drained. Plugins that are dropped
//! in, replaced or removed while it runs are handled by `pipelines`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::channel::{Channel, Identity, Link, Registry, SetupError};
use crate::config::{Config, Selection};
use crate::receiver::{self, Receiver};
use crate::sender::{Parts, Sender, Stay, Summary};
use crate::shutdown::{Shutdown, Switch};
use message::Direction;
use plugins::{Catalog, CompileSettings, Effort, Plugins, ProvenanceSettings, Snapshot, StartError, Wanted};
use spool::Outgoing;

pub(crate) mod housekeeping;
mod notify;
mod pipelines;
mod status;

pub use notify::Systemd;
pub use pipelines::{BuiltPipeline, pipeline};
use pipelines::{ChannelHandle, PipelineManager, Role};
pub(crate) use pipelines::{compiling, directory};
pub use status::Status;

/// A channel that cannot be set up, and why.
#[derive(Debug, thiserror::Error)]
#[error("{section}.{channel}")]
pub struct ChannelError {
    /// `send` or `receive`.
    pub section: &'static str,
    /// Its name.
    pub channel: String,
    /// What is wrong.
    #[source]
    pub error: SetupError,
}

/// What the channels of one process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What was opened.
    pub registry: Arc<Registry>,
    /// The compiled plugins.
    pub catalog: Arc<Catalog>,
    /// How many messages each channel processes at once: a channel has threads of its own, so that its slow plugin takes
    /// none from another.
    pub threads: usize,
}

/// Channels that are ready to run.
#[derive(Debug)]
pub struct Daemon {
    shared: Shared,
    config: Config,
    senders: Vec<Arc<Sender>>,
    receivers: Vec<Arc<Receiver>>,
    manager: Arc<PipelineManager>,
}

impl Shared {
    /// Starts what channels share.
    ///
    /// # Errors
    /// [`StartError`] where plugins cannot be run at all.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let threads = config.limits.workers.map_or_else(processors, |workers| workers as usize);
        let program = Some(PathBuf::from("/proc/self/exe"));
        let compile = CompileSettings { program, cache: Some(config.plugins.cache.clone()) };
        let plugins = Plugins::start_checked(compile, provenance(config))?;
        Ok(Self {
            registry: Arc::new(Registry::new(&config.limits)),
            catalog: Arc::new(Catalog::new(plugins)),
            threads,
        })
    }
}

fn provenance(config: &Config) -> ProvenanceSettings {
    ProvenanceSettings {
        trust: crate::channel::trust_settings(&config.trust),
        signers: config.plugins.signers.clone(),
        required: config.plugins.require_signed,
        adopted: config.plugins.adopted.clone(),
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn wanted(config: &Config, selection: &Selection) -> Wanted {
    pipelines::wanted(config, |name| selection.senders.iter().chain(&selection.receivers).any(|chosen| chosen == name))
}

impl Daemon {
    /// Makes the selected channels with all their plugins compiled. Nothing is connected or taken up yet.
    ///
    /// # Errors
    /// What is wrong with each channel that cannot be made.
    pub fn build(config: &Config, selection: &Selection, shared: &Shared) -> Result<Self, Vec<ChannelError>> {
        let snapshot = pipelines::look(shared, &wanted(config, selection), Effort::Full);
        Self::with(config, selection, shared, &snapshot)
    }

    /// The same for a daemon, which compiles while it runs: channels wait only for plugins of their own.
    ///
    /// # Errors
    /// What is wrong with each channel that cannot be made.
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
        let (mut senders, mut receivers, mut handles) = (Vec::new(), Vec::new(), Vec::new());
        let mut errors = Vec::new();
        for name in &selection.senders {
            match sender(config, name, shared, snapshot) {
                Ok((sender, handle)) => {
                    senders.push(sender);
                    handles.push(handle);
                }
                Err(error) => errors.push(ChannelError { section: "send", channel: name.clone(), error }),
            }
        }
        for name in &selection.receivers {
            match receiver(config, name, shared, snapshot) {
                Ok((receiver, handle)) => {
                    receivers.push(receiver);
                    handles.push(handle);
                }
                Err(error) => errors.push(ChannelError { section: "receive", channel: name.clone(), error }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        shared.catalog.report(snapshot);
        let manager = Arc::new(PipelineManager::new(shared, config, wanted(config, selection), handles));
        manager.keep();
        Ok(Self { shared: shared.clone(), config: config.clone(), senders, receivers, manager })
    }

    /// The channels that send.
    #[must_use]
    pub fn senders(&self) -> &[Arc<Sender>] {
        &self.senders
    }

    /// How many channels there are.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.senders.len() + self.receivers.len()
    }

    /// Runs all channels until `shutdown` is asked for; with [`Stay::UntilEmpty`] senders end by themselves. Returns what
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
            others.spawn(pipelines::watch(Arc::clone(&self.manager), shutdown.clone()));
        } else {
            others.spawn(pipelines::compile(Arc::clone(&self.manager), shutdown.clone()));
        }
        let refresh = self.shortest_refresh();
        others.spawn(housekeeping::refresh(Arc::clone(&self.shared.registry), refresh, shutdown.clone()));
        others.spawn(housekeeping::retention(self.config.clone(), self.spools(), shutdown.clone()));
        let (mut summaries, _) = tokio::join!(senders.join_all(), receivers.join_all());
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

    fn spools(&self) -> Vec<Arc<crate::channel::OpenSpool>> {
        self.shared.registry.open_spools()
    }
}

fn link(config: &Config, broker: &str, identity: &Identity, shared: &Shared) -> Result<Link, SetupError> {
    let section = config.brokers.get(broker).ok_or_else(|| SetupError::NoBroker(broker.to_owned()))?;
    Link::new(section, identity, shared.registry.memory())
}

fn sender(
    config: &Config,
    name: &str,
    shared: &Shared,
    snapshot: &Snapshot,
) -> Result<(Arc<Sender>, ChannelHandle), SetupError> {
    let settings = config.senders.get(name).ok_or_else(|| SetupError::NoChannel(name.to_owned()))?.clone();
    let identity = shared.registry.identity(&settings.credential, &settings.trust)?;
    let recipient = match &settings.recipient_certificate {
        Some(file) => Some(shared.registry.recipient(file, &identity)?),
        None => None,
    };
    let state = shared.registry.spool(&settings.state, std::slice::from_ref(&settings.reject), &settings.storage)?;
    let of = (name, Direction::Outbound);
    let (pipeline, stages) = pipelines::begin(config, snapshot, of, &state.journal)?.into_parts();
    let place = (settings.state.clone(), Arc::clone(&state));
    let outgoing = Outgoing::own(&settings.queue, settings.format, state.lock())?;
    let sender = Arc::new(Sender::new(Parts {
        channel: Channel::sender(name),
        link: link(config, &settings.broker, &identity, shared)?,
        settings,
        identity,
        recipient,
        pipeline,
        outgoing,
        state,
        workers: Arc::new(Semaphore::new(shared.threads)),
        threads: shared.threads,
    }));
    let handle = ChannelHandle::new(of, (&place.0, place.1), Role::Sender(Arc::clone(&sender)), stages);
    Ok((sender, handle))
}

fn receiver(
    config: &Config,
    name: &str,
    shared: &Shared,
    snapshot: &Snapshot,
) -> Result<(Arc<Receiver>, ChannelHandle), SetupError> {
    let settings = config.receivers.get(name).ok_or_else(|| SetupError::NoChannel(name.to_owned()))?.clone();
    let identity = shared.registry.identity(&settings.credential, &settings.trust)?;
    let lists = shared.registry.lists(&settings)?;
    let spool = shared.registry.spool(&settings.spool, &receiver::queues(&settings), &settings.storage)?;
    let of = (name, Direction::Inbound);
    let (pipeline, stages) = pipelines::begin(config, snapshot, of, &spool.journal)?.into_parts();
    let place = (settings.spool.clone(), Arc::clone(&spool));
    let receiver = Arc::new(Receiver::new(receiver::Parts {
        channel: Channel::receiver(name),
        link: link(config, &settings.broker, &identity, shared)?,
        settings,
        identity,
        lists,
        pipeline,
        spool,
        workers: Arc::new(Semaphore::new(shared.threads)),
    }));
    let handle = ChannelHandle::new(of, (&place.0, place.1), Role::Receiver(Arc::clone(&receiver)), stages);
    Ok((receiver, handle))
}

/// The signals a daemon handles.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT: stop; the second one: at once.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

/// Presses `switch` at each signal to stop, and again when the grace period is over. Never returns.
pub async fn stop_on_signals(mut signals: Signals, switch: &Switch, grace: Duration, reload: impl Fn()) {
    let mut asked = false;
    loop {
        let deadline = async { if asked { tokio::time::sleep(grace).await } else { std::future::pending().await } };
        tokio::select! {
            signal = signals.next() => match signal {
                Asked::Reload => reload(),
                Asked::Stop => {
                    if !asked {
                        tracing::info!(grace = %message::duration::words(grace), "stopping: finishing messages in flight");
                    }
                    asked = true;
                    switch.press();
                }
            },
            () = deadline => {
                tracing::warn!("the grace period is over: stopping now; messages in flight stay queued");
                switch.stop();
                asked = false;
            }
        }
    }
}
