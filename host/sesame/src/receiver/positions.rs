//! How far a channel is in its source: kept in the journal of its spool.

use std::sync::Arc;

use crate::channel::Channel;
use spool::journal::{self, Journal};
use transport::{Position, PositionError, Positions};

/// The positions of one channel.
#[derive(Debug)]
pub(crate) struct ChannelPositions {
    journal: Arc<Journal>,
    channel: String,
}

impl ChannelPositions {
    pub(crate) fn of(journal: &Arc<Journal>, channel: &Channel) -> Self {
        Self { journal: Arc::clone(journal), channel: channel.name().to_owned() }
    }
}

impl Positions for ChannelPositions {
    fn load(&self, source: &str) -> Result<Option<Position>, PositionError> {
        let found = self.journal.position(&self.channel, source)?;
        Ok(found.map(|journal::Position { next, delivered, missing }| Position { next, delivered, missing }))
    }

    fn note(&self, source: &str, position: &Position) -> Result<(), PositionError> {
        Ok(self.journal.note_position(&self.channel, source, &row(position))?)
    }

    fn record(&self, source: &str, position: &Position) -> Result<(), PositionError> {
        Ok(self.journal.record_position(&self.channel, source, &row(position))?)
    }
}

fn row(&Position { next, delivered, missing }: &Position) -> journal::Position {
    journal::Position { next, delivered, missing }
}
