//! Tokens for certificates, over TLS.

use std::net::SocketAddr;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

use super::*;
use crate::pki::{Authority, Issued, KeyKind, Request as CertificateRequest, provider};

const PATH: &str = "/v1/service-types/ams/hosts/localhost:authx509";

struct Pki {
    authority: Authority,
    server: Issued,
}

impl Pki {
    fn new() -> Self {
        let authority = Authority::root(&CertificateRequest::authority("/DC=org/DC=example/CN=CA")).unwrap();
        let request = CertificateRequest { key: KeyKind::P256, ..CertificateRequest::host("/CN=localhost") };
        let server = authority.issue(&CertificateRequest { dns: vec!["localhost".to_owned()], ..request }).unwrap();
        Self { authority, server }
    }

    fn client(&self, subject: &str) -> Issued {
        self.authority.issue(&CertificateRequest { key: KeyKind::P256, ..CertificateRequest::host(subject) }).unwrap()
    }

    async fn server(&self) -> Server {
        let tls = Some(self.authority.requesting_config(&self.server).unwrap());
        server_with(Settings { tls, ..Settings::default() }).await
    }

    async fn get(&self, address: SocketAddr, path: &str, token: &str, own: Option<&Issued>) -> Said {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.own.certificate.to_der().unwrap())).unwrap();
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from(own.certificate.to_der().unwrap())];
                let key = PrivateKeyDer::from_pem_slice(&own.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (status, body) = exchange(stream, "GET", path, token, "").await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

#[tokio::test]
async fn a_token_is_given_for_a_certificate_that_is_bound() {
    let pki = Pki::new();
    let (server, own) = (pki.server().await, pki.client("/DC=org/DC=example/C=GR/O=Site/CN=host.example.org"));
    let at = server.authentication_address();
    assert_eq!(error(pki.get(at, PATH, "", None).await), (400, "No certificate provided".to_owned()));
    assert_eq!(error(pki.get(at, PATH, "", Some(&own)).await), (404, "Binding was not found".to_owned()));
    server.bind("CN=host.example.org,O=Site,C=GR,DC=org+DC=example", "site");
    assert_eq!(pki.get(at, PATH, "", Some(&own)).await, (200, json!({ "token": "secret" })));
    let elsewhere = PATH.replace("localhost", "elsewhere");
    assert_eq!(error(pki.get(at, &elsewhere, "", Some(&own)).await), (404, "Host was not found".to_owned()));
    assert_eq!((server.counters().tokens, server.requests(Route::Token)), (1, 4));
    server.fault(Route::Token, Fault::error(500, "Internal Error", "INTERNAL SERVER ERROR"));
    assert_eq!(pki.get(at, PATH, "", Some(&own)).await.0, 500);
}

#[tokio::test]
async fn a_token_that_was_renewed_is_refused_until_it_is_fetched_again() {
    let pki = Pki::new();
    let (server, own) = (pki.server().await, pki.client("/CN=host.example.org"));
    server.bind("CN=host.example.org", "site");
    assert_eq!(pki.get(server.address(), TOPIC, "secret", None).await.0, 200);
    server.renew_token("site");
    assert_eq!(pki.get(server.address(), TOPIC, "secret", None).await.0, 401);
    let (_, said) = pki.get(server.authentication_address(), PATH, "", Some(&own)).await;
    let token = said["token"].as_str().unwrap();
    assert_eq!(pki.get(server.address(), TOPIC, token, None).await.0, 200);
    assert_eq!(server.counters().certificates_at_api, 0);
    assert_eq!(pki.get(server.address(), TOPIC, token, Some(&own)).await.0, 200);
    assert_eq!(server.counters().certificates_at_api, 1, "a certificate at the wrong port is noticed");
}
