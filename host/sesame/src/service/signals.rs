//! The signals that stop or reload a daemon, or ask for its status.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::shutdown::Switch;

/// The signals a daemon handles.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
}

/// What a signal asks for.
enum Asked {
    /// SIGTERM or SIGINT: stop; the second one: at once.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: write the status to the log.
    Status,
}

impl Signals {
    /// Starts listening.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Status,
        }
    }
}

/// What to do at signals that do not stop.
pub struct On<R, S> {
    /// At SIGHUP.
    pub reload: R,
    /// At SIGUSR1.
    pub status: S,
}

impl On<fn(), fn()> {
    /// For a command that ends by itself.
    #[must_use]
    pub fn nothing() -> Self {
        Self { reload: || {}, status: || {} }
    }
}

/// Presses `switch` at each signal to stop, and again when the grace period is over. Never returns.
pub async fn stop_on_signals(mut signals: Signals, switch: &Switch, grace: Duration, on: On<impl Fn(), impl Fn()>) {
    let mut asked = false;
    loop {
        let deadline = async { if asked { tokio::time::sleep(grace).await } else { std::future::pending().await } };
        tokio::select! {
            signal = signals.next() => match signal {
                Asked::Reload => (on.reload)(),
                Asked::Status => (on.status)(),
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
