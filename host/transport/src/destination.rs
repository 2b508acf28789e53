//! Where a channel sends to or receives from.

use std::fmt;
use std::ops::Deref;

use ams::{InvalidName, Subscription, Topic};
use stomp::{Form, Promise};

use crate::Broker;

/// The longest destination of STOMP, in bytes.
const LONGEST: usize = 1024;

/// A destination; reads as the text of the configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A destination of a STOMP broker.
    Stomp(stomp::Destination),
    /// A topic of AMS, to which is sent.
    Topic(Topic),
    /// A subscription of AMS, from which is received.
    Subscription(Subscription),
}

/// Why nothing is sent to or received from a destination.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitDestination {
    /// It is blank.
    #[error("is empty")]
    Empty,
    /// It cannot stand in a header.
    #[error("{0:?} holds a line end or another control character")]
    ControlCharacter(String),
    /// It is longer than is allowed.
    #[error("is {0} bytes long, the limit is {LONGEST}")]
    TooLong(usize),
    /// A known prefix and nothing behind it.
    #[error("{0:?} has no name")]
    Nameless(String),
    /// Its receipts promise nothing, see [`Promise::Nothing`].
    #[error("{0:?} is not a queue, and a broker confirms messages to it that no receiver gets")]
    NoQueue(String),
    /// It stands for several destinations, perhaps none.
    #[error("{0:?} has a wildcard, and a broker confirms messages to it that no receiver gets")]
    Wildcard(String),
    /// It cannot be the name of a topic of AMS.
    #[error(transparent)]
    Topic(#[from] InvalidName),
}

/// Checks a destination that is subscribed to.
///
/// Queues are `/queue/NAME` (RabbitMQ, ActiveMQ) and `/amq/queue/NAME` (RabbitMQ). Anything else may be a topic, which both
/// brokers acknowledge without a subscriber; a comma makes a list of destinations on ActiveMQ.
///
/// # Errors
/// [`UnfitDestination`]; with `allow_topic`, [`UnfitDestination::NoQueue`] is none.
pub fn stomp_source(text: &str, allow_topic: bool) -> Result<stomp::Destination, UnfitDestination> {
    if text.trim().is_empty() {
        return Err(UnfitDestination::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(UnfitDestination::ControlCharacter(text.to_owned()));
    }
    if text.len() > LONGEST {
        return Err(UnfitDestination::TooLong(text.len()));
    }
    let destination = stomp::Destination::parse(text);
    if destination.form() == Form::Nameless {
        return Err(UnfitDestination::Nameless(text.to_owned()));
    }
    if allow_topic || destination.promise() != Promise::Nothing {
        return Ok(destination);
    }
    Err(UnfitDestination::NoQueue(text.to_owned()))
}

/// Checks a destination that is sent to: what a RECEIPT is worth decides, see [`stomp::Destination::promise`]. A wildcard is
/// never sent to.
///
/// # Errors
/// As [`stomp_source`], and [`UnfitDestination::Wildcard`].
pub fn stomp_target(text: &str, allow_topic: bool) -> Result<stomp::Destination, UnfitDestination> {
    let destination = stomp_source(text, allow_topic)?;
    if destination.has_wildcard() {
        return Err(UnfitDestination::Wildcard(text.to_owned()));
    }
    Ok(destination)
}

impl Broker {
    /// What is sent to: a destination of STOMP, checked as [`stomp_target`] does, or a topic of AMS.
    ///
    /// # Errors
    /// [`UnfitDestination`].
    pub fn target(&self, text: &str, allow_topic: bool) -> Result<Destination, UnfitDestination> {
        match self {
            Self::Stomp(_) => stomp_target(text, allow_topic).map(Destination::Stomp),
            Self::Ams(_) => Ok(Destination::Topic(Topic::new(text)?)),
        }
    }
}

impl Destination {
    /// A destination of a STOMP broker.
    #[must_use]
    pub fn stomp(text: &str) -> Self {
        Self::Stomp(stomp::Destination::parse(text))
    }

    /// The destination as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stomp(destination) => destination.as_str(),
            Self::Topic(topic) => topic.as_str(),
            Self::Subscription(subscription) => subscription.as_str(),
        }
    }
}

impl Deref for Destination {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
