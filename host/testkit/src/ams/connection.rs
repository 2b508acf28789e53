//! One connection: requests in, answers out, or what the script puts in their place.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::Shared;
use super::answer::{Answer, Body, long_response};
use super::request::{Request, token_host};
use super::script::{Fault, Route};
use super::{api, authentication};

/// The longest body of a request.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// The two ports of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Api,
    Authentication,
}

/// What is known of a connection.
#[derive(Debug)]
struct Client {
    port: Port,
    /// The subject of its certificate.
    subject: Option<String>,
    /// Set to end the connection by a reset.
    reset: Arc<AtomicBool>,
}

impl Client {
    fn reset(&self) -> io::Error {
        self.reset.store(true, Ordering::SeqCst);
        io::ErrorKind::ConnectionReset.into()
    }
}

/// Takes connections for as long as the server lasts.
pub(super) async fn accept(listener: TcpListener, port: Port, shared: Arc<Shared>) {
    loop {
        // The listener fails when file descriptors run out; there is nothing better than to try again.
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        shared.store().counters.connections += 1;
        tokio::spawn(serve(stream, from, port, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, port: Port, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut cut = shared.cut.subscribe();
    let _ = cut.borrow_and_update();
    let reset = Arc::new(AtomicBool::new(false));
    let line = Line { stream, reset: Arc::clone(&reset) };
    let served = async {
        let Some(tls) = &shared.settings.tls else {
            return converse(line, Client { port, subject: None, reset }, &shared).await;
        };
        match tokio_rustls::TlsAcceptor::from(Arc::clone(tls)).accept(line).await {
            Ok(stream) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let subject = certificate.and_then(|der| authentication::subject(der));
                if subject.is_some() && port == Port::Api {
                    shared.store().counters.certificates_at_api += 1;
                }
                converse(stream, Client { port, subject, reset }, &shared).await;
            }
            Err(error) => tracing::debug!(%error, %from, "AMS test server: TLS handshake failed"),
        }
    };
    tokio::select! {
        () = served => {}
        _ = cut.changed() => {}
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, client: Client, shared: &Arc<Shared>) {
    let client = &client;
    let service = service_fn(move |request| respond(request, client, Arc::clone(shared)));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "AMS test server: connection ended");
    }
}

async fn respond(
    request: HttpRequest<Incoming>,
    client: &Client,
    shared: Arc<Shared>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let mut request = Request::read(&parts);
    if client.port == Port::Authentication {
        let route = token_host(parts.uri.path()).map_or(Route::Unknown, |_| Route::Token);
        request = Request { route, name: parts.uri.path().to_owned(), ..request };
    }
    let fault = shared.count(&request);
    match &fault {
        Some(Fault::Reset) => return Err(client.reset()),
        Some(Fault::Silent) => std::future::pending().await,
        Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    if let Some(instead) = fault.as_ref().and_then(instead) {
        return Ok(instead);
    }
    let answer = match client.port {
        Port::Authentication => authentication::carry_out(&shared, &request.name, client.subject.as_deref()),
        Port::Api => carry_out(shared, request, body, fault.clone()).await?,
    };
    match fault {
        Some(Fault::Lost) => Err(client.reset()),
        Some(Fault::CutOff) => Ok(answer.into_cut_response()),
        _ => Ok(answer.into_response()),
    }
}

/// The answer to a request that is read and not carried out.
fn instead(fault: &Fault) -> Option<Response<Body>> {
    match fault {
        Fault::Answer { status, content_type, body } => {
            Some(Answer { status: *status, content_type, body: body.clone() }.into_response())
        }
        Fault::Long { bytes, declared } => Some(long_response(*bytes, *declared)),
        _ => None,
    }
}

/// Carries a request out to its end, also when the client is gone meanwhile; only the end of the server stops it.
async fn carry_out(
    shared: Arc<Shared>,
    request: Request,
    body: Bytes,
    fault: Option<Fault>,
) -> Result<Answer, io::Error> {
    let mut stop = shared.stop.subscribe();
    let task = tokio::spawn(async move {
        tokio::select! {
            answer = api::carry_out(&shared, &request, &body, fault.as_ref()) => Some(answer),
            _ = stop.wait_for(|stop| *stop) => None,
        }
    });
    task.await.ok().flatten().ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
}

/// A TCP connection that can end in a reset.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.reset.load(Ordering::SeqCst) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
