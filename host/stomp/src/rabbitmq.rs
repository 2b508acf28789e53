//! Queries that only RabbitMQ answers, made with STOMP frames.
//!
//! RabbitMQ confirms a SEND to a queue that does not exist: `/amq/queue/NAME` declares nothing, and `/queue/NAME`
//! declares the queue only once per connection, so that SENDs are still confirmed after the queue is deleted (3.10.8).
//! STOMP has no frame that asks whether a queue exists.
//!
//! # How a queue is queried
//! With a SUBSCRIBE that every queue refuses: it has an `x-stream-offset`, which only a stream accepts. The text of the
//! ERROR says whether the queue exists and of which type it is. No consumer is added, no message is delivered, and an
//! `auto-delete` queue stays. A stream accepts the subscription; with `prefetch-count:-1` it delivers nothing, and the
//! connection is closed at once. Each query needs a connection of its own, since RabbitMQ closes it after an ERROR.
//! RabbitMQ before 3.10 accepts the subscription for every queue: the query then only shows whether the queue exists,
//! and it deletes an `auto-delete` queue without other consumers.
//!
//! | answer | meaning |
//! |---|---|
//! | `NOT_FOUND - no queue` | no such queue |
//! | `PRECONDITION_FAILED - invalid arg 'x-stream-offset' … of queue type rabbit_classic_queue` | a queue of that type |
//! | `PRECONDITION_FAILED - inequivalent arg` | `/queue/NAME`: the queue was declared with arguments |
//! | RECEIPT | a stream |
//! | `ACCESS_REFUSED` | the user has no read permission for the queue |

use std::time::Duration;

use super::destination::{Destination, Form};
use super::session::{Session, SessionError, Subscribe};
use message::cause::chain;

/// How long closing the connection may take.
const GRACE: Duration = Duration::from_millis(500);

/// What RabbitMQ reports about a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// It exists and keeps messages until they are acknowledged.
    There {
        /// `classic` or `quorum`.
        kind: String,
    },
    /// It is a stream: a subscriber gets only messages sent after it subscribed.
    Stream,
    /// It does not exist.
    Missing,
    /// It exists, but was declared with other arguments than those of `/queue/NAME`.
    DeclaredOtherwise {
        /// The broker's text, escaped.
        words: String,
    },
    /// The user may not read from it.
    Denied {
        /// The broker's text, escaped.
        words: String,
    },
    /// The query failed, or its answer is unknown.
    Unclear {
        /// Why.
        why: String,
    },
}

/// Whether a `server` header is that of RabbitMQ.
#[must_use]
pub fn is_rabbitmq(server: &str) -> bool {
    server.starts_with("RabbitMQ/")
}

/// Whether this RabbitMQ refuses arguments that the type of a queue does not support: since 3.10
/// ([rabbitmq-server#4572](https://github.com/rabbitmq/rabbitmq-server/pull/4572)). Earlier versions accept
/// `x-stream-offset` for every queue, so that a stream cannot be distinguished from other queues.
fn refuses_unsupported_arguments(server: &str) -> bool {
    let mut parts = server.trim_start_matches("RabbitMQ/").split('.').map(|part| part.parse().unwrap_or(u32::MAX));
    let version = (parts.next().unwrap_or(u32::MAX), parts.next().unwrap_or(u32::MAX));
    version >= (3, 10)
}

/// Whether a `server` header is that of ActiveMQ, Classic or Artemis.
#[must_use]
pub fn is_activemq(server: &str) -> bool {
    server.starts_with("ActiveMQ")
}

/// Queries the queue of a `/queue/` or `/amq/queue/` destination. The session cannot be used afterwards.
///
/// A missing queue of a `/queue/NAME` destination is declared, as by any SEND or SUBSCRIBE.
pub async fn look_at_queue(session: &Session, destination: &str) -> QueueState {
    let answer = session.subscribe(&Subscribe::to_be_refused(destination)).await;
    let known = is_rabbitmq(session.server());
    match answer {
        Ok(_) => {
            session.disconnect(GRACE).await;
            if known && !refuses_unsupported_arguments(session.server()) {
                // These versions answer NOT_FOUND for a missing queue as well.
                return QueueState::There { kind: "unknown".to_owned() };
            }
            if known {
                return QueueState::Stream;
            }
            let why = "the broker accepts a subscription that RabbitMQ refuses: it is not RabbitMQ".to_owned();
            QueueState::Unclear { why }
        }
        Err(error) => state_from_error(&error),
    }
}

fn state_from_error(error: &SessionError) -> QueueState {
    match error.broker_text() {
        Some(text) => state_from_text(&text),
        None => QueueState::Unclear { why: chain(error) },
    }
}

fn state_from_text(words: &str) -> QueueState {
    let kind = || {
        let rest = words.split_once("invalid arg 'x-stream-offset'")?.1;
        let kind = rest.rsplit_once("of queue type rabbit_")?.1;
        kind.split_once("_queue").map(|(kind, _)| kind.to_owned())
    };
    if let Some(kind) = kind() {
        return QueueState::There { kind };
    }
    let words = words.to_owned();
    match () {
        () if words.contains("NOT_FOUND - no queue") => QueueState::Missing,
        () if words.contains("PRECONDITION_FAILED - inequivalent arg") => QueueState::DeclaredOtherwise { words },
        () if words.contains("ACCESS_REFUSED") => QueueState::Denied { words },
        () => QueueState::Unclear { why: words },
    }
}

/// Whether a text of RabbitMQ names the queue of `destination`.
#[must_use]
pub fn names(words: &str, destination: &Destination) -> bool {
    let named = destination.without_declaring();
    let name = named.as_deref().and_then(|named| named.strip_prefix("/amq/queue/"));
    name.is_some_and(|name| words.contains(&format!("queue '{}'", name.replace("%2F", "/"))))
}

/// The remedy for an ERROR of RabbitMQ that concerns `destination`; `None` if none is known.
#[must_use]
pub fn remedy(destination: &Destination, words: &str) -> Option<String> {
    match state_from_text(words) {
        QueueState::Missing => Some(missing(destination)),
        QueueState::DeclaredOtherwise { words } => Some(declared_otherwise(destination, &words)),
        _ if words.contains("consumer prefetch count is not set") => Some(stream(destination)),
        _ => None,
    }
}

impl QueueState {
    /// Why `destination` cannot be used, and the remedy; `None` if no problem is known.
    #[must_use]
    pub fn complaint(&self, destination: &Destination) -> Option<String> {
        match self {
            Self::There { .. } => None,
            Self::Stream => Some(stream(destination)),
            Self::Missing => Some(missing(destination)),
            Self::DeclaredOtherwise { words } => Some(declared_otherwise(destination, words)),
            Self::Denied { words } => Some(format!(
                "cannot check whether the queue of {destination} exists, and the broker confirms messages for a missing \
                 queue ({words}): give this user read permission for the queue"
            )),
            Self::Unclear { why } => Some(format!("cannot check whether the queue of {destination} exists: {why}")),
        }
    }
}

fn missing(destination: &Destination) -> String {
    format!(
        "no queue for {destination} on the broker, although the broker confirms messages for it: declare the queue, or \
         use /queue/NAME, which declares it"
    )
}

fn stream(destination: &Destination) -> String {
    format!(
        "{destination} is a RabbitMQ stream, which is not supported: a receiver gets only messages sent after it \
         subscribed, and an ACK removes nothing; use a classic or quorum queue"
    )
}

fn declared_otherwise(destination: &Destination, words: &str) -> String {
    let is_stream = words.contains("'x-queue-type'") && words.contains("the value 'stream'");
    if is_stream {
        return stream(destination);
    }
    match destination.without_declaring().filter(|_| destination.form() == Form::Queue) {
        Some(other) => format!(
            "the queue of {destination} was declared with arguments, but a /queue/ destination declares it without: set \
             destination to {other}, which uses the existing queue ({words})"
        ),
        None => format!("the queue of {destination} was declared with other arguments ({words})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rabbitmq_before_3_10_accepts_unsupported_arguments() {
        for (server, refuses) in [
            ("RabbitMQ/3.8.9", false),
            ("RabbitMQ/3.9.13", false),
            ("RabbitMQ/3.10.8", true),
            ("RabbitMQ/4.0.2", true),
            ("RabbitMQ/x", true),
        ] {
            assert_eq!(refuses_unsupported_arguments(server), refuses, "{server}");
        }
    }

    const MISSING: &str = "not_found: NOT_FOUND - no queue 'a' in vhost '/'";
    const QUORUM: &str = "precondition_failed: PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 'a' in vhost \
                          '/' of queue type rabbit_quorum_queue";
    const LIMITED: &str = "precondition_failed: PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'a' in \
                           vhost '/': received none but current is the value '3' of type 'long'";
    const STREAM: &str = "precondition_failed: PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'a' in \
                          vhost '/': received none but current is the value 'stream' of type 'longstr'";

    #[test]
    fn reads_the_answers_of_rabbitmq_3_10() {
        assert_eq!(state_from_text(MISSING), QueueState::Missing);
        assert_eq!(state_from_text(QUORUM), QueueState::There { kind: "quorum".to_owned() });
        assert_eq!(state_from_text(LIMITED), QueueState::DeclaredOtherwise { words: LIMITED.to_owned() });
        let denied = "access_refused: ACCESS_REFUSED - access to queue 'a' in vhost '/' refused for user 'b'";
        assert_eq!(state_from_text(denied), QueueState::Denied { words: denied.to_owned() });
        let other = QueueState::Unclear { why: "Processing error".to_owned() };
        assert_eq!(state_from_text("Processing error"), other);
    }

    #[test]
    fn a_queue_named_like_an_answer_is_not_mistaken_for_one() {
        let hostile = "not_found: NOT_FOUND - no queue 'of queue type rabbit_classic_queue' in vhost '/'";
        assert_eq!(state_from_text(hostile), QueueState::Missing);
    }

    #[test]
    fn the_remedy_for_a_queue_with_arguments_is_the_form_that_declares_nothing() {
        let queue = Destination::parse("/queue/a");
        let text = remedy(&queue, LIMITED).unwrap();
        assert!(text.contains("set destination to /amq/queue/a,") && text.contains("x-max-length"), "{text}");
        let text = remedy(&queue, STREAM).unwrap();
        assert!(text.contains("is a RabbitMQ stream") && !text.contains("/amq/queue/"), "{text}");
        let text = remedy(&Destination::parse("/amq/queue/a"), MISSING).unwrap();
        assert!(text.contains("no queue for /amq/queue/a") && text.contains("declare"), "{text}");
        assert_eq!(remedy(&queue, "Bad CONNECT"), None);
        assert!(names(LIMITED, &queue) && !names(LIMITED, &Destination::parse("/queue/b")));
        assert!(names("no queue 'b/c' in", &Destination::parse("/amq/queue/b%2Fc")));
    }

    #[test]
    fn brokers_are_recognised_by_their_server_header() {
        assert!(is_rabbitmq("RabbitMQ/3.10.8") && !is_rabbitmq("ActiveMQ/5.17.2") && !is_rabbitmq(""));
        assert!(
            is_activemq("ActiveMQ/5.17.2") && is_activemq("ActiveMQ-Artemis/2.40.0 ActiveMQ Artemis Messaging Engine")
        );
    }
}
