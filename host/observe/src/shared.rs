//! What the handlers of all paths share: the source, what was made of it a moment ago, and the form of answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};

use crate::overview::Overview;
use crate::{Address, Events, Page};

pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
/// How long a page is shown again before another is made.
const FRESH: Duration = Duration::from_millis(250);

/// Streams of one listener at a time.
pub(crate) const STREAMS: usize = 8;
/// Traces of one listener at a time, each of which reads journals.
const TRACES: usize = 2;

/// What a listener shows. All but `trace` may take a moment, but wait for no disk and no network.
pub trait Source: Send + Sync + 'static {
    /// The metrics now.
    fn page(&self) -> Page;

    /// What runs, its status, and what is wrong.
    fn overview(&self) -> Overview;

    /// What became of messages.
    fn events(&self) -> &Arc<Events>;

    /// What a message went through, by its id or the name of its element: each step as `sesame trace --json` prints it,
    /// the oldest first; nothing where no journal knows it. Reads the disk.
    ///
    /// # Errors
    /// What cannot be read, in words.
    fn trace(&self, id: &str) -> Result<Vec<serde_json::Value>, String>;

    /// Why the program is not in service, one reason a line; none where it is.
    fn out_of_service(&self) -> Vec<String>;
}

/// A page as it was written last, and when. Locked while one is made, also where no one waits for it any more.
pub(crate) type Last = Arc<Mutex<Option<(Instant, Bytes)>>>;

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) source: Arc<dyn Source>,
    /// One for each format.
    pub(crate) pages: [Last; 2],
    pub(crate) overview: Last,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) traces: Arc<Semaphore>,
    pub(crate) deadline: Duration,
}

impl Shared {
    pub(crate) fn new(address: Address, source: Arc<dyn Source>, deadline: Duration) -> Self {
        let (streams, traces) = (Arc::new(Semaphore::new(STREAMS)), Arc::new(Semaphore::new(TRACES)));
        Self { address, source, pages: Default::default(), overview: Last::default(), streams, traces, deadline }
    }
}

/// What was made a moment ago, or is made now.
pub(crate) async fn fresh(
    last: &Last,
    source: &Arc<dyn Source>,
    make: impl FnOnce(&dyn Source) -> Vec<u8> + Send + 'static,
) -> Option<Bytes> {
    let mut last = Arc::clone(last).lock_owned().await;
    if let Some((at, page)) = &*last
        && at.elapsed() < FRESH
    {
        return Some(page.clone());
    }
    let source = Arc::clone(source);
    let made = tokio::task::spawn_blocking(move || {
        let page = Bytes::from(make(&*source));
        *last = Some((Instant::now(), page.clone()));
        page
    });
    made.await.ok()
}

pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
