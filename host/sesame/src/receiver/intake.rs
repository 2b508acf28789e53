//! One session of a receiver: deliveries in, decisions to the commit engine in order, ACKs out.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::oneshot::error::RecvError;

use super::decisions::{self, Decisions, Undecided};
use super::lines::{LogLine, log_line, log_settled};
use super::positions::ChannelPositions;
use super::{Decided, Decision, Ended, Received, Receiver, acknowledge, acknowledge_ping, decide, now, ready};
use crate::channel::{Channel, Meters, Step};
use crate::shutdown::Shutdown;
use message::content_digest;
use message::daily::Condition;
use observe::Entered;
use spool::journal::{Disposition, JournalError, LastChange};
use spool::{Commit, CommitError, Stored, kill_point};
use transport::{AckToken, Bookmark, Connected, Delivery, Reservation, Source, Subscription, Taking};

/// How often the free space on the disk is checked.
const ROOM_CHECK: Duration = Duration::from_secs(2);
/// The largest prefetch that brokers take.
const WIDEST: u32 = 65_535;
/// A session that lasted so long shows that the channel can receive.
const SETTLED: Duration = Duration::from_secs(60);
/// How long a DISCONNECT may take.
const DISCONNECT_GRACE: Duration = Duration::from_secs(2);

/// What of a delivery is needed after its decision.
struct Origin {
    token: AckToken,
    raw: Bytes,
    redelivered: bool,
    unreadable: Option<String>,
    broker_id: Option<String>,
    header_id: Option<String>,
    headers: Arc<Vec<(String, String)>>,
    at: SystemTime,
    broker: String,
    memory: Option<Reservation>,
    counted: Entered,
}

/// A delivery whose decision is being made.
struct InWork {
    origin: Origin,
    decision: decisions::Answer,
}

/// A delivery that the commit engine works on.
struct Submitted {
    token: AckToken,
    id: String,
    signer: String,
    /// Whether it was to be deferred.
    deferring: bool,
    /// Of the message as it came.
    bytes: u64,
    at: Instant,
    /// What is deferred if another receiver has claimed it; `None` without a shared index.
    delivered: Option<Box<Delivered>>,
    _counted: Entered,
}

/// A delivery as it came.
struct Delivered {
    raw: Bytes,
    header_id: Option<String>,
    at: SystemTime,
    broker: String,
}

/// What the commit engine answered for one delivery.
struct Answer {
    submitted: Submitted,
    stored: Result<Stored, CommitError>,
}

/// Answers for one delivery, also when the engine ended without an answer.
struct Reply(Option<(mpsc::UnboundedSender<Answer>, Submitted, LogLine)>, Channel, Arc<Meters>);

impl Reply {
    /// The line is written here and not by the session, which may be over: then the message comes again as a duplicate and
    /// gets no other line.
    fn give(&mut self, stored: Result<Stored, CommitError>) {
        if let Some((answers, submitted, line)) = self.0.take() {
            if let Ok(stored) = &stored {
                self.2.passed(Step::Commit, usize::try_from(submitted.bytes).unwrap_or(usize::MAX), submitted.at);
                log_settled((&self.1, &self.2), &line, stored);
            }
            let _ = answers.send(Answer { submitted, stored });
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.give(Err(CommitError::Stopped));
    }
}

/// The state of one session.
struct Intake<'a> {
    receiver: &'a Arc<Receiver>,
    link: &'a Connected,
    in_work: VecDeque<InWork>,
    uncommitted: usize,
    uncommitted_bytes: u64,
    /// Warnings about messages that were delivered often.
    warned: usize,
    held: Arc<HashSet<String>>,
    /// The journal when they were read from it.
    looked: Option<LastChange>,
    /// Signers of messages whose deferral is not durable yet.
    deferring: Vec<String>,
    /// Deliveries in flight, at most; one during a plugin's probation.
    prefetch: u32,
    /// Deliveries that the broker sends without an ACK, at most.
    ahead: u32,
    /// Those of them that are larger than max-frame and never acknowledged.
    left: u32,
    decisions: Decisions,
    /// Why no more deliveries are taken; the session ends once those in flight are done.
    leaving: Option<Ended>,
    answers: (mpsc::UnboundedSender<Answer>, mpsc::UnboundedReceiver<Answer>),
    /// Whether the destination is known to keep messages until they are acknowledged.
    source: Source,
}

impl Receiver {
    /// Runs one session until it ends.
    pub(super) async fn serve(self: &Arc<Self>, link: &Connected, shutdown: &Shutdown) -> Ended {
        let Some(held) = self.look_for_held().await else { return Ended::Unreadable };
        let prefetch = if self.pipeline.load().is_on_probation() { 1 } else { self.settings.prefetch };
        let ahead = prefetch.saturating_add(self.spare.load(Ordering::Relaxed)).min(WIDEST);
        let (source, subscription) = tokio::select! {
            subscribed = self.look_and_subscribe(link, ahead) => subscribed,
            () = shutdown.draining() => return Ended::Shutdown,
        };
        let Some(subscription) = subscription else { return Ended::Refused };
        tracing::info!(
            channel = %self.channel, destination = %self.settings.destination, broker = %link.broker,
            "subscribed",
        );
        let mut intake = Intake {
            receiver: self,
            link,
            in_work: VecDeque::new(),
            uncommitted: 0,
            uncommitted_bytes: 0,
            warned: 0,
            held,
            looked: None,
            deferring: Vec::new(),
            prefetch,
            ahead,
            left: 0,
            decisions: Decisions::new(self, shutdown),
            leaving: None,
            answers: mpsc::unbounded_channel(),
            source,
        };
        self.session.begins();
        let ended = intake.run(subscription, shutdown).await;
        if self.session.has_lasted(SETTLED) {
            self.unable().end();
        }
        self.session.ends();
        // Four times as many: each session counts as a delivery of all of them, so few sessions must suffice.
        self.spare.store(intake.left.saturating_mul(4), Ordering::Relaxed);
        if matches!(ended, Ended::Storage(_) | Ended::LowSpace(_)) {
            self.faults.needs(intake.room_for_all());
        }
        match ended {
            Ended::Closed => self.lost(link).await,
            ended => {
                link.session.disconnect(DISCONNECT_GRACE).await;
                ended
            }
        }
    }

    /// Says why a session ended that we did not end.
    async fn lost(&self, link: &Connected) -> Ended {
        let reason = link.session.closed().await;
        self.link.lost(&reason);
        let error = message::cause::chain(&reason);
        let ended = if reason.is_too_long() {
            tracing::error!(
                channel = %self.channel, broker = %link.broker, error,
                "a message does not fit and holds up the channel: raise max-frame of the broker, or remove that message \
                 there",
            );
            Ended::TooLong
        } else {
            Ended::Closed
        };
        if !reason.is_lasting() {
            tracing::warn!(channel = %self.channel, broker = %link.broker, error, "connection to the broker lost");
        } else if self.unable().is_due(&error) {
            tracing::error!(
                channel = %self.channel, broker = %link.broker, destination = %self.settings.destination, error,
                "cannot receive; it is tried again and again, and nothing is lost meanwhile",
            );
        }
        ended
    }

    fn unable(&self) -> Condition {
        let about = format!("{} {}", self.channel.section(), self.settings.destination);
        Condition::error("cannot receive", &about)
    }

    fn bookmark(&self) -> Bookmark {
        Bookmark::new(Arc::new(ChannelPositions::of(&self.spool.journal, &self.channel)), self.channel.name())
    }

    async fn look_and_subscribe(&self, link: &Connected, prefetch: u32) -> (Source, Option<Subscription>) {
        let destination = &self.settings.destination;
        let suspected = self.stream_suspected.load(Ordering::Relaxed);
        let source = self.link.look_at_source(link, destination, suspected).await;
        if let Source::Unfit(why) = &source {
            if self.unable().is_due(why) {
                tracing::error!(
                    channel = %self.channel, destination = %destination, broker = %link.broker, error = why,
                    "cannot receive from this destination; nothing is stored or acknowledged",
                );
            }
            return (source, None);
        }
        let taking = Taking { prefetch, bookmark: self.bookmark(), exclusive: self.settings.exclusive };
        match self.link.subscribe(link, destination, taking).await {
            Ok(subscription) => (source, Some(subscription)),
            Err(error) => {
                let error = error.to_string();
                if self.unable().is_due(&error) {
                    tracing::error!(
                        channel = %self.channel, destination = %destination, broker = %link.broker, error,
                        "cannot subscribe",
                    );
                }
                (source, None)
            }
        }
    }

    /// Signers whose later messages wait behind a deferred one.
    pub(super) fn held_signers(&self) -> Result<Arc<HashSet<String>>, JournalError> {
        if self.settings.deferred_order == crate::config::DeferredOrder::None {
            return Ok(Arc::default());
        }
        let waiting = self.spool.journal.deferred(self.channel.name())?;
        Ok(Arc::new(waiting.into_iter().map(|element| element.signer).collect()))
    }

    /// The same on a blocking thread; `None` if the journal cannot be read, which is logged.
    async fn look_for_held(self: &Arc<Self>) -> Option<Arc<HashSet<String>>> {
        let receiver = Arc::clone(self);
        match tokio::task::spawn_blocking(move || receiver.held_signers()).await {
            Ok(Ok(held)) => Some(held),
            Ok(Err(error)) => {
                tracing::error!(channel = %self.channel, error = %message::cause::chain(&error), "cannot read the journal");
                None
            }
            Err(_) => None,
        }
    }
}

impl Intake<'_> {
    async fn run(&mut self, mut subscription: Subscription, shutdown: &Shutdown) -> Ended {
        let next = tokio::time::Instant::now() + message::beat::until_next(ROOM_CHECK);
        let mut room = tokio::time::interval_at(next, ROOM_CHECK);
        room.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            if self.in_work.is_empty()
                && self.uncommitted == 0
                && let Some(ended) = self.leaving.take()
            {
                return ended;
            }
            if matches!(self.leaving, Some(Ended::Shutdown)) && self.receiver.spool.engine.index_fault().is_some() {
                // Nothing is stored before the index is back; the broker keeps what is not acknowledged.
                return Ended::Shutdown;
            }
            tokio::select! {
                biased;
                () = shutdown.stopping() => return Ended::Shutdown,
                Some(answer) = self.answers.1.recv() => {
                    if let Err(error) = self.settle(answer) {
                        return Ended::Storage(error);
                    }
                }
                Some(decision) = front(&mut self.in_work) => {
                    self.submit(decision);
                    self.look_at_plugins();
                }
                () = shutdown.draining(), if self.leaving.is_none() => self.leaving = Some(Ended::Shutdown),
                () = self.receiver.gate.closed(), if self.leaving.is_none() => self.leaving = Some(Ended::Held),
                delivery = subscription.next(), if self.leaving.is_none() && self.has_room() => match delivery {
                    Some(delivery) => self.take(delivery),
                    None => return Ended::Closed,
                },
                _ = room.tick(), if self.leaving.is_none() => {
                    self.look_at_held().await;
                    self.look_at_plugins();
                    if let Some(free) = self.receiver.too_little_room(0) {
                        return Ended::LowSpace(free);
                    }
                }
            }
        }
    }

    /// Leaves the session where a plugin fails for every message, or has stopped doing so.
    fn look_at_plugins(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        let pipeline = self.receiver.pipeline.load();
        if pipeline.pause(Instant::now()).is_some() {
            self.leaving = Some(Ended::Paused);
        } else if self.prefetch < self.receiver.settings.prefetch && !pipeline.is_on_probation() {
            self.leaving = Some(Ended::ProbationOver);
        }
    }

    /// Room for all that the broker delivers again after this session, in bytes.
    fn room_for_all(&self) -> u64 {
        let waiting: u64 = self.in_work.iter().map(|work| work.origin.raw.len() as u64).sum();
        let messages = (self.in_work.len() + self.uncommitted) as u64;
        ready::room_for(messages, waiting + self.uncommitted_bytes)
    }

    /// Logs one line for a message that the broker has delivered so often that it may delete it.
    fn warn_of_deliveries(&mut self, delivery: &Delivery) {
        let Some(deliveries) = ready::deliveries_to_warn_of(delivery.delivered()) else {
            return;
        };
        let id = delivery.id().unwrap_or_default();
        if self.warned == ready::WARNINGS || !self.receiver.faults.is_first_warning(id, deliveries) {
            return;
        }
        self.warned += 1;
        let (channel, queue, broker) = (&self.receiver.channel, &self.receiver.settings.destination, &self.link.broker);
        tracing::warn!(
            %channel, id = ?id, destination = %queue, %broker, deliveries,
            "the broker delivered this message so often without an ACK and deletes it at the queue's delivery limit \
             (RabbitMQ 4: 20 by default): fix what the lines before say, or raise `delivery-limit` by a policy, or name a \
             dead-letter exchange there",
        );
        if self.warned == ready::WARNINGS {
            tracing::warn!(%channel, destination = %queue, %broker, "further such messages of this session are not logged");
        }
    }

    fn keeps_order(&self) -> bool {
        self.receiver.settings.deferred_order == crate::config::DeferredOrder::Signer
    }

    /// Reads which signers have a deferred message, and adds those whose deferral is not durable yet.
    async fn look_at_held(&mut self) {
        let journal = self.receiver.spool.journal.last_change();
        if journal.is_some() && journal == self.looked {
            return;
        }
        let Some(mut held) = self.receiver.look_for_held().await else { return };
        self.looked = journal;
        if !self.deferring.is_empty() {
            Arc::make_mut(&mut held).extend(self.deferring.iter().cloned());
        }
        self.held = held;
    }

    fn has_room(&self) -> bool {
        self.in_work.len() + self.uncommitted < self.prefetch as usize
    }

    /// Takes a delivery up.
    fn take(&mut self, delivery: Delivery) {
        self.warn_of_deliveries(&delivery);
        if let Some(bytes) = delivery.oversized {
            self.leave_with_broker(&delivery, bytes);
            return;
        }
        if self.source == Source::Unknown && delivery.may_be_from_a_stream() {
            self.receiver.stream_suspected.store(true, Ordering::Relaxed);
            self.leaving.get_or_insert(Ended::Suspect);
            return;
        }
        if delivery.is_ping() {
            if let Err(error) = acknowledge_ping(delivery) {
                tracing::debug!(channel = %self.receiver.channel, error = %error, "ACK not sent");
            }
            return;
        }
        let meters = &self.receiver.meters;
        meters.redelivered.add(u64::from(delivery.redelivered));
        kill_point("R02");
        let origin = origin(delivery, &self.link.broker, meters.in_flight.enter());
        let decision = self.decide(&origin);
        self.in_work.push_back(InWork { origin, decision });
    }

    /// Leaves a message that is larger than max-frame with the broker, which has the only copy. Where such messages take up
    /// the prefetch, the next session asks for a larger one.
    fn leave_with_broker(&mut self, delivery: &Delivery, bytes: u64) {
        let id = delivery.id().unwrap_or_default();
        tracing::error!(
            channel = %self.receiver.channel, id = ?id, broker = %self.link.broker, bytes,
            "message is larger than max-frame and stays with the broker: raise max-frame in [broker], and max-payload of the \
             channel, or remove the message there",
        );
        self.left += 1;
        if self.left < self.ahead || self.leaving.is_some() {
            return;
        }
        let (channel, broker, messages) = (&self.receiver.channel, &self.link.broker, self.left);
        if self.ahead == WIDEST {
            tracing::error!(
                channel = %channel, %broker, messages,
                "messages larger than max-frame block the channel, since brokers send no more beside them: remove them there",
            );
            return;
        }
        tracing::warn!(
            channel = %channel, %broker, messages,
            "messages larger than max-frame take up the whole prefetch: subscribing again with a larger one",
        );
        self.leaving = Some(Ended::Crowded);
    }

    fn decide(&self, origin: &Origin) -> decisions::Answer {
        self.decisions.ask(Undecided {
            raw: origin.raw.clone(),
            header_id: origin.header_id.clone(),
            headers: Arc::clone(&origin.headers),
            unreadable: origin.unreadable.clone(),
            at: origin.at,
            held: Arc::clone(&self.held),
        })
    }

    /// Sends the decision at the front to the commit engine.
    fn submit(&mut self, decided: Result<Option<Decided>, RecvError>) {
        let Some(InWork { origin, .. }) = self.in_work.pop_front() else { return };
        let (mut decision, raw_digest) = match decided {
            Ok(Some(decided)) => decided,
            Ok(None) => {
                // A stop was asked for while a plugin was compiled: the broker keeps it.
                self.leaving = Some(Ended::Paused);
                return;
            }
            Err(error) => {
                // The runtime is going down. The delivery is not acknowledged; the broker keeps it.
                tracing::debug!(channel = %self.receiver.channel, error = %error, "decision abandoned");
                return;
            }
        };
        if decision.paused || matches!(self.leaving, Some(Ended::Paused)) {
            // Left with the broker, and so is all that came after it: what is stored first must have come first.
            self.leaving = Some(Ended::Paused);
            return;
        }
        if decision.disposition == Disposition::Stored
            && self.held.contains(&decision.key.signer)
            && !decision.held_back
        {
            // Decided before a message of the same signer was deferred: it waits behind that one.
            let decision = self.decide(&origin);
            self.in_work.push_front(InWork { origin, decision });
            return;
        }
        let signer = decision.key.signer.clone();
        if matches!(decision.disposition, Disposition::Deferred { .. }) && self.keeps_order() && !signer.is_empty() {
            self.deferring.push(signer.clone());
            Arc::make_mut(&mut self.held).insert(signer.clone());
        }
        let delivered = self.receiver.spool.engine.is_sharing().then(|| {
            Box::new(Delivered {
                raw: origin.raw.clone(),
                header_id: origin.header_id.clone(),
                at: origin.at,
                broker: origin.broker.clone(),
            })
        });
        decision.facts.broker = origin.broker;
        let headers = if self.receiver.meters.are_watched() { origin.headers.to_vec() } else { Vec::new() };
        let line = log_line(&decision, 1, origin.broker_id, headers);
        let deferring = matches!(decision.disposition, Disposition::Deferred { .. });
        let commit = commit_of(decision, raw_digest, origin.redelivered);
        let (id, bytes) = (line.id.clone(), origin.raw.len() as u64);
        let (at, _counted) = (Instant::now(), origin.counted);
        let submitted = Submitted { token: origin.token, id, signer, deferring, bytes, at, delivered, _counted };
        self.uncommitted += 1;
        self.uncommitted_bytes += bytes;
        self.hand_over(commit, submitted, line, origin.memory);
    }

    /// Gives a message to the commit engine.
    fn hand_over(&self, commit: Commit, submitted: Submitted, line: LogLine, memory: Option<Reservation>) {
        let answers = self.answers.0.clone();
        let patient = self.is_patient();
        let meters = Arc::clone(&self.receiver.meters);
        let mut reply = Reply(Some((answers, submitted, line)), self.receiver.channel.clone(), meters);
        let done = Box::new(move |stored| {
            drop(memory);
            reply.give(stored);
        });
        let engine = &self.receiver.spool.engine;
        if patient { engine.submit_patiently(commit, done) } else { engine.submit_with(commit, done) }
    }

    /// Whether deliveries go on without the ACK of what is submitted: half of the prefetch is left.
    fn is_patient(&self) -> bool {
        self.leaving.is_none() && self.uncommitted.saturating_mul(2) <= self.prefetch as usize
    }

    /// Acknowledges what is durable.
    fn settle(&mut self, Answer { submitted, stored }: Answer) -> Result<(), CommitError> {
        if submitted.deferring
            && let Some(at) = self.deferring.iter().position(|signer| *signer == submitted.signer)
        {
            self.deferring.swap_remove(at);
        }
        let stored = match (stored, submitted.delivered.as_deref()) {
            (Err(CommitError::Claimed { by }), Some(delivered)) => {
                let (commit, line) = self.claimed(delivered, &by);
                self.hand_over(commit, submitted, line, None);
                return Ok(());
            }
            (stored, _) => stored?,
        };
        self.uncommitted -= 1;
        self.uncommitted_bytes = self.uncommitted_bytes.saturating_sub(submitted.bytes);
        self.receiver.stored();
        if let Err(error) = acknowledge(submitted.token, &stored) {
            tracing::debug!(channel = %self.receiver.channel, id = %submitted.id, error = %error, "ACK not sent");
        }
        kill_point("R14");
        Ok(())
    }

    /// Defers a message that another receiver has claimed: it is durable here, and the broker may forget it.
    fn claimed(&self, delivered: &Delivered, by: &str) -> (Commit, LogLine) {
        let header_id = delivered.header_id.as_deref();
        let received = Received { raw: &delivered.raw, header_id, headers: &[], at: delivered.at, attempt: 1 };
        let mut decision = decide::claimed(&received, &self.receiver.snapshot(), now(), by);
        decision.facts.broker.clone_from(&delivered.broker);
        let line = log_line(&decision, 1, None, Vec::new());
        (commit_of(decision, content_digest(&delivered.raw), false), line)
    }
}

/// The decision of the delivery at the front; pending forever if there is none.
async fn front(in_work: &mut VecDeque<InWork>) -> Option<Result<Option<Decided>, RecvError>> {
    match in_work.front_mut() {
        Some(first) => Some((&mut first.decision).await),
        None => std::future::pending().await,
    }
}

fn origin(delivery: Delivery, broker: &str, counted: Entered) -> Origin {
    Origin {
        redelivered: delivery.redelivered,
        header_id: delivery.id().map(str::to_owned),
        headers: Arc::new(delivery.headers),
        at: now(),
        broker: broker.to_owned(),
        unreadable: delivery.unreadable,
        broker_id: delivery.broker_id,
        token: delivery.token,
        raw: delivery.body,
        memory: delivery.memory,
        counted,
    }
}

/// A decision as the commit engine takes it.
pub(super) fn commit_of(decision: Decision, raw_digest: [u8; 32], redelivered: bool) -> Commit {
    Commit {
        key: decision.key,
        disposition: decision.disposition,
        elements: decision.elements,
        facts: decision.facts,
        redelivered,
        again: false,
        raw_digest: Some(raw_digest),
        resolves: None,
        sequence: decision.sequence,
        acknowledge: decision.acknowledge,
    }
}
