//! Shutdown: a signal that every task watches.
//!
//! The first SIGTERM or SIGINT asks for a drain: nothing new is taken up, messages in flight are finished within the
//! grace period. The second one, or the end of the grace period, asks for a stop at once; messages in flight then stay
//! where they are, in our queue or at the broker.

use tokio::sync::watch;

/// How far a stop has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Stopping,
}

/// Requests a shutdown.
#[derive(Debug)]
pub struct Switch(watch::Sender<Phase>);

/// What a task watches.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Phase>);

/// A switch and the first listener to it.
#[must_use]
pub fn switch() -> (Switch, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (Switch(sender), Shutdown(receiver))
}

impl Switch {
    /// Asks for a drain; asked a second time it stops at once.
    pub fn press(&self) {
        self.0.send_modify(|phase| {
            *phase = if *phase == Phase::Running { Phase::Draining } else { Phase::Stopping };
        });
    }

    /// Asks for a stop at once.
    pub fn stop(&self) {
        self.0.send_replace(Phase::Stopping);
    }

    /// Another listener.
    #[must_use]
    pub fn listener(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }
}

impl Shutdown {
    /// Whether a drain or a stop was asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Whether a stop at once was asked for.
    #[must_use]
    pub fn is_now(&self) -> bool {
        *self.0.borrow() == Phase::Stopping
    }

    /// Resolves when a drain or a stop is asked for, also when the switch is gone.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Resolves when a stop at once is asked for, also when the switch is gone.
    pub async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    async fn reached(&self, wanted: Phase) {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|phase| *phase >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_press_drains_and_the_second_stops() {
        let (switch, shutdown) = switch();
        assert!(!shutdown.asked());
        switch.press();
        shutdown.draining().await;
        assert!(shutdown.asked() && !shutdown.is_now());
        switch.press();
        shutdown.stopping().await;
        assert!(shutdown.is_now());
    }
}
