//! The task that owns the socket of a session. It reads, writes and checks deadlines, and never waits for a consumer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::core::{Core, Request};
use super::delivery::Ack;
use super::error::{Closed, ProtocolError};
use super::outbox::{Outbox, SLICES};
use crate::budget::{MemoryBudget, Reservation};
use crate::decode::{Decoder, Event};
use crate::frame::Command;

/// Size of the read buffer.
pub(super) const READ_AHEAD: usize = 64 * 1024;
/// Memory counted for a delivery in addition to its headers and body.
const OVERHEAD: usize = 1024;
/// First reservation for a body of unannounced length.
const OPEN_BODY: usize = 64 * 1024;
/// Maximum number of requests or ACKs taken at a time.
const BATCH: usize = 64;
/// Deadline for closing the stream.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// The session ends if an incomplete frame is past its deadline and arrives below this rate, in bytes per second.
const MINIMUM_RATE: u64 = 1024;

type Waiting = Pin<Box<dyn Future<Output = Option<Reservation>> + Send>>;

/// A running session.
pub(super) struct Task<S> {
    pub(super) reader: ReadHalf<S>,
    pub(super) writer: WriteHalf<S>,
    pub(super) input: BytesMut,
    pub(super) decoder: Decoder,
    pub(super) core: Core,
    pub(super) memory: MemoryBudget,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) acks: mpsc::UnboundedReceiver<Ack>,
    pub(super) closed: watch::Sender<Option<Arc<Closed>>>,
    pub(super) intake: Intake,
}

/// State of reading: the frame in progress and its memory.
#[derive(Default)]
pub(super) struct Intake {
    /// Memory reserved for the frame in progress.
    reservation: Option<Reservation>,
    /// Memory counted for that frame in addition to its body.
    fixed: usize,
    /// Set while reading is paused until memory is free.
    waiting: Option<Waiting>,
    /// When the frame in progress began, and the total of bytes read at that time.
    began: Option<(Duration, u64)>,
    /// Total of bytes read.
    total: u64,
}

enum Step {
    Read(io::Result<usize>),
    Reserved(Option<Reservation>),
    Requests(usize),
    Acks,
    Wrote(io::Result<Option<usize>>),
    Tick,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Task<S> {
    /// Runs until the session ends, reports the reason to all waiters, and closes the stream.
    pub(super) async fn run(mut self) {
        let closed = Arc::new(match self.serve().await {
            Ok(never) => match never {},
            Err(closed) => closed,
        });
        tracing::debug!(reason = %closed, "session ended");
        self.closed.send_replace(Some(Arc::clone(&closed)));
        self.core.finish(&closed);
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        let _ = timeout(SHUTDOWN_TIMEOUT, self.writer.shutdown()).await;
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Closed> {
        let tick = self.core.tick();
        let mut ticks = interval_at(Instant::now() + message::beat::until_next(tick), tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut requests, mut acks) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        self.take_frames()?;
        loop {
            match self.next_step(&mut ticks, &mut requests, &mut acks).await {
                Step::Read(result) => self.received(result)?,
                Step::Reserved(reservation) => self.resume(reservation)?,
                Step::Requests(0) => return Err(Closed::ByUs),
                Step::Requests(_) => self.take_requests(&mut requests)?,
                Step::Acks => acks.drain(..).try_for_each(|ack| self.core.acknowledge(ack))?,
                Step::Wrote(Ok(Some(written))) => self.core.wrote(written),
                Step::Wrote(Ok(None)) => self.core.outbox.flushed(),
                Step::Wrote(Err(error)) => self.core.write_failed(error),
                Step::Tick => self.check()?,
            }
        }
    }

    async fn next_step(&mut self, ticks: &mut Interval, requests: &mut Vec<Request>, acks: &mut Vec<Ack>) -> Step {
        let readable = self.readable();
        if self.intake.waiting.is_none() {
            make_room(&mut self.input, &self.decoder);
        }
        let has_room = self.core.outbox.has_room();
        let mut input = (&mut self.input).limit(readable);
        tokio::select! {
            result = self.reader.read_buf(&mut input), if self.intake.waiting.is_none() => Step::Read(result),
            reservation = granted(&mut self.intake.waiting), if self.intake.waiting.is_some() => Step::Reserved(reservation),
            count = self.requests.recv_many(requests, BATCH), if self.core.takes_requests() => Step::Requests(count),
            _ = self.acks.recv_many(acks, BATCH), if has_room => Step::Acks,
            result = write_some(&mut self.writer, &self.core.outbox), if !self.core.outbox.is_idle() => Step::Wrote(result),
            _ = ticks.tick() => Step::Tick,
        }
    }

    fn received(&mut self, result: io::Result<usize>) -> Result<(), Closed> {
        match result {
            Ok(0) => Err(self.core.end_of_stream(self.decoder.mid_frame(&self.input))),
            Ok(count) => {
                self.intake.total += count as u64;
                self.core.read();
                self.take_frames()
            }
            // rustls returns this if a peer closes without close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.core.end_of_stream(self.decoder.mid_frame(&self.input)))
            }
            Err(_) if self.core.is_closing() => Err(Closed::ByUs),
            Err(error) => Err(Closed::io(error)),
        }
    }

    /// Handles every complete frame in the buffer, until one needs memory that is not free.
    fn take_frames(&mut self) -> Result<(), Closed> {
        while self.intake.waiting.is_none() {
            let Some(event) = self.decoder.decode(&mut self.input).map_err(ProtocolError::Frame)? else {
                break;
            };
            match event {
                Event::HeartBeat => {}
                Event::Head { command: Command::Message, content_length, header_bytes } => {
                    self.intake.fixed = header_bytes + OVERHEAD;
                    self.reserve(content_length.unwrap_or(OPEN_BODY));
                }
                Event::Head { .. } => {}
                Event::Oversized { frame, length } => {
                    self.intake.began = None;
                    self.intake.reservation = None;
                    self.core.oversized(frame, length)?;
                }
                Event::Frame(frame) => {
                    self.intake.began = None;
                    let cost = frame.body.len() + self.intake.fixed;
                    let memory = self.intake.reservation.take().map(|mut memory| {
                        memory.shrink_to(cost);
                        memory
                    });
                    self.core.frame(frame, memory)?;
                }
            }
        }
        self.watch_frame();
        Ok(())
    }

    /// Reserves memory for a body of `length`, or pauses reading until it is free.
    fn reserve(&mut self, length: usize) {
        let bytes = length + self.intake.fixed;
        self.intake.reservation = None;
        if self.core.is_closing() {
            return;
        }
        self.intake.reservation = self.memory.try_reserve(bytes);
        if self.intake.reservation.is_none() {
            tracing::debug!(bytes, "memory budget exhausted: reading paused");
            self.core.clock.stop();
            self.intake.waiting = Some(Box::pin(self.memory.clone().reserve(bytes)));
        }
    }

    /// Notes when an incomplete frame began, and enlarges the reservation of a body of unannounced length.
    ///
    /// The old reservation is freed before the larger one is requested: two sessions that each hold half of the budget
    /// and wait for the other half would deadlock.
    fn watch_frame(&mut self) {
        if self.intake.waiting.is_some() {
            return;
        }
        if !self.decoder.mid_frame(&self.input) {
            self.intake.began = None;
            return;
        }
        let (now, total) = (self.core.clock.now(), self.intake.total);
        self.intake.began.get_or_insert((now, total));
        if let Some(room) = self.decoder.open_room(self.input.len())
            && self.readable() == 0
        {
            let length = self.input.len();
            self.reserve((length.max(OPEN_BODY) * 2).min(length + room));
        }
    }

    /// How many bytes may be read now: a body of unannounced length must not exceed its reservation, and is not read
    /// beyond the limit.
    fn readable(&self) -> usize {
        let Some(room) = self.decoder.open_room(self.input.len()) else { return usize::MAX };
        match &self.intake.reservation {
            Some(share) if share.bytes() < self.memory.total() => {
                room.min(share.bytes().saturating_sub(self.intake.fixed + self.input.len()))
            }
            _ => room,
        }
    }

    fn resume(&mut self, reservation: Option<Reservation>) -> Result<(), Closed> {
        self.intake.waiting = None;
        self.intake.reservation = reservation;
        self.core.clock.resume();
        self.take_frames()
    }

    /// Handles requests in order. A DISCONNECT resumes reading whatever the budget: deliveries are discarded from then on.
    fn take_requests(&mut self, requests: &mut Vec<Request>) -> Result<(), Closed> {
        for request in requests.drain(..) {
            if matches!(request, Request::Disconnect { .. } | Request::Unsubscribe { .. }) {
                self.take_acks()?;
            }
            if matches!(request, Request::Disconnect { .. }) && self.intake.waiting.take().is_some() {
                self.core.clock.resume();
            }
            self.core.request(request);
        }
        Ok(())
    }

    /// Queues every ACK given so far: brokers refuse an ACK after UNSUBSCRIBE or DISCONNECT.
    fn take_acks(&mut self) -> Result<(), Closed> {
        while let Ok(ack) = self.acks.try_recv() {
            self.core.acknowledge(ack)?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Closed> {
        self.core.check()?;
        let Some((began, total)) = self.intake.began else {
            return Ok(());
        };
        let age = self.core.clock.now().saturating_sub(began);
        let after = self.core.frame_deadline();
        let slow = (self.intake.total - total) < age.as_secs().max(1) * MINIMUM_RATE;
        if age >= after && slow { Err(Closed::FrameTooSlow { after }) } else { Ok(()) }
    }
}

/// Makes room in the buffer for the next read.
///
/// A body of unannounced length may grow up to the limit. Its buffer grows to fractions of the limit by powers of two,
/// so that the old and the new buffer together are never much larger than the limit. Doubling from any other size would
/// take up to twice as much while one buffer is copied to the other.
fn make_room(input: &mut BytesMut, decoder: &Decoder) {
    let length = input.len();
    match decoder.open_room(length) {
        Some(room) if input.capacity() - length < room.min(READ_AHEAD / 2) => {
            let mut larger = BytesMut::with_capacity(open_capacity(length, length + room));
            larger.extend_from_slice(input);
            *input = larger;
        }
        Some(_) => {}
        None => input.reserve(decoder.missing(length) + READ_AHEAD / 2),
    }
}

/// The smallest of `most`, `most`/2, `most`/4 … that leaves room for another read; `most` if none does.
fn open_capacity(length: usize, most: usize) -> usize {
    let enough = length + READ_AHEAD;
    let mut capacity = most;
    while capacity.div_ceil(2) >= enough {
        capacity = capacity.div_ceil(2);
    }
    capacity
}

async fn granted(waiting: &mut Option<Waiting>) -> Option<Reservation> {
    match waiting {
        Some(waiting) => waiting.await,
        None => std::future::pending().await,
    }
}

/// Writes queued bytes once and returns their number; flushes and returns `None` if everything is written.
async fn write_some<W: AsyncWrite + Unpin>(writer: &mut W, outbox: &Outbox) -> io::Result<Option<usize>> {
    if outbox.is_empty() {
        writer.flush().await?;
        return Ok(None);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = outbox.slices(&mut slices);
    match writer.write_vectored(slices.get(..count).unwrap_or_default()).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(Some(written)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Limits;
    use crate::frame::Origin;

    const LIMIT: usize = 8 << 20;

    #[test]
    fn a_body_of_unannounced_length_never_holds_two_buffers_much_larger_than_the_limit() {
        let limits = Limits { body: LIMIT, ..Limits::default() };
        let mut decoder = Decoder::new(Origin::Broker, limits);
        let mut input = BytesMut::from(&b"MESSAGE\n\n"[..]);
        while decoder.decode(&mut input).unwrap().is_some() {}
        let (mut most, mut moves) = (0, 0);
        let outcome = loop {
            let before = (input.capacity(), input.len());
            make_room(&mut input, &decoder);
            if input.capacity() != before.0 {
                moves += 1;
                // At that time only the copied part of the new buffer is touched.
                most = most.max(before.0 + before.1);
            }
            let count = (input.capacity() - input.len()).min(READ_AHEAD);
            assert!(count > 0 || decoder.open_room(input.len()) == Some(0));
            input.extend_from_slice(&vec![b'x'; count.max(1)]);
            match decoder.decode(&mut input) {
                Ok(found) => assert_eq!(found, None),
                Err(error) => break error,
            }
        };
        assert_eq!(outcome, crate::FrameError::BodyTooLong { command: Command::Message, limit: LIMIT });
        assert!(input.len() == LIMIT + 1, "{} bytes were read", input.len());
        assert!(most <= LIMIT + READ_AHEAD && moves < 12, "{most} bytes in {moves} moves");
    }
}
