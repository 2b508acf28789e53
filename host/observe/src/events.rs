//! What became of messages, for those who watch: each listener gets the events as they happen, and the last ones that are no
//! success are kept for those who ask later.
//!
//! # Limits
//! [`Events::publish`] waits for no listener. A listener that is slower than the messages misses some, and its next event
//! says how many. Texts are cut, so that [`CAPACITY`] events need little memory whatever peers send.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use message::{Fate, locked};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::overview::Event;

/// Events that wait for the slowest listener; it misses those before.
const CAPACITY: usize = 1024;
/// Events that are kept of messages that came to an end without success, and as many of those that wait.
const KEPT: usize = 100;
/// The longest reason, in bytes.
const LONGEST_REASON: usize = 4 << 10;
/// The longest other text, in bytes.
const LONGEST_TEXT: usize = 1 << 10;
/// The most headers of an event, and the most verdicts.
const MOST: usize = 64;
/// The size of all headers of an event, in bytes.
const ALL_HEADERS: usize = 8 << 10;

/// The events of a process.
#[derive(Debug)]
pub struct Events {
    to: broadcast::Sender<Arc<Event>>,
    listening: AtomicUsize,
    kept: Mutex<Kept>,
}

/// The last events that are no success. Those who wait are apart: many of them, again and again, push no rejection out.
#[derive(Debug, Default)]
struct Kept {
    ended: VecDeque<Arc<Event>>,
    waiting: VecDeque<Arc<Event>>,
}

impl Kept {
    fn add(&mut self, fate: Fate, event: Arc<Event>) {
        let queue = match fate {
            Fate::Rejected | Fate::Dropped | Fate::Duplicate => &mut self.ended,
            _ => {
                self.waiting.retain(|other| !is_same(other, &event));
                &mut self.waiting
            }
        };
        if queue.len() == KEPT {
            queue.pop_front();
        }
        queue.push_back(event);
    }
}

/// Whether two events are about one message that waits again.
fn is_same(one: &Event, other: &Event) -> bool {
    one.element == other.element && one.id == other.id && one.channel == other.channel
}

impl Default for Events {
    fn default() -> Self {
        Self { to: broadcast::channel(CAPACITY).0, listening: AtomicUsize::new(0), kept: Mutex::default() }
    }
}

impl Events {
    /// Whether anyone listens. What a message costs where no one does is this look.
    #[must_use]
    pub fn are_watched(&self) -> bool {
        self.listening.load(Ordering::Relaxed) > 0
    }

    /// Whether an event of a message with this fate is for anyone.
    #[must_use]
    pub fn wants(&self, fate: Fate) -> bool {
        !fate.is_success() || self.are_watched()
    }

    /// Gives an event to all who listen now, and keeps it where it is no success.
    pub fn publish(&self, fate: Fate, event: Event) {
        let mut event = Event { fate: fate.word().to_owned(), ..event };
        cut(&mut event);
        let event = Arc::new(event);
        if !fate.is_success() {
            locked(&self.kept).add(fate, Arc::clone(&event));
        }
        if self.are_watched() {
            // The last listener may just have gone.
            let _ = self.to.send(event);
        }
    }

    /// The last events that are no success, the newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<Event>> {
        let kept = locked(&self.kept);
        let mut all: Vec<_> = kept.ended.iter().chain(&kept.waiting).cloned().collect();
        drop(kept);
        all.sort_by_key(|event| std::cmp::Reverse(event.at));
        all
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(self: &Arc<Self>) -> Listening {
        let from = self.to.subscribe();
        self.listening.fetch_add(1, Ordering::Relaxed);
        Listening { events: Arc::clone(self), from, missed: 0 }
    }
}

/// Someone who listens.
#[derive(Debug)]
pub struct Listening {
    events: Arc<Events>,
    from: broadcast::Receiver<Arc<Event>>,
    missed: u64,
}

impl Listening {
    /// Waits for the next event. It says how many were missed before it.
    pub async fn next(&mut self) -> Arc<Event> {
        loop {
            match self.from.recv().await {
                Ok(event) => return self.heard(event),
                Err(RecvError::Lagged(missed)) => self.missed += missed,
                // Not while we hold the other end.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// The next event, if there is one.
    pub fn next_now(&mut self) -> Option<Arc<Event>> {
        loop {
            match self.from.try_recv() {
                Ok(event) => return Some(self.heard(event)),
                Err(TryRecvError::Lagged(missed)) => self.missed += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    fn heard(&mut self, event: Arc<Event>) -> Arc<Event> {
        match std::mem::take(&mut self.missed) {
            0 => event,
            missed => Arc::new(Event { missed, ..Event::clone(&event) }),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.events.listening.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shortens what is too long.
fn cut(event: &mut Event) {
    let Event { channel, reason, id, signer, plugin, element, headers, verdicts, .. } = event;
    shorten(channel, LONGEST_TEXT);
    reason.iter_mut().for_each(|text| shorten(text, LONGEST_REASON));
    for text in [id, signer, plugin, element].into_iter().flatten() {
        shorten(text, LONGEST_TEXT);
    }
    headers.truncate(MOST);
    let mut size = 0;
    headers.retain_mut(|(name, value)| {
        shorten(name, LONGEST_TEXT);
        shorten(value, LONGEST_TEXT);
        size += name.len() + value.len();
        size <= ALL_HEADERS
    });
    verdicts.truncate(MOST);
    for verdict in verdicts {
        shorten(&mut verdict.plugin, LONGEST_TEXT);
        shorten(&mut verdict.answer, LONGEST_TEXT);
    }
}

/// Cuts a text where it is longer than so many bytes, between two characters.
fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::Verdict;

    fn event(at: u64) -> Event {
        Event { at, id: Some(at.to_string()), ..Event::default() }
    }

    #[tokio::test]
    async fn listeners_get_what_happens_while_they_listen() {
        let events = Arc::new(Events::default());
        assert!(!events.are_watched() && !events.wants(Fate::Sent) && events.wants(Fate::Rejected));
        let (mut one, mut other) = (events.listen(), events.listen());
        assert!(events.are_watched() && events.wants(Fate::Sent));
        events.publish(Fate::Sent, event(2));
        assert_eq!((one.next().await.at, other.next().await.fate.as_str()), (2, "sent"));
        assert!(one.next_now().is_none());
        drop(one);
        assert!(events.are_watched());
        drop(other);
        assert!(!events.are_watched());
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_how_many_it_missed() {
        let events = Arc::new(Events::default());
        let mut slow = events.listen();
        for at in 0..CAPACITY as u64 + 10 {
            events.publish(Fate::Stored, event(at));
        }
        let first = slow.next().await;
        assert_eq!((first.at, first.missed), (10, 10));
        let second = slow.next_now().unwrap();
        assert_eq!((second.at, second.missed), (11, 0));
    }

    #[test]
    fn the_last_that_are_no_success_are_kept() {
        let events = Events::default();
        events.publish(Fate::Sent, event(0));
        for at in 1..=KEPT as u64 + 5 {
            events.publish(Fate::Rejected, event(at));
        }
        let kept = events.recent();
        assert_eq!((kept.len(), kept[0].at, kept[KEPT - 1].at), (KEPT, KEPT as u64 + 5, 6));
    }

    #[test]
    fn messages_that_wait_again_and_again_push_no_rejection_out() {
        let events = Events::default();
        events.publish(Fate::Rejected, event(1));
        for at in 0..1000 {
            events.publish(Fate::Waiting, Event { at, ..event(at % 500) });
            events.publish(Fate::Waiting, Event { at, ..event(1000) });
        }
        let kept = events.recent();
        assert_eq!(kept.iter().filter(|event| event.fate == "rejected").count(), 1);
        assert_eq!(kept.len(), 1 + KEPT);
        assert_eq!(kept.iter().filter(|event| event.id.as_deref() == Some("1000")).count(), 1);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ü".repeat(LONGEST_REASON);
        let headers = vec![(long.clone(), long.clone()); 1000];
        let verdict = Verdict { plugin: long.clone(), answer: long.clone() };
        let events = Events::default();
        let reason = Some(long.clone());
        let id = Some(long);
        let event = Event { reason, id, headers, verdicts: vec![verdict; 1000], ..Event::default() };
        events.publish(Fate::Rejected, event);
        let kept = events.recent();
        let Event { reason, id, headers, verdicts, .. } = &*kept[0];
        assert_eq!(reason.as_ref().unwrap().len(), LONGEST_REASON + '…'.len_utf8());
        assert!(id.as_ref().unwrap().ends_with("ü…"));
        assert!(headers.len() == 3 && verdicts.len() == MOST, "{} {}", headers.len(), verdicts.len());
    }
}
