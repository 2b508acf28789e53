//! What programs ask for: the overview, events as they happen, and what a message went through.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::answer::{JSON, PLAIN, answer, parameter};
use crate::events::Listening;
use crate::overview::Event;
use crate::shared::{STREAMS, Shared, fresh};

const LINES: &str = "application/x-ndjson";
/// After so long without an event a stream has an empty line, so that both sides notice when the other is gone.
const EMPTY_LINE: Duration = Duration::from_secs(15);
/// Events that wait are sent together up to this size, in bytes.
const TOGETHER: usize = 32 << 10;

/// Requests and streams of a connection that are not done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct BusyNow(Arc<AtomicUsize>);

impl Busy {
    pub(crate) fn begin(&self) -> BusyNow {
        self.0.fetch_add(1, Ordering::Relaxed);
        BusyNow(Arc::clone(&self.0))
    }

    /// While this is kept, one of them only waits for its peer.
    pub(crate) fn rest(&self) -> Resting {
        self.0.fetch_sub(1, Ordering::Relaxed);
        Resting(Arc::clone(&self.0))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for BusyNow {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that waits for its peer, until this is dropped.
#[derive(Debug)]
pub(crate) struct Resting(Arc<AtomicUsize>);

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) async fn overview(State(shared): State<Arc<Shared>>) -> Response {
    let made = fresh(&shared.pages.overview, &shared.source, |source| json(&source.overview())).await;
    made.map_or_else(|| unreadable("the overview cannot be read"), |page| answer(StatusCode::OK, JSON, page))
}

/// The last events that are no success, the newest first.
pub(crate) async fn recent(State(shared): State<Arc<Shared>>) -> Response {
    let recent = shared.source.events().recent();
    answer(StatusCode::OK, JSON, json(&recent.iter().map(AsRef::as_ref).collect::<Vec<&Event>>()))
}

/// Events from now on, one JSON object a line.
pub(crate) async fn events(State(shared): State<Arc<Shared>>, busy: Option<Extension<Busy>>) -> Response {
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let words = format!("there are {STREAMS} streams already: close one, or try again later\n");
        return answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, words);
    };
    let busy = busy.map(|Extension(busy)| busy.begin());
    let streaming = Streaming { listening: shared.source.events().listen(), _permit: permit, _busy: busy };
    let chunks = stream::unfold(streaming, |mut streaming| async {
        let chunk = chunk(&mut streaming.listening).await;
        Some((Ok::<Bytes, std::convert::Infallible>(chunk), streaming))
    });
    answer(StatusCode::OK, LINES, Body::from_stream(chunks))
}

/// A stream of events, and what it takes while it is open.
struct Streaming {
    listening: Listening,
    _permit: OwnedSemaphorePermit,
    _busy: Option<BusyNow>,
}

/// The next events that there are.
async fn chunk(listening: &mut Listening) -> Bytes {
    let Ok(first) = timeout(EMPTY_LINE, listening.next()).await else { return Bytes::from_static(b"\n") };
    let mut lines = Vec::new();
    let mut next = Some(first);
    while let Some(event) = next {
        lines.extend(json(&*event));
        lines.push(b'\n');
        next = if lines.len() < TOGETHER { listening.next_now() } else { None };
    }
    Bytes::from(lines)
}

/// What a message went through.
pub(crate) async fn trace(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Some(id) = parameter(request.uri(), "id").filter(|id| !id.is_empty()) else {
        return answer(StatusCode::BAD_REQUEST, PLAIN, "name a message: /api/trace?id=ID\n".to_owned());
    };
    let Ok(permit) = Arc::clone(&shared.reads).acquire_owned().await else {
        return unreadable("the program is stopping");
    };
    let source = Arc::clone(&shared.source);
    let traced = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        source.trace(&id)
    });
    match traced.await {
        Ok(Ok(steps)) => answer(StatusCode::OK, JSON, json(&steps)),
        Ok(Err(error)) => unreadable(&error),
        Err(_) => unreadable("the trace cannot be read"),
    }
}

fn unreadable(words: &str) -> Response {
    answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{words}\n"))
}

/// Our types hold only what JSON can.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
