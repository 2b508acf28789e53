//! What became of the messages of one run, for the summary and for anyone who listens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::channel::{Channel, Meters};
use message::{Code, Fate, MessageId, locked};

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FateReport {
    /// The channel.
    pub channel: Channel,
    /// The element.
    pub element: String,
    /// The message's id, where it is known.
    pub id: Option<String>,
    /// Its fate.
    pub fate: Fate,
    /// Why, where it was not sent.
    pub reason: Option<String>,
}

/// Counts the messages that were sent and rejected, and reports on each.
#[derive(Debug)]
pub(super) struct Report {
    channel: Channel,
    pub(super) meters: Arc<Meters>,
    listener: Mutex<Option<mpsc::Sender<FateReport>>>,
    sent: AtomicU64,
    rejected: AtomicU64,
}

impl Report {
    pub(super) fn new(channel: Channel, meters: Arc<Meters>) -> Self {
        Self { channel, meters, listener: Mutex::default(), sent: AtomicU64::new(0), rejected: AtomicU64::new(0) }
    }

    /// Sends a report on each message to `listener` from now on.
    pub(super) fn tell(&self, listener: mpsc::Sender<FateReport>) {
        *locked(&self.listener) = Some(listener);
    }

    /// Reports on one message. Those that are sent and rejected are counted by the functions below.
    pub(super) fn fate(&self, element: &str, id: Option<&MessageId>, fate: Fate, reason: Option<&str>) {
        if !matches!(fate, Fate::Sent | Fate::Rejected) {
            self.meters.fate(fate, None);
        }
        if let Some(listener) = &*locked(&self.listener) {
            // The listener may be gone.
            let _ = listener.send(FateReport {
                channel: self.channel.clone(),
                element: element.to_owned(),
                id: id.map(ToString::to_string),
                fate,
                reason: reason.map(str::to_owned),
            });
        }
    }

    pub(super) fn count_sent(&self, messages: usize) {
        self.sent.fetch_add(messages as u64, Ordering::Relaxed);
        self.meters.fates_of(messages, Fate::Sent, None);
    }

    pub(super) fn count_rejected(&self, code: Code) {
        self.meters.fate(Fate::Rejected, Some(code));
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages with all receipts.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Messages, and parts of messages, in the reject queue.
    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }
}
