//! What an administrator asks before the first message: is the topic or the subscription there, and may we use it?

use ams::{Client, Error, Fault};
use message::cause::chain;

use crate::Destination;

/// The shortest deadline for acknowledgements that leaves time for a pull of many messages, in seconds.
const SHORT_DEADLINE: u64 = 10;

/// What is known of a topic or a subscription; the texts are for an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// It can be used.
    Fit(String),
    /// It can be used, or this user may not find out.
    Doubtful(String),
    /// It cannot be used, with what to do.
    Unfit(String),
}

pub(super) async fn examine(client: &Client, destination: &Destination) -> Option<Examined> {
    match destination {
        Destination::Topic(topic) => Some(match client.topic(topic).await {
            Ok(()) => Examined::Fit(format!("topic {topic} is there")),
            Err(error) => failed(&error, "publishing may be allowed all the same"),
        }),
        Destination::Subscription(subscription) => Some(match client.subscription(subscription).await {
            Ok(state) if state.is_push => Examined::Unfit(format!(
                "AMS pushes the messages of subscription {subscription} to another program: use a subscription of its own"
            )),
            Ok(state) => {
                let deadline = state.ack_deadline.as_secs();
                let waiting = match client.offsets(subscription).await {
                    Ok(offsets) => format!("{} messages wait", offsets.waiting()),
                    Err(error) => format!("how many messages wait is not known: {}", chain(&error)),
                };
                let text = format!(
                    "subscription {subscription} of {}: {waiting}; acknowledged within {deadline} s of a pull",
                    state.topic
                );
                if deadline < SHORT_DEADLINE {
                    Examined::Doubtful(format!(
                        "{text}, which is short: ask the project's administrator for {SHORT_DEADLINE} s or more"
                    ))
                } else {
                    Examined::Fit(text)
                }
            }
            Err(error) => failed(&error, "pulling may be allowed all the same"),
        }),
        Destination::Stomp(_) => None,
    }
}

fn failed(error: &Error, all_the_same: &str) -> Examined {
    match error.fault() {
        Fault::Forbidden { .. } => Examined::Doubtful(format!("{}; {all_the_same}", chain(error))),
        _ => Examined::Unfit(chain(error)),
    }
}
