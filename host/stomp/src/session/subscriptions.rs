//! The subscriptions of a connection: which one a MESSAGE belongs to, and which ACK may be sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::delivery::{Ack, Delivery};
use super::error::{ProtocolError, SessionError};
use super::options::AckMode;
use crate::frame::{Headers, Version};
use crate::quote::quoted;

/// The task's state of one subscription.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) destination: String,
    pub(super) mode: AckMode,
    pub(super) deliveries: mpsc::UnboundedSender<Delivery>,
    /// Notified once, at the RECEIPT or the first MESSAGE, that the broker accepted the subscription.
    pub(super) accepted: Option<oneshot::Sender<Result<(), SessionError>>>,
    pub(super) next_sequence: u64,
    pub(super) prefix: Prefix,
    /// UNSUBSCRIBE is queued. No ACK may follow it: brokers answer that with ERROR.
    pub(super) ending: bool,
}

impl Entry {
    /// Notifies the caller that the broker accepted the subscription.
    pub(super) fn accept(&mut self) {
        if let Some(accepted) = self.accepted.take() {
            let _ = accepted.send(Ok(()));
        }
    }

    /// The id to send in an ACK for `ack`; `None` if it has to wait for an earlier delivery.
    fn acknowledge(&mut self, ack: Ack) -> Option<Bytes> {
        match self.mode {
            AckMode::ClientIndividual => Some(ack.id),
            AckMode::Client => self.prefix.done(ack),
        }
    }
}

/// The deliveries of a cumulative subscription, from the first unacknowledged one.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    first: u64,
    done: VecDeque<Option<Bytes>>,
}

impl Prefix {
    /// Notes `ack` and returns the id of the last delivery of the contiguous acknowledged part, if that part grew.
    fn done(&mut self, ack: Ack) -> Option<Bytes> {
        let place = usize::try_from(ack.sequence.checked_sub(self.first)?).ok()?;
        if self.done.len() <= place {
            self.done.resize(place + 1, None);
        }
        *self.done.get_mut(place)? = Some(ack.id);
        let mut last = None;
        while let Some(Some(_)) = self.done.front() {
            last = self.done.pop_front().flatten();
            self.first += 1;
        }
        last
    }
}

/// All subscriptions of a connection.
#[derive(Debug)]
pub(super) struct Subscriptions {
    version: Version,
    open: BTreeMap<u64, Entry>,
    /// Ended subscriptions, whose messages are discarded.
    ended: BTreeSet<u64>,
}

/// Where a MESSAGE goes.
pub(super) enum Place<'s> {
    /// To this subscription.
    Open(u64, &'s mut Entry),
    /// Nowhere: the subscription has ended.
    Ended,
}

impl Subscriptions {
    pub(super) fn new(version: Version) -> Self {
        Self { version, open: BTreeMap::new(), ended: BTreeSet::new() }
    }

    pub(super) fn insert(&mut self, number: u64, entry: Entry) {
        self.open.insert(number, entry);
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        self.open.get_mut(&number)
    }

    /// Ends a subscription: it gets no further deliveries.
    pub(super) fn end(&mut self, number: u64) {
        if self.open.remove(&number).is_some() {
            self.ended.insert(number);
        }
    }

    /// Finds the subscription of a MESSAGE. STOMP 1.0 brokers may omit the header; then the destination decides.
    pub(super) fn find(&mut self, headers: &Headers) -> Result<Place<'_>, ProtocolError> {
        let named = headers.bytes("subscription");
        let unknown = || ProtocolError::UnknownSubscription { subscription: quoted(named.unwrap_or_default()) };
        let number = match named {
            Some(name) => std::str::from_utf8(name).ok().and_then(parse_number).ok_or_else(unknown)?,
            None if self.version == Version::V1_0 => self.by_destination(headers).ok_or_else(unknown)?,
            None => return Err(unknown()),
        };
        if self.ended.contains(&number) {
            return Ok(Place::Ended);
        }
        self.open.get_mut(&number).map(|entry| Place::Open(number, entry)).ok_or_else(unknown)
    }

    fn by_destination(&self, headers: &Headers) -> Option<u64> {
        let destination = headers.text("destination");
        let same = self.open.iter().find(|(_, entry)| Some(entry.destination.as_str()) == destination);
        let only = self.open.iter().next().filter(|_| self.open.len() == 1);
        same.or(only).map(|(number, _)| *number)
    }

    /// The subscription number and the id to send in an ACK for `ack`; `None` if no ACK is to be sent now.
    pub(super) fn acknowledge(&mut self, ack: Ack) -> Option<(u64, Bytes)> {
        let number = ack.subscription;
        let entry = self.open.get_mut(&number).filter(|entry| !entry.ending)?;
        entry.acknowledge(ack).map(|id| (number, id))
    }

    /// Fails the callers that wait for a subscription to be accepted.
    pub(super) fn fail_all(&mut self, error: &SessionError) {
        for entry in self.open.values_mut() {
            if let Some(accepted) = entry.accepted.take() {
                let _ = accepted.send(Err(error.clone()));
            }
        }
        self.open.clear();
    }
}

/// Parses a subscription number in canonical form.
fn parse_number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

/// The header with the id that an ACK must return.
pub(super) fn ack_header(version: Version) -> &'static str {
    if version == Version::V1_2 { "ack" } else { "message-id" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(sequence: u64) -> Ack {
        Ack { subscription: 1, sequence, id: Bytes::from(sequence.to_string()) }
    }

    #[test]
    fn a_cumulative_ack_covers_only_the_contiguous_part() {
        let mut prefix = Prefix::default();
        assert_eq!(prefix.done(ack(2)), None);
        assert_eq!(prefix.done(ack(1)), None);
        assert_eq!(prefix.done(ack(0)).unwrap(), "2");
        assert_eq!(prefix.done(ack(4)), None);
        assert_eq!(prefix.done(ack(3)).unwrap(), "4");
        assert_eq!(prefix.done(ack(3)), None);
    }

    #[test]
    fn numbers_are_canonical() {
        assert_eq!(parse_number("12"), Some(12));
        for bad in ["+1", "01", "", " 1", "1 ", "x"] {
            assert_eq!(parse_number(bad), None, "{bad:?}");
        }
    }
}
