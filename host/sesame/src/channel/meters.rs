//! What is counted of the messages of a channel, while they pass. The service shows it as metrics.
//!
//! A channel gets its [`Meters`] once, from the [`Registry`](super::Registry), and keeps them over reloads: counting looks
//! nothing up. What a message costs here are a few relaxed additions, whether anyone reads them or not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use message::code::Entry;
use message::{Code, Direction, Fate, locked};
use observe::overview::{Event, Verdict};
use observe::{Counter, Events, Histogram, Level};
use plugins::{Answers, Outcome, Pipeline};

/// Signers of a channel that are counted each for itself; the others are counted together.
pub(crate) const MOST_SIGNERS: usize = 1000;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The bounds for the time of a step.
static STEPS: [Duration; 12] = [
    Duration::from_micros(100),
    Duration::from_micros(500),
    ms(1),
    ms(5),
    ms(10),
    ms(50),
    ms(100),
    ms(500),
    ms(1_000),
    ms(5_000),
    ms(10_000),
    ms(60_000),
];

/// The bounds for the age of a message: from a moment to the weeks of an outage.
static AGES: [Duration; 10] = [
    ms(1_000),
    ms(10_000),
    ms(60_000),
    ms(600_000),
    ms(3_600_000),
    ms(6 * 3_600_000),
    ms(24 * 3_600_000),
    ms(3 * 24 * 3_600_000),
    ms(7 * 24 * 3_600_000),
    ms(30 * 24 * 3_600_000),
];

/// A step of a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An element is locked and read.
    Lock,
    /// The plugins.
    Pipeline,
    /// Signed and encrypted.
    Seal,
    /// Handed to the connection.
    Send,
    /// Until the broker confirms it.
    Receipt,
    /// A delivery waits for a free thread.
    Receive,
    /// Decrypted and verified.
    Open,
    /// The signer is looked up.
    Authorise,
    /// Until it is durable.
    Commit,
}

impl Step {
    /// The steps of a channel, in their order.
    pub(crate) const fn of(direction: Direction) -> &'static [Self] {
        match direction {
            Direction::Outbound => &[Self::Lock, Self::Pipeline, Self::Seal, Self::Send, Self::Receipt],
            Direction::Inbound => &[Self::Receive, Self::Open, Self::Authorise, Self::Pipeline, Self::Commit],
        }
    }

    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Pipeline => "pipeline",
            Self::Seal => "seal",
            Self::Send => "send",
            Self::Receipt => "receipt",
            Self::Receive => "receive",
            Self::Open => "open",
            Self::Authorise => "authorise",
            Self::Commit => "commit",
        }
    }
}

const ALL_STEPS: usize = Step::Commit as usize + 1;

/// What is counted of one step.
#[derive(Debug)]
pub(crate) struct StepMeter {
    /// How long it took, once for each message or part.
    pub(crate) times: Histogram,
    /// Bytes that went through it.
    pub(crate) bytes: Counter,
}

/// What is counted of a channel.
#[derive(Debug)]
pub struct Meters {
    steps: [StepMeter; ALL_STEPS],
    /// Messages that were taken up and are not done.
    pub(crate) in_flight: Level,
    /// How long messages had waited when the broker confirmed them.
    pub(crate) ages: Histogram,
    fates: [Counter; Fate::ALL.len()],
    /// By the place in [`Code::ALL`].
    codes: Vec<Counter>,
    /// Deliveries that the broker marked as delivered before.
    pub(crate) redelivered: Counter,
    signers: Mutex<Signers>,
    recalled: AtomicBool,
    events: Arc<Events>,
}

/// When each signer was last heard.
#[derive(Debug, Default)]
struct Signers {
    each: HashMap<String, SystemTime>,
    others: Option<SystemTime>,
}

impl Default for Meters {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Meters {
    /// Counters at zero, whose channel says what became of its messages in `events`.
    #[must_use]
    pub fn new(events: Arc<Events>) -> Self {
        Self {
            steps: std::array::from_fn(|_| StepMeter { times: Histogram::new(&STEPS), bytes: Counter::default() }),
            in_flight: Level::default(),
            ages: Histogram::new(&AGES),
            fates: std::array::from_fn(|_| Counter::default()),
            codes: Code::ALL.iter().map(|_| Counter::default()).collect(),
            redelivered: Counter::default(),
            signers: Mutex::default(),
            recalled: AtomicBool::new(false),
            events,
        }
    }

    /// Says what became of a message, if that is for anyone.
    pub(crate) fn tell(&self, fate: Fate, event: impl FnOnce() -> Event) {
        if self.events.wants(fate) {
            self.events.publish(fate, event());
        }
    }

    /// Whether anyone watches the messages as they pass.
    pub(crate) fn are_watched(&self) -> bool {
        self.events.are_watched()
    }

    /// What each plugin answered for a message, if anyone watches or it does not simply pass.
    pub(crate) fn verdicts(&self, pipeline: &Pipeline, outcome: &Outcome, answers: &Answers) -> Vec<Verdict> {
        let passes = matches!(outcome, Outcome::Pass { refused, .. } if refused.is_empty());
        if passes && !self.are_watched() {
            return Vec::new();
        }
        let words = pipeline.words(answers);
        words.map(|(plugin, answer)| Verdict { plugin: plugin.to_owned(), answer: answer.to_owned() }).collect()
    }

    /// A message, or a part of one, went through a step that `began` then.
    pub(crate) fn passed(&self, step: Step, bytes: usize, began: Instant) {
        if let Some(meter) = self.steps.get(step as usize) {
            meter.times.observe_since(began);
            meter.bytes.add(bytes as u64);
        }
    }

    /// Does a step, and counts it.
    pub(crate) fn time<T>(&self, step: Step, bytes: usize, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.passed(step, bytes, began);
        done
    }

    /// Waits for a step, and counts it if it succeeds.
    pub(crate) async fn wait<T, E>(
        &self,
        step: Step,
        bytes: usize,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let done = work.await?;
        self.passed(step, bytes, began);
        Ok(done)
    }

    /// What was counted of a step.
    pub(crate) fn step(&self, step: Step) -> Option<&StepMeter> {
        self.steps.get(step as usize)
    }

    /// Something became of a message; a rejection has a code.
    pub(crate) fn fate(&self, fate: Fate, code: Option<Code>) {
        self.fates_of(1, fate, code);
    }

    /// The same became of so many messages.
    pub(crate) fn fates_of(&self, messages: usize, fate: Fate, code: Option<Code>) {
        let at = match code.filter(|_| fate == Fate::Rejected) {
            Some(code) => Code::ALL.iter().position(|known| *known == code).and_then(|at| self.codes.get(at)),
            None => Fate::ALL.iter().position(|known| *known == fate).and_then(|at| self.fates.get(at)),
        };
        if let Some(counter) = at {
            counter.add(messages as u64);
        }
    }

    /// How often each fate of a direction was met, with its code: every fate that is not a rejection, and every code, those
    /// that were not met yet too. A counter that begins above zero has an increase that no one sees.
    pub(crate) fn fates(&self, direction: Direction) -> impl Iterator<Item = (Fate, &'static str, u64)> {
        let fates = Fate::ALL.into_iter().zip(&self.fates);
        let fates = fates.filter(move |(fate, _)| *fate != Fate::Rejected && fate.is_of(direction));
        let codes = Code::ALL.iter().map(|code| code.entry()).zip(&self.codes);
        let expected = move |entry: &Entry| entry.disposition == Fate::Rejected && entry.side.is_of(direction);
        let codes = codes.filter(move |(entry, counter)| expected(entry) || counter.get() > 0);
        let fates = fates.map(|(fate, counter)| (fate, "", counter.get()));
        fates.chain(codes.map(|(entry, counter)| (Fate::Rejected, entry.code, counter.get())))
    }

    /// A message of this signer came then.
    pub fn heard(&self, signer: &str, at: SystemTime) {
        let mut signers = locked(&self.signers);
        let room = signers.each.len() < MOST_SIGNERS;
        match signers.each.get_mut(signer) {
            Some(last) => *last = at.max(*last),
            None if room => _ = signers.each.insert(signer.to_owned(), at),
            None => signers.others = signers.others.max(Some(at)),
        }
    }

    /// Whether the signers of messages before this start are still to be added.
    pub(crate) fn recalls(&self) -> bool {
        !self.recalled.load(Ordering::Relaxed)
    }

    /// These signers were added.
    pub(crate) fn recalled(&self) {
        self.recalled.store(true, Ordering::Relaxed);
    }

    /// When each signer was last heard, and when the last of those that found no room was.
    pub(crate) fn signers(&self) -> (Vec<(String, SystemTime)>, Option<SystemTime>) {
        let signers = locked(&self.signers);
        let mut each: Vec<_> = signers.each.iter().map(|(name, at)| (name.clone(), *at)).collect();
        let others = signers.others;
        drop(signers);
        each.sort();
        (each, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_step_counts_messages_bytes_and_time() {
        let meters = Meters::default();
        assert_eq!(meters.time(Step::Seal, 10, || 7), 7);
        meters.passed(Step::Seal, 5, Instant::now() - ms(20));
        let seal = meters.step(Step::Seal).unwrap();
        let times = seal.times.distribution();
        assert_eq!((times.count, seal.bytes.get()), (2, 15));
        assert!(times.sum >= 0.02 && times.sum < 10.0, "{}", times.sum);
        for step in Step::of(Direction::Outbound).iter().chain(Step::of(Direction::Inbound)) {
            let others = meters.step(*step).unwrap().times.distribution().count;
            assert_eq!(others, if *step == Step::Seal { 2 } else { 0 }, "{step:?}");
        }
    }

    #[test]
    fn rejections_are_counted_by_code_and_all_that_may_be_met_are_there_from_the_start() {
        let meters = Meters::default();
        meters.fate(Fate::Sent, None);
        meters.fate(Fate::Sent, None);
        meters.fate(Fate::Rejected, Some(Code::Empty));
        let found: Vec<_> = meters.fates(Direction::Outbound).collect();
        for expected in
            [(Fate::Sent, "", 2), (Fate::Waiting, "", 0), (Fate::Rejected, "empty", 1), (Fate::Rejected, "not-text", 0)]
        {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        let others = ["unlisted", "crl-stale"];
        assert!(!found.iter().any(|(fate, code, _)| *fate == Fate::Stored || others.contains(code)), "{found:?}");
        let rejected: u64 = found.iter().filter(|(fate, ..)| *fate == Fate::Rejected).map(|(.., count)| count).sum();
        assert_eq!(rejected, 1);
    }

    #[test]
    fn signers_beyond_the_most_are_one() {
        let meters = Meters::default();
        for number in 0..MOST_SIGNERS + 10 {
            meters.heard(&format!("/CN={number}"), at(number as u64));
        }
        meters.heard("/CN=0", at(5_000));
        meters.heard("/CN=0", at(4_000));
        let (each, others) = meters.signers();
        assert_eq!((each.len(), others), (MOST_SIGNERS, Some(at(1_009))));
        assert_eq!(each[0], ("/CN=0".to_owned(), at(5_000)));
    }
}
