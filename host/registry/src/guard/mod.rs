//! Stands between `oci-client` and the network: TLS with our trust store, and limits on what a registry may do.
//!
//! `oci-client` speaks the protocol of registries. Which certificates are trusted, how long answers may be and where
//! credentials go is decided here, for it has no settings for that: its registries speak HTTP, and this guard is its proxy, a
//! listener on the loopback interface that takes requests of this process alone, which a random secret proves.
//!
//! # Policy
//! - Outside, every request is HTTPS; only a registry on this machine may be asked over HTTP, where the user says so.
//!   Inside, URLs begin with `http://`: what an answer says of other places is rewritten (`rewrite`).
//! - Credentials go to the registry, and to the one token server that the user names; a request that would take them
//!   elsewhere is not sent.
//! - An answer is at most as long as what is asked for can be, and no part of it may take longer than [`PATIENCE`].
//!
//! The first thing that goes wrong is kept as a [`Fault`]: it says more than what `oci-client` makes of it.

mod body;
mod rewrite;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dial::DialError;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, REFERER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use message::locked;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use self::body::Bounded;
pub(crate) use self::rewrite::server;
use self::rewrite::{Inside, Target};

/// How long a server may be silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// For a TCP connection and, again, for the TLS handshake.
const CONNECT: Duration = Duration::from_secs(15);
/// Manifests, tokens and errors. Registries need not take a longer manifest (OCI distribution, "Pushing Manifests").
const SHORT: u64 = 4 << 20;
/// What belongs to one connection and not to the message on it (RFC 9110, section 7.6.1).
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Body = UnsyncBoxBody<Bytes, Fault>;

/// What went wrong between us and a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("cannot connect")]
    Connect { at: String, source: Box<DialError> },
    #[error("the connection was lost")]
    Lost { at: String, reason: String },
    #[error("no answer")]
    Silent { at: String, after: Duration },
    #[error("an answer is too long")]
    TooLong { at: String, limit: u64 },
    #[error("credentials would go elsewhere")]
    CredentialsElsewhere { to: String },
    #[error("another place is to be asked without TLS")]
    Unencrypted { to: String },
    #[error("a registry that is asked over HTTP refers to another server")]
    Elsewhere { to: String },
    #[error("an answer names no usable place")]
    Place { named: String },
    #[error("not a request of this process")]
    Stranger,
}

/// A server: its host in lower case, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            443 => write!(f, "{}", self.host),
            port => write!(f, "{}:{port}", self.host),
        }
    }
}

/// Where requests may go, and how.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) registry: Server,
    /// Whether the registry is asked over HTTP.
    pub(crate) plain: bool,
    /// The other server that may see the credentials.
    pub(crate) token_server: Option<String>,
    /// None where the registry alone is asked, over HTTP.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// The longest blob, in bytes.
    pub(crate) blob: u64,
}

#[derive(Debug)]
struct Shared {
    policy: Policy,
    inside: Inside,
    secret: String,
    fault: Mutex<Option<Fault>>,
}

/// The guard, until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    shared: Arc<Shared>,
    at: SocketAddr,
    listening: JoinHandle<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Guard {
    /// Listens. `written` is the registry as `oci-client` writes it into URLs; `secret` proves requests of this process.
    pub(crate) async fn start(policy: Policy, written: &str, secret: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = listener.local_addr()?;
        let inside = Inside::new(written, &policy, &secret);
        let shared = Arc::new(Shared { policy, inside, secret, fault: Mutex::default() });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { shared, at, listening })
    }

    /// The URL of the proxy that `oci-client` is to use.
    pub(crate) fn proxy(&self) -> String {
        format!("http://sesame:{}@{}", self.shared.secret, self.at)
    }

    /// A text of `oci-client` without the secret, which is in URLs.
    pub(crate) fn without_secret(&self, text: &str) -> String {
        text.replace(&format!("/{}", self.shared.secret), "")
    }

    /// The first thing that went wrong.
    pub(crate) fn fault(&self) -> Option<Fault> {
        locked(&self.shared.fault).take()
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, std::convert::Infallible>(answer(&shared, request).await) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "connection to the guard ended");
            }
        });
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    match shared.pass(request).await {
        Ok(response) => response,
        Err(fault) => {
            shared.note(fault);
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

fn empty() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

impl Shared {
    /// Keeps the first fault.
    fn note(&self, fault: Fault) {
        if !matches!(fault, Fault::Stranger) {
            locked(&self.fault).get_or_insert(fault);
        }
    }

    /// Sends a request on, and gives its answer as `oci-client` may see it.
    async fn pass(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Fault> {
        let proof = format!("Basic {}", STANDARD.encode(format!("sesame:{}", self.secret)));
        let sent = request.headers().get(PROXY_AUTHORIZATION).is_some_and(|sent| sent.as_bytes() == proof.as_bytes());
        let target = self.inside.outside(request.uri());
        let target = target.ok_or_else(|| Fault::Place { named: request.uri().to_string() })?;
        if !(sent || target.proven) {
            return Err(Fault::Stranger);
        }
        let server = &target.server;
        self.check_credentials(server, request.headers())?;
        let method = request.method().clone();
        let limit = self.limit(server, &method, &target.path);
        // An upload is answered once all of it is there: the deadline of the whole ends it.
        let asks = method == Method::GET || method == Method::HEAD;
        let patience = if asks { PATIENCE } else { Duration::MAX };
        let mut response = self.send(server, outgoing(request, &target), patience).await?;
        let status = response.status();
        self.inside.rewrite(response.headers_mut(), &target, status)?;
        let (mut head, body) = response.into_parts();
        drop_headers(&mut head.headers);
        // In HTTP/1.0 a body that breaks off looks as one that ends.
        head.version = Version::HTTP_11;
        let body = Bounded::new(body, server, limit, Arc::clone(self))?;
        Ok(Response::from_parts(head, body.boxed_unsync()))
    }

    fn check_credentials(&self, server: &Server, headers: &HeaderMap) -> Result<(), Fault> {
        let named = |name: &String| *name == server.to_string() || *name == server.host;
        let may = *server == self.policy.registry || self.policy.token_server.as_ref().is_some_and(named);
        if headers.contains_key(AUTHORIZATION) && !may {
            return Err(Fault::CredentialsElsewhere { to: server.to_string() });
        }
        Ok(())
    }

    /// How long an answer may be. Other servers are asked for tokens, or for blobs that the registry keeps there.
    fn limit(&self, server: &Server, method: &Method, path: &str) -> u64 {
        let blob = path.contains("/blobs/") || *server != self.policy.registry;
        if method == Method::GET && blob { self.policy.blob } else { SHORT }
    }

    async fn send(
        &self,
        server: &Server,
        request: Request<Incoming>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Fault> {
        let stream = self.connect(server).await?;
        let lost = |error: hyper::Error| Fault::Lost { at: server.to_string(), reason: lost(&error) };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(connection);
        match timeout(patience, sender.send_request(request)).await {
            Ok(answered) => answered.map_err(lost),
            Err(_) => Err(Fault::Silent { at: server.to_string(), after: patience }),
        }
    }

    async fn connect(&self, server: &Server) -> Result<Box<dyn Stream>, Fault> {
        let failed = |source| Fault::Connect { at: server.to_string(), source: Box::new(source) };
        if self.policy.plain && *server == self.policy.registry {
            return Ok(Box::new(tcp(server).await.map_err(failed)?));
        }
        let tls = self.policy.tls.as_ref().ok_or_else(|| Fault::Elsewhere { to: server.to_string() })?;
        let name = dial::server_name(&server.host).map_err(failed)?;
        let stream = tcp(server).await.map_err(failed)?;
        let secured = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        let late = || DialError::HandshakeTimeout { at: server.to_string(), after: CONNECT };
        let secured = timeout(CONNECT, secured).await.map_err(|_| failed(late()))?;
        Ok(Box::new(secured.map_err(|error| failed(DialError::handshake(server, error)))?))
    }
}

/// Tries every address of a name.
async fn tcp(server: &Server) -> Result<TcpStream, DialError> {
    let (earlier, last) = dial::resolve(&server.host, server.port, CONNECT).await?;
    for peer in earlier {
        if let Ok(stream) = dial::tcp(peer, dial::EARLIER_ADDRESS).await {
            return Ok(stream);
        }
    }
    dial::tcp(last, CONNECT).await
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The request as the server gets it.
fn outgoing(request: Request<Incoming>, target: &Target) -> Request<Incoming> {
    let (mut head, body) = request.into_parts();
    head.uri = target.path.parse().unwrap_or_default();
    head.version = Version::HTTP_11;
    drop_headers(&mut head.headers);
    head.headers.remove(REFERER);
    if let Ok(host) = HeaderValue::from_str(&target.server.to_string()) {
        head.headers.insert(HOST, host);
    }
    Request::from_parts(head, body)
}

fn drop_headers(headers: &mut HeaderMap) {
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
}

fn lost(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let ended = cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::UnexpectedEof);
    if ended || error.is_incomplete_message() {
        "the server closed it before its answer ended".to_owned()
    } else if error.is_parse() {
        "the answer is not HTTP".to_owned()
    } else {
        message::cause::chain(error)
    }
}
