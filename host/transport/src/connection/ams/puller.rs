//! Pulls from a subscription, and acknowledges what is durable.
//!
//! AMS binds an acknowledgement to the latest pull, takes the highest offset for all before it, and takes one for each pull.
//! So there is one pull at a time. Its messages are acknowledged together, as soon as all are durable, or, shortly before
//! the deadline of the subscription, those at its beginning that are. The others come again with the next pull, which waits
//! until nothing of the last one is in hand; the journal recognises what is stored by then.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ams::{AckId, Client, Received};
use message::cause::chain;
use tokio::sync::{mpsc, watch};

use super::{AmsClosed, AmsSession, EMPAID, close};
use crate::connection::{AckToken, Delivery, SendFailure};

/// The first and the longest pause after a pull that was empty.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Messages of one pull, at most.
const MOST: u32 = 256;

/// What became of one message of a pull: it is durable, or it is to come again.
#[derive(Clone, Copy, Debug)]
struct Settled {
    offset: u64,
    durable: bool,
}

/// The right to acknowledge one message of a pull. Dropped unused, the message stays with AMS.
#[derive(Debug)]
pub struct Ack {
    offset: u64,
    done: bool,
    fates: mpsc::UnboundedSender<Settled>,
}

impl Ack {
    /// The message is durable.
    pub(crate) fn settle(mut self) -> Result<(), SendFailure> {
        self.done = true;
        // The session may be over: then the message comes again.
        self.fates.send(Settled { offset: self.offset, durable: true }).map_err(|_| SendFailure::Over)
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.fates.send(Settled { offset: self.offset, durable: false });
        }
    }
}

/// The messages of a subscription.
#[derive(Debug)]
pub struct Pulled {
    deliveries: mpsc::Receiver<Delivery>,
    over: watch::Receiver<Option<AmsClosed>>,
}

impl Pulled {
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        tokio::select! {
            biased;
            _ = self.over.wait_for(Option::is_some) => None,
            delivery = self.deliveries.recv() => delivery,
        }
    }
}

struct Puller {
    client: Client,
    subscription: ams::Subscription,
    most: u32,
    /// How long after a pull its messages can be acknowledged.
    deadline: Duration,
    deliveries: mpsc::Sender<Delivery>,
    fates: (mpsc::UnboundedSender<Settled>, mpsc::UnboundedReceiver<Settled>),
    /// The offset that the next new message has.
    expected: Option<u64>,
}

/// Pulls until the session is over or the other end is dropped.
pub(super) fn start(session: &AmsSession, subscription: ams::Subscription, most: u32, deadline: Duration) -> Pulled {
    let most = most.clamp(1, MOST);
    let (deliveries, pulled) = mpsc::channel(most as usize);
    let puller = Puller {
        client: session.client.clone(),
        subscription,
        most,
        deadline,
        deliveries,
        fates: mpsc::unbounded_channel(),
        expected: None,
    };
    let (closing, over) = (session.closing.clone(), session.closing.subscribe());
    let mut ended = over.clone();
    tokio::spawn(async move {
        tokio::select! {
            result = puller.run() => if let Err(error) = result {
                close(&closing, AmsClosed::Failed(error.into()));
            },
            _ = ended.wait_for(Option::is_some) => {}
        }
    });
    Pulled { deliveries: pulled, over }
}

impl Puller {
    async fn run(mut self) -> Result<(), ams::Error> {
        let mut pause = PAUSES.0;
        loop {
            let pulled_at = Instant::now();
            let messages = self.client.pull(&self.subscription, self.most).await?;
            if messages.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5))) => {}
                    () = self.deliveries.closed() => return Ok(()),
                }
                pause = (pause * 2).min(PAUSES.1);
                continue;
            }
            pause = PAUSES.0;
            self.look_for_gap(&messages);
            let mut open: BTreeSet<u64> = messages.iter().map(|message| message.ack_id.offset()).collect();
            let all = open.clone();
            for message in messages {
                if self.deliveries.send(delivery(message, &self.fates.0)).await.is_err() {
                    return Ok(());
                }
            }
            self.finish(&all, &mut open, pulled_at).await?;
        }
    }

    /// Waits until the messages of a pull are done, and acknowledges once.
    async fn finish(
        &mut self,
        all: &BTreeSet<u64>,
        open: &mut BTreeSet<u64>,
        pulled_at: Instant,
    ) -> Result<(), ams::Error> {
        let late = pulled_at + self.deadline.mul_f64(0.7);
        let mut in_work = all.clone();
        let mut acknowledged = false;
        while !in_work.is_empty() {
            tokio::select! {
                Some(Settled { offset, durable }) = self.fates.1.recv() => {
                    in_work.remove(&offset);
                    if durable {
                        open.remove(&offset);
                    }
                }
                () = tokio::time::sleep_until(late.into()), if !acknowledged => {
                    acknowledged = true;
                    self.confirm(all, open).await?;
                }
                () = self.deliveries.closed() => break,
            }
        }
        if acknowledged { Ok(()) } else { self.confirm(all, open).await }
    }

    /// Acknowledges the messages at the beginning of a pull that are durable.
    async fn confirm(&mut self, all: &BTreeSet<u64>, open: &BTreeSet<u64>) -> Result<(), ams::Error> {
        let durable = all.iter().take_while(|offset| !open.contains(offset));
        let Some(last) = durable.last().copied() else { return Ok(()) };
        let id = AckId::new(self.client.project(), &self.subscription, last);
        match self.client.acknowledge(&id).await {
            Ok(()) => {}
            Err(error) if error.settles_by_offsets() => {
                if !self.client.offsets(&self.subscription).await?.are_beyond(&id) {
                    tracing::warn!(
                        subscription = %self.subscription, error = chain(&error),
                        "AMS did not take an acknowledgement; its messages will be delivered again",
                    );
                    return Ok(());
                }
            }
            Err(error) if matches!(error.fault(), ams::Fault::AckTimeout) => {
                tracing::warn!(subscription = %self.subscription, error = chain(&error), "acknowledgement too late");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.expected = Some(last + 1);
        Ok(())
    }

    /// AMS moves a subscription on without a word when it deletes old messages.
    fn look_for_gap(&self, messages: &[Received]) {
        let first = messages.first().map(|message| message.ack_id.offset());
        if let (Some(expected), Some(first)) = (self.expected, first)
            && first > expected
        {
            tracing::error!(
                subscription = %self.subscription, first = expected, last = first - 1, messages = first - expected,
                "messages were deleted by AMS, or taken by another consumer, before they were received",
            );
        }
    }
}

fn delivery(message: Received, fates: &mpsc::UnboundedSender<Settled>) -> Delivery {
    let Received { ack_id, attributes, data, .. } = message;
    let id = attributes.get(EMPAID).cloned();
    let mut headers: Vec<(String, String)> =
        attributes.into_iter().filter(|(name, _)| name != EMPAID && name != crate::connection::ID).collect();
    headers.extend(id.map(|id| (crate::connection::ID.to_owned(), id)));
    let ack = Ack { offset: ack_id.offset(), done: false, fates: fates.clone() };
    Delivery {
        headers,
        body: data.unwrap_or_default(),
        oversized: None,
        redelivered: false,
        token: AckToken::Ams(ack),
        memory: None,
    }
}
