//! What a listener shows, and what may be done through it: the program says so by these traits.

use std::sync::Arc;

use message::Finding;
use serde::{Deserialize, Serialize};

use crate::overview::Overview;
use crate::{Events, Page, Pages, Token};

/// What a listener shows. All but `trace` may take a moment, but wait for no disk and no network.
pub trait Source: Control + Send + Sync + 'static {
    /// The metrics now.
    fn page(&self) -> Page;

    /// What was made last. Listeners share it where it is the same for each of them.
    fn pages(&self) -> Pages {
        Pages::default()
    }

    /// What runs, its status, and what is wrong.
    fn overview(&self) -> Overview;

    /// What became of messages.
    fn events(&self) -> &Arc<Events>;

    /// What a message went through, by its id or the name of its element: each step as `sesame trace --json` prints it,
    /// the oldest first; nothing where no journal knows it. Reads the disk.
    ///
    /// # Errors
    /// What cannot be read, in words.
    fn trace(&self, id: &str) -> Result<Vec<serde_json::Value>, String>;

    /// Why the program is not in service, one reason a line; none where it is.
    fn out_of_service(&self) -> Vec<String>;
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The channel takes up no more messages.
    Pause {
        /// Its name.
        channel: String,
    },
    /// It takes up messages again.
    Resume {
        /// Its name.
        channel: String,
    },
    /// A rejected message is tried again.
    Retry {
        /// The name of its channel.
        channel: String,
        /// Its element in the reject queue.
        element: String,
    },
}

/// A rejected message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rejected {
    /// Why it was rejected.
    pub error: Option<String>,
    /// What plugins found.
    pub findings: Vec<Finding>,
    /// The beginning of its payload; none where it is not to be shown.
    pub payload: Option<String>,
    /// The size of its payload.
    pub bytes: u64,
    /// Whether the payload is longer than what is shown.
    pub more: bool,
}

/// What may be done, and seen of one message: nothing, unless the functions say otherwise. Each of them may read the disk.
pub trait Control {
    /// The token that lets an operator act; none where no one may.
    fn token(&self) -> Option<Arc<Token>> {
        None
    }

    /// The channels that an operator paused.
    fn held(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does what an operator who connected from `from` asks for, and says what was done.
    ///
    /// # Errors
    /// Why it was not done.
    fn act(&self, action: &Action, from: &str) -> Result<String, String> {
        Err(format!("{action:?} of {from} cannot be done here"))
    }

    /// What is known of an element in the reject queue of a channel.
    ///
    /// # Errors
    /// Why nothing is shown.
    fn rejected(&self, channel: &str, element: &str) -> Result<Rejected, String> {
        Err(format!("{element} of {channel} is not shown here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_its_own_fields_and_no_others() {
        let action = |text: &str| serde_json::from_str::<Action>(text).ok();
        let pause = Action::Pause { channel: "cpu".to_owned() };
        assert_eq!(action(r#"{"action":"pause","channel":"cpu"}"#), Some(pause));
        for wrong in [
            "",
            "{}",
            r#"{"action":"stop","channel":"cpu"}"#,
            r#"{"action":"pause"}"#,
            r#"{"action":"pause","channel":1}"#,
            r#"{"action":"retry","channel":"cpu"}"#,
            r#"{"action":"pause","channel":"cpu","element":"x"}"#,
        ] {
            assert_eq!(action(wrong), None, "{wrong}");
        }
    }
}
