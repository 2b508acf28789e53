//! One request and its answer: the pool of connections, deadlines, and how much of an answer is read.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use message::cause::chain;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connect::{ConnectError, Connector, NoConnection, Way};
use crate::fault::Fault;
use crate::names::Endpoint;
use crate::secret::Token;

/// How much of an error's body is read, in bytes; the rest is left.
const EXPLANATION: usize = 64 << 10;
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("sesame/", env!("CARGO_PKG_VERSION")));

/// The deadlines of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For the TCP connection, and again for the proxy's answer and the TLS handshake together. Default 15 s.
    pub connect: Duration,
    /// From the beginning, with connecting where no connection is open, to the first line of the answer. Default 60 s.
    pub answer: Duration,
    /// For all of it. Default 180 s.
    pub whole: Duration,
    /// How long an idle connection is kept. It must be less than the server's own time, or a publish may be lost with a
    /// connection that the server closes. Default 10 s.
    pub idle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(15), answer: seconds(60), whole: seconds(180), idle: seconds(10) }
    }
}

/// How much of an answer is read, in bytes; a longer one is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a pull. Default 64 MiB.
    pub pull: usize,
    /// Of anything else. Default 1 MiB.
    pub other: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pull: 64 << 20, other: 1 << 20 }
    }
}

/// The HTTP client of one server.
#[derive(Clone)]
pub(crate) struct Http {
    pool: legacy::Client<Connector, Watched>,
    at: Endpoint,
    timing: Timing,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Of an error, only the beginning.
    pub(crate) body: Bytes,
}

/// What is sent: a GET without a body, or a POST of JSON.
pub(crate) struct Outgoing<'a> {
    pub(crate) path: &'a str,
    pub(crate) json: Option<Bytes>,
    pub(crate) token: Option<&'a Token>,
    /// How much of the answer is read, in bytes.
    pub(crate) bound: usize,
}

impl Http {
    /// A client of `at` that keeps up to `idle_connections` open.
    pub(crate) fn new(
        at: Endpoint,
        proxy: Option<Endpoint>,
        tls: Arc<rustls::ClientConfig>,
        timing: Timing,
        idle_connections: usize,
    ) -> Self {
        let way = Way { to: at.clone(), proxy, tls, patience: timing.connect };
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(timing.idle)
            .pool_max_idle_per_host(idle_connections)
            .build(Connector(Arc::new(way)));
        Self { pool, at, timing }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// Where there is no answer, or not all of one with status 200.
    pub(crate) async fn send(&self, outgoing: Outgoing<'_>) -> Result<Answer, Fault> {
        let deadline = Instant::now() + self.timing.whole;
        let bound = outgoing.bound;
        let (request, sent) = self.request(outgoing)?;
        let patience = self.timing.answer.min(self.timing.whole);
        let response = match timeout(patience, self.pool.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.failure(&error, sent.get())),
            Err(_) if sent.get() => return Err(Fault::NoAnswer { after: patience }),
            Err(_) => return Err(Fault::NotSent { after: patience }),
        };
        let (status, good) = (response.status().as_u16(), response.status() == 200);
        if good && response.body().size_hint().lower() > bound as u64 {
            return Err(Fault::TooLong { bound });
        }
        let bound = if good { bound } else { EXPLANATION };
        let mut read = BytesMut::new();
        let ended = match timeout_at(deadline, collect(response, bound, &mut read)).await {
            Ok(ended) => ended,
            Err(_) => Err(Fault::Endless { after: self.timing.whole }),
        };
        match ended {
            Err(fault) if good => Err(fault),
            // The status of an error says more than the end of its explanation.
            _ => Ok(Answer { status, body: read.freeze() }),
        }
    }

    fn request(&self, outgoing: Outgoing<'_>) -> Result<(Request<Watched>, Sent), Fault> {
        let authority = match self.at.port() {
            Endpoint::API => self.at.to_string().trim_end_matches(":443").to_owned(),
            _ => self.at.to_string(),
        };
        let method = if outgoing.json.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder().method(method).uri(format!("https://{authority}{}", outgoing.path));
        request = request.header(ACCEPT, JSON).header(USER_AGENT, AGENT);
        if outgoing.json.is_some() {
            request = request.header(CONTENT_TYPE, JSON);
        }
        if let Some(token) = outgoing.token {
            request = request.header(API_KEY, token.header());
        }
        let sent = Sent::new(outgoing.json.is_none());
        let body = Watched { inner: Full::new(outgoing.json.unwrap_or_default()), sent: sent.clone() };
        let unsendable = |error: hyper::http::Error| Fault::Lost { sent: false, reason: error.to_string() };
        Ok((request.body(body).map_err(unsendable)?, sent))
    }

    /// Why there is no answer.
    fn failure(&self, error: &legacy::Error, sent: bool) -> Fault {
        let source = std::error::Error::source(error);
        if let Some(none) = source.and_then(|source| source.downcast_ref::<NoConnection>()) {
            return Fault::Connect(Arc::clone(&none.0));
        }
        if let Some(late) = ConnectError::late(&self.at, error) {
            return Fault::Connect(Arc::new(late));
        }
        match source.and_then(|source| source.downcast_ref::<hyper::Error>()) {
            Some(error) if error.is_incomplete_message() => {
                Fault::Lost { sent, reason: "the server closed it".to_owned() }
            }
            Some(error) if error.is_parse() => Fault::NotUnderstood { what: "it is not HTTP".to_owned() },
            Some(error) => Fault::Lost { sent, reason: reason(error) },
            None => Fault::Lost { sent, reason: reason(error) },
        }
    }
}

/// The innermost cause: what is around it is the HTTP client's view of itself.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    chain(cause)
}

/// Reads a body up to `bound` bytes.
async fn collect(mut response: Response<Incoming>, bound: usize, into: &mut BytesMut) -> Result<(), Fault> {
    while let Some(frame) = response.body_mut().frame().await {
        let Ok(frame) = frame else { return Err(Fault::CutOff { got: into.len() }) };
        let Ok(data) = frame.into_data() else { continue };
        let room = bound - into.len();
        into.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            return Err(Fault::TooLong { bound });
        }
    }
    Ok(())
}

/// Whether all of a request was handed to its connection. Before that AMS cannot have taken it.
#[derive(Clone)]
struct Sent(Arc<AtomicBool>);

impl Sent {
    fn new(already: bool) -> Self {
        Self(Arc::new(AtomicBool::new(already)))
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body that notes when it is taken.
pub(crate) struct Watched {
    inner: Full<Bytes>,
    sent: Sent,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.sent.0.store(true, Ordering::Release);
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
