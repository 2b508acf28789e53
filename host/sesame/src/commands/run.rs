//! `sesame run` and `sesame receive`: channels until stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::dispatch::{made, runtime, select};
use super::{EXIT_DONE, EXIT_FAILED, Receive, Run};
use crate::config::{Config, Kind, Source};
use crate::log::Logging;
use crate::sender::Stay;
use crate::service::{Daemon, Shared, Signals, Systemd, stop_on_signals};
use crate::shutdown::{self, Shutdown};

pub(super) fn run(config: &Config, source: &Source, arguments: &Run) -> anyhow::Result<u8> {
    daemon(config, source, &arguments.channels, Kind::Any)
}

pub(super) fn receive(config: &Config, source: &Source, arguments: &Receive) -> anyhow::Result<u8> {
    daemon(config, source, &arguments.channels, Kind::Receive)
}

/// Runs channels as a daemon.
pub(super) fn daemon(config: &Config, source: &Source, names: &[String], kind: Kind) -> anyhow::Result<u8> {
    let logging = crate::log::start(&config.log)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = runtime().context("cannot start threads")?;
    let outcome = runtime.block_on(serve(config.clone(), source.clone(), names.to_vec(), kind, &logging));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

/// How long a stop at once may take.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Resolves when a stop at once was asked for and something still holds it up, such as a hung disk.
pub(super) async fn too_late(shutdown: &Shutdown) {
    shutdown.stopping().await;
    tokio::time::sleep(LAST_MOMENT).await;
}

/// What a reload came to.
enum Next {
    Stop,
    Reload(Box<(Config, Daemon)>),
}

async fn serve(
    mut config: Config,
    source: Source,
    names: Vec<String>,
    kind: Kind,
    logging: &Logging,
) -> anyhow::Result<u8> {
    let signals = Signals::listen().context("cannot listen to signals")?;
    let selection = match select(&config, &names, kind) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let shared = Shared::start(&config)?;
    let mut daemon = match made(Daemon::start(&config, &selection, &shared)) {
        Ok(daemon) => daemon,
        Err(status) => return Ok(status),
    };
    let (switch, shutdown) = shutdown::switch();
    let reload = Arc::new(Notify::new());
    let asked = Arc::clone(&reload);
    let grace = config.limits.grace;
    let origin = Origin { started: config.clone(), source, names, kind, shared };
    let stopper = async move { stop_on_signals(signals, &switch, grace, || asked.notify_one()).await };
    let work = async {
        tokio::spawn(Systemd.watchdog(shutdown.clone()));
        loop {
            Systemd.ready(daemon.channels());
            tracing::info!(channels = daemon.channels(), version = env!("CARGO_PKG_VERSION"), "running");
            match until_reload(&daemon, &reload, &shutdown, &origin).await {
                Next::Stop => return,
                Next::Reload(next) => {
                    (config, daemon) = *next;
                    logging.apply(&config.log);
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stopper => {}
        () = too_late(&shutdown) => {}
    }
    origin.shared.registry.end_work();
    if shutdown.is_now() {
        tracing::warn!("stopped before everything in work was finished; it stays queued");
        return Ok(EXIT_FAILED);
    }
    tracing::info!("stopped");
    Ok(EXIT_DONE)
}

/// Runs `daemon` until a stop, or until a reload gives another one; then this one is drained first. What is read again is
/// read and compiled aside, so that no signal waits for it.
async fn until_reload(daemon: &Daemon, reload: &Notify, shutdown: &Shutdown, origin: &Origin) -> Next {
    let (own, own_shutdown) = shutdown::switch();
    let running = daemon.run(Stay::Watch, &own_shutdown);
    tokio::pin!(running);
    let mut next: Option<(Config, Daemon)> = None;
    let mut reading: Option<JoinHandle<Option<(Config, Daemon)>>> = None;
    let mut patience = None;
    loop {
        tokio::select! {
            _ = &mut running => break,
            () = shutdown.draining(), if !own_shutdown.asked() => {
                Systemd.stopping();
                own.press();
            }
            () = until(patience), if patience.is_some() && !own_shutdown.is_now() => own.stop(),
            () = shutdown.stopping(), if own_shutdown.asked() && !own_shutdown.is_now() => own.stop(),
            () = reload.notified(), if next.is_none() && reading.is_none() && !shutdown.asked() => {
                Systemd.reloading();
                let origin = origin.clone();
                reading = Some(tokio::task::spawn_blocking(move || origin.read()));
            }
            read = finished(&mut reading), if reading.is_some() && !shutdown.asked() => {
                reading = None;
                next = read;
                if let Some((config, _)) = &next {
                    own.press();
                    patience = Some(Instant::now() + config.limits.grace);
                } else {
                    Systemd.ready(daemon.channels());
                }
            }
        }
    }
    match next {
        Some(next) if !shutdown.asked() => Next::Reload(Box::new(next)),
        _ => Next::Stop,
    }
}

async fn finished<T>(task: &mut Option<JoinHandle<Option<T>>>) -> Option<T> {
    match task {
        Some(task) => task.await.ok().flatten(),
        None => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// What a daemon is made from again.
#[derive(Clone)]
struct Origin {
    /// The configuration that the process was started with.
    started: Config,
    source: Source,
    names: Vec<String>,
    kind: Kind,
    shared: Shared,
}

impl Origin {
    /// Reads the configuration again and makes its channels beside those that run, plugins and all. Anything wrong leaves
    /// everything as it is.
    fn read(&self) -> Option<(Config, Daemon)> {
        let config = match self.source.load() {
            Ok(config) => config,
            Err(errors) => {
                tracing::error!("configuration not reloaded, the one in use stays:\n{errors}");
                return None;
            }
        };
        let selection = match config.select(&self.names, self.kind) {
            Ok(selection) => selection,
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded, the one in use stays");
                return None;
            }
        };
        match Daemon::build(&config, &selection, &self.shared) {
            Ok(daemon) => {
                tracing::info!("configuration reloaded");
                for key in self.started.needs_restart(&config) {
                    tracing::warn!(key, "this key was changed since the start; restart Sesame for it to take effect");
                }
                Some((config, daemon))
            }
            Err(errors) => {
                for error in &errors {
                    let error = message::cause::chain(error);
                    tracing::error!(error, "configuration not reloaded, the one in use stays");
                }
                None
            }
        }
    }
}
