//! What senders and receivers share: back-off, pause, and what is opened once for the process.
//!
//! A [`Channel`] is a named sender or receiver of the configuration. Start with [`Registry`], which opens credentials, lists
//! and spools. Its messages go through an [`ActivePipeline`]. Only [`Channel`] says
//! whether it is a sender or a receiver.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Config;
use message::Direction;
use observe::overview::Event;

mod active;
mod count;
mod error;
mod findings;
mod gate;
mod meters;
mod opening;
mod pause;
mod registry;
mod time;

pub use active::ActivePipeline;
pub(crate) use count::{UNKNOWN, counted};
pub use error::SetupError;
pub(crate) use findings::log_findings;
pub use findings::{findings_json, summary};
pub use gate::Gate;
pub use meters::Meters;
pub(crate) use meters::{MOST_SIGNERS, Step};
pub use opening::Opener;
pub(crate) use opening::{Tried, Unopened, log_isolation, open_here, opener};
pub(crate) use pause::log_pause;
pub use registry::{JOURNAL, LOCK, OpenSpool, Registry, trust_settings};
pub(crate) use registry::{reread_anchors, reread_lists};
pub use time::back_off;
pub(crate) use time::{milliseconds, moment};

/// What SSM writes to the field `signer` of a reject element if no signer was verified.
pub(crate) const NO_SIGNER: &str = "Not available.";

/// Why a channel is not in service that reaches no broker.
pub(crate) const NO_SESSION: &str = "no session with the broker";

/// A sender or receiver of the configuration; its name is written to log lines, the journal and status files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    name: Arc<str>,
    direction: Direction,
}

impl Channel {
    /// The channel of a section `[send.NAME]`.
    #[must_use]
    pub fn sender(name: &str) -> Self {
        Self { name: name.into(), direction: Direction::Outbound }
    }

    /// The channel of a section `[receive.NAME]`.
    #[must_use]
    pub fn receiver(name: &str) -> Self {
        Self { name: name.into(), direction: Direction::Inbound }
    }

    /// The channels of a configuration: senders first, each kind by name.
    pub fn all(config: &Config) -> impl Iterator<Item = Self> {
        let senders = config.senders.keys().map(|name| Self::sender(name));
        senders.chain(config.receivers.keys().map(|name| Self::receiver(name)))
    }

    /// Its name, unique in a configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which way its messages go.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// An event of this channel that happens now, of which nothing else is known yet.
    pub(crate) fn event(&self) -> Event {
        let direction = self.shown_direction();
        Event { at: milliseconds(SystemTime::now()), channel: self.to_string(), direction, ..Event::default() }
    }

    fn shown_direction(&self) -> observe::overview::Direction {
        match self.direction {
            Direction::Outbound => observe::overview::Direction::Send,
            Direction::Inbound => observe::overview::Direction::Receive,
        }
    }

    /// The section of the configuration, such as `send.cpu`.
    #[must_use]
    pub fn section(&self) -> String {
        self.shown_direction().section(&self.name)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_by_its_name_and_found_by_its_section() {
        let (sender, receiver) = (Channel::sender("cpu"), Channel::receiver("central"));
        assert_eq!((sender.to_string(), sender.section()), ("cpu".to_owned(), "send.cpu".to_owned()));
        assert_eq!((receiver.name(), receiver.section()), ("central", "receive.central".to_owned()));
        assert_ne!(sender.direction(), receiver.direction());
    }
}
