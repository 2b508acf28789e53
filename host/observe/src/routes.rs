//! What each path answers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ACCEPT, CONNECTION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use tokio::time::timeout;

use crate::answer::{PLAIN, answer};
use crate::shared::{Shared, fresh};
use crate::{Format, api, control, dashboard, guard};

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
        .route(guard::ACTIONS, get(control::state).post(control::act))
        .route("/api/rejected", get(control::rejected))
        .merge(dashboard::router())
        .fallback(|| async {
            answer(StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /health, /ready and /api/overview\n".to_owned())
        })
        .with_state(shared)
        .layer(DefaultBodyLimit::max(guard::LARGEST_ACTION))
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
    let [open, text] = &shared.pages.metrics;
    let last = if format == Format::Text { text } else { open };
    fresh(last, &shared.source, move |source| source.page().write(format).into()).await
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let source = Arc::clone(&shared.source);
    match tokio::task::spawn_blocking(move || source.out_of_service()).await {
        Ok(reasons) if reasons.is_empty() => answer(StatusCode::OK, PLAIN, "ready\n".to_owned()),
        Ok(reasons) => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, reasons.join("\n") + "\n"),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the state cannot be read\n".to_owned()),
    }
}
