//! What an operator closes to pause a channel.
//!
//! A [`Gate`] belongs to the process and not to the configuration: it stays as it is over a reload, and is open after a start.
//! While it is closed the channel takes up no message; those in flight are finished.

use std::time::SystemTime;

use tokio::sync::watch;

use super::time::moment;
use crate::shutdown::Shutdown;

/// Whether a channel may take up messages.
#[derive(Debug)]
pub struct Gate(watch::Sender<Option<SystemTime>>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Gate {
    /// Pauses the channel; false if it is paused already.
    pub fn close(&self) -> bool {
        self.0.send_if_modified(|closed| {
            let changes = closed.is_none();
            *closed = closed.or_else(|| Some(SystemTime::now()));
            changes
        })
    }

    /// Resumes the channel; false if it is not paused.
    pub fn open(&self) -> bool {
        self.0.send_if_modified(|closed| closed.take().is_some())
    }

    /// Whether the channel is paused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// By whom the channel is paused, and since when, if it is.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let since = *self.0.borrow();
        let how = "resume it in the dashboard, which takes the token of `[observe] control`, or restart Sesame";
        since.map(|since| format!("by an operator since {}; {how}", moment(since)))
    }

    /// The same, as a reason why the channel is not in service.
    pub(crate) fn out_of_service(&self) -> Option<String> {
        self.why().map(|why| format!("paused {why}"))
    }

    /// Waits until the channel is paused.
    pub(crate) async fn closed(&self) {
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the channel is resumed, or a stop is requested.
    pub(crate) async fn opened(&self, shutdown: &Shutdown) {
        let mut gate = self.0.subscribe();
        tokio::select! {
            _ = gate.wait_for(Option::is_none) => {}
            () = shutdown.draining() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown;

    #[tokio::test]
    async fn is_open_at_first_and_closes_and_opens_once() {
        let (switch, shutdown) = shutdown::switch();
        let gate = Gate::default();
        gate.opened(&shutdown).await;
        assert!(!gate.is_closed() && gate.why().is_none() && !gate.open());
        assert!(gate.close() && gate.is_closed());
        let why = gate.why().unwrap();
        assert!(!gate.close() && gate.why() == Some(why), "it is paused since the first time");
        gate.closed().await;
        switch.press();
        gate.opened(&shutdown).await;
        assert!(gate.open() && !gate.is_closed());
    }
}
