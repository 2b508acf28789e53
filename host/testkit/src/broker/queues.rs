//! Queues, their consumers and who has which message. A message leaves only by an acknowledgement.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::sync::mpsc;

use stomp::frame::{Command, Frame, Headers, Version};

/// How a consumer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Auto,
    Cumulative,
    Individual,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that got CONNECTED.
    pub sessions: u64,
    /// SEND frames taken.
    pub sends: u64,
    /// RECEIPT frames sent.
    pub receipts: u64,
    /// MESSAGE frames sent.
    pub deliveries: u64,
    /// Of these, with `redelivered:true`.
    pub redeliveries: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// NACK frames received.
    pub nacks: u64,
    /// ERROR frames sent.
    pub errors: u64,
    /// Heart-beats received (runs of line ends).
    pub heart_beats: u64,
}

/// One message that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    number: u64,
    headers: Headers,
    body: Bytes,
    delivered_before: bool,
}

/// One subscription of one connection.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) connection: u64,
    pub(super) subscription: String,
    pub(super) destination: String,
    pub(super) prefetch: usize,
    pub(super) mode: Mode,
    pub(super) version: Version,
    pub(super) twice: bool,
    pub(super) frames: mpsc::UnboundedSender<Frame>,
    /// What it has and did not acknowledge; empty at first.
    pub(super) unacknowledged: VecDeque<Kept>,
}

/// The state of the broker.
#[derive(Debug, Default)]
pub(super) struct Queues {
    waiting: BTreeMap<String, VecDeque<Kept>>,
    consumers: BTreeMap<u64, Consumer>,
    next: u64,
    pub(super) counters: Counters,
}

impl Queues {
    /// A number never given before.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn add(&mut self, destination: &str, headers: Headers, body: Bytes) {
        let number = self.number();
        let message = Kept { number, headers, body, delivered_before: false };
        self.waiting.entry(destination.to_owned()).or_default().push_back(message);
        self.dispatch(destination);
    }

    pub(super) fn subscribe(&mut self, consumer: Consumer) {
        let (number, destination) = (self.number(), consumer.destination.clone());
        self.consumers.insert(number, consumer);
        self.dispatch(&destination);
    }

    /// Ends the subscriptions of a connection, or only the one that is named; what they did not acknowledge waits again,
    /// at the front and in its old order.
    pub(super) fn unsubscribe(&mut self, connection: u64, subscription: Option<&str>) {
        let ended = |consumer: &Consumer| {
            consumer.connection == connection && subscription.is_none_or(|name| consumer.subscription == name)
        };
        let numbers: Vec<u64> = self.consumers.iter().filter(|(_, c)| ended(c)).map(|(number, _)| *number).collect();
        for consumer in numbers.into_iter().filter_map(|number| self.consumers.remove(&number)).collect::<Vec<_>>() {
            let queue = self.waiting.entry(consumer.destination.clone()).or_default();
            for message in consumer.unacknowledged.into_iter().rev() {
                queue.push_front(message);
            }
            self.dispatch(&consumer.destination);
        }
    }

    /// Removes what an ACK of `connection` covers; `false` if it names nothing.
    pub(super) fn acknowledge(&mut self, connection: u64, id: &[u8]) -> bool {
        let Some((consumer, number)) = parse_ack_id(id) else {
            return false;
        };
        let Some(consumer) = self.consumers.get_mut(&consumer).filter(|c| c.connection == connection) else {
            return false;
        };
        let Some(place) = consumer.unacknowledged.iter().position(|message| message.number == number) else {
            return false;
        };
        let first = if consumer.mode == Mode::Individual { place } else { 0 };
        self.counters.acknowledged += consumer.unacknowledged.drain(first..=place).count() as u64;
        let destination = consumer.destination.clone();
        self.dispatch(&destination);
        true
    }

    fn dispatch(&mut self, destination: &str) {
        let Some(queue) = self.waiting.get_mut(destination) else {
            return;
        };
        while !queue.is_empty() {
            let free = self
                .consumers
                .iter_mut()
                .filter(|(_, c)| c.destination == destination && c.unacknowledged.len() < c.prefetch)
                .min_by_key(|(_, consumer)| consumer.unacknowledged.len());
            let Some((number, consumer)) = free else {
                return;
            };
            let Some(mut message) = queue.pop_front() else {
                return;
            };
            let frame = message_frame(*number, consumer, destination, &message);
            self.counters.redeliveries += u64::from(message.delivered_before);
            message.delivered_before = true;
            for _ in 0..=u8::from(consumer.twice) {
                self.counters.deliveries += 1;
                let _ = consumer.frames.send(frame.clone());
            }
            if consumer.mode != Mode::Auto {
                consumer.unacknowledged.push_back(message);
            }
        }
    }

    pub(super) fn depth(&self, destination: &str) -> usize {
        self.waiting.get(destination).map_or(0, VecDeque::len) + self.in_flight(destination)
    }

    pub(super) fn in_flight(&self, destination: &str) -> usize {
        let consumers = self.consumers.values().filter(|consumer| consumer.destination == destination);
        consumers.map(|consumer| consumer.unacknowledged.len()).sum()
    }

    pub(super) fn waiting(&self, destination: &str) -> Vec<(Headers, Bytes)> {
        let queue = self.waiting.get(destination);
        queue.into_iter().flatten().map(|message| (message.headers.clone(), message.body.clone())).collect()
    }
}

/// An ack id holds a colon, so that a client that does not escape it again is found out.
fn ack_id(consumer: u64, message: u64) -> String {
    format!("c{consumer}:m{message}")
}

fn parse_ack_id(id: &[u8]) -> Option<(u64, u64)> {
    let (consumer, message) = std::str::from_utf8(id).ok()?.split_once(':')?;
    Some((consumer.strip_prefix('c')?.parse().ok()?, message.strip_prefix('m')?.parse().ok()?))
}

fn message_frame(number: u64, consumer: &Consumer, destination: &str, message: &Kept) -> Frame {
    let id = ack_id(number, message.number);
    let mut frame = Frame::new(Command::Message)
        .with("subscription", &consumer.subscription)
        .with("message-id", &id)
        .with("destination", destination)
        .with("content-length", message.body.len().to_string());
    if consumer.version == Version::V1_2 {
        frame.headers.push("ack", &id);
    }
    if message.delivered_before {
        frame.headers.push("redelivered", "true");
    }
    for (name, value) in message.headers.iter() {
        frame.headers.push(name, value);
    }
    frame.with_body(message.body.clone())
}
