//! The stages of one channel, in order, and the outcome for a message.
//!
//! A [`Pipeline`] never changes once it is loaded: a reload loads another and the caller swaps the two, so that a message in
//! flight finishes on the one it started with. Calls block; they belong on threads with at least 2 MiB of stack that no
//! heart-beat waits for.
//!
//! # Policy
//! - A stage is called in a fresh instance for each message, and for each part of one: validator, then transformer, then
//!   router, whichever it has. The next stage gets the message as this stage left it.
//! - Parts of a split go through the later stages one by one. A part that is refused there joins the refused parts; the
//!   rest go on. A part that is dropped is not kept. `retry` or a fault for one part applies to the whole message: either
//!   all parts take effect or none.
//! - Routes are the union of the routes of all routers.
//! - If a stage fails, its `on-error` is applied here: `pass` goes on without the stage and adds a warning to the findings,
//!   `reject` returns [`Outcome::Invalid`] with the finding `plugin.failed`, and only `defer` reaches the caller, as
//!   [`Outcome::Failed`]. A plugin's own `retry` is no failure and always reaches
//!   the caller.
//! - A stage that could not be loaded cannot answer: the messages it applies to get [`Outcome::Failed`], whatever its
//!   `on-error`. The same holds for a stage that is compiling, but it is no failure: no attempt is counted, and if the stage
//!   applies to all messages none is taken up.
//! - A plugin in shadow decides nothing, and nothing waits for it, see `shadow`.
//! - A stage that fails for every message pauses the channel, see `health`: the caller checks [`Pipeline::pause`] before it
//!   takes up a message, and [`StageError::blame`] says whether a failure counts against the message.

mod answered;
mod assemble;
pub(crate) mod current;
mod health;
mod redact;
pub(crate) mod report;
mod run;
mod shadow;
mod stage;
mod statistics;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::catalog::folder::StageSource;
use crate::catalog::status::{PluginState, PluginStatus};
use crate::component::{Description, Powers, Roles};
use crate::instance::Fault;
use crate::resources::Surroundings;
use message::{Direction, Finding, MessageId, Output};

use self::answered::Answered;
pub use self::answered::Answers;
use self::shadow::Shadow;
pub use self::shadow::{Difference, ShadowInfo};
use self::stage::Stage;
pub use self::statistics::{Figures, Limit};

/// Longest time one message may be in the pipeline of its channel.
pub const TOTAL_TIME: Duration = Duration::from_secs(60);

/// What a pipeline is made from.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// The stages, in order.
    pub stages: Vec<StageSource>,
    /// The channel.
    pub channel: String,
    /// What sidecars may name.
    pub around: Surroundings,
    /// The channel's direction.
    pub direction: Direction,
    /// The names of the channel's routes, without `default`.
    pub routes: Vec<String>,
    /// Largest payload that may leave the pipeline.
    pub max_payload: usize,
    /// Longest time for one message, usually [`TOTAL_TIME`].
    pub total_time: Duration,
}

/// The loaded stages of one channel.
#[derive(Debug)]
pub struct Pipeline {
    stages: Vec<Stage>,
    /// The plugins that are called beside them and decide nothing.
    shadows: Vec<Shadow>,
    channel: String,
    direction: Direction,
    routes: Arc<Vec<String>>,
    max_payload: usize,
    total_time: Duration,
    hash: String,
}

/// A plugin that the operator named cannot be loaded: the program does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} {reason}")]
pub struct PluginError {
    /// The name of the stage.
    pub plugin: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl PluginError {
    /// Why a plugin cannot answer, if it cannot.
    #[must_use]
    pub fn of(status: &PluginStatus) -> Option<Self> {
        Some(Self { plugin: status.name().to_owned(), reason: status.unanswering()?.to_owned() })
    }
}

/// The facts about a message that plugins get.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its id.
    pub message_id: &'a MessageId,
    /// Where it goes to or came from.
    pub destination: &'a str,
    /// Media type of the signed part.
    pub content_type: Option<&'a str>,
    /// The verified signer of an inbound message.
    pub signer: Option<&'a SignerFacts>,
    /// When it was first taken up, in milliseconds since 1970.
    pub received_at: u64,
    /// From 1.
    pub attempt: u32,
    /// Headers as the broker sent them.
    pub transport_headers: &'a [(String, String)],
    /// Further facts; the pipeline adds `max-payload-bytes`, and `part` to a part of a split.
    pub properties: &'a [(String, String)],
}

/// A verified signer as plugins see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignerFacts {
    /// Subject DN, RFC 4514.
    pub subject: String,
    /// Subject DN in slash form, if that is unambiguous.
    pub subject_slash: Option<String>,
    /// Issuer DN, RFC 4514.
    pub issuer: String,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// End of validity, seconds since 1970.
    pub not_after: u64,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
}

/// The outcome of a pipeline for a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It goes on, as one message or several, or not at all if every part of a split was refused.
    Pass {
        /// What goes on, in order. Empty only if `refused` is not.
        outputs: Vec<Output>,
        /// Parts that go to the reject queue in the same commit.
        refused: Vec<Refused>,
        /// Warnings and notes for the log and the journal.
        findings: Vec<Finding>,
    },
    /// A plugin dropped it.
    Dropped {
        /// Why, for the audit log.
        finding: Finding,
        /// The plugin.
        plugin: String,
    },
    /// It is invalid, and a retry cannot help: reject.
    Invalid {
        /// At least one.
        findings: Vec<Finding>,
        /// The plugin.
        plugin: String,
    },
    /// A plugin cannot decide yet: defer.
    Retry {
        /// At least this long.
        after: Option<Duration>,
        /// The plugin's text.
        reason: String,
        /// The plugin.
        plugin: String,
    },
    /// A plugin could not answer and its `on-error` is `defer`, or it could not be loaded: defer.
    Failed {
        /// The plugin.
        plugin: String,
        /// What happened and what to do.
        error: StageError,
    },
}

/// A part of a split that goes to the reject queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Its content.
    pub payload: Vec<u8>,
    /// Its media type, where it is known.
    pub content_type: Option<String>,
    /// At least one.
    pub findings: Vec<Finding>,
    /// The plugin that refused it.
    pub plugin: String,
    /// Number of this part among all of the message, from 1.
    pub part: usize,
}

/// A stage could not answer: the plugin and what happened, as one sentence for operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} {fault}")]
pub struct StageError {
    /// The name of the stage.
    pub plugin: String,
    /// What happened, and what to do.
    pub fault: Fault,
    /// What it counts against.
    pub blame: Blame,
}

/// What the failure of a stage counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The message: the plugin answers for others. The attempt counts.
    Message,
    /// The plugin: the message waits, and no attempt is counted.
    Plugin,
    /// Nothing: the channel pauses, and the message stays where it is, as if it had not been taken up.
    Nothing,
}

/// Why a channel pauses: a plugin failed for every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The last failure.
    pub error: StageError,
    /// When the pause began.
    pub since: SystemTime,
    /// The next attempt.
    pub until: Instant,
}

/// A stage as lists and checks show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageInfo<'a> {
    /// The name of the file, or `builtin:NAME`.
    pub name: &'a str,
    /// Its state.
    pub state: PluginState,
    /// The component in service, if any.
    pub ready: Option<ReadyStage<'a>>,
    /// What is wrong and what to do, or that it is being compiled. An earlier component may serve meanwhile.
    pub reason: Option<&'a str>,
    /// Its statistics in this channel.
    pub figures: Figures,
    /// Since when a file of it is being compiled, if one is.
    pub loading: Option<SystemTime>,
    /// When it last failed or could not be loaded, and why.
    pub last_error: Option<(SystemTime, String)>,
}

/// A stage that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyStage<'a> {
    /// Its roles.
    pub roles: Roles,
    /// What it imports and is linked with.
    pub powers: Powers,
    /// How it describes itself.
    pub description: &'a Description,
    /// SHA-256 of the component, hexadecimal.
    pub sha256: String,
    /// The version of the contract that it was built for.
    pub contract: &'a str,
    /// Peak memory of its instances, bytes.
    pub peak_memory: u64,
    /// The tables it is granted: name and SHA-256 of the file, hexadecimal.
    pub tables: Vec<(&'a str, String)>,
}

impl Pipeline {
    /// A hash over the components, settings and configuration of the stages; the journal records it with every message.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Why the channel must pause now, if it must. Until [`Pause::until`] no message may be taken up, [`Pipeline::run`] calls
    /// no plugin, and a failure counts against nothing; then one message at a time while [`Pipeline::is_on_probation`].
    #[must_use]
    pub fn pause(&self, now: Instant) -> Option<Pause> {
        self.stages.iter().find_map(|stage| {
            let open = stage.health.resting(now)?;
            let error = StageError { blame: Blame::Nothing, ..stage.error(open.fault) };
            Some(Pause { error, since: open.since, until: open.until })
        })
    }

    /// Whether a plugin failed for every message and has not answered since (probation).
    #[must_use]
    pub fn is_on_probation(&self) -> bool {
        self.stages.iter().any(|stage| stage.health.is_open())
    }

    /// Whether a plugin failed for the last message it was called with, so that another message should be tried.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.stages.iter().any(|stage| stage.health.is_doubtful())
    }

    /// The plugins in shadow, in order.
    pub fn shadows(&self) -> impl Iterator<Item = ShadowInfo<'_>> {
        self.shadows.iter().map(Shadow::info)
    }

    /// Each plugin in shadow with the last messages for which its verdict differed.
    pub fn differences(&self) -> impl Iterator<Item = (ShadowInfo<'_>, Vec<Difference>)> {
        self.shadows.iter().map(|shadow| (shadow.info(), shadow.examples()))
    }

    /// The stages that serve, in order.
    pub fn stages(&self) -> impl Iterator<Item = StageInfo<'_>> {
        self.stages.iter().map(Stage::info)
    }

    /// Whether a stage has to be compiled before its messages can be taken up.
    #[must_use]
    pub fn is_compiling(&self) -> bool {
        self.stages.iter().any(Stage::is_compiling)
    }

    /// The plugin that is compiling and applies to every message of the channel's `destination`, if there is one: until it
    /// serves nothing may be taken up, [`Pipeline::run`] calls no plugin, and a failure counts against nothing.
    #[must_use]
    pub fn holds(&self, destination: &str) -> Option<&str> {
        self.stages.iter().find(|stage| stage.holds(destination)).map(|stage| stage.name.as_str())
    }

    /// The stages that cannot answer, each with the reason, also the broken plugins of the folder.
    pub fn broken(&self) -> impl Iterator<Item = StageError> {
        self.stages.iter().filter_map(Stage::broken)
    }
}
