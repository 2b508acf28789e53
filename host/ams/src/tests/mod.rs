//! The client against a scripted server over TLS, fault by fault, by the text that an operator reads.

mod faults;
mod server;
mod sizes;
mod token;
mod transport;
mod work;

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use testkit::pki::{Authority, Directory, Issued, KeyKind, Request, provider};
use trust::{CredentialSource, Trust, TrustSettings};

use self::server::{Reply, Server};
use crate::*;

/// The token of most tests. No error and no `Debug` may show it.
const TOKEN: &str = "s3cr3t-t0k3n-of-a-user";

/// An authority, and what it issued.
struct World {
    root: Authority,
    server: Issued,
    temporary: tempfile::TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let temporary = tempfile::tempdir().unwrap();
    let root = Authority::root(&Request::authority("/O=Test CA/CN=Root")).unwrap();
    let directory = Directory::create(temporary.path().join("certificates")).unwrap();
    directory.add_authority(&root.own.certificate).unwrap();
    let server = root.issue(&host("ams.example.org")).unwrap();
    root.issue(&host("client.example.org")).unwrap().write(temporary.path(), "client").unwrap();
    World { root, server, temporary }
});

fn host(name: &str) -> Request {
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    Request { key: KeyKind::P256, addresses, ..Request::host(&format!("/O=Test/CN={name}")) }
}

impl World {
    fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Of a client that trusts the authority of the tests.
    fn client_tls(&self, with_certificate: bool) -> Arc<ClientConfig> {
        let trust = Trust::load(&TrustSettings::new(self.path().join("certificates"))).unwrap();
        let file = |ending| self.path().join(format!("client.{ending}"));
        let own = || Arc::new(CredentialSource::load(&file("pem"), &file("key")).unwrap());
        trust::tls::client_config(Arc::new(trust), with_certificate.then(own), false).unwrap()
    }

    /// Of AMS: no client certificate is asked for.
    fn api_tls(&self) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from(self.server.certificate.to_der().unwrap())];
        let key = PrivateKeyDer::from_pem_slice(&self.server.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    /// Of the token service: a client certificate is required.
    fn token_tls(&self) -> Arc<ServerConfig> {
        self.root.server_config(&self.server).unwrap()
    }
}

/// A server that answers the n-th request, from 0, as scripted.
async fn api(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(Some(WORLD.api_tls()), move |n, _| script(n)).await
}

fn settings(server: &Server) -> Settings {
    let token = TokenSource::Fixed(Token::new(TOKEN).unwrap());
    let project = Project::new("accounting").unwrap();
    let timing = Timing {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(10),
        whole: Duration::from_secs(20),
        ..Timing::default()
    };
    Settings { timing, ..Settings::new(server.endpoint(), project, WORLD.client_tls(false), token) }
}

fn client(server: &Server) -> Client {
    Client::new(settings(server))
}

fn topic() -> Topic {
    Topic::new("gocdb").unwrap()
}

fn subscription() -> Subscription {
    Subscription::new("apel").unwrap()
}

fn one() -> Vec<Publication> {
    vec![Publication::new("6b03/6b03", "hello")]
}

fn ack(client: &Client, offset: u64) -> AckId {
    AckId::new(client.project(), &subscription(), offset)
}

/// The error's text with `HOST` in place of the server's address, after a check that the token is in no form of it.
fn text(error: &Error, server: &Server) -> String {
    let (said, debug) = (message::cause::chain(error), format!("{error:?} {error:#?}"));
    for text in [&said, &debug] {
        assert!(!text.contains("s3cr3t") && !text.contains("t0k3n"), "{text}");
    }
    said.replace(&server.endpoint().to_string(), "HOST")
}

/// An error of AMS.
fn refusal(status: u16, words: &str) -> Reply {
    let body = serde_json::json!({ "error": { "code": status, "message": words, "status": "X" } });
    Reply::new(status, &body.to_string())
}
