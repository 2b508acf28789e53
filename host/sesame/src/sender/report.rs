//! What became of the messages of one run, for the summary and for anyone who listens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::channel::{Channel, Meters};
use message::{Code, Fate, MessageId, locked};
use observe::overview::{Event, Verdict};

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

/// What became of one message, for [`Report::fate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Became<'a> {
    element: &'a str,
    id: Option<&'a MessageId>,
    fate: Fate,
    code: Option<Code>,
    reason: Option<&'a str>,
    plugin: Option<&'a str>,
    seen: Option<&'a Seen>,
    /// Its element in the reject queue.
    kept: Option<&'a str>,
}

/// What is known of a message only while it passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The size of its payload.
    pub(super) bytes: u64,
    /// Headers that plugins set.
    pub(super) headers: Vec<(String, String)>,
    /// What each plugin answered, as far as anyone wants to know.
    pub(super) verdicts: Vec<Verdict>,
}

impl<'a> Became<'a> {
    pub(super) fn new(fate: Fate, element: &'a str, id: Option<&'a MessageId>) -> Self {
        Self { element, id, fate, code: None, reason: None, plugin: None, seen: None, kept: None }
    }

    /// It is rejected.
    pub(super) fn rejected(element: &'a str, id: &'a MessageId, code: Code, reason: &'a str) -> Self {
        Self { code: Some(code), ..Self::new(Fate::Rejected, element, Some(id)).because(reason) }
    }

    /// Its element in the reject queue, by which an operator finds it.
    pub(super) fn kept_as(self, kept: &'a str) -> Self {
        Self { kept: Some(kept), ..self }
    }

    pub(super) fn because(self, reason: &'a str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// The plugin that decided, if one did.
    pub(super) fn by(self, plugin: Option<&'a str>) -> Self {
        Self { plugin, ..self }
    }

    pub(super) fn seen(self, seen: &'a Seen) -> Self {
        Self { seen: Some(seen), ..self }
    }

    fn event(&self, channel: &Channel) -> Event {
        let seen = self.seen.cloned().unwrap_or_default();
        Event {
            code: self.code.map(|code| code.to_string()),
            reason: self.reason.map(str::to_owned),
            id: self.id.map(ToString::to_string),
            plugin: self.plugin.map(str::to_owned),
            element: Some(self.kept.unwrap_or(self.element).to_owned()),
            bytes: (seen.bytes > 0).then_some(seen.bytes),
            headers: seen.headers,
            verdicts: seen.verdicts,
            ..channel.event()
        }
    }
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

    /// Reports on one message, and counts it. Those that are sent are counted by the function below.
    pub(super) fn fate(&self, became: &Became<'_>) {
        let Became { element, id, fate, code, reason, .. } = *became;
        match (fate, code) {
            (Fate::Sent, _) => {}
            (Fate::Rejected, Some(code)) => {
                self.meters.fate(fate, Some(code));
                self.rejected.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.meters.fate(fate, None),
        }
        self.meters.tell(fate, || became.event(&self.channel));
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

    /// So many messages were sent. They are counted at once.
    pub(super) fn count_sent(&self, messages: usize) {
        self.sent.fetch_add(messages as u64, Ordering::Relaxed);
        self.meters.fates_of(messages, Fate::Sent, None);
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
