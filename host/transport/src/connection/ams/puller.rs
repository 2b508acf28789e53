//! Pulls from a subscription, and acknowledges what is durable.
//!
//! AMS binds an acknowledgement to the latest pull, takes the highest offset for all before it, and takes one for each pull.
//! So there is one pull at a time. Its messages are acknowledged together, as soon as all are durable, or, shortly before
//! the deadline of the subscription, those at its beginning that are. That closes the pull: the others come again with the
//! next one, which waits until nothing of the last one is in hand; the journal recognises what is stored by then.
//!
//! How many messages a pull asks for is a [`Pace`]; which of them are durable is a [`Window`]; gaps are seen by [`Progress`].
//! A message that cannot be delivered at all fails every pull that it is in. Pulls are halved then, so that the messages
//! before it are received, until the one message is known by its offset.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ams::{AckId, Client, Fault, Offsets, Received};
use message::MessageId;
use message::cause::chain;
use stomp::{MemoryBudget, Reservation};
use tokio::sync::{Mutex, mpsc, watch};

use super::pace::{Pace, cost};
use super::progress::{Progress, SAY_AGAIN};
use super::publisher::Pending;
use super::window::{Settled, Window};
use super::{AmsClosed, AmsSession, EMPAID, close};
use crate::connection::{AckToken, Delivery, SendFailure};

/// The first and the longest pause after a pull that was empty.
const EMPTY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The first and the longest pause while one message holds up the subscription.
const BLOCKED_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How much of the deadline may pass before what is durable is acknowledged.
const EARLY: f64 = 0.7;
/// How often an acknowledgement is tried, and the pause between.
const ATTEMPTS: u32 = 3;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);

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
    deliveries: mpsc::UnboundedReceiver<Delivery>,
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

/// What a puller is made of.
pub(super) struct Parts {
    pub(super) subscription: ams::Subscription,
    pub(super) pace: Pace,
    pub(super) memory: MemoryBudget,
    /// How long after a pull its messages can be acknowledged.
    pub(super) deadline: Duration,
    pub(super) progress: Progress,
    /// Sessions in a row that were of no use.
    pub(super) failures: Arc<Mutex<u32>>,
    /// Held until what is durable is acknowledged.
    pub(super) _pending: Pending,
}

struct Puller {
    parts: Parts,
    client: Client,
    deliveries: mpsc::UnboundedSender<Delivery>,
    fates: (mpsc::UnboundedSender<Settled>, mpsc::UnboundedReceiver<Settled>),
}

/// A pull, and the memory for its messages.
struct Pull {
    messages: Vec<Received>,
    asked: u32,
    memory: Option<Reservation>,
    /// Before the request was sent: the clock of AMS starts later.
    at: Instant,
}

/// Pulls until the session is over or the other end is dropped.
pub(super) fn start(session: &AmsSession, parts: Parts) -> Pulled {
    let (deliveries, pulled) = mpsc::unbounded_channel();
    let puller = Puller { parts, client: session.client.clone(), deliveries, fates: mpsc::unbounded_channel() };
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
        let unused = self.deliveries.clone();
        let mut pause = EMPTY_PAUSES.0;
        loop {
            let pull = tokio::select! {
                pull = self.pull() => pull?,
                () = unused.closed() => return Ok(()),
            };
            if pull.messages.is_empty() {
                self.served().await;
                tokio::select! {
                    () = tokio::time::sleep(pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5))) => {}
                    () = unused.closed() => return Ok(()),
                }
                pause = (pause * 2).min(EMPTY_PAUSES.1);
                continue;
            }
            pause = EMPTY_PAUSES.0;
            let (asked, at) = (pull.asked, pull.at);
            let window = Window::of(&pull.messages);
            let got = pull.messages.len();
            self.hand_on(pull).await;
            self.finish(window, at).await?;
            if at.elapsed() > self.parts.deadline.mul_f64(EARLY) {
                self.parts.pace.slower(asked);
            } else {
                self.parts.pace.faster(asked, got);
            }
        }
    }

    /// Pulls once there is memory, until AMS gives an answer that can be read.
    async fn pull(&mut self) -> Result<Pull, ams::Error> {
        let mut pause = BLOCKED_PAUSES.0;
        let mut said: Option<Instant> = None;
        loop {
            let (asked, bytes) = self.parts.pace.ask(self.parts.memory.available());
            let memory = self.parts.memory.clone().reserve(bytes).await;
            let at = Instant::now();
            let error = match self.client.pull(&self.parts.subscription, asked).await {
                Ok(messages) => return Ok(Pull { messages, asked, memory, at }),
                Err(error) => error,
            };
            drop(memory);
            if !matches!(error.fault(), Fault::Poisoned { .. } | Fault::TooLong { .. }) {
                return Err(error);
            }
            if asked > 1 {
                self.parts.pace.slower(asked);
                continue;
            }
            let offset = self.offsets().await?.map(|offsets| offsets.current);
            let new = self.parts.progress.is_blocked_at(offset);
            if said.is_none_or(|then| new && offset.is_some() || then.elapsed() >= SAY_AGAIN) {
                said = Some(Instant::now());
                self.say_blocked(&error, offset);
            }
            tokio::time::sleep(pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5))).await;
            pause = (pause * 2).min(BLOCKED_PAUSES.1);
        }
    }

    /// Logs that one message keeps all after it from being received, and what to do.
    fn say_blocked(&self, error: &ams::Error, offset: Option<u64>) {
        let (channel, subscription) = (self.parts.progress.channel(), self.parts.subscription.as_str());
        let (next, text) = (offset.map(|offset| offset + 1), chain(error));
        if matches!(error.fault(), Fault::TooLong { .. }) {
            tracing::error!(
                channel,
                subscription,
                offset,
                next,
                error = text,
                "a message is longer than is read and holds up the subscription: raise max-message of the broker above its \
                 size, or ask the project's administrator to move the offset to `next` by modifyOffset, which skips the message",
            );
        } else {
            tracing::error!(
                channel,
                subscription,
                offset,
                next,
                error = text,
                "a message that AMS cannot read holds up the subscription: ask the project's administrator to move the offset \
                 to `next` by modifyOffset, which skips the message; nothing after it is received until then",
            );
        }
    }

    /// Hands messages on, each with its share of the memory.
    async fn hand_on(&mut self, pull: Pull) {
        let Pull { messages, mut memory, .. } = pull;
        self.parts.pace.saw(messages.iter().map(cost));
        let offsets: Vec<u64> = messages.iter().map(|message| message.ack_id.offset()).collect();
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else { return };
        self.parts.progress.look_back(first);
        let gaps = self.parts.progress.look(&offsets);
        if !gaps.is_empty() {
            // Without an answer the line says less.
            let kept = self.client.offsets(&self.parts.subscription).await.ok();
            self.parts.progress.report(&gaps, kept);
        }
        let again: Vec<bool> = offsets.iter().map(|&offset| self.parts.progress.is_again(offset)).collect();
        self.parts.progress.deliver(last).await;
        let mut before = None;
        for (message, again) in messages.into_iter().zip(again) {
            // The same offset twice is the same message.
            if before.replace(message.ack_id.offset()) == Some(message.ack_id.offset()) {
                continue;
            }
            let bytes = cost(&message);
            let share = memory.as_mut().and_then(|memory| memory.split(bytes));
            let share = share.or_else(|| self.parts.memory.try_reserve(bytes));
            let delivery = delivery(message, again, share, &self.fates.0);
            if self.deliveries.send(delivery).is_err() {
                return;
            }
        }
    }

    /// Waits until the messages of a pull are done, and acknowledges once.
    async fn finish(&mut self, mut window: Window, pulled_at: Instant) -> Result<(), ams::Error> {
        let early = pulled_at + self.parts.deadline.mul_f64(EARLY);
        let unused = self.deliveries.clone();
        let mut acknowledged = false;
        while !window.is_done() {
            tokio::select! {
                biased;
                Some(settled) = self.fates.1.recv() => window.settle(settled),
                () = unused.closed() => break,
                // Where nothing is durable yet, the first that is may still come in time.
                () = tokio::time::sleep_until(early.into()), if !acknowledged && window.last_durable().is_some() => {
                    acknowledged = true;
                    self.settle(&window, pulled_at).await?;
                }
            }
        }
        if acknowledged { Ok(()) } else { self.settle(&window, pulled_at).await }
    }

    /// Acknowledges the messages at the beginning of a pull that are durable.
    async fn settle(&mut self, window: &Window, pulled_at: Instant) -> Result<(), ams::Error> {
        let Some(last) = window.last_durable() else { return Ok(()) };
        // First, or a crash in between would show as a gap that is none.
        self.parts.progress.store(last).await;
        let id = AckId::new(self.client.project(), &self.parts.subscription, last);
        if self.confirm(&id, pulled_at).await? {
            self.parts.progress.confirmed(last);
            self.served().await;
        }
        Ok(())
    }

    /// Acknowledges, and finds out where the answer does not say so whether that was taken. What was not comes again.
    async fn confirm(&mut self, id: &AckId, pulled_at: Instant) -> Result<bool, ams::Error> {
        let mut unclear = false;
        for attempt in 1.. {
            let Err(error) = self.client.acknowledge(id).await else { return Ok(true) };
            let in_time = pulled_at.elapsed() < self.parts.deadline;
            let refused = matches!(error.fault(), Fault::WrongAck { .. } | Fault::NoAckPending { .. });
            if matches!(error.fault(), Fault::AckTimeout) {
                self.say_not_taken(&error);
                return Ok(false);
            }
            if error.settles_by_offsets() {
                let Some(offsets) = self.offsets().await? else {
                    self.say_not_taken(&error);
                    return Ok(false);
                };
                if offsets.are_beyond(id) {
                    if refused && !unclear && in_time {
                        self.parts.progress.another_program("it acknowledged messages that were delivered to us");
                    }
                    return Ok(true);
                }
                if refused {
                    if in_time {
                        self.parts.progress.another_program("our acknowledgement was refused within the deadline");
                    }
                    self.say_not_taken(&error);
                    return Ok(false);
                }
                unclear = true;
            }
            if attempt >= ATTEMPTS || !in_time || !error.is_transient() {
                return Err(error);
            }
            tokio::time::sleep(ATTEMPT_PAUSE).await;
        }
        Ok(false)
    }

    fn say_not_taken(&self, error: &ams::Error) {
        tracing::warn!(
            channel = self.parts.progress.channel(), subscription = %self.parts.subscription, error = chain(error),
            "acknowledgement not taken; the messages come again and are recognised as duplicates",
        );
    }

    /// How far the subscription is; `None` where this user may not ask.
    async fn offsets(&self) -> Result<Option<Offsets>, ams::Error> {
        match self.client.offsets(&self.parts.subscription).await {
            Ok(offsets) => Ok(Some(offsets)),
            Err(error) if matches!(error.fault(), Fault::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The session was of use: the pauses between sessions start again with the shortest.
    async fn served(&self) {
        *self.parts.failures.lock().await = 0;
    }
}

/// A message as receivers take it. The line about it is one that programs read in the log of SSM.
fn delivery(
    message: Received,
    redelivered: bool,
    memory: Option<Reservation>,
    fates: &mpsc::UnboundedSender<Settled>,
) -> Delivery {
    let Received { ack_id, message_id, attributes, data, .. } = message;
    let id = attributes.get(EMPAID).cloned();
    let named = id.as_deref().map_or_else(MessageId::absent, MessageId::from_peer);
    tracing::info!("Received message. ID = {named}, Argo ID = {message_id}");
    let mut headers: Vec<(String, String)> =
        attributes.into_iter().filter(|(name, _)| name != EMPAID && name != crate::connection::ID).collect();
    headers.extend(id.map(|id| (crate::connection::ID.to_owned(), id)));
    let (body, unreadable) = match data {
        Ok(body) => (body, None),
        Err(unreadable) => {
            let why = unreadable.to_string();
            (unreadable.into_text().into(), Some(why))
        }
    };
    let ack = Ack { offset: ack_id.offset(), done: false, fates: fates.clone() };
    Delivery {
        headers,
        body,
        oversized: None,
        unreadable,
        broker_id: Some(message_id.to_string()),
        redelivered,
        token: AckToken::Ams(ack),
        memory,
    }
}
