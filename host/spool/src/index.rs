//! What the commit engine asks of an index that several receivers share: [`SharedIndex`]. `commit/index.rs` says what its
//! rows mean.

use message::content_digest;
use serde::{Deserialize, Serialize};

/// Names a message in a shared index: SHA-256 over channel, id, signer and content, or over what a rejection is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexKey(pub [u8; 32]);

impl IndexKey {
    pub(crate) fn of(kind: &str, parts: [&[u8]; 4]) -> Self {
        let mut named = kind.as_bytes().to_vec();
        for part in parts {
            named.extend_from_slice(&(part.len() as u64).to_be_bytes());
            named.extend_from_slice(part);
        }
        Self(content_digest(&named))
    }
}

impl Serialize for IndexKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&message::hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for IndexKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let mut key = [0; 32];
        for (n, byte) in key.iter_mut().enumerate() {
            *byte = digit(2 * n).ok_or_else(|| serde::de::Error::custom("not the key of a message"))?;
        }
        Ok(Self(key))
    }
}

/// A row that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The message.
    pub key: IndexKey,
    /// Whether to claim it if there is no row.
    pub claim: bool,
}

/// What an index knows of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing, and it was not to be claimed.
    Free,
    /// This receiver claimed it, now or before.
    Ours,
    /// Another receiver stored it.
    Stored {
        /// That receiver.
        by: String,
    },
    /// Another receiver claimed it, and has not reported that it stored it.
    Claimed {
        /// That receiver.
        by: String,
    },
}

/// Why an index cannot be used now. The call is made again until it succeeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IndexError(pub String);

/// An index that several receivers share. Calls block; one that fails may be in effect or not, and is made again.
pub trait SharedIndex: Send {
    /// Claims messages, and says what is known of each, in order. One round trip. No message has two owners.
    ///
    /// # Errors
    /// [`IndexError`].
    fn claim(&mut self, asked: &[Asked]) -> Result<Vec<Claim>, IndexError>;

    /// Reports claims of this receiver as stored, durably. One round trip.
    ///
    /// # Errors
    /// [`IndexError`].
    fn stored(&mut self, keys: &[IndexKey]) -> Result<(), IndexError>;

    /// Reports what an earlier run stored, whether its rows are there or not, and then gives back its other claims. Returns how
    /// many were given back.
    ///
    /// # Errors
    /// [`IndexError`].
    fn settle(&mut self, stored: &[IndexKey]) -> Result<u64, IndexError>;

    /// Gives back claims of this receiver that it did not store.
    ///
    /// # Errors
    /// [`IndexError`].
    fn give_back(&mut self, keys: &[IndexKey]) -> Result<(), IndexError>;
}
