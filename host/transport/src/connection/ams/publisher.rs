//! Publishes what a sender hands over: several small messages in one request, several requests at a time.
//!
//! A request that fails in the middle leaves the messages before the fault published and names none. Its messages are
//! published one by one then, under the same ids: the receiver recognises what was there already. So it is known of each
//! message whether AMS stored it, refuses it, or could not store it.
//!
//! # Faults
//! | fault | what it means |
//! |---|---|
//! | 400, 413, an attribute | AMS never takes this message |
//! | 403, 404 | AMS takes nothing for this topic now; other topics go on |
//! | 500 | AMS could not store this message; several in a row end the session |
//! | any other | nothing is known: it ends the session, and what was not confirmed is sent again |

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use ams::{Client, Error, Fault, Publication, Topic};
use message::Code;
use message::cause::chain;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{AmsClosed, EMPAID, SPLITTER, close};
use crate::Destination;
use crate::connection::{Receipt, SendFailure};

/// Requests in flight.
const REQUESTS: usize = 4;
/// Messages that wait to be put into a request.
const QUEUED: usize = 64;
/// Messages in a request.
const BATCH: usize = 32;
/// Stored bytes in a request of several messages.
const BATCH_BYTES: usize = 512 << 10;
/// Messages in a row that AMS could not store, after which the fault is taken for its own.
const UNSTORED: usize = 3;

/// A message to be published.
#[derive(Debug)]
pub(super) struct Request {
    topic: Topic,
    message: Publication,
    answer: oneshot::Sender<Result<Receipt, SendFailure>>,
    _pending: Pending,
}

/// The answer to one message, still to come.
#[derive(Debug)]
pub struct Published(oneshot::Receiver<Result<Receipt, SendFailure>>);

impl Future for Published {
    type Output = Result<Receipt, SendFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(SendFailure::Over)))
    }
}

/// Counts what a session has in flight, for as long as it is kept.
#[derive(Debug)]
pub(super) struct Pending(Arc<watch::Sender<usize>>);

impl Pending {
    pub(super) fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Request {
    pub(super) fn new(topic: Topic, message: Publication, pending: Pending) -> (Self, Published) {
        let (answer, answered) = oneshot::channel();
        (Self { topic, message, answer, _pending: pending }, Published(answered))
    }

    fn size(&self) -> usize {
        ams::stored_size(&self.message)
    }

    fn stored(self, id: ams::MessageId) {
        let message = self.message.attributes.get(EMPAID).cloned().unwrap_or_default();
        let _ = self.answer.send(Ok(Receipt::Ams { message, id }));
    }
}

/// Publishes until the session is over.
pub(super) fn start(
    client: Client,
    max_message: usize,
    closing: Arc<watch::Sender<Option<AmsClosed>>>,
) -> mpsc::Sender<Request> {
    let (requests, queue) = mpsc::channel(QUEUED);
    let publisher = Publisher { client, max_message, closing, unstored: AtomicUsize::new(0) };
    tokio::spawn(publish_all(Arc::new(publisher), queue));
    requests
}

struct Publisher {
    client: Client,
    max_message: usize,
    closing: Arc<watch::Sender<Option<AmsClosed>>>,
    /// Messages in a row that AMS could not store.
    unstored: AtomicUsize,
}

async fn publish_all(publisher: Arc<Publisher>, mut queue: mpsc::Receiver<Request>) {
    let slots = Arc::new(Semaphore::new(REQUESTS));
    let mut over = publisher.closing.subscribe();
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            tokio::select! {
                biased;
                _ = over.wait_for(Option::is_some) => return,
                request = queue.recv() => match request {
                    Some(request) => waiting.push_back(request),
                    None => return,
                },
            }
        }
        let slot = tokio::select! {
            biased;
            _ = over.wait_for(Option::is_some) => return,
            slot = Arc::clone(&slots).acquire_owned() => match slot {
                Ok(slot) => slot,
                Err(_) => return,
            },
        };
        while waiting.len() < QUEUED
            && let Ok(request) = queue.try_recv()
        {
            waiting.push_back(request);
        }
        // Nothing waits for the answer of a sender that was stopped.
        waiting.retain(|request| !request.answer.is_closed());
        let batch = take_batch(&mut waiting);
        let publisher = Arc::clone(&publisher);
        tokio::spawn(async move {
            let mut over = publisher.closing.subscribe();
            tokio::select! {
                biased;
                _ = over.wait_for(Option::is_some) => {}
                () = publisher.publish(batch) => {}
            }
            drop(slot);
        });
    }
}

/// The first that waits, and those for the same topic that fit into one request with it, in order.
fn take_batch(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let Some(first) = waiting.pop_front() else { return Vec::new() };
    let mut bytes = first.size();
    let topic = first.topic.clone();
    let mut batch = vec![first];
    let mut full = false;
    let others = std::mem::take(waiting);
    for request in others {
        let grown = bytes.saturating_add(request.size());
        let same = request.topic == topic;
        full |= same && (grown > BATCH_BYTES || batch.len() == BATCH);
        if same && !full {
            bytes = grown;
            batch.push(request);
        } else {
            waiting.push_back(request);
        }
    }
    batch
}

impl Publisher {
    async fn publish(&self, batch: Vec<Request>) {
        let Some(topic) = batch.first().map(|request| request.topic.clone()) else { return };
        let messages: Vec<Publication> = batch.iter().map(|request| request.message.clone()).collect();
        match self.client.publish(&topic, &messages).await {
            // As many ids as messages, in their order: the client made sure of it.
            Ok(ids) => {
                self.unstored.store(0, Ordering::Relaxed);
                batch.into_iter().zip(ids).for_each(|(request, id)| request.stored(id));
            }
            // One of them is at fault: which, shows when they go one by one.
            Err(error) if batch.len() > 1 && concerns_a_message(&error) => {
                for request in batch {
                    if let Err(error) = self.publish_one(&topic, request).await {
                        return close(&self.closing, AmsClosed::Failed(Arc::new(error)));
                    }
                }
            }
            Err(error) => {
                let mut ended = false;
                for request in batch {
                    ended |= self.fail(request, &error);
                }
                if ended {
                    close(&self.closing, AmsClosed::Failed(Arc::new(error)));
                }
            }
        }
    }

    /// Publishes one message; an error that ends the session is returned.
    async fn publish_one(&self, topic: &Topic, request: Request) -> Result<(), Error> {
        match self.client.publish(topic, std::slice::from_ref(&request.message)).await {
            Ok(ids) => {
                self.unstored.store(0, Ordering::Relaxed);
                if let Some(id) = ids.into_iter().next() {
                    request.stored(id);
                }
                Ok(())
            }
            Err(error) if self.fail(request, &error) => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Answers one message; whether the session is over.
    fn fail(&self, request: Request, error: &Error) -> bool {
        let size = request.size();
        let words = chain(error);
        let (failure, over) = match error.fault() {
            Fault::TooLarge { .. } => {
                let words = format!("{words}; AMS stores {size} bytes for it: lower max-message; {SPLITTER}");
                (SendFailure::Rejected { code: Code::TooLarge, words }, false)
            }
            Fault::Schema { .. } | Fault::Attribute { .. } => {
                (SendFailure::Rejected { code: Code::BrokerRefused, words }, false)
            }
            Fault::Forbidden { .. } | Fault::NotFound { .. } => {
                let destination = Destination::Topic(request.topic.clone());
                (SendFailure::Destination { destination, words }, false)
            }
            _ if is_not_stored(error) => {
                let in_row = self.unstored.fetch_add(1, Ordering::Relaxed) + 1;
                (SendFailure::NotStored { words, size, limit: self.max_message }, in_row >= UNSTORED)
            }
            _ => (SendFailure::Over, true),
        };
        let _ = request.answer.send(Err(failure));
        over
    }
}

/// Whether the fault may be in a message.
fn concerns_a_message(error: &Error) -> bool {
    let refused = matches!(error.fault(), Fault::TooLarge { .. } | Fault::Schema { .. } | Fault::Attribute { .. });
    refused || is_not_stored(error)
}

/// Whether AMS could not store a message. So it answers also what its store finds too large.
fn is_not_stored(error: &Error) -> bool {
    matches!(error.fault(), Fault::Backend { .. } | Fault::Unavailable { status: 500, .. })
}
