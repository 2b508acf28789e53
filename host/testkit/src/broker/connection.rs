//! One connection of the broker: frames in, answers and deliveries out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::queues::{Consumer, Mode};
use super::{Script, Shared};
use stomp::decode::{Decoder, Event, Limits};
use stomp::encode::encode;
use stomp::frame::{Command, Frame, Headers, Origin, Version};

/// Headers of a SEND that are not handed on with the message.
const OWN: [&str; 8] =
    ["destination", "content-length", "receipt", "transaction", "subscription", "message-id", "ack", "redelivered"];
/// What waits to be written is written together up to this many frames.
const BATCH: usize = 64;

/// The reading side of a connection.
pub(super) struct Connection {
    number: u64,
    shared: Arc<Shared>,
    frames: mpsc::UnboundedSender<Frame>,
    version: Version,
    /// The client is dropped after this long without a byte.
    silence: Option<Duration>,
    taken: u64,
}

/// What follows from a frame.
enum Next {
    Go,
    /// The connection ends when what is queued is written.
    End,
    /// The connection ends at once.
    Cut,
}

/// What the writing side needs to know once the client is connected.
struct Agreed {
    version: Version,
    heart_beat: Option<Duration>,
}

impl Connection {
    /// Serves one client until it or the script ends the connection; its unacknowledged messages then wait again.
    pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S, shared: Arc<Shared>) {
        let (reader, writer) = tokio::io::split(stream);
        let (frames, queue) = mpsc::unbounded_channel();
        let (agree, agreed) = tokio::sync::oneshot::channel();
        let number = shared.queues().number();
        let guard = Requeue { number, shared: Arc::clone(&shared) };
        let mut connection =
            Self { number, shared: Arc::clone(&shared), frames, version: Version::V1_0, silence: None, taken: 0 };
        let writing = write_frames(writer, queue, agreed, shared);
        tokio::pin!(writing);
        let ended = tokio::select! {
            next = connection.read(reader, agree) => next,
            () = &mut writing => Next::Cut,
        };
        drop(guard);
        drop(connection);
        if matches!(ended, Next::End) {
            let _ = timeout(Duration::from_secs(1), writing).await;
        }
    }

    async fn read<S: AsyncRead>(
        &mut self,
        mut reader: ReadHalf<S>,
        agree: tokio::sync::oneshot::Sender<Agreed>,
    ) -> Next {
        let (mut decoder, mut input) = (Decoder::new(Origin::Client, Limits::default()), BytesMut::new());
        let mut agree = Some(agree);
        loop {
            loop {
                match decoder.decode(&mut input) {
                    Err(error) => return self.error(&Frame::new(Command::Error), &error.to_string()),
                    Ok(None) => break,
                    Ok(Some(Event::HeartBeat)) => self.shared.queues().counters.heart_beats += 1,
                    // Only a MESSAGE can be oversized, and clients send none.
                    Ok(Some(Event::Head { .. } | Event::Oversized { .. })) => {}
                    Ok(Some(Event::Frame(frame))) => match self.frame(&frame, &mut agree) {
                        Next::Go => decoder.set_version(self.version),
                        end => return end,
                    },
                }
            }
            input.reserve(decoder.missing(input.len()) + 64 * 1024);
            let read = timeout(self.silence.unwrap_or(Duration::MAX), reader.read_buf(&mut input)).await;
            if !matches!(read, Ok(Ok(1..))) {
                return Next::Cut;
            }
        }
    }

    fn frame(&mut self, frame: &Frame, agree: &mut Option<tokio::sync::oneshot::Sender<Agreed>>) -> Next {
        let script = self.shared.script();
        self.taken += 1;
        if script.close_after_frames.is_some_and(|limit| self.taken > limit) {
            return Next::Cut;
        }
        if script.silent {
            return Next::Go;
        }
        match (frame.command, agree.take()) {
            (Command::Connect | Command::Stomp, Some(agree)) => self.connect(frame, &script, agree),
            (_, Some(_)) => self.error(frame, "You must log in using CONNECT first"),
            (Command::Connect | Command::Stomp, None) => self.error(frame, "Already connected"),
            (_, None) => self.serve_frame(frame, &script),
        }
    }

    fn connect(&mut self, frame: &Frame, script: &Script, agree: tokio::sync::oneshot::Sender<Agreed>) -> Next {
        let offered = frame.headers.text("accept-version").unwrap_or("1.0");
        let best = offered.split(',').filter_map(Version::parse).max();
        let Some(version) = script.version.or(best) else {
            return self.error(frame, "Supported protocol versions are 1.0, 1.1 and 1.2");
        };
        let given = (frame.headers.text("login"), frame.headers.text("passcode"));
        if script.login.as_ref().is_some_and(|(name, code)| given != (Some(name), Some(code))) {
            return self.error(frame, "Bad CONNECT: access refused");
        }
        let mut answer = Frame::new(Command::Connected).with("server", "sesame-demo-broker");
        if version > Version::V1_0 {
            let (sends, wants) = script.heart_beat;
            answer = answer.with("version", version.as_str()).with("heart-beat", format!("{sends},{wants}"));
        }
        let heart_beat = self.heart_beats(frame, version, script);
        self.version = version;
        self.shared.queues().counters.sessions += 1;
        let _ = agree.send(Agreed { version, heart_beat });
        self.answer(answer)
    }

    /// Settles what the client has to send, and gives what we have to.
    fn heart_beats(&mut self, frame: &Frame, version: Version, script: &Script) -> Option<Duration> {
        let theirs = frame.headers.text("heart-beat").filter(|_| version > Version::V1_0)?;
        let (sends, wants) = theirs.split_once(',')?;
        let (sends, wants): (u64, u64) = (sends.parse().ok()?, wants.parse().ok()?);
        let (ours, wanted) = script.heart_beat;
        let agree = |a: u64, b: u64| (a > 0 && b > 0).then(|| Duration::from_millis(a.max(b)));
        self.silence = agree(sends, wanted).map(|interval| interval * 2);
        agree(ours, wants).filter(|_| !script.heart_beats_stop)
    }

    fn serve_frame(&mut self, frame: &Frame, script: &Script) -> Next {
        match frame.command {
            Command::Send => return self.send(frame, script),
            Command::Subscribe => return self.subscribe(frame, script),
            Command::Unsubscribe => {
                let Some(id) = frame.headers.text("id") else {
                    return self.error(frame, "UNSUBSCRIBE without id");
                };
                self.shared.queues().unsubscribe(self.number, Some(id));
            }
            Command::Ack => return self.acknowledge(frame, script),
            Command::Nack => self.shared.queues().counters.nacks += 1,
            Command::Disconnect => {
                self.receipt(frame, script);
                return Next::End;
            }
            _ => {}
        }
        self.receipt(frame, script)
    }

    fn send(&mut self, frame: &Frame, script: &Script) -> Next {
        let Some(destination) = frame.headers.text("destination") else {
            return self.error(frame, "SEND without destination");
        };
        if let Some(text) = &script.refuse_sends {
            return self.error(frame, text);
        }
        if script.max_body.is_some_and(|limit| frame.body.len() > limit) {
            return self.error(&Frame::new(Command::Send), "Message too large");
        }
        let kept = frame.headers.iter().filter(|(name, _)| !OWN.iter().any(|own| own.as_bytes() == *name));
        let headers: Headers = kept.collect();
        {
            let mut queues = self.shared.queues();
            queues.counters.sends += 1;
            queues.add(destination, headers, frame.body.clone());
        }
        self.receipt(frame, script)
    }

    fn subscribe(&mut self, frame: &Frame, script: &Script) -> Next {
        let headers = &frame.headers;
        let destination = headers.text("destination").unwrap_or_default().to_owned();
        let subscription = headers.text("id").unwrap_or(&destination).to_owned();
        if let Some(text) = &script.refuse_subscriptions {
            return self.error(frame, text);
        }
        let mode = match headers.text("ack").unwrap_or("auto") {
            "client-individual" if !script.cumulative_only => Mode::Individual,
            "client" => Mode::Cumulative,
            "auto" => Mode::Auto,
            _ => return self.error(frame, "Unknown ack mode"),
        };
        let wanted = headers.text("prefetch-count").and_then(|text| text.parse().ok());
        let prefetch = wanted.filter(|_| !script.ignore_prefetch && mode != Mode::Auto).unwrap_or(usize::MAX);
        let consumer = Consumer {
            connection: self.number,
            subscription,
            destination,
            prefetch,
            mode,
            version: self.version,
            twice: script.duplicate_deliveries,
            frames: self.frames.clone(),
            unacknowledged: VecDeque::new(),
        };
        let next = self.receipt(frame, script);
        self.shared.queues().subscribe(consumer);
        next
    }

    fn acknowledge(&mut self, frame: &Frame, script: &Script) -> Next {
        if script.lose_acks {
            return Next::Go;
        }
        let header = if self.version == Version::V1_2 { "id" } else { "message-id" };
        let id = frame.headers.bytes(header).unwrap_or_default();
        if !self.shared.queues().acknowledge(self.number, id) && !script.duplicate_deliveries {
            return self.error(frame, "ACK names no message of this connection");
        }
        self.receipt(frame, script)
    }

    fn receipt(&mut self, frame: &Frame, script: &Script) -> Next {
        let Some(id) = frame.headers.bytes("receipt").filter(|_| !script.withhold_receipts) else {
            return Next::Go;
        };
        let id = script.foreign_receipt.as_ref().map_or(id, String::as_bytes);
        for _ in 0..=u8::from(script.duplicate_receipts) {
            self.shared.queues().counters.receipts += 1;
            let _ = self.frames.send(Frame::new(Command::Receipt).with("receipt-id", id));
        }
        Next::Go
    }

    /// Answers `frame` with ERROR and ends the connection, as STOMP asks.
    fn error(&mut self, frame: &Frame, text: &str) -> Next {
        self.shared.queues().counters.errors += 1;
        let mut answer = Frame::new(Command::Error).with("message", text).with_body(text.as_bytes().to_vec());
        if let Some(id) = frame.headers.bytes("receipt") {
            answer.headers.push("receipt-id", id);
        }
        let _ = self.frames.send(answer);
        Next::End
    }

    fn answer(&mut self, frame: Frame) -> Next {
        match self.frames.send(frame) {
            Ok(()) => Next::Go,
            Err(_) => Next::Cut,
        }
    }
}

/// Gives back what a connection did not acknowledge, however its task ends.
struct Requeue {
    number: u64,
    shared: Arc<Shared>,
}

impl Drop for Requeue {
    fn drop(&mut self) {
        self.shared.queues().unsubscribe(self.number, None);
    }
}

/// Writes frames as they come, many at a time, and heart-beats in between.
async fn write_frames<S: AsyncWrite>(
    mut writer: WriteHalf<S>,
    mut queue: mpsc::UnboundedReceiver<Frame>,
    mut agreed: tokio::sync::oneshot::Receiver<Agreed>,
    shared: Arc<Shared>,
) {
    let (mut version, mut pause) = (None, Duration::MAX);
    let (mut batch, mut output) = (Vec::with_capacity(BATCH), BytesMut::new());
    loop {
        match timeout(pause, queue.recv_many(&mut batch, BATCH)).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => output.extend_from_slice(b"\n"),
        }
        if let Ok(agreed) = agreed.try_recv() {
            version = Some(agreed.version);
            pause = agreed.heart_beat.map_or(Duration::MAX, |interval| interval.mul_f32(0.8));
        }
        for frame in batch.drain(..) {
            if let Err(error) = encode(&mut output, version, &frame) {
                tracing::warn!(%error, "demo broker: cannot write a frame");
                return;
            }
        }
        let delay = shared.script().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if writer.write_all(&output).await.is_err() || writer.flush().await.is_err() {
            return;
        }
        output.clear();
    }
    let _ = writer.shutdown().await;
}
