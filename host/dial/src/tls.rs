//! Error texts for TLS: alerts of a server (RFC 8446, section 6), and failures that rustls shows in debug form.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The name of an alert as other logs show it, and its meaning.
pub(crate) fn alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let (name, meaning) = match alert {
        A::HandshakeFailure => {
            ("handshake_failure", "no common cipher suite, or our certificate is not accepted; see the server's log")
        }
        A::NoCertificate | A::CertificateRequired => {
            ("certificate_required", "the server requires a client certificate and got none that it can use")
        }
        A::BadCertificate => ("bad_certificate", "our certificate is malformed, or its signature is invalid"),
        A::UnsupportedCertificate => {
            ("unsupported_certificate", "the server does not accept the type or the key usage of our certificate")
        }
        A::CertificateRevoked => ("certificate_revoked", "our certificate is revoked"),
        A::CertificateExpired => {
            ("certificate_expired", "our certificate has expired or is not valid yet by the server's clock")
        }
        A::CertificateUnknown => ("certificate_unknown", "our certificate is not accepted; the server gives no reason"),
        A::UnknownCA => ("unknown_ca", "the server does not know the CA that issued our certificate"),
        A::AccessDenied => ("access_denied", "our certificate is valid but not authorised"),
        A::ProtocolVersion => ("protocol_version", "the server supports neither TLS 1.2 nor TLS 1.3"),
        A::InsufficientSecurity => ("insufficient_security", "the server requires cipher suites that are not offered"),
        A::UnrecognisedName => ("unrecognized_name", "the server does not know the configured host name"),
        A::DecryptError => {
            ("decrypt_error", "a signature or a check of the handshake failed: does the key match the certificate?")
        }
        A::InternalError => ("internal_error", "internal error of the server; see its log"),
        other => return format!("TLS alert {}", spaced(&format!("{other:?}"))),
    };
    format!("TLS alert {name}: {meaning}")
}

/// The failure of TLS that an error of a stream wraps.
#[must_use]
pub fn error_in(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// The text for a TLS failure.
#[must_use]
pub fn failure(error: &Error) -> String {
    use PeerIncompatible as P;
    match error {
        Error::AlertReceived(received) => alert(*received),
        // The text comes from our verifier.
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.to_string(),
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the signature of the handshake is invalid: the server does not hold the key of its certificate".to_owned()
        }
        Error::InvalidCertificate(CertificateError::BadEncoding) => "it is malformed".to_owned(),
        Error::InvalidCertificate(other) => spaced(&format!("{other:?}")),
        Error::NoCertificatesPresented => "the server sent no certificate".to_owned(),
        Error::PeerIncompatible(P::ServerDoesNotSupportTls12Or13 | P::ServerTlsVersionIsDisabledByOurConfig) => {
            "the server supports neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        Error::PeerIncompatible(why) => format!("the server's TLS is incompatible: {}", spaced(&format!("{why:?}"))),
        Error::PeerMisbehaved(why) => format!("the server violates the TLS protocol: {}", spaced(&format!("{why:?}"))),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the server's answer is not a TLS handshake".to_owned()
        }
        other => other.to_string(),
    }
}

/// `NoCipherSuitesInCommon` as `no cipher suites in common`; text in brackets is omitted.
fn spaced(name: &str) -> String {
    let name = name.split(['(', '{']).next().unwrap_or_default().trim();
    let mut out = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{OtherError, PeerMisbehaved};

    use super::*;

    #[test]
    fn alerts_show_their_name_and_meaning() {
        for (received, begins) in [
            (AlertDescription::HandshakeFailure, "TLS alert handshake_failure: no common cipher suite"),
            (
                AlertDescription::CertificateRequired,
                "TLS alert certificate_required: the server requires a client certificate",
            ),
            (AlertDescription::UnknownCA, "TLS alert unknown_ca: the server does not know the CA"),
            (AlertDescription::BadCertificate, "TLS alert bad_certificate: "),
            (AlertDescription::CertificateExpired, "TLS alert certificate_expired: our certificate has expired"),
            (AlertDescription::CertificateRevoked, "TLS alert certificate_revoked: "),
            (AlertDescription::MissingExtension, "TLS alert missing extension"),
        ] {
            let text = failure(&Error::AlertReceived(received));
            assert!(text.starts_with(begins), "{text}");
        }
    }

    #[test]
    fn no_failure_shows_a_debug_form() {
        #[derive(Debug, thiserror::Error)]
        #[error("the text of the verifier")]
        struct Verdict;
        let verdict = CertificateError::Other(OtherError(Arc::new(Verdict)));
        for (error, text) in [
            (Error::InvalidCertificate(verdict), "the text of the verifier"),
            (
                Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
                "the server supports neither TLS 1.2 nor TLS 1.3",
            ),
            (
                Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite),
                "the server violates the TLS protocol: selected unoffered cipher suite",
            ),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "unknown issuer"),
        ] {
            assert_eq!(failure(&error), text);
        }
    }
}
