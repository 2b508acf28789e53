//! An error with its causes in one line, for the log, the terminal and the reject queue.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

/// The error and each of its causes, with `: ` between. A cause that its error already ends with is left out.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = in_words(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let words = in_words(cause);
        if !line.ends_with(&words) {
            let _ = write!(line, ": {words}");
        }
        source = cause.source();
    }
    line
}

/// The text of one error. Rust's own kinds of I/O error (`entity not found`) are replaced by the system's messages. For errors
/// of OpenSSL and rustls, see the crates that call them: `trust::OpensslError`, `dial::tls::failure`.
fn in_words(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<io::Error>() {
        // Only the kind is known: there is neither an error number nor a text.
        Some(error) if error.raw_os_error().is_none() && error.get_ref().is_none() => io_words(error.kind()),
        _ => error.to_string(),
    }
}

/// A kind of input or output error in the words of the system's messages; operators do not know Rust's (`entity not found`).
#[must_use]
pub fn io_words(kind: io::ErrorKind) -> String {
    let words = match kind {
        io::ErrorKind::NotFound => "no such file or directory",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::AlreadyExists => "the file already exists",
        io::ErrorKind::NotADirectory => "not a directory",
        io::ErrorKind::IsADirectory => "is a directory",
        io::ErrorKind::DirectoryNotEmpty => "the directory is not empty",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        io::ErrorKind::StorageFull => "no space left on the disk",
        io::ErrorKind::QuotaExceeded => "the disk quota is used up",
        io::ErrorKind::FileTooLarge => "the file is too large",
        io::ErrorKind::InvalidData => "the content is not valid",
        io::ErrorKind::InvalidInput => "the name or a parameter is not allowed",
        io::ErrorKind::InvalidFilename => "the name of the file is too long or not allowed",
        io::ErrorKind::UnexpectedEof => "unexpected end of the file",
        io::ErrorKind::Interrupted => "interrupted",
        io::ErrorKind::WriteZero => "nothing could be written",
        io::ErrorKind::OutOfMemory => "out of memory",
        io::ErrorKind::ResourceBusy => "in use",
        io::ErrorKind::StaleNetworkFileHandle => "the network file system no longer knows the file",
        io::ErrorKind::CrossesDevices => "on another file system",
        io::ErrorKind::TooManyLinks => "too many links",
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset by the peer",
        io::ErrorKind::ConnectionAborted => "connection aborted",
        io::ErrorKind::HostUnreachable => "no route to the host",
        io::ErrorKind::NetworkUnreachable => "no route to the network",
        io::ErrorKind::NetworkDown => "the network is down",
        io::ErrorKind::NotConnected => "not connected",
        io::ErrorKind::AddrInUse => "the address is in use",
        io::ErrorKind::AddrNotAvailable => "the address is not one of this machine",
        io::ErrorKind::BrokenPipe => "the other end is closed",
        io::ErrorKind::TimedOut => "timed out",
        other => return other.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_as_messages_of_the_system() {
        let missing = Outer(io::ErrorKind::NotFound.into());
        assert_eq!(chain(&missing), "cannot read the queue: no such file or directory");
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists, io::ErrorKind::PermissionDenied] {
            assert!(!io_words(kind).contains("entity"), "{kind}");
        }
        let system = Outer(io::Error::from_raw_os_error(2));
        assert_eq!(chain(&system), "cannot read the queue: No such file or directory (os error 2)");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the queue")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_their_error() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "cannot read the queue: disk on fire");
    }
}
