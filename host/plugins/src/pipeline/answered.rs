//! What the stages of a pipeline answered for one message, in a word each.

use super::Outcome;
use super::stage::Change;

/// What a stage answered for one message; for several parts of it, the most notable answer, which is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answered {
    Unchanged,
    Changed,
    Split,
    Dropped,
    Rejected,
    Retry,
    Failed,
}

/// What each stage answered that a message reached; see [`Pipeline::words`](super::Pipeline::words).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(pub(super) Vec<Option<Answered>>);

impl Answered {
    /// The answer of the stage that ended the pipeline.
    pub(super) fn last(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Retry { .. } => Self::Retry,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::Dropped { .. } => Self::Dropped,
            Outcome::Invalid { .. } | Outcome::Pass { .. } => Self::Rejected,
        }
    }

    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Split => "split",
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
            Self::Retry => "retry",
            Self::Failed => "failed",
        }
    }
}

impl From<&Change> for Answered {
    fn from(change: &Change) -> Self {
        match change {
            Change::Kept(_) => Self::Unchanged,
            Change::Replaced(_) => Self::Changed,
            Change::Split(_) => Self::Split,
            Change::Dropped(_) => Self::Dropped,
        }
    }
}
