//! The answers about subscriptions: pulls, acknowledgements, offsets and deadlines.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::answer::Answer;
use super::api::Caller;
use super::request::Request;
use super::script::{Fault, Route};
use super::store::Store;
use super::stored::Fields;

/// The longest acknowledgement deadline, in seconds.
const LONGEST_DEADLINE: i64 = 600;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    max_messages: Option<String>,
    return_immediately: Option<String>,
}

/// Where a pull reads.
struct Source {
    topic: String,
    offset: u64,
}

/// Answers a pull. Whether messages came or not, the window that may be acknowledged is set.
pub(super) async fn pull(
    shared: &Shared,
    request: &Request,
    caller: &Caller,
    body: &[u8],
    fault: Option<&Fault>,
) -> Result<Answer, Answer> {
    let mut source = source(&mut shared.store(), request, caller)?;
    let options: Options =
        serde_json::from_slice(body).map_err(|_| Answer::invalid("Invalid Pull Parameters Arguments"))?;
    let count = options.max_messages.and_then(|text| text.parse::<i64>().ok()).unwrap_or(1);
    let count = usize::try_from(count).unwrap_or(0).max(1);
    let wait = options.return_immediately.as_deref() == Some("false");
    let texts = match fault {
        Some(Fault::Empty) => Vec::new(),
        _ => consume(shared, request, &mut source, count, wait).await?,
    };
    let mut received = Vec::new();
    for (offset, text) in (source.offset..).zip(&texts) {
        received.push(element(shared, request, offset, text, fault)?);
    }
    let mut store = shared.store();
    store.counters.pulled += received.len() as u64;
    if let Some(subscription) = store.subscription(&request.project, &request.name) {
        subscription.open_window(source.offset + received.len() as u64);
    }
    Ok(Answer::json(&json!({ "receivedMessages": received })))
}

fn source(store: &mut Store, request: &Request, caller: &Caller) -> Result<Source, Answer> {
    let subscription = store.subscription(&request.project, &request.name);
    let subscription = subscription.ok_or_else(|| Answer::not_found("Subscription"))?;
    if !caller.is_in(&subscription.users) {
        return Err(Answer::forbidden());
    }
    let source = Source { topic: subscription.topic.clone(), offset: subscription.offset };
    let there = store.topic(&request.project, &source.topic).is_some();
    there.then_some(source).ok_or_else(|| Answer::error(409, "Subscription's topic doesn't exist", "CONFLICT"))
}

/// Reads up to `count` messages. One pull at a time reads a topic: a pull that waits for more blocks all others.
async fn consume(
    shared: &Shared,
    request: &Request,
    source: &mut Source,
    count: usize,
    wait: bool,
) -> Result<Vec<String>, Answer> {
    let lock = shared.store().topic(&request.project, &source.topic).map(|topic| Arc::clone(&topic.lock));
    let lock = lock.ok_or_else(Answer::backend)?;
    let _held = lock.lock().await;
    let until = Instant::now() + shared.settings.wait;
    let mut stored = shared.stored.subscribe();
    loop {
        let texts = read(&mut shared.store(), request, source, count)?;
        if !wait || texts.len() >= count || !matches!(timeout_at(until, stored.changed()).await, Ok(Ok(()))) {
            return Ok(texts);
        }
    }
}

/// What the topic holds; an offset older than what is kept moves silently to the oldest.
fn read(store: &mut Store, request: &Request, source: &mut Source, count: usize) -> Result<Vec<String>, Answer> {
    let topic = store.topic(&request.project, &source.topic).ok_or_else(Answer::backend)?;
    let (first, end) = (topic.first, topic.end());
    if source.offset < first && source.offset < end {
        source.offset = first;
        if let Some(subscription) = store.subscription(&request.project, &request.name) {
            subscription.seek(first);
        }
    }
    let topic = store.topic(&request.project, &source.topic).ok_or_else(Answer::backend)?;
    Ok(topic.from(source.offset, count))
}

fn element(
    shared: &Shared,
    request: &Request,
    offset: u64,
    text: &str,
    fault: Option<&Fault>,
) -> Result<Value, Answer> {
    let invalid = || Answer::internal("Message retrieved from broker network has invalid JSON Structure");
    let mut fields = Fields::read(text).ok_or_else(invalid)?;
    if matches!(fault, Some(Fault::NoBase64)) {
        fields.data = Some("=this is not base64!=".to_owned());
    }
    let other = if matches!(fault, Some(Fault::ForeignAckIds)) { "-other" } else { "" };
    let ack_id = format!("projects/{}/subscriptions/{}{other}:{offset}", request.project, request.name);
    Ok(fields.received(offset, &ack_id, shared.settings.attributes))
}

/// Answers everything but a pull.
pub(super) fn answer(shared: &Shared, request: &Request, body: &[u8]) -> Result<Answer, Answer> {
    let mut store = shared.store();
    match request.route {
        Route::Subscription => show(&mut store, request),
        Route::Acknowledge => acknowledge(&mut store, request, body),
        Route::Offsets => offsets(&mut store, request),
        Route::ModifyOffset => modify_offset(&mut store, request, body),
        Route::ModifyAckDeadline => modify_deadline(&mut store, request, body),
        _ => Err(Answer::no_such_path()),
    }
}

fn missing() -> Answer {
    Answer::not_found("Subscription")
}

fn show(store: &mut Store, request: &Request) -> Result<Answer, Answer> {
    let subscription = store.subscription(&request.project, &request.name).ok_or_else(missing)?;
    let project = &request.project;
    Ok(Answer::json(&json!({
        "name": format!("/projects/{project}/subscriptions/{}", request.name),
        "topic": format!("/projects/{project}/topics/{}", subscription.topic),
        "pushConfig": {
            "type": "", "pushEndpoint": "", "maxMessages": 0, "retryPolicy": {}, "verificationHash": "",
            "verified": false, "mattermostUrl": "", "mattermostUsername": "", "mattermostChannel": "",
        },
        "ackDeadlineSeconds": subscription.deadline,
    })))
}

#[derive(Deserialize)]
struct AckIds {
    #[serde(rename = "ackIds")]
    ids: Option<Vec<String>>,
}

/// The highest id counts, and with it everything before it.
fn acknowledge(store: &mut Store, request: &Request, body: &[u8]) -> Result<Answer, Answer> {
    let sent: AckIds = serde_json::from_slice(body).map_err(|_| Answer::invalid("Invalid ack parameter"))?;
    let subscription = store.subscription(&request.project, &request.name).ok_or_else(missing)?;
    let prefix = format!("projects/{}/subscriptions/{}:", request.project, request.name);
    let offset = |id: &String| id.strip_prefix(&prefix)?.parse::<u64>().ok();
    let offsets: Option<Vec<u64>> = sent.ids.unwrap_or_default().iter().map(offset).collect();
    let highest = offsets.and_then(|offsets| offsets.into_iter().max());
    let highest = highest.ok_or_else(|| Answer::invalid("Invalid ack id"))?;
    let count = subscription.acknowledge(highest.saturating_add(1))?;
    store.counters.acknowledged += count;
    Ok(Answer { body: "{}".into(), ..Answer::empty() })
}

/// The offsets of a topic: the oldest that is kept and the next; AMS answers -1 for a topic that is gone.
fn bounds(store: &mut Store, request: &Request) -> Result<(i64, i64), Answer> {
    let topic = store.subscription(&request.project, &request.name).ok_or_else(missing)?.topic.clone();
    let signed = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    Ok(store.topic(&request.project, &topic).map_or((-1, -1), |topic| (signed(topic.first), signed(topic.end()))))
}

fn offsets(store: &mut Store, request: &Request) -> Result<Answer, Answer> {
    let (first, end) = bounds(store, request)?;
    let subscription = store.subscription(&request.project, &request.name).ok_or_else(missing)?;
    if let Ok(first) = u64::try_from(first)
        && subscription.offset < first
    {
        subscription.seek(first);
    }
    Ok(Answer::json(&json!({ "max": end, "min": first, "current": subscription.offset })))
}

#[derive(Deserialize)]
struct NewOffset {
    #[serde(default)]
    offset: i64,
}

/// An offset out of bounds is refused and set all the same: AMS's handler does not return.
fn modify_offset(store: &mut Store, request: &Request, body: &[u8]) -> Result<Answer, Answer> {
    let wanted: NewOffset = serde_json::from_slice(body).map_err(|_| Answer::invalid("Invalid Offset Arguments"))?;
    let (first, end) = bounds(store, request)?;
    let subscription = store.subscription(&request.project, &request.name).ok_or_else(missing)?;
    subscription.seek(u64::try_from(wanted.offset).unwrap_or(0));
    let inside = (first..=end).contains(&wanted.offset);
    inside.then(Answer::empty).ok_or_else(|| Answer::invalid("Offset out of bounds"))
}

#[derive(Deserialize)]
struct NewDeadline {
    #[serde(rename = "ackDeadlineSeconds", default)]
    seconds: i64,
}

fn modify_deadline(store: &mut Store, request: &Request, body: &[u8]) -> Result<Answer, Answer> {
    let wrong = || Answer::invalid("Invalid ackDeadlineSeconds(needs value between 0 and 600) Arguments");
    let wanted: NewDeadline = serde_json::from_slice(body).map_err(|_| wrong())?;
    let seconds = u64::try_from(wanted.seconds).ok().filter(|_| wanted.seconds <= LONGEST_DEADLINE);
    let seconds = seconds.ok_or_else(wrong)?;
    store.subscription(&request.project, &request.name).ok_or_else(missing)?.deadline = seconds;
    Ok(Answer::empty())
}
