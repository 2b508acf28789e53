//! What became of a message: one word for it in the log, in `trace`, `explain`, `publish`, `send --json` and the demo, and
//! the line of the log.
//!
//! The word alone does not say why; that is a [`Code`](crate::Code) with a text, or a plugin's finding.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Direction;
use crate::text::non_empty;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// A sender's plugins passed it, and their answer is durable. It is about to be sent.
    Prepared,
    /// The broker confirmed every part of it.
    Sent,
    /// It stays in the outgoing queue and is tried again.
    Waiting,
    /// It is in `incoming`, or in the queue that its route names.
    Stored,
    /// The receiver keeps it in the deferred queue and tries it again.
    Deferred,
    /// A plugin dropped it on purpose; no copy is kept.
    Dropped,
    /// It is in the reject queue with the reason; with `unlisted = "drop"`, a message of an unlisted signer is not kept.
    Rejected,
    /// It was received before; this copy was discarded.
    Duplicate,
    /// Its element left the outgoing queue before it was sent, and not through Sesame.
    Gone,
    /// Its element left the outgoing queue, and the journal does not say how.
    Unknown,
}

impl Fate {
    /// Every one of them.
    pub const ALL: [Self; 10] = [
        Self::Prepared,
        Self::Sent,
        Self::Waiting,
        Self::Stored,
        Self::Deferred,
        Self::Dropped,
        Self::Rejected,
        Self::Duplicate,
        Self::Gone,
        Self::Unknown,
    ];

    /// The word for it; also its form in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Sent => "sent",
            Self::Waiting => "waiting",
            Self::Stored => "stored",
            Self::Deferred => "deferred",
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }

    /// What it means, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Prepared => "The plugins passed it, and it is about to be sent.",
            Self::Sent => "The broker confirmed every part of it.",
            Self::Waiting => "It stays in the outgoing queue and is tried again.",
            Self::Stored => "It is in `incoming`, or in the queue that its route names.",
            Self::Deferred => "The receiver keeps it in the deferred queue and tries it again.",
            Self::Dropped => "A plugin dropped it on purpose; no copy is kept.",
            Self::Rejected => "It is in the reject queue with the reason.",
            Self::Duplicate => "It was received before, and this copy was discarded.",
            Self::Gone => "Its element left the outgoing queue before it was sent, and not through Sesame.",
            Self::Unknown => "Its element left the outgoing queue, and the journal does not say how.",
        }
    }

    /// Whether messages of this direction meet it while they pass. What is only seen in the journal later is met by none.
    #[must_use]
    pub const fn is_of(self, direction: Direction) -> bool {
        match self {
            Self::Rejected | Self::Dropped => true,
            Self::Sent | Self::Waiting => matches!(direction, Direction::Outbound),
            Self::Stored | Self::Deferred | Self::Duplicate => matches!(direction, Direction::Inbound),
            Self::Prepared | Self::Gone | Self::Unknown => false,
        }
    }

    /// Whether the message arrived: the broker has it, or the incoming queue.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Sent | Self::Stored)
    }
}

/// What a line of the log says of one message beside its [`Fate`]. What is empty is left out of the line.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogLine<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The message's id.
    pub id: &'a str,
    /// The verified signer.
    pub signer: &'a str,
    /// The plugin that decided.
    pub plugin: &'a str,
    /// Where it is, or was before it was sent.
    pub element: &'a str,
    /// The number that AMS gave it.
    pub argo_id: &'a str,
    /// The broker that confirmed it.
    pub broker: &'a str,
    /// The number of the attempt, from 1.
    pub attempt: Option<u32>,
    /// Why, led by the [`Code`](crate::Code) where there is one.
    pub reason: &'a str,
}

impl Fate {
    /// Logs what became of a message: `message stored`, `message rejected` and so on. A message that did not arrive and was
    /// not dropped on purpose is a warning.
    pub fn log(self, line: &LogLine<'_>) {
        let LogLine { channel, id, attempt, .. } = *line;
        let (signer, plugin) = (non_empty(line.signer), non_empty(line.plugin));
        let (element, broker) = (non_empty(line.element), non_empty(line.broker));
        let argo_id = non_empty(line.argo_id);
        let reason = non_empty(line.reason).map(tracing::field::display);
        match self {
            Self::Sent => tracing::info!(%channel, %id, element, broker, "message sent"),
            Self::Stored => tracing::info!(%channel, %id, signer, argo_id, element, "message stored"),
            Self::Dropped => tracing::info!(%channel, %id, signer, argo_id, plugin, element, reason, "message dropped"),
            Self::Duplicate => {
                tracing::info!(%channel, %id, signer, argo_id, "message received before; duplicate dropped")
            }
            Self::Rejected => {
                tracing::warn!(%channel, %id, signer, argo_id, plugin, element, reason, "message rejected")
            }
            Self::Deferred => {
                tracing::warn!(%channel, %id, signer, argo_id, plugin, element, attempt, reason, "message deferred");
            }
            Self::Waiting => tracing::warn!(%channel, %id, element, attempt, reason, "message waiting in outgoing"),
            Self::Prepared | Self::Gone | Self::Unknown => {
                tracing::info!(%channel, %id, element, reason, "message {self}");
            }
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    #[test]
    fn each_has_one_word_which_is_its_form_in_json() {
        let words: HashSet<&str> = Fate::ALL.iter().map(|fate| fate.word()).collect();
        assert_eq!(words.len(), Fate::ALL.len());
        for fate in Fate::ALL {
            let read: StrDeserializer<'_, Error> = fate.word().into_deserializer();
            assert_eq!(Fate::deserialize(read).unwrap(), fate);
            assert!(fate.meaning().ends_with('.'));
            assert_eq!(format!("{fate:>10}").trim(), fate.word());
        }
    }
}
