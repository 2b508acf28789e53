//! The STOMP frame decoder.

use bytes::BytesMut;
use stomp::decode::{Decoder, Event, Limits};
use stomp::frame::{Origin, Version};

const LIMITS: Limits =
    Limits { command_line: 64, header_line: 256, headers: 16, header_bytes: 1024, body: 512, other_body: 128 };

/// Input: one byte that chooses version and side, one that says where the stream is cut, then the stream.
///
/// The events are the same whether the bytes come at once or in two pieces.
pub(crate) fn parse(input: &[u8]) -> bool {
    let [choice, cut, stream @ ..] = input else { return false };
    let version = match choice % 4 {
        0 => None,
        1 => Some(Version::V1_0),
        2 => Some(Version::V1_1),
        _ => Some(Version::V1_2),
    };
    let origin = if choice & 4 == 0 { Origin::Broker } else { Origin::Client };
    let whole = decode(&[stream], origin, version);
    let (first, second) = stream.split_at(usize::from(*cut).min(stream.len()));
    let pieces = decode(&[first, second], origin, version);
    assert_eq!(whole.frames, pieces.frames, "cut at {cut}");
    assert_eq!(whole.failed, pieces.failed, "cut at {cut}");
    !whole.frames.is_empty()
}

struct Decoded {
    /// Frames, oversized ones and the length of their bodies, in debug form. Heart-beats may be joined or not.
    frames: Vec<String>,
    failed: Option<String>,
}

fn decode(pieces: &[&[u8]], origin: Origin, version: Option<Version>) -> Decoded {
    let mut decoder = Decoder::new(origin, LIMITS);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    let mut buffer = BytesMut::new();
    let mut decoded = Decoded { frames: Vec::new(), failed: None };
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Event::HeartBeat | Event::Head { .. })) => {}
                Ok(Some(event)) => decoded.frames.push(format!("{event:?}")),
                Err(error) => {
                    decoded.failed = Some(error.to_string());
                    return decoded;
                }
            }
        }
        let (_, _) = (decoder.mid_frame(&buffer), decoder.missing(buffer.len()));
    }
    decoded
}
