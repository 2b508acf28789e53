//! Throw-away certificates of the demo.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::DemoError;
use crate::trust::throwaway::{Authority, Directory, Issued, Request};

/// Subject of the site that sends.
pub(super) const SITE: &str = "/C=UK/O=Sesame Demo/OU=Northsea/CN=apel.northsea.example.org";
/// Subject of a site that is on no list.
pub(super) const STRANGER: &str = "/C=UK/O=Sesame Demo/OU=Unknown/CN=apel.stranger.example.org";
/// Subject of the central receiver.
pub(super) const CENTRAL: &str = "/C=UK/O=Sesame Demo/OU=Central/CN=central.example.org";

/// Where the certificates lie.
pub(super) struct Pki {
    pub(super) anchors: PathBuf,
    pub(super) site: (PathBuf, PathBuf),
    pub(super) stranger: (PathBuf, PathBuf),
    pub(super) central: (PathBuf, PathBuf),
    pub(super) broker: Arc<rustls::ServerConfig>,
}

/// Makes an authority and a certificate for each part.
pub(super) fn make(folder: &Path) -> Result<Pki, DemoError> {
    let authority = Authority::root(&Request::authority("/C=UK/O=Sesame Demo/CN=Sesame Demo CA"))?;
    let anchors = Directory::create(folder.join("anchors"))?;
    anchors.add_authority(&authority.own.certificate)?;
    let issue = |subject: &str, stem: &str| -> Result<(PathBuf, PathBuf), DemoError> {
        Ok(authority.issue(&Request::host(subject))?.write(folder, stem)?)
    };
    let mut request = Request::host("/C=UK/O=Sesame Demo/OU=Broker/CN=localhost");
    request.dns = vec!["localhost".to_owned()];
    request.addresses = vec![std::net::Ipv4Addr::LOCALHOST.into()];
    let broker = server_config(&authority, &authority.issue(&request)?)?;
    Ok(Pki {
        anchors: anchors.path().to_owned(),
        site: issue(SITE, "site")?,
        stranger: issue(STRANGER, "stranger")?,
        central: issue(CENTRAL, "central")?,
        broker,
    })
}

/// The broker's side of TLS: its certificate, and a client certificate of the same authority required.
fn server_config(authority: &Authority, own: &Issued) -> Result<Arc<rustls::ServerConfig>, DemoError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.own.certificate.to_der()?))?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let chain = vec![CertificateDer::from(own.certificate.to_der()?)];
    let key = PrivateKeyDer::from_pem_slice(&own.key.private_key_to_pem_pkcs8()?)?;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}
