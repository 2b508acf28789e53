//! Where a channel sends to or receives from.

use std::fmt;
use std::ops::Deref;

use ams::{Subscription, Topic};

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
