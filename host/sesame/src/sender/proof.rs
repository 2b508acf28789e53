//! What a sender logs of queues that may not hold what the broker confirmed; see [`transport::Proofs`].

use super::flight::Done;
use crate::channel::Channel;
use message::daily::Condition;
use transport::{Confirmed, Destination, Held, Notices};

/// A message with all its receipts, and the proof that these mean something.
pub(super) type Proved = (Done, Held);

impl Confirmed for Done {
    fn needs(&self) -> &[Destination] {
        &self.needs
    }
}

/// The log of a channel.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) channel: Channel,
}

impl Notices for Log {
    fn refused(&self, destination: &Destination, broker: &str, why: &str) {
        tracing::error!(
            channel = %self.channel, destination = %destination, broker, error = why,
            "nothing is sent to this destination; its messages stay in outgoing",
        );
    }

    fn unproved(&self, destination: &Destination, broker: &str, why: &str) {
        let about = format!("{} {destination} {broker}", self.channel.section());
        if !Condition::warning("receipts prove nothing", &about).is_due(why) {
            return;
        }
        tracing::warn!(
            channel = %self.channel, destination = %destination, broker, error = why,
            "messages confirmed after this queue is deleted would be lost",
        );
    }

    fn unclear(&self, destination: &Destination, broker: &str, why: &str) {
        tracing::warn!(
            channel = %self.channel, destination = %destination, broker, error = why,
            "confirmed messages stay in outgoing until it is known that the queue is there",
        );
    }

    fn gone(&self, destination: &Destination, broker: &str, messages: usize, why: &str) {
        tracing::error!(
            channel = %self.channel, destination = %destination, broker, messages, error = why,
            "the broker confirmed messages that no queue may hold; they stay in outgoing and are sent again",
        );
    }
}
