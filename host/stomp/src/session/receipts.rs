//! Which frames of ours wait for a RECEIPT. Ids are unique per connection, so a receipt of an earlier connection, or one
//! that comes twice, is found out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::{Closed, SessionError};

/// The broker's word that it has taken over one SEND: made only when a RECEIPT frame names that very frame.
///
/// Nothing else makes one:
/// ```compile_fail
/// let forged = sesame_stomp::Receipt { id: String::new() };
/// ```
#[derive(Debug)]
#[must_use = "a receipt is what allows an outgoing element to be removed"]
pub struct Receipt {
    id: String,
}

impl Receipt {
    /// The receipt id, for logs.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Who waits for the receipt.
#[derive(Debug)]
pub(super) enum Waiter {
    /// A SEND.
    Send(oneshot::Sender<Result<Receipt, SessionError>>),
    /// A SUBSCRIBE, by its number; its waiter is kept with the subscription, because a first MESSAGE answers it too.
    Subscribe(u64),
    /// An UNSUBSCRIBE, by its number.
    Unsubscribe(u64, oneshot::Sender<Result<(), SessionError>>),
    /// The DISCONNECT.
    Disconnect(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Outstanding {
    waiter: Waiter,
    written: Option<Duration>,
}

/// The frames of one connection that wait for their RECEIPT.
#[derive(Debug)]
pub(super) struct Receipts {
    epoch: Arc<str>,
    outstanding: BTreeMap<u64, Outstanding>,
    unwritten: VecDeque<(u64, u64)>,
}

/// The id of receipt `number` on the connection `epoch`.
pub(super) fn receipt_id(epoch: &str, number: u64) -> String {
    format!("{epoch}-{number}")
}

impl Receipts {
    pub(super) fn new(epoch: Arc<str>) -> Self {
        Self { epoch, outstanding: BTreeMap::new(), unwritten: VecDeque::new() }
    }

    /// Waits for receipt `number`, whose frame has left when `ends_at` bytes are written.
    pub(super) fn expect(&mut self, number: u64, ends_at: u64, waiter: Waiter) {
        self.outstanding.insert(number, Outstanding { waiter, written: None });
        self.unwritten.push_back((ends_at, number));
    }

    /// Starts the clock of every frame that has left by now.
    pub(super) fn written(&mut self, total_written: u64, now: Duration) {
        while let Some((ends_at, number)) = self.unwritten.front().copied() {
            if ends_at > total_written {
                return;
            }
            self.unwritten.pop_front();
            if let Some(outstanding) = self.outstanding.get_mut(&number) {
                outstanding.written = Some(now);
            }
        }
    }

    /// Takes out the frame that `id` names; `None` if none is outstanding under exactly this id.
    pub(super) fn take(&mut self, id: &[u8]) -> Option<(Waiter, Receipt)> {
        let id = std::str::from_utf8(id).ok()?;
        let number: u64 = id.strip_prefix(&*self.epoch)?.strip_prefix('-')?.parse().ok()?;
        if receipt_id(&self.epoch, number) != id {
            return None;
        }
        let outstanding = self.outstanding.remove(&number)?;
        Some((outstanding.waiter, Receipt { id: id.to_owned() }))
    }

    /// Takes out a frame that has waited for `timeout` or longer.
    pub(super) fn take_expired(&mut self, now: Duration, timeout: Duration) -> Option<Waiter> {
        let expired = |o: &Outstanding| o.written.is_some_and(|written| now.saturating_sub(written) >= timeout);
        let number = self.outstanding.iter().find(|(_, o)| expired(o)).map(|(number, _)| *number)?;
        self.outstanding.remove(&number).map(|outstanding| outstanding.waiter)
    }

    /// Fails whatever still waits.
    pub(super) fn fail_all(&mut self, closed: &Arc<Closed>) {
        for (_, outstanding) in std::mem::take(&mut self.outstanding) {
            outstanding.waiter.fail(SessionError::Closed(Arc::clone(closed)));
        }
    }
}

impl Waiter {
    /// Reports a failure to the waiter, if there still is one.
    pub(super) fn fail(self, error: SessionError) {
        match self {
            Self::Send(reply) => drop(reply.send(Err(error))),
            Self::Unsubscribe(_, reply) => drop(reply.send(Err(error))),
            Self::Subscribe(_) | Self::Disconnect(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts() -> (Receipts, oneshot::Receiver<Result<Receipt, SessionError>>) {
        let (reply, answer) = oneshot::channel();
        let mut receipts = Receipts::new("e1".into());
        receipts.expect(7, 100, Waiter::Send(reply));
        (receipts, answer)
    }

    #[test]
    fn an_id_matches_exactly_and_once() {
        let (mut receipts, _answer) = receipts();
        for foreign in ["e1-8", "e2-7", "e1-07", "e1-+7", "7", "e17", "e1-7 ", ""] {
            assert!(receipts.take(foreign.as_bytes()).is_none(), "{foreign:?}");
        }
        assert_eq!(receipts.take(b"e1-7").unwrap().1.id(), "e1-7");
        assert!(receipts.take(b"e1-7").is_none());
    }

    #[test]
    fn the_clock_starts_when_the_frame_has_left() {
        let (mut receipts, _answer) = receipts();
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        receipts.written(99, second);
        assert!(receipts.take_expired(minute * 60, minute).is_none());
        receipts.written(100, second);
        assert!(receipts.take_expired(minute, minute).is_none());
        assert!(receipts.take_expired(minute + second, minute).is_some());
    }
}
