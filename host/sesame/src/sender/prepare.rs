//! From elements to prepared messages: lock, read, pipeline, and make the pipeline's answer durable.
//!
//! The pipeline runs once for an element's content. Its answer, `unchanged` included, is in the journal before the first
//! SEND, and every retry starts from there: a plugin that was replaced in between cannot send records twice under other
//! ids.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::channel::{ActivePipeline, Channel, Meters, OpenSpool, Step, counted, summary};
use crate::config;
use crate::shutdown::Shutdown;
use message::acknowledgement::Sequence;
use message::{Code, Finding, MessageId, content_digest};
use observe::overview::Verdict;
use plugins::{Blame, Input, Outcome, Output, Refused};
use smime::Sealing;
use spool::journal::{Dispatch, JournalError, Prepared as Row, PreparedKey, SentCount, TakenUp};
use spool::{ElementName, LockedElement, Outgoing, ReadError, kill_point};
use transport::{Destination, Link};

use super::postponed::{Postponed, WaitsFor};
use super::retention::Retention;
use super::settle::Refusal;

/// Content that one thread of a batch reads at most before it is sent on, in bytes.
const IN_HAND_BYTES: usize = 8 << 20;

/// A message whose content and destinations are decided and durable. Made only here; sealing needs it.
///
/// ```compile_fail
/// fn twice(prepared: &sesame::sender::Prepared) -> sesame::sender::Prepared {
///     prepared.clone()
/// }
/// ```
#[derive(Debug)]
pub struct Prepared {
    pub(super) element: LockedElement,
    pub(super) key: PreparedKey,
    pub(super) parts: Vec<Part>,
    /// Whether it is kept after it was sent, until it is acknowledged.
    pub(super) keep: bool,
    pub(super) bytes: usize,
    /// What its plugins answered, as far as anyone wants to know.
    pub(super) verdicts: Vec<Verdict>,
}

impl Prepared {
    /// The message's id.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.key.id
    }

    /// What is to be sent, one SEND each.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// One SEND of a message.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its id: the message's, or `ID.N` of a split one.
    pub id: MessageId,
    /// Where it goes.
    pub destination: Destination,
    /// The content.
    pub payload: Arc<Vec<u8>>,
    /// Its media type, where a plugin named one.
    pub content_type: Option<String>,
    /// Further headers that a plugin set.
    pub headers: Vec<(String, String)>,
    /// Its number, where acknowledgements are wanted.
    pub sequence: Option<Sequence>,
}

/// The result of examining one element.
pub(super) enum Examined {
    /// To be sent; `fresh` where the journal does not know it yet, or not as it is now.
    Ready { element: LockedElement, content: Arc<Vec<u8>>, row: Row, fresh: bool, verdicts: Vec<Verdict> },
    /// To be sent in part: these parts go to the reject queue first.
    PartlyRefused {
        element: LockedElement,
        content: Arc<Vec<u8>>,
        row: Row,
        refused: Vec<Refused>,
        verdicts: Vec<Verdict>,
    },
    /// Never to be sent.
    Refused(Refusal),
    /// Dropped by a plugin on purpose.
    Dropped { element: LockedElement, key: PreparedKey, finding: Finding, plugin: String, pipeline: String },
    /// Not to be sent now.
    Postponed { element: String, attempt: u32, after: Option<Duration>, waits_for: WaitsFor, reason: String },
    /// Locked by another process, gone, or left alone while the channel pauses.
    NotOurs,
}

impl Examined {
    /// The row that the journal does not have yet.
    fn unrecorded(&mut self) -> Option<&mut Row> {
        match self {
            Self::Ready { row, fresh: true, .. } => Some(row),
            // A message without parts to send is not prepared; it is complete.
            Self::PartlyRefused { row, .. } if !row.outputs.is_empty() => Some(row),
            _ => None,
        }
    }
}

/// Adds the destinations of dispatches that were answered, and are not sent again, to what is counted.
fn add_answered(counts: &mut [SentCount], id: &MessageId, answered: &[Dispatch]) {
    for count in counts {
        let id = count.part.map_or_else(|| id.clone(), |number| id.part(number));
        for one in answered.iter().filter(|one| one.id == id) {
            if !count.destinations.contains(&one.destination) {
                count.destinations.push(one.destination.clone());
            }
        }
    }
}

/// An element that was locked and read.
struct Read {
    element: LockedElement,
    key: PreparedKey,
    content: Arc<Vec<u8>>,
}

/// Takes a step with an element. A bug that shows on it postpones it and stops no other.
fn guarded<T>(name: &ElementName, step: impl FnOnce() -> Result<T, Box<Examined>>) -> Result<T, Box<Examined>> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
        Err(Box::new(Examined::Postponed {
            element: name.to_string(),
            attempt: 1,
            after: None,
            waits_for: WaitsFor::Attempt,
            reason: "Sesame failed on this message; please report it with the log".to_owned(),
        }))
    })
}

/// An element that went through the pipeline.
struct Taken<'a> {
    element: LockedElement,
    key: PreparedKey,
    content: Arc<Vec<u8>>,
    attempt: u32,
    /// How often plugins had been replaced before.
    replaced: u64,
    /// The pipeline's hash.
    pipeline: &'a str,
    /// What its plugins answered, as far as anyone wants to know.
    verdicts: Vec<Verdict>,
}

/// Makes [`Prepared`] messages of elements.
#[derive(Debug)]
pub(super) struct Preparation {
    pub(super) channel: Channel,
    pub(super) settings: Arc<config::Sender>,
    pub(super) pipeline: Arc<ActivePipeline>,
    pub(super) outgoing: Outgoing,
    /// What plugins see of the broker.
    pub(super) link: Arc<Link>,
    /// The journal and what counts crashes.
    pub(super) state: Arc<OpenSpool>,
    pub(super) retention: Option<Arc<Retention>>,
    /// What plugins see of sealing.
    pub(super) sealing: Arc<Sealing>,
    pub(super) postponed: Arc<Postponed>,
    /// A file was seen that may still be incomplete.
    pub(super) settling: AtomicBool,
    pub(super) meters: Arc<Meters>,
}

impl Preparation {
    /// Whether a file was seen since the last call that may still be incomplete.
    pub(super) fn saw_settling(&self) -> bool {
        self.settling.swap(false, Ordering::Relaxed)
    }

    /// Examines elements on a blocking thread: nothing is written yet. The journal is asked once about all of them.
    pub(super) fn examine(&self, names: &[ElementName], shutdown: &Shutdown) -> Vec<Examined> {
        let mut in_hand = 0;
        let mut examined = Vec::with_capacity(names.len());
        let mut read = Vec::with_capacity(names.len());
        for name in names {
            if in_hand > IN_HAND_BYTES || self.leaves_the_rest(shutdown) {
                break;
            }
            match guarded(name, || self.read(name)) {
                Ok(one) => {
                    in_hand += one.content.len();
                    read.push(one);
                }
                Err(one) => examined.push(*one),
            }
        }
        let keys: Vec<PreparedKey> = read.iter().map(|one| one.key.clone()).collect();
        let known = match self.state.journal.taken_up(self.channel.name(), &keys) {
            Ok(known) => known,
            Err(error) => {
                let unreadable = |one: &Read| self.unreadable(one.element.name().to_string(), &error);
                examined.extend(read.iter().map(unreadable));
                return examined;
            }
        };
        for (one, known) in read.into_iter().zip(known) {
            if self.leaves_the_rest(shutdown) {
                break;
            }
            let name = one.element.name().clone();
            let decided = guarded(&name, || Ok(self.decide(one, known)));
            examined.push(decided.unwrap_or_else(|failed| *failed));
        }
        examined
    }

    /// Whether no further element is taken up now: the rest comes with the next pass.
    fn leaves_the_rest(&self, shutdown: &Shutdown) -> bool {
        shutdown.asked() || self.pipeline.pause().is_some() || self.pipeline.is_held()
    }

    /// Locks and reads an element. One that is not to be sent has its end already.
    fn read(&self, name: &ElementName) -> Result<Read, Box<Examined>> {
        let began = Instant::now();
        let element = match self.outgoing.lock(name) {
            Ok(Some(element)) => element,
            Ok(None) => {
                self.settling.fetch_or(self.outgoing.is_settling(name), Ordering::Relaxed);
                return Err(Box::new(Examined::NotOurs));
            }
            Err(error) => return Err(Box::new(self.unreadable(name.to_string(), &error))),
        };
        let content = match element.read(self.settings.max_payload) {
            Ok(content) => Arc::new(content),
            Err(ReadError::Changed { .. }) => return Err(Box::new(Examined::NotOurs)),
            Err(error @ (ReadError::Empty { .. } | ReadError::TooLarge { .. })) => {
                return Err(Box::new(match Refusal::unread(element, &error) {
                    Ok(refusal) => Examined::Refused(refusal),
                    Err(error) => self.unreadable(name.to_string(), &error),
                }));
            }
            Err(error) => return Err(Box::new(self.unreadable(name.to_string(), &error))),
        };
        self.meters.passed(Step::Lock, content.len(), began);
        let key = PreparedKey { id: element.message_id(), digest: content_digest(&content) };
        if content.iter().all(u8::is_ascii_whitespace) {
            let why = "the message is blank".to_owned();
            return Err(Box::new(Examined::Refused(Refusal::new(element, key, content, Code::Empty, why))));
        }
        kill_point("S02");
        Ok(Read { element, key, content })
    }

    /// What becomes of an element that was read.
    fn decide(&self, Read { element, key, content }: Read, known: TakenUp) -> Examined {
        let Some(row) = known.prepared else { return self.run_pipeline(element, key, content, known.attempts + 1) };
        match self.redirect(row, &content) {
            Ok((row, fresh)) => Examined::Ready { element, content, row, fresh, verdicts: Vec::new() },
            Err(error) => self.unreadable(element.name().to_string(), &error),
        }
    }

    fn unreadable(&self, element: String, error: &(dyn std::error::Error + 'static)) -> Examined {
        let waits_for = WaitsFor::Attempt;
        Examined::Postponed { element, attempt: 1, after: None, waits_for, reason: message::cause::chain(error) }
    }

    /// A message that was numbered for other destinations than the configuration has now goes where it says now, under new
    /// numbers; whether the journal has to note that. A destination that has answered stays counted.
    fn redirect(&self, mut row: Row, content: &[u8]) -> Result<(Row, bool), JournalError> {
        // Where nothing is numbered now, what was kept before goes again under its old numbers.
        if !self.numbers() {
            return Ok((row, false));
        }
        let wanted = self.dispatches(&row.key, &row.outputs);
        let among = |all: &[Dispatch], one: &Dispatch| {
            all.iter().any(|other| other.id == one.id && other.destination == one.destination)
        };
        let (mut kept, obsolete): (Vec<_>, Vec<_>) =
            std::mem::take(&mut row.dispatches).into_iter().partition(|one| among(&wanted, one));
        let answered = if obsolete.is_empty() {
            Vec::new()
        } else {
            self.state.journal.withdraw(self.channel.name(), &obsolete)?
        };
        let numbered = kept.len();
        kept.extend(wanted.into_iter().filter(|one| !among(&kept, one)).collect::<Vec<_>>());
        let changed = kept.len() > numbered || answered.len() < obsolete.len();
        row.dispatches = kept;
        if changed {
            row.counts = self.counts(content, &row.outputs);
            add_answered(&mut row.counts, &row.key.id, &answered);
        }
        Ok((row, changed))
    }

    fn run_pipeline(&self, element: LockedElement, key: PreparedKey, content: Arc<Vec<u8>>, attempt: u32) -> Examined {
        // After the content was read: a plugin that was in the folder before the message was in the queue is known from here.
        if !self.pipeline.current().ensure() {
            return Examined::NotOurs;
        }
        let replaced = self.pipeline.replaced();
        let pipeline = self.pipeline.load();
        let name = element.name().to_string();
        // Without them a plugin assumes more than any channel adds; a fault of the keys is reported on sealing.
        let mut properties = self.sealing.current().map(|seal| seal.properties(&key.id)).unwrap_or_default();
        properties.extend(self.link.properties(&key.id));
        properties.push(("element".to_owned(), name.clone()));
        let input = Input {
            message_id: &key.id,
            destination: &self.settings.destination,
            content_type: None,
            signer: None,
            received_at: crate::channel::milliseconds(self.postponed.first_taken_up(&name)),
            attempt,
            transport_headers: &[],
            properties: &properties,
        };
        let work = match self.state.crashes.begin(self.channel.name(), &key.digest) {
            Ok(work) => work,
            Err(crashes) => {
                let refusal = Refusal::new(element, key, content, Code::CrashLoop, crashes.to_string());
                return Examined::Refused(refusal.by(pipeline.hash(), Vec::new()));
            }
        };
        let run = || pipeline.run_noting(&input, &content);
        let (outcome, answers) = self.meters.time(Step::Pipeline, content.len(), run);
        drop(work);
        let verdicts = self.meters.verdicts(&pipeline, &outcome, &answers);
        self.judge(outcome, Taken { element, key, content, attempt, replaced, pipeline: pipeline.hash(), verdicts })
    }

    /// What the pipeline's outcome means for an element.
    fn judge(&self, outcome: Outcome, taken: Taken<'_>) -> Examined {
        let name = taken.element.name().to_string();
        let (outputs, refused, findings) = match outcome {
            Outcome::Pass { outputs, refused, findings } => (outputs, refused, findings),
            Outcome::Retry { after, reason, plugin } => {
                return self.postpone(taken, after, format!("{plugin}: {reason}"));
            }
            Outcome::Failed { error, .. } => {
                return match error.blame {
                    Blame::Message => self.postpone(taken, None, error.to_string()),
                    Blame::Plugin => Examined::Postponed {
                        element: name,
                        attempt: 0,
                        after: None,
                        waits_for: WaitsFor::Plugin(taken.replaced),
                        reason: error.to_string(),
                    },
                    Blame::Nothing => Examined::NotOurs,
                };
            }
            Outcome::Dropped { finding, plugin } => {
                let Taken { element, key, pipeline, .. } = taken;
                return Examined::Dropped { element, key, finding, plugin, pipeline: pipeline.to_owned() };
            }
            Outcome::Invalid { findings, plugin } => {
                let Taken { element, key, content, pipeline, verdicts, .. } = taken;
                let why = format!("{plugin}: {}", summary(&findings));
                let refusal = Refusal::new(element, key, content, Code::PluginInvalid, why).found_by(plugin, findings);
                return Examined::Refused(refusal.by(pipeline, verdicts));
            }
        };
        let Taken { element, key, content, pipeline, verdicts, .. } = taken;
        crate::channel::log_findings(self.channel.name(), key.id.as_str(), &findings);
        let dispatches = self.dispatches(&key, &outputs);
        let counts = self.counts(&content, &outputs);
        let row = Row {
            key,
            element: name,
            outputs,
            pipeline: pipeline.to_owned(),
            attempts: 0,
            dispatches,
            counts,
            repeated: false,
        };
        if refused.is_empty() {
            return Examined::Ready { element, content, row, fresh: true, verdicts };
        }
        Examined::PartlyRefused { element, content, row, refused, verdicts }
    }

    /// Postpones an element, or refuses it after the last counted attempt.
    fn postpone(&self, taken: Taken<'_>, after: Option<Duration>, reason: String) -> Examined {
        let Taken { element, key, content, attempt, pipeline, verdicts, .. } = taken;
        if attempt >= self.settings.repetition.attempts {
            let why = format!("after {attempt} attempts: {reason}");
            let refusal = Refusal::new(element, key, content, Code::AttemptsExhausted, why);
            return Examined::Refused(refusal.by(pipeline, verdicts));
        }
        if let Err(error) = self.state.journal.count_attempts(self.channel.name(), &[key.digest]) {
            tracing::error!(channel = %self.channel, error = message::cause::chain(&error), "cannot write the journal");
        }
        let waits_for = WaitsFor::Attempt;
        Examined::Postponed { element: element.name().to_string(), attempt, after, waits_for, reason }
    }

    /// Whether messages are numbered, for their acknowledgements are wanted.
    fn numbers(&self) -> bool {
        self.retention.as_ref().is_some_and(|retention| retention.numbers())
    }

    /// What is sent of a message, if acknowledgements are wanted.
    fn dispatches(&self, key: &PreparedKey, outputs: &[Output]) -> Vec<Dispatch> {
        let Some(retention) = self.retention.as_ref().filter(|_| self.numbers()) else { return Vec::new() };
        let mut dispatches = Vec::with_capacity(outputs.len());
        for output in outputs {
            let id = output.part.map_or_else(|| key.id.clone(), |number| key.id.part(number));
            let digest = output.payload.as_deref().map_or(key.digest, content_digest);
            for destination in super::destinations(&self.settings, &output.routes) {
                let (id, destination) = (id.clone(), destination.to_string());
                dispatches.push(Dispatch { id, destination, digest, sequence: None, open: retention.requires() });
            }
        }
        dispatches
    }

    /// What is in each part that is sent.
    fn counts(&self, content: &[u8], outputs: &[Output]) -> Vec<SentCount> {
        if !self.settings.count_records {
            return Vec::new();
        }
        let of_output = |output: &Output| SentCount {
            part: output.part,
            destinations: super::destinations(&self.settings, &output.routes).iter().map(ToString::to_string).collect(),
            counted: counted(output.payload.as_deref().unwrap_or(content)),
        };
        outputs.iter().map(of_output).collect()
    }

    /// Makes the answers of the pipeline durable in one transaction, which also numbers what is to be sent.
    pub(super) fn record(&self, examined: &mut [Examined]) -> Result<(), JournalError> {
        let mut places: Vec<&mut Row> = examined.iter_mut().filter_map(Examined::unrecorded).collect();
        if places.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<Row> = places.iter().map(|row| (**row).clone()).collect();
        self.state.journal.record_prepared(self.channel.name(), &mut rows)?;
        for (place, row) in places.iter_mut().zip(rows) {
            place.dispatches = row.dispatches;
        }
        Ok(())
    }

    /// The message that goes out, once its row is durable.
    pub(super) fn prepared(
        &self,
        element: LockedElement,
        content: &Arc<Vec<u8>>,
        row: Row,
        verdicts: Vec<Verdict>,
    ) -> Prepared {
        let mut parts = Vec::new();
        for output in row.outputs {
            let id = output.part.map_or_else(|| row.key.id.clone(), |number| row.key.id.part(number));
            let payload = output.payload.map_or_else(|| Arc::clone(content), Arc::new);
            for destination in super::destinations(&self.settings, &output.routes) {
                let same = |sent: &&Dispatch| sent.id == id && *sent.destination == *destination;
                let dispatch = row.dispatches.iter().find(same);
                let open = dispatch.is_some_and(|sent| sent.open);
                let part = Part {
                    id: id.clone(),
                    destination,
                    sequence: dispatch.and_then(|sent| sent.sequence.clone()),
                    payload: Arc::clone(&payload),
                    content_type: output.content_type.clone(),
                    headers: output.headers.clone(),
                };
                parts.push((part, open));
            }
        }
        // A repeat goes only where an answer is missing. One that is awaited nowhere goes everywhere.
        if row.repeated && parts.iter().any(|(_, open)| *open) {
            parts.retain(|(_, open)| *open);
        }
        let parts: Vec<Part> = parts.into_iter().map(|(part, _)| part).collect();
        let bytes = parts.iter().map(|part| part.payload.len()).sum();
        let keep = self.retention.as_ref().is_some_and(|retention| row.repeated || retention.keeps(&parts));
        Prepared { element, key: row.key, parts, keep, bytes, verdicts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spool::journal::Counted;

    #[test]
    fn destinations_that_answered_stay_counted_in_their_part() {
        let id = MessageId::parse("a").unwrap();
        let count = |part, destinations: &[&str]| SentCount {
            part: Some(part),
            destinations: destinations.iter().map(|&to| to.to_owned()).collect(),
            counted: Counted { format: "job".to_owned(), sites: None },
        };
        let answered = |part, to: &str| {
            let (id, destination) = (id.part(part), to.to_owned());
            Dispatch { id, destination, digest: [0; 32], sequence: None, open: false }
        };
        let mut counts = vec![count(1, &["/queue/new"]), count(2, &["/queue/new"])];
        add_answered(&mut counts, &id, &[answered(1, "/queue/old"), answered(2, "/queue/new")]);
        assert_eq!(counts, [count(1, &["/queue/new", "/queue/old"]), count(2, &["/queue/new"])]);
    }
}
