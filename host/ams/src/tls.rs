//! TLS without a client certificate.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

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
