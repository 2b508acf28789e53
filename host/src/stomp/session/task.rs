//! The one task that owns the socket of a session: it reads, writes and keeps time, and never waits for a consumer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::core::{Core, Request};
use super::delivery::Ack;
use super::error::{Closed, ProtocolError};
use super::outbox::{Outbox, SLICES};
use crate::stomp::budget::{MemoryBudget, Reservation};
use crate::stomp::decode::{Decoder, Event};
use crate::stomp::frame::Command;

/// How much one read takes, and how much is read ahead of a large body.
pub(super) const READ_AHEAD: usize = 64 * 1024;
/// What a delivery costs beside its headers and its body.
const OVERHEAD: usize = 1024;
/// The first share of a body of unannounced length.
const OPEN_BODY: usize = 64 * 1024;
/// Requests and ACKs taken up at a time.
const BATCH: usize = 64;
/// How long closing the stream may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Below this rate, in bytes a second, an old incomplete frame is given up.
const SLOWEST: u64 = 1024;

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

/// How far the frame in work has come.
#[derive(Default)]
pub(super) struct Intake {
    /// The share of the memory budget that the frame in work has.
    reservation: Option<Reservation>,
    /// What that frame costs beside its body.
    fixed: usize,
    /// Set while we wait for that share and do not read.
    waiting: Option<Waiting>,
    /// When the frame in work began, and how many bytes had come by then.
    began: Option<(Duration, u64)>,
    /// Bytes read in all.
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
    /// Serves until the session is over, tells everybody why, and closes the stream.
    pub(super) async fn run(mut self) {
        let closed = Arc::new(match self.serve().await {
            Ok(never) => match never {},
            Err(closed) => closed,
        });
        tracing::debug!(reason = %closed, "session over");
        self.closed.send_replace(Some(Arc::clone(&closed)));
        self.core.finish(&closed);
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        let _ = timeout(FAREWELL, self.writer.shutdown()).await;
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Closed> {
        let mut ticks = interval(self.core.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut requests, mut acks) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        self.take_frames()?;
        loop {
            match self.next_step(&mut ticks, &mut requests, &mut acks).await {
                Step::Read(result) => self.received(result)?,
                Step::Reserved(reservation) => self.resume(reservation)?,
                Step::Requests(0) => return Err(Closed::ByUs),
                Step::Requests(_) => self.take_up(&mut requests)?,
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
            self.input.reserve(self.decoder.missing(self.input.len()) + READ_AHEAD / 2);
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
            // rustls' word for a peer that closed without close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.core.end_of_stream(self.decoder.mid_frame(&self.input)))
            }
            Err(_) if self.core.is_closing() => Err(Closed::ByUs),
            Err(error) => Err(Closed::Io(error)),
        }
    }

    /// Acts on every whole frame in the buffer, until one needs memory that is not free.
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

    /// Takes a share of the memory budget for a body of `length`, or stops reading until there is one.
    fn reserve(&mut self, length: usize) {
        let bytes = length + self.intake.fixed;
        self.intake.reservation = None;
        if self.core.is_closing() {
            return;
        }
        self.intake.reservation = self.memory.try_reserve(bytes);
        if self.intake.reservation.is_none() {
            tracing::debug!(bytes, "memory budget used up: not reading");
            self.core.clock.stop();
            self.intake.waiting = Some(Box::pin(self.memory.clone().reserve(bytes)));
        }
    }

    /// Notes when an incomplete frame began, and enlarges the share of one whose length is not known.
    ///
    /// The old share is given back before the larger one is asked for: two sessions that each hold half of the budget
    /// and wait for the other half would wait for ever.
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
        if self.readable() == 0 {
            self.reserve(self.input.len().max(OPEN_BODY) * 2);
        }
    }

    /// How many bytes may be read now: a body of unannounced length must not outgrow its share.
    fn readable(&self) -> usize {
        match &self.intake.reservation {
            Some(share) if self.decoder.in_open_message() && share.bytes() < self.memory.total() => {
                share.bytes().saturating_sub(self.intake.fixed + self.input.len())
            }
            _ => usize::MAX,
        }
    }

    fn resume(&mut self, reservation: Option<Reservation>) -> Result<(), Closed> {
        self.intake.waiting = None;
        self.intake.reservation = reservation;
        self.core.clock.resume();
        self.take_frames()
    }

    /// Takes up requests in their order. Once a DISCONNECT is among them we read on whatever the budget says: deliveries
    /// are discarded from then on.
    fn take_up(&mut self, requests: &mut Vec<Request>) -> Result<(), Closed> {
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

    /// Takes up every ACK given so far: after an UNSUBSCRIBE or DISCONNECT the broker takes none.
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
        let slow = (self.intake.total - total) < age.as_secs().max(1) * SLOWEST;
        if age >= after && slow { Err(Closed::FrameTooSlow { after }) } else { Ok(()) }
    }
}

async fn granted(waiting: &mut Option<Waiting>) -> Option<Reservation> {
    match waiting {
        Some(waiting) => waiting.await,
        None => std::future::pending().await,
    }
}

/// One write of what waits, or a flush where all is written: `None`.
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
