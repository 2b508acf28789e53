//! Decisions about deliveries, made on blocking threads.
//!
//! A thread that is woken decides about delivery after delivery while any waits, so that waking it is paid for once. After
//! [`AT_A_TIME`] of them it makes room for deferred messages. Each delivery gets its own answer, so that decisions can
//! leave in the order of their deliveries.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use message::locked;
use tokio::sync::oneshot;

use super::{Decided, Received, Receiver};
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

/// No decision is made now: the plugins in the folder are not known or not compiled.
pub(super) struct NotNow;

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
        for _ in 0..AT_A_TIME {
            let next = {
                let mut queue = locked(&self.queue);
                let next = queue.waiting.pop_front();
                if next.is_none() {
                    queue.tasks -= 1;
                }
                next
            };
            let Some(Waiting { delivery, since, answer }) = next else { return Rest::Idle };
            if answer.is_closed() {
                // The session is over; the broker keeps it.
                continue;
            }
            let receiver = &self.receiver;
            receiver.meters.passed(Step::Receive, delivery.raw.len(), since);
            match receiver.decide_now(&delivery) {
                Ok(decided) if !decided.0.paused || !receiver.pipeline.is_held() => {
                    // The session may be over.
                    let _ = answer.send(Some(decided));
                }
                _ => {
                    locked(&self.queue).waiting.push_front(Waiting { delivery, since, answer });
                    return Rest::NotNow;
                }
            }
        }
        Rest::Turn
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

impl Receiver {
    /// A decision with the plugins that are in the folder now; none if these are not known, or one that applies to every
    /// message is being compiled.
    fn decide_now(&self, delivery: &Undecided) -> Result<Decided, NotNow> {
        let Undecided { raw, header_id, headers, unreadable, at, held } = delivery;
        let received = Received { raw, header_id: header_id.as_deref(), headers, at: *at, attempt: 1 };
        if let Some(why) = unreadable {
            return Ok(self.refuse(&received, why));
        }
        if !self.pipeline.current().ensure() || self.pipeline.is_held() {
            return Err(NotNow);
        }
        let snapshot = super::Snapshot { held: Arc::clone(held), ..self.snapshot() };
        Ok(super::decide_or_fail(&self.spool.crashes, &received, &snapshot))
    }

    /// The decision about a message in which nothing can be read.
    fn refuse(&self, received: &Received<'_>, why: &str) -> Decided {
        (super::decide::unreadable(received, &self.snapshot(), why), message::content_digest(received.raw))
    }
}
