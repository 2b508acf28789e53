//! The logic of a session without I/O: it takes requests and frames, fills the outbox and decides when the session
//! ends. [`task`](super::task) moves the bytes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::clock::{Negotiated, ReadingClock};
use super::delivery::{Ack, AckToken, Delivery};
use super::error::{Closed, ProtocolError, SessionError, error_text, error_words};
use super::options::{AckMode, SessionOptions};
use super::outbox::Outbox;
use super::receipts::{Receipt, Receipts, Waiter};
use super::subscriptions::{Entry, Place, Subscriptions, ack_header};
use crate::budget::Reservation;
use crate::decode::FrameError;
use crate::encode::encode_head;
use crate::frame::{Command, Frame, Version};

/// After a failed write, how long the session goes on reading for the ERROR that explains it.
const ERROR_WAIT: Duration = Duration::from_secs(1);

/// Requests to the session's task. The caller encodes the head, so that encoding errors are returned to it.
#[derive(Debug)]
pub(super) enum Request {
    Send { head: Bytes, body: Bytes, receipt: u64, reply: oneshot::Sender<Result<Receipt, SessionError>> },
    Subscribe { head: Bytes, receipt: u64, number: u64, entry: Entry },
    Unsubscribe { head: Bytes, receipt: u64, number: u64, reply: oneshot::Sender<Result<(), SessionError>> },
    Disconnect { head: Bytes, receipt: u64, grace: Duration, reply: oneshot::Sender<()> },
}

/// The state of a session between its events.
#[derive(Debug)]
pub(super) struct Core {
    version: Version,
    options: SessionOptions,
    heart_beat: Negotiated,
    pub(super) outbox: Outbox,
    pub(super) clock: ReadingClock,
    receipts: Receipts,
    subscriptions: Subscriptions,
    acks: mpsc::UnboundedSender<Ack>,
    closed: watch::Receiver<Option<Arc<Closed>>>,
    last_read: Duration,
    last_write: Instant,
    last_check: Instant,
    /// The deadline of the DISCONNECT that was sent.
    closing: Option<Instant>,
    write_failure: Option<(io::Error, Instant)>,
}

/// What a [`Core`] is built from after CONNECTED.
pub(super) struct Parts {
    pub(super) version: Version,
    pub(super) epoch: Arc<str>,
    pub(super) heart_beat: Negotiated,
    pub(super) options: SessionOptions,
    pub(super) acks: mpsc::UnboundedSender<Ack>,
    pub(super) closed: watch::Receiver<Option<Arc<Closed>>>,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { version, epoch, heart_beat, options, acks, closed } = parts;
        Self {
            version,
            options,
            heart_beat,
            outbox: Outbox::default(),
            clock: ReadingClock::start(),
            receipts: Receipts::new(epoch),
            subscriptions: Subscriptions::new(version),
            acks,
            closed,
            last_read: Duration::ZERO,
            last_write: Instant::now(),
            last_check: Instant::now(),
            closing: None,
            write_failure: None,
        }
    }

    /// The interval at which [`check`](Self::check) must be called, so that no deadline is exceeded by more than a
    /// tenth.
    pub(super) fn tick(&self) -> Duration {
        let deadlines = [
            Some(self.options.receipt_timeout),
            Some(self.options.frame_deadline),
            self.heart_beat.outgoing,
            self.heart_beat.silence,
        ];
        let shortest = deadlines.into_iter().flatten().min().unwrap_or(ERROR_WAIT);
        (shortest / 10).clamp(Duration::from_millis(5), ERROR_WAIT)
    }

    /// Whether a DISCONNECT was requested: no further requests are taken, and deliveries are discarded.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// How long an incomplete frame may arrive slowly.
    pub(super) fn frame_deadline(&self) -> Duration {
        self.options.frame_deadline
    }

    /// Whether requests can be taken now.
    pub(super) fn takes_requests(&self) -> bool {
        self.outbox.has_room() && !self.is_closing() && self.write_failure.is_none()
    }

    pub(super) fn request(&mut self, request: Request) {
        match request {
            Request::Send { head, body, receipt, reply } => self.expect(&head, &body, receipt, Waiter::Send(reply)),
            Request::Subscribe { head, receipt, number, entry } => {
                self.subscriptions.insert(number, entry);
                self.expect(&head, &Bytes::new(), receipt, Waiter::Subscribe(number));
            }
            Request::Unsubscribe { head, receipt, number, reply } => {
                self.subscriptions.get_mut(number).into_iter().for_each(|entry| entry.ending = true);
                self.expect(&head, &Bytes::new(), receipt, Waiter::Unsubscribe(number, reply));
            }
            Request::Disconnect { head, receipt, grace, reply } => {
                self.expect(&head, &Bytes::new(), receipt, Waiter::Disconnect(reply));
                self.closing = Some(Instant::now() + grace);
            }
        }
    }

    fn expect(&mut self, head: &[u8], body: &Bytes, receipt: u64, waiter: Waiter) {
        self.push(head, body);
        self.receipts.expect(receipt, self.outbox.total_queued, waiter);
    }

    fn push(&mut self, head: &[u8], body: &Bytes) {
        if self.outbox.is_empty() {
            self.last_write = Instant::now();
        }
        self.outbox.push(head, body);
    }

    /// Queues an ACK if one is due.
    pub(super) fn acknowledge(&mut self, ack: Ack) -> Result<(), Closed> {
        let Some((number, id)) = self.subscriptions.acknowledge(ack) else {
            return Ok(());
        };
        let subscription = number.to_string();
        let id_header = if self.version == Version::V1_2 { "id" } else { "message-id" };
        let named = (self.version == Version::V1_1).then_some((&b"subscription"[..], subscription.as_bytes()));
        let headers = named.into_iter().chain([(id_header.as_bytes(), &id[..])]);
        let mut head = BytesMut::new();
        encode_head(&mut head, Some(self.version), Command::Ack, headers).map_err(ProtocolError::Unacknowledgeable)?;
        self.push(&head, &Bytes::new());
        Ok(())
    }

    /// Notes that bytes were received.
    pub(super) fn read(&mut self) {
        self.last_read = self.clock.now();
    }

    /// Notes that `written` bytes were written.
    pub(super) fn wrote(&mut self, written: usize) {
        self.outbox.advance(written);
        self.last_write = Instant::now();
        self.receipts.written(self.outbox.total_written, self.clock.now());
    }

    /// Notes that writing failed. Reading goes on, since the broker may have sent an ERROR with the reason.
    pub(super) fn write_failed(&mut self, error: io::Error) {
        self.outbox.clear();
        self.write_failure.get_or_insert_with(|| (error, Instant::now()));
    }

    /// The reason for the end of the session when the stream ends.
    pub(super) fn end_of_stream(&mut self, mid_frame: bool) -> Closed {
        match self.write_failure.take() {
            _ if self.is_closing() => Closed::ByUs,
            Some((error, _)) => Closed::io(error),
            None => Closed::EndOfStream { mid_frame },
        }
    }

    /// Handles one frame of the broker.
    ///
    /// # Errors
    /// The reason, if the frame ends the session.
    pub(super) fn frame(&mut self, frame: Frame, memory: Option<Reservation>) -> Result<(), Closed> {
        match frame.command {
            Command::Message => self.message(frame, memory, None),
            Command::Receipt => self.receipt(&frame),
            Command::Error => Err(self.error(&frame)),
            command => Err(ProtocolError::Unexpected { command }.into()),
        }
    }

    /// Delivers a MESSAGE without its oversized body. In [`AckMode::Client`] the session ends instead: an ACK covers
    /// all earlier deliveries, so that none after this message could be acknowledged.
    ///
    /// # Errors
    /// The reason, if the frame ends the session.
    pub(super) fn oversized(&mut self, frame: Frame, length: u64) -> Result<(), Closed> {
        if let Place::Open(_, Entry { mode: AckMode::Client, .. }) = self.subscriptions.find(&frame.headers)? {
            let limit = self.options.limits.body;
            return Err(ProtocolError::Frame(FrameError::BodyTooLong { command: frame.command, limit }).into());
        }
        self.message(frame, None, Some(length))
    }

    fn message(&mut self, frame: Frame, memory: Option<Reservation>, oversized: Option<u64>) -> Result<(), Closed> {
        if self.is_closing() {
            return Ok(());
        }
        let header = ack_header(self.version);
        let (number, entry) = match self.subscriptions.find(&frame.headers)? {
            Place::Open(number, entry) => (number, entry),
            Place::Ended => return Ok(()),
        };
        let id = frame.headers.bytes(header).ok_or(ProtocolError::NoAckId { header })?;
        let ack = Ack { subscription: number, sequence: entry.next_sequence, id: Bytes::copy_from_slice(id) };
        entry.next_sequence += 1;
        entry.accept();
        let token = AckToken { ack, acks: self.acks.clone(), closed: self.closed.clone() };
        // Without a receiver the delivery is dropped, and the broker keeps the message.
        let _ = entry.deliveries.send(Delivery { headers: frame.headers, body: frame.body, oversized, token, memory });
        Ok(())
    }

    fn receipt(&mut self, frame: &Frame) -> Result<(), Closed> {
        let id = frame.headers.bytes("receipt-id").unwrap_or_default();
        let unknown = || ProtocolError::UnknownReceipt { receipt: crate::quote::quoted(id) };
        let (waiter, receipt) = self.receipts.take(id).ok_or_else(unknown)?;
        match waiter {
            Waiter::Send(reply) => drop(reply.send(Ok(receipt))),
            Waiter::Subscribe(number) => self.subscriptions.get_mut(number).into_iter().for_each(Entry::accept),
            Waiter::Unsubscribe(number, reply) => {
                self.subscriptions.end(number);
                let _ = reply.send(Ok(()));
            }
            Waiter::Disconnect(reply) => {
                let _ = reply.send(());
                return Err(Closed::ByUs);
            }
        }
        Ok(())
    }

    fn error(&mut self, frame: &Frame) -> Closed {
        let (message, body) = error_words(frame);
        let named = frame.headers.bytes("receipt-id");
        if let Some((waiter, _)) = named.and_then(|id| self.receipts.take(id)) {
            let refused = SessionError::Refused { message: error_text(&message, &body) };
            match waiter {
                Waiter::Subscribe(number) => {
                    let accepted = self.subscriptions.get_mut(number).and_then(|entry| entry.accepted.take());
                    accepted.into_iter().for_each(|reply| drop(reply.send(Err(refused.clone()))));
                }
                waiter => waiter.fail(refused),
            }
        }
        Closed::Error { message, body, receipt_id: named.map(crate::quote::quoted) }
    }

    /// Checks every deadline and queues a heart-beat if one is due.
    ///
    /// # Errors
    /// The reason, if a missed deadline ends the session.
    pub(super) fn check(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        if self.closing.is_some_and(|deadline| now >= deadline) {
            return Err(Closed::ByUs);
        }
        if let Some((error, _)) = self.write_failure.take_if(|(_, since)| since.elapsed() >= ERROR_WAIT) {
            return Err(Closed::io(error));
        }
        if !self.outbox.is_empty() {
            let since = self.last_check.max(self.last_write);
            self.options.counters.count_blocked(now.saturating_duration_since(since));
        }
        let stood_still = self.skip_standstill(now);
        self.check_peer()?;
        self.check_receipts()?;
        let unwritten_for = now.saturating_duration_since(self.last_write);
        if !stood_still && !self.outbox.is_empty() && unwritten_for >= self.options.receipt_timeout {
            return Err(Closed::WriteStalled { after: self.options.receipt_timeout });
        }
        let due = self.heart_beat.outgoing.is_some_and(|interval| unwritten_for >= interval.mul_f32(0.8));
        if due && self.outbox.is_empty() && self.write_failure.is_none() {
            self.last_write = now;
            self.outbox.push_heart_beat();
        }
        Ok(())
    }

    /// Excludes time in which this process did not run (stopped, swapped out, suspended): what the broker sent
    /// meanwhile waits in the kernel and may be read only after this check. Returns whether there was such a time.
    fn skip_standstill(&mut self, now: Instant) -> bool {
        let (gap, tick) = (now.saturating_duration_since(self.last_check), self.tick());
        self.last_check = now;
        let stood_still = gap > tick * 3;
        if stood_still {
            self.clock.skip(gap - tick);
        }
        stood_still
    }

    fn check_peer(&self) -> Result<(), Closed> {
        let silent_for = self.clock.now().saturating_sub(self.last_read);
        match self.heart_beat.silence {
            Some(limit) if silent_for >= limit => Err(Closed::HeartBeatMissed { silent_for }),
            _ => Ok(()),
        }
    }

    fn check_receipts(&mut self) -> Result<(), Closed> {
        let after = self.options.receipt_timeout;
        let Some(waiter) = self.receipts.take_expired(self.clock.now(), after) else {
            return Ok(());
        };
        if let Waiter::Subscribe(number) = &waiter {
            let accepted = self.subscriptions.get_mut(*number).and_then(|entry| entry.accepted.take());
            accepted.into_iter().for_each(|reply| drop(reply.send(Err(SessionError::TimedOut { after }))));
        }
        waiter.fail(SessionError::TimedOut { after });
        Err(Closed::ReceiptTimeout { after })
    }

    /// Fails everything that waits for the broker.
    pub(super) fn finish(&mut self, closed: &Arc<Closed>) {
        self.receipts.fail_all(closed);
        self.subscriptions.fail_all(&SessionError::Closed(Arc::clone(closed)));
    }
}
