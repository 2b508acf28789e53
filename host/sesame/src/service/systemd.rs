//! Notifications to systemd: ready, reloading, stopping, watchdog.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::shutdown::Shutdown;

/// The notifications of a service of `Type=notify`. Without systemd they have no effect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Systemd;

impl Systemd {
    /// The channels run.
    pub fn ready(self, channels: usize) {
        send(&[NotifyState::Ready, NotifyState::Status(&format!("{channels} channels"))]);
    }

    /// The configuration is read again.
    pub fn reloading(self) {
        let mut states = vec![NotifyState::Reloading];
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            states.push(now);
        }
        send(&states);
    }

    /// Messages in flight are being finished.
    pub fn stopping(self) {
        send(&[NotifyState::Stopping]);
    }

    /// Sends a keep-alive at half the interval systemd asks for, from a task of the runtime: if the runtime is stuck, so is
    /// this.
    pub async fn watchdog(self, shutdown: Shutdown) {
        let Some(interval) = sd_notify::watchdog_enabled() else { return };
        let mut tick = tokio::time::interval((interval / 2).max(Duration::from_millis(100)));
        while !shutdown.is_now() {
            tick.tick().await;
            send(&[NotifyState::Watchdog]);
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}
