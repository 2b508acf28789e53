//! Frames that wait for a RECEIPT. Ids are unique per connection, so that a receipt of an earlier connection or a
//! duplicate is detected.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::{Closed, SessionError};

/// The broker's confirmation of one SEND, created only when a RECEIPT frame names that SEND.
///
/// It cannot be constructed elsewhere:
/// ```compile_fail
/// let forged = sesame_stomp::Receipt { id: String::new() };
/// ```
#[derive(Debug)]
#[must_use = "only a receipt permits removing an outgoing element"]
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

/// What waits for a receipt.
#[derive(Debug)]
pub(super) enum Waiter {
    /// A SEND.
    Send(oneshot::Sender<Result<Receipt, SessionError>>),
    /// A SUBSCRIBE, by its number; its sender is kept with the subscription, because a first MESSAGE also answers it.
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

    /// Registers receipt `number`, whose frame is written once `ends_at` bytes are written in total.
    pub(super) fn expect(&mut self, number: u64, ends_at: u64, waiter: Waiter) {
        self.outstanding.insert(number, Outstanding { waiter, written: None });
        self.unwritten.push_back((ends_at, number));
    }

    /// Starts the timeout of every frame that is written by now.
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

    /// Removes the frame that `id` names; `None` if none is outstanding under exactly this id.
    pub(super) fn take(&mut self, id: &[u8]) -> Option<(Waiter, Receipt)> {
        let id = std::str::from_utf8(id).ok()?;
        let number: u64 = id.strip_prefix(&*self.epoch)?.strip_prefix('-')?.parse().ok()?;
        if receipt_id(&self.epoch, number) != id {
            return None;
        }
        let outstanding = self.outstanding.remove(&number)?;
        Some((outstanding.waiter, Receipt { id: id.to_owned() }))
    }

    /// Removes a frame that has waited for `timeout` or longer.
    pub(super) fn take_expired(&mut self, now: Duration, timeout: Duration) -> Option<Waiter> {
        let expired = |o: &Outstanding| o.written.is_some_and(|written| now.saturating_sub(written) >= timeout);
        let number = self.outstanding.iter().find(|(_, o)| expired(o)).map(|(number, _)| *number)?;
        self.outstanding.remove(&number).map(|outstanding| outstanding.waiter)
    }

    /// Fails all outstanding frames.
    pub(super) fn fail_all(&mut self, closed: &Arc<Closed>) {
        for (_, outstanding) in std::mem::take(&mut self.outstanding) {
            outstanding.waiter.fail(SessionError::Closed(Arc::clone(closed)));
        }
    }
}

impl Waiter {
    /// Reports a failure to the caller, if it still waits.
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
    fn the_timeout_starts_when_the_frame_is_written() {
        let (mut receipts, _answer) = receipts();
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        receipts.written(99, second);
        assert!(receipts.take_expired(minute * 60, minute).is_none());
        receipts.written(100, second);
        assert!(receipts.take_expired(minute, minute).is_none());
        assert!(receipts.take_expired(minute + second, minute).is_some());
    }
}
