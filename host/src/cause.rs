//! An error with its causes in one line, as it is shown at the edge: in the log, on the terminal, in a reject queue.

use std::error::Error;
use std::fmt::Write as _;

/// The error and each of its causes, with `: ` between. A cause whose words its error already repeats is left out.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = words(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let words = words(cause);
        if !line.ends_with(&words) {
            let _ = write!(line, ": {words}");
        }
        source = cause.source();
    }
    line
}

/// The text of one error. What OpenSSL and rustls write for developers (numbers, source lines, names of enumerations) is
/// said in words.
fn words(error: &(dyn Error + 'static)) -> String {
    if let Some(stack) = error.downcast_ref::<openssl::error::ErrorStack>() {
        return crate::trust::openssl_reasons(stack);
    }
    let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = error.downcast_ref::<rustls::Error>().or_else(|| inside?.downcast_ref());
    tls.map_or_else(|| error.to_string(), crate::stomp::tls_failure)
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

    #[test]
    fn openssl_and_rustls_speak_in_words() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot sign the message")]
        struct Signing(#[source] openssl::error::ErrorStack);
        let error = Signing(openssl::x509::X509::from_pem(b"no certificate").unwrap_err());
        assert!(error.source().unwrap().to_string().contains("error:"), "{error:?}");
        assert_eq!(chain(&error), "cannot sign the message: no start line");
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::InternalError);
        let words = chain(&Outer(std::io::Error::other(alert)));
        assert!(words.starts_with("cannot read the queue: TLS alert internal_error: "), "{words}");
    }
}
