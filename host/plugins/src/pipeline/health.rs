//! Whether the failure of a stage counts against the plugin or the message, and the breaker that pauses a channel.
//!
//! # Policy
//! - A stage *answers* with any verdict, including `retry`. A failure under `on-error = "reject"` or `"pass"` counts as an
//!   answer too: such a stage holds nothing up. While a stage works, a failure counts against its message, as an attempt. A
//!   stage works if it has answered for some message, and fewer than five different messages have failed since.
//! - The breaker opens when five different messages of the channel in a row fail in the same stage, with no answer in between
//!   and no message that bypassed the stage. A message does not count again if an attempt at it was counted before, or if
//!   it failed and the stage then answered for another: its failures count against it alone.
//! - While an open breaker rests, no stage of the pipeline is called, the channel pauses, and nothing counts against messages.
//!   After 1 s the channel is on probation: messages go through one at a time. The first answer closes the breaker; the
//!   failure of another message opens it again for twice as long, at most 1 min. The message that failed is deferred, so
//!   that another is next: a run of bad messages ahead of good ones does not stop the channel forever.
//! - This state belongs to one pipeline and is not stored: a plugin that is replaced or reconfigured starts healthy.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use message::locked;

use super::{Blame, Input};
use crate::instance::Fault;

/// Different messages in a row that open the breaker.
const RUN: usize = 5;
/// The first rest of an open breaker, and the longest.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Messages that are remembered; the breaker opens long before.
const REMEMBERED: usize = 256;
/// The last messages that failed before an answer: the cause is the message.
const SUSPECTS: usize = 4 * REMEMBERED;

/// The record of one stage.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    /// It answered for a message at least once.
    answered: bool,
    /// Different messages that failed since the last answer.
    failed: Vec<u64>,
    /// How many of them since a message last bypassed the stage.
    in_row: usize,
    /// Messages that failed before the last answer, the latest last.
    suspects: VecDeque<u64>,
    breaker: Option<Open>,
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// The failure that opened it last.
    pub(super) fault: Fault,
    pub(super) since: SystemTime,
    pub(super) until: Instant,
    rest: Duration,
}

/// Which message failed, and whether an attempt at it was counted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    message: u64,
    suspect: bool,
}

impl Failed {
    pub(super) fn of(input: &Input<'_>, payload: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        (input.message_id.as_str(), payload).hash(&mut hasher);
        Self { message: hasher.finish(), suspect: input.attempt > 1 }
    }
}

impl Health {
    fn record(&self) -> MutexGuard<'_, Record> {
        locked(&self.0)
    }

    /// Records that the stage answered for a message; true if that closed the breaker.
    pub(super) fn answered(&self) -> bool {
        let mut record = self.record();
        let Record { answered, failed, in_row, suspects, breaker } = &mut *record;
        *answered = true;
        *in_row = 0;
        suspects.extend(failed.drain(..));
        suspects.drain(..suspects.len().saturating_sub(SUSPECTS));
        breaker.take().is_some()
    }

    /// A message passed through the channel without a call of the stage.
    pub(super) fn bypassed(&self, now: Instant) {
        let mut record = self.record();
        if record.breaker.as_ref().is_none_or(|open| now >= open.until) {
            record.in_row = 0;
            record.breaker = None;
        }
    }

    /// Records that the stage could not answer for a message; returns what that counts against.
    pub(super) fn failed(&self, failed: Failed, fault: &Fault, now: Instant) -> Blame {
        let mut record = self.record();
        let Failed { message, suspect } = failed;
        let known = suspect || record.failed.contains(&message) || record.suspects.contains(&message);
        let rest = match &record.breaker {
            Some(open) if now < open.until => return Blame::Nothing,
            Some(open) => (open.rest * 2).min(LONGEST_REST),
            None => FIRST_REST,
        };
        if !known {
            record.in_row += 1;
            if record.failed.len() < REMEMBERED {
                record.failed.push(message);
            }
        }
        let since = record.breaker.as_ref().map(|open| open.since);
        if !known && (since.is_some() || record.in_row >= RUN) {
            let since = since.unwrap_or_else(SystemTime::now);
            record.breaker = Some(Open { fault: fault.clone(), since, until: now + rest, rest });
        }
        let works = record.answered && record.failed.len() < RUN && record.breaker.is_none();
        if works && fault.may_be_the_message() { Blame::Message } else { Blame::Plugin }
    }

    /// The open breaker, if it rests.
    pub(super) fn resting(&self, now: Instant) -> Option<Open> {
        self.record().breaker.as_ref().filter(|open| now < open.until).cloned()
    }

    /// Whether the breaker is open.
    pub(super) fn is_open(&self) -> bool {
        self.record().breaker.is_some()
    }

    /// Whether the stage failed for the last message it was called with.
    pub(super) fn is_doubtful(&self) -> bool {
        let record = self.record();
        record.breaker.is_some() || !record.failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: Fault = Fault::Stack;

    fn fresh(message: u64) -> Failed {
        Failed { message, suspect: false }
    }

    fn suspect(message: u64) -> Failed {
        Failed { message, suspect: true }
    }

    /// A stage that answered once and then failed for five messages at `now`.
    fn opened(now: Instant) -> Health {
        let health = Health::default();
        health.answered();
        (0..5).for_each(|message| {
            let _ = health.failed(fresh(message), &FAULT, now);
        });
        health
    }

    #[test]
    fn a_failure_counts_against_its_message_while_the_stage_answers_for_others() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!(health.failed(fresh(1), &FAULT, now), Blame::Plugin, "it never answered");
        health.answered();
        for attempt in 0..50 {
            assert_eq!(health.failed(suspect(1), &FAULT, now), Blame::Message, "attempt {attempt}");
        }
        assert_eq!(health.failed(fresh(2), &Fault::Broken("gone".into()), now), Blame::Plugin);
        assert!(!health.is_open());
    }

    #[test]
    fn five_messages_in_a_row_open_the_breaker_and_four_do_not() {
        let (health, now) = (Health::default(), Instant::now());
        health.answered();
        let blames: Vec<Blame> = (0..4).map(|message| health.failed(fresh(message), &FAULT, now)).collect();
        assert_eq!(blames, [Blame::Message; 4]);
        assert!(health.is_doubtful() && !health.is_open());
        (0..4).for_each(|message| {
            let _ = health.failed(fresh(message), &FAULT, now);
        });
        assert!(!health.is_open(), "the same four again");
        assert_eq!(health.failed(fresh(4), &FAULT, now), Blame::Plugin);
        assert!(health.resting(now).is_some());
    }

    #[test]
    fn an_answer_in_between_restarts_the_count() {
        let (health, now) = (Health::default(), Instant::now());
        for message in 0..100 {
            if message % 4 == 0 {
                assert!(!health.answered());
            }
            health.failed(fresh(message), &FAULT, now);
        }
        assert!(!health.is_open());
    }

    #[test]
    fn messages_that_bypass_the_stage_keep_the_channel_open() {
        let (health, now) = (Health::default(), Instant::now());
        for message in 0..100 {
            health.failed(fresh(message), &FAULT, now);
            health.bypassed(now);
        }
        assert!(!health.is_open());
        health.answered();
        (100..108).for_each(|message| {
            let _ = health.failed(fresh(message), &FAULT, now);
        });
        health.bypassed(now + FIRST_REST);
        assert_eq!(health.failed(fresh(108), &FAULT, now), Blame::Plugin, "it has not answered for long");
    }

    #[test]
    fn messages_that_failed_before_an_answer_count_against_themselves_only() {
        let now = Instant::now();
        let health = opened(now);
        let later = now + FIRST_REST;
        assert_eq!(health.failed(fresh(5), &FAULT, later), Blame::Plugin);
        assert!(health.answered());
        for message in (0..6).chain(0..6) {
            assert_eq!(health.failed(fresh(message), &FAULT, later), Blame::Message, "message {message}");
        }
        assert!(!health.is_doubtful());
        (6..11).for_each(|message| {
            let _ = health.failed(fresh(message), &FAULT, later);
        });
        assert!(health.is_open(), "five others");
    }

    #[test]
    fn the_latest_suspects_are_remembered() {
        let (health, now) = (Health::default(), Instant::now());
        for message in 0..2000 {
            health.failed(fresh(message), &FAULT, now);
            health.answered();
        }
        assert_eq!(health.record().suspects.len(), SUSPECTS);
        health.failed(fresh(1999), &FAULT, now);
        assert!(!health.is_doubtful());
        health.failed(fresh(0), &FAULT, now);
        assert!(health.is_doubtful());
    }

    #[test]
    fn nothing_counts_against_a_message_while_the_breaker_rests() {
        let now = Instant::now();
        let health = opened(now);
        for message in 10..100 {
            assert_eq!(health.failed(fresh(message), &FAULT, now + FIRST_REST / 2), Blame::Nothing);
        }
        assert!(health.resting(now + FIRST_REST / 2).is_some());
        assert!(health.resting(now + FIRST_REST).is_none() && health.is_open());
    }

    #[test]
    fn each_failure_on_probation_doubles_the_rest_up_to_a_minute() {
        let mut now = Instant::now();
        let health = opened(now);
        let since = health.resting(now).unwrap().since;
        let mut rests = Vec::new();
        for message in 10..18 {
            let open = health.resting(now).unwrap();
            assert_eq!(open.since, since);
            rests.push((open.until - now).as_secs());
            now = open.until;
            assert_eq!(health.failed(fresh(message), &FAULT, now), Blame::Plugin);
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_message_that_failed_before_does_not_open_the_breaker_again() {
        let now = Instant::now();
        let health = opened(now);
        let later = now + FIRST_REST;
        assert_eq!(health.failed(fresh(3), &FAULT, later), Blame::Plugin);
        assert_eq!(health.failed(suspect(77), &FAULT, later), Blame::Plugin);
        assert!(health.is_open() && health.resting(later).is_none());
    }

    #[test]
    fn the_first_answer_closes_the_breaker() {
        let now = Instant::now();
        let health = opened(now);
        assert!(health.answered());
        assert!(!health.is_open() && !health.is_doubtful());
        assert_eq!(health.failed(fresh(5), &FAULT, now), Blame::Message);
    }
}
