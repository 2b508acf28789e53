//! The index that several receivers of one queue share, so that a redelivery to another of them is recognised.
//!
//! A message has a row in it, named by an [`IndexKey`]. A receiver *claims* the rows of a batch before it commits the batch
//! to its journal, and reports them *stored* after that and before the messages are acknowledged.
//!
//! | row | of | decision |
//! |---|---|---|
//! | none | | it is claimed, and the journal decides |
//! | claimed or stored | this receiver | the journal decides, as without an index |
//! | stored | another | a duplicate |
//! | claimed | another | neither stored nor acknowledged: asked again for [`PATIENCE`], then the submitter gets [`CommitError::Claimed`] |
//!
//! Keys that are committed and not yet reported stand in the `pending` row of their batch. A receiver that starts reports
//! these first, and then gives back every other claim of its own: what was claimed and is not in the journal is redelivered.
//!
//! A deferred message is claimed when its last decision is made. While the index does not answer, batches wait, with their
//! messages unacknowledged and the session open. Only the end of the engine ends that wait.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use message::daily::Condition;
use message::{MessageId, locked};

use super::{Commit, CommitError};
use crate::index::{Asked, Claim, IndexError, IndexKey, SharedIndex};
use crate::journal::{Disposition, Elsewhere, PendingBatch};

/// How long a message waits for another receiver that claimed it and may be about to store it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often such messages are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// Pauses between attempts to reach an index that does not answer.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What ends the wait of the thread that needs the index, and why it waits.
#[derive(Debug, Default)]
pub(super) struct IndexState {
    ending: Mutex<bool>,
    end: Condvar,
    fault: Mutex<Option<String>>,
}

impl IndexState {
    /// Ends every wait for an index that does not answer.
    pub(super) fn end(&self) {
        *locked(&self.ending) = true;
        self.end.notify_all();
    }

    /// Why the index does not answer.
    pub(super) fn fault(&self) -> Option<String> {
        locked(&self.fault).clone()
    }

    /// Waits; false if the engine ends.
    fn rest(&self, pause: Duration) -> bool {
        let ending = locked(&self.ending);
        let (ending, _) =
            self.end.wait_timeout_while(ending, pause, |ending| !*ending).unwrap_or_else(PoisonError::into_inner);
        !*ending
    }
}

/// What the index decides about a message before the journal does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// The journal decides; these keys are then reported.
    Ours(Vec<IndexKey>),
    /// Another receiver decided about it.
    Elsewhere(Elsewhere),
    /// Another receiver may be storing it.
    Held(String),
}

/// The shared index as the publishing thread uses it.
pub(super) struct Claims {
    index: Box<dyn SharedIndex>,
    state: Arc<IndexState>,
    /// Batches of an earlier run that are published and not reported; taken by the first call.
    earlier: Option<Vec<PendingBatch>>,
}

impl Claims {
    pub(super) fn new(index: Box<dyn SharedIndex>, state: Arc<IndexState>, earlier: Vec<PendingBatch>) -> Self {
        Self { index, state, earlier: Some(earlier) }
    }

    /// Whether claims of an earlier run are not settled yet.
    pub(super) fn is_unsettled(&self) -> bool {
        self.earlier.is_some()
    }

    /// Reports what an earlier run stored, once; returns the batches that are thereby finished.
    pub(super) fn settle(&mut self) -> Result<Vec<i64>, CommitError> {
        let Some(earlier) = self.earlier.clone() else { return Ok(Vec::new()) };
        let keys: Vec<IndexKey> = earlier.iter().flat_map(|batch| batch.index.iter().copied()).collect();
        let given_back = self.insist(|index| index.settle(&keys))?;
        if !keys.is_empty() || given_back > 0 {
            tracing::info!(stored = keys.len(), given_back, "claims of an earlier run in the shared index are settled");
        }
        self.earlier = None;
        Ok(earlier.into_iter().map(|batch| batch.batch).collect())
    }

    /// Claims the messages of a batch; one ruling for each.
    pub(super) fn rule<'a>(&mut self, commits: impl Iterator<Item = &'a Commit>) -> Result<Vec<Ruling>, CommitError> {
        let questions: Vec<Question> = commits.map(Question::about).collect();
        let asked: Vec<Asked> = questions.iter().flat_map(|question| question.rows.iter().copied()).collect();
        let mut claims = Vec::new();
        if !asked.is_empty() {
            claims = self.insist(|index| {
                let claims = index.claim(&asked)?;
                if claims.len() == asked.len() { Ok(claims) } else { Err(IndexError("it answered in part".to_owned())) }
            })?;
        }
        let mut claims = claims.into_iter();
        Ok(questions.into_iter().map(|question| question.ruling(&mut claims)).collect())
    }

    /// Reports committed messages as stored.
    pub(super) fn report(&mut self, keys: &[IndexKey]) -> Result<(), CommitError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.insist(|index| index.stored(keys))
    }

    /// Gives back claims of messages that are not in the journal. If that fails, the next start does it.
    pub(super) fn give_back(&mut self, keys: &[IndexKey]) {
        if keys.is_empty() {
            return;
        }
        if let Err(error) = self.index.give_back(keys) {
            tracing::warn!(error = %error, messages = keys.len(), "claims in the shared index are not given back");
        }
    }

    /// Makes a call until it succeeds, or the engine ends.
    fn insist<T>(
        &mut self,
        mut call: impl FnMut(&mut dyn SharedIndex) -> Result<T, IndexError>,
    ) -> Result<T, CommitError> {
        let condition = Condition::error("shared index", "");
        let (mut pause, longest) = PAUSES;
        let mut began = None;
        loop {
            match call(&mut *self.index) {
                Ok(answer) => {
                    *locked(&self.state.fault) = None;
                    if condition.end() {
                        let seconds = began.map_or(0, |began: Instant| began.elapsed().as_secs());
                        tracing::info!(seconds, "the shared index answers again");
                    }
                    return Ok(answer);
                }
                Err(error) => {
                    *locked(&self.state.fault) = Some(error.to_string());
                    began.get_or_insert_with(Instant::now);
                    if condition.is_due(&error.to_string()) {
                        tracing::error!(
                            error = %error,
                            "the shared index cannot be used; messages wait, unacknowledged, until it can",
                        );
                    }
                    if !self.state.rest(pause) {
                        return Err(CommitError::Index(error));
                    }
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }
}

/// The rows that a message asks for.
#[derive(Default)]
struct Question {
    rows: Vec<Asked>,
    /// Whether it is to be rejected.
    rejects: bool,
    /// Whether it is stored whatever the index knows: an operator asks for it, or it is known to be another message.
    anyway: bool,
}

impl Question {
    fn about(commit: &Commit) -> Self {
        let key = &commit.key;
        let (channel, id) = (key.channel.as_bytes(), key.id.as_str().as_bytes());
        let message = IndexKey::of("message", [channel, id, key.signer.as_bytes(), &key.digest]);
        // As the journal decides: two equal messages without an id are two messages.
        let nameless = key.id == MessageId::absent() && !commit.redelivered && commit.resolves.is_none();
        match &commit.disposition {
            Disposition::Deferred { .. } => Self::default(),
            Disposition::Stored | Disposition::Dropped => {
                let rows = vec![Asked { key: message, claim: true }];
                Self { rows, rejects: false, anyway: commit.again || nameless }
            }
            Disposition::Rejected { code } => {
                let raw = commit.raw_digest.as_ref().unwrap_or(&key.digest);
                let rejected = IndexKey::of("rejected", [channel, id, raw, code.as_str().as_bytes()]);
                let rows = vec![Asked { key: message, claim: false }, Asked { key: rejected, claim: true }];
                // What was refused before and comes a second time of its own is refused a second time.
                Self { rows, rejects: true, anyway: commit.again || !commit.redelivered }
            }
        }
    }

    fn ruling(self, claims: &mut impl Iterator<Item = Claim>) -> Ruling {
        let answers: Vec<Claim> = claims.take(self.rows.len()).collect();
        if !self.anyway {
            for (answer, row) in answers.iter().zip(&self.rows) {
                if let Claim::Stored { by } = answer {
                    // Of a message that is to be rejected here, only the row of the rejection is to be claimed.
                    let rejected = self.rejects && row.claim;
                    return Ruling::Elsewhere(Elsewhere { by: by.clone(), rejected });
                }
            }
            for answer in answers {
                if let Claim::Claimed { by } = answer {
                    return Ruling::Held(by);
                }
            }
        }
        Ruling::Ours(self.rows.iter().filter(|row| row.claim).map(|row| row.key).collect())
    }
}
