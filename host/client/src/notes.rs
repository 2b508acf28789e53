//! What is wrong with the broker as a whole.

use std::sync::Mutex;

use message::locked;
use transport::{Destination, Notices};

/// What was last wrong with the broker as a whole, for a message whose deadline passes meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    connecting: Mutex<Option<String>>,
    queue: Mutex<Option<String>>,
}

impl Notes {
    pub(crate) fn connected(&self) {
        *locked(&self.connecting) = None;
    }

    pub(crate) fn not_connected(&self, why: String) {
        *locked(&self.connecting) = Some(why);
    }

    /// Why the last attempt to connect failed.
    pub(crate) fn connecting(&self) -> Option<String> {
        locked(&self.connecting).clone()
    }

    /// The queue held a message.
    pub(crate) fn held(&self) {
        *locked(&self.queue) = None;
    }

    /// Why the queue is not proved.
    pub(crate) fn queue(&self) -> Option<String> {
        locked(&self.queue).clone()
    }
}

impl Notices for Notes {
    fn refused(&self, _: &Destination, _: &str, why: &str) {
        *locked(&self.queue) = Some(why.to_owned());
    }

    fn unproved(&self, destination: &Destination, broker: &str, why: &str) {
        tracing::warn!(
            %destination, broker, error = why,
            "receipts count without a proof: messages confirmed after this queue is deleted would be lost",
        );
    }

    fn unclear(&self, _: &Destination, _: &str, why: &str) {
        *locked(&self.queue) = Some(why.to_owned());
    }

    fn gone(&self, _: &Destination, _: &str, _: usize, why: &str) {
        *locked(&self.queue) = Some(why.to_owned());
    }
}
