//! TLS to a broker: rustls for the protocol, our trust store for the broker's certificate, OpenSSL for all
//! cryptography.
//!
//! # Policy
//! The rules for the broker's certificate are those of `path`. It must also be valid for the name we connect to: by
//! subject alternative name, in which `*` may be the whole first label; by common name only if `allow_cn` is set and
//! the certificate has no DNS name. Addresses match only IP address names.
//!
//! OpenSSL checks the handshake signature, after the scheme is compared with the kind of key. The helper of rustls is
//! not used, since it parses the certificate again with webpki, which refuses some certificates of grid authorities.
//! Sessions are never resumed, because a resumed session skips the verifier; no ALPN is offered. The provider is fixed
//! here and never taken from the process default.

mod client;
mod constraints;
mod names;
mod signatures;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::x509::X509;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};

pub use client::client_faults;

use super::path::{PathError, Role};
use super::{Credential, CredentialSource, Trust};

/// Why a broker's certificate is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerRefused {
    /// The certificate is not accepted.
    #[error("{}{}", .0, remedy(.0))]
    Path(#[from] PathError),
    /// The certificate is not for the name we connect to.
    #[error(
        "the certificate is not for {wanted}, but for {}; use that name in hosts, or have the certificate reissued",
        shown(presented)
    )]
    WrongName {
        /// The name or address we connect to.
        wanted: String,
        /// The names it is for.
        presented: Vec<String>,
    },
    /// Only the common name matches.
    #[error(
        "the certificate has {wanted} as common name only and no subject alternative name; set allow-cn = true in the \
         section of the broker to accept that"
    )]
    CommonNameOnly {
        /// The name we connect to.
        wanted: String,
    },
    /// The certificate cannot be read.
    #[error("the certificate cannot be read; the broker needs a well-formed one")]
    Unreadable,
}

fn shown(names: &[String]) -> String {
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

/// The remedy for an error of a broker's certificate; empty if none is certain.
fn remedy(error: &PathError) -> &'static str {
    match error {
        PathError::Untrusted { .. } => "; add that authority to trust.anchors if you trust it",
        PathError::BadSignature { .. } => {
            "; check that trust.anchors contains the current certificate of the authority"
        }
        PathError::Expired { .. } => "; renew it there, or check the clock here",
        PathError::NotYetValid { .. } => "; check both clocks",
        PathError::Revoked { .. } => "; the broker needs a new certificate",
        PathError::ExtendedKeyUsage { .. } => "; the broker needs a certificate with serverAuth",
        PathError::KeyUsage { .. } => "; the broker needs a certificate with digitalSignature or keyEncipherment",
        PathError::WeakKey { .. } => {
            "; the broker needs a certificate with an RSA key of 2048 bits or more, or an EC key"
        }
        PathError::WeakSignature { .. } => "; the broker needs a certificate signed with SHA-256",
        PathError::Proxy { .. } => "; the broker needs a host certificate",
        PathError::CrlStale { .. } | PathError::CrlMissing { .. } | PathError::CrlUnusable { .. } => {
            "; fetch the revocation lists again (fetch-crl)"
        }
        PathError::CrlNotYetValid { .. } => "; check the clock here",
        _ => "",
    }
}

impl From<BrokerRefused> for rustls::Error {
    fn from(refused: BrokerRefused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// The cryptography provider: OpenSSL, with the default cipher suites and key exchange groups of rustls-openssl.
pub fn provider() -> Arc<CryptoProvider> {
    // Creating it probes what OpenSSL supports by generating a key of each group.
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls_openssl::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The TLS configuration for brokers. Each connection uses the current state of `trust` and `credential`.
///
/// # Errors
/// [`rustls::Error`] if the provider does not support the protocol versions.
pub fn client_config(
    trust: Arc<Trust>,
    credential: Option<Arc<CredentialSource>>,
    allow_cn: bool,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BrokerVerifier { trust, allow_cn }));
    let mut config = match credential {
        Some(source) => builder.with_client_cert_resolver(Arc::new(CurrentCredential { source, provider })),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Checks the broker's certificate against the current trust store.
#[derive(Debug)]
struct BrokerVerifier {
    trust: Arc<Trust>,
    allow_cn: bool,
}

impl BrokerVerifier {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        at: SystemTime,
    ) -> Result<(), BrokerRefused> {
        let leaf = X509::from_der(leaf).map_err(|_| BrokerRefused::Unreadable)?;
        let issuers: Vec<X509> = issuers.iter().filter_map(|der| X509::from_der(der).ok()).collect();
        let path = self.trust.snapshot().check_path(&leaf, &issuers, Role::Broker, at)?;
        names::check(&leaf, name, self.allow_cn)?;
        Ok(constraints::check(&path, name)?)
    }
}

impl ServerCertVerifier for BrokerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let at = UNIX_EPOCH + Duration::from_secs(now.as_secs());
        self.check(end_entity, intermediates, server_name, at)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signatures::verify(message, cert, dss, signatures::Protocol::Tls12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signatures::verify(message, cert, dss, signatures::Protocol::Tls13)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signatures::SCHEMES.to_vec()
    }
}

/// Presents the current credential to a broker that requests a client certificate.
#[derive(Debug)]
struct CurrentCredential {
    source: Arc<CredentialSource>,
    provider: Arc<CryptoProvider>,
}

impl CurrentCredential {
    fn certified(&self, credential: &Credential) -> Option<CertifiedKey> {
        let mut chain = vec![CertificateDer::from(credential.certificate().to_der().ok()?)];
        for issuer in credential.chain() {
            chain.push(CertificateDer::from(issuer.to_der().ok()?));
        }
        let encoded = credential.key().private_key_to_pkcs8().ok()?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(encoded));
        let key = self.provider.key_provider.load_private_key(key);
        let key = key.inspect_err(|error| tracing::warn!(%error, "key not usable for TLS")).ok()?;
        Some(CertifiedKey::new(chain, key))
    }
}

impl ResolvesClientCert for CurrentCredential {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certified = self.certified(&self.source.current())?;
        certified.key.choose_scheme(schemes)?;
        Some(Arc::new(certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
