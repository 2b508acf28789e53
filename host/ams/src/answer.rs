//! What AMS says when it does not do what was asked.

use serde::Deserialize;
use serde_json::error::Category;

use crate::call::Call;
use crate::fault::Fault;
use crate::quote::quoted;
use crate::secret::Token;

/// `{"error":{"code":404,"message":"…","status":"NOT_FOUND"}}` ([Faults](crate#faults)).
#[derive(Deserialize)]
struct Body {
    error: Explained,
}

#[derive(Deserialize)]
struct Explained {
    #[serde(default)]
    message: String,
}

/// The words of AMS in the body of an error, made fit to be shown; nothing if it is not from AMS.
pub(crate) fn words(body: &[u8], secret: Option<&Token>) -> Option<String> {
    let body: Body = serde_json::from_slice(body).ok()?;
    Some(quoted(body.error.message.as_bytes(), secret))
}

/// What the body of an error that is not from AMS says. Web pages are made for people with a browser.
pub(crate) fn said(body: &[u8], secret: Option<&Token>) -> String {
    match body.trim_ascii_start() {
        [b'<', ..] => "a web page instead of JSON".to_owned(),
        text => quoted(text, secret),
    }
}

/// What a status other than 200 means as an answer to `call`.
pub(crate) fn fault(call: &Call, status: u16, body: &[u8], secret: Option<&Token>) -> Fault {
    match words(body, secret) {
        Some(words) => explained(call, status, words),
        None => unexplained(status, said(body, secret)),
    }
}

/// An error in the words of AMS.
fn explained(call: &Call, status: u16, words: String) -> Fault {
    let has = |part: &str| words.to_ascii_lowercase().contains(part);
    match (status, call) {
        (401, _) => Fault::Unauthorised { renewed: false },
        (403, _) => Fault::Forbidden { words },
        (404, _) => Fault::NotFound { words },
        (409, Call::Pull { .. }) => Fault::TopicGone { words },
        (413, _) => Fault::TooLarge { words },
        (400, Call::Publish { .. }) => Fault::Schema { words },
        (400, Call::Acknowledge { .. }) => Fault::AckRefused { words },
        (408, Call::Acknowledge { .. }) if has("ack timeout") => Fault::AckTimeout,
        (500, Call::Acknowledge { .. }) if has("wrong ack") => Fault::WrongAck { words },
        (500, Call::Acknowledge { .. }) if has("no ack pending") => Fault::NoAckPending { words },
        (500, Call::Pull { .. }) if has("invalid json structure") => Fault::Poisoned { words },
        (408 | 429 | 502 | 503 | 504, _) => Fault::Unavailable { status, words },
        (500..=599, _) => Fault::Backend { status, words },
        _ => Fault::Refused { status, words },
    }
}

/// An error in other words, or without any.
fn unexplained(status: u16, words: String) -> Fault {
    match status {
        401 => Fault::Unauthorised { renewed: false },
        413 => Fault::TooLarge { words },
        408 | 429 | 500..=599 => Fault::Unavailable { status, words },
        _ => Fault::NotAms { status, words },
    }
}

/// An error of the token service that it has no meaning of its own for.
pub(crate) fn other(status: u16, body: &[u8]) -> Fault {
    match words(body, None) {
        Some(words) if status >= 500 => Fault::Backend { status, words },
        Some(words) => Fault::Refused { status, words },
        None if status < 500 => Fault::NotAms { status, words: said(body, None) },
        None => unexplained(status, said(body, None)),
    }
}

/// What is wrong with the body of an answer with status 200.
pub(crate) fn not_understood(error: &serde_json::Error, body: &[u8], secret: Option<&Token>) -> Fault {
    let what = match (error.classify(), said(body, secret)) {
        // Its text may quote the answer.
        (Category::Data, _) => quoted(error.to_string().as_bytes(), secret),
        (_, nothing) if nothing.is_empty() => "it is empty".to_owned(),
        (_, text) => format!("it is not JSON: {text}"),
    };
    Fault::NotUnderstood { what }
}
