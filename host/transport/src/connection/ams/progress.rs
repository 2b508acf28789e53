//! How far a subscription was received: gaps, and other programs that take part of its messages.
//!
//! AMS moves a subscription on without a word when it deletes old messages, and lets several programs pull from one
//! subscription, each of which gets a part of the messages. Both show in the offsets only.

use std::fmt;
use std::time::{Duration, Instant};

use crate::connection::bookmark::{Bookmark, Position, PositionError};
use ams::Offsets;
use message::cause::chain;

/// What lasts is said again after this long.
pub(super) const SAY_AGAIN: Duration = Duration::from_secs(300);

/// Messages that were not received: from the first to the last offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    first: u64,
    last: u64,
}

impl Gap {
    pub(super) fn messages(self) -> u64 {
        self.last - self.first + 1
    }
}

/// Why messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// AMS keeps messages for some time only.
    Deleted,
    /// They are still there, and the subscription is beyond them.
    PassedOver,
    /// The one message that held it up was passed over.
    WasBlocked,
    /// AMS did not say which messages it keeps.
    Unknown,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "AMS deleted them, as it keeps messages for a limited time",
            Self::PassedOver => "another program acknowledged them, or the offset of the subscription was moved on",
            Self::WasBlocked => "the offset was moved past a message that held up the subscription",
            Self::Unknown => "AMS deleted them, or another program acknowledged them",
        })
    }
}

/// How far a subscription is.
#[derive(Debug)]
pub(super) struct Progress {
    /// Where it is kept across restarts.
    bookmark: Bookmark,
    subscription: String,
    source: String,
    position: Position,
    /// One beyond the last message that AMS confirmed in this session.
    acknowledged: Option<u64>,
    /// The message that holds up the subscription.
    blocked: Option<u64>,
    others: Others,
}

impl Progress {
    /// Reads how far it was.
    pub(super) async fn load(bookmark: Bookmark, place: &str, subscription: &str) -> Self {
        let source = format!("{place}/{subscription}");
        let found = bookmark.load(source.clone()).await;
        let position = found.unwrap_or_else(|error| {
            tracing::error!(channel = bookmark.channel(), error = chain(error.as_ref()), "cannot read the journal");
            None
        });
        Self {
            subscription: subscription.to_owned(),
            source,
            position: position.unwrap_or_default(),
            acknowledged: None,
            blocked: None,
            others: Others::default(),
            bookmark,
        }
    }

    /// Whether the message at `offset` may have been delivered before.
    pub(super) fn is_again(&self, offset: u64) -> bool {
        offset < self.position.delivered
    }

    /// What is missing before and among these offsets, which rise. What comes from there on is expected.
    pub(super) fn look(&mut self, offsets: &[u64]) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let Some(mut expected) = self.position.next else { return gaps };
        for &offset in offsets {
            if offset > expected {
                gaps.push(Gap { first: expected, last: offset - 1 });
                self.position.next = Some(offset);
            }
            expected = offset + 1;
        }
        self.position.missing += gaps.iter().map(|gap| gap.messages()).sum::<u64>();
        gaps
    }

    /// Logs that messages come again that AMS had confirmed as acknowledged.
    pub(super) fn look_back(&mut self, first: u64) {
        if let Some(acknowledged) = self.acknowledged.take()
            && first < acknowledged
        {
            tracing::info!(
                channel = self.bookmark.channel(), subscription = %self.subscription, first, acknowledged,
                "the offset of the subscription was moved back; its messages are received again",
            );
        }
    }

    /// Logs gaps. `offsets`: what AMS keeps, if it said so.
    pub(super) fn report(&mut self, gaps: &[Gap], offsets: Option<Offsets>) {
        for gap in gaps {
            let why = match offsets {
                Some(offsets) if offsets.min > gap.first => Why::Deleted,
                Some(_) if self.blocked == Some(gap.first) && gap.messages() == 1 => Why::WasBlocked,
                Some(_) => Why::PassedOver,
                None => Why::Unknown,
            };
            let mut said = (*gap, gap.messages());
            if why == Why::PassedOver {
                self.another_program("it acknowledged messages that were not delivered to us");
                // With a second program every pull may show one.
                let Some(all) = self.others.passed_over(*gap, Instant::now()) else { continue };
                said = all;
            }
            let (Gap { first, last }, messages) = said;
            tracing::error!(
                channel = self.bookmark.channel(), subscription = %self.subscription, first, last, messages,
                total = self.position.missing, reason = %why, "messages of the subscription are missing",
            );
        }
        self.blocked = None;
    }

    /// Notes, before they are handed on, that the messages up to this one were delivered.
    pub(super) async fn deliver(&mut self, last: u64) {
        self.position.delivered = self.position.delivered.max(last + 1);
        let noted = self.bookmark.note(self.source.clone(), self.position).await;
        self.say(noted);
    }

    /// Records, before it is acknowledged, that all up to this one is durable.
    pub(super) async fn store(&mut self, last: u64) {
        self.position.next = Some(last + 1);
        let recorded = self.bookmark.record(self.source.clone(), self.position).await;
        self.say(recorded);
    }

    /// AMS confirmed the acknowledgement of all up to this one.
    pub(super) fn confirmed(&mut self, last: u64) {
        self.acknowledged = Some(last + 1);
    }

    /// The message at this offset holds up the subscription; true if that was not known.
    pub(super) fn is_blocked_at(&mut self, offset: Option<u64>) -> bool {
        let new = self.blocked != offset;
        self.blocked = offset;
        new
    }

    /// Logs, from time to time, that another program takes part.
    pub(super) fn another_program(&mut self, sign: &str) {
        if self.others.is_to_be_said(Instant::now()) {
            tracing::warn!(
                channel = self.bookmark.channel(), subscription = %self.subscription, sign,
                "another program pulls from this subscription, so that some messages reach only one of the two: stop the \
                 other one, or give it a subscription of its own",
            );
        }
    }

    /// The channel.
    pub(super) fn channel(&self) -> &str {
        self.bookmark.channel()
    }

    fn say(&self, written: Result<(), PositionError>) {
        if let Err(error) = written {
            tracing::error!(
                channel = self.bookmark.channel(),
                error = chain(error.as_ref()),
                "cannot write the journal"
            );
        }
    }
}

/// Signs that another program pulls from the subscription, and what was said of it.
#[derive(Debug, Default)]
struct Others {
    /// When the last sign was seen.
    seen: Option<Instant>,
    /// When it was said.
    said: Option<Instant>,
    /// The first message that was passed over and is in no line yet, and how many there are.
    passed: Option<(u64, u64)>,
    /// When the last line about them was.
    logged: Option<Instant>,
}

impl Others {
    /// One sign may come from an administrator who moved the offset, or from a request of our own that came late; a second
    /// one soon after may not.
    fn is_to_be_said(&mut self, now: Instant) -> bool {
        let recent = |then: Option<Instant>| then.is_some_and(|then| now.duration_since(then) < SAY_AGAIN);
        let second = recent(self.seen.replace(now));
        if !second || recent(self.said) {
            return false;
        }
        self.said = Some(now);
        true
    }

    /// Adds messages that were passed over; gives their range and number if a line is due.
    fn passed_over(&mut self, gap: Gap, now: Instant) -> Option<(Gap, u64)> {
        let (first, messages) = self.passed.unwrap_or((gap.first, 0));
        let messages = messages + gap.messages();
        if self.logged.is_some_and(|then| now.duration_since(then) < SAY_AGAIN) {
            self.passed = Some((first, messages));
            return None;
        }
        (self.passed, self.logged) = (None, Some(now));
        Some((Gap { first: first.min(gap.first), last: gap.last }, messages))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use message::locked;

    use super::*;
    use crate::Positions;

    /// Keeps the position of one source.
    #[derive(Debug, Default)]
    struct Memory(Mutex<Option<Position>>);

    impl Positions for Memory {
        fn load(&self, _: &str) -> Result<Option<Position>, PositionError> {
            Ok(*locked(&self.0))
        }

        fn note(&self, source: &str, position: &Position) -> Result<(), PositionError> {
            self.record(source, position)
        }

        fn record(&self, _: &str, position: &Position) -> Result<(), PositionError> {
            *locked(&self.0) = Some(*position);
            Ok(())
        }
    }

    async fn progress(memory: &Arc<Memory>) -> Progress {
        Progress::load(Bookmark::new(Arc::clone(memory) as _, "central"), "ams.example.org/accounting", "s").await
    }

    #[tokio::test]
    async fn a_gap_is_seen_across_a_restart_and_once() {
        let journal = Arc::new(Memory::default());
        let mut first = progress(&journal).await;
        assert_eq!((first.look(&[40, 41]), first.is_again(40)), (vec![], false), "the first run knows nothing");
        first.deliver(41).await;
        first.store(40).await;
        let mut second = progress(&journal).await;
        assert_eq!((second.is_again(40), second.is_again(41), second.is_again(42)), (true, true, false));
        assert_eq!(second.look(&[41, 42]), []);
        assert_eq!(second.look(&[50, 51, 60]), [Gap { first: 41, last: 49 }, Gap { first: 52, last: 59 }]);
        assert_eq!((second.look(&[60, 61]), second.position.missing), (vec![], 17));
        second.store(61).await;
        let mut third = progress(&journal).await;
        assert_eq!((third.look(&[10, 11]), third.position.missing), (vec![], 17), "an operator replays");
        third.store(11).await;
        assert_eq!(third.look(&[13]), [Gap { first: 12, last: 12 }]);
    }

    #[test]
    fn another_program_is_said_at_its_second_sign_and_seldom() {
        let mut others = Others::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let said: Vec<u64> = (0..700).step_by(10).filter(|&second| others.is_to_be_said(at(second))).collect();
        assert_eq!(said, [10, 310, 610]);
        assert!(!others.is_to_be_said(at(5000)), "the next one may be an administrator");
    }

    #[test]
    fn what_is_passed_over_again_and_again_is_added_up() {
        let mut others = Others::default();
        let begin = Instant::now();
        let mut at =
            |seconds, first, last| others.passed_over(Gap { first, last }, begin + Duration::from_secs(seconds));
        assert_eq!(at(0, 5, 9), Some((Gap { first: 5, last: 9 }, 5)));
        assert_eq!((at(1, 20, 29), at(2, 40, 49)), (None, None));
        assert_eq!(at(301, 60, 69), Some((Gap { first: 20, last: 69 }, 30)));
    }
}
