//! What is wrong with bytes that are not STOMP.

use crate::frame::Command;

/// Why bytes are not STOMP, or more of it than is allowed. The connection cannot be used any more.
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
        /// The line as it came.
        line: String,
    },
    /// A header line has no end within the limit.
    #[error("header line longer than {limit} bytes")]
    HeaderTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More headers than allowed.
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
    /// A header line without a name or colon, or with a NUL or CR in it.
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
        /// The value as it came.
        value: String,
    },
    /// A body above the limit.
    #[error("{command} body longer than {limit} bytes")]
    BodyTooLong {
        /// The frame it belongs to.
        command: Command,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The byte after `content-length` bytes is not NUL.
    #[error("{command} body not ended by NUL after its content-length of {content_length} bytes")]
    BodyNotEnded {
        /// The frame it belongs to.
        command: Command,
        /// The length it announced.
        content_length: usize,
    },
}
