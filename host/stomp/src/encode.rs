//! Encodes frames. What a version cannot express is refused: a line feed in a header must never become a second header
//! on the wire.

use bytes::{BufMut as _, BytesMut};

use super::frame::{Command, Frame, Version};

/// Why a frame cannot be encoded. The cause is this program or its configuration, never the broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A header without a name.
    #[error("{command} header without a name")]
    EmptyName {
        /// The frame.
        command: Command,
    },
    /// A name or value contains a byte that the version cannot escape.
    #[error("{command} header {header:?} contains byte {byte:#04x}, which STOMP cannot express there")]
    Unrepresentable {
        /// The frame.
        command: Command,
        /// The header's name.
        header: String,
        /// The first such byte.
        byte: u8,
    },
    /// A header that the session sets itself.
    #[error("header {header:?} is set by the session")]
    Reserved {
        /// The header's name.
        header: String,
    },
}

/// Appends the command line, the headers and the empty line of a frame; on error `out` is unchanged.
///
/// # Errors
/// [`EncodeError`] for what `version` cannot express.
pub(crate) fn encode_head<'h>(
    out: &mut BytesMut,
    version: Option<Version>,
    command: Command,
    headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_slice(command.as_str().as_bytes());
    out.put_u8(b'\n');
    for (name, value) in headers {
        if let Err(error) = encode_header(out, version, command, name, value) {
            out.truncate(start);
            return Err(error);
        }
    }
    out.put_u8(b'\n');
    Ok(())
}

/// Appends a whole frame. A `content-length` is added if there is a body and the header is not set.
///
/// # Errors
/// [`EncodeError`] for what `version` cannot express.
pub fn encode(out: &mut BytesMut, version: Option<Version>, frame: &Frame) -> Result<(), EncodeError> {
    let length = frame.body.len().to_string();
    let announced = frame.body.is_empty() || frame.headers.bytes("content-length").is_some();
    let added = (!announced).then_some((&b"content-length"[..], length.as_bytes()));
    encode_head(out, version, frame.command, frame.headers.iter().chain(added))?;
    out.put_slice(&frame.body);
    out.put_u8(0);
    Ok(())
}

fn encode_header(
    out: &mut BytesMut,
    version: Option<Version>,
    command: Command,
    name: &[u8],
    value: &[u8],
) -> Result<(), EncodeError> {
    if name.is_empty() {
        return Err(EncodeError::EmptyName { command });
    }
    let version = version.filter(|version| command.escapes(Some(*version)));
    let refuse = |byte| EncodeError::Unrepresentable {
        command,
        header: String::from_utf8_lossy(name.get(..80).unwrap_or(name)).into_owned(),
        byte,
    };
    // Without escapes a colon ends the name; in the value it is an ordinary byte.
    escape(out, version, version.is_none(), name).map_err(refuse)?;
    out.put_u8(b':');
    escape(out, version, false, value).map_err(refuse)?;
    out.put_u8(b'\n');
    Ok(())
}

/// Appends `text`, escaped for `version`; the error is the first byte that has no escape.
fn escape(out: &mut BytesMut, version: Option<Version>, refuse_colon: bool, text: &[u8]) -> Result<(), u8> {
    if !text.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b':' | 0)) {
        out.put_slice(text);
        return Ok(());
    }
    for &byte in text {
        match (byte, version) {
            (0, _) | (b'\r', Some(Version::V1_0 | Version::V1_1) | None) | (b'\n', None) => return Err(byte),
            (b':', None) if refuse_colon => return Err(byte),
            (b'\\', Some(_)) => out.put_slice(br"\\"),
            (b'\n', Some(_)) => out.put_slice(br"\n"),
            (b':', Some(_)) => out.put_slice(br"\c"),
            (b'\r', Some(_)) => out.put_slice(br"\r"),
            _ => out.put_u8(byte),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(version: Option<Version>, frame: &Frame) -> Result<Vec<u8>, EncodeError> {
        let mut out = BytesMut::new();
        encode(&mut out, version, frame).map(|()| out.to_vec())
    }

    #[test]
    fn writes_the_literal_bytes_of_a_send() {
        let frame = Frame::new(Command::Send).with("destination", "/queue/a:b").with_body("x\0y");
        let expected = b"SEND\ndestination:/queue/a\\cb\ncontent-length:3\n\nx\0y\0";
        assert_eq!(wire(Some(Version::V1_2), &frame).unwrap(), expected);
        let expected = b"SEND\ndestination:/queue/a:b\ncontent-length:3\n\nx\0y\0";
        assert_eq!(wire(Some(Version::V1_0), &frame).unwrap(), expected);
    }

    #[test]
    fn escapes_by_version() {
        let frame = Frame::new(Command::Ack).with("a\\b", "c\nd");
        assert_eq!(wire(Some(Version::V1_1), &frame).unwrap(), b"ACK\na\\\\b:c\\nd\n\n\0");
        let frame = Frame::new(Command::Ack).with("id", "c\rd");
        assert_eq!(wire(Some(Version::V1_2), &frame).unwrap(), b"ACK\nid:c\\rd\n\n\0");
    }

    #[test]
    fn never_escapes_connect() {
        let frame = Frame::new(Command::Connect).with("host", "a:b\\c");
        for version in [None, Some(Version::V1_2)] {
            assert_eq!(wire(version, &frame).unwrap(), b"CONNECT\nhost:a:b\\c\n\n\0");
        }
    }

    #[test]
    fn refuses_what_a_version_cannot_escape_and_leaves_the_buffer_unchanged() {
        let cases = [
            (Command::Connect, None, "login", "a\nb", b'\n'),
            (Command::Connect, Some(Version::V1_2), "passcode", "a\rb", b'\r'),
            (Command::Connect, None, "a:b", "c", b':'),
            (Command::Send, Some(Version::V1_0), "k", "a\nb", b'\n'),
            (Command::Send, Some(Version::V1_0), "k:", "a", b':'),
            (Command::Send, Some(Version::V1_1), "k", "a\rb", b'\r'),
            (Command::Send, Some(Version::V1_2), "k", "a\0b", 0),
        ];
        for (command, version, name, value, byte) in cases {
            let mut out = BytesMut::from("before");
            let error = encode(&mut out, version, &Frame::new(command).with(name, value)).unwrap_err();
            assert_eq!(error, EncodeError::Unrepresentable { command, header: name.into(), byte }, "{name} {value:?}");
            assert_eq!(out.as_ref(), b"before");
        }
        let nameless = Frame::new(Command::Send).with("", "a");
        assert_eq!(wire(None, &nameless), Err(EncodeError::EmptyName { command: Command::Send }));
    }
}
