//! Decoding errors.

use crate::frame::Command;

/// Input that is not STOMP or exceeds a limit. The connection cannot be used afterwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The command line has no end within the limit.
    #[error("command line longer than {limit} bytes")]
    CommandTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not a command that this peer may send.
    #[error("unknown command {line:?}")]
    UnknownCommand {
        /// The first bytes of the line.
        line: String,
    },
    /// A header line has no end within the limit.
    #[error("header line longer than {limit} bytes")]
    HeaderTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many headers.
    #[error("more than {limit} headers")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// All headers together are too long.
    #[error("headers longer than {limit} bytes")]
    HeadersTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A header line without a name or colon, or one that contains a NUL, or a CR where CR LF ends a line.
    #[error("malformed header line {line:?}")]
    MalformedHeader {
        /// The first bytes of the line.
        line: String,
    },
    /// An escape that the version does not define.
    #[error("undefined escape in header line {line:?}")]
    UndefinedEscape {
        /// The first bytes of the line.
        line: String,
    },
    /// A `content-length` that is not a number, or two that differ.
    #[error("malformed content-length {value:?}")]
    MalformedContentLength {
        /// The first bytes of the value.
        value: String,
    },
    /// A body above the limit.
    #[error("{command} body longer than {limit} bytes")]
    BodyTooLong {
        /// The command of the frame.
        command: Command,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The byte after `content-length` bytes is not NUL.
    #[error("{command} body not ended by NUL after its content-length of {content_length} bytes")]
    BodyNotEnded {
        /// The command of the frame.
        command: Command,
        /// The announced length.
        content_length: usize,
    },
}
