//! Tests with literal bytes, every split position, every limit, and a round trip of arbitrary frames.

use proptest::prelude::*;

use super::*;
use crate::encode::encode;

/// Decodes `chunks` one after the other and returns all events but the heads.
fn decode_chunks<'c>(
    version: Option<Version>,
    limits: Limits,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<Event>, FrameError> {
    let mut decoder = Decoder::new(Origin::Broker, limits);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    let (mut buffer, mut events) = (BytesMut::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        while let Some(event) = decoder.decode(&mut buffer)? {
            if !matches!(event, Event::Head { .. }) {
                events.push(event);
            }
        }
    }
    Ok(events)
}

fn frames(version: Option<Version>, wire: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let events = decode_chunks(version, Limits::default(), [wire])?;
    Ok(events
        .into_iter()
        .filter_map(|event| if let Event::Frame(frame) = event { Some(frame) } else { None })
        .collect())
}

fn refusal(version: Version, wire: &[u8]) -> Option<FrameError> {
    frames(Some(version), wire).err()
}

fn message(headers: &str, body: &str) -> Vec<u8> {
    format!("MESSAGE\n{headers}\n{body}").into_bytes()
}

const THREE_FRAMES: &[u8] = b"\n\r\nMESSAGE\r\nsubscription:1\nack:a\\cb\\\\\\n\\r\ncontent-length:5\n\na\0b\n\0\0\n\
    RECEIPT\nreceipt-id:7\n\n\0\n\n\nERROR\nmessage:no\r\n\r\nwithout length\0\n";

#[test]
fn every_split_position_gives_the_same_frames() {
    let whole = frames(Some(Version::V1_2), THREE_FRAMES).unwrap();
    assert_eq!(whole.len(), 3);
    assert_eq!(whole[0].headers.bytes("ack"), Some(&b"a:b\\\n\r"[..]));
    assert_eq!(whole[0].body.as_ref(), b"a\0b\n\0");
    assert_eq!(whole[2].body.as_ref(), b"without length");
    for split in 0..=THREE_FRAMES.len() {
        let (a, b) = THREE_FRAMES.split_at(split);
        let events = decode_chunks(Some(Version::V1_2), Limits::default(), [a, b]).unwrap();
        let frames: Vec<Frame> =
            events.into_iter().filter_map(|e| if let Event::Frame(frame) = e { Some(frame) } else { None }).collect();
        assert_eq!(frames, whole, "split at {split}");
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_frames() {
    let events = decode_chunks(Some(Version::V1_2), Limits::default(), THREE_FRAMES.chunks(1)).unwrap();
    let frames_found = events.iter().filter(|event| matches!(event, Event::Frame(_))).count();
    assert_eq!(frames_found, 3);
}

#[test]
fn a_body_of_announced_length_may_contain_nul_and_any_other_byte() {
    let found = frames(Some(Version::V1_1), b"MESSAGE\ncontent-length:6\n\n\0\xff\0\r\0\n\0").unwrap();
    assert_eq!(found[0].body.as_ref(), b"\0\xff\0\r\0\n");
}

#[test]
fn a_large_body_is_not_copied_and_a_small_one_does_not_hold_the_buffer() {
    for (length, shared) in [(COPIED_BELOW - 1, false), (COPIED_BELOW, true)] {
        let wire = message(&format!("content-length:{length}\n"), &"b".repeat(length));
        let mut buffer = BytesMut::from(&wire[..]);
        buffer.extend_from_slice(&[0]);
        let range = buffer.as_ptr_range();
        let mut decoder = Decoder::new(Origin::Broker, Limits::default());
        assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Event::Head { .. }))));
        let Ok(Some(Event::Frame(frame))) = decoder.decode(&mut buffer) else { panic!("no frame") };
        assert_eq!(range.contains(&frame.body.as_ptr()), shared, "{length}");
    }
}

#[test]
fn a_run_of_line_ends_is_one_event() {
    let storm = vec![b'\n'; 10_000_000];
    let events = decode_chunks(Some(Version::V1_2), Limits::default(), [&storm[..]]).unwrap();
    assert_eq!(events, [Event::HeartBeat]);
    assert_eq!(decode_chunks(Some(Version::V1_2), Limits::default(), [&b"\r"[..], b"\n"]), Ok(vec![Event::HeartBeat]));
}

#[test]
fn line_ends_follow_the_version() {
    let wire = b"RECEIPT\r\nreceipt-id:1\r\n\r\n\0";
    for version in [None, Some(Version::V1_2)] {
        assert_eq!(frames(version, wire).unwrap()[0].headers.text("receipt-id"), Some("1"));
    }
    for version in [Version::V1_0, Version::V1_1] {
        assert_eq!(refusal(version, wire), Some(FrameError::UnknownCommand { line: "RECEIPT\r".into() }));
    }
    let value_with_cr = frames(Some(Version::V1_1), b"RECEIPT\nreceipt-id:1\r\n\n\0").unwrap();
    assert_eq!(value_with_cr[0].headers.text("receipt-id"), Some("1\r"));
    for cr_alone in [&b"RECEIPT\rreceipt-id:1\r\r\0"[..], b"\rRECEIPT\n\n\0", b"RECEIPT\na:b\rc\n\n\0"] {
        assert!(refusal(Version::V1_2, &[cr_alone, b"\n"].concat()).is_some(), "{cr_alone:?}");
    }
}

#[test]
fn only_commands_of_the_peer_are_known() {
    for bad in ["message\n", "MESSAGES\n", " MESSAGE\n", "SEND\n", "CONNECT\n", "M\0\n", "HTTP/1.1 400 Bad Request\n"] {
        assert!(matches!(refusal(Version::V1_2, bad.as_bytes()), Some(FrameError::UnknownCommand { .. })), "{bad:?}");
    }
    let long = vec![b'A'; 65];
    assert_eq!(refusal(Version::V1_2, &long), Some(FrameError::CommandTooLong { limit: 64 }));
    let endless = vec![b'A'; 1 << 20];
    let found = decode_chunks(Some(Version::V1_2), Limits::default(), endless.chunks(65));
    assert_eq!(found, Err(FrameError::CommandTooLong { limit: 64 }));
    let mut broker = Decoder::new(Origin::Client, Limits::default());
    assert!(broker.decode(&mut BytesMut::from("MESSAGE\n")).is_err());
    assert!(broker.decode(&mut BytesMut::from("SEND\n")).is_ok());
}

#[test]
fn header_limits_apply_to_incomplete_frames() {
    let many = |count: usize| message(&"a:b\n".repeat(count), "\0");
    assert!(frames(Some(Version::V1_2), &many(1000)).is_ok());
    assert_eq!(refusal(Version::V1_2, &many(1001)), Some(FrameError::TooManyHeaders { limit: 1000 }));
    let line = [b"MESSAGE\na:", &vec![b'x'; 64 * 1024][..]].concat();
    assert_eq!(refusal(Version::V1_2, &line), Some(FrameError::HeaderTooLong { limit: 16 * 1024 }));
    let total = message(&format!("a:{}\n", "x".repeat(10_000)).repeat(27), "");
    assert_eq!(refusal(Version::V1_2, &total), Some(FrameError::HeadersTooLong { limit: 256 * 1024 }));
    let ack = message(&format!("ack:{}\n", "x".repeat(100_000)), "\0");
    assert!(matches!(refusal(Version::V1_2, &ack), Some(FrameError::HeaderTooLong { .. })));
}

#[test]
fn malformed_headers_are_refused() {
    for bad in ["nocolon\n", ":empty name\n", "a\0b:c\n", "a:b\0\n"] {
        assert!(
            matches!(refusal(Version::V1_2, &message(bad, "\0")), Some(FrameError::MalformedHeader { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn content_length_is_one_plain_number() {
    let bad = ["-1", "+5", "0x10", "1e3", "99999999999999999999", "5 ", " 5", "", "5\ncontent-length:6"];
    for value in bad {
        let wire = message(&format!("content-length:{value}\n"), "12345\0");
        let found = refusal(Version::V1_2, &wire);
        assert!(matches!(found, Some(FrameError::MalformedContentLength { .. })), "{value:?}: {found:?}");
    }
    let twice = message("content-length:5\ncontent-length:5\n", "12345\0");
    assert_eq!(frames(Some(Version::V1_2), &twice).unwrap()[0].body.as_ref(), b"12345");
}

#[test]
fn a_body_must_end_at_its_content_length() {
    let shorter = message("content-length:3\n", "12345\0");
    assert_eq!(
        refusal(Version::V1_2, &shorter),
        Some(FrameError::BodyNotEnded { command: Command::Message, content_length: 3 })
    );
    let longer = message("content-length:7\n", "12345\0RECEIPT\n");
    assert!(matches!(refusal(Version::V1_2, &longer), Some(FrameError::BodyNotEnded { .. })));
}

#[test]
fn body_limits_apply_before_the_body_arrives() {
    let limits = Limits { body: 100, other_body: 10, ..Limits::default() };
    assert!(decode_chunks(None, limits, [&message("", &"x".repeat(100))[..]]).is_ok());
    let receipt = decode_chunks(None, limits, [&b"RECEIPT\ncontent-length:11\n\n"[..]]);
    assert_eq!(receipt, Err(FrameError::BodyTooLong { command: Command::Receipt, limit: 10 }));
}

#[test]
fn a_message_over_the_limit_is_skipped_and_the_next_one_is_read() {
    let limits = Limits { body: 100, ..Limits::default() };
    let body = "x\0".repeat(75);
    let wire = [message("content-length:150\n", &format!("{body}\0")), message("n:2\n", "small\0")].concat();
    for cut in 0..=wire.len() {
        let (first, rest) = wire.split_at(cut);
        let events = decode_chunks(Some(Version::V1_2), limits, [first, rest]).unwrap();
        let oversized = events.iter().find_map(|event| match event {
            Event::Oversized { frame, length } => Some((frame.body.len(), *length)),
            _ => None,
        });
        assert_eq!(oversized, Some((0, 150)), "cut at {cut}");
        let bodies: Vec<&[u8]> = events
            .iter()
            .filter_map(|event| match event {
                Event::Frame(frame) => Some(frame.body.as_ref()),
                _ => None,
            })
            .collect();
        assert_eq!(bodies, [b"small"], "cut at {cut}");
    }
    let unended = message("content-length:150\n", &"x".repeat(151));
    assert!(matches!(decode_chunks(None, limits, [&unended[..]]), Err(FrameError::BodyNotEnded { .. })));
}

#[test]
fn a_message_of_unannounced_length_is_an_error_at_the_first_byte_over_the_limit() {
    let limits = Limits { body: 100, ..Limits::default() };
    let head = b"MESSAGE\n\n";
    let fits = [&head[..], &[b'x'; 100], &[0]].concat();
    for cut in 0..=fits.len() {
        let (first, rest) = fits.split_at(cut);
        let events = decode_chunks(Some(Version::V1_2), limits, [first, rest]).unwrap();
        assert!(matches!(&events[..], [Event::Frame(frame)] if frame.body.len() == 100), "cut at {cut}");
    }
    let too_long = FrameError::BodyTooLong { command: Command::Message, limit: 100 };
    for end in [&b""[..], b"\0"] {
        let over = [&head[..], &[b'x'; 101], end].concat();
        for cut in 0..=over.len() {
            let (first, rest) = over.split_at(cut);
            let found = decode_chunks(Some(Version::V1_2), limits, [first, rest]);
            assert_eq!(found, Err(too_long.clone()), "cut at {cut}");
        }
    }
}

#[test]
fn open_room_is_limited_to_messages_of_unannounced_length() {
    let limits = Limits { body: 100, ..Limits::default() };
    for (wire, room) in [
        (&b"MESSAGE\n\nabc"[..], Some(98)),
        (b"MESSAGE\ncontent-length:50\n\nabc", None),
        (b"RECEIPT\n\nabc", None),
        (b"MESSAGE\nhead", None),
        (b"\n", None),
    ] {
        let mut decoder = Decoder::new(Origin::Broker, limits);
        let mut buffer = bytes::BytesMut::from(wire);
        while decoder.decode(&mut buffer).unwrap().is_some() {}
        assert_eq!(decoder.open_room(buffer.len()), room, "{}", String::from_utf8_lossy(wire));
    }
}

#[test]
fn an_error_with_a_long_body_keeps_its_message_and_ends_the_stream() {
    let announced = b"ERROR\nmessage:why\ncontent-length:100000000\n\nxx";
    let unannounced = [b"ERROR\nmessage:why\n\n", &vec![b'x'; 70_000][..]].concat();
    for wire in [&announced[..], &unannounced] {
        let found = frames(Some(Version::V1_2), &[wire, b"\0RECEIPT\nreceipt-id:1\n\n\0"].concat()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].headers.text("message"), found[0].body.len()), (Some("why"), 0));
    }
}

#[test]
fn undefined_escapes_are_fatal() {
    for bad in ["a:\\t\n", "a:\\\n", "a:b\\x\n", "\\q:b\n"] {
        let found = refusal(Version::V1_2, &message(bad, "\0"));
        assert!(matches!(found, Some(FrameError::UndefinedEscape { .. })), "{bad:?}");
    }
    assert!(matches!(refusal(Version::V1_1, &message("a:\\r\n", "\0")), Some(FrameError::UndefinedEscape { .. })));
    let raw = frames(Some(Version::V1_0), &message("a:\\t\\\n", "\0")).unwrap();
    assert_eq!(raw[0].headers.text("a"), Some("\\t\\"));
}

#[test]
fn connected_is_never_unescaped_and_keeps_colons() {
    let wire = b"CONNECTED\nsession:ID:host\\c1\n\n\0";
    for version in [None, Some(Version::V1_2)] {
        assert_eq!(frames(version, wire).unwrap()[0].headers.text("session"), Some("ID:host\\c1"));
    }
}

#[test]
fn values_that_are_not_utf8_are_kept() {
    let found = frames(Some(Version::V1_2), b"MESSAGE\nack:\xff\xfe\n\n\xff\0").unwrap();
    assert_eq!(found[0].headers.bytes("ack"), Some(&b"\xff\xfe"[..]));
    assert_eq!(found[0].body.as_ref(), b"\xff");
}

#[test]
fn a_body_without_length_is_scanned_once() {
    let body = vec![b'x'; 8 * 1024 * 1024];
    let wire = [b"MESSAGE\n\n", &body[..], &[0]].concat();
    let begun = std::time::Instant::now();
    let events = decode_chunks(None, Limits::default(), wire.chunks(8 * 1024)).unwrap();
    assert!(matches!(&events[..], [Event::Frame(frame)] if frame.body.len() == body.len()));
    // Scanning again from the start at each of 1,024 reads would take seconds.
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
}

fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1_0), Just(Version::V1_1), Just(Version::V1_2)]
}

proptest! {
    #[test]
    fn an_encoded_frame_decodes_to_itself(
        version in any_version(),
        headers in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..9), prop::collection::vec(any::<u8>(), 0..9)), 0..6),
        body in prop::collection::vec(any::<u8>(), 0..300),
        chunk in 1usize..40,
    ) {
        let own = |(name, _): &(Vec<u8>, Vec<u8>)| name != b"content-length";
        let mut frame = Frame::new(Command::Message).with_body(body);
        frame.headers = headers.into_iter().filter(own).collect();
        frame.headers.push("content-length", frame.body.len().to_string());
        let mut wire = BytesMut::new();
        if encode(&mut wire, Some(version), &frame).is_ok() {
            let events = decode_chunks(Some(version), Limits::default(), wire.chunks(chunk));
            prop_assert_eq!(events, Ok(vec![Event::Frame(frame)]));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_split_alike(
        version in any_version(),
        wire in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0), Just(b':'), Just(b'\\'), any::<u8>()], 0..200),
        begin in prop_oneof![Just("MESSAGE\n"), Just("ERROR\ncontent-length:3\n\n"), Just("")],
        chunk in 1usize..20,
    ) {
        let wire = [begin.as_bytes(), &wire].concat();
        let only_frames = |result: Result<Vec<Event>, FrameError>| {
            result.map(|events| events.into_iter().filter(|event| matches!(event, Event::Frame(_))).collect::<Vec<_>>()).ok()
        };
        let whole = only_frames(decode_chunks(Some(version), Limits::default(), [&wire[..]]));
        let split = only_frames(decode_chunks(Some(version), Limits::default(), wire.chunks(chunk)));
        prop_assert_eq!(whole, split);
    }
}
