//! Decodes frames. Decoding can pause at every byte and never scans a byte twice.
//!
//! Lines of the head are consumed one by one as they are completed. A body stays in the buffer until it is complete and
//! is then split off as [`Bytes`] without a copy; small bodies are copied, so that a few bytes do not keep a whole read
//! buffer alive.
//!
//! # Limits
//! Limits also apply to incomplete frames, so that a peer that never ends a line or a body causes an error and does not
//! exhaust memory. There are two exceptions. An ERROR whose body is too long is returned with an empty body: operators
//! need its `message` header, and the connection ends with it anyway. A MESSAGE body whose announced length is too long
//! is discarded as it arrives, so that the messages after it are still received. Without an announced length the body
//! may never end: one byte over the limit is an error.
//!
//! # Strictness
//! - Only known commands of the peer's side are accepted.
//! - A header line needs a name and a colon; an undefined escape is fatal (STOMP 1.2, "Value Encoding").
//! - `content-length` consists of digits, is authoritative and must be followed by NUL; repeated values must be equal.
//! - CR LF ends a line in 1.2 and before a version is agreed; in 1.0 and 1.1 a CR is an ordinary byte.
//! - A value may contain an unescaped colon, since brokers of every version send them, and need not be UTF-8.

mod error;

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;

pub use self::error::FrameError;

use super::frame::{Command, Frame, Headers, Origin, Version};

/// Bodies below this many bytes are copied out of the read buffer.
const COPIED_BELOW: usize = 8 * 1024;

/// Limits on what a peer may send; in bytes unless noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The command line.
    pub command_line: usize,
    /// One header line, as on the wire.
    pub header_line: usize,
    /// Number of headers in a frame.
    pub headers: usize,
    /// All header lines of a frame.
    pub header_bytes: usize,
    /// The body of a MESSAGE or SEND.
    pub body: usize,
    /// The body of any other frame.
    pub other_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line: 64,
            header_line: 16 * 1024,
            headers: 1000,
            header_bytes: 256 * 1024,
            body: 32 * 1024 * 1024,
            other_body: 64 * 1024,
        }
    }
}

/// What the decoder found in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// One or more line ends between frames; consecutive line ends in the buffer are one event.
    HeartBeat,
    /// The head of a frame is complete; its body follows. A caller with a memory budget reserves memory now.
    Head {
        /// The frame's command.
        command: Command,
        /// The announced length of the body.
        content_length: Option<usize>,
        /// Bytes of header names and values.
        header_bytes: usize,
    },
    /// A complete frame.
    Frame(Frame),
    /// A MESSAGE whose body was over the limit and has been skipped.
    Oversized {
        /// The frame, with an empty body.
        frame: Frame,
        /// The length of the body in bytes.
        length: u64,
    },
}

/// The head of the frame in progress.
#[derive(Debug)]
struct Head {
    command: Command,
    headers: Headers,
    line_bytes: usize,
    content_length: Option<usize>,
}

impl Head {
    fn without_body(self) -> Frame {
        Frame { command: self.command, headers: self.headers, body: Bytes::new() }
    }
}

#[derive(Debug)]
enum Phase {
    Between,
    Headers(Head),
    Body(Head),
    /// Skipping a MESSAGE body whose announced length is over the limit.
    Skip(Head, Skipped),
    /// After an ERROR with too long a body: all further input is discarded.
    Over,
}

/// Progress of skipping an announced body, in bytes.
#[derive(Clone, Copy, Debug)]
struct Skipped {
    seen: u64,
    left: usize,
}

enum Step {
    Again,
    Incomplete,
    Found(Event),
}

/// A resumable decoder for the frames of one side of a connection.
#[derive(Debug)]
pub struct Decoder {
    origin: Origin,
    version: Option<Version>,
    limits: Limits,
    phase: Phase,
    /// Number of bytes at the front of the buffer that are known to contain no line end (or NUL).
    scanned: usize,
}

impl Decoder {
    /// A decoder for frames of `origin`, before a version is agreed.
    #[must_use]
    pub fn new(origin: Origin, limits: Limits) -> Self {
        Self { origin, version: None, limits, phase: Phase::Between, scanned: 0 }
    }

    /// Decodes further input by the rules of `version`.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// Takes the next event from the front of `buffer`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`]; the decoder cannot be used afterwards.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        loop {
            let step = match std::mem::replace(&mut self.phase, Phase::Between) {
                Phase::Between => self.between(buffer)?,
                Phase::Headers(head) => self.header(head, buffer)?,
                Phase::Body(head) => self.body(head, buffer)?,
                Phase::Skip(head, skipped) => self.skip(head, skipped, buffer)?,
                Phase::Over => {
                    self.phase = Phase::Over;
                    buffer.clear();
                    Step::Incomplete
                }
            };
            match step {
                Step::Again => {}
                Step::Incomplete => return Ok(None),
                Step::Found(event) => return Ok(Some(event)),
            }
        }
    }

    /// Whether a frame is incomplete, given the bytes that [`decode`](Self::decode) left in the buffer.
    #[must_use]
    pub fn mid_frame(&self, buffer: &BytesMut) -> bool {
        match self.phase {
            Phase::Between => !buffer.is_empty(),
            Phase::Headers(_) | Phase::Body(_) | Phase::Skip(..) => true,
            Phase::Over => false,
        }
    }

    /// Whether the buffer contains the beginning of a MESSAGE body of unannounced length.
    #[must_use]
    pub(crate) fn in_open_message(&self) -> bool {
        matches!(&self.phase, Phase::Body(Head { command: Command::Message, content_length: None, .. }))
    }

    /// How many more bytes of a MESSAGE body of unannounced length are worth reading: those up to the limit, and the
    /// one that ends the frame or exceeds the limit. `None` if no such body is being read.
    #[must_use]
    pub(crate) fn open_room(&self, buffered: usize) -> Option<usize> {
        self.in_open_message().then(|| (self.limits.body.saturating_add(1)).saturating_sub(buffered))
    }

    /// How many bytes beyond the `buffered` ones the frame in progress is known to need.
    #[must_use]
    pub fn missing(&self, buffered: usize) -> usize {
        match &self.phase {
            Phase::Body(Head { content_length: Some(length), .. }) => (length + 1).saturating_sub(buffered),
            _ => 0,
        }
    }

    fn lines_may_end_in_cr(&self) -> bool {
        self.version.is_none_or(|version| version == Version::V1_2)
    }

    fn between(&mut self, buffer: &mut BytesMut) -> Result<Step, FrameError> {
        if self.scanned == 0 && self.skip_line_ends(buffer) {
            return Ok(Step::Found(Event::HeartBeat));
        }
        if buffer.as_ref() == b"\r" && self.lines_may_end_in_cr() {
            return Ok(Step::Incomplete);
        }
        let limit = self.limits.command_line;
        let Some(line) = self.find_line(buffer, limit).ok_or(FrameError::CommandTooLong { limit })? else {
            return Ok(Step::Incomplete);
        };
        let text = self.without_cr(buffer, line);
        let command = Command::parse(text)
            .filter(|command| command.origin() == self.origin)
            .ok_or_else(|| FrameError::UnknownCommand { line: excerpt(text) })?;
        buffer.advance(line + 1);
        self.phase = Phase::Headers(Head { command, headers: Headers::new(), line_bytes: 0, content_length: None });
        Ok(Step::Again)
    }

    /// Drops line ends at the front and returns whether there were any.
    fn skip_line_ends(&self, buffer: &mut BytesMut) -> bool {
        let cr = self.lines_may_end_in_cr();
        let mut skipped = 0;
        loop {
            let rest = buffer.get(skipped..).unwrap_or_default();
            skipped += match rest {
                [b'\n', ..] => rest.iter().take_while(|byte| **byte == b'\n').count(),
                [b'\r', b'\n', ..] if cr => 2,
                _ => break,
            };
        }
        buffer.advance(skipped);
        skipped > 0
    }

    /// Where the first line of `buffer` ends: `Some(None)` if it has no end yet, `None` if it is longer than `limit`.
    fn find_line(&mut self, buffer: &BytesMut, limit: usize) -> Option<Option<usize>> {
        let unseen = buffer.get(self.scanned..).unwrap_or_default();
        let end = memchr(b'\n', unseen).map(|at| self.scanned + at);
        self.scanned = if end.is_some() { 0 } else { buffer.len() };
        (end.unwrap_or(buffer.len()) <= limit).then_some(end)
    }

    fn without_cr<'b>(&self, buffer: &'b BytesMut, end: usize) -> &'b [u8] {
        let line = buffer.get(..end).unwrap_or_default();
        match line.strip_suffix(b"\r") {
            Some(stripped) if self.lines_may_end_in_cr() => stripped,
            _ => line,
        }
    }

    fn header(&mut self, mut head: Head, buffer: &mut BytesMut) -> Result<Step, FrameError> {
        let limit = self.limits.header_line;
        let Some(line) = self.find_line(buffer, limit).ok_or(FrameError::HeaderTooLong { limit })? else {
            self.phase = Phase::Headers(head);
            return Ok(Step::Incomplete);
        };
        let text = self.without_cr(buffer, line);
        if text.is_empty() {
            buffer.advance(line + 1);
            return self.end_of_head(head);
        }
        self.add_header(&mut head, text)?;
        buffer.advance(line + 1);
        self.phase = Phase::Headers(head);
        Ok(Step::Again)
    }

    fn add_header(&self, head: &mut Head, line: &[u8]) -> Result<(), FrameError> {
        head.line_bytes += line.len() + 1;
        if head.line_bytes > self.limits.header_bytes {
            return Err(FrameError::HeadersTooLong { limit: self.limits.header_bytes });
        }
        if head.headers.len() >= self.limits.headers {
            return Err(FrameError::TooManyHeaders { limit: self.limits.headers });
        }
        let stray_cr = self.lines_may_end_in_cr() && memchr(b'\r', line).is_some();
        let colon = memchr(b':', line).filter(|at| *at > 0 && !stray_cr && memchr(0, line).is_none());
        let (name, value) = colon
            .and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)))
            .ok_or_else(|| FrameError::MalformedHeader { line: excerpt(line) })?;
        let escapes = head.command.escapes(self.version).then_some(self.version).flatten();
        head.headers
            .push_with(|out| unescape(escapes, name, out), |out| unescape(escapes, value, out))
            .map_err(|UndefinedEscape| FrameError::UndefinedEscape { line: excerpt(line) })
    }

    fn end_of_head(&mut self, mut head: Head) -> Result<Step, FrameError> {
        head.content_length = content_length(&head.headers)?;
        let limit = self.body_limit(head.command);
        if head.content_length.is_some_and(|length| length > limit) {
            return self.too_long(head, limit);
        }
        let event = Event::Head {
            command: head.command,
            content_length: head.content_length,
            header_bytes: head.headers.size(),
        };
        self.phase = Phase::Body(head);
        Ok(Step::Found(event))
    }

    fn body_limit(&self, command: Command) -> usize {
        match command {
            Command::Message | Command::Send => self.limits.body,
            _ => self.limits.other_body,
        }
    }

    fn too_long(&mut self, head: Head, limit: usize) -> Result<Step, FrameError> {
        match (head.command, head.content_length) {
            (Command::Error, _) => {
                self.phase = Phase::Over;
                Ok(Step::Found(Event::Frame(head.without_body())))
            }
            (Command::Message, Some(left)) => {
                self.phase = Phase::Skip(head, Skipped { seen: 0, left });
                Ok(Step::Again)
            }
            (command, _) => Err(FrameError::BodyTooLong { command, limit }),
        }
    }

    fn skip(&mut self, head: Head, skipped: Skipped, buffer: &mut BytesMut) -> Result<Step, FrameError> {
        let gone = buffer.len().min(skipped.left);
        buffer.advance(gone);
        let (seen, left) = (skipped.seen + gone as u64, skipped.left - gone);
        if buffer.is_empty() {
            self.phase = Phase::Skip(head, Skipped { seen, left });
            return Ok(Step::Incomplete);
        }
        if buffer.first() != Some(&0) {
            let content_length = head.content_length.unwrap_or_default();
            return Err(FrameError::BodyNotEnded { command: head.command, content_length });
        }
        buffer.advance(1);
        Ok(Step::Found(Event::Oversized { frame: head.without_body(), length: seen }))
    }

    fn body(&mut self, head: Head, buffer: &mut BytesMut) -> Result<Step, FrameError> {
        let limit = self.body_limit(head.command);
        let end = match head.content_length {
            Some(length) => match buffer.get(length) {
                Some(0) => Some(length),
                Some(_) => {
                    return Err(FrameError::BodyNotEnded { command: head.command, content_length: length });
                }
                None => None,
            },
            None => memchr(0, buffer.get(self.scanned..).unwrap_or_default()).map(|at| self.scanned + at),
        };
        if head.content_length.is_none() && end.unwrap_or(buffer.len()) > limit {
            return self.too_long(head, limit);
        }
        let Some(end) = end else {
            self.scanned = if head.content_length.is_none() { buffer.len() } else { 0 };
            self.phase = Phase::Body(head);
            return Ok(Step::Incomplete);
        };
        self.scanned = 0;
        let body = take_body(buffer, end);
        Ok(Step::Found(Event::Frame(Frame { command: head.command, headers: head.headers, body })))
    }
}

fn take_body(buffer: &mut BytesMut, length: usize) -> Bytes {
    let body = if length < COPIED_BELOW {
        let copy = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        buffer.advance(length);
        copy
    } else {
        buffer.split_to(length).freeze()
    };
    buffer.advance(1);
    body
}

/// The announced length: digits only; repeated values must be equal.
fn content_length(headers: &Headers) -> Result<Option<usize>, FrameError> {
    let mut found = None;
    for (_, value) in headers.iter().filter(|(name, _)| *name == b"content-length") {
        let digits = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse::<usize>().ok());
        match (length, found) {
            (Some(length), None) => found = Some(length),
            (Some(length), Some(first)) if length == first => {}
            _ => return Err(FrameError::MalformedContentLength { value: excerpt(value) }),
        }
    }
    Ok(found)
}

struct UndefinedEscape;

/// Appends `raw` to `out`, unescaped by the rules of `version`; unchanged if that is `None`.
fn unescape(version: Option<Version>, raw: &[u8], out: &mut Vec<u8>) -> Result<(), UndefinedEscape> {
    let Some(version) = version else {
        out.extend_from_slice(raw);
        return Ok(());
    };
    let mut rest = raw;
    while let Some(at) = memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.push(match escape.get(1) {
            Some(b'\\') => b'\\',
            Some(b'n') => b'\n',
            Some(b'c') => b':',
            Some(b'r') if version == Version::V1_2 => b'\r',
            _ => return Err(UndefinedEscape),
        });
        rest = escape.get(2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The beginning of a line for an error text.
fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..80).unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests;
