//! The API's port: who may ask, and the answers about topics.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::answer::Answer;
use super::request::{Request, is_name};
use super::script::{Fault, Route};
use super::store::Role;
use super::stored::Fields;
use super::{Shared, TooLarge, subscriptions};

/// What Kafka adds to a message before it compares its size with the limit.
const RECORD_OVERHEAD: usize = 36;

/// Who asks.
#[derive(Debug)]
pub(super) struct Caller {
    name: String,
    roles: BTreeSet<Role>,
}

impl Caller {
    /// Whether the list of a topic or subscription lets the caller in.
    pub(super) fn is_in(&self, users: &BTreeSet<String>) -> bool {
        self.roles.contains(&Role::Admin) || users.contains(&self.name)
    }
}

/// Carries a request out.
pub(super) async fn carry_out(shared: &Shared, request: &Request, body: &[u8], fault: Option<&Fault>) -> Answer {
    match request.route {
        Route::Status => return Answer::json(&json!({ "status": "ok", "push_functionality": "disabled" })),
        Route::Version => return version(),
        Route::Unknown | Route::Token => return Answer::no_such_path(),
        _ => {}
    }
    let caller = match admit(shared, request) {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    let answer = match request.route {
        Route::Topic => topic(shared, request),
        Route::Publish => publish(shared, request, &caller, body, fault),
        Route::Pull => subscriptions::pull(shared, request, &caller, body, fault).await,
        _ => subscriptions::answer(shared, request, body),
    };
    answer.unwrap_or_else(|refusal| refusal)
}

fn version() -> Answer {
    Answer::json(&json!({
        "build_time": "2025-08-26T08:00:00Z", "golang": "go1.21", "compiler": "gc", "os": "linux",
        "architecture": "amd64", "release": "1.7.0",
    }))
}

/// Refuses in AMS's order: names, no token, unknown project, bad token, no right.
fn admit(shared: &Shared, request: &Request) -> Result<Caller, Answer> {
    let topic = matches!(request.route, Route::Topic | Route::Publish);
    let kind = if topic { "topic" } else { "subscription" };
    for (name, kind) in [(&request.project, "project"), (&request.name, kind)] {
        if !is_name(name) {
            return Err(Answer::invalid(&format!("Invalid {kind} name")));
        }
    }
    let token = request.token.as_deref().ok_or_else(Answer::unauthorized)?;
    let store = shared.store();
    if !store.projects.contains_key(&request.project) {
        return Err(Answer::not_found("project"));
    }
    let (name, roles) = store.authenticate(&request.project, token).ok_or_else(Answer::unauthorized)?;
    let role = match request.route {
        Route::ModifyOffset => Role::Admin,
        _ if topic => Role::Publisher,
        _ => Role::Consumer,
    };
    if !roles.contains(&role) && !roles.contains(&Role::Admin) {
        return Err(Answer::forbidden());
    }
    Ok(Caller { name, roles })
}

fn topic(shared: &Shared, request: &Request) -> Result<Answer, Answer> {
    let mut store = shared.store();
    store.topic(&request.project, &request.name).ok_or_else(|| Answer::not_found("Topic"))?;
    Ok(Answer::json(&json!({ "name": format!("/projects/{}/topics/{}", request.project, request.name) })))
}

#[derive(Deserialize)]
struct Published {
    messages: Option<Vec<Fields>>,
}

/// Stores one message after the other; an error in the middle leaves the earlier ones there.
fn publish(
    shared: &Shared,
    request: &Request,
    caller: &Caller,
    body: &[u8],
    fault: Option<&Fault>,
) -> Result<Answer, Answer> {
    let mut store = shared.store();
    let topic = store.topic(&request.project, &request.name).ok_or_else(|| Answer::not_found("Topic"))?;
    if !caller.is_in(&topic.users) {
        return Err(Answer::forbidden());
    }
    let sent: Published = serde_json::from_slice(body).map_err(|_| Answer::invalid("Invalid Message Arguments"))?;
    let messages = sent.messages.unwrap_or_default();
    if let Some(schema) = topic.schema {
        let refused = messages.iter().find_map(|message| schema(&message.decoded()));
        refused.map_or(Ok(()), |words| Err(Answer::invalid(&words)))?;
    }
    let (mut ids, mut failed) = (Vec::new(), None);
    for message in &messages {
        if matches!(fault, Some(Fault::FailAfter(count)) if ids.len() == *count) {
            failed = Some(Answer::backend());
        } else if message.store(topic.end()).len() + RECORD_OVERHEAD > shared.settings.max_stored {
            failed = Some(too_large(shared.settings.too_large));
        }
        if failed.is_some() {
            break;
        }
        ids.push(topic.add(message).to_string());
    }
    store.counters.stored += ids.len() as u64;
    drop(store);
    shared.stored.send_modify(|count| *count += 1);
    failed.map_or_else(|| Ok(Answer::json(&json!({ "messageIds": ids }))), Err)
}

fn too_large(answer: TooLarge) -> Answer {
    match answer {
        TooLarge::BackendError => Answer::backend(),
        TooLarge::PayloadTooLarge => Answer::error(413, "Message size is too large", "INVALID_ARGUMENT"),
    }
}
