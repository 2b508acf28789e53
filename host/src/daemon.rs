//! Channels made from a configuration, and run together until stopped.
//!
//! Start with [`Daemon::build`]: everything that can be wrong before the first message is found there, for all channels
//! at once. [`Daemon::run`] runs them, re-reads what changes on disk, tells systemd how things stand and reloads on
//! SIGHUP: the new configuration is built completely beside the old one before that is drained.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::channel::{Identity, Link, Registry, SetupError};
use crate::config::{self, Config, Selection};
use crate::message::Direction;
use crate::plugin::{
    CompileSettings, Pipeline, PipelineSettings, Plugins, ProvenanceSettings, SideCar, StageSource, StartError,
    TOTAL_TIME,
};
use crate::receiver::{self, Receiver};
use crate::sender::{Parts, Sender, Stay, Summary};
use crate::shutdown::{Shutdown, Switch};
use crate::spool::{Format, Outgoing};

pub(crate) mod housekeeping;
mod notify;

pub use notify::Systemd;

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
    /// What runs plugins.
    pub plugins: Arc<Plugins>,
    /// How many messages are worked on at once.
    pub workers: Arc<Semaphore>,
    /// The number behind `workers`.
    pub threads: usize,
}

/// Channels that are ready to run.
#[derive(Debug)]
pub struct Daemon {
    shared: Shared,
    config: Config,
    senders: Vec<Arc<Sender>>,
    receivers: Vec<Arc<Receiver>>,
}

impl Shared {
    /// Starts what channels share.
    ///
    /// # Errors
    /// [`StartError`] where plugins cannot be run at all.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let cache = cache_folder(&config.plugins.cache);
        let threads = config.limits.workers.map_or_else(processors, |workers| workers as usize);
        Ok(Self {
            registry: Arc::new(Registry::new(&config.limits)),
            plugins: Plugins::start_checked(
                CompileSettings { program: Some(PathBuf::from("/proc/self/exe")), cache },
                provenance(config),
            )?,
            workers: Arc::new(Semaphore::new(threads)),
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

/// The cache, if it is there or can be made; without it plugins are compiled at each start.
fn cache_folder(path: &std::path::Path) -> Option<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.is_ok().then(|| path.to_owned())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The pipeline of a channel: the stages it lists, else those of the plugin folder, else `builtin:passthrough`.
///
/// # Errors
/// [`SetupError::Plugins`] for named plugins that cannot be loaded, [`SetupError::PluginFolder`] for the folder.
pub fn pipeline(
    plugins: &Plugins,
    config: &Config,
    channel: &str,
    direction: Direction,
) -> Result<Pipeline, SetupError> {
    let (listed, routes, max_payload) = match direction {
        Direction::Outbound => {
            config.senders.get(channel).map(|c| (c.pipeline.as_ref(), c.routes.keys(), c.max_payload))
        }
        Direction::Inbound => {
            config.receivers.get(channel).map(|c| (c.pipeline.as_ref(), c.routes.keys(), c.max_payload))
        }
    }
    .unwrap_or_default();
    let stages = match listed {
        Some(stages) => stages.iter().map(|stage| named_stage(config, stage)).collect(),
        None => folder_stages(config)?,
    };
    let settings = PipelineSettings {
        stages,
        channel: channel.to_owned(),
        channels: config.senders.keys().chain(config.receivers.keys()).cloned().collect(),
        direction,
        routes: routes.cloned().collect(),
        max_payload: usize::try_from(max_payload).unwrap_or(usize::MAX),
        total_time: TOTAL_TIME,
    };
    Pipeline::load(plugins, settings).map_err(SetupError::Plugins)
}

fn named_stage(config: &Config, stage: &config::Stage) -> StageSource {
    let settings = config.plugin.get(&stage.to_string()).map(SideCar::from);
    match stage {
        config::Stage::Builtin(_) => StageSource::named(&stage.to_string(), settings),
        config::Stage::File(name) => {
            let path = config.plugins.folder.join(format!("{name}.wasm"));
            StageSource::named(&path.to_string_lossy(), settings)
        }
    }
}

fn folder_stages(config: &Config) -> Result<Vec<StageSource>, SetupError> {
    let passthrough = || vec![StageSource::named("builtin:passthrough", None)];
    // Only a folder that is not there is no folder: one that cannot be reached must not let messages pass unchecked.
    if matches!(config.plugins.folder.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(passthrough());
    }
    let stages = crate::plugin::read_folder(&config.plugins.folder)?;
    Ok(if stages.is_empty() { passthrough() } else { stages })
}

impl Daemon {
    /// Makes the selected channels. Nothing is connected or taken up yet.
    ///
    /// # Errors
    /// What is wrong with each channel that cannot be made.
    pub fn build(config: &Config, selection: &Selection, shared: &Shared) -> Result<Self, Vec<ChannelError>> {
        let mut daemon =
            Self { shared: shared.clone(), config: config.clone(), senders: Vec::new(), receivers: Vec::new() };
        let mut errors = Vec::new();
        for name in &selection.senders {
            match sender(config, name, shared) {
                Ok(sender) => daemon.senders.push(Arc::new(sender)),
                Err(error) => errors.push(ChannelError { section: "send", channel: name.clone(), error }),
            }
        }
        for name in &selection.receivers {
            match receiver(config, name, shared) {
                Ok(receiver) => daemon.receivers.push(Arc::new(receiver)),
                Err(error) => errors.push(ChannelError { section: "receive", channel: name.clone(), error }),
            }
        }
        if errors.is_empty() { Ok(daemon) } else { Err(errors) }
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

    /// Runs all channels until `shutdown` is asked for; with [`Stay::UntilEmpty`] senders end by themselves. Answers what
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
                let name = sender.name().to_owned();
                (name, sender.run(stay, shutdown).await)
            });
        }
        let mut receivers = JoinSet::new();
        for receiver in &self.receivers {
            receivers.spawn(Arc::clone(receiver).run(shutdown.clone()));
        }
        let refresh = self.shortest_refresh();
        others.spawn(housekeeping::refresh(Arc::clone(&self.shared.registry), refresh, shutdown.clone()));
        others.spawn(housekeeping::retention(self.config.clone(), self.spools(), shutdown.clone()));
        let (mut summaries, _) = tokio::join!(senders.join_all(), receivers.join_all());
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

fn sender(config: &Config, name: &str, shared: &Shared) -> Result<Sender, SetupError> {
    let settings = config.senders.get(name).ok_or_else(|| SetupError::NoChannel(name.to_owned()))?.clone();
    let identity = shared.registry.identity(&settings.credential, &settings.trust)?;
    let recipient = match &settings.recipient_certificate {
        Some(file) => Some(shared.registry.recipient(file, &identity)?),
        None => None,
    };
    let pipeline = pipeline(&shared.plugins, config, name, Direction::Outbound)?;
    let state = shared.registry.spool(&settings.state, std::slice::from_ref(&settings.reject), &settings.storage)?;
    let outgoing = Outgoing::own(&settings.queue, format(settings.format), state.lock())?;
    Ok(Sender::new(Parts {
        name: name.to_owned(),
        link: link(config, &settings.broker, &identity, shared)?,
        settings,
        identity,
        recipient,
        pipeline: Arc::new(pipeline),
        outgoing,
        state,
        workers: Arc::clone(&shared.workers),
        threads: shared.threads,
    }))
}

/// The spool module's word for a queue's layout.
#[must_use]
pub fn format(format: config::Format) -> Format {
    match format {
        config::Format::Dirq => Format::Dirq,
        config::Format::Directory => Format::Directory,
    }
}

fn receiver(config: &Config, name: &str, shared: &Shared) -> Result<Receiver, SetupError> {
    let settings = config.receivers.get(name).ok_or_else(|| SetupError::NoChannel(name.to_owned()))?.clone();
    let identity = shared.registry.identity(&settings.credential, &settings.trust)?;
    let lists = shared.registry.lists(&settings)?;
    let pipeline = pipeline(&shared.plugins, config, name, Direction::Inbound)?;
    let spool = shared.registry.spool(&settings.spool, &receiver::queues(&settings), &settings.storage)?;
    Ok(Receiver::new(receiver::Parts {
        name: name.to_owned(),
        link: link(config, &settings.broker, &identity, shared)?,
        settings,
        identity,
        lists,
        pipeline: Arc::new(pipeline),
        spool,
        workers: Arc::clone(&shared.workers),
    }))
}

/// The signals a daemon listens to.
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

/// Presses `switch` at each signal to stop, and for good when the grace period is over. Ends never.
pub async fn stop_on_signals(mut signals: Signals, switch: &Switch, grace: Duration, reload: impl Fn()) {
    let mut asked = false;
    loop {
        let deadline = async { if asked { tokio::time::sleep(grace).await } else { std::future::pending().await } };
        tokio::select! {
            signal = signals.next() => match signal {
                Asked::Reload => reload(),
                Asked::Stop => {
                    if !asked {
                        tracing::info!(grace_seconds = grace.as_secs(), "stopping: finishing what is in work");
                    }
                    asked = true;
                    switch.press();
                }
            },
            () = deadline => {
                tracing::warn!("the grace period is over: stopping now; what is in work stays queued");
                switch.stop();
                asked = false;
            }
        }
    }
}
