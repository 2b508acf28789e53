//! How many SENDs may be in flight, and which element it is that breaks the connection.
//!
//! A broker may refuse one message for good (too large, say) by an ERROR frame or by hanging up, which STOMP does not tie
//! to a frame. So the window is halved each time a connection breaks with SENDs in flight, and goes down to one SEND after
//! an ERROR frame, which is nearly always about one of them, until the element that was alone in flight is known. A known
//! suspect is sent after everything else that waits, and only when nothing else is in flight.
//!
//! # Policy
//! An element is refused after 3 failures with an ERROR frame or 8 plain breaks. Failures count only from when the broker
//! took something else of this channel after the first of them: if a broker refuses everything, the fault is the broker's,
//! and elements wait. That something is another message, or the probe that goes ahead of every try of a suspect
//! (`probe`), so that a message that is alone in its queue is refused too, within one run of `sesame send`.
//! An empty probe is not typical of messages: a full queue may take it and nothing else. So probes alone suffice
//! to refuse one element, and the next one only after the broker took a message.
//! Between its tries a suspect is held back, 1 s doubled up to 5 minutes; up to 4 s where the last probe was taken.
//!
//! A broker that answers each message (AMS) says which one it could not store, not whether that is the message's fault. Such
//! a failure counts against the element if the broker took another message since its first failure, or if the element is
//! near the broker's limit. It is refused after `attempts` of those. One near the limit is refused after three failures where
//! others are taken, for that is what a message that is too large looks like.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::channel::back_off;
use crate::config::Repetition;

/// Failures with an ERROR frame after which an element is refused.
const ERROR_FAILURES: u32 = 3;
/// Failures by a plain break of the connection after which an element is refused.
const BREAK_FAILURES: u32 = 8;
/// Tries that a sender makes of a suspect before it ends with the queue not empty.
const TRIES: u32 = 6;
/// The same where the broker takes the probe ahead of the suspect: until it is refused.
const PROBED_TRIES: u32 = BREAK_FAILURES + 1;
const FIRST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(300);
const LONGEST_PROBED_HOLD: Duration = Duration::from_secs(4);

/// How a connection ended while SENDs were in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The broker said ERROR and named the frame.
    Named,
    /// The broker said ERROR.
    Error,
    /// The connection broke without an ERROR frame.
    Break,
}

/// What to do with a suspect.
#[derive(Debug, PartialEq, Eq)]
pub enum Blame {
    /// No element is suspected; the window is smaller.
    Nothing,
    /// The element waits a while, then goes alone.
    Hold(String),
    /// The broker will not take the element: it goes to the reject queue.
    Refuse(String),
}

/// What a failure to store an element means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unstored {
    /// How often it failed.
    pub failures: u32,
    /// It counts as an attempt.
    pub counts: bool,
    /// The element will never be stored.
    pub hopeless: bool,
}

#[derive(Debug)]
struct Suspect {
    failures: u32,
    weight: u32,
    receipts_at_first: u64,
    messages_at_first: u64,
    /// The broker took a probe right before the last try.
    probed: bool,
    until: Instant,
}

/// The window of one channel.
#[derive(Debug)]
pub struct Window {
    max: usize,
    size: usize,
    in_row: usize,
    receipts: u64,
    /// Receipts of messages, those of probes not counted.
    messages: u64,
    /// An element was refused because of probes alone since the last receipt of a message.
    probes_spent: bool,
    suspects: HashMap<String, Suspect>,
}

impl Window {
    /// A window of at most `max` SENDs, at least one.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { max, size: max, in_row: 0, receipts: 0, messages: 0, probes_spent: false, suspects: HashMap::new() }
    }

    /// How many SENDs may be in flight now.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many messages and probes the broker took.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.receipts
    }

    /// Whether `element` is to be sent only when nothing else is in flight.
    #[must_use]
    pub fn goes_alone(&self, element: &str) -> bool {
        self.suspects.contains_key(element)
    }

    /// Whether there is any element that is to go alone.
    #[must_use]
    pub fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Whether `element` is held back at `now`.
    #[must_use]
    pub fn holds(&self, element: &str, now: Instant) -> bool {
        self.suspects.get(element).is_some_and(|suspect| now < suspect.until)
    }

    /// The elements held back at `now`.
    pub fn held(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.suspects.iter().filter(move |(_, s)| now < s.until).map(|(name, _)| name.as_str())
    }

    /// When the next of those held back at `now` may go.
    #[must_use]
    pub fn next_release(&self, now: Instant) -> Option<Instant> {
        self.suspects.values().map(|suspect| suspect.until).filter(|until| now < *until).min()
    }

    /// When the next suspect with tries left may be sent again, if that is after `now`. One that failed six times while the
    /// broker took nothing else is left for later.
    #[must_use]
    pub fn next_retry(&self, now: Instant) -> Option<Instant> {
        self.suspects
            .values()
            .filter(|suspect| suspect.failures < if suspect.probed { PROBED_TRIES } else { TRIES })
            .filter(|suspect| suspect.until > now)
            .map(|suspect| suspect.until)
            .min()
    }

    /// A RECEIPT came for `element`.
    pub fn receipt(&mut self, element: &str) {
        self.receipts += 1;
        self.messages += 1;
        self.probes_spent = false;
        self.suspects.remove(element);
        self.in_row += 1;
        if self.size < self.max && self.in_row >= self.size {
            self.size = (self.size * 2).min(self.max);
            self.in_row = 0;
        }
    }

    /// A probe goes ahead of the suspect `element`. Where the session ends over the probe, other suspects come first.
    pub fn probe_sent(&mut self, element: &str, now: Instant) {
        if let Some(suspect) = self.suspects.get_mut(element) {
            suspect.until = now + LONGEST_PROBED_HOLD;
        }
    }

    /// The broker took the probe that went ahead of the suspect `element`.
    pub fn probe_taken(&mut self, element: &str) {
        self.receipts += 1;
        if let Some(suspect) = self.suspects.get_mut(element) {
            suspect.probed = true;
        }
    }

    /// The broker refused `element` by name, or the connection ended with the elements `in_flight`.
    pub fn broke(&mut self, in_flight: &[String], ending: Ending, now: Instant) -> Blame {
        self.in_row = 0;
        match in_flight {
            [] => Blame::Nothing,
            [one] => self.blame(one, ending, now),
            several => {
                let size = if ending == Ending::Error { 1 } else { several.len() / 2 };
                self.size = size.clamp(1, self.max);
                Blame::Nothing
            }
        }
    }

    /// The broker could not store `element`, which is `near_limit` or not.
    pub fn not_stored(&mut self, element: &str, near_limit: bool, repetition: &Repetition, now: Instant) -> Unstored {
        let messages = self.messages;
        let suspect = self.suspect(element, now);
        suspect.failures += 1;
        let failures = suspect.failures;
        let others_pass = messages > suspect.messages_at_first;
        let hold = match failures.checked_sub(TRIES) {
            None | Some(0) => FIRST_HOLD.saturating_mul(1 << (failures - 1)),
            Some(later) => back_off(repetition, later),
        };
        suspect.until = now + hold;
        Unstored {
            failures,
            counts: near_limit || others_pass,
            hopeless: near_limit && others_pass && failures >= ERROR_FAILURES,
        }
    }

    /// Forgets an element that is gone.
    pub fn forget(&mut self, element: &str) {
        self.suspects.remove(element);
    }

    fn suspect(&mut self, element: &str, now: Instant) -> &mut Suspect {
        let (receipts, messages) = (self.receipts, self.messages);
        self.suspects.entry(element.to_owned()).or_insert(Suspect {
            failures: 0,
            weight: 0,
            receipts_at_first: receipts,
            messages_at_first: messages,
            probed: false,
            until: now,
        })
    }

    fn blame(&mut self, element: &str, ending: Ending, now: Instant) -> Blame {
        let (receipts, messages) = (self.receipts, self.messages);
        let suspect = self.suspect(element, now);
        suspect.failures += 1;
        let weight = if ending == Ending::Break { ERROR_FAILURES } else { BREAK_FAILURES };
        let others_pass = receipts > suspect.receipts_at_first;
        suspect.weight = if others_pass { suspect.weight + weight } else { weight };
        let quick = suspect.probed && suspect.failures <= BREAK_FAILURES;
        let longest = if quick { LONGEST_PROBED_HOLD } else { LONGEST_HOLD };
        let hold = FIRST_HOLD.saturating_mul(1 << (suspect.failures - 1).min(16)).min(longest);
        suspect.until = now + hold;
        let failed_enough = suspect.weight >= ERROR_FAILURES * BREAK_FAILURES;
        let by_message = messages > suspect.messages_at_first;
        if failed_enough && others_pass && (by_message || !self.probes_spent) {
            self.probes_spent |= !by_message;
            return Blame::Refuse(element.to_owned());
        }
        Blame::Hold(element.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|n| n.to_string()).collect()
    }

    #[test]
    fn halves_until_the_culprit_is_alone() {
        let mut window = Window::new(64);
        let now = Instant::now();
        let mut reconnects = 0;
        while window.size() > 1 {
            let flight = names(0..u32::try_from(window.size()).unwrap());
            assert_eq!(window.broke(&flight, Ending::Break, now), Blame::Nothing);
            reconnects += 1;
        }
        assert_eq!(reconnects, 6);
        assert_eq!(window.broke(&names(3..4), Ending::Error, now), Blame::Hold("3".into()));
        assert!(window.goes_alone("3") && window.holds("3", now));
    }

    #[test]
    fn an_error_frame_leaves_one_send_at_a_time() {
        let mut window = Window::new(64);
        assert_eq!(window.broke(&names(0..40), Ending::Error, Instant::now()), Blame::Nothing);
        assert_eq!(window.size(), 1);
    }

    #[test]
    fn refuses_a_culprit_only_when_others_pass() {
        let mut window = Window::new(1);
        let now = Instant::now();
        let bad = names(7..8);
        for _ in 0..10 {
            assert_eq!(window.broke(&bad, Ending::Error, now), Blame::Hold("7".into()));
        }
        window.receipt("8");
        assert_eq!(
            window.broke(&bad, Ending::Error, now),
            Blame::Hold("7".into()),
            "what it failed before proves nothing"
        );
        assert_eq!(window.broke(&bad, Ending::Named, now), Blame::Refuse("7".into()));
    }

    #[test]
    fn a_plain_break_takes_eight_failures() {
        let mut window = Window::new(1);
        let now = Instant::now();
        let bad = names(7..8);
        window.broke(&bad, Ending::Break, now);
        window.receipt("8");
        for _ in 0..6 {
            assert_eq!(window.broke(&bad, Ending::Break, now), Blame::Hold("7".into()));
        }
        assert_eq!(window.broke(&bad, Ending::Break, now), Blame::Refuse("7".into()));
    }

    #[test]
    fn a_message_alone_in_its_queue_is_refused_where_probes_pass() {
        for (ending, failures) in [(Ending::Named, 3), (Ending::Error, 3), (Ending::Break, 8)] {
            let mut window = Window::new(1);
            let (mut now, mut tries, bad) = (Instant::now(), 1, names(7..8));
            let begun = now;
            while window.broke(&bad, ending, now) == Blame::Hold("7".into()) {
                now = window.next_retry(now).expect("it is tried again");
                window.probe_taken("7");
                tries += 1;
            }
            assert_eq!(tries, failures, "{ending:?}");
            assert!(now - begun <= Duration::from_secs(31), "{ending:?}: {:?}", now - begun);
        }
    }

    #[test]
    fn probes_alone_suffice_to_refuse_one_element_until_a_message_is_taken() {
        let mut window = Window::new(1);
        let now = Instant::now();
        let refused = |window: &mut Window, name: &str| {
            (0..20).any(|_| {
                window.probe_taken(name);
                window.broke(&[name.to_owned()], Ending::Break, now) == Blame::Refuse(name.to_owned())
            })
        };
        assert!(refused(&mut window, "a"));
        window.forget("a");
        assert!(!refused(&mut window, "b"), "a queue that is full takes probes too");
        window.receipt("c");
        assert!(refused(&mut window, "b"));
    }

    #[test]
    fn a_suspect_whose_probe_ends_the_session_lets_others_go_first() {
        let mut window = Window::new(1);
        let now = Instant::now();
        window.broke(&names(7..8), Ending::Break, now);
        let later = now + Duration::from_secs(60);
        assert!(!window.holds("7", later));
        window.probe_sent("7", later);
        assert!(window.holds("7", later));
    }

    #[test]
    fn is_not_retried_without_end_where_the_broker_takes_nothing_else() {
        let mut window = Window::new(1);
        let (now, bad) = (Instant::now(), names(7..8));
        for _ in 0..6 {
            assert_eq!(window.broke(&bad, Ending::Error, now), Blame::Hold("7".into()));
        }
        assert_eq!(window.next_retry(now), None);
    }

    #[test]
    fn what_cannot_be_stored_counts_only_while_others_are_taken() {
        let mut window = Window::new(4);
        let (now, repetition) = (Instant::now(), Repetition::default());
        let counts = |window: &mut Window| window.not_stored("7", false, &repetition, now).counts;
        assert!((0..20).all(|_| !counts(&mut window)), "server trouble counts against no message");
        window.receipt("8");
        assert!(counts(&mut window) && window.goes_alone("7") && window.holds("7", now));
        window.receipt("7");
        assert!(!counts(&mut window), "it was stored meanwhile");
    }

    #[test]
    fn what_is_near_the_limit_is_never_tried_without_end() {
        let mut window = Window::new(4);
        let (now, repetition) = (Instant::now(), Repetition::default());
        let fails = |window: &mut Window| window.not_stored("7", true, &repetition, now);
        assert_eq!(fails(&mut window), Unstored { failures: 1, counts: true, hopeless: false });
        window.receipt("8");
        assert!(!fails(&mut window).hopeless, "trouble may pass");
        assert!(fails(&mut window).hopeless);
    }

    #[test]
    fn grows_again_with_receipts() {
        let mut window = Window::new(8);
        window.broke(&names(0..2), Ending::Break, Instant::now());
        assert_eq!(window.size(), 1);
        for n in 0..7 {
            window.receipt(&n.to_string());
        }
        assert_eq!(window.size(), 8);
    }
}
