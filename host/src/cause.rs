//! An error with its causes in one line, as it is shown at the edge: in the log, on the terminal, in a reject queue.

use std::error::Error;
use std::fmt::Write as _;

/// The error and each of its causes, with `: ` between. A cause whose words its error already repeats is left out.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !line.ends_with(&words) {
            let _ = write!(line, ": {words}");
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the queue")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_their_error() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "cannot read the queue: disk on fire");
    }
}
