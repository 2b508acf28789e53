//! The types of STOMP: versions, commands, headers and frames. Reading and writing them is the task of
//! [`decode`](super::decode) and [`encode`](super::encode).

use std::fmt;

use bytes::Bytes;

/// A protocol version. None is agreed before CONNECTED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// STOMP 1.0: no escapes, no heart-beats.
    V1_0,
    /// STOMP 1.1: the escapes `\\`, `\n` and `\c`.
    V1_1,
    /// STOMP 1.2: also `\r`, and lines may end in CR LF.
    V1_2,
}

impl Version {
    /// The version as written in CONNECTED; `None` if it is not supported.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "1.0" => Some(Self::V1_0),
            "1.1" => Some(Self::V1_1),
            "1.2" => Some(Self::V1_2),
            _ => None,
        }
    }

    /// The version as written in a header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which end of a connection sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// CONNECTED, MESSAGE, RECEIPT and ERROR.
    Broker,
    /// Every other command.
    Client,
}

macro_rules! commands {
    ($($variant:ident $text:literal $origin:ident,)*) => {
        /// A command of STOMP 1.0 to 1.2. Any other command line is a protocol error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are those of the specification")]
        pub enum Command { $($variant,)* }

        impl Command {
            /// All commands.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The command of an exact command line.
            #[must_use]
            pub fn parse(line: &[u8]) -> Option<Self> {
                match line {
                    $(bytes if bytes == $text.as_bytes() => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The command as written on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Which end sends it.
            #[must_use]
            pub fn origin(self) -> Origin {
                match self { $(Self::$variant => Origin::$origin,)* }
            }
        }
    };
}

commands! {
    Connected "CONNECTED" Broker,
    Message "MESSAGE" Broker,
    Receipt "RECEIPT" Broker,
    Error "ERROR" Broker,
    Connect "CONNECT" Client,
    Stomp "STOMP" Client,
    Send "SEND" Client,
    Subscribe "SUBSCRIBE" Client,
    Unsubscribe "UNSUBSCRIBE" Client,
    Ack "ACK" Client,
    Nack "NACK" Client,
    Begin "BEGIN" Client,
    Commit "COMMIT" Client,
    Abort "ABORT" Client,
    Disconnect "DISCONNECT" Client,
}

impl Command {
    /// Whether headers of this frame are escaped in `version`. CONNECT and CONNECTED never are, so that a 1.0 peer can
    /// read them (STOMP 1.2, "Value Encoding"), and no frame is before a version is agreed.
    pub(crate) fn escapes(self, version: Option<Version>) -> bool {
        let opening = matches!(self, Self::Connect | Self::Stomp | Self::Connected);
        !opening && version >= Some(Version::V1_1)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Headers in wire order, unescaped. Names and values are bytes: a broker may send a value that is not UTF-8, and an
/// ACK must return exactly what was received.
///
/// One allocation holds all text, another the end of each header. The first value of a repeated name counts (STOMP 1.2,
/// "Repeated Header Entries").
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

impl Headers {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one header at the end.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.text.extend_from_slice(name.as_ref());
        let name_end = self.text.len();
        self.text.extend_from_slice(value.as_ref());
        self.ends.push((name_end, self.text.len()));
    }

    /// These headers and one more.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.push(name, value);
        self
    }

    /// Adds one header whose name and value are appended by the two closures.
    pub(crate) fn push_with<E>(
        &mut self,
        fill_name: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
        fill_value: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        fill_name(&mut self.text)?;
        let name_end = self.text.len();
        fill_value(&mut self.text)?;
        self.ends.push((name_end, self.text.len()));
        Ok(())
    }

    /// The first value of `name`, as bytes.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| value)
    }

    /// The first value of `name`; `None` if there is none or it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        starts.zip(&self.ends).map(|(start, (name_end, end))| {
            let name = self.text.get(start..*name_end).unwrap_or_default();
            (name, self.text.get(*name_end..*end).unwrap_or_default())
        })
    }

    /// Number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Total size of names and values in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        pairs.into_iter().fold(Self::new(), |headers, (name, value)| headers.with(name, value))
    }
}

impl fmt::Debug for Headers {
    /// Shows a map; login and passcode are hidden.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| {
            let secret = name == b"passcode" || name == b"login";
            let value = if secret { "(not shown)".into() } else { String::from_utf8_lossy(value) };
            (String::from_utf8_lossy(name), value)
        });
        f.debug_map().entries(shown).finish()
    }
}

/// One frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The command line.
    pub command: Command,
    /// The headers, unescaped.
    pub headers: Headers,
    /// The body: arbitrary bytes.
    pub body: Bytes,
}

impl Frame {
    /// A frame without headers or body.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { command, headers: Headers::new(), body: Bytes::new() }
    }

    /// This frame with one more header.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// This frame with the given body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

impl fmt::Debug for Frame {
    /// Shows the size of the body but not its content, which must not be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} and a body of {} bytes", self.command, self.headers, self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_equal_names_counts() {
        let headers = Headers::new().with("a", "1").with("b", "").with("a", "2");
        assert_eq!(headers.text("a"), Some("1"));
        assert_eq!(headers.text("b"), Some(""));
        assert_eq!(headers.text("c"), None);
        assert_eq!(headers.iter().count(), 3);
    }

    #[test]
    fn keeps_a_value_that_is_not_utf8() {
        let headers = Headers::new().with("a", b"\xff\x00");
        assert_eq!(headers.text("a"), None);
        assert_eq!(headers.bytes("a"), Some(&b"\xff\x00"[..]));
    }

    #[test]
    fn debug_shows_neither_login_nor_passcode_nor_body() {
        let frame = Frame::new(Command::Connect).with("login", "ann").with("passcode", "hunter2").with_body("secret");
        let shown = format!("{frame:?}");
        for secret in ["ann", "hunter2", "secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn parses_every_command_and_nothing_else() {
        for command in Command::ALL {
            assert_eq!(Command::parse(command.as_str().as_bytes()), Some(*command));
        }
        for bad in ["message", "MESSAGE ", "", "\rMESSAGE", "MESSAGES"] {
            assert_eq!(Command::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
