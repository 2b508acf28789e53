//! Answers in AMS's words, and bodies that end too early or hardly at all.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tokio::time::Sleep;

const JSON: &str = "application/json; charset=utf-8";
/// How long a body that is cut off waits before the connection ends, so that what was sent arrives.
const BEFORE_CUT: Duration = Duration::from_millis(50);
const CHUNK: &[u8] = &[b' '; 64 * 1024];

/// An answer to a request.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(value: &Value) -> Self {
        Self { status: 200, content_type: JSON, body: format!("{value:#}").into() }
    }

    /// What AMS answers where it has nothing to say.
    pub(super) fn empty() -> Self {
        Self { status: 200, content_type: JSON, body: Bytes::new() }
    }

    pub(super) fn error(status: u16, message: &str, word: &str) -> Self {
        let error = json!({ "error": { "code": status, "message": message, "status": word } });
        Self { status, ..Self::json(&error) }
    }

    pub(super) fn unauthorized() -> Self {
        Self::error(401, "Unauthorized", "UNAUTHORIZED")
    }

    pub(super) fn forbidden() -> Self {
        Self::error(403, "Access to this resource is forbidden", "FORBIDDEN")
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::error(404, &format!("{what} doesn't exist"), "NOT_FOUND")
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::error(400, message, "INVALID_ARGUMENT")
    }

    pub(super) fn internal(message: &str) -> Self {
        Self::error(500, message, "INTERNAL_SERVER_ERROR")
    }

    pub(super) fn backend() -> Self {
        Self::internal("Backend Error")
    }

    /// What the router says to a path that it does not know.
    pub(super) fn no_such_path() -> Self {
        Self { status: 404, content_type: "text/plain; charset=utf-8", body: "404 page not found\n".into() }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        respond(self.status, self.content_type, Body::Whole(self.body))
    }

    /// The same, of which only the first half is sent.
    pub(super) fn into_cut_response(self) -> Response<Body> {
        let length = self.body.len() as u64;
        let first = self.body.slice(..self.body.len() / 2);
        let pause = Box::pin(tokio::time::sleep(BEFORE_CUT));
        respond(self.status, self.content_type, Body::Cut { first, length: length.max(1), pause })
    }
}

/// An answer of so many bytes.
pub(super) fn long_response(left: u64, declared: bool) -> Response<Body> {
    respond(200, JSON, Body::Long { left, declared })
}

fn respond(status: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    Whole(Bytes),
    /// Says `length` and ends with an error after `first`.
    Cut {
        first: Bytes,
        length: u64,
        pause: Pin<Box<Sleep>>,
    },
    Long {
        left: u64,
        declared: bool,
    },
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let bytes = match self.get_mut() {
            Self::Whole(bytes) => std::mem::take(bytes),
            Self::Cut { first, .. } if !first.is_empty() => std::mem::take(first),
            Self::Cut { pause, .. } => {
                ready!(pause.as_mut().poll(context));
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
            }
            Self::Long { left, .. } => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(CHUNK.len());
                *left -= length as u64;
                Bytes::from_static(CHUNK).slice(..length)
            }
        };
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Cut { length, .. } => SizeHint::with_exact(*length),
            Self::Long { left, declared: true } => SizeHint::with_exact(*left),
            Self::Long { .. } => SizeHint::default(),
        }
    }
}
