//! CONNECT and CONNECTED: agrees on the version and the heart-beats, or returns why the broker cannot be used.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::clock::Negotiated;
use super::error::{OpenError, ProtocolError, error_text, error_words};
use super::options::{Login, SessionOptions};
use super::task::READ_AHEAD;
use crate::decode::{Decoder, Event, FrameError};
use crate::encode::encode;
use crate::frame::{Command, Frame, Origin, Version};
use crate::quote::quoted;

/// First bytes of TLS records: alert and handshake.
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

/// The result of the handshake.
pub(super) struct Connected {
    pub(super) version: Version,
    pub(super) heart_beat: Negotiated,
    /// The broker's `server` header, escaped.
    pub(super) server: String,
    pub(super) decoder: Decoder,
    /// Input after CONNECTED.
    pub(super) input: BytesMut,
}

pub(super) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    options: &SessionOptions,
) -> Result<Connected, OpenError> {
    let mut output = BytesMut::new();
    encode(&mut output, None, &connect_frame(options))?;
    let sent = async {
        stream.write_all(&output).await?;
        stream.flush().await
    };
    let sent = sent.await;
    drop(zeroize::Zeroizing::new(Vec::from(output)));
    let mut decoder = Decoder::new(Origin::Broker, options.limits);
    let mut input = BytesMut::with_capacity(READ_AHEAD);
    // A broker that refuses our certificate closes while we write; its alert is a better error than the failed write.
    let frame = match (first_frame(stream, &mut decoder, &mut input).await, sent) {
        (Err(OpenError::EndOfStream), Err(error)) => return Err(OpenError::Io(error)),
        (frame, _) => frame?,
    };
    let (version, heart_beat) = settle(&frame, options)?;
    decoder.set_version(version);
    let server = quoted(frame.headers.bytes("server").unwrap_or_default());
    Ok(Connected { version, heart_beat, server, decoder, input })
}

fn connect_frame(options: &SessionOptions) -> Frame {
    let frame = Frame::new(Command::Connect)
        .with("accept-version", "1.0,1.1,1.2")
        .with("host", &options.virtual_host)
        .with("heart-beat", options.heart_beat.header());
    match &options.login {
        Some(Login { name, passcode }) => frame.with("login", name).with("passcode", passcode.as_bytes()),
        None => frame,
    }
}

/// Reads the first frame.
async fn first_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
    input: &mut BytesMut,
) -> Result<Frame, OpenError> {
    let mut begun = false;
    loop {
        input.reserve(READ_AHEAD / 2);
        match stream.read_buf(input).await {
            Ok(0) => return Err(OpenError::EndOfStream),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(OpenError::EndOfStream),
            Err(error) => return Err(OpenError::Io(error)),
        }
        if !begun {
            refuse_tls(input)?;
            begun = true;
        }
        while let Some(event) = decoder.decode(input).map_err(|error| not_stomp(error, input))? {
            match event {
                Event::HeartBeat => {}
                Event::Head { command: command @ (Command::Message | Command::Receipt), .. } => {
                    return Err(ProtocolError::Unexpected { command }.into());
                }
                Event::Head { .. } => {}
                Event::Frame(frame) => return Ok(frame),
                Event::Oversized { frame, .. } => {
                    return Err(ProtocolError::Unexpected { command: frame.command }.into());
                }
            }
        }
    }
}

/// Recognises a TLS server by its first bytes.
fn refuse_tls(input: &BytesMut) -> Result<(), OpenError> {
    match input.get(..2) {
        Some([record, 3]) if TLS_RECORDS.contains(record) => Err(OpenError::AnswersTls),
        _ => Ok(()),
    }
}

fn not_stomp(error: FrameError, input: &BytesMut) -> OpenError {
    match &error {
        FrameError::UnknownCommand { line } if line.starts_with("HTTP/") => {
            OpenError::AnswersHttp { line: quoted(line.as_bytes()) }
        }
        FrameError::CommandTooLong { .. } if input.starts_with(b"HTTP/") => {
            OpenError::AnswersHttp { line: quoted(input.get(..64).unwrap_or(input)) }
        }
        _ => ProtocolError::Frame(error).into(),
    }
}

/// The version and the heart-beats in the first frame.
fn settle(frame: &Frame, options: &SessionOptions) -> Result<(Version, Negotiated), OpenError> {
    match frame.command {
        Command::Connected => {}
        Command::Error => return Err(refusal(frame, options)),
        command => return Err(ProtocolError::Unexpected { command }.into()),
    }
    // A broker that names no version uses 1.0 (STOMP 1.1, "Protocol Negotiation").
    let named = frame.headers.bytes("version").unwrap_or(b"1.0");
    let version = std::str::from_utf8(named)
        .ok()
        .and_then(Version::parse)
        .ok_or_else(|| OpenError::UnknownVersion { version: quoted(named) })?;
    let heart_beat = options.heart_beat.negotiate(version, frame.headers.bytes("heart-beat"))?;
    Ok((version, heart_beat))
}

/// The broker's text, with the password removed if it appears in it.
fn refusal(frame: &Frame, options: &SessionOptions) -> OpenError {
    let (message, body) = error_words(frame);
    let mut message = error_text(&message, &body);
    if let Some(login) = options.login.as_ref().filter(|login| !login.passcode.is_empty()) {
        message = message.replace(login.passcode.as_str(), "(passcode)");
    }
    OpenError::LoginRefused { message }
}
