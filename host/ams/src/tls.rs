//! TLS without a client certificate, and what TLS says, in words: alerts of the server (RFC 8446 section 6) and
//! failures that rustls names in its debug form.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, PeerIncompatible, SignatureScheme};

/// The same configuration without a client certificate.
pub(crate) fn anonymous(config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    if !config.client_auth_cert_resolver.has_certs() {
        return config;
    }
    let mut config = ClientConfig::clone(&config);
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    Arc::new(config)
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// An alert as an operator finds it in other logs, with what it means.
pub(crate) fn alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let (name, meaning) = match alert {
        A::HandshakeFailure => {
            ("handshake_failure", "it shares no cipher with us, or does not take our certificate; its log says which")
        }
        A::NoCertificate | A::CertificateRequired => {
            ("certificate_required", "it wants a client certificate, and got none it can use")
        }
        A::BadCertificate => ("bad_certificate", "it cannot read our certificate, or its signature does not verify"),
        A::UnsupportedCertificate => {
            ("unsupported_certificate", "our certificate is of a kind, or for a use, that it does not accept")
        }
        A::CertificateRevoked => ("certificate_revoked", "its revocation list names our certificate"),
        A::CertificateExpired => {
            ("certificate_expired", "our certificate has expired or is not valid yet, by the server's clock")
        }
        A::CertificateUnknown => ("certificate_unknown", "it does not accept our certificate and does not say why"),
        A::UnknownCA => ("unknown_ca", "it does not know the authority that issued our certificate"),
        A::AccessDenied => ("access_denied", "our certificate is valid, and its owner may not come in"),
        A::ProtocolVersion => ("protocol_version", "it speaks neither TLS 1.2 nor TLS 1.3"),
        A::InsufficientSecurity => ("insufficient_security", "it demands ciphers that are not offered"),
        A::UnrecognisedName => ("unrecognized_name", "it does not know the host name that we call it by"),
        A::DecryptError => ("decrypt_error", "a signature or a check of the handshake failed: does the key fit?"),
        A::InternalError => ("internal_error", "it failed for a reason of its own; its log says which"),
        other => return format!("TLS alert {}", spaced(&format!("{other:?}"))),
    };
    format!("TLS alert {name}: {meaning}")
}

/// Why TLS failed.
pub(crate) fn failure(error: &Error) -> String {
    use PeerIncompatible as P;
    match error {
        Error::AlertReceived(received) => alert(*received),
        // Our verifier's own words.
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.to_string(),
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the handshake's signature does not verify: the server does not hold the key of its certificate".to_owned()
        }
        Error::InvalidCertificate(CertificateError::BadEncoding) => "it cannot be read".to_owned(),
        Error::InvalidCertificate(other) => spaced(&format!("{other:?}")),
        Error::NoCertificatesPresented => "the server sent no certificate".to_owned(),
        Error::PeerIncompatible(P::ServerDoesNotSupportTls12Or13 | P::ServerTlsVersionIsDisabledByOurConfig) => {
            "the server speaks neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        Error::PeerIncompatible(why) => format!("the server's TLS does not fit ours: {}", spaced(&format!("{why:?}"))),
        Error::PeerMisbehaved(why) => format!("the server breaks the rules of TLS: {}", spaced(&format!("{why:?}"))),
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
    fn alerts_are_said_by_their_name_and_meaning() {
        for (received, begins) in [
            (AlertDescription::HandshakeFailure, "TLS alert handshake_failure: it shares no cipher with us"),
            (AlertDescription::CertificateRequired, "TLS alert certificate_required: it wants a client certificate"),
            (AlertDescription::UnknownCA, "TLS alert unknown_ca: it does not know the authority"),
            (AlertDescription::BadCertificate, "TLS alert bad_certificate: "),
            (AlertDescription::CertificateExpired, "TLS alert certificate_expired: our certificate has expired"),
            (AlertDescription::CertificateRevoked, "TLS alert certificate_revoked: "),
            (AlertDescription::MissingExtension, "TLS alert missing extension"),
        ] {
            let said = failure(&Error::AlertReceived(received));
            assert!(said.starts_with(begins), "{said}");
        }
    }

    #[test]
    fn no_failure_is_said_in_debug_form() {
        #[derive(Debug, thiserror::Error)]
        #[error("the words of the verifier")]
        struct Verdict;
        let verdict = CertificateError::Other(OtherError(Arc::new(Verdict)));
        for (error, words) in [
            (Error::InvalidCertificate(verdict), "the words of the verifier"),
            (
                Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
                "the server speaks neither TLS 1.2 nor TLS 1.3",
            ),
            (
                Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite),
                "the server breaks the rules of TLS: selected unoffered cipher suite",
            ),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "unknown issuer"),
        ] {
            assert_eq!(failure(&error), words);
        }
    }
}
