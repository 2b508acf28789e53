//! One session of a sender: prepared messages in, SENDs out, elements removed on their RECEIPTs.
//!
//! A task of its own (`supply`) prepares batches ahead of the window; messages are sealed on blocking threads, several at
//! a time, and leave in order. Removals are collected and done together, one sync for each directory.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::prepare::Prepared;
use super::probe::{self, Probe, Probed};
use super::proof::Proved;
use super::report::Seen;
use super::settle::Settlement;
use super::supply::Supply;
use super::{Blame, Ended, Ending, Stay, Window};
use crate::channel::{Meters, Step};
use crate::shutdown::Shutdown;
use message::{Code, locked};
use observe::Entered;
use smime::{Seal, SealError, Sealing};
use spool::journal::PreparedKey;
use spool::{LockedElement, kill_point};
use transport::{Closed, Connected, Destination, Look, Outbound, Proofs, Queues, Receipt, SendFailure};

/// Prepared messages that wait to be sealed.
const READY: usize = 16;
/// Messages that are sealed in one go, at most: a thread is woken once for all of them.
const TOGETHER: usize = 8;
/// The same in bytes of their content.
const TOGETHER_BYTES: usize = 256 << 10;
/// Elements that are removed together.
const BATCH: usize = 64;
/// Batches that are being removed at once; a disk that is slower than the broker slows the channel down.
const REMOVALS: usize = 4;
/// Content that waits between preparation and RECEIPT, in bytes.
const IN_FLIGHT_BYTES: usize = 48 << 20;
/// How long receipts are collected before elements are removed.
const REMOVAL_DELAY: Duration = Duration::from_millis(5);

/// A message that is sealed, all its parts.
struct Sealed {
    prepared: Prepared,
    frames: Result<Vec<Outbound>, SealError>,
}

/// A message some of whose parts wait for their RECEIPT.
struct InFlight {
    element: LockedElement,
    key: PreparedKey,
    outstanding: usize,
    receipts: Vec<Receipt>,
    needs: Vec<Destination>,
    keep: bool,
    bytes: usize,
    seen: Seen,
    _counted: Entered,
}

/// A message with all its receipts.
pub(super) struct Done {
    element: LockedElement,
    key: PreparedKey,
    receipts: Vec<Receipt>,
    at: SystemTime,
    pub(super) needs: Vec<Destination>,
    keep: bool,
    seen: Seen,
}

impl Done {
    /// Whether it is kept until it is acknowledged.
    pub(super) fn keep(&self) -> bool {
        self.keep
    }

    /// The element, its key, the receipts, when the last of them came, and what was seen of the message.
    pub(super) fn into_parts(self) -> (LockedElement, PreparedKey, Vec<Receipt>, SystemTime, Seen) {
        (self.element, self.key, self.receipts, self.at, self.seen)
    }
}

/// The result of waiting for the receipt of one SEND, with the element's number in flight.
type Answer = (u64, Result<Receipt, SendFailure>);

/// Seals and sends what a [`Supply`] prepares, session after session.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) supply: Arc<Supply>,
    pub(super) sealing: Arc<Sealing>,
    pub(super) settlement: Arc<Settlement>,
    pub(super) queues: Arc<Queues>,
    pub(super) window: Arc<Mutex<Window>>,
    /// Limits how many messages are sealed at once.
    pub(super) workers: Arc<Semaphore>,
    /// The number behind `workers`.
    pub(super) threads: usize,
}

/// The state of one session.
struct Flight<'a> {
    dispatch: &'a Dispatch,
    link: &'a Connected,
    /// Groups of messages that are being sealed, in order, each with their number.
    sealing: VecDeque<(usize, JoinHandle<Vec<Sealed>>)>,
    /// Messages that are sealed and not sent yet, in order.
    sealed: VecDeque<Sealed>,
    alone: VecDeque<Prepared>,
    /// A suspect that goes next, if the broker takes what goes ahead of it.
    probe: Option<Probe>,
    /// A suspect is in flight, and nothing is sent beside it.
    lone: bool,
    in_flight: HashMap<u64, InFlight>,
    answers: JoinSet<Answer>,
    proofs: Proofs<Done>,
    done: Vec<Proved>,
    removals: JoinSet<()>,
    bytes: usize,
    next: u64,
    /// Receipts are missing for a reason that is not the broker's as a whole.
    refused: Option<u64>,
}

impl Dispatch {
    /// Runs one session; returns why it ended.
    pub(super) async fn serve(&self, link: &Connected, stay: Stay, shutdown: &Shutdown) -> Ended {
        let (prepared, mut ready) = mpsc::channel(READY);
        let preparing = tokio::spawn(Arc::clone(&self.supply).run(prepared, stay, shutdown.clone()));
        let mut flight = Flight {
            dispatch: self,
            link,
            sealing: VecDeque::new(),
            sealed: VecDeque::new(),
            alone: VecDeque::new(),
            probe: None,
            lone: false,
            in_flight: HashMap::new(),
            answers: JoinSet::new(),
            proofs: Proofs::new(&self.queues, link),
            done: Vec::new(),
            removals: JoinSet::new(),
            bytes: 0,
            next: 0,
            refused: None,
        };
        let ended = flight.run(&mut ready, shutdown).await;
        drop(ready);
        tokio::select! {
            proved = flight.proofs.finish() => flight.done.extend(proved),
            () = shutdown.stopping() => {}
        }
        flight.remove_done();
        flight.finish().await;
        if let Ended::Lost(closed) = &ended {
            flight.blame(closed).await;
        }
        // What was prepared and not sent is unlocked when the task ends and its channel is dropped.
        if shutdown.is_now() {
            preparing.abort();
        }
        let _ = preparing.await;
        ended
    }
}

impl Flight<'_> {
    async fn run(&mut self, ready: &mut mpsc::Receiver<Prepared>, shutdown: &Shutdown) -> Ended {
        let mut drained = false;
        let mut draining = false;
        loop {
            self.start_alone().await;
            let last = (drained || draining) && self.is_idle();
            if last && self.done.is_empty() && self.proofs.is_idle() {
                return Ended::ByUs;
            }
            let removal_due = !self.done.is_empty();
            tokio::select! {
                biased;
                () = shutdown.stopping() => return Ended::ByUs,
                closed = self.link.session.closed() => {
                    self.take_answers().await;
                    return Ended::Lost(closed);
                }
                Some(answer) = self.answers.join_next(), if !self.answers.is_empty() => {
                    if let Ok(answer) = answer {
                        self.answered(answer).await;
                    }
                }
                () = std::future::ready(()), if self.may_send() => {
                    if let Some(sealed) = self.sealed.pop_front() {
                        tokio::select! {
                            biased;
                            () = shutdown.stopping() => return Ended::ByUs,
                            () = self.send(sealed) => {}
                        }
                    }
                }
                sealed = front(&mut self.sealing), if self.sealed.is_empty() && !self.sealing.is_empty() => {
                    self.sealing.pop_front();
                    self.sealed.extend(sealed);
                }
                probed = probe::answer(&mut self.probe), if self.probe.is_some() => self.probed(probed),
                prepared = ready.recv(), if !drained && !draining && self.may_seal() => match prepared {
                    Some(prepared) => self.take(prepared, ready),
                    None => drained = true,
                },
                () = shutdown.draining(), if !draining => {
                    draining = true;
                    self.alone.clear();
                }
                look = self.proofs.next(last) => match look {
                    Look::Proved(proved) => self.done.extend(proved),
                    Look::Gone(proved) => {
                        self.done.extend(proved);
                        return Ended::QueueGone;
                    }
                },
                () = tokio::time::sleep(REMOVAL_DELAY), if removal_due => self.remove_done(),
                Some(_) = self.removals.join_next(), if !self.removals.is_empty() => {}
            }
            if self.done.len() >= BATCH {
                self.remove_done();
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.nothing_in_flight() && self.alone.is_empty()
    }

    fn nothing_in_flight(&self) -> bool {
        self.before_sending() == 0 && self.in_flight.is_empty() && self.probe.is_none()
    }

    fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.dispatch.settlement.report.meters)
    }

    fn window(&self) -> usize {
        locked(&self.dispatch.window).size()
    }

    /// Messages that are being sealed or are sealed.
    fn before_sending(&self) -> usize {
        self.sealing.iter().map(|(messages, _)| messages).sum::<usize>() + self.sealed.len()
    }

    fn may_send(&self) -> bool {
        !self.sealed.is_empty() && self.in_flight.len() < self.window()
    }

    fn may_seal(&self) -> bool {
        self.sealing.len() < self.dispatch.threads * 2
            && self.room() > 0
            && self.bytes < IN_FLIGHT_BYTES
            && self.alone.is_empty()
            && self.probe.is_none()
            && !self.lone
            && self.removals.len() < REMOVALS
            && self.proofs.has_room()
    }

    /// How many more messages may be sealed ahead of the window.
    fn room(&self) -> usize {
        let most = self.window() + self.dispatch.threads * 2;
        most.saturating_sub(self.in_flight.len() + self.before_sending())
    }

    /// Takes a prepared message up, and those behind it that fit into the same group: a suspect waits until it can go alone.
    fn take(&mut self, first: Prepared, ready: &mut mpsc::Receiver<Prepared>) {
        let most = self.room().min(TOGETHER);
        let (mut group, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(prepared) = next {
            self.bytes += prepared.bytes;
            if locked(&self.dispatch.window).goes_alone(&prepared.element.name().to_string()) {
                self.alone.push_back(prepared);
                break;
            }
            bytes += prepared.bytes;
            group.push(prepared);
            let fits = group.len() < most && bytes < TOGETHER_BYTES;
            next = if fits { ready.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            self.seal(group);
        }
    }

    /// Sends a probe ahead of the next suspect, once nothing else is in flight.
    async fn start_alone(&mut self) {
        if !self.nothing_in_flight() {
            return;
        }
        self.lone = false;
        if let Some(suspect) = self.alone.pop_front()
            && self.admits(&suspect).await
        {
            if !self.link.session.takes_probes() {
                self.lone = true;
                self.seal(vec![suspect]);
                return;
            }
            locked(&self.dispatch.window).probe_sent(&suspect.element.name().to_string(), Instant::now());
            self.probe = Some(Probe::send(&self.link.session, suspect).await);
        }
    }

    fn probed(&mut self, probed: Probed) {
        match probed {
            Probed::Taken(suspect) => {
                locked(&self.dispatch.window).probe_taken(&suspect.element.name().to_string());
                self.lone = true;
                self.seal(vec![suspect]);
            }
            Probed::Refused { bytes } => self.bytes = self.bytes.saturating_sub(bytes),
        }
    }

    fn seal(&mut self, group: Vec<Prepared>) {
        let sealing = Arc::clone(&self.dispatch.sealing);
        let workers = Arc::clone(&self.dispatch.workers);
        let (meters, messages) = (self.meters(), group.len());
        let one = move |prepared: Prepared| {
            let bytes = prepared.bytes;
            meters.time(Step::Seal, bytes, || seal(&sealing, prepared))
        };
        let job = tokio::spawn(async move {
            let permit = workers.acquire_owned().await;
            let sealed = tokio::task::spawn_blocking(move || group.into_iter().map(one).collect()).await;
            drop(permit);
            sealed.unwrap_or_default()
        });
        self.sealing.push_back((messages, job));
    }

    /// Sends the parts of a sealed message.
    async fn send(&mut self, sealed: Sealed) {
        let Sealed { prepared, frames } = sealed;
        let frames = match frames {
            Ok(frames) => frames,
            Err(error) => {
                self.bytes = self.bytes.saturating_sub(prepared.bytes);
                self.unsealable(prepared, &error).await;
                return;
            }
        };
        if let Some(why) = frames.iter().find_map(|message| self.link.session.too_large(message)) {
            self.bytes = self.bytes.saturating_sub(prepared.bytes);
            let Prepared { element, key, .. } = prepared;
            self.dispatch.settlement.refuse_element(element, key, Code::TooLarge, why).await;
            return;
        }
        if !self.admits(&prepared).await {
            return;
        }
        let needs = self.proofs.needs(destinations(&prepared));
        let number = self.next;
        self.next += 1;
        for frame in frames {
            let (meters, bytes) = (self.meters(), frame.body.len());
            match meters.wait(Step::Send, bytes, self.link.session.send(frame)).await {
                Ok(pending) => {
                    self.answers.spawn(async move { (number, meters.wait(Step::Receipt, bytes, pending).await) });
                }
                Err(failure) => {
                    self.answers.spawn(std::future::ready((number, Err(failure))));
                }
            }
        }
        kill_point("S05");
        let Prepared { element, key, parts, keep, bytes, verdicts } = prepared;
        let outstanding = parts.len();
        let watched = self.dispatch.settlement.report.meters.are_watched();
        let headers = parts.into_iter().next().filter(|_| watched).map(|part| part.headers).unwrap_or_default();
        let message = InFlight {
            element,
            key,
            outstanding,
            receipts: Vec::new(),
            needs,
            keep,
            bytes,
            seen: Seen { bytes: bytes as u64, headers, verdicts },
            _counted: self.meters().in_flight.enter(),
        };
        self.in_flight.insert(number, message);
    }

    /// Whether every destination of a message holds what it is sent; where one does not, the message waits.
    async fn admits(&mut self, prepared: &Prepared) -> bool {
        let Err(why) = self.proofs.admit(destinations(prepared)).await else { return true };
        self.bytes = self.bytes.saturating_sub(prepared.bytes);
        self.dispatch.settlement.wait_for_destination(&prepared.element, &prepared.key, &why);
        false
    }

    /// A message that cannot be sealed goes to the reject queue if the fault is its own; if the fault is in a key or a
    /// setting, it waits until that is fixed.
    async fn unsealable(&self, prepared: Prepared, error: &SealError) {
        let Prepared { element, key, .. } = prepared;
        if error.is_message_fault() {
            self.dispatch.settlement.refuse_element(element, key, error.code(), message::cause::chain(error)).await;
        } else if error.stops_the_channel() {
            // It expired between preparing and sealing. `fitness` logs the error once, and this message is sent with the
            // others when it is fixed.
            self.dispatch.settlement.wait_to_be_fit(&element, &key, error);
        } else {
            self.dispatch.settlement.hold(&element, &key, error);
        }
    }

    /// Takes the answer to one SEND.
    async fn answered(&mut self, (number, answer): Answer) {
        let Some(message) = self.in_flight.get_mut(&number) else { return };
        match answer {
            Ok(receipt) => {
                message.outstanding -= 1;
                message.receipts.push(receipt);
                if message.outstanding == 0
                    && let Some(message) = self.in_flight.remove(&number)
                {
                    self.complete(message);
                }
            }
            Err(SendFailure::Refused { .. }) => self.refused = Some(number),
            Err(SendFailure::Unsendable(error)) => {
                if let Some(message) = self.in_flight.remove(&number) {
                    self.bytes = self.bytes.saturating_sub(message.bytes);
                    self.dispatch.settlement.hold(&message.element, &message.key, &error);
                }
            }
            Err(SendFailure::Rejected { code, words }) => {
                if let Some(message) = self.in_flight.remove(&number) {
                    self.bytes = self.bytes.saturating_sub(message.bytes);
                    self.dispatch.settlement.refuse_element(message.element, message.key, code, words).await;
                }
            }
            Err(SendFailure::Destination { destination, words }) => {
                self.proofs.refused(&destination, &words);
                if let Some(message) = self.in_flight.remove(&number) {
                    self.bytes = self.bytes.saturating_sub(message.bytes);
                    self.dispatch.settlement.wait_for_destination(&message.element, &message.key, &words);
                }
            }
            Err(SendFailure::NotStored { words, size, limit }) => {
                if let Some(message) = self.in_flight.remove(&number) {
                    self.bytes = self.bytes.saturating_sub(message.bytes);
                    self.dispatch.settlement.not_stored(message.element, message.key, (size, limit), words).await;
                }
            }
            Err(SendFailure::Unanswered(_) | SendFailure::Over) => {}
        }
    }

    fn complete(&mut self, message: InFlight) {
        kill_point("S07");
        let InFlight { element, key, receipts, needs, keep, bytes, seen, .. } = message;
        self.bytes = self.bytes.saturating_sub(bytes);
        locked(&self.dispatch.window).receipt(&element.name().to_string());
        let done = Done { element, key, receipts, at: SystemTime::now(), needs, keep, seen };
        self.done.extend(self.proofs.take(done));
    }

    /// Takes the answers that are there when the session has ended.
    async fn take_answers(&mut self) {
        while let Some(answer) = self.answers.join_next().await {
            if let Ok(answer) = answer {
                self.answered(answer).await;
            }
        }
    }

    /// Removes the elements whose receipts are all there, on a blocking thread.
    fn remove_done(&mut self) {
        if self.done.is_empty() {
            return;
        }
        let mut done = std::mem::take(&mut self.done);
        let (settlement, broker) = (Arc::clone(&self.dispatch.settlement), Arc::clone(&self.link.broker));
        self.removals.spawn_blocking(move || {
            // One check may have proved many: their locks are released batch by batch, not after the last.
            while !done.is_empty() {
                let batch = done.drain(..done.len().min(BATCH)).collect();
                settlement.remove_sent(batch, &broker);
            }
        });
    }

    async fn finish(&mut self) {
        while self.removals.join_next().await.is_some() {}
    }

    /// Finds out which element, if any, broke the connection.
    async fn blame(&mut self, closed: &Closed) {
        let ending = if self.refused.is_some() {
            Ending::Named
        } else if !closed.may_be_by_a_message() {
            return;
        } else if closed.is_refusal() {
            Ending::Error
        } else {
            Ending::Break
        };
        let suspects: Vec<u64> = match self.refused {
            Some(number) => vec![number],
            None => self.in_flight.keys().copied().collect(),
        };
        let name = |number: &u64| self.in_flight.get(number).map(|message| message.element.name().to_string());
        let names: Vec<String> = suspects.iter().filter_map(name).collect();
        let blame = locked(&self.dispatch.window).broke(&names, ending, Instant::now());
        if let Blame::Refuse(_) = blame
            && let Some(message) = suspects.first().and_then(|number| self.in_flight.remove(number))
        {
            let why = format!("the broker does not take it: {}", message::cause::chain(closed));
            self.dispatch.settlement.refuse_element(message.element, message.key, Code::BrokerRefused, why).await;
        }
    }
}

/// Where the parts of a message go.
fn destinations(prepared: &Prepared) -> impl Iterator<Item = &Destination> {
    prepared.parts().iter().map(|part| &part.destination)
}

/// Signs and encrypts every part of a message.
fn seal(sealing: &Sealing, prepared: Prepared) -> Sealed {
    let sealed = catch_unwind(AssertUnwindSafe(|| sealing.current().and_then(|seal| frames(&seal, &prepared))));
    kill_point("S03");
    Sealed { prepared, frames: sealed.unwrap_or(Err(SealError::Internal)) }
}

fn frames(seal: &Seal, prepared: &Prepared) -> Result<Vec<Outbound>, SealError> {
    let frames = prepared.parts().iter().map(|part| {
        let sealed = seal.seal((&part.id, part.sequence.as_ref()), part.content_type.as_deref(), &part.payload)?;
        let (destination, id, headers) = (part.destination.clone(), part.id.to_string(), part.headers.clone());
        Ok(Outbound { destination, id, headers, body: Bytes::from(sealed.into_bytes()) })
    });
    frames.collect()
}

/// The messages of the group at the front, once they are sealed; pending forever if there is none.
async fn front(sealing: &mut VecDeque<(usize, JoinHandle<Vec<Sealed>>)>) -> Vec<Sealed> {
    match sealing.front_mut() {
        Some((_, job)) => job.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
