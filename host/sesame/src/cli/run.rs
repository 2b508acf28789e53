//! `sesame run`: runs channels until stopped, as do `receive` and `send --watch`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use clap::Args;

use super::context::{Context, log_warnings, made, runtime, select};
use crate::config::{Config, Kind};
use crate::log::Logging;
use crate::sender::Stay;
use crate::service::{Daemon, Observer, On, Shared, Signals, Systemd, stop_on_signals};
use crate::shutdown::{self, Shutdown};
use terminal::{EXIT_DONE, EXIT_FAILED};

/// `sesame run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Channels of the configuration [default: all].
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
}

pub(super) fn run(arguments: &Run, context: &Context) -> anyhow::Result<u8> {
    daemon(context, &arguments.channels, Kind::Any)
}

/// Runs channels as a daemon.
pub(super) fn daemon(context: &Context, names: &[String], kind: Kind) -> anyhow::Result<u8> {
    // First of all: until then SIGHUP and SIGUSR1 end the process.
    let runtime = runtime().context("cannot start threads")?;
    let signals = runtime.block_on(async { Signals::listen() }).context("cannot listen to signals")?;
    let config = context.config()?;
    let logging = crate::log::start(&config.log)?;
    log_warnings(&config);
    let outcome = runtime.block_on(serve(config, context.clone(), (names.to_vec(), kind), &logging, signals));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

/// How long an immediate stop may take.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Resolves when an immediate stop is delayed, for instance by a hung disk.
pub(super) async fn too_late(shutdown: &Shutdown) {
    shutdown.stopping().await;
    tokio::time::sleep(LAST_MOMENT).await;
}

/// What follows a run of the daemon.
enum Next {
    Stop,
    Reload(Box<(Config, Daemon)>),
}

async fn serve(
    mut config: Config,
    context: Context,
    (names, kind): (Vec<String>, Kind),
    logging: &Logging,
    signals: Signals,
) -> anyhow::Result<u8> {
    let selection = match select(&config, &names, kind) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let shared = Shared::start(&config)?;
    let mut observer = Observer::start(&config.observe, shared.registry.events())
        .context("cannot show metrics and health ([observe])")?;
    let mut daemon = match made(Daemon::start(&config, &selection, &shared)) {
        Ok(daemon) => daemon,
        Err(status) => return Ok(status),
    };
    let (switch, shutdown) = shutdown::switch();
    let reload = Arc::new(Notify::new());
    let asked = Arc::clone(&reload);
    let grace = config.limits.grace;
    let origin = Origin { started: config.clone(), context, names, kind, shared };
    let status = Arc::new(Notify::new());
    tokio::spawn(observer.reporter().log_when(Arc::clone(&status)));
    let on = On { reload: move || asked.notify_one(), status: move || status.notify_one() };
    let stopper = async move { stop_on_signals(signals, &switch, grace, on).await };
    let work = async {
        tokio::spawn(Systemd.watchdog(shutdown.clone()));
        let mut reloaded = false;
        loop {
            observer.show(&daemon);
            Systemd.ready(daemon.channels());
            if reloaded {
                // Only now: after this line, requests find the new channels and the new token.
                tracing::info!("configuration reloaded");
            }
            tracing::info!(channels = daemon.channels(), version = env!("CARGO_PKG_VERSION"), "running");
            let reopen = || logging.apply(&config.log);
            let next = until_reload(&daemon, (&reload, &reopen), &shutdown, &origin).await;
            match next {
                Next::Stop => return,
                Next::Reload(next) => {
                    (config, daemon) = *next;
                    logging.apply(&config.log);
                    observer.reload(&config.observe).await;
                    reloaded = true;
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
        tracing::warn!("stopped before all messages in flight were finished; they stay queued");
        return Ok(EXIT_FAILED);
    }
    tracing::info!("stopped");
    Ok(EXIT_DONE)
}

/// Runs `daemon` until a stop, or until a reload replaces it; then it is drained first. Reading
/// and compiling run in the background, so that no signal waits for them. Where the new configuration cannot be used, only the
/// log is reopened: it may have been rotated.
async fn until_reload(
    daemon: &Daemon,
    (reload, reopen): (&Notify, &dyn Fn()),
    shutdown: &Shutdown,
    origin: &Origin,
) -> Next {
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
                    reopen();
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

/// What a daemon is built from on a reload.
#[derive(Clone)]
struct Origin {
    /// The configuration that the process was started with.
    started: Config,
    context: Context,
    names: Vec<String>,
    kind: Kind,
    shared: Shared,
}

impl Origin {
    /// Reads the configuration again and builds its channels, with their plugins, beside those that run. On a mistake
    /// nothing changes.
    fn read(&self) -> Option<(Config, Daemon)> {
        let config = match self.context.config() {
            Ok(config) => config,
            Err(errors) => {
                tracing::error!("configuration not reloaded; the current one stays in use:\n{errors}");
                return None;
            }
        };
        let selection = match config.select(&self.names, self.kind) {
            Ok(selection) => selection,
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded; the current one stays in use");
                return None;
            }
        };
        match Daemon::build(&config, &selection, &self.shared) {
            Ok(daemon) => {
                tracing::info!("new configuration read; it is used once the messages in flight are finished");
                log_warnings(&config);
                for key in self.started.needs_restart(&config) {
                    tracing::warn!(key, "this key changed since the start; restart Sesame to apply it");
                }
                Some((config, daemon))
            }
            Err(errors) => {
                for error in &errors {
                    let error = message::cause::chain(error);
                    tracing::error!(error, "configuration not reloaded; the current one stays in use");
                }
                None
            }
        }
    }
}
