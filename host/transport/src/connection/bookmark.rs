//! Where a receiver keeps how far it is in a source that numbers its messages.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// How far a receiver is in a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// One beyond the last message that is durable with all before it; nothing before the first one.
    pub next: Option<u64>,
    /// One beyond the last message that was delivered, durable or not.
    pub delivered: u64,
    /// Messages that were missing so far.
    pub missing: u64,
}

/// Why a position cannot be read or written.
pub type PositionError = Box<dyn Error + Send + Sync>;

/// Keeps positions. The functions may block.
pub trait Positions: fmt::Debug + Send + Sync {
    /// The position in `source`, if one is known.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn load(&self, source: &str) -> Result<Option<Position>, PositionError>;

    /// Notes a position; durable at some time later.
    ///
    /// # Errors
    /// Why it cannot be written.
    fn note(&self, source: &str, position: &Position) -> Result<(), PositionError>;

    /// Records a position; durable when this returns.
    ///
    /// # Errors
    /// Why it cannot be written.
    fn record(&self, source: &str, position: &Position) -> Result<(), PositionError>;
}

/// The positions of a channel.
#[derive(Clone, Debug)]
pub struct Bookmark {
    positions: Arc<dyn Positions>,
    channel: Arc<str>,
}

impl Bookmark {
    /// The positions of `channel`.
    #[must_use]
    pub fn new(positions: Arc<dyn Positions>, channel: &str) -> Self {
        Self { positions, channel: channel.into() }
    }

    /// The channel.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    pub(super) async fn load(&self, source: String) -> Result<Option<Position>, PositionError> {
        self.run(move |positions| positions.load(&source)).await
    }

    pub(super) async fn note(&self, source: String, position: Position) -> Result<(), PositionError> {
        self.run(move |positions| positions.note(&source, &position)).await
    }

    pub(super) async fn record(&self, source: String, position: Position) -> Result<(), PositionError> {
        self.run(move |positions| positions.record(&source, &position)).await
    }

    async fn run<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Positions) -> Result<T, PositionError> + Send + 'static,
    ) -> Result<T, PositionError> {
        let positions = Arc::clone(&self.positions);
        // It is not run where the runtime is going down.
        tokio::task::spawn_blocking(move || work(&*positions)).await.unwrap_or_else(|_| Ok(T::default()))
    }
}
