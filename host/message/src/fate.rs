//! What became of a message: one word for it in the log, in `trace`, `explain`, `publish`, `send --json` and the demo.
//!
//! The word alone does not say why; that is a [`Code`](crate::Code) with a text, or a plugin's finding.

use std::fmt;

use serde::{Deserialize, Serialize};

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

    /// Whether the message arrived: the broker has it, or the incoming queue.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Sent | Self::Stored)
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
            assert_eq!(format!("{fate:>10}").trim(), fate.word());
        }
    }
}
