//! A TLS server with certificates of a throw-away authority.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Authority, Issued, ThrowawayError};

impl Authority {
    /// A broker's side of TLS: its certificate is `own`, and a client certificate of this authority is required.
    ///
    /// # Errors
    /// rustls' or OpenSSL's reason.
    pub fn server_config(&self, own: &Issued) -> Result<Arc<ServerConfig>, ThrowawayError> {
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots()?, trust::tls::provider()).build()?;
        serving(own, clients)
    }

    /// The same, but a client may come without a certificate; the certificate it has must be of this authority.
    ///
    /// # Errors
    /// rustls' or OpenSSL's reason.
    pub fn requesting_config(&self, own: &Issued) -> Result<Arc<ServerConfig>, ThrowawayError> {
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots()?, trust::tls::provider());
        serving(own, clients.allow_unauthenticated().build()?)
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, ThrowawayError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.own.certificate.to_der()?))?;
        Ok(Arc::new(roots))
    }
}

fn serving(own: &Issued, clients: Arc<dyn ClientCertVerifier>) -> Result<Arc<ServerConfig>, ThrowawayError> {
    let chain = vec![CertificateDer::from(own.certificate.to_der()?)];
    let key = PrivateKeyDer::from_pem_slice(&own.key.private_key_to_pem_pkcs8()?)?;
    let config = ServerConfig::builder_with_provider(trust::tls::provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}
