//! What an operator may do through the listener, and what is shown of one rejected message.
//!
//! `POST /api/control` does an [`Action`], for those who have the [`Token`](crate::Token). A browser sends the token only where a page of
//! the listener itself does, for it is in no cookie; so another site cannot act, whatever it makes a browser send.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use message::text;
use serde_json::json;
use tokio::time::timeout;

use crate::Action;
use crate::answer::{JSON, PLAIN, answer, parameter};
use crate::api::Busy;
use crate::guard::LARGEST_ACTION;
use crate::shared::{Caller, Shared};
use crate::token::Refusals;

/// How long the body of an action may take.
const BODY: Duration = Duration::from_secs(2);

/// Whether actions are taken, and which channels one paused.
pub(crate) async fn state(State(shared): State<Arc<Shared>>) -> Response {
    let source = &shared.source;
    let state = json!({ "control": source.token().is_some(), "held": source.held() });
    answer(StatusCode::OK, JSON, state.to_string())
}

/// Does an action. The body is read only where the head has the token.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    caller: Option<Extension<Caller>>,
    busy: Option<Extension<Busy>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let from = caller.map_or_else(|| "unknown".into(), |Extension(Caller(from))| from);
    if let Some(mut refusal) = refusal(&shared, &headers, &from) {
        // What is left of the request is not read.
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return refusal;
    }
    // Until the body is there the connection only waits, and may be closed for another.
    let idle = busy.map(|Extension(busy)| busy.rest());
    let read = timeout(BODY, to_bytes(body, LARGEST_ACTION)).await;
    drop(idle);
    let Ok(Ok(body)) = read else {
        return answer(StatusCode::REQUEST_TIMEOUT, PLAIN, "the action did not come whole, or not in time\n");
    };
    let action = match serde_json::from_slice::<Action>(&body) {
        Ok(action) => action,
        Err(error) => {
            let error = text::one_line(&error.to_string(), 200);
            return answer(StatusCode::BAD_REQUEST, PLAIN, format!("not an action: {error}\n"));
        }
    };
    let source = Arc::clone(&shared.source);
    match tokio::task::spawn_blocking(move || source.act(&action, &from)).await {
        Ok(Ok(done)) => answer(StatusCode::OK, JSON, json!({ "done": done }).to_string()),
        Ok(Err(why)) => answer(StatusCode::CONFLICT, PLAIN, format!("{why}\n")),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the action failed\n"),
    }
}

/// The answer to a request whose head does not let it act.
fn refusal(shared: &Shared, headers: &HeaderMap, from: &str) -> Option<Response> {
    let Some(token) = shared.source.token() else {
        let words = "nothing can be done here: `[observe] control` names no file with a token\n";
        return Some(answer(StatusCode::FORBIDDEN, PLAIN, words));
    };
    if !bearer(headers).is_some_and(|given| token.is(given)) {
        return Some(refuse(&shared.refusals, from));
    }
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != JSON) {
        return Some(answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, PLAIN, "an action is application/json\n"));
    }
    None
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")
}

fn refuse(refusals: &Refusals, from: &str) -> Response {
    if let Some(times) = refusals.due(Instant::now()) {
        tracing::warn!(from, times, "an action with a wrong token was refused");
    }
    let mut refusal = answer(StatusCode::UNAUTHORIZED, PLAIN, "the token is wrong\n");
    refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

/// What is known of a rejected message.
pub(crate) async fn rejected(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let wanted = |name| parameter(&uri, name).filter(|value| !value.is_empty());
    let (Some(channel), Some(element)) = (wanted("channel"), wanted("element")) else {
        let words = "name an element: /api/rejected?channel=CHANNEL&element=ELEMENT\n";
        return answer(StatusCode::BAD_REQUEST, PLAIN, words);
    };
    let Ok(permit) = Arc::clone(&shared.lookups).acquire_owned().await else {
        return answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the program is stopping\n");
    };
    let source = Arc::clone(&shared.source);
    let read = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        source.rejected(&channel, &element)
    });
    match read.await {
        Ok(Ok(found)) => answer(StatusCode::OK, JSON, serde_json::to_vec(&found).unwrap_or_default()),
        Ok(Err(why)) => answer(StatusCode::NOT_FOUND, PLAIN, format!("{why}\n")),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the element cannot be read\n"),
    }
}
