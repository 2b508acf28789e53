//! Queries that only RabbitMQ answers, made with STOMP frames.
//!
//! Its plugin confirms a SEND to a queue that is not there: `/amq/queue/NAME` declares nothing, and `/queue/NAME` is
//! declared once in a connection, so that a queue that is deleted afterwards is missed by none of the SENDs that follow
//! (3.10.8). STOMP has no frame to ask whether a queue exists.
//!
//! # How a queue is queried
//! By a SUBSCRIBE that is refused whatever the queue: with `x-stream-offset`, which only a stream takes. The refusal
//! says what there is; no consumer is added, no message is touched, and an `auto-delete` queue stays. A stream takes the
//! subscription; `prefetch-count:-1` sees to it that it delivers nothing, and the connection is closed at once. Either way
//! it costs a connection of its own, since RabbitMQ ends one after an ERROR. A RabbitMQ before 3.10 takes the subscription for
//! every queue; there it says only whether the queue exists, and an `auto-delete` queue without other consumers is deleted.
//!
//! | answer | meaning |
//! |---|---|
//! | `NOT_FOUND - no queue` | there is none |
//! | `PRECONDITION_FAILED - invalid arg 'x-stream-offset' … of queue type rabbit_classic_queue` | there is, of that type |
//! | `PRECONDITION_FAILED - inequivalent arg` | `/queue/NAME`: there is, and it was declared with arguments |
//! | RECEIPT | it is a stream |
//! | `ACCESS_REFUSED` | this user may not read from the queue and gets no answer |

use std::time::Duration;

use super::destination::{Destination, Form};
use super::session::{Session, SessionError, Subscribe};
use message::cause::chain;

/// How long closing the connection may take.
const GRACE: Duration = Duration::from_millis(500);

/// What RabbitMQ says of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// It exists and keeps messages until they are acknowledged.
    There {
        /// `classic` or `quorum`.
        kind: String,
    },
    /// It is a stream: a subscriber gets only what comes after it subscribed.
    Stream,
    /// There is none.
    Missing,
    /// It exists, declared with other arguments than `/queue/NAME` declares it with.
    DeclaredOtherwise {
        /// The broker's words, fit to be shown.
        words: String,
    },
    /// This user gets no answer.
    Denied {
        /// The broker's words, fit to be shown.
        words: String,
    },
    /// The broker could not be asked, or its answer is none of the known ones.
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

/// Whether a RabbitMQ refuses arguments that the type of a queue does not know: since 3.10
/// ([rabbitmq-server#4572](https://github.com/rabbitmq/rabbitmq-server/pull/4572)). Before, every queue takes
/// `x-stream-offset`, so that a stream looks like any other queue.
fn judges_arguments(server: &str) -> bool {
    let mut parts = server.trim_start_matches("RabbitMQ/").split('.').map(|part| part.parse().unwrap_or(u32::MAX));
    let version = (parts.next().unwrap_or(u32::MAX), parts.next().unwrap_or(u32::MAX));
    version >= (3, 10)
}

/// Whether a `server` header is that of ActiveMQ, Classic or Artemis.
#[must_use]
pub fn is_activemq(server: &str) -> bool {
    server.starts_with("ActiveMQ")
}

/// Asks about the queue of `destination`, which is a `/queue/` or `/amq/queue/` one. The session cannot be used afterwards.
///
/// A `/queue/NAME` is declared where it is missing, as by any SEND or SUBSCRIBE.
pub async fn look_at_queue(session: &Session, destination: &str) -> QueueState {
    let asked = session.subscribe(&Subscribe::to_be_refused(destination)).await;
    let known = is_rabbitmq(session.server());
    match asked {
        Ok(_) => {
            session.disconnect(GRACE).await;
            if known && !judges_arguments(session.server()) {
                // A queue that is missing is NOT_FOUND there too.
                return QueueState::There { kind: "unknown".to_owned() };
            }
            if known {
                return QueueState::Stream;
            }
            let why = "the broker takes a subscription that RabbitMQ refuses: it is not RabbitMQ".to_owned();
            QueueState::Unclear { why }
        }
        Err(error) => read(&error),
    }
}

fn read(error: &SessionError) -> QueueState {
    match error.broker_text() {
        Some(words) => read_words(&words),
        None => QueueState::Unclear { why: chain(error) },
    }
}

fn read_words(words: &str) -> QueueState {
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
        () if is_declared_otherwise(&words) => QueueState::DeclaredOtherwise { words },
        () if words.contains("ACCESS_REFUSED") => QueueState::Denied { words },
        () => QueueState::Unclear { why: words },
    }
}

/// Whether the broker says that a queue was declared with arguments that `/queue/NAME` does not give.
fn is_declared_otherwise(words: &str) -> bool {
    words.contains("PRECONDITION_FAILED - inequivalent arg")
}

/// Whether words of RabbitMQ are about the queue of `destination`.
#[must_use]
pub fn names(words: &str, destination: &Destination) -> bool {
    let named = destination.without_declaring();
    let name = named.as_deref().and_then(|named| named.strip_prefix("/amq/queue/"));
    name.is_some_and(|name| words.contains(&format!("queue '{}'", name.replace("%2F", "/"))))
}

/// What to do about words of RabbitMQ about the use of `destination`, where there is something to do.
#[must_use]
pub fn remedy(destination: &Destination, words: &str) -> Option<String> {
    match read_words(words) {
        QueueState::Missing => Some(missing(destination)),
        QueueState::DeclaredOtherwise { words } => Some(declared_otherwise(destination, &words)),
        _ if words.contains("consumer prefetch count is not set") => Some(stream(destination)),
        _ => None,
    }
}

impl QueueState {
    /// What is wrong with using `destination`, and what to do about it; `None` where nothing is known to be.
    #[must_use]
    pub fn complaint(&self, destination: &Destination) -> Option<String> {
        match self {
            Self::There { .. } => None,
            Self::Stream => Some(stream(destination)),
            Self::Missing => Some(missing(destination)),
            Self::DeclaredOtherwise { words } => Some(declared_otherwise(destination, words)),
            Self::Denied { words } => Some(format!(
                "the broker does not say whether the queue of {destination} is there, and it confirms messages for one \
                 that is not ({words}): give this user the permission to read from that queue"
            )),
            Self::Unclear { why } => {
                Some(format!("cannot find out whether the queue of {destination} is there: {why}"))
            }
        }
    }
}

fn missing(destination: &Destination) -> String {
    format!(
        "there is no queue for {destination} on the broker, which confirms messages for it all the same: declare the \
         queue there, or write /queue/NAME, which declares it"
    )
}

fn stream(destination: &Destination) -> String {
    format!(
        "{destination} is a stream of RabbitMQ: a receiver gets only what comes after it subscribed, and nothing is \
         removed by an ACK; name a classic or quorum queue, streams are not supported"
    )
}

fn declared_otherwise(destination: &Destination, words: &str) -> String {
    let kind = words.contains("'x-queue-type'") && words.contains("the value 'stream'");
    if kind {
        return stream(destination);
    }
    match destination.without_declaring().filter(|_| destination.form() == Form::Queue) {
        Some(other) => format!(
            "the queue of {destination} was declared with arguments of its own, and a /queue/ destination declares it \
             without: set destination to {other}, which takes the queue as it is ({words})"
        ),
        None => format!("the queue of {destination} was declared otherwise ({words})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rabbitmq_before_3_10_cannot_tell_a_stream() {
        for (server, judges) in [
            ("RabbitMQ/3.8.9", false),
            ("RabbitMQ/3.9.13", false),
            ("RabbitMQ/3.10.8", true),
            ("RabbitMQ/4.0.2", true),
            ("RabbitMQ/x", true),
        ] {
            assert_eq!(judges_arguments(server), judges, "{server}");
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
        assert_eq!(read_words(MISSING), QueueState::Missing);
        assert_eq!(read_words(QUORUM), QueueState::There { kind: "quorum".to_owned() });
        assert_eq!(read_words(LIMITED), QueueState::DeclaredOtherwise { words: LIMITED.to_owned() });
        let denied = "access_refused: ACCESS_REFUSED - access to queue 'a' in vhost '/' refused for user 'b'";
        assert_eq!(read_words(denied), QueueState::Denied { words: denied.to_owned() });
        let other = QueueState::Unclear { why: "Processing error".to_owned() };
        assert_eq!(read_words("Processing error"), other);
    }

    #[test]
    fn a_queue_named_like_an_answer_is_not_taken_for_one() {
        let hostile = "not_found: NOT_FOUND - no queue 'of queue type rabbit_classic_queue' in vhost '/'";
        assert_eq!(read_words(hostile), QueueState::Missing);
    }

    #[test]
    fn the_remedy_for_a_queue_with_arguments_is_the_form_that_declares_nothing() {
        let queue = Destination::parse("/queue/a");
        let text = remedy(&queue, LIMITED).unwrap();
        assert!(text.contains("set destination to /amq/queue/a,") && text.contains("x-max-length"), "{text}");
        let text = remedy(&queue, STREAM).unwrap();
        assert!(text.contains("is a stream") && !text.contains("/amq/queue/"), "{text}");
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
