//! How an element leaves outgoing, or stays: sent, refused, dropped by a plugin, or postponed.
//!
//! A message that is never sent goes to the reject queue with the reason, durable before its element is removed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use tokio::sync::{Notify, oneshot};

use crate::channel::{Channel, NO_SIGNER, OpenSpool, findings_json, summary};
use message::{Code, Fate, Finding, LogLine, MessageId, content_digest, locked};
use observe::overview::Verdict;
use plugins::Refused;
use spool::journal::{Disposition, Due, Facts, Key, PreparedKey, Sent};
use spool::{Commit, CommitError, LockedElement, NewElement, Outcome, ReadError, Removal, SpoolError, Stored};
use transport::Receipt;

use super::postponed::{Postponed, WaitsFor};
use super::proof::Proved;
use super::report::{Became, Report, Seen};
use super::retention::Retention;
use super::{Settled, Unstored, Window, remove};
use crate::config::Repetition;

/// The largest content that is put into a reject queue, in bytes; a larger file stays where it is.
const LARGEST_SET_ASIDE: u64 = 1 << 30;

/// Tenths of the broker's limit above which the size may be why it could not store a message.
const NEAR_LIMIT_TENTHS: usize = 9;

/// An element that is refused, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) element: LockedElement,
    key: PreparedKey,
    content: Arc<Vec<u8>>,
    code: Code,
    why: String,
    findings: Vec<Finding>,
    /// Hash of the pipeline that ran; empty where none did.
    pipeline: String,
    /// What its plugins answered.
    verdicts: Vec<Verdict>,
    /// The plugin that decided, if one did.
    plugin: Option<String>,
}

impl Refusal {
    pub(super) fn new(
        element: LockedElement,
        key: PreparedKey,
        content: Arc<Vec<u8>>,
        code: Code,
        why: String,
    ) -> Self {
        let (findings, pipeline, verdicts) = (Vec::new(), String::new(), Vec::new());
        Self { element, key, content, code, why, findings, pipeline, verdicts, plugin: None }
    }

    /// An element that is empty or too large to be sent.
    ///
    /// # Errors
    /// [`ReadError`] where it cannot be read for the reject queue either.
    pub(super) fn unread(element: LockedElement, error: &ReadError) -> Result<Self, ReadError> {
        let (code, content) = match error {
            ReadError::Empty { .. } => (Code::Empty, Vec::new()),
            _ => (Code::TooLarge, element.read(LARGEST_SET_ASIDE)?),
        };
        let content = Arc::new(content);
        let key = PreparedKey { id: element.message_id(), digest: content_digest(&content) };
        Ok(Self::new(element, key, content, code, message::cause::chain(error)))
    }

    /// The pipeline that the message went through, and what its plugins answered.
    pub(super) fn by(mut self, pipeline: &str, verdicts: Vec<Verdict>) -> Self {
        pipeline.clone_into(&mut self.pipeline);
        self.verdicts = verdicts;
        self
    }

    /// The plugin that decided, and what it found.
    pub(super) fn found_by(mut self, plugin: String, findings: Vec<Finding>) -> Self {
        self.plugin = Some(plugin);
        self.findings = findings;
        self
    }
}

/// Ends the stay of elements in outgoing, or postpones them.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) channel: Channel,
    /// The reject queue.
    pub(super) reject: PathBuf,
    /// How often a message is tried that the broker could not store.
    pub(super) repetition: Repetition,
    /// Why a message was last left in outgoing that the broker answered.
    pub(super) fault: Mutex<Option<String>>,
    /// The journal and what writes to the reject queue.
    pub(super) state: Arc<OpenSpool>,
    /// What is kept until it is acknowledged.
    pub(super) retention: Option<Arc<Retention>>,
    pub(super) report: Arc<Report>,
    pub(super) postponed: Arc<Postponed>,
    pub(super) window: Arc<Mutex<Window>>,
    /// Wakes the sender.
    pub(super) wake: Arc<Notify>,
}

impl Settlement {
    /// Refuses an element. Where the reject queue cannot be written, the element stays and is postponed.
    pub(super) async fn refuse(&self, refusal: Refusal) {
        let Refusal { element, key, content, code, why, findings, pipeline, verdicts, plugin } = refusal;
        let seen = Seen { bytes: content.len() as u64, headers: Vec::new(), verdicts };
        let error = code.because(&why);
        let name = element.name().to_string();
        let mut commit = self.rejection(&key.id, (code, &why), &content, &findings);
        commit.facts.pipeline = pipeline;
        match self.commit(commit).await {
            Ok(stored) => {
                let id = key.id.as_str();
                let kept = kept_as(&stored, &name);
                let line =
                    LogLine { channel: self.channel.name(), id, element: &kept, reason: &error, ..LogLine::default() };
                Fate::Rejected.log(&line);
                let became = Became::rejected(&name, &key.id, code, &error).by(plugin.as_deref()).kept_as(&kept);
                self.report.fate(&became.seen(&seen));
                let _ = self.state.journal.record_rejected(self.channel.name(), &name, &key, &error);
                if let Some(retention) = &self.retention {
                    retention.forget(&key);
                }
                self.postponed.remove(&name);
                locked(&self.window).forget(&name);
                self.remove_settled(element, Settled::Refused(stored));
            }
            Err(failure) => self.cannot_set_aside(&name, &failure),
        }
    }

    /// Removes elements that were sent, or keeps them until they are acknowledged, and notes them in the journal. One that
    /// cannot be removed is postponed: it is sent again, as it was prepared.
    pub(super) fn remove_sent(&self, done: Vec<Proved>, broker: &str) {
        let mut notes = Vec::with_capacity(done.len());
        let (mut settled, mut kept) = (Vec::with_capacity(done.len()), Vec::new());
        let (to_keep, to_remove): (Vec<_>, Vec<_>) = done.into_iter().partition(|(done, _)| done.keep());
        for (done, held) in to_remove.into_iter().chain(to_keep) {
            let retention = self.retention.as_ref().filter(|_| done.keep());
            let (element, key, receipts, at, seen) = done.into_parts();
            self.report.meters.ages.observe(at.duration_since(element.queued()).unwrap_or_default());
            let name = element.name().to_string();
            let id = key.id.as_str();
            let detail = self.log_as_ssm(&receipts);
            Fate::Sent.log(&LogLine { channel: self.channel.name(), id, element: &name, broker, ..LogLine::default() });
            self.report.fate(&Became::new(Fate::Sent, &name, Some(&key.id)).seen(&seen));
            let proof = Settled::Sent(receipts, held);
            let retain = retention.map(|retention| retention.wait());
            match retention {
                Some(_) => kept.push((element, key.clone(), proof)),
                None => settled.push((element, proof)),
            }
            notes.push((name, Sent { key, broker: broker.to_owned(), at, detail, retain }));
        }
        self.report.count_sent(notes.len());
        let mut removals = remove(settled);
        if let Some(retention) = self.retention.as_ref().filter(|_| !kept.is_empty()) {
            removals.extend(retention.keep(kept));
        }
        let mut sent = Vec::with_capacity(notes.len());
        for ((name, mut note), removal) in notes.into_iter().zip(removals) {
            if !matches!(removal, Ok(Removal::Removed)) {
                note.retain = None;
            }
            if self.removed(&name, removal) {
                sent.push(note);
            }
        }
        match (self.state.journal.record_sent(self.channel.name(), &sent), &self.retention) {
            (Ok(answered), Some(retention)) => retention.kept(answered),
            (Ok(_), None) => {}
            (Err(error), _) => {
                let error = message::cause::chain(&error);
                tracing::error!(channel = %self.channel, %error, "cannot write the journal; the messages were sent");
            }
        }
    }

    /// Puts a message that its receiver rejected into the reject queue; false where that is not possible now.
    pub(super) async fn refuse_retained(&self, due: &Due, content: Vec<u8>, reason: &str) -> bool {
        let (channel, id, element) = (self.channel.name(), due.key.id.as_str(), due.element.as_str());
        let code = Code::ReceiverRejected;
        let error = code.because(reason);
        let mut commit = self.rejection(&due.key.id, (code, reason), &content, &[]);
        commit.key.digest = due.key.digest;
        let stored = match self.commit(commit).await {
            Ok(stored) => stored,
            Err(failure) => {
                let (reject, error) = (self.reject.display(), message::cause::chain(&failure));
                tracing::error!(channel, id, reason, %reject, %error, "cannot write to the reject queue");
                return false;
            }
        };
        let kept = kept_as(&stored, element);
        Fate::Rejected.log(&LogLine { channel, id, element: &kept, reason: &error, ..LogLine::default() });
        self.report.fate(&Became::rejected(element, &due.key.id, code, &error).kept_as(&kept));
        if let Err(error) = self.state.journal.record_rejected(channel, element, &due.key, &error) {
            tracing::error!(channel, id, error = message::cause::chain(&error), "cannot write the journal");
        }
        true
    }

    /// The line that SSM logs, which readers of its log parse, for each part that AMS stored; AMS's ids for the journal.
    fn log_as_ssm(&self, receipts: &[Receipt]) -> Option<String> {
        let mut ids = Vec::new();
        for receipt in receipts {
            if let Some((message, id)) = receipt.stored_as() {
                tracing::info!(channel = %self.channel, "Sent {message}, Argo ID: {id}");
                ids.push(id);
            }
        }
        (!ids.is_empty()).then(|| format!("Argo ID {}", ids.join(", ")))
    }

    fn remove_settled(&self, element: LockedElement, settled: Settled) {
        let name = element.name().to_string();
        for removal in remove(vec![(element, settled)]) {
            self.removed(&name, removal);
        }
    }

    /// Refuses a message that was prepared and cannot be sent; its content is read again.
    pub(super) async fn refuse_element(&self, element: LockedElement, key: PreparedKey, code: Code, why: String) {
        match element.read(LARGEST_SET_ASIDE) {
            Ok(content) => self.refuse(Refusal::new(element, key, Arc::new(content), code, why)).await,
            Err(error) => self.hold(&element, &key, &error),
        }
    }

    /// Leaves a message in outgoing for a while, for a fault that is not its own.
    pub(super) fn hold(&self, element: &LockedElement, key: &PreparedKey, error: &(dyn std::error::Error + 'static)) {
        let name = element.name().to_string();
        let error = message::cause::chain(error);
        tracing::error!(channel = %self.channel, id = %key.id, element = name, error, "message not sent; it stays in outgoing");
        self.report.fate(&Became::new(Fate::Waiting, &name, Some(&key.id)).because(&error));
        self.postponed.postpone(&name, 1, None, WaitsFor::Attempt);
    }

    /// Leaves a message in outgoing until the channel can seal again; why it cannot is logged by [`super::fitness`].
    pub(super) fn wait_to_be_fit(
        &self,
        element: &LockedElement,
        key: &PreparedKey,
        error: &(dyn std::error::Error + 'static),
    ) {
        let reason = message::cause::chain(error);
        let name = element.name().to_string();
        self.report.fate(&Became::new(Fate::Waiting, &name, Some(&key.id)).because(&reason));
    }

    /// Leaves a message in outgoing because its destination stores nothing now; that was logged when it was detected.
    pub(super) fn wait_for_destination(&self, element: &LockedElement, key: &PreparedKey, why: &str) {
        *locked(&self.fault) = Some(why.to_owned());
        let name = element.name().to_string();
        tracing::debug!(channel = %self.channel, id = %key.id, element = name, why, "message waits for its destination");
        self.report.fate(&Became::new(Fate::Waiting, &name, Some(&key.id)).because(why));
        self.postponed.postpone(&name, 1, None, WaitsFor::Attempt);
    }

    /// Leaves a message in outgoing that the broker could not store, or refuses it after the last counted attempt.
    pub(super) async fn not_stored(
        &self,
        element: LockedElement,
        key: PreparedKey,
        (size, limit): (usize, usize),
        words: String,
    ) {
        let name = element.name().to_string();
        let near_limit = size > limit / 10 * NEAR_LIMIT_TENTHS;
        let Unstored { failures, counts, hopeless } =
            locked(&self.window).not_stored(&name, near_limit, &self.repetition, Instant::now());
        let attempts = if counts { self.count_attempt(&key).await } else { 0 };
        let why = format!("{words}; it takes up to {size} bytes of max-message, {limit}");
        if hopeless || attempts >= self.repetition.attempts {
            let (code, advice) = if near_limit {
                (
                    Code::TooLarge,
                    "near the limit the size is the likely cause: lower max-message; builtin:split-records splits messages",
                )
            } else {
                (Code::BrokerRefused, "the broker stored other messages meanwhile")
            };
            let attempts = attempts.max(failures);
            self.refuse_element(element, key, code, format!("after {attempts} attempts: {why}; {advice}")).await;
            return;
        }
        tracing::warn!(
            channel = %self.channel, id = %key.id, element = name, attempt = failures, error = why,
            "the broker could not store a message; it stays in outgoing and is sent again",
        );
        self.report.fate(&Became::new(Fate::Waiting, &name, Some(&key.id)).because(&why));
        *locked(&self.fault) = Some(why);
    }

    /// Counts a failed attempt, also across restarts; how many there are.
    async fn count_attempt(&self, key: &PreparedKey) -> u32 {
        let (state, channel, keys) = (Arc::clone(&self.state), self.channel.clone(), [key.clone()]);
        let counted =
            tokio::task::spawn_blocking(move || state.journal.count_send_attempts(channel.name(), &keys)).await;
        match counted {
            Ok(Ok(counts)) => counts.first().copied().unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::error!(channel = %self.channel, error = message::cause::chain(&error), "cannot write the journal");
                0
            }
            Err(_) => 0,
        }
    }

    /// Why a message was last left in outgoing that the broker answered.
    pub(super) fn fault(&self) -> Option<String> {
        locked(&self.fault).clone()
    }

    /// Ends a message all of whose parts are in the reject queue.
    pub(super) async fn all_parts_refused(
        &self,
        element: LockedElement,
        (key, pipeline): (PreparedKey, &str),
        refused: &[Refused],
    ) {
        let name = element.name().to_string();
        let reason = format!("all {} parts were refused", refused.len());
        match self.commit(self.end_without_element((&key, pipeline), &reason)).await {
            Ok(stored) => {
                let _ = self.state.journal.record_rejected(self.channel.name(), &name, &key, &reason);
                self.remove_settled(element, Settled::Refused(stored));
            }
            Err(failure) => self.cannot_set_aside(&name, &failure),
        }
    }

    /// Puts the refused parts of a message into the reject queue; false where that is not possible now.
    pub(super) async fn refuse_parts(
        &self,
        element: &str,
        (id, pipeline): (&MessageId, &str),
        refused: &[Refused],
    ) -> bool {
        for part in refused {
            let id = &id.part(part.part);
            let error = format!("{}: {}", part.plugin, summary(&part.findings));
            let mut commit = self.rejection(id, (Code::PluginInvalid, &error), &part.payload, &part.findings);
            pipeline.clone_into(&mut commit.facts.pipeline);
            let stored = match self.commit(commit).await {
                Ok(stored) => stored,
                Err(failure) => {
                    self.cannot_set_aside(element, &failure);
                    return false;
                }
            };
            let kept = kept_as(&stored, element);
            tracing::warn!(channel = %self.channel, %id, element = kept, reason = %error, "part rejected");
            let became = Became::rejected(element, id, Code::PluginInvalid, &error).by(Some(&part.plugin));
            self.report.fate(&became.kept_as(&kept));
        }
        true
    }

    /// Notes a message that a plugin dropped, and removes its element.
    pub(super) async fn drop_message(
        &self,
        element: LockedElement,
        (key, pipeline): (PreparedKey, &str),
        finding: &Finding,
        plugin: &str,
    ) {
        let name = element.name().to_string();
        let reason = format!("dropped by {plugin}: {finding}");
        match self.commit(self.end_without_element((&key, pipeline), &reason)).await {
            Ok(stored) => {
                let (id, reason) = (key.id.as_str(), reason.as_str());
                let line =
                    LogLine { channel: self.channel.name(), id, plugin, element: &name, reason, ..LogLine::default() };
                Fate::Dropped.log(&line);
                self.report.fate(&Became::new(Fate::Dropped, &name, Some(&key.id)).because(reason).by(Some(plugin)));
                self.remove_settled(element, Settled::Dropped(stored));
            }
            Err(failure) => self.cannot_set_aside(&name, &failure),
        }
    }

    /// Logs the result of removing the element `name`; false if it is still there, and then it is postponed.
    fn removed(&self, name: &str, removal: Result<Removal, SpoolError>) -> bool {
        match removal {
            Ok(Removal::Removed | Removal::Gone) => true,
            Ok(Removal::Restored(restored)) => {
                tracing::warn!(channel = %self.channel, element = %restored, "the element was overwritten while it was in flight; the new content is queued");
                self.wake.notify_one();
                true
            }
            Err(error) => {
                let error = message::cause::chain(&error);
                tracing::error!(channel = %self.channel, element = name, error, "cannot remove a completed element; it will be sent again");
                self.postponed.postpone(name, 1, None, WaitsFor::Attempt);
                false
            }
        }
    }

    fn cannot_set_aside(&self, element: &str, failure: &CommitError) {
        let error = message::cause::chain(failure);
        tracing::error!(
            channel = %self.channel, element, reject = %self.reject.display(), %error,
            "cannot write to the reject queue; the message stays in outgoing",
        );
        self.postponed.postpone(element, 1, None, WaitsFor::Attempt);
    }

    fn key(&self, id: &MessageId, digest: [u8; 32]) -> Key {
        Key { channel: self.channel.to_string(), id: id.clone(), signer: String::new(), digest }
    }

    /// Ends a message of which nothing is written, and the count of its attempts.
    fn end_without_element(&self, (key, pipeline): (&PreparedKey, &str), reason: &str) -> Commit {
        let mut facts = Facts::at(SystemTime::now());
        facts.reason = Some(reason.to_owned());
        pipeline.clone_into(&mut facts.pipeline);
        let mut commit = Commit::new(self.key(&key.id, key.digest), Disposition::Dropped, Vec::new(), facts);
        commit.raw_digest = Some(key.digest);
        commit
    }

    fn rejection(&self, id: &MessageId, why: (Code, &str), body: &[u8], findings: &[Finding]) -> Commit {
        rejection((&self.channel, &self.reject), id, why, body, findings)
    }

    async fn commit(&self, commit: Commit) -> Result<Stored, CommitError> {
        let (sender, answer) = oneshot::channel();
        let done = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        self.state.engine.submit_with(commit, done);
        answer.await.unwrap_or(Err(CommitError::Stopped))
    }
}

/// How an operator finds a message in the reject queue: `reject/00000000/6b03126398f937`. One that was put there before is
/// named as in outgoing.
fn kept_as(stored: &Stored, outgoing: &str) -> String {
    let Outcome::New { elements, .. } = stored.outcome() else { return outgoing.to_owned() };
    let Some(element) = elements.first() else { return outgoing.to_owned() };
    // As in [`Outcome`]: relative to the state directory only where the reject queue is in it.
    let mut names = Path::new(element).components().rev().filter_map(|part| part.as_os_str().to_str());
    match (names.next(), names.next()) {
        (Some(name), Some(directory)) => format!("reject/{directory}/{name}"),
        _ => element.clone(),
    }
}

/// Puts a message of a channel into the reject queue of its sender.
pub(crate) fn rejection(
    (channel, reject): (&Channel, &Path),
    id: &MessageId,
    (code, why): (Code, &str),
    body: &[u8],
    findings: &[Finding],
) -> Commit {
    let digest = content_digest(body);
    let element = NewElement {
        queue: reject.to_owned(),
        fields: vec![
            ("body", body.to_vec()),
            ("signer", NO_SIGNER.as_bytes().to_vec()),
            ("empaid", id.as_str().as_bytes().to_vec()),
            ("error", code.because(why).into_bytes()),
            ("findings", findings_json(findings)),
        ],
    };
    let mut facts = Facts::at(SystemTime::now());
    facts.payload_bytes = body.len() as u64;
    facts.reason = Some(why.to_owned());
    let key = Key { channel: channel.to_string(), id: id.clone(), signer: String::new(), digest };
    let mut commit = Commit::new(key, Disposition::Rejected { code }, vec![element], facts);
    // A crash before the element was removed must not make a second copy.
    commit.redelivered = true;
    commit.raw_digest = Some(digest);
    commit
}
