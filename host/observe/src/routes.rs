//! What each path answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use crate::overview::Overview;
use crate::{Address, Events, Format, Page, api, guard};

pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
/// How long a page is shown again before another is made.
const FRESH: Duration = Duration::from_millis(250);

/// What a listener shows. All but `trace` may take a moment, but wait for no disk and no network.
pub trait Source: Send + Sync + 'static {
    /// The metrics now.
    fn page(&self) -> Page;

    /// What runs, how it fares, and what is wrong.
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
    pages: [Last; 2],
    pub(crate) overview: Last,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) traces: Arc<Semaphore>,
    deadline: Duration,
}

impl Shared {
    pub(crate) fn new(address: Address, source: Arc<dyn Source>, deadline: Duration) -> Self {
        let (streams, traces) = (Arc::new(Semaphore::new(api::STREAMS)), Arc::new(Semaphore::new(api::TRACES)));
        Self { address, source, pages: Default::default(), overview: Last::default(), streams, traces, deadline }
    }
}

/// A router for all paths.
pub(crate) fn router(shared: Shared) -> Router {
    let shared = Arc::new(shared);
    let check = middleware::from_fn_with_state(Arc::clone(&shared), guarded);
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(|| async { answer(StatusCode::OK, PLAIN, "alive\n".to_owned()) }))
        .route("/ready", get(ready))
        .route("/api/overview", get(api::overview))
        .route("/api/events", get(api::events))
        .route("/api/recent", get(api::recent))
        .route("/api/trace", get(api::trace))
        .fallback(|| async {
            answer(StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /health, /ready and /api/overview\n".to_owned())
        })
        .with_state(shared)
        .layer(check)
}

/// Refuses what must not be answered, and bounds the time of an answer.
async fn guarded(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let checked = guard::check(&shared.address, request.method(), request.uri(), request.headers());
    if let Err(guard::Refused(status, words)) = checked {
        let mut refusal = answer(status, PLAIN, format!("{words}\n"));
        // What is left of the request is not read.
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return refusal;
    }
    let late = |_| answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "no answer in time\n".to_owned());
    timeout(shared.deadline, next.run(request)).await.unwrap_or_else(late)
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let accepted: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accepted = (!accepted.is_empty()).then(|| accepted.join(","));
    let format = Format::wanted(accepted.as_deref());
    match written(&shared, format).await {
        Some(page) => answer(StatusCode::OK, format.content_type(), page),
        None => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the metrics cannot be read\n".to_owned()),
    }
}

/// The page, as it was written a moment ago or now.
async fn written(shared: &Arc<Shared>, format: Format) -> Option<Bytes> {
    let [open, text] = &shared.pages;
    let last = if format == Format::Text { text } else { open };
    fresh(last, &shared.source, move |source| source.page().write(format).into()).await
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

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let source = Arc::clone(&shared.source);
    match tokio::task::spawn_blocking(move || source.out_of_service()).await {
        Ok(reasons) if reasons.is_empty() => answer(StatusCode::OK, PLAIN, "ready\n".to_owned()),
        Ok(reasons) => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, reasons.join("\n") + "\n"),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the state cannot be read\n".to_owned()),
    }
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
