//! What a running Sesame says of itself: one [`Overview`], and an [`Event`] for each message.
//!
//! Both are JSON on the wire: `/api/overview` and the lines of `/api/events`. The same types are read back by `sesame status`,
//! `sesame top` and `sesame tap`, and by the dashboard. Counts only grow while the process lives, so that a reader makes rates
//! of two overviews; they start at zero with the process.
//!
//! Times are milliseconds since 1970, durations milliseconds, sizes bytes. Texts come from messages and peers as they are:
//! who shows them escapes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Days before its end from which a certificate is a trouble.
pub const CERTIFICATE_DAYS: u64 = 30;
/// Hours after which the oldest message of an outgoing or deferred queue is a trouble.
pub const QUEUE_HOURS: u64 = 1;
/// Hours after which a signer that sent before counts as silent.
pub const SILENT_HOURS: u64 = 36;
/// A disk with less room than so many times `min-free` is a trouble, before its channels pause.
pub const ROOM_TIMES: u64 = 2;

/// What runs, its state, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Overview {
    /// The release of Sesame.
    pub version: String,
    /// The id of the process.
    pub process: u32,
    /// When it started.
    pub started: u64,
    /// When this was made.
    pub at: u64,
    /// When queues, journals and disks were last looked at; what is said of them is from then.
    pub looked_at: Option<u64>,
    /// What is wrong now, the worst first; nothing where all is well.
    pub troubles: Vec<Trouble>,
    /// The channels, senders first, by name.
    pub channels: Vec<Channel>,
    /// The brokers that channels use, by name.
    pub brokers: Vec<Broker>,
    /// Certificates, ours and of recipients, and revocation lists.
    pub expiries: Vec<Expiry>,
    /// Files that are read again when they change.
    #[serde(default)]
    pub files: Vec<WatchedFile>,
    /// Directories of journals.
    pub places: Vec<Place>,
}

/// How bad a trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Messages pass; someone should look.
    Warning,
    /// Messages do not pass.
    Critical,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trouble {
    /// How bad it is.
    pub severity: Severity,
    /// The section of the channel that has it; none where it may be of several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
    /// What it is about: a channel's section, a broker, a file, a signer.
    pub about: String,
    /// What is wrong, and what to do.
    pub text: String,
}

/// Which way the messages of a channel go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Out of a queue, to a broker.
    #[default]
    Send,
    /// From a broker, into a spool.
    Receive,
}

impl Direction {
    /// The section of the configuration of a channel of this name, such as `send.cpu`.
    #[must_use]
    pub fn section(self, name: &str) -> String {
        match self {
            Self::Send => format!("send.{name}"),
            Self::Receive => format!("receive.{name}"),
        }
    }
}

/// A channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Which way its messages go.
    pub direction: Direction,
    /// The broker that it uses.
    pub broker: String,
    /// Its destination at the broker.
    pub destination: String,
    /// Its queue directory or spool.
    pub directory: String,
    /// Why it is not in service; none where it is.
    pub out_of_service: Option<String>,
    /// Why it takes up no message; none where it does.
    pub paused: Option<String>,
    /// What of its queue cannot be read, and how to repair it.
    #[serde(default)]
    pub unreadable: Vec<String>,
    /// Messages that are sent and not confirmed, or delivered and not stored.
    pub in_flight: u64,
    /// How often each fate was met, by its word.
    pub fates: BTreeMap<String, u64>,
    /// How often each code was a reason to reject, also those that were none yet.
    pub rejections: BTreeMap<String, u64>,
    /// Deliveries that the broker marked as delivered before.
    pub redeliveries: u64,
    /// Each step of a message, in order.
    pub steps: Vec<Step>,
    /// Its queues: `outgoing` and `reject`, or `incoming`, `deferred`, `reject` and those of routes.
    pub queues: Vec<Queue>,
    /// Its plugins, in the order of the pipeline.
    pub plugins: Vec<Plugin>,
    /// When each signer was last heard, the longest silent first; only of receivers.
    pub signers: Vec<Signer>,
    /// What both sides know of each other; none where the channel has no acknowledgements.
    pub acknowledgements: Option<Acknowledgements>,
}

impl Channel {
    /// Its section of the configuration, such as `send.cpu`.
    #[must_use]
    pub fn section(&self) -> String {
        self.direction.section(&self.name)
    }
}

/// A step of a message on its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// The word for it, as in the metric `sesame_step_seconds`.
    pub name: String,
    /// Messages or parts that went through it.
    pub count: u64,
    /// The time that all of them took.
    pub time: f64,
    /// Their size.
    pub bytes: u64,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Messages in it.
    pub messages: u64,
    /// When the oldest of them was written.
    pub oldest: Option<u64>,
}

/// A plugin of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its version, as it says; none before it is compiled.
    pub version: Option<String>,
    /// The word for its state, as in the metric `sesame_plugin_state`.
    pub state: String,
    /// What is wrong with it.
    pub fault: Option<String>,
    /// How often it was called.
    pub calls: u64,
    /// How often it rejected.
    pub rejects: u64,
    /// How often it asked to be called again.
    pub retries: u64,
    /// How often it failed.
    pub errors: u64,
    /// The median time of a call.
    pub p50: Option<f64>,
    /// The 99th percentile of the time of a call.
    pub p99: Option<f64>,
}

/// A signer of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signer {
    /// Its DN; `other` for those beyond the most that are counted each.
    pub name: String,
    /// When its last message came.
    pub last: u64,
}

/// Acknowledgements of a channel. A sender awaits them, a receiver owes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Acknowledgements {
    /// Sent messages that are kept until they are acknowledged, the overdue ones among them.
    pub awaited: u64,
    /// When the oldest of these was sent.
    pub oldest: Option<u64>,
    /// Messages that were repeated as often as allowed and are not acknowledged.
    pub overdue: u64,
    /// Acknowledgements that are not sent yet.
    pub owed: u64,
    /// Messages that are missing in numbered streams of signers.
    pub missing: u64,
}

/// A broker, with all sessions of this process taken together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Broker {
    /// Its name.
    pub name: String,
    /// Links that want a session and reach no host.
    #[serde(default)]
    pub connecting: u64,
    /// Sessions that are open.
    pub sessions: u64,
    /// Sessions that were opened.
    pub opened: u64,
    /// Attempts in which no host could be reached.
    pub failed: u64,
    /// Sessions that the broker or the network ended.
    pub lost: u64,
    /// Those of them that ended because no heart-beat came.
    pub silent: u64,
    /// How long it read nothing though frames waited.
    pub blocked: f64,
}

/// A certificate or revocation list, and when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Expiry {
    /// What it is for, as in the metric `sesame_certificate_expiry_seconds`; `crl` for a revocation list.
    pub purpose: String,
    /// Its file.
    pub file: String,
    /// When it ends, or when the next list is due.
    pub ends: u64,
}

/// A file that is read again when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WatchedFile {
    /// What it is for: `own` and `recipient` certificates, `anchors`, `signers`.
    pub purpose: String,
    /// Its path, or several.
    pub file: String,
    /// Why what is there now cannot be used, though what was read before stays in use.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
}

/// The directory of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// Its path.
    pub directory: String,
    /// Size of the journal with its log.
    pub journal: u64,
    /// Room on the disk.
    pub free: Option<u64>,
    /// The room below which its channels pause.
    pub min_free: u64,
}

/// What became of one message, as it happened. Never its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// When.
    pub at: u64,
    /// The channel.
    pub channel: String,
    /// Which way its messages go.
    pub direction: Direction,
    /// The word for what became of the message.
    pub fate: String,
    /// The code of a rejection.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// Why, with the finding of a plugin.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The message's id, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// The verified signer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signer: Option<String>,
    /// The plugin that decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plugin: Option<String>,
    /// Where it is, or was before it was sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub element: Option<String>,
    /// The size of its payload.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// Headers of the message.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub headers: Vec<(String, String)>,
    /// What each plugin answered, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub verdicts: Vec<Verdict>,
    /// Events before this one that a slow reader missed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub missed: u64,
}

/// What a plugin answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// The plugin.
    pub plugin: String,
    /// The word for its answer.
    pub answer: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over by reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_leaves_out_what_is_not_known() {
        let event = Event { at: 5, channel: "cpu".to_owned(), fate: "sent".to_owned(), ..Event::default() };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"at":5,"channel":"cpu","direction":"send","fate":"sent"}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn the_worst_trouble_is_the_greatest() {
        assert!(Severity::Critical > Severity::Warning);
    }
}
