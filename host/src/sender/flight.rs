//! One session of a sender: prepared messages in, SENDs out, elements removed on their RECEIPTs.
//!
//! A task of its own prepares batches ahead of the window; messages are sealed on blocking threads, several at a time, and
//! leave in order. Removals are collected and done together, one sync for each directory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::prepare::{Examined, Prepared};
use super::refuse::Refusal;
use super::{Blame, Ending, Seal, Sender, Settled, Stay, locked, remove};
use crate::channel::Connected;
use crate::journal::{PreparedKey, Sent};
use crate::shutdown::Shutdown;
use crate::smime::SealError;
use crate::spool::{ElementName, LockedElement, Removal, Scan, SpoolError};
use crate::stomp::{Closed, Receipt, SendFailure, SendFrame};

/// Elements that are prepared together.
const BATCH: usize = 64;
/// Content that waits between preparation and RECEIPT, in bytes.
const IN_WORK_BYTES: usize = 48 << 20;
/// How often a sender that is to end looks again at a file that may still be being written.
const SETTLING_LOOK: Duration = Duration::from_millis(200);
/// How long receipts are collected before elements are removed.
const REMOVAL_DELAY: Duration = Duration::from_millis(5);

/// A message that is sealed, all its parts.
struct Sealed {
    prepared: Prepared,
    frames: Result<Vec<SendFrame>, SealError>,
}

/// A message some of whose parts wait for their RECEIPT.
struct InFlight {
    element: LockedElement,
    key: PreparedKey,
    outstanding: usize,
    receipts: Vec<Receipt>,
    bytes: usize,
}

/// A message with all its receipts.
struct Done {
    element: LockedElement,
    key: PreparedKey,
    receipts: Vec<Receipt>,
    at: SystemTime,
}

/// What the receipt of one SEND came to, with the element's number in flight.
type Answer = (u64, Result<Receipt, SendFailure>);

/// The state of one session.
struct Flight<'a> {
    sender: &'a Arc<Sender>,
    link: &'a Connected,
    sealing: VecDeque<JoinHandle<Sealed>>,
    alone: VecDeque<Prepared>,
    in_flight: HashMap<u64, InFlight>,
    answers: JoinSet<Answer>,
    done: Vec<Done>,
    removals: JoinSet<()>,
    bytes: usize,
    next: u64,
    /// Receipts are missing for a reason that is not the broker's as a whole.
    refused: Option<u64>,
}

impl Sender {
    /// Works on one session; answers why it ended, `None` where we ended it.
    pub(super) async fn serve(
        self: &Arc<Self>,
        link: &Connected,
        stay: Stay,
        shutdown: &Shutdown,
    ) -> Option<Arc<Closed>> {
        let (prepared, mut ready) = mpsc::channel(BATCH);
        let preparing = tokio::spawn(Arc::clone(self).prepare_all(prepared, stay, shutdown.clone()));
        let mut flight = Flight {
            sender: self,
            link,
            sealing: VecDeque::new(),
            alone: VecDeque::new(),
            in_flight: HashMap::new(),
            answers: JoinSet::new(),
            done: Vec::new(),
            removals: JoinSet::new(),
            bytes: 0,
            next: 0,
            refused: None,
        };
        let closed = flight.run(&mut ready, shutdown).await;
        drop(ready);
        flight.remove_done();
        flight.finish().await;
        if let Some(closed) = &closed {
            flight.blame(closed).await;
        }
        // What was prepared and not sent is unlocked when the task ends and its channel is dropped.
        let _ = preparing.await;
        closed
    }

    /// Prepares batch after batch until the queue is drained (and the sender is not to stay), a stop is asked for, or
    /// nobody takes them any more. A pass through the queue that finds nothing to take up is followed by a pause.
    async fn prepare_all(self: Arc<Self>, ready: mpsc::Sender<Prepared>, stay: Stay, shutdown: Shutdown) {
        let mut scan = None;
        let mut taken_up = 0;
        while !shutdown.asked() && !ready.is_closed() {
            let (rest, names) = self.next_names(scan.take()).await;
            scan = rest;
            let (prepared, taken) = self.prepare(names).await;
            taken_up += taken;
            for prepared in prepared {
                if ready.send(prepared).await.is_err() {
                    return;
                }
            }
            if scan.is_none() && std::mem::take(&mut taken_up) == 0 && !self.pause(&ready, stay, &shutdown).await {
                return;
            }
        }
    }

    /// Waits until it is worth looking at the queue again; false where the sender is not to stay.
    async fn pause(&self, ready: &mpsc::Sender<Prepared>, stay: Stay, shutdown: &Shutdown) -> bool {
        if stay != Stay::Watch {
            if !self.settling.swap(false, Ordering::Relaxed) {
                return false;
            }
            // What is being written now is part of what is queued.
            tokio::time::sleep(SETTLING_LOOK).await;
            return true;
        }
        tokio::select! {
            () = self.wake.notified() => true,
            () = tokio::time::sleep(self.next_look()) => true,
            () = shutdown.draining() => false,
            () = ready.closed() => false,
        }
    }

    /// The next names of the queue; the scan is gone when it is drained.
    async fn next_names(self: &Arc<Self>, scan: Option<Scan>) -> (Option<Scan>, Vec<ElementName>) {
        let sender = Arc::clone(self);
        let fresh = scan.is_none();
        let read = tokio::task::spawn_blocking(move || {
            let skipped = sender.skipped();
            let mut scan = match scan {
                Some(scan) => scan,
                None => sender.outgoing.scan()?,
            };
            let mut names = Vec::with_capacity(BATCH);
            while names.len() < BATCH {
                let skip = |name: &ElementName| {
                    sender.outgoing.holds(name) || (!skipped.is_empty() && skipped.contains(&name.to_string()))
                };
                let Some(name) = scan.next(skip)? else {
                    return Ok((None, names));
                };
                names.push(name);
            }
            Ok::<_, SpoolError>((Some(scan), names))
        });
        match read.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                let error = crate::cause::chain(&error);
                tracing::error!(channel = %self.name, %error, fresh, "cannot read the outgoing queue");
                (None, Vec::new())
            }
            Err(_) => (None, Vec::new()),
        }
    }

    /// Locks, reads, runs the pipeline, records: what comes back may be sent. Also answers how many elements were taken up,
    /// whatever became of them.
    async fn prepare(self: &Arc<Self>, names: Vec<ElementName>) -> (Vec<Prepared>, usize) {
        if names.is_empty() {
            return (Vec::new(), 0);
        }
        let mut chunks = JoinSet::new();
        let chunk = names.len().div_ceil(self.threads.max(1)).max(1);
        for (index, chunk) in names.chunks(chunk).enumerate() {
            let (sender, names) = (Arc::clone(self), chunk.to_vec());
            chunks.spawn_blocking(move || (index, sender.examine(&names)));
        }
        let mut examined = chunks.join_all().await;
        examined.sort_by_key(|(index, _)| *index);
        let examined: Vec<Examined> = examined.into_iter().flat_map(|(_, chunk)| chunk).collect();
        let sender = Arc::clone(self);
        let recorded = tokio::task::spawn_blocking(move || {
            let recorded = sender.record(&examined);
            (examined, recorded)
        });
        let Ok((examined, recorded)) = recorded.await else { return (Vec::new(), 0) };
        if let Err(error) = recorded {
            let error = crate::cause::chain(&error);
            tracing::error!(channel = %self.name, %error, "cannot write the journal; the messages stay in outgoing");
            tokio::time::sleep(Duration::from_secs(1)).await;
            return (Vec::new(), 0);
        }
        let taken = examined.iter().filter(|one| !matches!(one, Examined::NotOurs)).count();
        let mut prepared = Vec::new();
        for one in examined {
            prepared.extend(self.settle(one).await);
        }
        (prepared, taken)
    }

    async fn settle(&self, examined: Examined) -> Option<Prepared> {
        match examined {
            Examined::Ready { element, content, row, .. } => {
                locked(&self.put_off).remove(&element.name().to_string());
                return Some(self.prepared(element, &content, row));
            }
            Examined::PartlyRefused { element, content, row, refused } => {
                if self.refuse_parts(&element.name().to_string(), &row.key.id, &refused).await {
                    return Some(self.prepared(element, &content, row));
                }
            }
            Examined::Refused(refusal) => self.refuse(refusal).await,
            Examined::Dropped { element, key, finding, plugin } => {
                self.drop_message(element, key, &finding, &plugin).await;
            }
            Examined::PutOff { element, attempt, after, reason } => {
                self.put_off(&element, attempt, after);
                tracing::warn!(channel = %self.name, element, attempt, reason, "message put off; it stays in outgoing");
                self.fate(&element, None, "waiting", Some(&reason));
            }
            Examined::NotOurs => {}
        }
        None
    }

    /// Notes what became of removals.
    pub(super) fn removed(&self, removals: Vec<Result<Removal, SpoolError>>) {
        for removal in removals {
            match removal {
                Ok(Removal::Removed | Removal::Gone) => {}
                Ok(Removal::Restored(name)) => {
                    tracing::warn!(channel = %self.name, element = %name, "the element was overwritten while it was sent; the new content is queued");
                    self.wake.notify_one();
                }
                Err(error) => {
                    let error = crate::cause::chain(&error);
                    tracing::error!(channel = %self.name, error, "cannot remove an element that was sent; it will be sent again");
                }
            }
        }
    }
}

impl Flight<'_> {
    async fn run(&mut self, ready: &mut mpsc::Receiver<Prepared>, shutdown: &Shutdown) -> Option<Arc<Closed>> {
        let mut drained = false;
        let mut draining = false;
        loop {
            self.start_alone();
            if (drained || draining) && self.is_idle() {
                return None;
            }
            let removal_due = !self.done.is_empty();
            tokio::select! {
                biased;
                () = shutdown.stopping() => return None,
                closed = self.link.session.closed() => {
                    self.take_answers().await;
                    return Some(closed);
                }
                Some(answer) = self.answers.join_next(), if !self.answers.is_empty() => {
                    if let Ok(answer) = answer {
                        self.answered(answer);
                    }
                }
                sealed = front(&mut self.sealing), if self.may_send() => {
                    self.sealing.pop_front();
                    if let Some(sealed) = sealed {
                        self.send(sealed).await;
                    }
                }
                prepared = ready.recv(), if !drained && !draining && self.may_seal() => match prepared {
                    Some(prepared) => self.take(prepared),
                    None => drained = true,
                },
                () = shutdown.draining(), if !draining => {
                    draining = true;
                    self.alone.clear();
                }
                () = tokio::time::sleep(REMOVAL_DELAY), if removal_due => self.remove_done(),
                Some(_) = self.removals.join_next(), if !self.removals.is_empty() => {}
            }
            if self.done.len() >= BATCH {
                self.remove_done();
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.sealing.is_empty() && self.in_flight.is_empty() && self.alone.is_empty() && self.done.is_empty()
    }

    fn window(&self) -> usize {
        locked(&self.sender.window).size()
    }

    fn may_send(&self) -> bool {
        !self.sealing.is_empty() && self.in_flight.len() < self.window()
    }

    fn may_seal(&self) -> bool {
        let ahead = self.sender.threads * 2;
        self.sealing.len() < ahead
            && self.in_flight.len() + self.sealing.len() < self.window() + ahead
            && self.bytes < IN_WORK_BYTES
            && self.alone.len() < BATCH
    }

    /// Takes a prepared message up: a suspect waits until it can go alone.
    fn take(&mut self, prepared: Prepared) {
        self.bytes += prepared.bytes;
        if locked(&self.sender.window).goes_alone(&prepared.element.name().to_string()) {
            self.alone.push_back(prepared);
        } else {
            self.seal(prepared);
        }
    }

    fn start_alone(&mut self) {
        if self.sealing.is_empty()
            && self.in_flight.is_empty()
            && let Some(prepared) = self.alone.pop_front()
        {
            self.seal(prepared);
        }
    }

    fn seal(&mut self, prepared: Prepared) {
        let sender = Arc::clone(self.sender);
        let workers = Arc::clone(&sender.workers);
        self.sealing.push_back(tokio::spawn(async move {
            let permit = workers.acquire_owned().await;
            let sealed = tokio::task::spawn_blocking(move || sender.seal(prepared)).await;
            drop(permit);
            match sealed {
                Ok(sealed) => sealed,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }));
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
        let number = self.next;
        self.next += 1;
        for frame in frames {
            match self.link.session.send(frame).await {
                Ok(pending) => {
                    self.answers.spawn(async move { (number, pending.await) });
                }
                Err(failure) => {
                    self.answers.spawn(std::future::ready((number, Err(failure))));
                }
            }
        }
        let Prepared { element, key, parts, bytes } = prepared;
        let outstanding = parts.len();
        self.in_flight.insert(number, InFlight { element, key, outstanding, receipts: Vec::new(), bytes });
    }

    /// A message that cannot be sealed goes to the reject queue if that is its own fault; if it is that of a key or a
    /// setting, it waits until somebody mends that.
    async fn unsealable(&self, prepared: Prepared, error: &SealError) {
        let Prepared { element, key, .. } = prepared;
        let why = crate::cause::chain(error);
        if error.is_message_fault() {
            self.sender.refuse(Refusal::of_element(element, key, "unsealable", why)).await;
            return;
        }
        let name = element.name().to_string();
        tracing::error!(channel = %self.sender.name, id = %key.id, element = %name, error = why, "cannot seal a message; it stays in outgoing");
        self.sender.put_off(&name, 1, None);
    }

    /// Takes the answer to one SEND.
    fn answered(&mut self, (number, answer): Answer) {
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
            Err(SendFailure::Refused { .. } | SendFailure::Unsendable(_)) => self.refused = Some(number),
            Err(_) => {}
        }
    }

    fn complete(&mut self, message: InFlight) {
        let InFlight { element, key, receipts, bytes, .. } = message;
        self.bytes = self.bytes.saturating_sub(bytes);
        locked(&self.sender.window).receipt(&element.name().to_string());
        self.done.push(Done { element, key, receipts, at: SystemTime::now() });
    }

    /// Takes the answers that are there when the session has ended.
    async fn take_answers(&mut self) {
        while let Some(answer) = self.answers.join_next().await {
            if let Ok(answer) = answer {
                self.answered(answer);
            }
        }
    }

    /// Removes the elements whose receipts are all there, on a blocking thread.
    fn remove_done(&mut self) {
        if self.done.is_empty() {
            return;
        }
        let done = std::mem::take(&mut self.done);
        let (sender, broker) = (Arc::clone(self.sender), Arc::clone(&self.link.broker));
        self.removals.spawn_blocking(move || sender.remove_sent(done, &broker));
    }

    async fn finish(&mut self) {
        while self.removals.join_next().await.is_some() {}
    }

    /// Finds out which element it was that broke the connection, if it was one.
    async fn blame(&mut self, closed: &Closed) {
        let ending = match closed {
            Closed::Error { .. } => Ending::Error,
            Closed::ByUs => return,
            _ => Ending::Break,
        };
        let suspects: Vec<u64> = match self.refused {
            Some(number) => vec![number],
            None => self.in_flight.keys().copied().collect(),
        };
        let name = |number: &u64| self.in_flight.get(number).map(|message| message.element.name().to_string());
        let names: Vec<String> = suspects.iter().filter_map(name).collect();
        let blame = locked(&self.sender.window).broke(&names, ending, Instant::now());
        if let Blame::Refuse(_) = blame
            && let Some(message) = suspects.first().and_then(|number| self.in_flight.remove(number))
        {
            let why = format!("the broker does not take it: {}", crate::cause::chain(closed));
            self.sender.refuse(Refusal::of_element(message.element, message.key, "broker-refused", why)).await;
        }
    }
}

impl Sender {
    /// Signs and encrypts every part of a message.
    fn seal(&self, prepared: Prepared) -> Sealed {
        let frames = self.sealing().and_then(|seal| frames(&seal, &prepared));
        Sealed { prepared, frames }
    }

    /// Removes elements that were sent and notes them in the journal.
    fn remove_sent(&self, done: Vec<Done>, broker: &str) {
        let mut settled = Vec::with_capacity(done.len());
        let mut sent = Vec::with_capacity(done.len());
        for Done { element, key, receipts, at } in done {
            tracing::info!(channel = %self.name, id = %key.id, element = %element.name(), broker, "message sent");
            self.fate(&element.name().to_string(), Some(&key.id), "sent", None);
            sent.push(Sent { key, broker: broker.to_owned(), at });
            settled.push((element, Settled::Sent(receipts)));
        }
        self.sent.fetch_add(settled.len() as u64, Ordering::Relaxed);
        self.removed(remove(settled));
        if let Err(error) = self.state.journal.record_sent(&self.name, &sent) {
            let error = crate::cause::chain(&error);
            tracing::error!(channel = %self.name, %error, "cannot write the journal; the messages were sent");
        }
    }
}

fn frames(seal: &Seal, prepared: &Prepared) -> Result<Vec<SendFrame>, SealError> {
    let frames = prepared.parts().iter().map(|part| {
        let sealed = seal.seal(&part.id, part.content_type.as_deref(), &part.payload)?;
        let mut headers = vec![("empa-id".to_owned(), part.id.to_string())];
        headers.extend(part.headers.iter().cloned());
        Ok(SendFrame { destination: part.destination.clone(), headers, body: Bytes::from(sealed.into_bytes()) })
    });
    frames.collect()
}

/// What is sealed at the front; pending for ever where there is nothing.
async fn front(sealing: &mut VecDeque<JoinHandle<Sealed>>) -> Option<Sealed> {
    match sealing.front_mut() {
        Some(first) => first.await.ok(),
        None => std::future::pending().await,
    }
}
