//! Where a receiver keeps how far it is in a source that numbers its messages.

use std::sync::Arc;

use spool::journal::{Journal, JournalError, Position};

/// A channel's positions in the journal of its spool.
#[derive(Clone, Debug)]
pub struct Bookmark {
    journal: Arc<Journal>,
    channel: Arc<str>,
}

impl Bookmark {
    /// The positions of `channel`.
    #[must_use]
    pub fn new(journal: Arc<Journal>, channel: &str) -> Self {
        Self { journal, channel: channel.into() }
    }

    /// The channel.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    pub(super) async fn load(&self, source: String) -> Result<Option<Position>, JournalError> {
        self.run(move |journal, channel| journal.position(channel, &source)).await
    }

    /// Notes a position; durable with the next commit.
    pub(super) async fn note(&self, source: String, position: Position) -> Result<(), JournalError> {
        self.run(move |journal, channel| journal.note_position(channel, &source, &position)).await
    }

    /// Records a position; durable when this returns.
    pub(super) async fn record(&self, source: String, position: Position) -> Result<(), JournalError> {
        self.run(move |journal, channel| journal.record_position(channel, &source, &position)).await
    }

    async fn run<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&Journal, &str) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let Self { journal, channel } = self.clone();
        // It is not run where the runtime is going down.
        tokio::task::spawn_blocking(move || work(&journal, &channel)).await.unwrap_or_else(|_| Ok(T::default()))
    }
}
