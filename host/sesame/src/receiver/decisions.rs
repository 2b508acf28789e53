//! Decisions about deliveries, made on blocking threads.
//!
//! A thread that is woken decides about delivery after delivery while any waits, so that waking it is paid for once. After
//! [`AT_A_TIME`] of them it makes room for deferred messages. Where processes of their own open messages, a thread takes
//! several deliveries and has them opened one after the other. Each delivery gets its own answer, so that decisions can
//! leave in the order of their deliveries.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use message::{content_digest, locked};
use tokio::sync::oneshot;

use super::decide::to_open;
use super::{Decided, NotNow, Received, Receiver, Snapshot};
use crate::channel::Step;
use crate::shutdown::Shutdown;

/// Deliveries that a thread decides about before others may have it.
const AT_A_TIME: usize = 16;
/// How often a delivery checks whether the plugin it waits for is compiled.
const COMPILER_LOOK: Duration = Duration::from_millis(100);

/// A delivery, or a copy of one, that is to be decided.
pub(super) struct Undecided {
    pub(super) raw: Bytes,
    pub(super) header_id: Option<String>,
    pub(super) headers: Arc<Vec<(String, String)>>,
    pub(super) unreadable: Option<String>,
    pub(super) at: SystemTime,
    /// Signers whose messages wait behind a deferred one.
    pub(super) held: Arc<HashSet<String>>,
}

/// The decision about one delivery, to come: nothing where a stop was asked for while a plugin was compiled. It fails
/// where the runtime is going down.
pub(super) type Answer = oneshot::Receiver<Option<Decided>>;

struct Waiting {
    delivery: Undecided,
    since: Instant,
    answer: oneshot::Sender<Option<Decided>>,
}

/// What waits for a decision in one session.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Tasks that work on it; none ends while something waits.
    tasks: usize,
}

/// Makes the decisions of one session.
#[derive(Clone)]
pub(super) struct Decisions {
    receiver: Arc<Receiver>,
    queue: Arc<Mutex<Queue>>,
    /// Asked to stop, decisions that wait for a compiler are given up.
    shutdown: Shutdown,
}

/// Why a thread stopped deciding.
enum Rest {
    /// Nothing waits.
    Idle,
    /// Others may have the thread.
    Turn,
    /// No decision can be made now.
    NotNow,
}

impl Decisions {
    pub(super) fn new(receiver: &Arc<Receiver>, shutdown: &Shutdown) -> Self {
        Self { receiver: Arc::clone(receiver), queue: Arc::default(), shutdown: shutdown.clone() }
    }

    /// Has a delivery decided.
    pub(super) fn ask(&self, delivery: Undecided) -> Answer {
        let (answer, decision) = oneshot::channel();
        let mut queue = locked(&self.queue);
        queue.waiting.push_back(Waiting { delivery, since: Instant::now(), answer });
        if queue.tasks < self.receiver.threads {
            queue.tasks += 1;
            tokio::spawn(self.clone().work());
        }
        decision
    }

    /// Decides until nothing waits, on a thread while it has one.
    async fn work(self) {
        loop {
            let permit = Arc::clone(&self.receiver.workers).acquire_owned().await;
            let decisions = self.clone();
            let rest = tokio::task::spawn_blocking(move || decisions.decide_some()).await;
            drop(permit);
            match rest {
                Ok(Rest::Turn) => {}
                Ok(Rest::NotNow) => self.wait_for_compiler().await,
                Ok(Rest::Idle) => return,
                // A bug that shows on a message stops no other: its answer failed, and the next is decided.
                Err(error) if error.is_panic() => {}
                Err(error) => {
                    // The runtime is going down. What waits is not acknowledged; the broker keeps it.
                    tracing::debug!(channel = %self.receiver.channel, %error, "decisions abandoned");
                    locked(&self.queue).tasks -= 1;
                    return;
                }
            }
        }
    }

    fn decide_some(&self) -> Rest {
        let mut turn = AT_A_TIME;
        while turn > 0 {
            let mut taken = self.take(turn);
            if taken.is_empty() {
                return Rest::Idle;
            }
            turn -= taken.len();
            if self.decide_taken(&mut taken).is_err() {
                let mut queue = locked(&self.queue);
                taken.into_iter().rev().for_each(|one| queue.waiting.push_front(one));
                return Rest::NotNow;
            }
        }
        Rest::Turn
    }

    /// Takes what waits first: several, where they are opened one after the other and enough is left for other threads. Where
    /// nothing waits, the task ends.
    fn take(&self, most: usize) -> VecDeque<Waiting> {
        let (mut bytes, ahead) = self.receiver.opener.most_ahead();
        let mut queue = locked(&self.queue);
        let share = queue.waiting.len().div_ceil(self.receiver.threads.max(1));
        let mut taken = VecDeque::new();
        while taken.len() < most.min(ahead).min(share.max(1))
            && let Some(next) = queue.waiting.pop_front_if(|next| taken.is_empty() || next.delivery.raw.len() <= bytes)
        {
            bytes = bytes.saturating_sub(next.delivery.raw.len());
            taken.push_back(next);
        }
        if taken.is_empty() {
            queue.tasks -= 1;
        }
        taken
    }

    /// Decides about what was taken, and leaves in it what cannot be decided now.
    fn decide_taken(&self, taken: &mut VecDeque<Waiting>) -> Result<(), NotNow> {
        // Where it is closed, the session is over; the broker keeps the message.
        taken.retain(|one| !one.answer.is_closed());
        if taken.len() > 1 && taken.iter().all(|one| one.delivery.unreadable.is_none()) {
            self.decide_ahead(taken)?;
        }
        while let Some(one) = taken.pop_front() {
            self.settle(one, taken, |receiver, delivery| receiver.decide_now(delivery))?;
        }
        Ok(())
    }

    /// Decides about messages that are opened one after the other, until one cannot be.
    fn decide_ahead(&self, taken: &mut VecDeque<Waiting>) -> Result<(), NotNow> {
        let receiver = &self.receiver;
        receiver.can_decide()?;
        let raws: Vec<Bytes> = taken.iter().map(|one| one.delivery.raw.clone()).collect();
        let snapshots: Vec<Snapshot> = taken.iter().map(|one| receiver.snapshot_holding(&one.delivery.held)).collect();
        let digests: Vec<[u8; 32]> = raws.iter().map(|raw| content_digest(raw)).collect();
        let messages: Vec<isolate::Message<'_>> = taken
            .iter()
            .zip(raws.iter().zip(&snapshots))
            .map(|(one, (raw, snapshot))| to_open(raw, one.delivery.at, snapshot))
            .collect();
        let place = (&receiver.channel, &receiver.spool.crashes, &*receiver.meters);
        let Some(mut ahead) = receiver.opener.open_all(place, &digests, &messages) else { return Ok(()) };
        for (snapshot, digest) in snapshots.iter().zip(&digests) {
            let Some(tried) = ahead.next(digest) else { return Ok(()) };
            let Some(one) = taken.pop_front() else { return Ok(()) };
            self.settle(one, taken, |receiver, delivery| {
                receiver.can_decide()?;
                Ok((super::decide_tried(&delivery.received(), snapshot, tried), *digest))
            })?;
        }
        Ok(())
    }

    /// Answers with the decision, or puts the delivery back to those that were taken.
    fn settle(
        &self,
        one: Waiting,
        taken: &mut VecDeque<Waiting>,
        decide: impl FnOnce(&Receiver, &Undecided) -> Result<Decided, NotNow>,
    ) -> Result<(), NotNow> {
        let receiver = &self.receiver;
        receiver.meters.passed(Step::Receive, one.delivery.raw.len(), one.since);
        match decide(receiver, &one.delivery) {
            Ok(decided) if !decided.0.paused || !receiver.pipeline.is_held() => {
                // The session may be over.
                let _ = one.answer.send(Some(decided));
                Ok(())
            }
            _ => {
                taken.push_front(one);
                Err(NotNow)
            }
        }
    }

    /// Waits while a plugin that applies to every message is being compiled. Asked to stop, what waits is given up.
    async fn wait_for_compiler(&self) {
        if self.shutdown.asked() {
            let waiting = std::mem::take(&mut locked(&self.queue).waiting);
            waiting.into_iter().for_each(|one| drop(one.answer.send(None)));
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(COMPILER_LOOK) => {}
            () = self.shutdown.draining() => {}
        }
        self.receiver.pipeline.wait_for_compiler(&self.shutdown).await;
    }
}

impl Undecided {
    fn received(&self) -> Received<'_> {
        let Self { raw, header_id, headers, at, .. } = self;
        Received { raw, header_id: header_id.as_deref(), headers, at: *at, attempt: 1 }
    }
}

impl Receiver {
    /// That the plugins in the folder are known now, and none that applies to every message is being compiled.
    fn can_decide(&self) -> Result<(), NotNow> {
        if !self.pipeline.current().ensure() || self.pipeline.is_held() { Err(NotNow) } else { Ok(()) }
    }

    /// What a message is judged by, if the messages of these signers wait behind others.
    fn snapshot_holding(&self, held: &Arc<HashSet<String>>) -> Snapshot {
        Snapshot { held: Arc::clone(held), ..self.snapshot() }
    }

    /// A decision with the plugins that are in the folder now; none where it cannot be made now, or the message cannot be
    /// opened.
    fn decide_now(&self, delivery: &Undecided) -> Result<Decided, NotNow> {
        let received = delivery.received();
        if let Some(why) = &delivery.unreadable {
            return Ok(self.refuse(&received, why));
        }
        self.can_decide()?;
        self.decide_or_fail(&received, &self.snapshot_holding(&delivery.held))
    }

    /// The decision about a message in which nothing can be read.
    fn refuse(&self, received: &Received<'_>, why: &str) -> Decided {
        (super::decide::unreadable(received, &self.snapshot(), why), content_digest(received.raw))
    }
}
